//! Attempts to write a batch: again while the store cannot, in parts where it refuses a row.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::health::{StoreHealth, Trouble};
use crate::backoff::Backoff;
use crate::domain::block::Block;
use crate::domain::identity::CustomerIdentity;
use crate::faults::{Mutant, mutant};
use crate::pipeline::batch::{Batch, RefusedRow};
use crate::ports::{BatchWriter, Clock, DeadLetter, DeadLetters, Delivery, WriteError};

/// The first wait after a failed attempt is drawn from up to this.
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// No wait is longer: a store that is back is used within it.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Writes into one store.
#[derive(Debug)]
pub(super) struct Attempts {
    writer: Box<dyn BatchWriter>,
    health: Arc<StoreHealth>,
    dead_letters: Arc<dyn DeadLetters>,
    clock: Arc<dyn Clock>,
    backoff: Backoff,
    hurried: Receiver<()>,
}

/// Rows of one entry, on the way to finding out which of them is refused.
#[derive(Debug, Clone)]
struct Piece {
    number: u64,
    /// The place of its first row among the entry's.
    first_row: usize,
    block: Arc<Block>,
}

impl Attempts {
    pub(super) fn new(
        store: &'static str,
        writer: Box<dyn BatchWriter>,
        dead_letters: Arc<dyn DeadLetters>,
        clock: Arc<dyn Clock>,
        hurried: Receiver<()>,
    ) -> Self {
        let health = Arc::new(StoreHealth::new(store));
        let backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        Self { writer, health, dead_letters, clock, backoff, hurried }
    }

    pub(super) const fn health(&self) -> &Arc<StoreHealth> {
        &self.health
    }

    /// Notes that the journal could not be read for it.
    pub(super) fn cannot_read(&self, reason: String) {
        self.health.fails(Trouble::Unavailable, reason);
    }

    /// Writes until every row is stored or a dead letter. Answers the rows refused, in the order of their entries; nothing
    /// when the daemon stops before.
    pub(super) fn store(&mut self, batch: &Batch, delivery: Delivery) -> Option<Vec<RefusedRow>> {
        let mut refused = Vec::new();
        if batch.blocks().is_empty() {
            return Some(refused);
        }
        if let Err(reason) = self.write(batch.blocks(), delivery)? {
            let pieces: Vec<_> = batch
                .blocks()
                .iter()
                .zip(batch.numbers())
                .map(|(block, &number)| Piece { number, first_row: 0, block: Arc::clone(block) })
                .collect();
            self.isolate(&pieces, reason, &mut refused)?;
        }
        self.health.count_batch(batch.rows());
        Some(refused)
    }

    /// Writes until the blocks are stored, or something in them is refused, with the reason.
    fn write(&mut self, blocks: &[Arc<Block>], mut delivery: Delivery) -> Option<Result<(), String>> {
        let blocks = given(blocks);
        loop {
            match self.writer.write(&blocks, delivery) {
                Ok(()) => {
                    self.works();
                    return Some(Ok(()));
                }
                Err(WriteError::Rejected(reason)) => return Some(Err(reason)),
                Err(WriteError::Unavailable(reason)) => self.health.fails(Trouble::Unavailable, reason),
                Err(WriteError::Misconfigured(reason)) => self.health.fails(Trouble::Misconfigured, reason),
            }
            delivery = Delivery::Again;
            if !self.pause() {
                return None;
            }
        }
    }

    /// Halves what is refused until the row is alone: one bad row of n costs about 2 log2(n) attempts.
    fn isolate(&mut self, pieces: &[Piece], reason: String, refused: &mut Vec<RefusedRow>) -> Option<()> {
        let (left, right) = match pieces {
            [] => return Some(()),
            [piece] if piece.block.rows() <= 1 => {
                self.bury(piece, reason)?;
                refused.push(RefusedRow { number: piece.number, block: Arc::clone(&piece.block) });
                return Some(());
            }
            [piece] => {
                let (left, right) = halves(&piece.block);
                let right_row = piece.first_row + left.rows();
                let half = |first_row, block| {
                    vec![Piece { number: piece.number, first_row, block: Arc::new(block) }]
                };
                (half(piece.first_row, left), half(right_row, right))
            }
            pieces => {
                let (left, right) = pieces.split_at(pieces.len() / 2);
                (left.to_vec(), right.to_vec())
            }
        };
        for half in [left, right] {
            let blocks: Vec<_> = half.iter().map(|piece| Arc::clone(&piece.block)).collect();
            if let Err(reason) = self.write(&blocks, Delivery::Again)? {
                self.isolate(&half, reason, refused)?;
            }
        }
        Some(())
    }

    /// Keeps a row as a dead letter. Without it the writer does not go past the row.
    fn bury(&mut self, piece: &Piece, reason: String) -> Option<()> {
        let letter = DeadLetter {
            store: self.health.store(),
            reason,
            at: self.clock.read().now,
            entry: piece.number,
            row: u32::try_from(piece.first_row).unwrap_or(u32::MAX),
            block: Arc::clone(&piece.block),
        };
        while let Err(error) = self.dead_letters.keep(&letter) {
            self.health.fails(Trouble::DeadLetters, error.to_string());
            if !self.pause() {
                return None;
            }
        }
        self.works();
        self.health.count_dead_row();
        Some(())
    }

    fn works(&mut self) {
        self.backoff.reset();
        self.health.works();
    }

    /// Waits before the next attempt; tells whether there is to be one.
    fn pause(&mut self) -> bool {
        let wait = self.backoff.wait();
        self.pause_for(wait)
    }

    /// Waits; tells whether the daemon goes on.
    pub(super) fn pause_for(&self, wait: Duration) -> bool {
        matches!(self.hurried.recv_timeout(wait), Err(RecvTimeoutError::Timeout))
    }
}

/// What the store is given: all of it, but for a defect that was asked for.
fn given(blocks: &[Arc<Block>]) -> Cow<'_, [Arc<Block>]> {
    /// 2^64 divided by the golden ratio: multiples of it are spread evenly.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    if !mutant(Mutant::DropOneIn100000) {
        return Cow::Borrowed(blocks);
    }
    let is_given = |identity: &CustomerIdentity| {
        let spread = identity.detected_at.as_micros().unsigned_abs().wrapping_mul(SPREAD) >> 32;
        !spread.is_multiple_of(100_000)
    };
    let given = |block: &Arc<Block>| {
        let mut block = Block::clone(block);
        block.identities.retain(is_given);
        Arc::new(block)
    };
    blocks.iter().map(given).collect()
}

/// Two blocks with half of the rows each.
fn halves(block: &Block) -> (Block, Block) {
    let half = block.rows().div_ceil(2);
    let (left, right) = block.identities.split_at(half.min(block.identities.len()));
    let (more_left, more_right) = block.preferences.split_at(half - left.len());
    let of = |identities: &[_], preferences: &[_]| Block {
        identities: identities.to_vec(),
        preferences: preferences.to_vec(),
    };
    (of(left, more_left), of(right, more_right))
}
