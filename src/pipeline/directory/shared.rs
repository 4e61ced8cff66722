//! The tier between memory and the system of record: a cache that other daemons read and write too.
//!
//! A wrong row in it would outlive everybody's mistake by a day, so what goes in and what is believed is guarded:
//! - a row is kept there only while every change is being told, only if no notice came since before it was asked for,
//!   and only soon after; if a notice overtakes the write, or its end is not known, the key is *owed*;
//! - an owed key is forgotten there as often as it takes; until then the cache is neither asked about it nor given it;
//! - for a while after a notice the cache is not asked about the key: another daemon may hear of it later, and until
//!   then keep what it read before.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Duration, Instant, timeout};

use super::availability::{Availability, Try};
use super::counts::Counter;
use super::generations::Stamp;
use super::{Load, TierSettings};
use crate::domain::time::Timestamp;
use crate::ports::{BEACON_CACHED_FOR, PortFuture, StoreError};

/// How long after a notice the cache is not asked about its key: over the 5 s within which every daemon hears of a
/// change, with the longest load and write of one that had not heard yet.
pub(super) const QUARANTINE: Duration = Duration::from_secs(10);

/// The oldest answer that is still written into the cache. With [`QUARANTINE`] it bounds how late an old row can come.
const KEPT_WITHIN: Duration = Duration::from_secs(3);

/// Writes into the cache at once; what comes beyond is not kept there.
const KEEPS_AT_MOST: usize = 64;

/// Keys forgotten by one call at most.
const FORGOTTEN_AT_ONCE: usize = 1_000;

/// How a cache is told something of a `T`.
pub(super) type Tell<T> = Box<dyn Fn(T) -> PortFuture<'static, Result<(), StoreError>> + Send + Sync>;

/// The shared cache of one kind of registration, as its port offers it.
pub(super) struct SharedPort<K, V> {
    pub(super) ask: Load<K, V>,
    pub(super) keep: Tell<Arc<V>>,
    pub(super) forget: Tell<Vec<K>>,
    pub(super) version: fn(&V) -> Timestamp,
}

pub(super) struct SharedTier<K, V> {
    pub(super) port: SharedPort<K, V>,
    timeout: Duration,
    owed_at_most: usize,
    pub(super) availability: Availability,
    pub(super) failures: Counter,
    owed: Mutex<Owed<K, V>>,
    owing: Notify,
    keeps: Arc<Semaphore>,
}

/// What the cache has still to forget.
struct Owed<K, V> {
    keys: HashMap<K, Debt<V>>,
    /// Counts debts: one that was made again while it was being paid stays.
    serial: u64,
    /// Set when a key had no place: until everything that was in the cache then has left it.
    distrusted_until: Option<Instant>,
}

struct Debt<V> {
    serial: u64,
    /// What may be kept once the old row is gone.
    held_back: Option<Answer<V>>,
}

/// A registration as the system of record gave it.
pub(super) struct Answer<V> {
    pub(super) value: Arc<V>,
    pub(super) stamp: Stamp,
    pub(super) asked_at: Instant,
}

impl<V> Answer<V> {
    pub(super) fn is_recent(&self) -> bool {
        self.asked_at.elapsed() < KEPT_WITHIN
    }
}

