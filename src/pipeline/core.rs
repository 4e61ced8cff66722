//! The one place where sightings are decided: the window, the order of blocks, who waits for them, and the ledger,
//! all under one lock, so that decisions have one order and every reading of the ledger is one snapshot.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, Sender};
use tokio::sync::{Semaphore, oneshot};

use super::answer::Settled;
use super::ledger::Ledger;
use crate::domain::outcome::OutcomeCounts;
use crate::domain::time::Timestamp;
use crate::domain::window::{DuplicateWindow, Position};
use crate::ports::Block;

/// Entries that one settled batch lets leave the window beside its own number: enough that the window shrinks faster
/// than it grows, little enough that the lock is held for microseconds.
const EXPIRED_BESIDE: usize = 1_024;

/// A block on its way to the writer.
#[derive(Debug)]
pub(super) struct QueuedBlock {
    pub(super) number: u64,
    pub(super) last_position: Option<Position>,
    pub(super) block: Block,
}

/// Blocks settled together: the last of them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SettledUpTo {
    pub(super) number: u64,
    pub(super) position: Option<Position>,
    pub(super) identities: u64,
}

/// State shared by all sessions and the writer.
#[derive(Debug)]
pub(super) struct Core {
    state: Mutex<State>,
    /// Places that may still be taken in the queue: before a decision, given back when its block is settled.
    pub(super) room: Semaphore,
    places: usize,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) window: DuplicateWindow,
    pub(super) ledger: Ledger,
    /// `None` once the pipeline is closing.
    queue: Option<Sender<QueuedBlock>>,
    last_number: u64,
    waiters: VecDeque<Waiter>,
}

/// A frame whose answer waits, and what the ledger will say of it.
#[derive(Debug)]
struct Waiter {
    number: u64,
    effect: Effect,
    settled: oneshot::Sender<Settled>,
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
}

impl Core {
    pub(super) fn new(window: DuplicateWindow, places: usize, queue: Sender<QueuedBlock>) -> Self {
        let state = State {
            window,
            ledger: Ledger::default(),
            queue: Some(queue),
            last_number: 0,
            waiters: VecDeque::new(),
        };
        Self { state: Mutex::new(state), room: Semaphore::new(places), places }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic ends the process; until it does, no decision is made on a state left half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends admission: the writer drains what is queued, then sees the queue's end.
    pub(super) fn close(&self) {
        self.lock().queue = None;
    }

    /// Places taken: rows on their way to the store, about.
    pub(super) fn queued(&self) -> usize {
        self.places.saturating_sub(self.room.available_permits())
    }

    /// Everything up to `upto` is committed: its entries are stored, its frames may be answered.
    pub(super) fn committed(&self, upto: SettledUpTo, places: usize, now: Timestamp) {
        let mut state = self.lock();
        if let Some(position) = upto.position {
            state.window.stored(position);
        }
        state.ledger.system_of_record.new += upto.identities;
        state.ledger.system_of_record.stored += upto.identities;
        let settled = state.take_waiters(upto.number);
        for waiter in &settled {
            state.ledger.apply(&waiter.effect, Settled::Durable);
        }
        state.window.expire(now, places + EXPIRED_BESIDE);
        drop(state);
        self.room.add_permits(places);
        tell(settled, Settled::Durable);
    }

    /// Nothing from the last commit on is durable: all decisions since are undone, those still queued too. Answers how
    /// many identities were.
    pub(super) fn undo(&self, queue: &Receiver<QueuedBlock>, places: usize) -> usize {
        let mut state = self.lock();
        // Blocks are queued under the lock, so what is in the queue now is all there is.
        let queued: usize = queue.try_iter().map(|queued| queued.block.places()).sum();
        let undone = state.window.roll_back();
        let settled = state.take_waiters(u64::MAX);
        for waiter in &settled {
            state.ledger.apply(&waiter.effect, Settled::Undone);
        }
        drop(state);
        self.room.add_permits(places + queued);
        tell(settled, Settled::Undone);
        undone
    }

    /// Lets entries leave the window though nothing is being stored.
    pub(super) fn expire(&self, now: Timestamp) {
        self.lock().window.expire(now, EXPIRED_BESIDE);
    }
}

impl State {
    /// Whether the pipeline takes no more.
    pub(super) const fn is_closing(&self) -> bool {
        self.queue.is_none()
    }

    /// Queues a block, unless the pipeline is closing, which whoever calls has looked at. There is always room: its
    /// places were taken from [`Core::room`] before, and the queue holds as many blocks as there are places.
    pub(super) fn enqueue(&mut self, block: Block, last_position: Option<Position>) {
        self.last_number += 1;
        let queued = QueuedBlock { number: self.last_number, last_position, block };
        if self.queue.as_ref().is_none_or(|queue| queue.try_send(queued).is_err()) {
            // Cannot be. If it is, nothing may be queued behind the block that is missing, or its answers would leave
            // with a later commit: taking in ends, and what leans on it is undone when the queue has run empty.
            tracing::error!("the writer's queue is shorter than its room: no more is taken in");
            self.queue = None;
        }
    }

    /// Waits for the newest block: blocks become durable in order, so this is late by at most the blocks
    /// queued since the one leant on, and keeps the waiters in order.
    pub(super) fn wait(&mut self, effect: Effect) -> oneshot::Receiver<Settled> {
        let (settled, receiver) = oneshot::channel();
        self.waiters.push_back(Waiter { number: self.last_number, effect, settled });
        receiver
    }

    fn take_waiters(&mut self, upto: u64) -> Vec<Waiter> {
        let count = self.waiters.partition_point(|waiter| waiter.number <= upto);
        self.waiters.drain(..count).collect()
    }
}

impl Ledger {
    fn apply(&mut self, effect: &Effect, settled: Settled) {
        match (effect, settled) {
            (Effect::Sightings { counts, redelivered, .. }, Settled::Durable) => {
                self.in_progress -= counts.total();
                self.settle(counts, *redelivered);
            }
            (Effect::Sightings { counts, redelivered, leaning, leaning_redelivered }, Settled::Undone) => {
                self.in_progress -= counts.total();
                let mut kept = *counts;
                kept.subtract(leaning);
                self.settle(&kept, redelivered - leaning_redelivered);
                self.outcomes[0] += leaning.total();
            }
            (Effect::Preferences, Settled::Durable) => {
                self.preferences.in_progress -= 1;
                self.preferences.accepted += 1;
            }
            (Effect::Preferences, Settled::Undone) => {
                self.preferences.in_progress -= 1;
                self.preferences.undecided += 1;
            }
        }
    }
}

fn tell(waiters: Vec<Waiter>, settled: Settled) {
    for waiter in waiters {
        // A session that is gone has lost interest; the ledger has counted its frame all the same.
        let _ = waiter.settled.send(settled);
    }
}
