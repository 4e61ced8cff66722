//! Frame records by example, and against a list that is searched from its end.

use proptest::prelude::*;

use super::*;

fn id(gateway: &str, boot_epoch: u64, sequence: u64, checksum: u32) -> FrameId {
    FrameId { gateway: gateway.parse().unwrap(), boot_epoch, sequence, checksum }
}

fn mark(id: FrameId, complete: bool) -> FrameMark {
    FrameMark { id, complete, level: AckLevel::Journal, answered_up_to: 0 }
}

#[test]
fn a_repeat_equals_the_record_in_every_field() {
    let mut records = FrameRecords::new(100);
    let first = id("g", 7, 1, 5);
    assert_eq!(records.standing(&first), Recorded::Unknown);
    records.record(&mark(first.clone(), true), 40);
    assert_eq!(records.standing(&first), Recorded::Same { number: 40, complete: true });
    assert_eq!(records.standing(&id("g", 7, 1, 6)), Recorded::Other);
    for stranger in [id("g", 7, 2, 5), id("g", 8, 1, 5), id("h", 7, 1, 5)] {
        assert_eq!(records.standing(&stranger), Recorded::Unknown);
    }
}

#[test]
fn a_frame_decided_anew_becomes_complete_and_stays_so() {
    let mut records = FrameRecords::new(100);
    let frame = id("g", 7, 1, 5);
    for (number, complete) in [(1, false), (2, false), (3, true), (4, false), (5, true)] {
        records.record(&mark(frame.clone(), complete), number);
        let expected = if number < 3 {
            Recorded::Same { number, complete }
        } else {
            Recorded::Same { number: 3, complete: true }
        };
        assert_eq!(records.standing(&frame), expected);
    }
}

#[test]
fn last_acked_counts_what_was_answered_at_least_at_the_level_asked() {
    let mut records = FrameRecords::new(100);
    let gateway: GatewayId = "g".parse().unwrap();
    let answered = |sequence, level, answered_up_to| FrameMark {
        level,
        answered_up_to,
        ..mark(id("g", 7, sequence, 0), true)
    };
    let read = |records: &FrameRecords| {
        [AckLevel::Journal, AckLevel::Stored].map(|level| records.last_acked(&gateway, 7, level))
    };
    assert_eq!(read(&records), [0, 0]);
    records.record(&answered(3, AckLevel::Stored, 2), 1);
    assert_eq!(read(&records), [2, 2]);
    records.record(&answered(9, AckLevel::Journal, 8), 2);
    assert_eq!(read(&records), [8, 2]);
    records.record(&answered(6, AckLevel::Stored, 5), 3);
    assert_eq!(read(&records), [8, 5]);
    assert_eq!(records.last_acked(&gateway, 6, AckLevel::Journal), 0, "another numbering");
}

#[test]
fn a_gateway_that_starts_anew_all_the_time_keeps_no_more_numberings_than_allowed() {
    let mut records = FrameRecords::new(400);
    for boot_epoch in 1..=10_000 {
        records.record(&mark(id("g", boot_epoch, 1, 0), true), boot_epoch);
    }
    assert_eq!(records.numberings_kept(), 100);
    assert_eq!(records.numberings.len(), 101);
    assert_eq!(records.frames.len(), 100);
    assert_eq!(records.order.len(), 100);
    assert_eq!(records.standing(&id("g", 9_900, 1, 0)), Recorded::Unknown);
    assert_ne!(records.standing(&id("g", 9_901, 1, 0)), Recorded::Unknown);
}

/// Every mark kept, in the order of first recording.
#[derive(Default)]
struct Naive {
    max_frames: usize,
    kept: Vec<(FrameId, u64, bool)>,
    answered: Vec<FrameMark>,
}

