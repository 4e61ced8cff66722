//! The threads that write into the stores, each at its own pace: from memory while it keeps up, else from the journal.

mod attempts;
mod health;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use self::attempts::Attempts;
pub use self::health::{StoreHealth, Trouble};
use super::admit::Pipeline;
use super::batch::{Batch, RefusedRow};
use super::progress::Role;
use super::recent::{Due, Found, Recent};
use super::threads::PipelineParts;
use crate::backoff::Backoff;
use crate::domain::time::Timestamp;
use crate::faults::{Mutant, mutant};
use crate::journal::{DamagedRange, JournalReader};
use crate::latency::Stage;
use crate::ports::{BatchWriter, Clock, Delivery, LatestIdentities};

/// How often the window lets entries leave while nothing is being stored.
const IDLE_EXPIRY_EVERY: Duration = Duration::from_secs(1);

/// Waits after the journal could not be read are drawn from up to these.
const READ_FIRST_WAIT: Duration = Duration::from_millis(50);
const READ_LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Writes into one store.
#[derive(Debug)]
pub(super) struct StoreThread {
    pipeline: Arc<Pipeline>,
    role: Role,
    store: &'static str,
    recent: Arc<Recent>,
    reader: JournalReader,
    attempts: Attempts,
    clock: Arc<dyn Clock>,
    latest: Option<Arc<dyn LatestIdentities>>,
    /// When no further batch is begun.
    deadline: Arc<OnceLock<Instant>>,
    /// Entries before this one may have been written by an earlier run.
    again_before: u64,
}

/// Where a store thread takes its entries from.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) recent: Arc<Recent>,
    pub(super) reader: JournalReader,
    pub(super) again_before: u64,
}

