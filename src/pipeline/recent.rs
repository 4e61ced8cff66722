//! The newest durable entries, for stores that keep up: those that do not read the journal's files.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::journal::JournalEntry;

/// An entry on its way to a store.
#[derive(Debug, Clone)]
pub(super) struct Due {
    pub(super) entry: Arc<JournalEntry>,
    /// When its frame was received and when it was durable; not known of what was read from the files.
    pub(super) times: Option<DueTimes>,
}

/// What a store's stages are measured from.
#[derive(Debug, Clone, Copy)]
pub(super) struct DueTimes {
    pub(super) received_at: Instant,
    pub(super) journaled_at: Instant,
}

/// What there is for a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Something was taken.
    Taken,
    /// It lies further back than what is held here.
    Behind,
    /// Nothing came in time.
    Nothing,
    /// Nothing more will come.
    Ended,
}

/// A bounded ring of entries, the newest last.
#[derive(Debug)]
pub(super) struct Recent {
    held: Mutex<Held>,
    came: Condvar,
    max_rows: usize,
    max_bytes: usize,
}

#[derive(Debug)]
struct Held {
    entries: VecDeque<Due>,
    /// The number of the next entry to come.
    next: u64,
    rows: usize,
    bytes: usize,
    ended: bool,
}

impl Recent {
    /// An empty ring; `next` is the number of the first entry to come.
    pub(super) const fn new(next: u64, max_rows: usize, max_bytes: usize) -> Self {
        let held = Held { entries: VecDeque::new(), next, rows: 0, bytes: 0, ended: false };
        Self { held: Mutex::new(held), came: Condvar::new(), max_rows, max_bytes }
    }

    /// Adds durable entries, in their order, and lets go of the oldest past the bounds, and of all before `unneeded`.
    pub(super) fn push(&self, entries: impl Iterator<Item = Due>, unneeded: u64) {
        let mut held = self.held();
        for due in entries {
            held.next = due.entry.number + 1;
            held.rows += due.entry.block.rows();
            held.bytes += due.entry.block.bytes();
            held.entries.push_back(due);
        }
        while let Some(oldest) = held.entries.front() {
            let over = held.rows > self.max_rows || held.bytes > self.max_bytes;
            if !over && oldest.entry.number >= unneeded {
                break;
            }
            let (rows, bytes) = (oldest.entry.block.rows(), oldest.entry.block.bytes());
            held.rows -= rows;
            held.bytes -= bytes;
            held.entries.pop_front();
        }
        drop(held);
        self.came.notify_all();
    }

    /// Nothing more will come.
    pub(super) fn end(&self) {
        self.held().ended = true;
        self.came.notify_all();
    }

    /// Gives the entries from number `from` on to `take`, until that says that it has enough. Waits until `deadline` for the
    /// first.
    pub(super) fn take(&self, from: u64, deadline: Instant, mut take: impl FnMut(&Due) -> bool) -> Found {
        let mut held = self.held();
        while held.next <= from {
            let now = Instant::now();
            if held.ended {
                return Found::Ended;
            }
            if now >= deadline {
                return Found::Nothing;
            }
            held = self.came.wait_timeout(held, deadline - now).unwrap_or_else(PoisonError::into_inner).0;
        }
        let Some(first) = held.entries.front().map(|due| due.entry.number) else { return Found::Behind };
        if from < first {
            return Found::Behind;
        }
        // Not by subtraction: what was torn in an earlier run's last group leaves numbers that no entry has.
        let at = held.entries.partition_point(|due| due.entry.number < from);
        for due in held.entries.range(at..) {
            if !take(due) {
                break;
            }
        }
        Found::Taken
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::block::Block;
    use crate::domain::customer::CustomerId;
    use crate::domain::preference::PreferenceChange;
    use crate::domain::time::Timestamp;
    use crate::journal::EntryKind;

    fn due(number: u64) -> Due {
        let change = PreferenceChange {
            customer_id: CustomerId::from_bytes(b"c").unwrap(),
            updated_at: Timestamp::default(),
            pairs: Vec::new(),
        };
        let entry = JournalEntry {
            number,
            first_identity: 0,
            accepted_at: Timestamp::default(),
            kind: EntryKind::Replay { store: "s".into(), accepted: false },
            block: Arc::new(Block { preferences: vec![change], ..Block::default() }),
        };
        Due { entry: Arc::new(entry), times: None }
    }

    fn take(recent: &Recent, from: u64) -> (Found, Vec<u64>) {
        let mut taken = Vec::new();
        let found = recent.take(from, Instant::now(), |due| {
            taken.push(due.entry.number);
            taken.len() < 2
        });
        (found, taken)
    }

    #[test]
    fn numbers_that_no_entry_has_are_passed_over() {
        let recent = Recent::new(5, 100, usize::MAX);
        recent.push([5, 7, 8, 9, 10].map(due).into_iter(), 0);
        assert_eq!(take(&recent, 6), (Found::Taken, vec![7, 8]));
        assert_eq!(take(&recent, 9), (Found::Taken, vec![9, 10]));
    }

    #[test]
    fn the_newest_are_held_and_who_lags_is_told() {
        let recent = Recent::new(5, 3, usize::MAX);
        assert_eq!(take(&recent, 5), (Found::Nothing, vec![]));
        assert_eq!(take(&recent, 4), (Found::Behind, vec![]));
        recent.push((5..10).map(due), 0);
        assert_eq!(take(&recent, 6), (Found::Behind, vec![]));
        assert_eq!(take(&recent, 7), (Found::Taken, vec![7, 8]));
        assert_eq!(take(&recent, 9), (Found::Taken, vec![9]));
        assert_eq!(take(&recent, 10), (Found::Nothing, vec![]));
        recent.push(std::iter::empty(), 10);
        assert_eq!(take(&recent, 9), (Found::Behind, vec![]));
        recent.end();
        assert_eq!(take(&recent, 10), (Found::Ended, vec![]));
    }
}
