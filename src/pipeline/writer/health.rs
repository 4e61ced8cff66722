//! What a store's writer has done since start, and what keeps it from going on.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::domain::time::Timestamp;

/// What keeps a store from being written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The store, the way to it, or its resources: it goes on by itself.
    Unavailable,
    /// A schema, a right or credentials: somebody must mend it.
    Misconfigured,
    /// A refused row cannot be kept: the dead letters are full, or their disk is.
    DeadLetters,
    /// The journal has as many bytes as it may have, and nothing in it is finished.
    Full,
}

impl Trouble {
    /// Its name in metrics and reports.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Misconfigured => "misconfigured",
            Self::DeadLetters => "dead_letters",
            Self::Full => "full",
        }
    }
}

/// No batch is being written.
const NOTHING: i64 = i64::MIN;

/// The counts of one store's writer.
#[derive(Debug)]
pub struct StoreHealth {
    store: &'static str,
    batches: AtomicU64,
    rows: AtomicU64,
    failed_attempts: AtomicU64,
    dead_rows: AtomicU64,
    /// When the oldest entry of the batch being written was accepted; [`NOTHING`] between batches.
    writing_since: AtomicI64,
    trouble: Mutex<Option<(Trouble, String, Instant)>>,
}

impl StoreHealth {
    pub(in crate::pipeline) const fn new(store: &'static str) -> Self {
        Self {
            store,
            batches: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            failed_attempts: AtomicU64::new(0),
            dead_rows: AtomicU64::new(0),
            writing_since: AtomicI64::new(NOTHING),
            trouble: Mutex::new(None),
        }
    }

    /// What the store is called.
    #[must_use]
    pub const fn store(&self) -> &'static str {
        self.store
    }

    /// Batches finished, and the rows in them.
    #[must_use]
    pub fn finished(&self) -> (u64, u64) {
        (self.batches.load(Ordering::Relaxed), self.rows.load(Ordering::Relaxed))
    }

    /// Attempts that failed for another reason than a row that is refused.
    #[must_use]
    pub fn failed_attempts(&self) -> u64 {
        self.failed_attempts.load(Ordering::Relaxed)
    }

    /// Rows that became dead letters.
    #[must_use]
    pub fn dead_rows(&self) -> u64 {
        self.dead_rows.load(Ordering::Relaxed)
    }

    /// When the oldest entry was accepted of what is being written: the oldest that it has not finished.
    #[must_use]
    pub fn writing_since(&self) -> Option<Timestamp> {
        let micros = self.writing_since.load(Ordering::Relaxed);
        (micros != NOTHING).then(|| Timestamp::from_micros(micros))
    }

    /// Notes what is being written now.
    pub(super) fn writes(&self, accepted_at: Option<Timestamp>) {
        self.writing_since.store(accepted_at.map_or(NOTHING, Timestamp::as_micros), Ordering::Relaxed);
    }

    /// What keeps it from going on, in what words, and since when.
    #[must_use]
    pub fn trouble(&self) -> Option<(Trouble, String, Instant)> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn count_batch(&self, rows: usize) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(super) fn count_dead_row(&self) {
        self.dead_rows.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes a failed attempt. Said once an outage and kind, not once an attempt; the counts tell the rest.
    pub(in crate::pipeline) fn fails(&self, trouble: Trouble, reason: String) {
        self.failed_attempts.fetch_add(1, Ordering::Relaxed);
        let mut held = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let since = held.as_ref().filter(|(held, ..)| *held == trouble).map(|&(.., since)| since);
        if since.is_none() {
            let trouble = trouble.label();
            tracing::warn!(
                store = self.store,
                trouble,
                reason,
                "cannot be written to: what is accepted waits"
            );
        }
        *held = Some((trouble, reason, since.unwrap_or_else(Instant::now)));
    }

    /// Notes that it goes on.
    pub(in crate::pipeline) fn works(&self) {
        let ended = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((trouble, _, since)) = ended {
            let (trouble, seconds) = (trouble.label(), since.elapsed().as_secs());
            tracing::info!(store = self.store, trouble, seconds, "is written to again");
        }
    }
}