impl StoreThread {
    pub(super) fn new(
        pipeline: &Arc<Pipeline>,
        role: Role,
        (store, writer): (&'static str, Box<dyn BatchWriter>),
        sources: Sources,
        parts: &PipelineParts<'_>,
    ) -> Self {
        let clock = Arc::clone(&parts.clock);
        let dead_letters = Arc::clone(&parts.dead_letters);
        let Sources { recent, reader, again_before } = sources;
        Self {
            pipeline: Arc::clone(pipeline),
            role,
            store,
            recent,
            reader,
            attempts: Attempts::new(store, writer, dead_letters, Arc::clone(&clock), parts.hurried.clone()),
            clock,
            latest: parts.latest.clone().filter(|_| role == Role::Record),
            deadline: Arc::clone(parts.deadline),
            again_before,
        }
    }

    pub(super) const fn health(&self) -> &Arc<StoreHealth> {
        self.attempts.health()
    }

    /// Writes until there is nothing more, the deadline of a stop is over, or the store does not take it while stopping.
    pub(super) fn run(mut self, mut batch: Batch) {
        let mut read_backoff = Backoff::new(READ_FIRST_WAIT, READ_LONGEST_WAIT);
        loop {
            if self.deadline.get().is_some_and(|deadline| *deadline <= Instant::now()) {
                return;
            }
            match self.gather(&mut batch) {
                Ok(Found::Ended) => return,
                Ok(_) if batch.is_empty() => self.pipeline.core.expire(self.now()),
                Ok(_) => {
                    read_backoff.reset();
                    self.health().writes(batch.entries().first().map(|due| due.entry.accepted_at));
                    if self.write(&mut batch).is_none() {
                        return;
                    }
                    self.health().writes(None);
                }
                Err(reason) => {
                    self.attempts.cannot_read(reason);
                    if !self.attempts.pause_for(read_backoff.wait()) {
                        return;
                    }
                }
            }
        }
    }

    fn write(&mut self, batch: &mut Batch) -> Option<()> {
        let first = batch.entries().first().map_or(u64::MAX, |due| due.entry.number);
        let delivery = if first < self.again_before { Delivery::Again } else { Delivery::First };
        let begun_at = Instant::now();
        if mutant(Mutant::CursorBeforeCommit) {
            self.pipeline.core.finished(self.role, &batch.finish(&[], begun_at), self.now());
            self.attempts.store(batch, delivery)?;
            batch.clear();
            return Some(());
        }
        let refused = self.attempts.store(batch, delivery)?;
        self.stored(batch, &refused, begun_at);
        batch.clear();
        Some(())
    }

    /// Fills the batch. Waits for its first entry as long as nothing else is to be done, and for the others as long as the
    /// first may wait.
    fn gather(&mut self, batch: &mut Batch) -> Result<Found, String> {
        let mut found = Found::Nothing;
        while !batch.is_full() {
            let deadline = batch.due_at().unwrap_or_else(|| Instant::now() + IDLE_EXPIRY_EVERY);
            let (role, store) = (self.role, self.store);
            let next = batch.next();
            found = self.recent.take(next, deadline, |due| {
                batch.push(due.clone(), is_written(role, store, due), Instant::now());
                !batch.is_full()
            });
            match found {
                Found::Taken => {}
                Found::Behind => match self.read(batch) {
                    Err(_) if !batch.is_empty() => return Ok(Found::Taken),
                    read => read?,
                },
                Found::Nothing => break,
                Found::Ended if batch.is_empty() => break,
                Found::Ended => return Ok(Found::Taken),
            }
        }
        Ok(found)
    }

    /// Takes from the journal's files what is no longer held in memory.
    fn read(&mut self, batch: &mut Batch) -> Result<(), String> {
        let (rows, bytes) = batch.room();
        let mut entries = Vec::new();
        let next = batch.next();
        let on = self.reader.read(next, rows, bytes, &mut entries).map_err(|error| error.to_string())?;
        let mut lost = on.lost.iter().peekable();
        for entry in entries {
            while let Some(range) = lost.next_if(|range| range.first_number <= entry.number) {
                self.lose(batch, range);
            }
            let due = Due { entry, times: None };
            let write = is_written(self.role, self.store, &due);
            batch.push(due, write, Instant::now());
        }
        lost.for_each(|range| self.lose(batch, range));
        if batch.next() == next && on.next > next {
            batch.skip_to(on.next);
        } else if batch.next() == next {
            return Err(format!("entry {next} of the journal is not there"));
        }
        Ok(())
    }

    fn lose(&self, batch: &mut Batch, range: &DamagedRange) {
        tracing::error!(store = self.store, %range, "identities of a damaged part of the journal are lost");
        batch.lose(range);
    }

    /// Settles a batch.
    fn stored(&self, batch: &Batch, refused: &[RefusedRow], begun_at: Instant) {
        let stored_at = Instant::now();
        let now = self.now();
        self.time(batch.entries(), begun_at, stored_at, now);
        self.pipeline.core.finished(self.role, &batch.finish(refused, stored_at), now);
        if let Some(latest) = &self.latest {
            latest.stored(&batch.written(refused));
        }
    }

    fn time(&self, due: &[Due], begun_at: Instant, stored_at: Instant, now: Timestamp) {
        let [queue, write, total] = match self.role {
            Role::Record => [Stage::RecordQueue, Stage::RecordWrite, Stage::ReceivedToRecord],
            Role::Events => [Stage::EventsQueue, Stage::EventsWrite, Stage::ReceivedToEvents],
        };
        let latencies = self.pipeline.latencies();
        for due in due {
            let identities = due.entry.block.identities.len() as u64;
            if identities == 0 {
                continue;
            }
            latencies.record(write, stored_at - begun_at, identities);
            if let Some(times) = due.times {
                latencies.record(queue, begun_at - times.journaled_at, identities);
                latencies.record(total, stored_at - times.received_at, identities);
            } else {
                // It has waited in the files, perhaps since an earlier run: only the wall knows how long.
                let waited_us = now.micros_since(due.entry.accepted_at);
                latencies.record(total, Duration::from_micros(waited_us.try_into().unwrap_or(0)), identities);
            }
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.read().now
    }
}

/// Whether a store is to write an entry, or only to go past it.
fn is_written(role: Role, store: &str, due: &Due) -> bool {
    let block = &due.entry.block;
    let concerned = match role {
        Role::Record => block.rows() > 0,
        Role::Events => !block.identities.is_empty(),
    };
    concerned && due.entry.is_for(store)
}
