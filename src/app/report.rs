//! The ledger and everything counted beside it, as one report.

use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::listen::{ListenCounters, ListenCounts};
use crate::pipeline::{Ledger, Pipeline, WriterHealth};

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
    /// The writer of the system of record.
    pub writer: WriterReport,
    /// The duplicate window.
    pub window: WindowReport,
    /// The directory of beacons.
    pub beacons: DirectoryReport,
    /// The registry of gateways.
    pub gateways: DirectoryReport,
}

/// What the writer has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WriterReport {
    /// Batches committed.
    pub batches: u64,
    /// Rows in them.
    pub rows: u64,
    /// Batches that could not be committed.
    pub undone_batches: u64,
    /// Identities undone with them.
    pub undone_rows: u64,
    /// Whether the last batch could not be committed.
    pub failing: bool,
    /// Whether nothing is answered until it is known if a batch was committed.
    pub in_doubt: bool,
    /// Rows on their way to the store, about.
    pub queued_rows: usize,
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
    writer: Arc<WriterHealth>,
}

impl Observer {
    /// An observer of these parts, started now.
    #[must_use]
    pub(super) fn new(
        pipeline: Arc<Pipeline>,
        listeners: Arc<ListenCounters>,
        writer: Arc<WriterHealth>,
    ) -> Self {
        Self { started_at: Instant::now(), pipeline, listeners, writer }
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
        let (batches, rows) = self.writer.committed();
        let (undone_batches, undone_rows) = self.writer.undone();
        let (entries, bytes) = self.pipeline.window_size();
        let loads = |(loads, failed_loads)| DirectoryReport { loads, failed_loads };
        Report {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_s: self.started_at.elapsed().as_secs(),
            imbalance: ledger.imbalance(),
            ledger,
            listeners: self.listeners.read(),
            writer: WriterReport {
                batches,
                rows,
                undone_batches,
                undone_rows,
                failing: self.writer.is_failing(),
                in_doubt: self.writer.is_in_doubt(),
                queued_rows: self.pipeline.queued(),
            },
            window: WindowReport { entries, bytes },
            beacons: loads(self.pipeline.beacons().loads()),
            gateways: loads(self.pipeline.gateways().loads()),
        }
    }
}