impl<K, V> SharedTier<K, V>
where
    K: Hash + Eq + Clone,
{
    pub(super) fn new(port: SharedPort<K, V>, tiers: &TierSettings, retry_after: Duration) -> Self {
        Self {
            port,
            timeout: tiers.cache_timeout,
            owed_at_most: tiers.owed_at_most,
            availability: Availability::new(retry_after),
            failures: Counter::default(),
            owed: Mutex::new(Owed { keys: HashMap::new(), serial: 0, distrusted_until: None }),
            owing: Notify::new(),
            keeps: Arc::new(Semaphore::new(KEEPS_AT_MOST)),
        }
    }

    /// What the cache has of `key`; nothing if it cannot be asked, or is not to be asked about this key.
    pub(super) async fn ask(&self, key: &K) -> Option<Arc<V>> {
        if self.owed().keys.contains_key(key) {
            return None;
        }
        if matches!(self.availability.may_try(), Try::Later) {
            return None;
        }
        self.outcome((self.port.ask)(key.clone())).await?.map(Arc::new)
    }

    /// Whether it may be worth asking anything.
    pub(super) fn may_answer(&self) -> bool {
        !self.availability.is_failing()
    }

    /// Whether its answers need to be confirmed although every change is being told.
    pub(super) fn is_distrusted(&self) -> bool {
        let mut owed = self.owed();
        if owed.distrusted_until.is_some_and(|until| until <= Instant::now()) {
            owed.distrusted_until = None;
            tracing::info!("the shared cache of beacons is trusted again");
        }
        owed.distrusted_until.is_some()
    }

    /// Writes a registration into the cache; tells whether it is known to be there.
    pub(super) async fn keep(&self, value: Arc<V>) -> bool {
        self.outcome((self.port.keep)(value)).await.is_some()
    }

    /// Room for one write more, if there is any.
    pub(super) fn room(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.keeps).try_acquire_owned().ok()
    }

    /// Leaves `answer` until its key has been forgotten, if it is owed; otherwise gives it back.
    pub(super) fn hold_back(&self, key: &K, answer: Answer<V>) -> Option<Answer<V>> {
        match self.owed().keys.get_mut(key) {
            Some(debt) => {
                debt.held_back = Some(answer);
                None
            }
            None => Some(answer),
        }
    }

    /// The cache is to forget these, and is not asked about them until it has.
    pub(super) fn owe(&self, keys: &[K]) {
        // In parts: who looks something up meanwhile does not wait for all of them.
        for keys in keys.chunks(FORGOTTEN_AT_ONCE) {
            let mut owed = self.owed();
            for key in keys {
                owed.serial += 1;
                let debt = Debt { serial: owed.serial, held_back: None };
                let full = owed.keys.len() >= self.owed_at_most;
                match owed.keys.entry(key.clone()) {
                    Place::Occupied(mut place) => drop(place.insert(debt)),
                    Place::Vacant(place) if !full => drop(place.insert(debt)),
                    Place::Vacant(_) => {
                        if owed.distrusted_until.replace(Instant::now() + BEACON_CACHED_FOR).is_none() {
                            tracing::warn!(
                                owed = self.owed_at_most,
                                "the shared cache has too much to forget: what it says is confirmed for a day"
                            );
                        }
                    }
                }
            }
        }
        self.owing.notify_one();
    }

    pub(super) fn owed_keys(&self) -> usize {
        self.owed().keys.len()
    }

    /// Waits until something is owed.
    pub(super) async fn owing(&self) {
        while self.owed_keys() == 0 {
            self.owing.notified().await;
        }
    }

    /// Has some of what is owed forgotten. Gives what may be kept now, or nothing if the cache did not answer.
    pub(super) async fn forget_some(&self) -> Option<Vec<(K, Answer<V>)>> {
        let (keys, serials): (Vec<_>, Vec<_>) = {
            let owed = self.owed();
            owed.keys.iter().take(FORGOTTEN_AT_ONCE).map(|(key, debt)| (key.clone(), debt.serial)).unzip()
        };
        self.outcome((self.port.forget)(keys.clone())).await?;
        let mut owed = self.owed();
        let mut held_back = Vec::new();
        for (key, serial) in keys.into_iter().zip(serials) {
            if owed.keys.get(&key).is_some_and(|debt| debt.serial == serial)
                && let Some(answer) = owed.keys.remove(&key).and_then(|debt| debt.held_back)
            {
                held_back.push((key, answer));
            }
        }
        Some(held_back)
    }

    /// Waits for the cache, not longer than it may take; notes whether it answers.
    async fn outcome<T: Default>(&self, asked: PortFuture<'_, Result<T, StoreError>>) -> Option<T> {
        let failure = match timeout(self.timeout, asked).await {
            Ok(Ok(answer)) => {
                if self.availability.answered() {
                    tracing::info!("the shared cache of beacons answers again");
                }
                return Some(answer);
            }
            Ok(Err(error @ StoreError::BadRow { .. })) => {
                self.failures.one();
                tracing::debug!(%error, "a cached registration cannot be used");
                return Some(T::default());
            }
            Ok(Err(error @ StoreError::Unavailable { .. })) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        self.failures.one();
        if self.availability.failed() {
            tracing::warn!(failure, "the shared cache of beacons cannot be asked: the system of record is");
        }
        None
    }

    fn owed(&self) -> MutexGuard<'_, Owed<K, V>> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
