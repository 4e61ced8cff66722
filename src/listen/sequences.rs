//! Which frames of a session came, which were answered, and what a repeat is told (SPEC.md, section 8).

use std::collections::VecDeque;

use crate::pipeline::FrameStanding;

/// Bytes of records that a TCP session keeps: all of a window's, unless nearly every sighting is an exception.
const TCP_KEPT_BYTES: usize = 65_536;

/// How frames may arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// One after the other (TCP).
    Contiguous,
    /// In any order within the window (UDP).
    Any,
}

/// What to do with a sequenced frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Decide it.
    New,
    /// New to this session, and durable since an earlier one.
    Durable,
    /// A repeat of a frame that is being decided or waits for durability.
    InProgress,
    /// A repeat of an answered frame: its record, as it was sent.
    Answered(Box<[u8]>),
    /// A repeat of a frame so old that a conforming gateway has its record.
    Forgotten,
    /// The same sequence with another identity checksum.
    Reused,
    /// A sequence that may not come now.
    Gap,
}

/// The sequences of one session.
#[derive(Debug)]
pub(super) struct Sequences {
    order: Order,
    first_unacked: u64,
    window_frames: u64,
    /// Everything up to it, from `first_unacked` on, was answered.
    cumulative: u64,
    highest: u64,
    /// Sequence of the first slot.
    base: u64,
    slots: VecDeque<Slot>,
    /// Bytes of the records kept.
    kept_bytes: usize,
}

#[derive(Debug)]
enum Slot {
    Missing,
    InProgress { checksum: u32 },
    Answered { checksum: u32, record: Box<[u8]> },
}

impl Sequences {
    /// A session whose hello said `first_unacked` (at least 1).
    pub(super) const fn new(order: Order, first_unacked: u64, window_frames: u32) -> Self {
        let before_first = first_unacked.saturating_sub(1);
        Self {
            order,
            first_unacked,
            window_frames: window_frames as u64,
            cumulative: before_first,
            highest: before_first,
            base: first_unacked,
            slots: VecDeque::new(),
            kept_bytes: 0,
        }
    }

    /// Takes note of a frame; one that is [`Arrival::New`] or [`Arrival::Durable`] is in progress from now on.
    /// `standing` is asked about a frame that is new to this session.
    pub(super) fn arrive(
        &mut self,
        sequence: u64,
        checksum: u32,
        standing: impl FnOnce() -> FrameStanding,
    ) -> Arrival {
        if sequence < self.first_unacked || sequence > self.latest_allowed() {
            return Arrival::Gap;
        }
        let Some(index) = sequence.checked_sub(self.base) else {
            return Arrival::Forgotten;
        };
        // Bounded: a slot lies at most two windows from the first.
        let Ok(index) = usize::try_from(index) else {
            return Arrival::Gap;
        };
        while self.slots.len() <= index {
            self.slots.push_back(Slot::Missing);
        }
        let slot = &mut self.slots[index];
        let known = match slot {
            Slot::Missing => {
                let arrival = match standing() {
                    FrameStanding::New => Arrival::New,
                    FrameStanding::Durable => Arrival::Durable,
                    FrameStanding::Reused => return Arrival::Reused,
                };
                *slot = Slot::InProgress { checksum };
                self.highest = self.highest.max(sequence);
                return arrival;
            }
            Slot::InProgress { checksum } | Slot::Answered { checksum, .. } => *checksum,
        };
        match slot {
            _ if known != checksum => Arrival::Reused,
            Slot::Answered { record, .. } => Arrival::Answered(record.clone()),
            Slot::Missing | Slot::InProgress { .. } => Arrival::InProgress,
        }
    }

    /// Keeps the record of a frame in progress, and forgets records that need not be kept.
    pub(super) fn answered(&mut self, sequence: u64, record: Box<[u8]>) {
        if let Some(slot) = self.slot_mut(sequence)
            && let Slot::InProgress { checksum } = *slot
        {
            let record_bytes = record.len();
            *slot = Slot::Answered { checksum, record };
            self.kept_bytes += record_bytes;
        }
        while let Some(next) = self.cumulative.checked_add(1)
            && matches!(self.slot_mut(next), Some(Slot::Answered { .. }))
        {
            self.cumulative = next;
        }
        // Records of the last window's worth of sequences, counted from the highest received, are kept.
        // Over TCP, where no repeat is needed, only as many as fit their bytes.
        while self.base <= self.cumulative && self.base < self.highest && self.keeps_too_much() {
            if let Some(Slot::Answered { record, .. }) = self.slots.pop_front() {
                self.kept_bytes = self.kept_bytes.saturating_sub(record.len());
            }
            self.base += 1;
        }
    }

