//! When a batch is full: by rows, by bytes, or by the age of its first entry.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::core::Finished;
use super::recent::Due;
use crate::domain::block::Block;
use crate::journal::DamagedRange;

/// The bounds of a batch; the first one reached sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Rows in it.
    pub rows: usize,
    /// Bytes in it, in memory.
    pub bytes: usize,
    /// How long its first entry may wait.
    pub age: Duration,
}

/// A row that the store refused, alone in a block.
#[derive(Debug)]
pub(super) struct RefusedRow {
    /// The number of the entry that it came in.
    pub(super) number: u64,
    pub(super) block: Arc<Block>,
}

/// Entries gathered for one write. Entries are never split, so the last one may take it over its bounds.
#[derive(Debug)]
pub(super) struct Batch {
    limits: BatchLimits,
    due: Vec<Due>,
    /// Of these, what the store is to write, with the entries' numbers.
    blocks: Vec<Arc<Block>>,
    numbers: Vec<u64>,
    rows: usize,
    bytes: usize,
    due_at: Option<Instant>,
    /// Identities that the journal has lost on the way.
    lost: u64,
    /// Identities accepted before the next entry.
    end_identity: u64,
    /// The numbers of the first entry, and of the next.
    begun: u64,
    next: u64,
}

impl Batch {
    /// An empty batch that begins with entry `next`, before which so many identities were accepted.
    pub(super) const fn new(limits: BatchLimits, next: u64, end_identity: u64) -> Self {
        Self {
            limits,
            due: Vec::new(),
            blocks: Vec::new(),
            numbers: Vec::new(),
            rows: 0,
            bytes: 0,
            due_at: None,
            lost: 0,
            end_identity,
            begun: next,
            next,
        }
    }

    /// The number of the entry to come next.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// Adds an entry at `now`; `write` tells whether the store is to write it.
    pub(super) fn push(&mut self, due: Due, write: bool, now: Instant) {
        self.due_at.get_or_insert(now + self.limits.age);
        if write {
            self.rows += due.entry.block.rows();
            self.bytes += due.entry.block.bytes();
            self.blocks.push(Arc::clone(&due.entry.block));
            self.numbers.push(due.entry.number);
        }
        self.next = due.entry.number + 1;
        self.end_identity = due.entry.end_identity();
        self.due.push(due);
    }

    /// Takes note of entries that the journal has lost.
    pub(super) fn lose(&mut self, range: &DamagedRange) {
        let from = range.first_identity.max(self.end_identity);
        self.lost += range.end_identity.saturating_sub(from);
        self.end_identity = self.end_identity.max(range.end_identity);
        self.next = self.next.max(range.end_number);
    }

    /// Goes on with a later entry: those before are finished, and no longer there.
    pub(super) const fn skip_to(&mut self, next: u64) {
        self.next = next;
    }

    /// Whether there is anything in it to finish.
    pub(super) const fn is_empty(&self) -> bool {
        self.next == self.begun
    }

    /// Whether it holds as much as it may.
    pub(super) const fn is_full(&self) -> bool {
        self.rows >= self.limits.rows || self.bytes >= self.limits.bytes || self.due.len() >= self.limits.rows
    }

    /// Rows and bytes that it may still take.
    pub(super) const fn room(&self) -> (usize, usize) {
        (self.limits.rows.saturating_sub(self.rows), self.limits.bytes.saturating_sub(self.bytes))
    }

    /// When its first entry has waited long enough; `None` while it is empty.
    pub(super) const fn due_at(&self) -> Option<Instant> {
        self.due_at
    }

    /// What the store is to write, in the order it came.
    pub(super) fn blocks(&self) -> &[Arc<Block>] {
        &self.blocks
    }

    /// The numbers of the entries that [`Self::blocks`] are of.
    pub(super) fn numbers(&self) -> &[u64] {
        &self.numbers
    }

    /// All entries, in the order they came.
    pub(super) fn entries(&self) -> &[Due] {
        &self.due
    }

    /// Rows to write.
    pub(super) const fn rows(&self) -> usize {
        self.rows
    }

    /// What the store has finished once it has written the batch but for the rows refused, which come in the order of
    /// their entries.
    pub(super) fn finish(&self, refused: &[RefusedRow], at: Instant) -> Finished {
        let mut dead_rows: Vec<(u64, u32)> = Vec::new();
        for row in refused {
            match dead_rows.last_mut() {
                Some((number, rows)) if *number == row.number => *rows += 1,
                _ => dead_rows.push((row.number, 1)),
            }
        }
        let count = |of: fn(&Block) -> usize| refused.iter().map(|row| of(&row.block) as u64).sum::<u64>();
        Finished {
            at,
            next: self.next,
            end_identity: self.end_identity,
            identities: self.blocks.iter().map(|block| block.identities.len() as u64).sum(),
            dead_identities: count(|block| block.identities.len()),
            dead_preferences: count(|block| block.preferences.len()),
            lost: self.lost,
            dead_rows,
        }
    }

