//! The outbox with time as an argument: window, resume, repeats, records that do not fit.

mod loss;

use super::*;
use crate::{
    AckEncoder, BeaconRef, Deframed, Exception, MAX_FRAME_BYTES, Message, OUTCOME_CODES, RecordStatus,
    ResultRecord, SightingRef, TimeBase, deframe, sequence_of,
};

fn frame() -> OutgoingFrame {
    let beacon = BeaconRef { uuid: [1; 16], major: 1, minor: 1 };
    let seen = SightingRef { beacon_index: 0, rssi_dbm: -60, time_offset_us: 0, customer_id: b"c" };
    OutgoingFrame::sightings(TimeBase::Utc(0), &[beacon], &[seen]).unwrap()
}

fn outbox_of(frames: u64, window: u32, now: Instant) -> Outbox {
    let mut outbox = Outbox::new();
    (0..frames).for_each(|tag| outbox.push(frame(), tag, 0, now));
    outbox.begin_session(window);
    outbox
}

fn send_all(outbox: &mut Outbox, now: Instant) -> Vec<u64> {
    let mut sent = Vec::new();
    while let Some(bytes) = outbox.next_unsent(now) {
        sent.push(sequence_of(bytes).unwrap());
        outbox.sent(now, true);
    }
    sent
}

fn repeats(outbox: &mut Outbox, now: Instant) -> Vec<u64> {
    let mut repeated = Vec::new();
    outbox.repeat_due(now, |bytes| {
        repeated.push(sequence_of(bytes).unwrap());
        true
    });
    repeated
}

fn identified(sequence: u64) -> ResultRecord<'static> {
    let mut counts = [0; OUTCOME_CODES];
    counts[10] = 1;
    ResultRecord { sequence, status: RecordStatus::Decided, dead_lettered: 0, counts, exceptions: &[] }
}

