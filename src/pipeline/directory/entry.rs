//! One key in memory: what was said of it, by whom and when, and how long that is good.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;
use tokio::time::{Duration, Instant};

use super::generations::Stamp;
use super::{DirectorySettings, Known, TierSettings};

pub(super) struct Entry<V> {
    pub(super) value: Value<V>,
    pub(super) source: Source,
    /// Its key's generation before the store was asked.
    pub(super) stamp: Stamp,
    /// When the store was asked: what it says was true then.
    pub(super) asked_at: Instant,
    /// When it had answered.
    pub(super) answered_at: Instant,
    pub(super) refreshing: AtomicBool,
}

pub(super) enum Value<V> {
    Is(Arc<V>),
    Not,
    /// The store answered something that breaks the model.
    Bad,
    /// The system of record could not be asked, and the shared cache, asked then, does not know the key.
    Unsaid,
}

/// Who said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Record,
    SharedCache,
    /// The shared cache when it may have missed changes: used until the system of record has confirmed it.
    Unconfirmed,
    /// A copy on the disk: serves only while nobody better can be asked.
    Snapshot,
}

pub(super) enum Age {
    Fresh,
    /// May be used, and is to be loaded anew beside its use.
    Ageing,
    Expired,
}

impl<V> Entry<V> {
    pub(super) fn new(value: Value<V>, source: Source, stamp: Stamp, asked_at: Instant) -> Self {
        Self {
            value,
            source,
            stamp,
            asked_at,
            answered_at: Instant::now(),
            refreshing: AtomicBool::new(false),
        }
    }

    /// How old it counts, if no notice has come since it was asked.
    pub(super) fn age(&self, settings: &DirectorySettings, tiers: &TierSettings, follow: &Following) -> Age {
        let age = self.asked_at.elapsed();
        let (age, fresh_for) = match (&self.value, self.source) {
            (Value::Unsaid, _) | (_, Source::Snapshot) => return Age::Expired,
            (Value::Not | Value::Bad, _) => (age, settings.absent_fresh_for),
            (Value::Is(_), Source::Unconfirmed) => (age.max(settings.fresh_for), settings.fresh_for),
            (Value::Is(_), Source::Record) if follow.is_on() => (age, tiers.fresh_while_followed),
            (Value::Is(_), Source::SharedCache) if follow.is_on() => (age, tiers.confirm_shared_after),
            // What was good until the following ended grows old from there: used and loaded beside, not waited for.
            (Value::Is(_), Source::Record | Source::SharedCache) => {
                let age =
                    follow.ended().map_or(age, |since| age.min(since.saturating_add(settings.fresh_for)));
                (age, settings.fresh_for)
            }
        };
        match age {
            age if age < fresh_for => Age::Fresh,
            age if age < fresh_for.saturating_mul(2) => Age::Ageing,
            _ => Age::Expired,
        }
    }

    pub(super) fn known(&self) -> Known<V> {
        match &self.value {
            Value::Is(value) => Known::Is(Arc::clone(value)),
            Value::Not => Known::Not,
            Value::Bad | Value::Unsaid => Known::CannotSay,
        }
    }

    pub(super) const fn registration(&self) -> Option<&Arc<V>> {
        match &self.value {
            Value::Is(value) => Some(value),
            Value::Not | Value::Bad | Value::Unsaid => None,
        }
    }
}

/// Whether every change is being told.
pub(super) struct Following {
    on: AtomicBool,
    /// When it last ended: milliseconds after `born`, plus one; 0 if it never began.
    ended_ms: AtomicU64,
    born: Instant,
    /// Wakes who waits for it to begin.
    turned_on: Notify,
}

impl Following {
    pub(super) fn new() -> Self {
        Self {
            on: AtomicBool::new(false),
            ended_ms: AtomicU64::new(0),
            born: Instant::now(),
            turned_on: Notify::new(),
        }
    }

    pub(super) fn is_on(&self) -> bool {
        self.on.load(Ordering::Acquire)
    }

    pub(super) fn turn(&self, on: bool) {
        if !on && self.is_on() {
            let ended_ms = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.ended_ms.store(ended_ms.saturating_add(1), Ordering::Release);
        }
        self.on.store(on, Ordering::Release);
        if on {
            self.turned_on.notify_waiters();
        }
    }

    /// Waits until it is on.
    pub(super) async fn begun(&self) {
        loop {
            // Made before the question: who turns it on from there on wakes it.
            let turned_on = self.turned_on.notified();
            if self.is_on() {
                return;
            }
            turned_on.await;
        }
    }

    /// How long ago it last ended.
    fn ended(&self) -> Option<Duration> {
        let ended_ms = self.ended_ms.load(Ordering::Acquire).checked_sub(1)?;
        Some(self.born.elapsed().saturating_sub(Duration::from_millis(ended_ms)))
    }
}
