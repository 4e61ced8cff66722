//! The window's entries in acceptance order: a ring of fixed chunks, which grows without copying and shrinks.

use std::collections::VecDeque;

use super::{CustomerKey, SPACING_US};
use crate::domain::time::Timestamp;

/// An accepted identity, as far as deciding about others needs it: 40 bytes.
///
/// The two fields every check reads come first and lie together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Entry {
    pub(super) customer: CustomerKey,
    pub(super) detected_at: Timestamp,
    pub(super) beacon_mark: u64,
    pub(super) accepted_at: Timestamp,
}

const _: () = assert!(size_of::<Entry>() == 40);

impl Entry {
    /// Whether a sighting of `customer` at `detected_at` is less than a minute from this identity.
    pub(super) fn conflicts(&self, customer: CustomerKey, detected_at: Timestamp) -> bool {
        let apart_us = self.detected_at.as_micros().abs_diff(detected_at.as_micros());
        self.customer == customer && apart_us < SPACING_US.unsigned_abs()
    }

    /// The whole minute this identity lies in. A customer has at most one in each.
    pub(super) fn minute(&self) -> i64 {
        super::minute_of(self.detected_at)
    }
}

/// Entries by position, in chunks of `CHUNK`.
///
/// Positions are contiguous, so an entry is found by division and no position is stored.
#[derive(Debug)]
pub(super) struct Ring<const CHUNK: usize> {
    /// All full but the last. Entries before `first` are still there until their chunk goes.
    chunks: VecDeque<Vec<Entry>>,
    /// One empty chunk, so that a ring that stands at a chunk's edge does not allocate at every step.
    spare: Option<Vec<Entry>>,
    /// Position of the first entry of the first chunk.
    base: u64,
    first: u64,
    next: u64,
}

impl<const CHUNK: usize> Ring<CHUNK> {
    /// An empty ring whose first entry will have this position.
    pub(super) fn starting_at(first: u64) -> Self {
        Self { chunks: VecDeque::new(), spare: None, base: first, first, next: first }
    }

    /// Position of the oldest entry kept; that of the next one if there is none.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// Position the next entry will have.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Entries kept.
    pub(super) fn len(&self) -> usize {
        index(self.next - self.first)
    }

    /// Adds the newest entry and answers its position.
    pub(super) fn push(&mut self, entry: Entry) -> u64 {
        if self.chunks.back().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push_back(self.spare.take().unwrap_or_else(|| Vec::with_capacity(CHUNK)));
        }
        if let Some(chunk) = self.chunks.back_mut() {
            chunk.push(entry);
        }
        let position = self.next;
        self.next += 1;
        position
    }

    /// The oldest entry.
    pub(super) fn front(&self) -> Option<&Entry> {
        (self.first < self.next).then(|| self.at(self.first))
    }

    /// Takes the oldest entry out.
    pub(super) fn pop_front(&mut self) -> Option<Entry> {
        let entry = *self.front()?;
        self.first += 1;
        if index(self.first - self.base) == CHUNK {
            let chunk = self.chunks.pop_front();
            self.keep_spare(chunk);
            self.base = self.first;
        }
        Some(entry)
    }

    /// Takes the newest entry out; its position is given to the next one pushed.
    pub(super) fn pop_back(&mut self) -> Option<Entry> {
        if self.first == self.next {
            return None;
        }
        let chunk = self.chunks.back_mut()?;
        let entry = chunk.pop()?;
        self.next -= 1;
        if chunk.is_empty() {
            let chunk = self.chunks.pop_back();
            self.keep_spare(chunk);
        }
        Some(entry)
    }

    /// The entry at a position that is kept.
    pub(super) fn at(&self, position: u64) -> &Entry {
        let offset = index(position - self.base);
        &self.chunks[offset / CHUNK][offset % CHUNK]
    }

    /// The position whose low 32 bits are `slot`. At most 2^32 entries are kept, so there is one.
    pub(super) fn position_of(&self, slot: u32) -> u64 {
        self.first + u64::from(slot.wrapping_sub(slot_of(self.first)))
    }

    /// The entry whose position has these low 32 bits.
    pub(super) fn at_slot(&self, slot: u32) -> &Entry {
        self.at(self.position_of(slot))
    }

    /// Bytes allocated.
    pub(super) fn memory_bytes(&self) -> usize {
        let chunks = self.chunks.len() + usize::from(self.spare.is_some());
        chunks * CHUNK * size_of::<Entry>() + self.chunks.capacity() * size_of::<Vec<Entry>>()
    }

    fn keep_spare(&mut self, chunk: Option<Vec<Entry>>) {
        if let (None, Some(mut chunk)) = (&self.spare, chunk) {
            chunk.clear();
            self.spare = Some(chunk);
        }
    }
}

/// The low 32 bits of a position: what the index stores.
#[expect(clippy::cast_possible_truncation, reason = "the low bits are what is wanted")]
pub(super) fn slot_of(position: u64) -> u32 {
    position as u32
}

/// A count of entries, which the limit on them keeps within 32 bits.
#[expect(clippy::cast_possible_truncation, reason = "at most 2^32 entries are kept")]
fn index(count: u64) -> usize {
    count as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::window::CustomerHasher;

    fn entry(number: u64) -> Entry {
        let at = Timestamp::from_micros(number.cast_signed());
        Entry {
            customer: CustomerHasher::new([0; 16]).key(&number.to_le_bytes()),
            detected_at: at,
            beacon_mark: 0,
            accepted_at: at,
        }
    }

    proptest! {
        /// A ring holds what a plain deque holds, at positions counted from where it started, also where
        /// the low 32 bits wrap; and it never has more than three chunks beyond what its entries need.
        #[test]
        fn a_ring_is_a_deque(steps in prop::collection::vec(0..10u8, 0..300)) {
            let start = u64::from(u32::MAX) - 20;
            let mut ring = Ring::<4>::starting_at(start);
            let (mut plain, mut first) = (VecDeque::new(), start);
            for (number, step) in (0u64..).zip(steps) {
                match step {
                    0..=4 => {
                        prop_assert_eq!(ring.push(entry(number)), first + plain.len() as u64);
                        plain.push_back(entry(number));
                    }
                    5..=7 => {
                        let gone = plain.pop_front();
                        prop_assert_eq!(ring.pop_front(), gone);
                        first += u64::from(gone.is_some());
                    }
                    _ => prop_assert_eq!(ring.pop_back(), plain.pop_back()),
                }
                prop_assert_eq!((ring.first(), ring.len()), (first, plain.len()));
                for (position, expected) in (first..).zip(&plain) {
                    prop_assert_eq!(ring.at(position), expected);
                    prop_assert_eq!(ring.position_of(slot_of(position)), position);
                }
                let needed = plain.len() * size_of::<Entry>();
                let idle = ring.memory_bytes() - needed;
                prop_assert!(idle <= 3 * 4 * size_of::<Entry>() + ring.chunks.capacity() * size_of::<Vec<Entry>>());
            }
        }
    }
}
