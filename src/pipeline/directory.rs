//! Registrations held in memory: beacons and gateways, in front of the stores that know them.
//!
//! One load a key however many wait; an entry in use is loaded anew before it expires, so that a session waits only
//! for keys never seen; while the system of record cannot be asked, what is known goes on serving, and a key it does
//! not know is answered [`Known::CannotSay`] at once after the first that waited. Beacons have a shared cache between
//! memory and the system of record, and notices of changes: while every change is told, an entry is good for a day.

mod availability;
mod beacons;
mod counts;
mod entry;
mod fill;
mod generations;
mod load;
mod shared;

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use moka::future::Cache;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Duration, Instant, timeout_at};

use self::availability::{Availability, Try};
use self::counts::Counters;
pub use self::counts::DirectoryCounts;
use self::entry::{Age, Entry, Following, Source, Value};
use self::generations::Generations;
use self::load::{Ask, Loaded};
use self::shared::{SharedPort, SharedTier};
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

/// How far a question went, in the order of what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Memory: nobody waited.
    Memory,
    /// The cache that daemons share.
    SharedCache,
    /// The system of record; also where it could not be asked.
    Record,
}

/// How long answers are good where changes are not told.
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

/// What beacons have beside: a shared cache, and changes that are told.
#[derive(Debug, Clone, Copy)]
pub struct TierSettings {
    /// [`DirectorySettings::fresh_for`] while every change is told.
    pub fresh_while_followed: Duration,
    /// The same for what the shared cache said: its answer is confirmed once, beside its use.
    pub confirm_shared_after: Duration,
    /// How long one question or write to the shared cache may take.
    pub cache_timeout: Duration,
    /// Keys at most that the shared cache has still to forget. One more, and its answers are confirmed for as long as
    /// it keeps anything.
    pub owed_at_most: usize,
}

impl Default for TierSettings {
    fn default() -> Self {
        Self {
            fresh_while_followed: Duration::from_secs(24 * 60 * 60),
            confirm_shared_after: Duration::from_secs(5 * 60),
            cache_timeout: Duration::from_millis(200),
            owed_at_most: 100_000,
        }
    }
}

/// How a directory asks a store for one key.
pub(super) type Load<K, V> =
    Box<dyn Fn(K) -> PortFuture<'static, Result<Option<V>, StoreError>> + Send + Sync + 'static>;

/// Loads beside use that run at once at most: as many as a store's readers keep busy.
const LOADS_BESIDE_AT_MOST: usize = 64;

/// The cache in front of one kind of registration.
pub struct Directory<K, V> {
    entries: Cache<K, Arc<Entry<V>>>,
    generations: Generations,
    following: Following,
    /// For who fills memory: what is there is old.
    asked_anew: Notify,
    load: Load<K, V>,
    shared: Option<SharedTier<K, V>>,
    settings: DirectorySettings,
    tiers: TierSettings,
    /// Whether the system of record answers.
    record: Availability,
    tasks: TaskGroup,
    loading_beside: Arc<Semaphore>,
    counters: Counters,
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
    /// A directory in front of the system of record alone.
    pub(super) fn new(settings: DirectorySettings, tasks: TaskGroup, load: Load<K, V>) -> Arc<Self> {
        Self::with_tiers(settings, TierSettings::default(), tasks, load, None)
    }

