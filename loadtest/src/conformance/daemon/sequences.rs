//! Checks of a daemon: numbers, repeats, and frames of an earlier session.

use std::time::Instant;

use beacon_protocol::{Hello, RecordStatus, RefusalCode, TimeBase};

use super::super::bytes;
use super::super::check::{Outcome, Stop, broken, hold};
use super::super::message::Said;
use super::super::wire::Heard;
use super::player::Player;
use super::scene::{Scene, UNKNOWN_BEACON, sighting};

/// Repeats within a session, of every kind of frame; with AGES the base has moved on.
pub(super) fn a_repeat_gets_the_same_record(scene: &mut Scene) -> Outcome {
    let (mut player, _) = Player::open(scene)?;
    let aged =
        |age_us| bytes::sightings(3, TimeBase::Age(age_us), UNKNOWN_BEACON, &[sighting(b"conformance", 0)]);
    for (first, again) in [
        (scene.frame(1)?, None),
        (scene.durable(2, b"repeated")?, None),
        (aged(1_000)?, Some(aged(900_000)?)),
    ] {
        let record = player.ask(15, &first)?;
        let repeated = player.ask(15, again.as_ref().unwrap_or(&first))?;
        hold(15, record == repeated, || {
            format!("frame {} got {record:?}, and its repeat {repeated:?}", record.sequence)
        })?;
    }
    Ok(())
}

/// A gap, a number below the first, a number used again.
pub(super) fn numbers_that_skip_or_return(scene: &mut Scene) -> Outcome {
    let (mut player, welcome) = Player::open(scene)?;
    let beyond = if scene.over_udp { u64::from(welcome.window_frames) + 1 } else { 2 };
    player.send(&scene.frame(beyond)?)?;
    let gap = player.refused(46, RefusalCode::SequenceGap, "a skipped sequence")?;
    names(beyond, gap.sequence)?;

    let scene_of_five = scene.fresh();
    let mut player = Player::connect(&scene_of_five)?;
    player.greet(&Hello { first_unacked: 5, ..scene_of_five.hello() })?;
    player.ask(46, &scene.frame(5)?)?;
    player.send(&scene.frame(4)?)?;
    let below = player.refused(46, RefusalCode::SequenceGap, "a sequence below first_unacked")?;
    names(4, below.sequence)?;

    let (mut player, _) = Player::open(&scene.fresh())?;
    player.ask(46, &scene.frame(1)?)?;
    player.send(&scene.frame_of(1, "another")?)?;
    let reused = player.refused(46, RefusalCode::SequenceReused, "a sequence used for another frame")?;
    names(1, reused.sequence)
}

fn names(sent: u64, named: u64) -> Outcome {
    hold(46, sent == named, || format!("the refusal of frame {sent} names sequence {named}"))
}

/// What one session made durable, in the next ones.
pub(super) fn frames_of_an_earlier_session(scene: &mut Scene) -> Outcome {
    let frame = scene.durable(1, b"in a first session")?;
    let (mut first, _) = Player::open(scene)?;
    let record = first.ask(46, &frame)?;
    if record.status != RecordStatus::PreferencesAccepted {
        scene.leave_unsaid(46, format!("preferences were not accepted ({:?})", record.status));
        return Ok(());
    }
    drop(first);
    let again = |scene: &Scene| {
        let mut random = scene.client_random;
        random[31] ^= 1;
        let mut player = Player::connect(scene)?;
        player.greet(&Hello { client_random: random, ..scene.hello() })?;
        Ok::<_, Stop>(player)
    };
    let mut second = again(scene)?;
    let record = second.ask(46, &frame)?;
    match record.status {
        RecordStatus::Repeat => {}
        // It was decided again, as it may be when it is not on record any more.
        RecordStatus::PreferencesAccepted => return Ok(()),
        other => {
            return Err(broken(46, format!("a durable frame sent again got a record of status {other:?}")));
        }
    }
    let repeated = second.ask(15, &frame)?;
    hold(15, repeated == record, || format!("the repeat of a repeat got {repeated:?}, before {record:?}"))?;
    let mut third = again(scene)?;
    third.send(&scene.durable(1, b"something else")?)?;
    third.refused(46, RefusalCode::SequenceReused, "a durable frame's sequence for another frame").map(drop)
}

/// As many frames as the window lets a gateway send ahead, then all of them once more.
pub(super) fn a_window_of_frames(scene: &mut Scene) -> Outcome {
    let (mut player, welcome) = Player::open(scene)?;
    let window = u64::from(welcome.window_frames.min(256));
    let frames: Vec<_> = (1..=window).map(|sequence| scene.frame(sequence)).collect::<Result<_, _>>()?;
    for frame in &frames {
        player.send(frame)?;
    }
    let cumulative = all_records(&mut player, scene, &frames)?;
    hold(15, cumulative == window, || {
        format!("frames 1 to {window} have records, and the cumulative number is {cumulative}")
    })?;
    if !scene.over_udp {
        player.ask(45, &frames[frames.len() - 1])?;
        return player.ping(20).map(drop);
    }
    for frame in frames.iter().rev() {
        player.ask(45, frame)?;
    }
    // Older than the window: its record need not be kept, and it is not decided again.
    player.ask(45, &scene.frame(window + 1)?)?;
    player.send(&frames[0])?;
    match player.next(45, "an ack for a frame below the window")? {
        Said::Ack(_) => Ok(()),
        other => Err(broken(45, format!("a repeat from below the window got {}", other.in_words()))),
    }
}

