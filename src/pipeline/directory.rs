//! Registrations from the system of record, held in memory: beacons and gateways.
//!
//! One load a key however many wait; an entry in use is loaded anew before it expires, so that a session waits only
//! for keys never seen; while the system of record cannot be asked, what is known goes on serving, and a key it does
//! not know is answered [`Known::CannotSay`] at once after the first that waited.

use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use moka::future::Cache;
use moka::ops::compute::{CompResult, Op};
use tokio::time::{Duration, Instant, timeout, timeout_at};

use crate::ports::{PortFuture, StoreError};
use crate::tasks::TaskGroup;

/// What a directory says of a key.
#[derive(Debug)]
pub enum Known<V> {
    /// It is registered so.
    Is(Arc<V>),
    /// It is not registered.
    Not,
    /// The system of record could not be asked in time.
    CannotSay,
}

/// How long answers are good.
#[derive(Debug, Clone, Copy)]
pub struct DirectorySettings {
    /// Keys held at most, registered or not.
    pub max_entries: u64,
    /// Age from which a registration in use is loaded anew beside its use. Twice this age it is not used any more,
    /// so a change is seen within it: keep it under half of the five seconds that the model promises.
    pub fresh_for: Duration,
    /// The same for a key that is not registered.
    pub absent_fresh_for: Duration,
    /// How long one load may take.
    pub load_timeout: Duration,
    /// How long after a failed load no other is tried.
    pub retry_after: Duration,
}

impl Default for DirectorySettings {
    fn default() -> Self {
        Self {
            max_entries: 200_000,
            fresh_for: Duration::from_secs(2),
            absent_fresh_for: Duration::from_secs(1),
            load_timeout: Duration::from_secs(2),
            retry_after: Duration::from_secs(1),
        }
    }
}

/// How a directory asks the system of record for one key.
pub(super) type Load<K, V> =
    Box<dyn Fn(K) -> PortFuture<'static, Result<Option<V>, StoreError>> + Send + Sync + 'static>;

/// The cache in front of one kind of registration.
pub struct Directory<K, V> {
    entries: Cache<K, Arc<Entry<V>>>,
    load: Load<K, V>,
    settings: DirectorySettings,
    refreshes: TaskGroup,
    /// When a load last failed because the store could not be asked, if none has succeeded since.
    failing: Mutex<Option<Instant>>,
    loads: AtomicU64,
    failed_loads: AtomicU64,
}

/// Loads beside use that run at once at most: as many as a store's reader threads keep busy.
const REFRESHES_AT_MOST: usize = 64;

struct Entry<V> {
    value: Value<V>,
    /// When the store was asked: what it says was true then.
    asked_at: Instant,
    /// When it had answered.
    answered_at: Instant,
    refreshing: AtomicBool,
}

enum Value<V> {
    Is(Arc<V>),
    Not,
    /// The store answered something that breaks the model.
    Bad,
}

enum Age {
    Fresh,
    /// May be used, and is to be loaded anew beside its use.
    Ageing,
    Expired,
}

