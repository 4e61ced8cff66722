//! Which copies were taken before a notice of change.
//!
//! A counter for every key would be unbounded, so keys share a fixed number of them by hash. A copy carries the value
//! that its key's counter had *before* the store was asked. A notice moves the counter, so every copy taken earlier,
//! and every load that began earlier and has not ended, is told by its older value: an old row cannot come back,
//! however slow its load. Two keys that share a counter cost each other one more load, nothing else.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::{Duration, Instant};

/// Counters at most. A notice expires one key in so many besides its own.
const STRIPES_AT_MOST: u64 = 65_536;

pub(super) struct Generations {
    /// By stripe. By themselves: every look-up reads one.
    generations: Box<[AtomicU64]>,
    /// By stripe: when its last notice came, in milliseconds after `born`, plus one; 0 before the first.
    noticed_ms: Box<[AtomicU64]>,
    hasher: RandomState,
    born: Instant,
}

/// A key's counter as it stood at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    stripe: u32,
    generation: u64,
}

/// All counters as they stood at a moment.
pub(super) struct Stamps(Box<[u64]>);

impl Generations {
    /// As many counters as there are keys, within the bound.
    pub(super) fn new(keys: u64) -> Self {
        let stripes = keys.clamp(1, STRIPES_AT_MOST).next_power_of_two();
        Self {
            generations: (0..stripes).map(|_| AtomicU64::new(0)).collect(),
            noticed_ms: (0..stripes).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
            born: Instant::now(),
        }
    }

    /// To be taken before the store is asked.
    pub(super) fn stamp<K: Hash>(&self, key: &K) -> Stamp {
        let stripe = self.stripe_of(key);
        Stamp { stripe, generation: self.generations[stripe as usize].load(Ordering::Acquire) }
    }

    /// Those of every key there is. To be taken before the store is asked.
    pub(super) fn stamps(&self) -> Stamps {
        Stamps(self.generations.iter().map(|generation| generation.load(Ordering::Acquire)).collect())
    }

    /// What [`Self::stamp`] would have been when `stamps` were taken.
    pub(super) fn stamp_of<K: Hash>(&self, stamps: &Stamps, key: &K) -> Stamp {
        let stripe = self.stripe_of(key);
        Stamp { stripe, generation: stamps.0[stripe as usize] }
    }

    /// Whether no notice has come since the stamp was taken.
    pub(super) fn is_current(&self, stamp: Stamp) -> bool {
        self.generations[stamp.stripe as usize].load(Ordering::Acquire) == stamp.generation
    }

    /// Everything taken of `key` so far is old from now on.
    pub(super) fn notice<K: Hash>(&self, key: &K) {
        let stripe = self.stripe_of(key) as usize;
        // In this order: who sees the new generation sees how young it is.
        self.noticed_ms[stripe].store(self.now_ms(), Ordering::Relaxed);
        self.generations[stripe].fetch_add(1, Ordering::AcqRel);
    }

    /// Whether the stamp's counter moved within the last `period`.
    pub(super) fn noticed_within(&self, stamp: Stamp, period: Duration) -> bool {
        let noticed_ms = self.noticed_ms[stamp.stripe as usize].load(Ordering::Relaxed);
        let period_ms = u64::try_from(period.as_millis()).unwrap_or(u64::MAX);
        noticed_ms != 0 && self.now_ms().saturating_sub(noticed_ms) < period_ms
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    #[expect(clippy::cast_possible_truncation, reason = "masked to the number of counters")]
    fn stripe_of<K: Hash>(&self, key: &K) -> u32 {
        (self.hasher.hash_one(key) & (self.generations.len() as u64 - 1)) as u32
    }
}
