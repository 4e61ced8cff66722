//! The thread that gathers blocks into batches, writes them into the system of record, and settles them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::admit::{Pipeline, PipelineSettings};
use super::batch::{Batch, BatchLimits};
use super::core::{Core, QueuedBlock, SettledUpTo};
use crate::domain::time::Timestamp;
use crate::ports::{BatchWriter, Clock, SystemOfRecord, WriteError};
use crate::tasks::TaskGroup;

/// How often the window lets entries leave while nothing is being stored.
const IDLE_EXPIRY_EVERY: Duration = Duration::from_secs(1);

/// How long to wait before a store is asked again whether a batch in doubt was committed.
const DOUBT_ASKED_EVERY: Duration = Duration::from_millis(250);

/// What the writer has done since start.
#[derive(Debug, Default)]
pub struct WriterHealth {
    batches: AtomicU64,
    rows: AtomicU64,
    undone_batches: AtomicU64,
    undone_rows: AtomicU64,
    failing: AtomicBool,
    in_doubt: AtomicBool,
}

impl WriterHealth {
    /// Batches committed, and the rows in them.
    #[must_use]
    pub fn committed(&self) -> (u64, u64) {
        (self.batches.load(Ordering::Relaxed), self.rows.load(Ordering::Relaxed))
    }

    /// Batches that could not be committed, and the identities undone with them, queued ones included.
    #[must_use]
    pub fn undone(&self) -> (u64, u64) {
        (self.undone_batches.load(Ordering::Relaxed), self.undone_rows.load(Ordering::Relaxed))
    }

    /// Whether the last batch could not be committed.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Whether it is being found out if a batch was committed: nothing is answered until it is.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.in_doubt.load(Ordering::Relaxed)
    }
}

/// The writer's thread, from start to its last batch.
#[derive(Debug)]
pub struct WriterThread {
    thread: JoinHandle<()>,
    health: Arc<WriterHealth>,
    /// Dropped to cut short a wait for a store in doubt.
    hurry: Sender<()>,
}

impl Pipeline {
    /// Builds the pipeline and starts its writer thread. `secret` keys the hash of customer ids in memory.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(
        settings: &PipelineSettings,
        record: Arc<dyn SystemOfRecord>,
        writer: Box<dyn BatchWriter>,
        clock: Arc<dyn Clock>,
        secret: [u8; 16],
        refreshes: TaskGroup,
    ) -> io::Result<(Arc<Self>, WriterThread)> {
        // As many blocks as rows, so that whoever has room for a row has room for its block.
        let (sender, queue) = bounded(settings.queue_rows);
        let core_of = |window| Core::new(window, settings.queue_rows, sender);
        let pipeline = Arc::new(Self::new(settings, core_of, record, Arc::clone(&clock), secret, refreshes));
        let (hurry, hurried) = bounded(0);
        let health = Arc::new(WriterHealth::default());
        let run = Writer {
            pipeline: Arc::clone(&pipeline),
            queue,
            writer,
            clock,
            health: Arc::clone(&health),
            hurried,
        };
        let limits = settings.batch;
        let thread = std::thread::Builder::new().name("writer".into()).spawn(move || run.run(limits))?;
        Ok((pipeline, WriterThread { thread, health, hurry }))
    }
}

impl WriterThread {
    /// What it has done.
    #[must_use]
    pub const fn health(&self) -> &Arc<WriterHealth> {
        &self.health
    }

    /// Whether it has written its last batch.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for its last batch, after [`Pipeline::close`]. A store in doubt is asked once more, not for ever.
    pub fn join(self) {
        drop(self.hurry);
        if self.thread.join().is_err() {
            tracing::error!("the writer thread panicked");
        }
    }
}

struct Writer {
    pipeline: Arc<Pipeline>,
    queue: Receiver<QueuedBlock>,
    writer: Box<dyn BatchWriter>,
    clock: Arc<dyn Clock>,
    health: Arc<WriterHealth>,
    hurried: Receiver<()>,
}

impl Writer {
    fn run(mut self, limits: BatchLimits) {
        let mut batch = Batch::new(limits);
        loop {
            match self.queue.recv_timeout(IDLE_EXPIRY_EVERY) {
                Ok(first) => {
                    let upto = self.gather(first, &mut batch);
                    self.write(&batch, upto);
                    batch.clear();
                }
                Err(RecvTimeoutError::Timeout) => self.pipeline.core.expire(self.now()),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        // Whoever came while the queue was closing is told that nothing of it is stored.
        self.pipeline.core.undo(&self.queue, 0);
    }

    fn gather(&self, first: QueuedBlock, batch: &mut Batch) -> SettledUpTo {
        let mut upto = SettledUpTo::default();
        let mut next = Some(first);
        while let Some(queued) = next {
            upto.number = queued.number;
            upto.position = queued.last_position.or(upto.position);
            upto.identities += queued.block.identities.len() as u64;
            batch.push(queued.block, Instant::now());
            next = match batch.due_at() {
                Some(due_at) if !batch.is_full() => self.queue.recv_deadline(due_at).ok(),
                _ => None,
            };
        }
        upto
    }

    fn write(&mut self, batch: &Batch, upto: SettledUpTo) {
        match self.writer.write(batch.blocks()) {
            Ok(()) => self.committed(batch, upto),
            Err(WriteError::NotCommitted(error)) => self.undo(batch, &error.to_string()),
            Err(WriteError::InDoubt(error)) => {
                tracing::error!(%error, rows = batch.rows(), "a commit is in doubt: answers wait until it is known");
                self.health.in_doubt.store(true, Ordering::Relaxed);
                let committed = self.resolve_doubt(batch);
                self.health.in_doubt.store(false, Ordering::Relaxed);
                match committed {
                    Some(true) => self.committed(batch, upto),
                    Some(false) => self.undo(batch, "the commit in doubt did not happen"),
                    None => self.undo(batch, "stopping with a commit in doubt"),
                }
            }
        }
    }

    /// Asks until the store says whether the batch is there; `None` when the daemon stops before.
    fn resolve_doubt(&mut self, batch: &Batch) -> Option<bool> {
        loop {
            match self.writer.was_committed(batch.blocks()) {
                Ok(committed) => return Some(committed),
                Err(error) => tracing::debug!(%error, "the batch in doubt cannot be asked about yet"),
            }
            match self.hurried.recv_timeout(DOUBT_ASKED_EVERY) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    fn committed(&self, batch: &Batch, upto: SettledUpTo) {
        self.health.batches.fetch_add(1, Ordering::Relaxed);
        self.health.rows.fetch_add(batch.rows() as u64, Ordering::Relaxed);
        if self.health.failing.swap(false, Ordering::Relaxed) {
            tracing::info!("the store commits again");
        }
        self.pipeline.core.committed(upto, batch.places(), self.now());
    }

    fn undo(&self, batch: &Batch, reason: &str) {
        let undone = self.pipeline.core.undo(&self.queue, batch.places());
        self.health.undone_batches.fetch_add(1, Ordering::Relaxed);
        self.health.undone_rows.fetch_add(undone as u64, Ordering::Relaxed);
        // Said once an outage, not once a batch; the counts tell the rest.
        if !self.health.failing.swap(true, Ordering::Relaxed) {
            tracing::warn!(reason, "the store does not commit: what is not stored is answered undecided");
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.read().now
    }
}
