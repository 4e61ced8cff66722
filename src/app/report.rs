//! The ledger and everything counted beside it, as one report.

use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::listen::{ListenCounters, ListenCounts};
use crate::pipeline::{Ledger, Pipeline, StoreHealth};

/// What `beacond stats --json` prints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Version of the daemon.
    pub version: String,
    /// Seconds since its start.
    pub uptime_s: u64,
    /// The ledger: one snapshot.
    pub ledger: Ledger,
    /// The equation of the ledger that does not hold: never there.
    pub imbalance: Option<String>,
    /// Sessions, frames and refusals.
    pub listeners: ListenCounts,
    /// The writers of the stores: the system of record first.
    pub writers: Vec<WriterReport>,
    /// Places taken in the queue before the stores: rows on their way, about.
    pub queued_rows: usize,
    /// The duplicate window.
    pub window: WindowReport,
    /// The directory of beacons.
    pub beacons: DirectoryReport,
    /// The registry of gateways.
    pub gateways: DirectoryReport,
}

/// What a store's writer has done.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WriterReport {
    /// Which store.
    pub store: String,
    /// Batches finished.
    pub batches: u64,
    /// Rows in them.
    pub rows: u64,
    /// Attempts that failed, but for those of which a row was refused.
    pub failed_attempts: u64,
    /// Rows that became dead letters.
    pub dead_rows: u64,
    /// What keeps it from going on.
    pub trouble: Option<TroubleReport>,
}

/// What keeps a writer from going on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TroubleReport {
    /// `unavailable`, `misconfigured` or `dead_letters`.
    pub kind: String,
    /// In the store's words.
    pub reason: String,
    /// For how long.
    pub seconds: u64,
}

impl WriterReport {
    fn of(health: &StoreHealth) -> Self {
        let (batches, rows) = health.finished();
        Self {
            store: health.store().to_owned(),
            batches,
            rows,
            failed_attempts: health.failed_attempts(),
            dead_rows: health.dead_rows(),
            trouble: health.trouble().map(|(trouble, reason, since)| TroubleReport {
                kind: trouble.label().to_owned(),
                reason,
                seconds: since.elapsed().as_secs(),
            }),
        }
    }
}

/// The duplicate window now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WindowReport {
    /// Identities in it.
    pub entries: usize,
    /// Bytes it has allocated.
    pub bytes: usize,
}

/// Loads of a directory from the system of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DirectoryReport {
    /// Begun.
    pub loads: u64,
    /// Failed of them.
    pub failed_loads: u64,
}

/// Reads a running daemon.
#[derive(Debug, Clone)]
pub(super) struct Observer {
    started_at: Instant,
    pipeline: Arc<Pipeline>,
    listeners: Arc<ListenCounters>,
    writers: Vec<Arc<StoreHealth>>,
}

impl Observer {
    /// An observer of these parts, started now.
    #[must_use]
    pub(super) fn new(
        pipeline: Arc<Pipeline>,
        listeners: Arc<ListenCounters>,
        writers: Vec<Arc<StoreHealth>>,
    ) -> Self {
        Self { started_at: Instant::now(), pipeline, listeners, writers }
    }

    /// The ledger alone.
    #[must_use]
    pub(super) fn ledger(&self) -> Ledger {
        self.pipeline.ledger()
    }

    /// Reads everything; the ledger is one snapshot, the rest is read beside it.
    #[must_use]
    pub(super) fn report(&self) -> Report {
        let ledger = self.pipeline.ledger();
        let (entries, bytes) = self.pipeline.window_size();
        let loads = |(loads, failed_loads)| DirectoryReport { loads, failed_loads };
        Report {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_s: self.started_at.elapsed().as_secs(),
            imbalance: ledger.imbalance(),
            ledger,
            listeners: self.listeners.read(),
            writers: self.writers.iter().map(|health| WriterReport::of(health)).collect(),
            queued_rows: self.pipeline.queued(),
            window: WindowReport { entries, bytes },
            beacons: loads(self.pipeline.beacons().loads()),
            gateways: loads(self.pipeline.gateways().loads()),
        }
    }
}
