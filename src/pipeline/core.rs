//! The one place where sightings are decided: the window, the order of entries, who waits for them, and the ledger,
//! all under one lock, so that decisions have one order and every reading of the ledger is one snapshot.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crossbeam_channel::Sender;
use tokio::sync::{Semaphore, oneshot};

use super::answer::Settled;
use super::frames::FrameRecords;
use super::ledger::{Ledger, StoreLedger};
use super::numbering::Numbering;
use super::progress::{Checkpoints, Progress, Role, StoreProgress};
use super::waiting::{Effect, JournalWaiter, StoredWaiters, Waits};
use crate::domain::block::Block;
use crate::domain::frame::AckLevel;
use crate::domain::time::Timestamp;
use crate::domain::window::{DuplicateWindow, Position};
use crate::journal::{EntryKind, JournalEntry, JournalState, StoreCursor};

/// Entries that one finished batch lets leave the window beside its own number: enough that the window shrinks faster
/// than it grows, little enough that the lock is held for microseconds.
const EXPIRED_BESIDE: usize = 1_024;

/// An entry on its way to the journal.
#[derive(Debug)]
pub(super) struct QueuedEntry {
    pub(super) entry: Arc<JournalEntry>,
    /// When its frame was received.
    pub(super) received_at: Instant,
    /// When it was decided.
    pub(super) decided_at: Instant,
}

/// Entries a store is done with.
#[derive(Debug)]
pub(super) struct Finished {
    /// When they were written.
    pub(super) at: Instant,
    /// The number of the first entry after them.
    pub(super) next: u64,
    /// The identities accepted before that entry.
    pub(super) end_identity: u64,
    /// Identities in them for this store.
    pub(super) identities: u64,
    /// Of these, the dead letters.
    pub(super) dead_identities: u64,
    /// Preferences in them that are dead letters.
    pub(super) dead_preferences: u64,
    /// Identities before them that the journal has lost.
    pub(super) lost: u64,
    /// Entries with rows refused, and how many, by number ascending.
    pub(super) dead_rows: Vec<(u64, u32)>,
}

/// State shared by all sessions, the journal and the writers.
#[derive(Debug)]
pub(super) struct Core {
    state: Mutex<State>,
    /// Places that may still be taken in the queue: before a decision, given back when its entry is durable.
    pub(super) room: Semaphore,
    places: usize,
}

/// What is decided on, and what waits.
#[derive(Debug)]
pub(super) struct State {
    pub(super) window: DuplicateWindow,
    pub(super) numbering: Numbering,
    pub(super) ledger: Ledger,
    pub(super) frames: FrameRecords,
    /// `None` once the pipeline is closing.
    pub(super) queue: Option<Sender<QueuedEntry>>,
    /// The number of the next entry.
    pub(super) next_number: u64,
    /// The number of the next identity.
    pub(super) next_identity: u64,
    /// The number of the first entry that is not durable.
    pub(super) undurable_from: u64,
    pub(super) checkpoints: Checkpoints,
    pub(super) record: StoreProgress,
    pub(super) events: Option<StoreProgress>,
    /// Stores of earlier runs that are not configured now.
    pub(super) absent: Vec<StoreCursor>,
    /// What is stored since before this journal is known, as far as fresh sightings need it.
    pub(super) past_known: bool,
    /// Frames that wait for the journal.
    pub(super) waiters: VecDeque<JournalWaiter>,
    pub(super) stored_waiters: StoredWaiters,
}

