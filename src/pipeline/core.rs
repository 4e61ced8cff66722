//! The one place where sightings are decided: the window, the order of blocks, who waits for them, and the ledger,
//! all under one lock, so that decisions have one order and every reading of the ledger is one snapshot.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crossbeam_channel::Sender;
use tokio::sync::{Semaphore, oneshot};

use super::answer::Settled;
use super::frames::FrameRecords;
use super::ledger::{Ledger, StoreLedger};
use crate::domain::frame::FrameMark;
use crate::domain::outcome::OutcomeCounts;
use crate::domain::time::Timestamp;
use crate::domain::window::{DuplicateWindow, Position};
use crate::ports::Block;

/// Entries that one settled batch lets leave the window beside its own number: enough that the window shrinks faster
/// than it grows, little enough that the lock is held for microseconds.
const EXPIRED_BESIDE: usize = 1_024;

/// A block on its way to the stores.
#[derive(Debug)]
pub(super) struct QueuedBlock {
    pub(super) number: u64,
    pub(super) last_position: Option<Position>,
    pub(super) block: Arc<Block>,
    /// Places it took in the queue.
    pub(super) places: usize,
    /// It is in the system of record already: a redelivery, of which nobody knows whether its events are stored.
    pub(super) recorded: bool,
    /// When its frame was received.
    pub(super) received_at: Instant,
    /// When it was decided, and later when it was stored in the system of record.
    pub(super) handed_on_at: Instant,
    /// Rows of it that a store before has refused.
    pub(super) dead_lettered: u32,
}

impl QueuedBlock {
    /// Identities it brings that no store has counted yet.
    pub(super) fn new_identities(&self) -> u64 {
        if self.recorded { 0 } else { self.block.identities.len() as u64 }
    }
}

/// Blocks a store is done with, in their order.
#[derive(Debug)]
pub(super) struct Finished {
    /// When they were written.
    pub(super) at: Instant,
    /// The number of the last of them.
    pub(super) number: u64,
    /// The last position in them.
    pub(super) position: Option<Position>,
    /// New identities in them.
    pub(super) identities: u64,
    /// Of these, the dead letters.
    pub(super) dead_identities: u64,
    /// Places they took.
    pub(super) places: usize,
    /// Blocks with rows refused, and how many, by number ascending.
    pub(super) dead_rows: Vec<(u64, u32)>,
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
    /// Everything up to this position is in every store.
    finished: Option<Position>,
    /// What is stored since before this start has been heard of, as far as fresh sightings need it.
    pub(super) past_known: bool,
    pub(super) frames: FrameRecords,
    /// Frames that wait for every store.
    waiters: VecDeque<Waiter>,
    /// Frames that wait for the system of record alone: preferences go nowhere else.
    record_waiters: VecDeque<Waiter>,
}

/// A frame whose answer waits, and what the ledger will say of it.
#[derive(Debug)]
struct Waiter {
    number: u64,
    /// The first of the frame's own blocks; past `number` when it has none.
    own_from: u64,
    effect: Effect,
    mark: Option<FrameMark>,
    settled: oneshot::Sender<Settled>,
}

