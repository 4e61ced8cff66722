//! How Redis is doing: whether it answers, and what became of what was for it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::watch;

/// Whether Redis answers, and its counts. Read by readiness and by metrics.
#[derive(Debug)]
pub struct RedisHealth {
    up: watch::Sender<bool>,
    /// Whether it has been said that it is down: also at a start, where it was never up.
    said_down: AtomicBool,
    said_refused: AtomicBool,
    pub(super) counters: Counters,
}

/// What [`RedisCounts`] is read from.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) customers_written: AtomicU64,
    pub(super) customers_superseded: AtomicU64,
    pub(super) customers_failed: AtomicU64,
    pub(super) customers_dropped: AtomicU64,
    pub(super) beacons_kept: AtomicU64,
    pub(super) beacons_malformed: AtomicU64,
    pub(super) requests_failed: AtomicU64,
    pub(super) times_down: AtomicU64,
}

/// Counts since start. Every identity offered ends in one of the four `customers_`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RedisCounts {
    /// Identities that became their customer's hash.
    pub customers_written: u64,
    /// Identities that a newer one, or themselves, had come before.
    pub customers_superseded: u64,
    /// Identities sent, and refused or not answered in time: they may be there or not.
    pub customers_failed: u64,
    /// Identities not sent: the queue was full, or Redis was down.
    pub customers_dropped: u64,
    /// Beacons written; one whose version was held already does not count.
    pub beacons_kept: u64,
    /// Hashes of beacons that the model does not allow: treated as not held, and removed.
    pub beacons_malformed: u64,
    /// Questions about beacons, and beacons to keep or forget, that failed after they were sent.
    pub requests_failed: u64,
    /// Times that it went down.
    pub times_down: u64,
}

impl RedisHealth {
    pub(super) fn new() -> Self {
        Self {
            up: watch::Sender::new(false),
            said_down: AtomicBool::new(false),
            said_refused: AtomicBool::new(false),
            counters: Counters::default(),
        }
    }

    /// Whether it answers and takes writes, as of the last second.
    #[must_use]
    pub fn is_up(&self) -> bool {
        *self.up.borrow()
    }

    /// Follows [`Self::is_up`].
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<bool> {
        self.up.subscribe()
    }

    /// The counts, each read by itself.
    #[must_use]
    pub fn counts(&self) -> RedisCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        RedisCounts {
            customers_written: read(&counters.customers_written),
            customers_superseded: read(&counters.customers_superseded),
            customers_failed: read(&counters.customers_failed),
            customers_dropped: read(&counters.customers_dropped),
            beacons_kept: read(&counters.beacons_kept),
            beacons_malformed: read(&counters.beacons_malformed),
            requests_failed: read(&counters.requests_failed),
            times_down: read(&counters.times_down),
        }
    }

    pub(super) fn turned_up(&self, address: &str) {
        if self.said_down.swap(false, Ordering::Relaxed) {
            tracing::info!(address, "Redis answers again");
        } else {
            tracing::info!(address, "Redis answers");
        }
        self.up.send_replace(true);
    }

    /// Says it once, however often it is found to be down.
    pub(super) fn turned_down(&self, address: &str, reason: &str) {
        if self.up.send_replace(false) {
            count(&self.counters.times_down, 1);
        }
        if !self.said_down.swap(true, Ordering::Relaxed) {
            tracing::warn!(address, reason, "Redis is down: working without the shared cache");
        }
    }

    /// Rows were refused by a server that answers; says it once until one is taken again.
    pub(super) fn refused(&self, reason: &str) {
        if !self.said_refused.swap(true, Ordering::Relaxed) {
            tracing::warn!(reason, "Redis refuses what it is to cache");
        }
    }

    /// Rows were taken.
    pub(super) fn taken(&self) {
        if self.said_refused.load(Ordering::Relaxed) && self.said_refused.swap(false, Ordering::Relaxed) {
            tracing::info!("Redis takes what it is to cache again");
        }
    }
}

/// Adds to a counter that nothing else is ordered by.
pub(super) fn count(counter: &AtomicU64, more: usize) {
    counter.fetch_add(more as u64, Ordering::Relaxed);
}
