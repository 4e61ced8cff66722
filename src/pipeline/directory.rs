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
use tokio::time::{Duration, Instant, timeout};

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
    /// When a load last failed, if none has succeeded since.
    failing_since: Mutex<Option<Instant>>,
    loads: AtomicU64,
    failed_loads: AtomicU64,
}

/// Loads beside use that run at once at most: as many as a store's reader threads keep busy.
const REFRESHES_AT_MOST: usize = 64;

struct Entry<V> {
    value: Option<Arc<V>>,
    /// When the value was true; never, if no load has succeeded.
    loaded_at: Option<Instant>,
    /// When a load after that failed.
    failed_at: Option<Instant>,
    refreshing: AtomicBool,
}

enum Standing {
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
            failing_since: Mutex::new(None),
            loads: AtomicU64::new(0),
            failed_loads: AtomicU64::new(0),
        })
    }

    /// What is known of `key`. Waits for a load only where nothing usable is held and the last load of any key
    /// succeeded, and then no longer than the load's timeout.
    pub async fn resolve(self: &Arc<Self>, key: &K) -> Known<V> {
        let held = self.entries.get(key).await;
        if let Some(entry) = &held {
            match entry.standing(Instant::now(), &self.settings) {
                Standing::Fresh => return entry.known(),
                Standing::Ageing => {
                    self.refresh_beside(key, entry);
                    return entry.known();
                }
                Standing::Expired => {}
            }
        }
        if self.is_failing() {
            let failed = Arc::new(Entry::failed(held.as_deref()));
            let known = failed.known();
            self.entries.insert(key.clone(), failed).await;
            return known;
        }
        self.load_once(key).await.known()
    }

    /// Loads begun, and how many of them failed.
    #[must_use]
    pub fn loads(&self) -> (u64, u64) {
        (self.loads.load(Ordering::Relaxed), self.failed_loads.load(Ordering::Relaxed))
    }

    fn refresh_beside(self: &Arc<Self>, key: &K, entry: &Entry<V>) {
        let too_soon = entry.failed_at.is_some_and(|at| at.elapsed() < self.settings.retry_after);
        if too_soon
            || self.refreshes.len() >= REFRESHES_AT_MOST
            || entry.refreshing.swap(true, Ordering::Relaxed)
        {
            return;
        }
        let (directory, key) = (Arc::clone(self), key.clone());
        self.refreshes.spawn(async move {
            directory.load_once(&key).await;
        });
    }

    /// Loads `key` unless another load of it has just ended: all who wait for one key get one load's answer.
    async fn load_once(&self, key: &K) -> Arc<Entry<V>> {
        let asked_at = Instant::now();
        let load = async |held: Option<moka::Entry<K, Arc<Entry<V>>>>| {
            let held = held.map(moka::Entry::into_value);
            match held {
                Some(entry) if entry.settled_since(asked_at) => entry,
                held => Arc::new(self.load_anew(key.clone(), held.as_deref()).await),
            }
        };
        self.entries.entry_by_ref(key).and_upsert_with(load).await.into_value()
    }

    async fn load_anew(&self, key: K, held: Option<&Entry<V>>) -> Entry<V> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        // What a store says was true when it was asked, so age counts from there.
        let asked_at = Instant::now();
        let failure = match timeout(self.settings.load_timeout, (self.load)(key)).await {
            Ok(Ok(value)) => {
                self.note_failing(None);
                return Entry::loaded(value.map(Arc::new), asked_at);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        self.failed_loads.fetch_add(1, Ordering::Relaxed);
        if self.note_failing(Some(Instant::now())).is_none() {
            tracing::warn!(%failure, "the directory cannot be loaded: what is known goes on serving");
        }
        Entry::failed(held)
    }

    fn is_failing(&self) -> bool {
        let failing_since = self.failing_since.lock().unwrap_or_else(PoisonError::into_inner);
        failing_since.is_some_and(|at| at.elapsed() < self.settings.retry_after)
    }

    fn note_failing(&self, since: Option<Instant>) -> Option<Instant> {
        std::mem::replace(&mut *self.failing_since.lock().unwrap_or_else(PoisonError::into_inner), since)
    }
}

impl<V> Entry<V> {
    fn loaded(value: Option<Arc<V>>, at: Instant) -> Self {
        Self { value, loaded_at: Some(at), failed_at: None, refreshing: AtomicBool::new(false) }
    }

    /// What was held, if anything, with the note that loading it anew has failed.
    fn failed(held: Option<&Self>) -> Self {
        Self {
            value: held.and_then(|entry| entry.value.clone()),
            loaded_at: held.and_then(|entry| entry.loaded_at),
            failed_at: Some(Instant::now()),
            refreshing: AtomicBool::new(false),
        }
    }

    fn standing(&self, now: Instant, settings: &DirectorySettings) -> Standing {
        if self.failed_at.is_some() {
            return Standing::Ageing;
        }
        let fresh_for = if self.value.is_some() { settings.fresh_for } else { settings.absent_fresh_for };
        match self.loaded_at.map(|at| now.duration_since(at)) {
            Some(age) if age < fresh_for => Standing::Fresh,
            Some(age) if age < fresh_for * 2 => Standing::Ageing,
            _ => Standing::Expired,
        }
    }