impl Waiter {
    /// Rows of the frame's own blocks that a store has refused.
    fn dead_rows(&self, done: &Finished) -> u32 {
        let of_frame = self.own_from..=self.number;
        done.dead_rows.iter().filter(|(number, _)| of_frame.contains(number)).map(|&(_, rows)| rows).sum()
    }
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
    pub(super) fn new(
        window: DuplicateWindow,
        places: usize,
        queue: Sender<QueuedBlock>,
        has_events: bool,
    ) -> Self {
        let state = State {
            window,
            ledger: Ledger { events: has_events.then(StoreLedger::default), ..Ledger::default() },
            queue: Some(queue),
            last_number: 0,
            finished: None,
            past_known: true,
            frames: FrameRecords::new(100_000),
            waiters: VecDeque::new(),
            record_waiters: VecDeque::new(),
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

    /// The system of record has them: they are durable and never undone, and their events are what is left to do.
    pub(super) fn recorded(&self, done: &Finished, now: Timestamp) {
        let mut state = self.lock();
        if let Some(position) = done.position {
            state.window.stored(position);
        }
        state.ledger.system_of_record.finish(done.identities, done.dead_identities);
        let settled = take_upto(&mut state.record_waiters, done.number);
        state.record_frames(&settled);
        state.ledger.apply_all(&settled, true);
        let refused = settled.iter().filter(|waiter| waiter.dead_rows(done) > 0).count();
        state.ledger.preferences.dead_lettered += refused as u64;
        match &mut state.ledger.events {
            Some(events) => events.accept(done.identities - done.dead_identities),
            None => return self.finish(state, done, now, settled),
        }
        drop(state);
        tell_durable(settled, done);
    }

    /// The store of events has them too.
    pub(super) fn events_stored(&self, done: &Finished, now: Timestamp) {
        let mut state = self.lock();
        if let Some(events) = &mut state.ledger.events {
            events.finish(done.identities, done.dead_identities);
        }
        self.finish(state, done, now, Vec::new());
    }

    fn finish(
        &self,
        mut state: MutexGuard<'_, State>,
        done: &Finished,
        now: Timestamp,
        mut settled: Vec<Waiter>,
    ) {
        state.finished = done.position.or(state.finished);
        let waited = take_upto(&mut state.waiters, done.number);
        state.record_frames(&waited);
        state.ledger.apply_all(&waited, true);
        settled.extend(waited);
        state.window.expire(now, done.places + EXPIRED_BESIDE);
        drop(state);
        self.room.add_permits(done.places);
        tell_durable(settled, done);
    }

    /// Stopping, the system of record has nothing after block `recorded` and gets no more: all decisions since are
    /// undone. Answers how many identities were.
    pub(super) fn undo_after(&self, recorded: u64) -> usize {
        let mut state = self.lock();
        let undone = state.window.roll_back();
        state.ledger.system_of_record.withdraw(undone as u64);
        let mut settled = take_after(&mut state.waiters, recorded);
        settled.extend(take_after(&mut state.record_waiters, recorded));
        state.ledger.apply_all(&settled, false);
        drop(state);
        // Nobody waits for room any more: those who did are undecided.
        self.room.close();
        tell_undone(settled);
        undone
    }

    /// Stopping, the store of events gets no more: whoever waits for it is told that it has not been stored everywhere.
    pub(super) fn give_up_events(&self) {
        let mut state = self.lock();
        let settled = take_after(&mut state.waiters, 0);
        state.ledger.apply_all(&settled, false);
        drop(state);
        tell_undone(settled);
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

    /// Whether a sighting detected then is decided in memory alone.
    pub(super) fn is_fresh(&self, detected_at: Timestamp, now: Timestamp) -> bool {
        self.past_known && self.window.is_fresh(detected_at, now)
    }

    /// Whether an answer that leans on this entry must wait: it is not in every store.
    pub(super) fn is_unfinished(&self, position: Position) -> bool {
        self.finished.is_none_or(|finished| position > finished)
    }

    /// Whether events are stored too.
    pub(super) const fn has_events(&self) -> bool {
        self.ledger.events.is_some()
    }

    /// Queues a block, unless the pipeline is closing, which whoever calls has looked at. There is always room: its
    /// places were taken from [`Core::room`] before, and the queue holds as many blocks as there are places.
    pub(super) fn enqueue(
        &mut self,
        block: Block,
        recorded: bool,
        received_at: Instant,
        decided_at: Instant,
    ) {
        self.last_number += 1;
        if !recorded {
            self.ledger.system_of_record.accept(block.identities.len() as u64);
        }
        let queued = QueuedBlock {
            number: self.last_number,
            last_position: if recorded { None } else { self.window.last_position() },
            places: block.places(),
            block: Arc::new(block),
            recorded,
            received_at,
            handed_on_at: decided_at,
            dead_lettered: 0,
        };
        if self.queue.as_ref().is_none_or(|queue| queue.try_send(queued).is_err()) {
            // Cannot be. If it is, nothing may be queued behind the block that is missing, or its answers would leave
            // with a later commit: taking in ends, and what leans on it is undone when the queue has run empty.
            tracing::error!("the writer's queue is shorter than its room: no more is taken in");
            self.queue = None;
        }
    }

    pub(super) fn mark_newest(&mut self, mark: FrameMark) {
        if let Some(waiter) = self.waiters.back_mut() {
            waiter.mark = Some(mark);
        }
    }

    pub(super) fn mark_newest_preferences(&mut self, mark: FrameMark) {
        if let Some(waiter) = self.record_waiters.back_mut() {
            waiter.mark = Some(mark);
        }
    }

    fn record_frames(&mut self, settled: &[Waiter]) {
        for waiter in settled {
            if let Some(mark) = &waiter.mark {
                self.frames.record(mark, waiter.number);
            }
        }
    }

    /// Waits for the newest block: blocks are finished in order, so this is late by at most the blocks queued since the
    /// one leant on, and keeps the waiters in order. `own_blocks`: how many of the newest blocks are the frame's.
    pub(super) fn wait(&mut self, effect: Effect, own_blocks: u64) -> oneshot::Receiver<Settled> {
        let (settled, receiver) = oneshot::channel();
        let waiter = Waiter {
            number: self.last_number,
            own_from: self.last_number + 1 - own_blocks,
            effect,
            mark: None,
            settled,
        };
        match waiter.effect {
            Effect::Sightings { .. } => self.waiters.push_back(waiter),
            Effect::Preferences => self.record_waiters.push_back(waiter),
        }
        receiver
    }
}

fn take_upto(waiters: &mut VecDeque<Waiter>, number: u64) -> Vec<Waiter> {
    let count = waiters.partition_point(|waiter| waiter.number <= number);
    waiters.drain(..count).collect()
}

fn take_after(waiters: &mut VecDeque<Waiter>, number: u64) -> Vec<Waiter> {
    let count = waiters.partition_point(|waiter| waiter.number <= number);
    waiters.drain(count..).collect()
}

impl Ledger {
    fn apply_all(&mut self, settled: &[Waiter], durable: bool) {
        for waiter in settled {
            self.apply(&waiter.effect, durable);
        }
    }

    fn apply(&mut self, effect: &Effect, durable: bool) {
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

// A session that is gone has lost interest; the ledger has counted its frame all the same.

fn tell_durable(waiters: Vec<Waiter>, done: &Finished) {
    for waiter in waiters {
        let dead_lettered = waiter.dead_rows(done);
        let _ = waiter.settled.send(Settled::Durable { dead_lettered, at: done.at });
    }
}

fn tell_undone(waiters: Vec<Waiter>) {
    for waiter in waiters {
        let _ = waiter.settled.send(Settled::Undone);
    }
}
