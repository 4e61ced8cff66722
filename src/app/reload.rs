//! A configuration read again while the daemon runs: what of it can be applied is, the rest is named.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Config;
use crate::listen::LiveLimits;
use crate::pipeline::Pipeline;

/// Keys that are applied to a running daemon.
const APPLIED: [&str; 17] = [
    "log.level",
    "rules.entrance_midpoint_dbm",
    "rules.counter_midpoint_dbm",
    "rules.max_age_s",
    "rules.max_ahead_s",
    "rules.scale_dbm",
    "rules.table_midpoint_dbm",
    "sessions.ack_level",
    "sessions.drain_deadline_ms",
    "sessions.frame_timeout_ms",
    "sessions.hello_timeout_ms",
    "sessions.idle_timeout_ms",
    "sessions.max_tcp",
    "sessions.max_udp",
    "sessions.tcp_window_frames",
    "sessions.udp_window_frames",
    "sessions.write_timeout_ms",
];

/// How often the configuration was read again.
#[derive(Debug, Default)]
pub(super) struct ReloadCounts {
    pub(super) applied: AtomicU64,
    pub(super) refused: AtomicU64,
}

/// Gives a running daemon another configuration.
#[derive(Debug, Clone)]
pub struct Reloader {
    pipeline: Arc<Pipeline>,
    limits: Arc<LiveLimits>,
    counts: Arc<ReloadCounts>,
    /// What the daemon runs with now.
    values: Arc<Mutex<BTreeMap<String, String>>>,
}

/// What became of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// Keys that had changed and hold now.
    pub applied: Vec<String>,
    /// Keys that had changed and need a restart.
    pub not_applied: Vec<String>,
}

impl Reloader {
    pub(super) fn new(
        config: &Config,
        pipeline: Arc<Pipeline>,
        limits: Arc<LiveLimits>,
        counts: Arc<ReloadCounts>,
    ) -> Self {
        Self { pipeline, limits, counts, values: Arc::new(Mutex::new(config.values().clone())) }
    }

    /// Applies what can be applied, and has every registration looked up anew. What is logged is its caller's affair.
    #[must_use]
    pub fn apply(&self, config: &Config) -> Reloaded {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = config.changed_from(&values);
        let (applied, not_applied): (Vec<_>, Vec<_>) =
            changed.into_iter().partition(|key| APPLIED.contains(&key.as_str()));
        let (time, confidence) = config.rules();
        self.pipeline.set_rules(time, &confidence);
        self.limits.set(config.session_limits());
        self.pipeline.beacons().ask_anew();
        self.pipeline.gateways().ask_anew();
        for key in &applied {
            if let Some(value) = config.values().get(key) {
                values.insert(key.clone(), value.clone());
            }
        }
        self.counts.applied.fetch_add(1, Ordering::Relaxed);
        Reloaded { applied, not_applied }
    }

    /// Counts a configuration that cannot be used: nothing of it is applied.
    pub fn refuse(&self) {
        self.counts.refused.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_that_is_applied_is_there() {
        let defaults = Config::defaults().unwrap();
        for key in APPLIED {
            assert!(defaults.values().contains_key(key), "{key}");
        }
    }
}