impl Naive {
    fn record(&mut self, mark: &FrameMark, number: u64) {
        let same_place = |known: &FrameId| {
            (&known.gateway, known.boot_epoch, known.sequence)
                == (&mark.id.gateway, mark.id.boot_epoch, mark.id.sequence)
        };
        match self.kept.iter_mut().find(|(known, ..)| same_place(known)) {
            Some((known, _, true)) if known.checksum == mark.id.checksum => {}
            Some(known) => *known = (mark.id.clone(), number, mark.complete),
            None => self.kept.push((mark.id.clone(), number, mark.complete)),
        }
        self.answered.push(mark.clone());
        while self.kept.len() > self.max_frames || self.numberings() > self.max_frames.div_ceil(4) {
            let (gone, ..) = self.kept.remove(0);
            let numbering = |id: &FrameId| (id.gateway.clone(), id.boot_epoch);
            if !self.kept.iter().any(|(id, ..)| numbering(id) == numbering(&gone)) {
                self.answered.retain(|mark| numbering(&mark.id) != numbering(&gone));
            }
        }
    }

    fn numberings(&self) -> usize {
        let mut numberings: Vec<_> = self.kept.iter().map(|(id, ..)| (&id.gateway, id.boot_epoch)).collect();
        numberings.sort_unstable();
        numberings.dedup();
        numberings.len()
    }

    fn standing(&self, id: &FrameId) -> Recorded {
        let same_place = |known: &FrameId| {
            known.gateway == id.gateway && known.boot_epoch == id.boot_epoch && known.sequence == id.sequence
        };
        match self.kept.iter().find(|(known, ..)| same_place(known)) {
            Some((known, number, complete)) if known.checksum == id.checksum => {
                Recorded::Same { number: *number, complete: *complete }
            }
            Some(_) => Recorded::Other,
            None => Recorded::Unknown,
        }
    }

    fn last_acked(&self, gateway: &GatewayId, boot_epoch: u64, level: AckLevel) -> u64 {
        let of_numbering = |mark: &&FrameMark| {
            mark.id.gateway == *gateway && mark.id.boot_epoch == boot_epoch && mark.level >= level
        };
        self.answered.iter().filter(of_numbering).map(|mark| mark.answered_up_to).max().unwrap_or(0)
    }
}

fn any_id() -> impl Strategy<Value = FrameId> {
    ("[ab]", 0u64..4, 1u64..6, 0u32..2)
        .prop_map(|(gateway, boot_epoch, sequence, checksum)| id(&gateway, boot_epoch, sequence, checksum))
}

fn any_mark() -> impl Strategy<Value = FrameMark> {
    let level = prop_oneof![Just(AckLevel::Journal), Just(AckLevel::Stored)];
    (any_id(), any::<bool>(), level, 0u64..9).prop_map(|(id, complete, level, answered_up_to)| FrameMark {
        id,
        complete,
        level,
        answered_up_to,
    })
}

proptest! {
    /// Invariant: after any recordings, every frame's standing and every numbering's last acked are the naive
    /// model's, and nothing is kept beyond the bounds.
    #[test]
    fn records_are_those_of_a_naive_list(
        max_frames in 1usize..24,
        marks in prop::collection::vec(any_mark(), 0..120),
        asked in prop::collection::vec(any_id(), 40),
    ) {
        let mut records = FrameRecords::new(max_frames);
        let mut naive = Naive { max_frames, ..Naive::default() };
        for (number, mark) in (1..).zip(&marks) {
            records.record(mark, number);
            naive.record(mark, number);
            prop_assert_eq!(records.standing(&mark.id), naive.standing(&mark.id));
            prop_assert!(records.frames.len() <= max_frames);
            prop_assert_eq!(records.order.len(), records.frames.len());
            prop_assert!(records.numberings.len() <= max_frames.div_ceil(FRAMES_A_NUMBERING) + 1);
        }
        for id in asked.iter().chain(marks.iter().map(|mark| &mark.id)) {
            prop_assert_eq!(records.standing(id), naive.standing(id));
            for level in [AckLevel::Journal, AckLevel::Stored] {
                let acked = records.last_acked(&id.gateway, id.boot_epoch, level);
                prop_assert_eq!(acked, naive.last_acked(&id.gateway, id.boot_epoch, level));
            }
        }
    }
}
