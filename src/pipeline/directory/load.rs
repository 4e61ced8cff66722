//! Loading one key: one load however many wait, and none that a notice overtook.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use moka::ops::compute::{CompResult, Op};
use tokio::time::{Duration, Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Directory;
use super::entry::{Entry, Source, Value};
use super::generations::Stamp;
use super::shared::{Answer, QUARANTINE, SharedTier};
use crate::backoff::Backoff;
use crate::ports::StoreError;

/// Loads that one who waits begins at most, when a notice overtakes each.
const LOADS_AT_MOST: usize = 4;

/// The waits between attempts to have the shared cache forget.
const FORGET_AGAIN_FIRST: Duration = Duration::from_millis(100);
const FORGET_AGAIN_LONGEST: Duration = Duration::from_secs(2);

/// Whom a load may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// The shared cache where that is worth it, then the system of record.
    Tiers,
    /// The system of record, for what is held to be confirmed or replaced.
    Record,
    /// The shared cache, while the system of record cannot be asked.
    SharedCache,
}

/// What a load came to.
pub(super) enum Loaded<V> {
    Entry(Arc<Entry<V>>),
    /// Nobody who was asked could say.
    Failed,
    /// Notices overtook it, one after the other.
    Overtaken,
}

impl<K, V> Directory<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Loads `key` unless another load of it has ended since: all who wait for one key get one load's answer.
    pub(super) async fn load_once(self: &Arc<Self>, key: &K, ask: Ask) -> Loaded<V> {
        let waiting_since = Instant::now();
        for _ in 0..LOADS_AT_MOST {
            let mut overtaken = false;
            let outcome = &mut overtaken;
            let next = |held: Option<moka::Entry<K, Arc<Entry<V>>>>| async move {
                let held = held.map(moka::Entry::into_value);
                match self.next_entry(key, held.as_deref(), ask, waiting_since).await {
                    Loaded::Entry(entry) => Op::Put(entry),
                    Loaded::Failed => Op::Nop,
                    Loaded::Overtaken => {
                        *outcome = true;
                        Op::Nop
                    }
                }
            };
            let entry = match self.entries.entry_by_ref(key).and_compute_with(next).await {
                CompResult::Inserted(entry) | CompResult::ReplacedWith(entry) => entry.into_value(),
                CompResult::Unchanged(entry) if !overtaken => {
                    let entry = entry.into_value();
                    if !self.is_answer(&entry, ask, waiting_since) {
                        // It stays as it was; its next use may try again.
                        entry.refreshing.store(false, Ordering::Relaxed);
                        return Loaded::Failed;
                    }
                    entry
                }
                CompResult::StillNone(_) | CompResult::Removed(_) if !overtaken => return Loaded::Failed,
                _ => continue,
            };
            // A notice may have come between the last look at the generation and the entry's place in the cache.
            if self.generations.is_current(entry.stamp) {
                return Loaded::Entry(entry);
            }
        }
        Loaded::Overtaken
    }

    /// Loads `key` on a task of its own, unless as many are loading as may.
    pub(super) fn load_beside(self: &Arc<Self>, key: &K) -> bool {
        let Ok(permit) = Arc::clone(&self.loading_beside).try_acquire_owned() else { return false };
        let (directory, key) = (Arc::clone(self), key.clone());
        self.tasks.spawn(async move {
            directory.load_once(&key, Ask::Record).await;
            drop(permit);
        });
        true
    }

    /// Sees on a task of its own whether the system of record answers again. Not a load: whoever wants `key` of the
    /// shared cache meanwhile would wait behind one.
    pub(super) fn try_record_beside(self: &Arc<Self>, key: &K) {
        let Ok(permit) = Arc::clone(&self.loading_beside).try_acquire_owned() else { return };
        let (directory, key) = (Arc::clone(self), key.clone());
        self.tasks.spawn(async move {
            directory.question_record(&key).await;
            drop(permit);
        });
    }

    /// Has the shared cache forget what it must, until `stop`; to be run by one task for as long as notices come.
    /// What is owed then is lost with the process: at its next start it is told of all changes of the last day.
    pub async fn settle_owed(self: Arc<Self>, stop: CancellationToken) {
        let settle = async {
            let Some(shared) = &self.shared else { return };
            let mut backoff = Backoff::new(FORGET_AGAIN_FIRST, FORGET_AGAIN_LONGEST);
            loop {
                shared.owing().await;
                match shared.forget_some().await {
                    Some(held_back) => {
                        backoff.reset();
                        for (key, answer) in held_back {
                            self.keep_beside(shared, &key, answer);
                        }
                    }
                    None => sleep(backoff.wait()).await,
                }
            }
        };
        stop.run_until_cancelled(settle).await;
    }

    /// Whether an entry answers one who has waited since then: another's load has brought it, and no notice made it old.
    fn is_answer(&self, entry: &Entry<V>, ask: Ask, waiting_since: Instant) -> bool {
        let asked_enough = match ask {
            Ask::Tiers => !matches!(entry.value, Value::Unsaid) && entry.source != Source::Snapshot,
            Ask::Record => entry.source == Source::Record,
            Ask::SharedCache => entry.source != Source::Snapshot,
        };
        asked_enough && entry.answered_at >= waiting_since && self.generations.is_current(entry.stamp)
    }

    /// The entry to come after `held`; `Failed` also where `held` is the answer already.
    async fn next_entry(
        self: &Arc<Self>,
        key: &K,
        held: Option<&Entry<V>>,
        ask: Ask,
        waiting_since: Instant,
    ) -> Loaded<V> {
        if held.is_some_and(|held| self.is_answer(held, ask, waiting_since)) {
            return Loaded::Failed;
        }
        // Before anybody is asked: a notice from here on shows in it.
        let stamp = self.generations.stamp(key);
        let mut entry = None;
        let shared = self.shared_worth_asking(held).filter(|_| ask != Ask::Record);
        if let Some(shared) = shared {
            entry = self.ask_shared(shared, key, held, stamp).await;
        }
        if entry.is_none() {
            // Those who waited behind a load that failed do not each wait for one more.
            if ask != Ask::SharedCache && !self.record.failed_since(waiting_since) {
                entry = self.ask_record(key, held, stamp).await;
            }
            // Nor do those who come next each ask the shared cache.
            if entry.is_none() && shared.is_some() && held.and_then(Entry::registration).is_none() {
                entry = Some(Entry::new(Value::Unsaid, Source::SharedCache, stamp, Instant::now()));
            }
        }
        match entry {
            None => Loaded::Failed,
            Some(entry) if self.generations.is_current(stamp) => Loaded::Entry(Arc::new(entry)),
            Some(_) => {
                self.counters.thrown_away.one();
                Loaded::Overtaken
            }
        }
    }

    /// The shared cache, where it may know more than what is held. It is not asked to replace what the system of
    /// record has said: only that one can say that this has changed.
    pub(super) fn shared_worth_asking(&self, held: Option<&Entry<V>>) -> Option<&SharedTier<K, V>> {
        let shared = self.shared.as_ref()?;
        let worth = match held.map(|held| (held, &held.value)) {
            None => true,
            Some((held, Value::Unsaid)) => held.asked_at.elapsed() >= self.settings.retry_after,
            Some((held, Value::Is(_))) => held.source == Source::Snapshot,
            Some((_, Value::Not | Value::Bad)) => false,
        };
        worth.then_some(shared)
    }

    async fn ask_shared(
        &self,
        shared: &SharedTier<K, V>,
        key: &K,
        held: Option<&Entry<V>>,
        stamp: Stamp,
    ) -> Option<Entry<V>> {
        if self.generations.noticed_within(stamp, QUARANTINE) {
            return None;
        }
        // Asked for before the question: what is told from here on shows in the generation.
        let trusted = self.following.is_on() && !shared.is_distrusted();
        let asked_at = Instant::now();
        let value = shared.ask(key).await?;
        let version = shared.port.version;
        if held.and_then(Entry::registration).is_some_and(|held| version(held) > version(&value)) {
            return None;
        }
        let source = if trusted { Source::SharedCache } else { Source::Unconfirmed };
        Some(Entry::new(Value::Is(value), source, stamp, asked_at))
    }

    /// Asks the system of record; nothing if it cannot be asked. Its answer stands whatever was held, also with an
    /// older version: loads of a key follow one another, and each reflects what was committed when it was asked, so
    /// an older version there is a row deleted and made anew.
    async fn ask_record(
        self: &Arc<Self>,
        key: &K,
        held: Option<&Entry<V>>,
        stamp: Stamp,
    ) -> Option<Entry<V>> {
        let asked_at = Instant::now();
        let value = match self.question_record(key).await? {
            Ok(Some(value)) => Value::Is(Arc::new(value)),
            Ok(None) => Value::Not,
            Err(error) => {
                if !held.is_some_and(|held| matches!(held.value, Value::Bad)) {
                    tracing::warn!(%error, "a registration cannot be used");
                }
                Value::Bad
            }
        };
        let entry = Entry::new(value, Source::Record, stamp, asked_at);
        if self.generations.is_current(stamp) {
            self.tell_shared(key, held, &entry);
        }
        Some(entry)
    }

    /// Puts one question to the system of record, and notes whether it answers; the error is that of a bad row.
    async fn question_record(&self, key: &K) -> Option<Result<Option<V>, StoreError>> {
        self.counters.loads.one();
        let answer = match timeout(self.settings.load_timeout, (self.load)(key.clone())).await {
            Ok(Err(error @ StoreError::Unavailable { .. })) => {
                self.record_failed(&error.to_string());
                return None;
            }
            Err(_) => {
                self.record_failed("no answer in time");
                return None;
            }
            Ok(Err(error @ StoreError::BadRow { .. })) => {
                self.counters.failed_loads.one();
                Err(error)
            }
            Ok(Ok(answer)) => Ok(answer),
        };
        if self.record.answered() {
            tracing::info!("registrations can be looked up again");
        }
        Some(answer)
    }

    pub(super) fn record_failed(&self, failure: &str) {
        self.counters.failed_loads.one();
        if self.record.failed() {
            tracing::warn!(failure, "registrations cannot be looked up: what is known goes on serving");
        }
    }

    /// Brings to the shared cache what the system of record said, beside whoever waits for it.
    fn tell_shared(self: &Arc<Self>, key: &K, held: Option<&Entry<V>>, entry: &Entry<V>) {
        let Some(shared) = &self.shared else { return };
        let version = shared.port.version;
        let cached = held
            .filter(|held| matches!(held.source, Source::SharedCache | Source::Unconfirmed))
            .and_then(Entry::registration);
        let said = entry.registration();
        // It holds a row that is gone, or one that the row's successor would not replace.
        if cached.is_some_and(|cached| said.is_none_or(|said| version(said) < version(cached))) {
            shared.owe(std::slice::from_ref(key));
        }
        if let Some(value) = said {
            let answer = Answer { value: Arc::clone(value), stamp: entry.stamp, asked_at: entry.asked_at };
            self.keep_beside(shared, key, answer);
        }
    }

    fn keep_beside(self: &Arc<Self>, shared: &SharedTier<K, V>, key: &K, answer: Answer<V>) {
        if !self.may_keep(shared, &answer) {
            return;
        }
        let Some(answer) = shared.hold_back(key, answer) else { return };
        let Some(room) = shared.room() else { return };
        let (directory, key) = (Arc::clone(self), key.clone());
        self.tasks.spawn(async move {
            directory.keep(&key, answer).await;
            drop(room);
        });
    }

    async fn keep(&self, key: &K, answer: Answer<V>) {
        let Some(shared) = self.shared.as_ref().filter(|shared| self.may_keep(shared, &answer)) else {
            return;
        };
        let Some(answer) = shared.hold_back(key, answer) else { return };
        let kept = shared.keep(answer.value).await;
        // The notice's own order to forget may have gone before the write; so may that of a write with no known end.
        if !kept || !self.generations.is_current(answer.stamp) {
            shared.owe(std::slice::from_ref(key));
        }
    }

    /// While changes are not told, a row kept now could be old and nobody here would know.
    fn may_keep(&self, shared: &SharedTier<K, V>, answer: &Answer<V>) -> bool {
        self.following.is_on()
            && self.generations.is_current(answer.stamp)
            && answer.is_recent()
            && shared.may_answer()
    }
}
