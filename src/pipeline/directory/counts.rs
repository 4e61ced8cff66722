//! What a directory counts.

use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};

/// Plain numbers of a directory: totals since start, then what is so now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryCounts {
    /// Registrations answered from memory within their time.
    pub from_memory: u64,
    /// "Not registered", answered from memory.
    pub absent_from_memory: u64,
    /// Answers that came with a load from the shared cache.
    pub from_shared_cache: u64,
    /// Answers that came with a load from the system of record, registered or not.
    pub from_record: u64,
    /// Registrations that served past their time, since the system of record could not be asked.
    pub served_expired: u64,
    /// Questions left unanswered: the sightings concerned are `undecided`.
    pub cannot_say: u64,
    /// Questions put to the system of record.
    pub loads: u64,
    /// Those of them that failed.
    pub failed_loads: u64,
    /// Loads thrown away because a notice overlapped them.
    pub thrown_away: u64,
    /// Questions and writes to the shared cache that failed.
    pub shared_cache_failures: u64,
    /// Keys told to have changed.
    pub notices: u64,
    /// Keys in memory, registered or not; about.
    pub entries: u64,
    /// Keys that the shared cache has still to forget.
    pub owed: u64,
    /// Whether the system of record could not be asked the last time it was tried: expired registrations serve.
    pub record_failing: bool,
    /// The same of the shared cache.
    pub shared_cache_failing: bool,
    /// Whether what the shared cache says is confirmed by the system of record, since it was not told of every change.
    pub shared_cache_distrusted: bool,
    /// Whether every change is being told.
    pub followed: bool,
}

/// The totals while they move. On cache lines of their own: every look-up writes here.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct Counters {
    pub(super) from_memory: Counter,
    pub(super) absent_from_memory: Counter,
    pub(super) from_shared_cache: Counter,
    pub(super) from_record: Counter,
    pub(super) served_expired: Counter,
    pub(super) cannot_say: Counter,
    pub(super) loads: Counter,
    pub(super) failed_loads: Counter,
    pub(super) thrown_away: Counter,
    pub(super) notices: Counter,
}

#[derive(Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn one(&self) {
        self.add(1);
    }

    pub(super) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