    /// What was written, without the rows refused.
    pub(super) fn written(&self, refused: &[RefusedRow]) -> Vec<Arc<Block>> {
        let of_entry = |number: u64| refused.iter().filter(move |row| row.number == number);
        let blocks = self.blocks.iter().zip(&self.numbers);
        blocks
            .map(|(block, &number)| match of_entry(number).next() {
                None => Arc::clone(block),
                Some(_) => Arc::new(without(block, of_entry(number))),
            })
            .collect()
    }

    /// Empties it for the next one.
    pub(super) fn clear(&mut self) {
        self.due.clear();
        self.blocks.clear();
        self.numbers.clear();
        (self.rows, self.bytes, self.lost) = (0, 0, 0);
        self.due_at = None;
        self.begun = self.next;
    }
}

/// A block but for these rows of it.
fn without<'r>(block: &Block, refused: impl Iterator<Item = &'r RefusedRow>) -> Block {
    let mut left = block.clone();
    for row in refused {
        left.identities.retain(|identity| !row.block.identities.contains(identity));
        left.preferences.retain(|change| !row.block.preferences.contains(change));
    }
    left
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::domain::customer::CustomerId;
    use crate::domain::preference::PreferenceChange;
    use crate::domain::time::Timestamp;
    use crate::journal::{EntryKind, JournalEntry};

    const LIMITS: BatchLimits = BatchLimits { rows: 3, bytes: 1_000_000, age: Duration::from_millis(5) };

    fn due(number: u64, rows: usize, value_bytes: usize) -> Due {
        let change = PreferenceChange {
            customer_id: CustomerId::from_bytes(b"c").unwrap(),
            updated_at: Timestamp::default(),
            pairs: vec![("k".into(), "v".repeat(value_bytes))],
        };
        let entry = JournalEntry {
            number,
            first_identity: 10,
            accepted_at: Timestamp::default(),
            kind: EntryKind::Replay { store: "s".into(), accepted: false },
            block: Arc::new(Block { preferences: vec![change; rows], ..Block::default() }),
        };
        Due { entry: Arc::new(entry), times: None }
    }

    #[test]
    fn rows_and_bytes_fill_a_batch() {
        let now = Instant::now();
        let mut batch = Batch::new(LIMITS, 1, 0);
        batch.push(due(1, 2, 0), true, now);
        batch.push(due(2, 1, 0), false, now);
        assert!(!batch.is_full(), "what is not written does not count");
        batch.push(due(3, 1, 0), true, now);
        assert!(batch.is_full());

        let mut batch = Batch::new(BatchLimits { bytes: 4_000, ..LIMITS }, 1, 0);
        batch.push(due(1, 1, 1_000), true, now);
        assert!(!batch.is_full());
        batch.push(due(2, 1, 5_000), true, now);
        assert!(batch.is_full());
    }

    #[test]
    fn age_counts_from_the_first_entry() {
        let now = Instant::now();
        let mut batch = Batch::new(LIMITS, 1, 0);
        assert_eq!(batch.due_at(), None);
        batch.push(due(1, 1, 0), true, now);
        batch.push(due(2, 1, 0), true, now + Duration::from_millis(4));
        assert_eq!(batch.due_at(), Some(now + Duration::from_millis(5)));
        batch.clear();
        assert_eq!((batch.due_at(), batch.rows(), batch.blocks().len(), batch.next()), (None, 0, 0, 3));
    }

    #[test]
    fn rows_refused_are_told_by_entry_and_left_out_of_what_was_written() {
        let mut batch = Batch::new(LIMITS, 7, 10);
        for number in 7..10 {
            batch.push(due(number, 1, 0), true, Instant::now());
        }
        let refused = [RefusedRow { number: 8, block: Arc::clone(&due(8, 1, 0).entry.block) }];
        let finished = batch.finish(&refused, Instant::now());
        assert_eq!(finished.dead_rows, [(8, 1)]);
        assert_eq!((finished.next, finished.identities, finished.dead_identities), (10, 0, 0));
        assert_eq!(finished.dead_preferences, 1);
        assert_eq!(batch.written(&refused).iter().map(|block| block.rows()).collect::<Vec<_>>(), [1, 0, 1]);
    }

    #[test]
    fn what_the_journal_has_lost_is_counted_from_where_the_store_has_come() {
        let mut batch = Batch::new(LIMITS, 5, 100);
        let range = DamagedRange {
            segment: PathBuf::new(),
            from_byte: 0,
            to_byte: 1,
            first_number: 3,
            end_number: 9,
            first_identity: 90,
            end_identity: 130,
        };
        batch.lose(&range);
        let finished = batch.finish(&[], Instant::now());
        assert_eq!((finished.lost, finished.next, finished.end_identity), (30, 9, 130));
        assert!(!batch.is_empty());
    }
}
