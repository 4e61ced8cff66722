//! When a batch is full: by rows, by bytes, or by the age of its first block.

use std::time::{Duration, Instant};

use crate::ports::Block;

/// The bounds of a batch; the first one reached sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Rows in it.
    pub rows: usize,
    /// Bytes in it, in memory.
    pub bytes: usize,
    /// How long its first block may wait.
    pub age: Duration,
}

/// Blocks gathered for one write. Blocks are never split, so the last one may take it over its bounds: a frame
/// is accepted or undone as a whole.
#[derive(Debug)]
pub(super) struct Batch {
    limits: BatchLimits,
    blocks: Vec<Block>,
    rows: usize,
    places: usize,
    bytes: usize,
    due_at: Option<Instant>,
}

impl Batch {
    pub(super) const fn new(limits: BatchLimits) -> Self {
        Self { limits, blocks: Vec::new(), rows: 0, places: 0, bytes: 0, due_at: None }
    }

    /// Adds a block at `now`.
    pub(super) fn push(&mut self, block: Block, now: Instant) {
        self.rows += block.rows();
        self.places += block.places();
        self.bytes += block.bytes();
        self.due_at.get_or_insert(now + self.limits.age);
        self.blocks.push(block);
    }

    /// Whether it holds as much as it may.
    pub(super) const fn is_full(&self) -> bool {
        self.rows >= self.limits.rows || self.bytes >= self.limits.bytes
    }

    /// When its first block has waited long enough; `None` while it is empty.
    pub(super) const fn due_at(&self) -> Option<Instant> {
        self.due_at
    }

    /// The blocks, in the order they came.
    pub(super) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Rows in it.
    pub(super) const fn rows(&self) -> usize {
        self.rows
    }

    /// Places its blocks took in the queue.
    pub(super) const fn places(&self) -> usize {
        self.places
    }

    /// Empties it for the next one.
    pub(super) fn clear(&mut self) {
        self.blocks.clear();
        self.rows = 0;
        self.places = 0;
        self.bytes = 0;
        self.due_at = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::customer::CustomerId;
    use crate::domain::preference::PreferenceChange;
    use crate::domain::time::Timestamp;

    const LIMITS: BatchLimits = BatchLimits { rows: 3, bytes: 1_000_000, age: Duration::from_millis(5) };

    fn block(rows: usize, value_bytes: usize) -> Block {
        let change = PreferenceChange {
            customer_id: CustomerId::from_bytes(b"c").unwrap(),
            updated_at: Timestamp::default(),
            pairs: vec![("k".into(), "v".repeat(value_bytes))],
        };
        Block { preferences: vec![change; rows], ..Block::default() }
    }

    #[test]
    fn rows_and_bytes_fill_a_batch() {
        let now = Instant::now();
        let mut batch = Batch::new(LIMITS);
        batch.push(block(2, 0), now);
        assert!(!batch.is_full());
        batch.push(block(1, 0), now);
        assert!(batch.is_full());

        let mut batch = Batch::new(BatchLimits { bytes: 4_000, ..LIMITS });
        batch.push(block(1, 1_000), now);
        assert!(!batch.is_full());
        batch.push(block(1, 5_000), now);
        assert!(batch.is_full());
    }

    #[test]
    fn age_counts_from_the_first_block() {
        let now = Instant::now();
        let mut batch = Batch::new(LIMITS);
        assert_eq!(batch.due_at(), None);
        batch.push(block(1, 0), now);
        batch.push(block(1, 0), now + Duration::from_millis(4));
        assert_eq!(batch.due_at(), Some(now + Duration::from_millis(5)));
        batch.clear();
        assert_eq!((batch.due_at(), batch.rows(), batch.blocks().len()), (None, 0, 0));
    }
}