impl<K, V> fmt::Debug for Directory<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl<K, V> Directory<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    pub(super) fn new(settings: DirectorySettings, refreshes: TaskGroup, load: Load<K, V>) -> Arc<Self> {
        Arc::new(Self {
            entries: Cache::new(settings.max_entries),
            load,
            settings,
            refreshes,
            failing: Mutex::new(None),
            loads: AtomicU64::new(0),
            failed_loads: AtomicU64::new(0),
        })
    }

    /// Until when one who asks now may be made to wait.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.settings.load_timeout
    }

    /// What is known of `key`, within a load's timeout.
    pub async fn resolve(self: &Arc<Self>, key: &K) -> Known<V> {
        self.resolve_until(key, self.deadline()).await
    }

    /// What is known of `key`. Waits for a load only where nothing usable is held and the store answers as far as
    /// is known, and then no longer than `deadline`.
    pub(super) async fn resolve_until(self: &Arc<Self>, key: &K, deadline: Instant) -> Known<V> {
        let held = self.entries.get(key).await;
        match held.as_ref().map(|entry| (entry, entry.age(&self.settings))) {
            Some((entry, Age::Fresh)) => return entry.known(),
            Some((entry, Age::Ageing)) => {
                if !entry.refreshing.swap(true, Ordering::Relaxed) && !self.load_beside(key) {
                    entry.refreshing.store(false, Ordering::Relaxed);
                }
                return entry.known();
            }
            Some((_, Age::Expired)) | None => {}
        }
        match self.may_try() {
            Try::Wait => {
                let waiting_since = Instant::now();
                match timeout_at(deadline, self.load_once(key)).await {
                    Ok(known) => known,
                    Err(_) => {
                        // The load was given up with the wait; if it had most of its time, the store hangs.
                        if waiting_since.elapsed() * 2 > self.settings.load_timeout {
                            self.failed("no answer in time");
                        }
                        stale(held.as_deref())
                    }
                }
            }
            Try::Beside => {
                self.load_beside(key);
                stale(held.as_deref())
            }
            Try::Later => stale(held.as_deref()),
        }
    }

    /// Loads begun, and how many of them failed.
    #[must_use]
    pub fn loads(&self) -> (u64, u64) {
        (self.loads.load(Ordering::Relaxed), self.failed_loads.load(Ordering::Relaxed))
    }

    /// Whether a store that failed lately may be asked: by one at a time, and nobody waits for it.
    fn may_try(&self) -> Try {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *failing {
            None => Try::Wait,
            Some(at) if at.elapsed() < self.settings.retry_after => Try::Later,
            Some(at) => {
                *at = Instant::now();
                Try::Beside
            }
        }
    }

    /// Loads `key` on a task of its own, unless as many are loading as may.
    fn load_beside(self: &Arc<Self>, key: &K) -> bool {
        if self.refreshes.len() >= REFRESHES_AT_MOST {
            return false;
        }
        let (directory, key) = (Arc::clone(self), key.clone());
        self.refreshes.spawn(async move {
            directory.load_once(&key).await;
        });
        true
    }

    /// Loads `key` unless another load of it has ended since: all who wait for one key get one load's answer.
    async fn load_once(&self, key: &K) -> Known<V> {
        let waiting_since = Instant::now();
        let load = async |held: Option<moka::Entry<K, Arc<Entry<V>>>>| {
            let held = held.map(moka::Entry::into_value);
            match held {
                Some(entry) if entry.answered_at >= waiting_since => Op::Nop,
                held => match self.load_anew(key.clone(), held.as_deref()).await {
                    Some(entry) => Op::Put(Arc::new(entry)),
                    None => {
                        // The entry stays as it was; its next use may try again.
                        if let Some(held) = held {
                            held.refreshing.store(false, Ordering::Relaxed);
                        }
                        Op::Nop
                    }
                },
            }
        };
        match self.entries.entry_by_ref(key).and_compute_with(load).await {
            CompResult::Inserted(entry) | CompResult::ReplacedWith(entry) => entry.into_value().known(),
            CompResult::Unchanged(entry) => {
                let entry = entry.into_value();
                match entry.age(&self.settings) {
                    Age::Expired => stale(Some(&entry)),
                    Age::Fresh | Age::Ageing => entry.known(),
                }
            }
            CompResult::Removed(_) | CompResult::StillNone(_) => Known::CannotSay,
        }
    }

    /// Asks the store; nothing if it cannot be asked.
    async fn load_anew(&self, key: K, held: Option<&Entry<V>>) -> Option<Entry<V>> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        let asked_at = Instant::now();
        let value = match timeout(self.settings.load_timeout, (self.load)(key)).await {
            Ok(Ok(Some(value))) => Value::Is(Arc::new(value)),
            Ok(Ok(None)) => Value::Not,
            Ok(Err(error @ StoreError::BadRow { .. })) => {
                self.failed_loads.fetch_add(1, Ordering::Relaxed);
                if !held.is_some_and(|held| matches!(held.value, Value::Bad)) {
                    tracing::warn!(%error, "a registration cannot be used");
                }
                Value::Bad
            }
            Ok(Err(error @ StoreError::Unavailable { .. })) => return self.failed(&error.to_string()),
            Err(_) => return self.failed("no answer in time"),
        };
        if self.note_failing(None).is_some() {
            tracing::info!("registrations can be looked up again");
        }
        Some(Entry { value, asked_at, answered_at: Instant::now(), refreshing: AtomicBool::new(false) })
    }

    fn failed(&self, failure: &str) -> Option<Entry<V>> {
        self.failed_loads.fetch_add(1, Ordering::Relaxed);
        if self.note_failing(Some(Instant::now())).is_none() {
            tracing::warn!(failure, "registrations cannot be looked up: what is known goes on serving");
        }
        None
    }

    fn note_failing(&self, since: Option<Instant>) -> Option<Instant> {
        std::mem::replace(&mut *self.failing.lock().unwrap_or_else(PoisonError::into_inner), since)
    }
}

/// How a key of which nothing usable is held may be loaded.
enum Try {
    Wait,
    Beside,
    Later,
}

/// What an expired entry is worth while the store cannot be asked: a registration goes on serving; that a key was not
/// registered once is no reason to refuse it for as long as the store is gone.
fn stale<V>(held: Option<&Entry<V>>) -> Known<V> {
    match held.map(|entry| &entry.value) {
        Some(Value::Is(value)) => Known::Is(Arc::clone(value)),
        Some(Value::Not | Value::Bad) | None => Known::CannotSay,
    }
}

impl<V> Entry<V> {
    fn age(&self, settings: &DirectorySettings) -> Age {
        let fresh_for = match self.value {
            Value::Is(_) => settings.fresh_for,
            Value::Not | Value::Bad => settings.absent_fresh_for,
        };
        match self.asked_at.elapsed() {
            age if age < fresh_for => Age::Fresh,
            age if age < fresh_for * 2 => Age::Ageing,
            _ => Age::Expired,
        }
    }

    fn known(&self) -> Known<V> {
        match &self.value {
            Value::Is(value) => Known::Is(Arc::clone(value)),
            Value::Not => Known::Not,
            Value::Bad => Known::CannotSay,
        }
    }
}

#[cfg(test)]
mod tests;
