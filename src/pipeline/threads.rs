//! The threads of a pipeline, from its start to their last entry.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::admit::{Pipeline, PipelineSettings};
use super::batch::Batch;
use super::core::Core;
use super::journaling::Journaling;
use super::ports::PipelinePorts;
use super::progress::{Role, StoreProgress};
use super::recent::Recent;
use super::recovery::{Recovered, recover};
use super::writer::{Sources, StoreHealth, StoreThread};
use crate::domain::window::CustomerHasher;
use crate::journal::{JournalReader, JournalUsage, OpenError, Opened};
use crate::ports::{Clock, DeadLetters, LatestIdentities};

/// Bytes of entries held in memory for the stores, at most.
const RECENT_BYTES: usize = 64 << 20;

/// Why a pipeline did not start.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// Its journal.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// A thread.
    #[error("a thread could not be started: {0}")]
    Thread(#[from] io::Error),
}

/// The threads of a pipeline.
#[derive(Debug)]
pub struct WriterThreads {
    journaling: JoinHandle<Journaling>,
    stores: Vec<JoinHandle<()>>,
    recent: Arc<Recent>,
    pipeline: Arc<Pipeline>,
    journal: Arc<StoreHealth>,
    usage: JournalReader,
    record: Arc<StoreHealth>,
    events: Option<Arc<StoreHealth>>,
    /// Dropped to end the wait for a store, or a disk, that cannot be written to.
    hurry: Sender<()>,
    /// When no further batch is begun.
    deadline: Arc<OnceLock<Instant>>,
    /// Closed when every store's thread has ended.
    stores_ended: Receiver<()>,
    gave_up: Arc<AtomicBool>,
}

/// What was left when the threads had ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// Identities in the journal that a store has not got, of the store that lacks most.
    pub identities: u64,
    /// Entries in the journal that a store has not finished: whatever they hold.
    pub entries: u64,
    /// Frames had been taken in that the journal could not take: they were answered so.
    pub undone: bool,
}

/// What store threads share.
pub(super) struct PipelineParts<'p> {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) dead_letters: Arc<dyn DeadLetters>,
    pub(super) latest: Option<Arc<dyn LatestIdentities>>,
    pub(super) hurried: &'p Receiver<()>,
    pub(super) deadline: &'p Arc<OnceLock<Instant>>,
}

impl Pipeline {
    /// Reads the journal, builds the pipeline and starts its threads. `secret` keys the hash of customer ids in memory.
    ///
    /// # Errors
    /// When the journal is of another version or cannot be read, or a thread cannot be started.
    pub fn start(
        settings: &PipelineSettings,
        ports: PipelinePorts,
        secret: [u8; 16],
    ) -> Result<(Arc<Self>, WriterThreads), PipelineError> {
        let hasher = CustomerHasher::new(secret);
        let (record, events) = (ports.record_writer.0, ports.events_writer.as_ref().map(|(store, _)| *store));
        let Recovered { mut state, journal } = recover(settings, &hasher, record, events)?;
        let Opened { appender, reader, recovery } = journal;
        // As many entries as places, so that whoever has a place for a row has room for its entry.
        let (sender, queue) = bounded(settings.queue_rows);
        state.queue = Some(sender);
        let recent = Arc::new(Recent::new(state.undurable_from, settings.queue_rows, RECENT_BYTES));
        let cursor = |progress: &StoreProgress| (progress.next, progress.first_identity);
        let (record_from, events_from) = (cursor(&state.record), state.events.as_ref().map(cursor));
        let pipeline = Arc::new(Self::new(settings, Core::new(state, settings.queue_rows), hasher, &ports));
        let (hurry, hurried) = bounded(0);
        let deadline = Arc::new(OnceLock::new());
        let parts = PipelineParts {
            clock: ports.clock,
            dead_letters: ports.dead_letters,
            latest: ports.latest,
            hurried: &hurried,
            deadline: &deadline,
        };
        let sources = || Sources {
            recent: Arc::clone(&recent),
            reader: reader.clone(),
            again_before: recovery.next_number,
        };
        let mut stores = Vec::new();
        let (not_ended, stores_ended) = bounded::<()>(0);
        let mut start = |thread: StoreThread, batch: Batch, name: &str| {
            let health = Arc::clone(thread.health());
            let not_ended = not_ended.clone();
            stores.push(Builder::new().name(name.to_owned()).spawn(move || {
                thread.run(batch);
                drop(not_ended);
            })?);
            Ok::<_, io::Error>(health)
        };
        let thread = StoreThread::new(&pipeline, Role::Record, ports.record_writer, sources(), &parts);
        let record = start(thread, Batch::new(settings.batch, record_from.0, record_from.1), "record")?;
        let mut events = None;
        if let (Some(writer), Some(from)) = (ports.events_writer, events_from) {
            let thread = StoreThread::new(&pipeline, Role::Events, writer, sources(), &parts);
            events = Some(start(thread, Batch::new(settings.events_batch, from.0, from.1), "events")?);
        }
        drop(not_ended);
        let journaling =
            Journaling::new(Arc::clone(&pipeline), queue, appender, Arc::clone(&recent), hurried);
        let (journal, gave_up) = (Arc::clone(&journaling.health), Arc::clone(&journaling.gave_up));
        let tail = recovery.tail;
        let journaling = Builder::new().name("journal".into()).spawn(move || journaling.run(&tail))?;
        let threads = WriterThreads {
            journaling,
            stores,
            recent,
            pipeline: Arc::clone(&pipeline),
            journal,
            usage: reader,
            record,
            events,
            hurry,
            deadline,
            stores_ended,
            gave_up,
        };
        Ok((pipeline, threads))
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

    /// What keeps the journal from being written to.
    #[must_use]
    pub const fn journal(&self) -> &Arc<StoreHealth> {
        &self.journal
    }

    /// Reads how much of the journal is used, also while the threads run.
    pub fn journal_usage(&self) -> impl Fn() -> JournalUsage + Send + Sync + Clone + 'static {
        let reader = self.usage.clone();
        move || reader.usage()
    }

    /// Says from when on no further batch is begun, and that a store or a disk that cannot be written to is not waited for.
    pub fn hurry(&mut self, deadline: Instant) {
        let _ = self.deadline.set(deadline);
        // Receivers see the channel closed.
        self.hurry = bounded(0).0;
    }

    /// Waits for the last entries, after [`Pipeline::close`] and [`Self::hurry`]: what has been taken in goes into the
    /// journal, and from it into the stores as far as the time allows. The rest stays in the journal. A store that has not
    /// come back with its last batch `until` then is left alone: its thread ends with the process.
    #[must_use]
    pub fn join(self, until: Instant) -> Left {
        let journaling = self.journaling.join();
        self.recent.end();
        let late = self.stores_ended.recv_deadline(until) == Err(RecvTimeoutError::Timeout);
        for thread in self.stores {
            if late && !thread.is_finished() {
                let name = thread.thread().name().unwrap_or_default();
                tracing::warn!(store = name, "has not come back in time: what it was given is written again");
            } else if thread.join().is_err() {
                tracing::error!("a store's thread panicked");
            }
        }
        match journaling {
            Ok(mut journaling) => journaling.keep_state(),
            Err(_) => tracing::error!("the journal's thread panicked"),
        }
        self.pipeline.core.give_up_stored();
        let state = self.pipeline.core.lock();
        let identities = state.ledger.stores().map(|store| store.waiting).max().unwrap_or(0);
        let entries = state.undurable_from.saturating_sub(state.unfinished_from());
        Left { identities, entries, undone: self.gave_up.load(Ordering::Relaxed) }
    }
}