/// Hands over an ack as it would arrive; the sequences newly answered.
fn ack(
    outbox: &mut Outbox,
    cumulative: u64,
    received: u64,
    records: &[ResultRecord<'_>],
    now: Instant,
) -> Result<Vec<u64>, ClientError> {
    let mut buffer = vec![0; MAX_FRAME_BYTES];
    let mut encoder = AckEncoder::new(&mut buffer, cumulative, received).unwrap();
    records.iter().for_each(|record| encoder.push(record).unwrap());
    encoder.finish().unwrap();
    let Ok(Deframed::Frame { frame, .. }) = deframe(&buffer, MAX_FRAME_BYTES) else { panic!("no frame") };
    let Ok(Message::Ack(ack)) = Message::decode(frame) else { panic!("no ack") };
    let mut answered = Vec::new();
    for record in ack.records() {
        answered.extend(outbox.record(&record, true, now)?.map(|(answer, _)| answer.sequence));
    }
    outbox.progress(&ack, now);
    Ok(answered)
}

fn after(start: Instant, milliseconds: u64) -> Instant {
    start + Duration::from_millis(milliseconds)
}

#[tokio::test]
async fn nothing_is_sent_beyond_the_lowest_without_a_record_plus_the_window() {
    let now = Instant::now();
    let mut outbox = outbox_of(6, 3, now);
    assert_eq!(send_all(&mut outbox, now), [1, 2, 3]);
    assert_eq!(ack(&mut outbox, 0, 0b110, &[identified(2), identified(3)], now).unwrap(), [2, 3]);
    assert_eq!((send_all(&mut outbox, now), outbox.len(), outbox.unfinished()), (vec![], 6, 4));
    assert_eq!(ack(&mut outbox, 3, 0, &[identified(1)], now).unwrap(), [1]);
    assert_eq!((send_all(&mut outbox, now), outbox.len()), (vec![4, 5, 6], 3));
}

#[tokio::test]
async fn a_new_session_begins_at_the_lowest_without_any_record_and_has_no_gap() {
    let now = Instant::now();
    let mut outbox = outbox_of(4, 9, now);
    send_all(&mut outbox, now);
    ack(&mut outbox, 1, 0b10, &[identified(1), identified(3)], now).unwrap();
    assert_eq!(outbox.first_unacked(), 2);
    outbox.begin_session(9);
    assert_eq!(send_all(&mut outbox, now), [2, 3, 4]);
    // The second record of 3 is no news, but opens the window.
    let all = [identified(2), identified(3), identified(4)];
    assert_eq!(ack(&mut outbox, 4, 0, &all, now).unwrap(), [2, 4]);
    assert_eq!((outbox.len(), outbox.unfinished(), outbox.next_sequence()), (0, 0, 5));
}

#[tokio::test]
async fn frames_that_run_out_together_double_the_timeout_once_and_halve_what_is_in_flight() {
    let start = Instant::now();
    let mut outbox = outbox_of(20, 8, start);
    assert_eq!(send_all(&mut outbox, start).len(), 8);
    assert_eq!(repeats(&mut outbox, after(start, 999)), []);
    assert_eq!(repeats(&mut outbox, after(start, 1_000)).len(), 8);
    assert_eq!(outbox.next_due(), Some(after(start, 3_000)));
    let records: Vec<_> = (1..=5).map(identified).collect();
    ack(&mut outbox, 5, 0, &records, after(start, 1_100)).unwrap();
    // Four instead of eight, and one more for as many answers.
    assert_eq!(send_all(&mut outbox, after(start, 1_100)), [9, 10]);
}

#[tokio::test]
async fn frames_answered_before_a_lost_one_leave_room_for_others() {
    let start = Instant::now();
    let mut outbox = outbox_of(20, 8, start);
    send_all(&mut outbox, start);
    repeats(&mut outbox, after(start, 1_000));
    let records: Vec<_> = (2..=8).map(identified).collect();
    ack(&mut outbox, 0, 0xFE, &records, after(start, 1_100)).unwrap();
    // Five may be in flight, and only the first is; the window ends at 8 all the same.
    assert_eq!(send_all(&mut outbox, after(start, 1_100)), []);
    ack(&mut outbox, 8, 0, &[identified(1)], after(start, 1_200)).unwrap();
    assert_eq!(send_all(&mut outbox, after(start, 1_200)), [9, 10, 11, 12, 13]);
    let records: Vec<_> = (10..=13).map(identified).collect();
    ack(&mut outbox, 8, 0x1E, &records, after(start, 1_300)).unwrap();
    assert_eq!(send_all(&mut outbox, after(start, 1_300)), [14, 15, 16]);
}

#[tokio::test]
async fn frames_in_flight_together_that_run_out_one_by_one_are_one_loss() {
    let start = Instant::now();
    let mut outbox = outbox_of(0, 8, start);
    for sequence in 1..=8 {
        let now = after(start, sequence * 100);
        outbox.push(frame(), sequence, 0, now);
        assert_eq!(send_all(&mut outbox, now), [sequence]);
    }
    for sequence in 1..=8 {
        assert_eq!(repeats(&mut outbox, after(start, 1_000 + sequence * 100)), [sequence]);
    }
    assert_eq!((outbox.round_trip.timeout(), outbox.congestion), (Duration::from_secs(2), 4));
    // Run out once more, after the doubled timeout, is another loss.
    assert_eq!(repeats(&mut outbox, after(start, 3_100)), [1]);
    assert_eq!((outbox.round_trip.timeout(), outbox.congestion), (Duration::from_secs(4), 2));
}

#[tokio::test]
async fn a_sample_shortens_the_waits_begun_with_a_longer_timeout() {
    let start = Instant::now();
    let mut outbox = outbox_of(2, 16, start);
    send_all(&mut outbox, start);
    for milliseconds in [1_000, 3_000] {
        assert_eq!(repeats(&mut outbox, after(start, milliseconds)), [1, 2]);
    }
    ack(&mut outbox, 1, 0, &[], after(start, 3_010)).unwrap();
    assert_eq!(outbox.next_due(), Some(after(start, 7_000)));
    outbox.push(frame(), 3, 0, after(start, 3_020));
    assert_eq!(send_all(&mut outbox, after(start, 3_020)), [3]);
    ack(&mut outbox, 1, 0b10, &[identified(3)], after(start, 3_030)).unwrap();
    // 200 ms after its repeat the frame of which nothing was heard, 200 ms from now the one answered.
    assert_eq!(outbox.next_due(), Some(after(start, 3_200)));
    assert_eq!(repeats(&mut outbox, after(start, 3_200)), [2]);
    assert_eq!(repeats(&mut outbox, after(start, 3_230)), [1]);
}

#[tokio::test]
async fn a_received_frame_is_repeated_ever_more_slowly_and_an_answered_one_steadily() {
    let start = Instant::now();
    let mut outbox = outbox_of(2, 8, start);
    send_all(&mut outbox, start);
    ack(&mut outbox, 0, 0b10, &[], start).unwrap();
    ack(&mut outbox, 1, 0b01, &[], start).unwrap();
    let mut times = [vec![], vec![]];
    for milliseconds in 0..20_000 {
        for sequence in repeats(&mut outbox, after(start, milliseconds)) {
            times[usize::try_from(sequence).unwrap() - 1].push(milliseconds);
        }
    }
    assert_eq!(times[1], [2_000, 6_000, 14_000]);
    assert_eq!(times[0].len(), 99, "every 200 ms from 200 ms on");
}

#[tokio::test]
async fn a_busy_frame_waits_as_long_as_asked_and_that_is_no_expiry() {
    let start = Instant::now();
    let mut outbox = outbox_of(1, 8, start);
    send_all(&mut outbox, start);
    outbox.busy(1, Duration::from_secs(5), start);
    assert_eq!(repeats(&mut outbox, after(start, 4_999)), []);
    assert_eq!(repeats(&mut outbox, after(start, 5_000)), [1]);
    assert_eq!(outbox.next_due(), Some(after(start, 6_000)));
}

#[tokio::test]
async fn without_room_the_repeat_stays_due() {
    let start = Instant::now();
    let mut outbox = outbox_of(1, 8, start);
    send_all(&mut outbox, start);
    assert_eq!(outbox.repeat_due(after(start, 1_000), |_| false), 0);
    assert_eq!(repeats(&mut outbox, after(start, 1_001)), [1]);
}

#[tokio::test]
async fn a_record_that_contradicts_its_frame_is_an_error() {
    let now = Instant::now();
    let open = [Exception { index: 1, code: crate::OutcomeCode::Undecided, detail: 0 }];
    let none = ResultRecord { counts: [0; OUTCOME_CODES], ..identified(1) };
    let mut undecided = ResultRecord { exceptions: &open, ..none };
    undecided.counts[0] = 1;
    let wrong = [
        none,
        undecided,
        ResultRecord { status: RecordStatus::Repeat, ..identified(1) },
        ResultRecord { status: RecordStatus::PreferencesAccepted, ..none },
    ];
    for record in wrong {
        let mut outbox = outbox_of(1, 8, now);
        send_all(&mut outbox, now);
        let error = ack(&mut outbox, 1, 0, &[record], now).unwrap_err();
        assert!(matches!(error, ClientError::RecordMismatch { sequence: 1 }), "{record:?}: {error}");
    }
}