/// Collects a record of each frame; over UDP what was lost on the way is sent again. The last cumulative number.
fn all_records(player: &mut Player, scene: &Scene, frames: &[Vec<u8>]) -> Result<u64, Stop> {
    let mut missing: Vec<u64> = (1..).take(frames.len()).collect();
    let (mut cumulative, mut again) = (0, 3);
    while !missing.is_empty() {
        let heard = if scene.over_udp && again > 0 {
            player.next_until(Instant::now() + scene.patience / 4)?
        } else {
            Heard::Bytes(player.next(15, &format!("records of {} frames", missing.len()))?)
        };
        match heard {
            Heard::Bytes(Said::Ack(ack)) => {
                cumulative = ack.cumulative.max(cumulative);
                missing.retain(|sequence| !ack.records.iter().any(|record| record.sequence == *sequence));
            }
            Heard::Bytes(Said::Refusal(refused)) => {
                let rule = if refused.code == RefusalCode::Busy && !scene.over_udp { 25 } else { 15 };
                return Err(super::player::unexpected(rule, &refused, "records were due"));
            }
            Heard::Silence => {
                again -= 1;
                for sequence in &missing {
                    let index = usize::try_from(*sequence - 1).unwrap_or(usize::MAX);
                    if let Some(frame) = frames.get(index) {
                        player.send(frame)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(cumulative)
}

/// Over UDP: the bitmap tells of what came beyond a gap.
pub(super) fn any_order_within_the_window(scene: &mut Scene) -> Outcome {
    let (mut player, welcome) = Player::open(scene)?;
    let window = u64::from(welcome.window_frames);
    let mut told = |sequence: u64, cumulative: u64, received: u64| {
        let frame = scene.frame(sequence)?;
        player.send(&frame)?;
        loop {
            let Said::Ack(ack) = player.next(46, "an ack")? else { continue };
            if ack.records.iter().any(|record| record.sequence == sequence) {
                return hold(15, (ack.cumulative, ack.received) == (cumulative, received), || {
                    format!(
                        "after frame {sequence} the ack says cumulative {}, received {:#b}; {cumulative}, {received:#b} is right",
                        ack.cumulative, ack.received
                    )
                });
            }
        }
    };
    if window < 4 {
        scene.leave_unsaid(46, format!("a window of {window} frames leaves no gaps to make"));
        return Ok(());
    }
    told(3, 0, 0b100)?;
    told(4, 0, 0b1100)?;
    told(1, 1, 0b110)?;
    told(2, 4, 0)
}

/// Over UDP: two datagrams at once, so that the second meets the first in progress.
pub(super) fn a_repeat_in_progress_is_acked_at_once(scene: &mut Scene) -> Outcome {
    let (mut player, _) = Player::open(scene)?;
    let mut in_progress = 0;
    for sequence in 1..=8 {
        let frame = scene.durable(sequence, b"sent twice")?;
        player.send(&frame)?;
        player.send(&frame)?;
        let mut acks = 0;
        while acks < 2 {
            match player.next_until(Instant::now() + scene.patience / 2)? {
                Heard::Bytes(Said::Ack(ack)) => {
                    acks += 1;
                    let here = ack.records.iter().any(|record| record.sequence == sequence);
                    let bit =
                        sequence.checked_sub(ack.cumulative + 1).map_or(1, |bit| ack.received >> bit & 1);
                    hold(63, here || bit == 1, || {
                        format!("an ack neither answers frame {sequence} nor tells that it arrived")
                    })?;
                    in_progress += u32::from(!here);
                }
                Heard::Bytes(_) => {}
                _ => {
                    return Err(broken(63, format!("frame {sequence} was sent twice, and {acks} acks came")));
                }
            }
        }
    }
    if in_progress == 0 {
        scene.leave_unsaid(63, "every record came before its repeat: nothing was in progress long enough");
    }
    Ok(())
}

/// Over UDP: the first ack of some frames, the quickest of them.
pub(super) fn acks_come_in_time(scene: &mut Scene) -> Outcome {
    let (mut player, _) = Player::open(scene)?;
    let mut quickest = scene.patience;
    for sequence in 1..=8 {
        let frame = scene.durable(sequence, b"timed")?;
        let sent_at = Instant::now();
        player.send(&frame)?;
        while !matches!(player.next(62, "an ack")?, Said::Ack(_)) {}
        quickest = quickest.min(sent_at.elapsed());
    }
    hold(62, quickest.as_millis() <= 150, || {
        format!("the quickest of eight acks came {quickest:?} after its frame, 100 ms are right")
    })
}