    fn settled_since(&self, asked_at: Instant) -> bool {
        self.loaded_at.max(self.failed_at).is_some_and(|at| at >= asked_at)
    }

    fn known(&self) -> Known<V> {
        match (&self.value, self.loaded_at) {
            (Some(value), _) => Known::Is(Arc::clone(value)),
            (None, Some(_)) if self.failed_at.is_none() => Known::Not,
            // That a key was not registered once is no reason to refuse it for as long as the store is gone.
            (None, _) => Known::CannotSay,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use futures_util::{FutureExt, StreamExt};
    use tokio::sync::Semaphore;
    use tokio_util::sync::CancellationToken;

    use super::*;

    /// A scripted store: values by key, and a gate that holds every load until it is given a permit.
    #[derive(Debug)]
    struct Scripted {
        values: Mutex<Option<HashMap<u32, u32>>>,
        gate: Semaphore,
        loads: AtomicU64,
    }

    fn directory(values: Option<HashMap<u32, u32>>) -> (Arc<Scripted>, Arc<Directory<u32, u32>>) {
        let store = Arc::new(Scripted {
            values: Mutex::new(values),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            loads: AtomicU64::new(0),
        });
        let asked = Arc::clone(&store);
        let load: Load<u32, u32> = Box::new(move |key| {
            let asked = Arc::clone(&asked);
            Box::pin(async move {
                asked.loads.fetch_add(1, Ordering::Relaxed);
                asked.gate.acquire().await.unwrap().forget();
                let values = asked.values.lock().unwrap();
                let unavailable = StoreError::Unavailable { store: "scripted", reason: "down".into() };
                values.as_ref().map(|values| values.get(&key).copied()).ok_or(unavailable)
            })
        });
        let refreshes = TaskGroup::new("refreshes", CancellationToken::new());
        (store, Directory::new(DirectorySettings::default(), refreshes, load))
    }

    async fn seconds(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    async fn refreshes_end(directory: &Directory<u32, u32>) {
        while !directory.refreshes.is_empty() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_who_wait_for_one_key_cost_one_load() {
        let (store, directory) = directory(Some(HashMap::from([(1, 10)])));
        store.gate.forget_permits(usize::MAX);
        let resolve = || async { matches!(directory.resolve(&1).await, Known::Is(value) if *value == 10) };
        let mut waiting: futures_util::stream::FuturesUnordered<_> = (0..50).map(|_| resolve()).collect();
        let mut answers = Vec::new();
        assert!(waiting.next().now_or_never().is_none());
        store.gate.add_permits(50);
        while let Some(answer) = waiting.next().await {
            answers.push(answer);
        }
        assert_eq!(answers, [true; 50]);
        assert_eq!(store.loads.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_seen_within_five_seconds_without_a_wait() {
        let (store, directory) = directory(Some(HashMap::from([(1, 10)])));
        directory.resolve(&1).await;
        store.values.lock().unwrap().as_mut().unwrap().insert(1, 11);
        seconds(3).await;
        assert!(
            matches!(directory.resolve(&1).await, Known::Is(value) if *value == 10),
            "served while loading"
        );
        refreshes_end(&directory).await;
        assert!(matches!(directory.resolve(&1).await, Known::Is(value) if *value == 11));
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_entry_is_never_served_older_than_its_limit() {
        let (store, directory) = directory(Some(HashMap::from([(1, 10)])));
        directory.resolve(&1).await;
        store.values.lock().unwrap().as_mut().unwrap().insert(1, 11);
        seconds(4).await;
        assert!(matches!(directory.resolve(&1).await, Known::Is(value) if *value == 11));
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_registered_now_is_known_within_two_seconds() {
        let (store, directory) = directory(Some(HashMap::new()));
        assert!(matches!(directory.resolve(&1).await, Known::Not));
        store.values.lock().unwrap().as_mut().unwrap().insert(1, 10);
        seconds(2).await;
        assert!(matches!(directory.resolve(&1).await, Known::Is(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_known_serves_while_the_store_is_gone_and_unknown_keys_cannot_be_said() {
        let (store, directory) = directory(Some(HashMap::from([(1, 10)])));
        directory.resolve(&1).await;
        let values = store.values.lock().unwrap().take();
        seconds(60).await;
        assert!(matches!(directory.resolve(&1).await, Known::Is(value) if *value == 10));
        assert!(matches!(directory.resolve(&2).await, Known::CannotSay));
        *store.values.lock().unwrap() = values;
        seconds(2).await;
        assert!(
            matches!(directory.resolve(&2).await, Known::CannotSay),
            "asked again beside, not waited for"
        );
        refreshes_end(&directory).await;
        assert!(matches!(directory.resolve(&2).await, Known::Not));
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_first_waits_for_a_store_that_hangs() {
        let (store, directory) = directory(Some(HashMap::new()));
        store.gate.forget_permits(usize::MAX);
        let before = Instant::now();
        assert!(matches!(directory.resolve(&1).await, Known::CannotSay));
        assert_eq!(before.elapsed(), Duration::from_secs(2));
        let before = Instant::now();
        for key in 1..100 {
            assert!(matches!(directory.resolve(&key).await, Known::CannotSay));
        }
        assert_eq!(before.elapsed(), Duration::ZERO);
    }
}
