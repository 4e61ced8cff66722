//! Who waits for what: frames for the journal, and those of level `stored` then for the stores.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use super::answer::Settled;
use super::ledger::Ledger;
use crate::domain::frame::AckLevel;
use crate::domain::outcome::OutcomeCounts;

/// What a frame waits for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waits {
    pub(super) level: AckLevel,
    /// It brought an entry of its own.
    pub(super) own: bool,
    /// Places it keeps in the queue until then; what waits is bounded by them.
    pub(super) places: usize,
    /// Of the stores, only the system of record has to do with it.
    pub(super) record_only: bool,
}

/// A frame that waits until an entry is durable, and what the ledger will say of it.
#[derive(Debug)]
pub(super) struct JournalWaiter {
    pub(super) number: u64,
    pub(super) waits: Waits,
    pub(super) effect: Effect,
    pub(super) settled: oneshot::Sender<Settled>,
}

/// What a waiting frame adds to the ledger when it is settled.
#[derive(Debug)]
pub(super) enum Effect {
    Sightings {
        /// Outcomes if all becomes durable.
        counts: OutcomeCounts,
        redelivered: u32,
        /// Of them, those that are undecided if it does not.
        leaning: OutcomeCounts,
        /// Of those that lean, the redelivered.
        leaning_redelivered: u32,
    },
    Preferences,
    /// Nothing that is not counted already.
    Replay,
}

/// Frames whose entries are durable and counted, and that are told when the stores have them.
///
/// Sessions are bounded, and so are the frames that each may have unanswered; of sessions that have ended, their frames
/// are dropped as often as the number has doubled.
#[derive(Debug, Default)]
pub(super) struct StoredWaiters {
    all: VecDeque<StoredWaiter>,
    record_only: VecDeque<StoredWaiter>,
    swept_at: usize,
}

#[derive(Debug)]
struct StoredWaiter {
    number: u64,
    own: bool,
    dead_lettered: u32,
    settled: oneshot::Sender<Settled>,
}

/// The fewest waiters worth looking through for sessions that have ended.
const SWEPT_FROM: usize = 4_096;

impl StoredWaiters {
    /// Adds one; they come by number ascending.
    pub(super) fn push(&mut self, waiter: JournalWaiter) {
        let JournalWaiter { number, waits, settled, .. } = waiter;
        let queue = if waits.record_only { &mut self.record_only } else { &mut self.all };
        queue.push_back(StoredWaiter { number, own: waits.own, dead_lettered: 0, settled });
        if self.all.len() + self.record_only.len() >= 2 * self.swept_at.max(SWEPT_FROM) {
            for queue in [&mut self.all, &mut self.record_only] {
                queue.retain(|waiter| !waiter.settled.is_closed());
            }
            self.swept_at = self.all.len() + self.record_only.len();
        }
    }

    /// Takes note of rows that a store refused, by number ascending.
    pub(super) fn refused(&mut self, dead_rows: &[(u64, u32)]) {
        for &(number, rows) in dead_rows {
            for queue in [&mut self.all, &mut self.record_only] {
                let from = queue.partition_point(|waiter| waiter.number < number);
                let of_entry = queue.range_mut(from..).take_while(|waiter| waiter.number == number);
                for waiter in of_entry.filter(|waiter| waiter.own) {
                    waiter.dead_lettered += rows;
                }
            }
        }
    }

    /// Those whose entries are finished: the system of record has all before `record`, every store all before `all`.
    pub(super) fn take_finished(&mut self, record: u64, all: u64) -> Vec<(oneshot::Sender<Settled>, u32)> {
        let mut finished = Vec::new();
        for (queue, end) in [(&mut self.all, all), (&mut self.record_only, record)] {
            let count = queue.partition_point(|waiter| waiter.number < end);
            finished.extend(queue.drain(..count).map(|waiter| (waiter.settled, waiter.dead_lettered)));
        }
        finished
    }

    pub(super) fn clear(&mut self) {
        self.all.clear();
        self.record_only.clear();
    }
}

impl Ledger {
    pub(super) fn apply(&mut self, effect: &Effect, durable: bool) {
        match effect {
            Effect::Sightings { counts, redelivered, .. } if durable => {
                self.in_progress -= counts.total();
                self.settle(counts, *redelivered);
            }
            Effect::Sightings { counts, redelivered, leaning, leaning_redelivered } => {
                self.in_progress -= counts.total();
                let mut kept = *counts;
                kept.subtract(leaning);
                self.settle(&kept, redelivered - leaning_redelivered);
                self.outcomes[0] += leaning.total();
            }
            Effect::Replay => {}
            Effect::Preferences => {
                self.preferences.in_progress -= 1;
                if durable {
                    self.preferences.accepted += 1;
                } else {
                    self.preferences.undecided += 1;
                }
            }
        }
    }
}
