//! What the listeners count beside the ledger.

use std::array;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use beacon_protocol::RefusalCode;
use serde::{Deserialize, Serialize};

/// Slots for refusal codes: those known, and one for any other.
const CODES: usize = RefusalCode::ALL.len() + 1;

/// Counters of sessions, frames and refusals, since start.
#[derive(Debug)]
pub struct ListenCounters {
    pub(super) tcp_sessions_opened: AtomicU64,
    pub(super) tcp_sessions_open: AtomicU64,
    pub(super) udp_sessions_opened: AtomicU64,
    pub(super) udp_sessions_open: AtomicU64,
    pub(super) frames_received: AtomicU64,
    pub(super) frames_skipped: AtomicU64,
    pub(super) datagrams_received: AtomicU64,
    pub(super) datagrams_ignored: AtomicU64,
    pub(super) gateway_statuses: AtomicU64,
    refusals: [AtomicU64; CODES],
}

/// One reading of [`ListenCounters`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ListenCounts {
    /// TCP sessions since start.
    pub tcp_sessions_opened: u64,
    /// TCP sessions now.
    pub tcp_sessions_open: u64,
    /// UDP sessions since start.
    pub udp_sessions_opened: u64,
    /// UDP sessions now.
    pub udp_sessions_open: u64,
    /// Sound frames of every kind.
    pub frames_received: u64,
    /// Frames of unknown kinds that need not be understood.
    pub frames_skipped: u64,
    /// Datagrams that reached a socket's reader.
    pub datagrams_received: u64,
    /// Datagrams dropped without a word: too short, or a refusal.
    pub datagrams_ignored: u64,
    /// Gateway status frames.
    pub gateway_statuses: u64,
    /// Refusals by code; codes never used are left out.
    pub refusals: BTreeMap<String, u64>,
}

impl Default for ListenCounters {
    fn default() -> Self {
        Self {
            tcp_sessions_opened: AtomicU64::default(),
            tcp_sessions_open: AtomicU64::default(),
            udp_sessions_opened: AtomicU64::default(),
            udp_sessions_open: AtomicU64::default(),
            frames_received: AtomicU64::default(),
            frames_skipped: AtomicU64::default(),
            datagrams_received: AtomicU64::default(),
            datagrams_ignored: AtomicU64::default(),
            gateway_statuses: AtomicU64::default(),
            refusals: array::from_fn(|_| AtomicU64::default()),
        }
    }
}

impl ListenCounters {
    /// Reads all of them.
    #[must_use]
    pub fn read(&self) -> ListenCounts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ListenCounts {
            tcp_sessions_opened: of(&self.tcp_sessions_opened),
            tcp_sessions_open: of(&self.tcp_sessions_open),
            udp_sessions_opened: of(&self.udp_sessions_opened),
            udp_sessions_open: of(&self.udp_sessions_open),
            frames_received: of(&self.frames_received),
            frames_skipped: of(&self.frames_skipped),
            datagrams_received: of(&self.datagrams_received),
            datagrams_ignored: of(&self.datagrams_ignored),
            gateway_statuses: of(&self.gateway_statuses),
            refusals: RefusalCode::ALL
                .iter()
                .map(|code| (code.label().to_owned(), of(&self.refusals[slot(*code)])))
                .filter(|&(_, count)| count > 0)
                .collect(),
        }
    }

    pub(super) fn refused(&self, code: RefusalCode) {
        self.refusals[slot(code)].fetch_add(1, Ordering::Relaxed);
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Counts something as open until it is dropped.
#[derive(Debug)]
pub(super) struct OpenGuard<'c>(&'c AtomicU64);

impl<'c> OpenGuard<'c> {
    pub(super) fn new(counter: &'c AtomicU64) -> Self {
        count(counter);
        Self(counter)
    }
}

impl Drop for OpenGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn slot(code: RefusalCode) -> usize {
    RefusalCode::ALL.iter().position(|known| *known == code).unwrap_or(CODES - 1)
}
