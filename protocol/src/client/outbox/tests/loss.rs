//! Many frames over a path that loses some, in simulated time.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::client::backoff::Jitter;

/// Shares of frames and of acks that are lost, in thousandths.
struct Path {
    frames_lost: u32,
    acks_lost: u32,
    jitter: Jitter,
}

impl Path {
    fn loses(&mut self, thousandths: u32) -> bool {
        self.jitter.up_to(Duration::from_millis(999)) < Duration::from_millis(thousandths.into())
    }
}

/// How many milliseconds it takes until every frame is answered, one being heard every 5 ms; an ack is there 7 ms
/// after its frame was sent.
fn milliseconds_to_answer(frames: u64, mut path: Path) -> u64 {
    let start = Instant::now();
    let mut outbox = outbox_of(0, 64, start);
    let mut arriving: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    let mut arrived = BTreeSet::new();
    let (mut heard, mut answered) = (0, BTreeSet::new());
    for milliseconds in 0.. {
        let now = after(start, milliseconds);
        while heard < frames && heard * 5 <= milliseconds && outbox.len() < 64 {
            outbox.push(frame(), heard, 0, now);
            heard += 1;
        }
        for sequence in arriving.remove(&milliseconds).unwrap_or_default() {
            arrived.insert(sequence);
            if path.loses(path.acks_lost) {
                continue;
            }
            let cumulative = (1..).take_while(|sequence| arrived.contains(sequence)).last().unwrap_or(0);
            let ahead = arrived.range(cumulative + 1..).map(|sequence| sequence - cumulative - 1);
            let bitmap = ahead.filter(|bit| *bit < 64).fold(0, |bits, bit| bits | 1_u64 << bit);
            answered.extend(ack(&mut outbox, cumulative, bitmap, &[identified(sequence)], now).unwrap());
        }
        if answered.len() as u64 == frames {
            return milliseconds;
        }
        let mut left = repeats(&mut outbox, now);
        left.extend(send_all(&mut outbox, now));
        left.retain(|_| !path.loses(path.frames_lost));
        arriving.entry(milliseconds + 7).or_default().extend(left);
    }
    unreachable!("milliseconds end only with the answers");
}

/// The median over many paths.
fn median(frames: u64, frames_lost: u32, acks_lost: u32) -> u64 {
    let path = |seed: u64| Path { frames_lost, acks_lost, jitter: Jitter::new(seed * 0x9E37_79B9_7F4A) };
    let mut times: Vec<_> = (1..=99).map(|seed| milliseconds_to_answer(frames, path(seed))).collect();
    times.sort_unstable();
    times[49]
}

#[tokio::test]
async fn a_path_without_loss_takes_no_longer_than_hearing_does() {
    assert_eq!(median(150, 0, 0), 149 * 5 + 7);
}

#[tokio::test]
async fn losing_a_twentieth_each_way_costs_less_than_a_second() {
    let milliseconds = median(150, 50, 50);
    assert!(milliseconds < 149 * 5 + 1_000, "{milliseconds} ms");
}

#[tokio::test]
async fn losing_a_fifth_of_frames_and_a_sixth_of_acks_is_a_matter_of_seconds() {
    let milliseconds = median(150, 200, 160);
    assert!(milliseconds < 10_000, "{milliseconds} ms");
}