impl Core {
    pub(super) fn new(state: State, places: usize) -> Self {
        Self { state: Mutex::new(state), room: Semaphore::new(places), places }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic ends the process; until it does, no decision is made on a state left half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends admission: the journal takes what is queued, then sees the queue's end.
    pub(super) fn close(&self) {
        self.lock().queue = None;
    }

    /// How far the stores have come.
    pub(super) fn progress(&self) -> Progress {
        let state = self.lock();
        let named = |store: &StoreProgress| (store.name.to_owned(), store.next);
        Progress {
            durable_before: state.undurable_from,
            stores: std::iter::once(&state.record).chain(&state.events).map(named).collect(),
            absent: state.absent.iter().map(|store| (store.name.clone(), store.next)).collect(),
        }
    }

    /// Places taken: rows on their way to the journal, about.
    pub(super) fn queued(&self) -> usize {
        self.places.saturating_sub(self.room.available_permits())
    }

    /// These entries, and all before them, are durable: they are never undone, and whoever waits for no more than that is
    /// told. Answers the lowest entry that a store has not finished.
    pub(super) fn durable(&self, entries: &[Arc<JournalEntry>], at: Instant) -> u64 {
        let mut state = self.lock();
        let Some(newest) = entries.last() else { return state.unfinished_from() };
        let end = state.numbering.position_of(newest.end_identity());
        state.window.durable(end);
        state.undurable_from = newest.number + 1;
        for entry in entries {
            if let EntryKind::Frame(mark) = &entry.kind {
                state.frames.record(mark, entry.number);
            }
        }
        let count = state.waiters.partition_point(|waiter| waiter.number <= newest.number);
        let settled: Vec<_> = state.waiters.drain(..count).collect();
        let mut told = Vec::with_capacity(settled.len());
        let places = settled.iter().map(|waiter| waiter.waits.places).sum();
        for waiter in settled {
            state.ledger.apply(&waiter.effect, true);
            told.extend(state.durable_told(waiter));
        }
        let unfinished = state.unfinished_from();
        drop(state);
        self.room.add_permits(places);
        // A session that is gone has lost interest; the ledger has counted its frame all the same.
        for settled in told {
            let _ = settled.send(Settled::Durable { dead_lettered: 0, at });
        }
        unfinished
    }

    /// A store is done with these.
    pub(super) fn finished(&self, role: Role, done: &Finished, now: Timestamp) {
        let mut state = self.lock();
        let Some(progress) = state.progress_mut(role) else { return };
        progress.next = done.next;
        progress.first_identity = done.end_identity;
        if let Some(ledger) = state.ledger.store_mut(role) {
            ledger.finish(done.identities, done.dead_identities, done.lost);
        }
        state.stored_waiters.refused(&done.dead_rows);
        if role == Role::Record {
            state.ledger.preferences.dead_lettered += done.dead_preferences;
            let end = state.numbering.position_of(done.end_identity);
            state.window.stored(end);
        }
        let at_most = usize::try_from(done.identities).unwrap_or(usize::MAX).saturating_add(EXPIRED_BESIDE);
        state.expire(now, at_most);
        let (record, all) = (state.record.next, state.unfinished_from());
        let settled = state.stored_waiters.take_finished(record, all);
        drop(state);
        for (settled, dead_lettered) in settled {
            let _ = settled.send(Settled::Durable { dead_lettered, at: done.at });
        }
    }

    /// Stopping, the journal gets no more, and these are left: all decisions since the last that is durable are undone.
    pub(super) fn undo(&self, left: &[QueuedEntry]) {
        let mut state = self.lock();
        state.window.roll_back();
        for queued in left {
            state.count_entry(&queued.entry, StoreLedger::withdraw, StoreLedger::withdraw_replayed);
        }
        let waiters = std::mem::take(&mut state.waiters);
        for waiter in &waiters {
            state.ledger.apply(&waiter.effect, false);
        }
        drop(state);
        // Nobody waits for room any more: those who did are undecided.
        self.room.close();
        for waiter in waiters {
            let _ = waiter.settled.send(Settled::Undone);
        }
    }

    /// Stopping, whoever waits for the stores is not answered: what was accepted is in the journal, and goes on waiting.
    pub(super) fn give_up_stored(&self) {
        self.lock().stored_waiters.clear();
    }

    /// Lets entries leave the window though nothing is being stored.
    pub(super) fn expire(&self, now: Timestamp) {
        self.lock().expire(now, EXPIRED_BESIDE);
    }

    /// Lets stored entries leave the window before their time where they are all that keeps the journal from going on.
    pub(super) fn expire_early(&self, now: Timestamp, accepted_before: Timestamp, at_most: usize) -> usize {
        let mut state = self.lock();
        if state.checkpoints.kept_from(state.first_identity()) >= state.kept_for_stores_from() {
            return 0;
        }
        state.let_leave(|window| window.expire_early(now, accepted_before, at_most))
    }

    /// What the journal is to remember, and the lowest entry that it must keep.
    pub(super) fn journal_state(&self) -> (JournalState, u64) {
        let mut state = self.lock();
        let stores = std::iter::once(&state.record).chain(&state.events).map(StoreProgress::cursor);
        let remembered = JournalState {
            stores: stores.chain(state.absent.iter().cloned()).collect(),
            known_from: state.window.known_from(),
            past_known: state.past_known,
        };
        let first = state.first_identity();
        // All that is durable has left the window: nothing that is durable is kept for it.
        let emptied = state.window.len() as u64 == state.window.pending();
        let of_window = if emptied { state.undurable_from } else { state.checkpoints.kept_from(first) };
        let keep_from = of_window.min(state.kept_for_stores_from());
        state.checkpoints.forget_before(first);
        (remembered, keep_from)
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

    /// Whether an answer of this level that leans on this entry must wait.
    pub(super) fn must_wait_for(&self, position: Position, level: AckLevel) -> bool {
        self.window.is_pending(position)
            || level == AckLevel::Stored
                && self
                    .numbering
                    .identity_at(position)
                    .is_none_or(|identity| identity >= self.stored_identities())
    }

    /// Whether a store has not finished all that was accepted.
    pub(super) fn has_backlog(&self) -> bool {
        self.unfinished_from() < self.next_number
    }

    /// Whether this store is configured.
    pub(super) fn has_store(&self, name: &str) -> bool {
        self.record.name == name || self.events.as_ref().is_some_and(|events| events.name == name)
    }

    /// Whether the entry of this number is in every store.
    pub(super) fn is_stored(&self, number: u64) -> bool {
        number < self.unfinished_from()
    }

    /// Queues an entry, unless the pipeline is closing, which whoever calls has looked at. There is always room: its
    /// places were taken from [`Core::room`] before, and the queue holds as many entries as there are places.
    pub(super) fn enqueue(&mut self, block: Block, kind: EntryKind, times: EnqueueTimes) {
        let entry = JournalEntry {
            number: self.next_number,
            first_identity: self.next_identity,
            accepted_at: times.accepted_at,
            kind,
            block: Arc::new(block),
        };
        self.checkpoints.note(&entry);
        self.next_number += 1;
        self.next_identity = entry.end_identity();
        self.count_entry(&entry, StoreLedger::accept, StoreLedger::replay);
        let EnqueueTimes { received_at, decided_at, .. } = times;
        let queued = QueuedEntry { entry: Arc::new(entry), received_at, decided_at };
        if self.queue.as_ref().is_none_or(|queue| queue.try_send(queued).is_err()) {
            // Cannot be. If it is, nothing may be queued behind the entry that is missing, or its answers would leave
            // with a later one: taking in ends, and what leans on it is undone when the queue has run empty.
            tracing::error!("the journal's queue is shorter than its room: no more is taken in");
            self.queue = None;
        }
    }

    /// Counts the identities of an entry at every store that is to write them.
    fn count_entry(
        &mut self,
        entry: &JournalEntry,
        of_frame: impl Fn(&mut StoreLedger, u64),
        of_replay: impl Fn(&mut StoreLedger, u64),
    ) {
        let identities = entry.block.identities.len() as u64;
        match &entry.kind {
            EntryKind::Frame(_) => {
                of_frame(&mut self.ledger.system_of_record, identities);
                self.ledger.events.iter_mut().for_each(|events| of_frame(events, identities));
            }
            EntryKind::Replay { store, .. } if *store == self.record.name => {
                of_replay(&mut self.ledger.system_of_record, identities);
            }
            EntryKind::Replay { .. } => {
                self.ledger.events.iter_mut().for_each(|events| of_replay(events, identities));
            }
        }
    }

    /// Waits for the newest entry: entries become durable in order, so this is late by at most those queued since the one
    /// leant on, and keeps the waiters in order. What is durable already is counted at once, and gives its places back.
    pub(super) fn wait(&mut self, effect: Effect, mut waits: Waits) -> (oneshot::Receiver<Settled>, usize) {
        let (settled, receiver) = oneshot::channel();
        let number = self.next_number - 1;
        if number >= self.undurable_from {
            self.waiters.push_back(JournalWaiter { number, waits, effect, settled });
            return (receiver, waits.places);
        }
        self.ledger.apply(&effect, true);
        waits.places = 0;
        if let Some(settled) = self.durable_told(JournalWaiter { number, waits, effect, settled }) {
            let _ = settled.send(Settled::Durable { dead_lettered: 0, at: Instant::now() });
        }
        (receiver, 0)
    }

    /// Whom to tell that a waiter's entries are durable; none while it waits for stores too.
    fn durable_told(&mut self, waiter: JournalWaiter) -> Option<oneshot::Sender<Settled>> {
        let finished = match waiter.waits.level {
            AckLevel::Journal => true,
            AckLevel::Stored if waiter.waits.record_only => waiter.number < self.record.next,
            AckLevel::Stored => waiter.number < self.unfinished_from(),
        };
        if finished {
            return Some(waiter.settled);
        }
        self.stored_waiters.push(waiter);
        None
    }

    /// Lets stored entries leave the full window that were accepted after `now`: the clock was set back since, and they would
    /// stay for as long as it was. Tells whether any left.
    pub(super) fn expire_of_the_future(&mut self, now: Timestamp) -> bool {
        let never = Timestamp::from_micros(i64::MIN);
        self.let_leave(|window| window.expire_early(now, never, EXPIRED_BESIDE)) > 0
    }

    pub(super) fn expire(&mut self, now: Timestamp, at_most: usize) {
        self.let_leave(|window| window.expire(now, at_most));
    }

    /// Lets entries leave the window, and forgets the numbers of those that did. Answers how many.
    fn let_leave(&mut self, leave: impl FnOnce(&mut DuplicateWindow) -> usize) -> usize {
        let left = leave(&mut self.window);
        self.numbering.forget_before(self.window.first_position());
        left
    }

    /// The lowest entry that a configured store has not finished.
    pub(super) fn unfinished_from(&self) -> u64 {
        self.events.as_ref().map_or(self.record.next, |events| events.next.min(self.record.next))
    }

    /// The lowest entry that any store needs of the journal, those included that are not configured now.
    fn kept_for_stores_from(&self) -> u64 {
        let absent = self.absent.iter().map(|store| store.next).min();
        absent.unwrap_or(u64::MAX).min(self.unfinished_from())
    }

    fn stored_identities(&self) -> u64 {
        let events = self.events.as_ref().map_or(u64::MAX, |events| events.first_identity);
        events.min(self.record.first_identity)
    }

    /// The number of the oldest identity in the window.
    fn first_identity(&self) -> u64 {
        let first = self.window.first_position();
        if self.window.is_empty() {
            self.next_identity
        } else {
            self.numbering.identity_at(first).unwrap_or(0)
        }
    }

    const fn progress_mut(&mut self, role: Role) -> Option<&mut StoreProgress> {
        match role {
            Role::Record => Some(&mut self.record),
            Role::Events => self.events.as_mut(),
        }
    }
}

/// The times of an entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct EnqueueTimes {
    pub(super) accepted_at: Timestamp,
    pub(super) received_at: Instant,
    pub(super) decided_at: Instant,
}
