//! How far each store has come with the journal, and from where on it must be kept.

use std::collections::VecDeque;

use crate::journal::{JournalEntry, StoreCursor};

/// What a store is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The system of record.
    Record,
    /// The store of events.
    Events,
}

/// How far the stores have come with the journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// The number of the first entry that is not durable.
    pub durable_before: u64,
    /// The stores configured, the system of record first: each with the lowest entry that it has not finished.
    pub stores: Vec<(String, u64)>,
    /// The same of stores of earlier runs that are not configured now.
    pub absent: Vec<(String, u64)>,
}

impl Progress {
    /// Entries in the journal that a store has not finished.
    #[must_use]
    pub fn backlog_of(&self, store: &str) -> Option<u64> {
        let all = || self.stores.iter().chain(&self.absent);
        let (_, next) = all().find(|(name, _)| name == store)?;
        Some(self.durable_before.saturating_sub(*next))
    }
}

/// A configured store's place in the journal.
#[derive(Debug)]
pub(super) struct StoreProgress {
    pub(super) name: &'static str,
    /// The lowest entry it has not finished.
    pub(super) next: u64,
    /// Identities accepted before that entry.
    pub(super) first_identity: u64,
}

impl StoreProgress {
    pub(super) fn cursor(&self) -> StoreCursor {
        StoreCursor { name: self.name.to_owned(), next: self.next, first_identity: self.first_identity }
    }
}

/// Entries between two checkpoints: little beside the entries of a segment.
const APART: u64 = 1_024;

/// Which entry brought which identity, about: enough to tell what the window still needs of the journal.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    /// Numbers of entries, each with the identities accepted before it; ascending in both.
    noted: VecDeque<(u64, u64)>,
}

impl Checkpoints {
    /// Takes note of an entry; they come in their order.
    pub(super) fn note(&mut self, entry: &JournalEntry) {
        if self.noted.back().is_none_or(|&(number, _)| entry.number >= number + APART) {
            self.noted.push_back((entry.number, entry.first_identity));
        }
    }

    /// An entry such that all identities from number `identity` on were accepted with it or after it. The highest number
    /// there is when nothing is noted.
    pub(super) fn kept_from(&self, identity: u64) -> u64 {
        let before = self.noted.partition_point(|&(_, first)| first <= identity);
        let at = self.noted.get(before.saturating_sub(1));
        at.map_or(u64::MAX, |&(number, _)| number)
    }

    /// Forgets what nobody will ask about.
    pub(super) fn forget_before(&mut self, identity: u64) {
        while self.noted.get(1).is_some_and(|&(_, first)| first <= identity) {
            self.noted.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::block::Block;
    use crate::domain::time::Timestamp;
    use crate::journal::EntryKind;

    #[test]
    fn what_is_kept_begins_at_or_before_the_entry_of_an_identity() {
        let mut checkpoints = Checkpoints::default();
        assert_eq!(checkpoints.kept_from(0), u64::MAX);
        for number in 1..=3 * APART {
            checkpoints.note(&JournalEntry {
                number,
                first_identity: 10 * (number - 1),
                accepted_at: Timestamp::default(),
                kind: EntryKind::Replay { store: "s".into(), accepted: true },
                block: Arc::new(Block::default()),
            });
        }
        assert_eq!(checkpoints.noted.len(), 3);
        assert_eq!(checkpoints.kept_from(0), 1);
        assert_eq!(checkpoints.kept_from(10 * APART - 1), 1);
        assert_eq!(checkpoints.kept_from(10 * APART), 1 + APART);
        checkpoints.forget_before(10 * APART);
        assert_eq!((checkpoints.noted.len(), checkpoints.kept_from(10 * APART)), (2, 1 + APART));
    }
}
