//! What the writer of events shows while it works.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counters and gauges since start, read by whoever serves metrics. Whoever tunes the writer by hand needs all of them:
/// a limit that does not rise is explained by throttling, or by calls in flight that never reach it.
#[derive(Debug, Default)]
pub struct DynamoDbHealth {
    call_limit: AtomicU64,
    calls_in_flight: AtomicU64,
    last_round_trip_us: AtomicU64,
    calls: AtomicU64,
    throttled_calls: AtomicU64,
    unprocessed_items: AtomicU64,
    failed_calls: AtomicU64,
    stored_items: AtomicU64,
}

impl DynamoDbHealth {
    /// Calls that may be in flight now.
    #[must_use]
    pub fn call_limit(&self) -> u64 {
        self.call_limit.load(Ordering::Relaxed)
    }

    /// Calls in flight now.
    #[must_use]
    pub fn calls_in_flight(&self) -> u64 {
        self.calls_in_flight.load(Ordering::Relaxed)
    }

    /// How long the last call that was answered took.
    #[must_use]
    pub fn last_round_trip(&self) -> Duration {
        Duration::from_micros(self.last_round_trip_us.load(Ordering::Relaxed))
    }

    /// Calls that came to an end, however.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Calls refused as a whole because there were too many.
    #[must_use]
    pub fn throttled_calls(&self) -> u64 {
        self.throttled_calls.load(Ordering::Relaxed)
    }

    /// Items that came back in an answer as not written; one that came back twice counts twice.
    #[must_use]
    pub fn unprocessed_items(&self) -> u64 {
        self.unprocessed_items.load(Ordering::Relaxed)
    }

    /// Calls that failed otherwise: not answered, not in time, refused.
    #[must_use]
    pub fn failed_calls(&self) -> u64 {
        self.failed_calls.load(Ordering::Relaxed)
    }

    /// Items acknowledged by the store; one sent again after its answer was lost may count twice.
    #[must_use]
    pub fn stored_items(&self) -> u64 {
        self.stored_items.load(Ordering::Relaxed)
    }

    pub(super) fn limited_to(&self, calls: usize) {
        self.call_limit.store(calls as u64, Ordering::Relaxed);
    }

    pub(super) fn in_flight(&self, calls: usize) {
        self.calls_in_flight.store(calls as u64, Ordering::Relaxed);
    }

    pub(super) fn answered(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.last_round_trip_us.store(micros, Ordering::Relaxed);
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn stored(&self, items: usize) {
        self.stored_items.fetch_add(items as u64, Ordering::Relaxed);
    }

    pub(super) fn unprocessed(&self, items: usize) {
        self.unprocessed_items.fetch_add(items as u64, Ordering::Relaxed);
    }

    pub(super) fn throttled(&self) {
        self.throttled_calls.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.failed_calls.fetch_add(1, Ordering::Relaxed);
    }
}
