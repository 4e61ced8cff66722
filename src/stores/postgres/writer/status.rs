//! What the writer has found and decided, for operators.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::ForeignKeys;

/// What a [`super::PostgresWriter`] has found and decided so far.
#[derive(Debug, Default)]
pub struct PostgresWriterStatus {
    near_rows: AtomicU64,
    merges: AtomicU64,
    /// 0 before the first connection, then as [`ForeignKeys`].
    foreign_keys: AtomicU8,
}

const BY_BATCH: u8 = 1;
const BY_ROW: u8 = 2;

/// Rows named in one message.
const NAMED_ROWS: usize = 8;

impl PostgresWriterStatus {
    /// Rows written that lay under 60 s from another identity of their customer: the rule of one minute was broken. A row
    /// counts again when it is written again. It must be 0.
    #[must_use]
    pub fn near_rows(&self) -> u64 {
        self.near_rows.load(Ordering::Relaxed)
    }

    /// How many times a batch, or a part of it, was merged through the staging table.
    #[must_use]
    pub fn merges(&self) -> u64 {
        self.merges.load(Ordering::Relaxed)
    }

    /// Who checks foreign keys, as the last connection found possible; nothing before the first.
    #[must_use]
    pub fn foreign_keys(&self) -> Option<ForeignKeys> {
        match self.foreign_keys.load(Ordering::Relaxed) {
            BY_BATCH => Some(ForeignKeys::CheckedByBatch),
            BY_ROW => Some(ForeignKeys::CheckedByRow),
            _ => None,
        }
    }

    pub(super) fn merged(&self) {
        self.merges.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts and names rows that are too near to others. By their own ids, never the customer's.
    pub(super) fn found_near(&self, ids: &[i64]) {
        if ids.is_empty() {
            return;
        }
        self.near_rows.fetch_add(ids.len() as u64, Ordering::Relaxed);
        tracing::warn!(
            rows = ids.len(),
            ids = ?&ids[..ids.len().min(NAMED_ROWS)],
            "identities under 60 s from another of their customer are in customer_identities"
        );
    }

    /// Notes who checks foreign keys on a new connection, and says so when it is not what was asked for.
    pub(super) fn checks(&self, wanted: ForeignKeys, obstacle: Option<&'static str>) -> ForeignKeys {
        let (found, code) = match (wanted, obstacle) {
            (ForeignKeys::CheckedByBatch, None) => (ForeignKeys::CheckedByBatch, BY_BATCH),
            (ForeignKeys::CheckedByBatch, Some(_)) | (ForeignKeys::CheckedByRow, _) => {
                (ForeignKeys::CheckedByRow, BY_ROW)
            }
        };
        let before = self.foreign_keys.swap(code, Ordering::Relaxed);
        if let Some(obstacle) = obstacle
            && before != code
        {
            tracing::info!(obstacle, "PostgreSQL checks foreign keys row by row");
        }
        found
    }
}
