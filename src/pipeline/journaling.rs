//! The journal's thread: gathers what is decided, makes it durable with one sync for all that wait, and lets the answers go.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::admit::Pipeline;
use super::core::QueuedEntry;
use super::recent::{Due, DueTimes, Recent};
use super::writer::{StoreHealth, Trouble};
use crate::backoff::Backoff;
use crate::faults::{Mutant, mutant};
use crate::journal::{AppendError, Appender, JournalEntry, JournalState};
use crate::latency::Stage;

/// How often cursors are kept while nothing else is.
const IDLE: Duration = Duration::from_millis(200);

/// How far apart cursors are kept beside entries, at least.
const STATE_APART: Duration = Duration::from_millis(50);

/// Rows and bytes of one group at most; what waits beyond goes with the next one.
const GROUP_ROWS: usize = 65_536;
const GROUP_BYTES: usize = 8 << 20;

/// A group in memory is at most this part of a segment: in the files it is longer, and goes into one of them whole.
const GROUP_OF_SEGMENT: u64 = 8;

/// Waits after a failure of the disk are drawn from up to these.
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Identities that leave the window before their time at once, and how long ago they were accepted: longer than any
/// question about late sightings may take.
const EXPIRED_AT_ONCE: usize = 4_096;
const EXPIRED_EARLY_AFTER_US: i64 = 30 * 1_000_000;

/// Makes entries durable.
#[derive(Debug)]
pub(super) struct Journaling {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) queue: Receiver<QueuedEntry>,
    pub(super) appender: Appender,
    pub(super) recent: Arc<Recent>,
    pub(super) health: Arc<StoreHealth>,
    /// Closed to end the wait for a disk that does not take anything.
    pub(super) hurried: Receiver<()>,
    /// Whether it has stopped with entries that could not be made durable.
    pub(super) gave_up: Arc<AtomicBool>,
    group_bytes: usize,
    kept: Kept,
}

/// The state that was kept last, and when.
#[derive(Debug)]
struct Kept {
    state: Option<JournalState>,
    at: Instant,
    keep_from: u64,
}

impl Journaling {
    pub(super) fn new(
        pipeline: Arc<Pipeline>,
        queue: Receiver<QueuedEntry>,
        appender: Appender,
        recent: Arc<Recent>,
        hurried: Receiver<()>,
        segment_bytes: u64,
    ) -> Self {
        let of_segment = usize::try_from(segment_bytes / GROUP_OF_SEGMENT).unwrap_or(GROUP_BYTES);
        let group_bytes = of_segment.min(GROUP_BYTES);
        let kept = Kept { state: None, at: Instant::now(), keep_from: 0 };
        let health = Arc::new(StoreHealth::new("journal"));
        Self {
            pipeline,
            queue,
            appender,
            recent,
            health,
            hurried,
            gave_up: Arc::default(),
            group_bytes,
            kept,
        }
    }

    /// Runs until the queue ends, or the disk takes nothing more when it is hurried. `tail` goes first.
    pub(super) fn run(mut self, tail: &[Arc<JournalEntry>]) -> Self {
        if !tail.is_empty() && !self.make_durable(tail, &[]) {
            self.give_up(Vec::new());
            return self;
        }
        let mut group = Vec::new();
        let mut entries = Vec::new();
        loop {
            match self.queue.recv_timeout(IDLE) {
                Ok(first) => {
                    self.gather(first, &mut group);
                    entries.extend(group.iter().map(|queued| Arc::clone(&queued.entry)));
                    if !self.make_durable(&entries, &group) {
                        self.give_up(group);
                        return self;
                    }
                    entries.clear();
                    group.clear();
                }
                Err(RecvTimeoutError::Timeout) => self.keep_state(),
                Err(RecvTimeoutError::Disconnected) => return self,
            }
        }
    }

    /// Keeps the cursors as they are now, if that has changed anything. A failure is only one to come again.
    pub(super) fn keep_state(&mut self) {
        if let Some((state, keep_from)) = self.changed_state() {
            match self.appender.append(&[], Some(&state)) {
                Ok(()) => {
                    self.kept_state(state, keep_from);
                    self.health.works();
                }
                Err(error) => self.fails(&error),
            }
        }
    }

