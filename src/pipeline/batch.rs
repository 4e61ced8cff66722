//! When a batch is full: by rows, by bytes, or by the age of its first block.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::core::{Finished, QueuedBlock};
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

/// A row that the store refused, alone in a block.
#[derive(Debug)]
pub(super) struct RefusedRow {
    /// The number of the block that it came in.
    pub(super) number: u64,
    pub(super) block: Arc<Block>,
}

/// Blocks gathered for one write. Blocks are never split, so the last one may take it over its bounds.
#[derive(Debug)]
pub(super) struct Batch {
    limits: BatchLimits,
    queued: Vec<QueuedBlock>,
    /// Of these, what the store is to write.
    blocks: Vec<Arc<Block>>,
    rows: usize,
    bytes: usize,
    due_at: Option<Instant>,
}

impl Batch {
    pub(super) const fn new(limits: BatchLimits) -> Self {
        Self { limits, queued: Vec::new(), blocks: Vec::new(), rows: 0, bytes: 0, due_at: None }
    }

    /// Adds a block at `now`; `write` tells whether the store is to write it.
    pub(super) fn push(&mut self, queued: QueuedBlock, write: bool, now: Instant) {
        self.due_at.get_or_insert(now + self.limits.age);
        if write {
            self.rows += queued.block.rows();
            self.bytes += queued.block.bytes();
            self.blocks.push(Arc::clone(&queued.block));
        }
        self.queued.push(queued);
    }

    /// Whether it holds as much as it may.
    pub(super) const fn is_full(&self) -> bool {
        self.rows >= self.limits.rows
            || self.bytes >= self.limits.bytes
            || self.queued.len() >= self.limits.rows
    }

    /// When its first block has waited long enough; `None` while it is empty.
    pub(super) const fn due_at(&self) -> Option<Instant> {
        self.due_at
    }

    /// What the store is to write, in the order it came.
    pub(super) fn blocks(&self) -> &[Arc<Block>] {
        &self.blocks
    }

    /// All blocks, in the order they came.
    pub(super) fn queued(&self) -> &[QueuedBlock] {
        &self.queued
    }

    /// Rows to write.
    pub(super) const fn rows(&self) -> usize {
        self.rows
    }

    /// What the store has finished once it has written the batch but for the rows refused, which come in the order of
    /// their blocks. Leaves those rows out of the blocks: the next store does not get them.
    pub(super) fn finish(&mut self, refused: &[RefusedRow], at: Instant) -> Finished {
        let mut finished = Finished {
            at,
            number: 0,
            position: None,
            identities: 0,
            dead_identities: 0,
            places: 0,
            dead_rows: Vec::new(),
        };
        let mut rest = refused;
        for queued in &mut self.queued {
            finished.number = queued.number;
            finished.position = queued.last_position.or(finished.position);
            finished.identities += queued.new_identities();
            finished.places += queued.places;
            let (of_block, after) = rest.split_at(rest.partition_point(|row| row.number <= queued.number));
            rest = after;
            if !of_block.is_empty() {
                if !queued.recorded {
                    finished.dead_identities +=
                        of_block.iter().map(|row| row.block.identities.len() as u64).sum::<u64>();
                }
                queued.dead_lettered += u32::try_from(of_block.len()).unwrap_or(u32::MAX);
                queued.block = Arc::new(without(&queued.block, of_block));
            }
            if queued.dead_lettered > 0 {
                finished.dead_rows.push((queued.number, queued.dead_lettered));
            }
        }
        if !refused.is_empty() {
            // Whoever hears of what is stored hears of no refused row.
            let written = self.queued.iter().filter(|queued| !queued.recorded);
            self.blocks = written.map(|queued| Arc::clone(&queued.block)).collect();
        }
        finished
    }

    /// Empties it for the next one.
    pub(super) fn take(&mut self) -> Vec<QueuedBlock> {
        self.blocks.clear();
        self.rows = 0;
        self.bytes = 0;
        self.due_at = None;
        std::mem::take(&mut self.queued)
    }
}

/// A block but for these rows of it.
fn without(block: &Block, refused: &[RefusedRow]) -> Block {
    let mut left = block.clone();
    for row in refused {
        left.identities.retain(|identity| !row.block.identities.contains(identity));
        left.preferences.retain(|change| !row.block.preferences.contains(change));
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::customer::CustomerId;
    use crate::domain::preference::PreferenceChange;
    use crate::domain::time::Timestamp;

    const LIMITS: BatchLimits = BatchLimits { rows: 3, bytes: 1_000_000, age: Duration::from_millis(5) };

    fn block(rows: usize, value_bytes: usize) -> QueuedBlock {
        let change = PreferenceChange {
            customer_id: CustomerId::from_bytes(b"c").unwrap(),
            updated_at: Timestamp::default(),
            pairs: vec![("k".into(), "v".repeat(value_bytes))],
        };
        QueuedBlock {
            number: 1,
            last_position: None,
            block: Arc::new(Block { preferences: vec![change; rows], ..Block::default() }),
            places: rows,
            recorded: false,
            received_at: Instant::now(),
            handed_on_at: Instant::now(),
            dead_lettered: 0,
        }
    }

    #[test]
    fn rows_and_bytes_fill_a_batch() {
        let now = Instant::now();
        let mut batch = Batch::new(LIMITS);
        batch.push(block(2, 0), true, now);
        batch.push(block(1, 0), false, now);
        assert!(!batch.is_full(), "what is not written does not count");
        batch.push(block(1, 0), true, now);
        assert!(batch.is_full());

        let mut batch = Batch::new(BatchLimits { bytes: 4_000, ..LIMITS });
        batch.push(block(1, 1_000), true, now);
        assert!(!batch.is_full());
        batch.push(block(1, 5_000), true, now);
        assert!(batch.is_full());
    }

    #[test]
    fn age_counts_from_the_first_block() {
        let now = Instant::now();
        let mut batch = Batch::new(LIMITS);
        assert_eq!(batch.due_at(), None);
        batch.push(block(1, 0), true, now);
        batch.push(block(1, 0), true, now + Duration::from_millis(4));
        assert_eq!(batch.due_at(), Some(now + Duration::from_millis(5)));
        assert_eq!(batch.take().len(), 2);
        assert_eq!((batch.due_at(), batch.rows(), batch.blocks().len()), (None, 0, 0));
    }

    #[test]
    fn rows_refused_are_told_by_block_and_left_out_of_it() {
        let mut batch = Batch::new(LIMITS);
        for (number, dead_lettered) in [(7, 0), (8, 3), (9, 0)] {
            batch.push(QueuedBlock { number, dead_lettered, ..block(1, 0) }, true, Instant::now());
        }
        let refused: Vec<_> = [7, 8].map(|number| RefusedRow { number, block: block(1, 0).block }).into();
        let finished = batch.finish(&refused, Instant::now());
        assert_eq!(finished.dead_rows, [(7, 1), (8, 4)]);
        assert_eq!((finished.number, finished.identities, finished.dead_identities), (9, 0, 0));
        assert_eq!(batch.take().iter().map(|queued| queued.block.rows()).collect::<Vec<_>>(), [0, 0, 1]);
    }
}
