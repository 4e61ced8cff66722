//! The threads that write into the stores: the system of record first, then the events, each with its own queue.

mod attempts;
mod health;

use std::io;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use self::attempts::Attempts;
pub use self::health::{StoreHealth, Trouble};
use super::admit::{Pipeline, PipelineSettings};
use super::batch::{Batch, RefusedRow};
use super::core::{Core, QueuedBlock};
use crate::domain::time::Timestamp;
use crate::latency::{Latencies, Stage};
use crate::ports::{BatchWriter, BeaconCache, Clock, DeadLetters, LatestIdentities, SystemOfRecord};
use crate::tasks::TaskGroup;

/// How often the window lets entries leave while nothing is being stored.
const IDLE_EXPIRY_EVERY: Duration = Duration::from_secs(1);

/// What a pipeline stands on.
#[derive(Debug)]
pub struct PipelinePorts {
    /// Answers questions.
    pub record: Arc<dyn SystemOfRecord>,
    /// A cache of beacons between memory and the system of record.
    pub beacon_cache: Option<Arc<dyn BeaconCache>>,
    /// Writes into the system of record, and what that store is called.
    pub record_writer: (&'static str, Box<dyn BatchWriter>),
    /// Writes the events, and what that store is called.
    pub events_writer: Option<(&'static str, Box<dyn BatchWriter>)>,
    /// Hears of what the system of record has.
    pub latest: Option<Arc<dyn LatestIdentities>>,
    /// Takes what a store refuses.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// Where times go.
    pub latencies: Arc<Latencies>,
    /// Loads of registrations beside their use.
    pub refreshes: TaskGroup,
}

/// The writers' threads, from start to their last batch.
#[derive(Debug)]
pub struct WriterThreads {
    threads: Vec<JoinHandle<()>>,
    record: Arc<StoreHealth>,
    events: Option<Arc<StoreHealth>>,
    /// Dropped to end the wait for a store that cannot be written to.
    hurry: Sender<()>,
    /// When no further batch is begun.
    deadline: Arc<OnceLock<Instant>>,
}

impl Pipeline {
    /// Builds the pipeline and starts its writers. `secret` keys the hash of customer ids in memory.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(
        settings: &PipelineSettings,
        ports: PipelinePorts,
        secret: [u8; 16],
    ) -> io::Result<(Arc<Self>, WriterThreads)> {
        // As many blocks as places, so that whoever has a place for a row has room for its block.
        let (sender, queue) = bounded(settings.queue_rows);
        let has_events = ports.events_writer.is_some();
        let core_of = |window| Core::new(window, settings.queue_rows, sender, has_events);
        let pipeline = Arc::new(Self::new(settings, core_of, &ports, secret));
        let (hurry, hurried) = bounded(0);
        let deadline = Arc::new(OnceLock::new());
        let writer = |(store, writer), queue, role| StoreThread {
            pipeline: Arc::clone(&pipeline),
            queue,
            attempts: Attempts::new(
                store,
                writer,
                Arc::clone(&ports.dead_letters),
                Arc::clone(&ports.clock),
                hurried.clone(),
            ),
            clock: Arc::clone(&ports.clock),
            latencies: Arc::clone(&ports.latencies),
            deadline: Arc::clone(&deadline),
            role,
        };
        let mut threads = Vec::new();
        let mut events_health = None;
        let mut to_events = None;
        if let Some(events_writer) = ports.events_writer {
            let (sender, queue) = bounded(settings.queue_rows);
            to_events = Some(sender);
            let thread = writer(events_writer, queue, Role::Events);
            events_health = Some(Arc::clone(thread.attempts.health()));
            let batch = Batch::new(settings.events_batch);
            threads.push(std::thread::Builder::new().name("events".into()).spawn(move || thread.run(batch))?);
        }
        let thread =
            writer(ports.record_writer, queue, Role::Record { latest: ports.latest, events: to_events });
        let record = Arc::clone(thread.attempts.health());
        let batch = Batch::new(settings.batch);
        threads
            .insert(0, std::thread::Builder::new().name("record".into()).spawn(move || thread.run(batch))?);
        Ok((pipeline, WriterThreads { threads, record, events: events_health, hurry, deadline }))
    }
}

impl WriterThreads {
    /// What the writer of the system of record has done.
    #[must_use]
    pub const fn record(&self) -> &Arc<StoreHealth> {
        &self.record
    }