    /// Every frame from `first_unacked` to it was answered.
    pub(super) const fn cumulative(&self) -> u64 {
        self.cumulative
    }

    /// Bit i: frame `cumulative + 1 + i` was received. Zero over TCP.
    pub(super) fn received_bitmap(&mut self) -> u64 {
        if self.order == Order::Contiguous {
            return 0;
        }
        (0..64u64)
            .filter(|bit| {
                let slot = self.cumulative.checked_add(1 + bit).and_then(|sequence| self.slot_mut(sequence));
                matches!(slot, Some(Slot::InProgress { .. } | Slot::Answered { .. }))
            })
            .fold(0, |bitmap, bit| bitmap | 1 << bit)
    }

    const fn keeps_too_much(&self) -> bool {
        self.highest.saturating_sub(self.base) >= self.window_frames
            || matches!(self.order, Order::Contiguous) && self.kept_bytes > TCP_KEPT_BYTES
    }

    const fn latest_allowed(&self) -> u64 {
        match self.order {
            Order::Contiguous => self.highest.saturating_add(1),
            Order::Any => self.cumulative.saturating_add(self.window_frames),
        }
    }

    fn slot_mut(&mut self, sequence: u64) -> Option<&mut Slot> {
        let index = usize::try_from(sequence.checked_sub(self.base)?).ok()?;
        self.slots.get_mut(index)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(sequence: u64) -> Box<[u8]> {
        sequence.to_be_bytes().into()
    }

    /// The arrival of a frame that no earlier session had.
    fn arrive(sequences: &mut Sequences, sequence: u64, checksum: u32) -> Arrival {
        sequences.arrive(sequence, checksum, || FrameStanding::New)
    }

    #[test]
    fn tcp_takes_the_next_and_nothing_beyond() {
        let mut sequences = Sequences::new(Order::Contiguous, 5, 4);
        assert_eq!(arrive(&mut sequences, 4, 0), Arrival::Gap, "below the hello's first");
        assert_eq!(arrive(&mut sequences, 6, 0), Arrival::Gap, "skips one");
        assert_eq!(arrive(&mut sequences, 5, 7), Arrival::New);
        assert_eq!(arrive(&mut sequences, 5, 7), Arrival::InProgress);
        assert_eq!(arrive(&mut sequences, 5, 8), Arrival::Reused);
        assert_eq!(arrive(&mut sequences, 6, 7), Arrival::New);
        assert_eq!(sequences.received_bitmap(), 0);
    }

    #[test]
    fn udp_takes_any_order_within_the_window() {
        let mut sequences = Sequences::new(Order::Any, 1, 4);
        assert_eq!(arrive(&mut sequences, 5, 0), Arrival::Gap);
        assert_eq!(arrive(&mut sequences, 4, 0), Arrival::New);
        assert_eq!(arrive(&mut sequences, 2, 0), Arrival::New);
        assert_eq!(sequences.received_bitmap(), 0b1010);
        sequences.answered(4, record(4));
        assert_eq!(sequences.cumulative(), 0, "1 and 3 are missing");
        assert_eq!(arrive(&mut sequences, 4, 0), Arrival::Answered(record(4)));
        assert_eq!(arrive(&mut sequences, 1, 0), Arrival::New);
        sequences.answered(1, record(1));
        sequences.answered(2, record(2));
        assert_eq!(sequences.cumulative(), 2);
        assert_eq!(arrive(&mut sequences, 6, 0), Arrival::New);
    }

    #[test]
    fn a_frame_of_an_earlier_session_is_asked_about_once_and_answered_like_any_other() {
        let mut sequences = Sequences::new(Order::Any, 1, 4);
        assert_eq!(sequences.arrive(1, 7, || FrameStanding::Durable), Arrival::Durable);
        let not_asked = || unreachable!("it is known in this session");
        assert_eq!(sequences.arrive(1, 7, not_asked), Arrival::InProgress);
        sequences.answered(1, record(1));
        assert_eq!(sequences.cumulative(), 1);
        assert_eq!(sequences.arrive(1, 7, not_asked), Arrival::Answered(record(1)));
        assert_eq!(sequences.arrive(1, 8, not_asked), Arrival::Reused);
    }

    #[test]
    fn a_frame_refused_for_what_an_earlier_session_had_leaves_no_trace() {
        for order in [Order::Contiguous, Order::Any] {
            let mut sequences = Sequences::new(order, 1, 4);
            assert_eq!(sequences.arrive(1, 8, || FrameStanding::Reused), Arrival::Reused);
            assert_eq!(sequences.received_bitmap(), 0);
            assert_eq!(sequences.arrive(1, 7, || FrameStanding::Durable), Arrival::Durable);
        }
    }

    #[test]
    fn records_of_the_last_window_are_kept_and_older_ones_forgotten() {
        let mut sequences = Sequences::new(Order::Any, 1, 4);
        for sequence in 1..=20 {
            assert_eq!(arrive(&mut sequences, sequence, 0), Arrival::New);
            sequences.answered(sequence, record(sequence));
        }
        for sequence in 17..=20 {
            assert_eq!(arrive(&mut sequences, sequence, 0), Arrival::Answered(record(sequence)));
        }
        assert_eq!(arrive(&mut sequences, 16, 0), Arrival::Forgotten);
        assert_eq!(sequences.slots.len(), 4);
    }

    #[test]
    fn large_records_over_tcp_are_kept_by_their_bytes() {
        let mut sequences = Sequences::new(Order::Contiguous, 1, 128);
        for sequence in 1..=128 {
            assert_eq!(arrive(&mut sequences, sequence, 0), Arrival::New);
            sequences.answered(sequence, vec![0; 16_000].into());
        }
        assert_eq!(sequences.slots.len(), 4);
        assert_eq!(arrive(&mut sequences, 128, 0), Arrival::Answered(vec![0; 16_000].into()));
        assert_eq!(arrive(&mut sequences, 124, 0), Arrival::Forgotten);
    }

    #[test]
    fn sequences_at_the_end_of_their_range_do_no_harm() {
        let mut sequences = Sequences::new(Order::Any, u64::MAX, 64);
        assert_eq!(arrive(&mut sequences, u64::MAX, 0), Arrival::New);
        sequences.answered(u64::MAX, record(0));
        assert_eq!(sequences.cumulative(), u64::MAX);
        assert_eq!(sequences.received_bitmap(), 0);
        assert_eq!(arrive(&mut sequences, u64::MAX, 0), Arrival::Answered(record(0)));
    }

    proptest! {
        /// Invariant: memory stays within two windows, a frame is new once, and its record comes back for as long
        /// as the gateway may need it.
        #[test]
        fn any_traffic_keeps_its_bounds(traffic in prop::collection::vec((0u64..40, any::<bool>()), 0..300)) {
            let mut sequences = Sequences::new(Order::Any, 1, 8);
            let mut seen = std::collections::HashSet::new();
            let mut open = Vec::new();
            for (offset, answer) in traffic {
                if answer && let Some(sequence) = open.pop() {
                    sequences.answered(sequence, record(sequence));
                }
                let sequence = sequences.cumulative() + offset;
                match arrive(&mut sequences, sequence, 0) {
                    Arrival::New => {
                        prop_assert!(seen.insert(sequence));
                        prop_assert!(sequence <= sequences.cumulative() + 8);
                        open.push(sequence);
                    }
                    Arrival::InProgress => prop_assert!(open.contains(&sequence)),
                    Arrival::Answered(kept) => prop_assert_eq!(kept, record(sequence)),
                    Arrival::Forgotten => prop_assert!(sequence + 8 <= *seen.iter().max().unwrap()),
                    Arrival::Gap => prop_assert!(sequence < 1 || offset > 8),
                    Arrival::Reused | Arrival::Durable => prop_assert!(false),
                }
                prop_assert!(sequences.slots.len() <= 16);
            }
        }
    }
}