    fn gather(&self, first: QueuedEntry, group: &mut Vec<QueuedEntry>) {
        let (mut rows, mut bytes) = (0, 0);
        let mut next = Some(first);
        while let Some(queued) = next {
            rows += queued.entry.block.rows();
            bytes += queued.entry.block.bytes();
            group.push(queued);
            next =
                (rows < GROUP_ROWS && bytes < self.group_bytes).then(|| self.queue.try_recv().ok()).flatten();
        }
    }

    /// Appends until it is durable; `false` when the disk takes nothing and the daemon stops.
    fn make_durable(&mut self, entries: &[Arc<JournalEntry>], group: &[QueuedEntry]) -> bool {
        let begun_at = Instant::now();
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        let kept = loop {
            let state = if self.kept.at.elapsed() >= STATE_APART { self.changed_state() } else { None };
            match self.appender.append(entries, state.as_ref().map(|(state, _)| state)) {
                Ok(()) => break state,
                Err(AppendError::Io(_)) if mutant(Mutant::LeanOnFailedSync) => break None,
                Err(error) => {
                    self.fails(&error);
                    match &error {
                        AppendError::Full { .. } => self.make_room(),
                        AppendError::Io(error) if error.kind() == io::ErrorKind::StorageFull => {
                            self.make_room()
                        }
                        AppendError::Io(_) => {}
                    }
                    if self.is_hurried(backoff.wait()) {
                        return false;
                    }
                }
            }
        };
        self.health.works();
        let durable_at = Instant::now();
        let unneeded = self.pipeline.core.durable(entries, durable_at);
        self.time(group, begun_at, durable_at);
        let due = |(place, entry): (usize, &Arc<JournalEntry>)| {
            let times = group
                .get(place)
                .map(|queued| DueTimes { received_at: queued.received_at, journaled_at: durable_at });
            Due { entry: Arc::clone(entry), times }
        };
        self.recent.push(entries.iter().enumerate().map(due), unneeded);
        // After the answers: freeing segments takes a sync of its own.
        if let Some((state, keep_from)) = kept {
            self.kept_state(state, keep_from);
        }
        true
    }

    /// Frees segments: what the stores have finished meanwhile, and what only the window keeps.
    fn make_room(&mut self) {
        let now = self.pipeline.clock.read().now;
        let accepted_before = now.plus_micros(-EXPIRED_EARLY_AFTER_US);
        while self.pipeline.core.expire_early(now, accepted_before, EXPIRED_AT_ONCE) == EXPIRED_AT_ONCE {}
        self.keep_state();
    }

    fn changed_state(&self) -> Option<(JournalState, u64)> {
        let (state, keep_from) = self.pipeline.core.journal_state();
        (self.kept.state.as_ref() != Some(&state) || keep_from != self.kept.keep_from)
            .then_some((state, keep_from))
    }

    fn kept_state(&mut self, state: JournalState, keep_from: u64) {
        // What could not be freed is to be tried again, though nothing else has changed.
        let keep_from = match self.appender.recycle(keep_from) {
            Ok(_) => keep_from,
            Err(_) => self.kept.keep_from,
        };
        self.kept = Kept { state: Some(state), at: Instant::now(), keep_from };
    }

    fn give_up(&self, mut left: Vec<QueuedEntry>) {
        // Whoever is between its place and its decision is waited for by the queue's end.
        left.extend(self.queue.iter());
        self.pipeline.core.undo(&left);
        self.gave_up.store(true, Ordering::Relaxed);
        tracing::warn!(
            frames = left.len(),
            "stopped before they were in the journal: nobody was told that they are"
        );
    }

    fn fails(&self, error: &AppendError) {
        let trouble = match error {
            AppendError::Full { .. } => Trouble::Full,
            AppendError::Io(_) => Trouble::Unavailable,
        };
        self.health.fails(trouble, error.to_string());
    }

    /// Waits, and tells whether the daemon stops.
    fn is_hurried(&self, wait: Duration) -> bool {
        !matches!(self.hurried.recv_timeout(wait), Err(RecvTimeoutError::Timeout))
    }

    fn time(&self, group: &[QueuedEntry], begun_at: Instant, durable_at: Instant) {
        let latencies = self.pipeline.latencies();
        for queued in group {
            let identities = queued.entry.block.identities.len() as u64;
            latencies.record(Stage::JournalQueue, begun_at - queued.decided_at, identities);
            latencies.record(Stage::JournalWrite, durable_at - begun_at, identities);
        }
    }
}