    /// What the writer of the events has done.
    #[must_use]
    pub const fn events(&self) -> Option<&Arc<StoreHealth>> {
        self.events.as_ref()
    }

    /// Waits for their last batches, after [`Pipeline::close`]. A store that cannot be written to is not waited for, and
    /// one that is slow is given no further batch after `drain`.
    pub fn join(self, drain: Duration) {
        let _ = self.deadline.set(Instant::now() + drain);
        drop(self.hurry);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a writer thread panicked");
            }
        }
    }
}

/// What comes after this store.
enum Role {
    Record { latest: Option<Arc<dyn LatestIdentities>>, events: Option<Sender<QueuedBlock>> },
    Events,
}

struct StoreThread {
    pipeline: Arc<Pipeline>,
    queue: Receiver<QueuedBlock>,
    attempts: Attempts,
    clock: Arc<dyn Clock>,
    latencies: Arc<Latencies>,
    deadline: Arc<OnceLock<Instant>>,
    role: Role,
}

impl StoreThread {
    fn run(mut self, mut batch: Batch) {
        let mut recorded = 0;
        loop {
            match self.queue.recv_timeout(IDLE_EXPIRY_EVERY) {
                Ok(_) if self.deadline.get().is_some_and(|deadline| *deadline <= Instant::now()) => break,
                Ok(first) => {
                    self.gather(first, &mut batch);
                    let begun_at = Instant::now();
                    let Some(refused) = self.attempts.store(&batch) else { break };
                    recorded = self.stored(&mut batch, &refused, begun_at);
                }
                Err(RecvTimeoutError::Timeout) => self.pipeline.core.expire(self.now()),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        match self.role {
            // Also whoever came while the queue was closing is told that nothing of it is stored.
            Role::Record { .. } => {
                let undone = self.pipeline.core.undo_after(recorded);
                if undone > 0 {
                    tracing::warn!(
                        identities = undone,
                        "stopped before they were stored: nobody was told that they are"
                    );
                }
            }
            Role::Events => self.pipeline.core.give_up_events(),
        }
    }

    fn gather(&self, first: QueuedBlock, batch: &mut Batch) {
        let mut next = Some(first);
        while let Some(queued) = next {
            let write = match &self.role {
                Role::Record { .. } => !queued.recorded,
                Role::Events => !queued.block.identities.is_empty(),
            };
            batch.push(queued, write, Instant::now());
            next = match batch.due_at() {
                Some(due_at) if !batch.is_full() => self.queue.recv_deadline(due_at).ok(),
                _ => None,
            };
        }
    }

    /// Settles a batch, and hands it on. Answers the number of its last block.
    fn stored(&self, batch: &mut Batch, refused: &[RefusedRow], begun_at: Instant) -> u64 {
        let stored_at = Instant::now();
        self.time(batch.queued(), begun_at, stored_at);
        let finished = batch.finish(refused, stored_at);
        let now = self.now();
        match &self.role {
            Role::Record { latest, events } => {
                self.pipeline.core.recorded(&finished, now);
                if let Some(latest) = latest {
                    latest.stored(batch.blocks());
                }
                let queued = batch.take();
                if let Some(events) = events {
                    hand_on(queued, stored_at, events);
                }
            }
            Role::Events => {
                self.pipeline.core.events_stored(&finished, now);
                batch.take();
            }
        }
        finished.number
    }

    fn time(&self, queued: &[QueuedBlock], begun_at: Instant, stored_at: Instant) {
        let [queue, write, total] = match self.role {
            Role::Record { .. } => [Stage::RecordQueue, Stage::RecordWrite, Stage::ReceivedToRecord],
            Role::Events => [Stage::EventsQueue, Stage::EventsWrite, Stage::ReceivedToEvents],
        };
        for block in queued.iter().filter(|block| block.new_identities() > 0) {
            let identities = block.new_identities();
            self.latencies.record(queue, begun_at - block.handed_on_at, identities);
            self.latencies.record(write, stored_at - begun_at, identities);
            self.latencies.record(total, stored_at - block.received_at, identities);
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.read().now
    }
}

/// Hands blocks on to the writer of events, whose queue has room for as many as there are places.
fn hand_on(queued: Vec<QueuedBlock>, stored_at: Instant, events: &Sender<QueuedBlock>) {
    for block in queued {
        // A writer that has ended is stopping, and whoever waits for it has been told.
        let _ = events.send(QueuedBlock { handed_on_at: stored_at, ..block });
    }
}