    fn with_tiers(
        settings: DirectorySettings,
        tiers: TierSettings,
        tasks: TaskGroup,
        load: Load<K, V>,
        shared: Option<SharedPort<K, V>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            entries: Cache::new(settings.max_entries),
            generations: Generations::new(settings.max_entries),
            following: Following::new(),
            asked_anew: Notify::new(),
            load,
            shared: shared.map(|port| SharedTier::new(port, &tiers, settings.retry_after)),
            settings,
            tiers,
            record: Availability::new(settings.retry_after),
            tasks,
            loading_beside: Arc::new(Semaphore::new(LOADS_BESIDE_AT_MOST)),
            counters: Counters::default(),
        })
    }

    /// Until when one who asks now may be made to wait.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.settings.load_timeout
    }

    /// What is known of `key`, within a load's timeout.
    pub async fn resolve(self: &Arc<Self>, key: &K) -> Known<V> {
        self.resolve_until(key, self.deadline()).await.0
    }

    /// What is known of `key`, and how far the question went. Waits for a load only where nothing usable is held and
    /// the store answers as far as is known, and then no longer than `deadline`.
    pub async fn resolve_until(self: &Arc<Self>, key: &K, deadline: Instant) -> (Known<V>, Tier) {
        let held = self.entries.get(key).await;
        if let Some(entry) = &held {
            match self.age(entry) {
                Age::Fresh => return self.answer_held(entry),
                Age::Ageing => {
                    self.refresh(key, entry);
                    return self.answer_held(entry);
                }
                Age::Expired => {}
            }
        }
        self.resolve_by_load(key, held.as_deref(), deadline).await
    }

    /// The registrations held, expired or not, in no order. Walks the cache without holding it up.
    #[must_use]
    pub fn known(&self) -> Vec<Arc<V>> {
        self.entries.iter().filter_map(|(_, entry)| entry.registration().map(Arc::clone)).collect()
    }

    /// Sees beside whether a system of record that could not be asked answers again, by asking for `key`: for whoever tells
    /// others to stay away while it does not. Nothing where it answers, or was tried a moment ago.
    pub fn try_again(self: &Arc<Self>, key: &K) {
        if matches!(self.record.may_try(), Try::Beside) {
            self.try_record_beside(key);
        }
    }

    /// Puts copies from the disk in place, as entries that have expired: each serves only while nobody can say better.
    pub async fn preload(&self, registrations: impl IntoIterator<Item = (K, V)>) {
        let now = Instant::now();
        for (key, value) in registrations {
            let stamp = self.generations.stamp(&key);
            let entry = Entry::new(Value::Is(Arc::new(value)), Source::Snapshot, stamp, now);
            self.entries.entry(key).or_insert(Arc::new(entry)).await;
        }
    }

    /// Every copy in memory is old from now on: what is asked for is looked up again, as after a notice of a change.
    pub fn ask_anew(&self) {
        for (key, _) in &self.entries {
            self.generations.notice(&*key);
        }
        self.asked_anew.notify_one();
    }

    /// What it has counted, and what is so now.
    #[must_use]
    pub fn counts(&self) -> DirectoryCounts {
        let (counters, shared) = (&self.counters, self.shared.as_ref());
        DirectoryCounts {
            from_memory: counters.from_memory.read(),
            absent_from_memory: counters.absent_from_memory.read(),
            from_shared_cache: counters.from_shared_cache.read(),
            from_record: counters.from_record.read(),
            served_expired: counters.served_expired.read(),
            cannot_say: counters.cannot_say.read(),
            loads: counters.loads.read(),
            failed_loads: counters.failed_loads.read(),
            thrown_away: counters.thrown_away.read(),
            shared_cache_failures: shared.map_or(0, |shared| shared.failures.read()),
            notices: counters.notices.read(),
            entries: self.entries.entry_count(),
            owed: shared.map_or(0, |shared| u64::try_from(shared.owed_keys()).unwrap_or(u64::MAX)),
            record_failing: self.record.is_failing(),
            shared_cache_failing: shared.is_some_and(|shared| shared.availability.is_failing()),
            shared_cache_distrusted: shared.is_some_and(SharedTier::is_distrusted),
            followed: self.following.is_on(),
        }
    }

    /// Loads begun, and how many of them failed.
    #[must_use]
    pub fn loads(&self) -> (u64, u64) {
        (self.counters.loads.read(), self.counters.failed_loads.read())
    }

    /// These changed: nothing taken of them so far is used any more, loads in flight included.
    fn notice(&self, keys: &[K]) {
        for key in keys {
            self.generations.notice(key);
        }
        if let Some(shared) = &self.shared {
            shared.owe(keys);
        }
        self.counters.notices.add(u64::try_from(keys.len()).unwrap_or(u64::MAX));
    }

    fn age(&self, entry: &Entry<V>) -> Age {
        if !self.generations.is_current(entry.stamp) {
            return Age::Expired;
        }
        entry.age(&self.settings, &self.tiers, &self.following)
    }

    fn refresh(self: &Arc<Self>, key: &K, entry: &Entry<V>) {
        if entry.refreshing.swap(true, Ordering::Relaxed) {
            return;
        }
        if matches!(self.record.may_try(), Try::Later) || !self.load_beside(key) {
            entry.refreshing.store(false, Ordering::Relaxed);
        }
    }

    async fn resolve_by_load(
        self: &Arc<Self>,
        key: &K,
        held: Option<&Entry<V>>,
        deadline: Instant,
    ) -> (Known<V>, Tier) {
        match self.record.may_try() {
            Try::Wait => {}
            Try::Beside => {
                self.try_record_beside(key);
                return self.resolve_without_record(key, held, deadline).await;
            }
            Try::Later => return self.resolve_without_record(key, held, deadline).await,
        }
        let waiting_since = Instant::now();
        match timeout_at(deadline, self.load_once(key, Ask::Tiers)).await {
            Ok(Loaded::Entry(entry)) => {
                if entry.source == Source::Unconfirmed {
                    self.refresh(key, &entry);
                }
                self.answer_loaded(&entry)
            }
            Ok(Loaded::Failed) => self.stale(held, Tier::Record),
            // What is held is known to be old, and the system of record is there.
            Ok(Loaded::Overtaken) => self.cannot_say(),
            Err(_) => {
                // The load was given up with the wait; if it had most of its time, the store hangs.
                if waiting_since.elapsed() * 2 > self.settings.load_timeout {
                    self.record_failed("no answer in time");
                }
                self.stale(held, Tier::Record)
            }
        }
    }

    /// What is known of a key while the system of record fails: nobody waits for that.
    async fn resolve_without_record(
        self: &Arc<Self>,
        key: &K,
        held: Option<&Entry<V>>,
        deadline: Instant,
    ) -> (Known<V>, Tier) {
        if held.and_then(Entry::registration).is_some() || self.shared_worth_asking(held).is_none() {
            return self.stale(held, Tier::Memory);
        }
        let deadline = deadline.min(Instant::now() + self.tiers.cache_timeout);
        match timeout_at(deadline, self.load_once(key, Ask::SharedCache)).await {
            Ok(Loaded::Entry(entry)) => self.answer_loaded(&entry),
            Ok(Loaded::Failed | Loaded::Overtaken) | Err(_) => self.cannot_say(),
        }
    }

    fn answer_held(&self, entry: &Entry<V>) -> (Known<V>, Tier) {
        let counter = match &entry.value {
            Value::Is(_) => &self.counters.from_memory,
            Value::Not => &self.counters.absent_from_memory,
            Value::Bad | Value::Unsaid => &self.counters.cannot_say,
        };
        counter.one();
        (entry.known(), Tier::Memory)
    }

    fn answer_loaded(&self, entry: &Entry<V>) -> (Known<V>, Tier) {
        match (&entry.value, entry.source) {
            (Value::Bad | Value::Unsaid, _) => self.cannot_say(),
            (_, Source::SharedCache | Source::Unconfirmed) => {
                self.counters.from_shared_cache.one();
                (entry.known(), Tier::SharedCache)
            }
            (_, Source::Record | Source::Snapshot) => {
                self.counters.from_record.one();
                (entry.known(), Tier::Record)
            }
        }
    }

    /// What an expired entry is worth while the store cannot be asked: a registration goes on serving; that a key was
    /// not registered once is no reason to refuse it for as long as the store is gone.
    fn stale(&self, held: Option<&Entry<V>>, waited_for: Tier) -> (Known<V>, Tier) {
        match held.and_then(Entry::registration) {
            Some(value) => {
                self.counters.served_expired.one();
                (Known::Is(Arc::clone(value)), waited_for)
            }
            None => self.cannot_say(),
        }
    }

    fn cannot_say(&self) -> (Known<V>, Tier) {
        self.counters.cannot_say.one();
        (Known::CannotSay, Tier::Record)
    }
}

#[cfg(test)]
mod tests;
