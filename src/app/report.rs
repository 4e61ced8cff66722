//! The ledger and everything counted beside it, as one report.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::growth::{Growth, Look};
use super::reload::ReloadCounts;
use super::stores::StoresHealth;
use crate::domain::time::{MICROS_PER_SECOND, Timestamp};
use crate::journal::JournalUsage;
use crate::listen::{ListenCounters, ListenCounts};
use crate::pipeline::{DirectoryCounts, Ledger, Pipeline, StoreHealth, WriterThreads};
use crate::ports::Clock;
use crate::stores::dead_letters::DeadLetterFile;
use crate::stores::dynamodb::DynamoDbHealth;
use crate::stores::postgres::{ForeignKeys, PostgresWriterStatus};
use crate::stores::redis::RedisHealth;

/// What `beacond stats --json` prints.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Report {
    /// Version of the daemon.
    pub version: String,
    /// Seconds since its start.
    pub uptime_s: u64,
    /// The ledger: one snapshot.
    pub ledger: Ledger,
    /// The equation of the ledger that does not hold: never there.
    pub imbalance: Option<String>,
    /// Sessions, frames and refusals.
    pub listeners: ListenCounts,
    /// The writers of the stores: the system of record first.
    pub writers: Vec<WriterReport>,
    /// The journal.
    pub journal: JournalReport,
    /// Places taken in the queue before the journal: rows on their way, about.
    pub queued_rows: usize,
    /// The duplicate window.
    pub window: WindowReport,
    /// Whether nobody could say yet what was stored before this start: sightings are undecided.
    pub past_unknown: bool,
    /// The directory of beacons.
    pub beacons: DirectoryCounts,
    /// The registry of gateways.
    pub gateways: DirectoryCounts,
    /// What is wrong with PostgreSQL, found after a start without it.
    pub postgres_wrong: Vec<String>,
    /// PostgreSQL, where it is the system of record.
    pub postgres: Option<PostgresReport>,
    /// Redis, where there is one.
    pub redis: Option<RedisReport>,
    /// DynamoDB, where events go there.
    pub dynamodb: Option<DynamoDbReport>,
    /// The dead letters.
    pub dead_letters: DeadLettersReport,
    /// Times that another configuration was applied.
    #[serde(default)]
    pub reloads_applied: u64,
    /// Times that one could not be used.
    #[serde(default)]
    pub reloads_refused: u64,
}

/// The journal now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct JournalReport {
    /// Bytes of its files.
    pub bytes: u64,
    /// Bytes they may have.
    pub max_bytes: u64,
    /// Its files.
    pub segments: u64,
    /// Entries appended.
    pub entries: u64,
    /// Bytes of them.
    pub bytes_appended: u64,
    /// Syncs.
    pub syncs: u64,
    /// Attempts to append that failed.
    pub failed_attempts: u64,
    /// What keeps it from being appended to.
    pub trouble: Option<TroubleReport>,
    /// Stores of earlier runs that are not configured now, for which it is kept.
    #[serde(default)]
    pub absent: Vec<AbsentReport>,
}

/// A store of an earlier run that is not configured now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AbsentReport {
    /// Which store.
    pub store: String,
    /// Entries of the journal that wait for it, until `beacond journal forget-store`.
    pub waiting_entries: u64,
    /// In how many seconds the journal is full of them, as the last minute went.
    pub full_in_s: Option<u64>,
}

/// What a store's writer has done.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WriterReport {
    /// Which store.
    pub store: String,
    /// Batches finished.
    pub batches: u64,
    /// Rows in them.
    pub rows: u64,
    /// Attempts that failed, but for those of which a row was refused.
    pub failed_attempts: u64,
    /// Rows that became dead letters.
    pub dead_rows: u64,
    /// Entries of the journal that it has not finished.
    #[serde(default)]
    pub waiting_entries: u64,
    /// For how long the oldest of them has been waiting, once it is being written.
    #[serde(default)]
    pub oldest_s: Option<u64>,
    /// In how many seconds the journal is full, as the last minute went: what waits for it has become more.
    #[serde(default)]
    pub full_in_s: Option<u64>,
    /// What keeps it from going on.
    pub trouble: Option<TroubleReport>,
}

/// What keeps a writer from going on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TroubleReport {
    /// `unavailable`, `misconfigured`, `dead_letters`, or of the journal `full`.
    pub kind: String,
    /// In the store's words.
    pub reason: String,
    /// For how long.
    pub seconds: u64,
}

impl TroubleReport {
    fn of(health: &StoreHealth) -> Option<Self> {
        health.trouble().map(|(trouble, reason, since)| Self {
            kind: trouble.label().to_owned(),
            reason,
            seconds: since.elapsed().as_secs(),
        })
    }
}

impl WriterReport {
    fn of(health: &StoreHealth, now: Timestamp, filling: &Filling) -> Self {
        let (batches, rows) = health.finished();
        let store = health.store();
        Self {
            store: store.to_owned(),
            waiting_entries: filling.look.progress.backlog_of(store).unwrap_or(0),
            oldest_s: health
                .writing_since()
                .map(|since| u64::try_from(now.micros_since(since) / MICROS_PER_SECOND).unwrap_or(0)),
            full_in_s: filling.full_in_s(store),
            batches,
            rows,
            failed_attempts: health.failed_attempts(),
            dead_rows: health.dead_rows(),
            trouble: TroubleReport::of(health),
        }
    }
}

/// The duplicate window now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WindowReport {
    /// Identities in it.
    pub entries: usize,
    /// Bytes it has allocated.
    pub bytes: usize,
}

/// PostgreSQL's writer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostgresReport {
    /// Rows found within a minute of another of their customer: never any.
    pub near_rows: u64,
    /// Batches, or parts of them, merged through the staging table.
    pub merges: u64,
    /// Who checks foreign keys: `batch` or `row`; nothing before the first connection.
    pub foreign_keys: Option<String>,
}

/// The shared cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedisReport {
    /// Whether it is connected.
    pub up: bool,
    /// Customers written.
    pub customers_written: u64,
    /// Customers for whom it held a newer identity.
    pub customers_superseded: u64,
    /// Customers that could not be written.
    pub customers_failed: u64,
    /// Customers dropped: no room, or no server.
    pub customers_dropped: u64,
    /// Beacons kept.
    pub beacons_kept: u64,
    /// Hashes of beacons that do not fit the model.
    pub beacons_malformed: u64,
    /// Requests that failed.
    pub requests_failed: u64,
    /// Times it went away.
    pub times_down: u64,
}

/// DynamoDB's writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DynamoDbReport {
    /// Calls that may be in flight.
    pub call_limit: u64,
    /// Calls in flight.
    pub calls_in_flight: u64,
    /// The last call's round trip, in microseconds.
    pub last_round_trip_us: u64,
    /// Calls made.
    pub calls: u64,
    /// Calls throttled as a whole.
    pub throttled_calls: u64,
    /// Items returned unprocessed.
    pub unprocessed_items: u64,
    /// Calls that failed otherwise.
    pub failed_calls: u64,
    /// Items stored.
    pub stored_items: u64,
}

/// The rows that stores refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DeadLettersReport {
    /// Letters.
    pub letters: u64,
    /// Lines of the file that cannot be read.
    pub damaged: u64,
    /// Size of the file.
    pub bytes: u64,
    /// The size it does not pass.
    pub max_bytes: u64,
}

/// The journal as it is now, beside how it was.
struct Filling<'g> {
    growth: &'g Growth,
    look: Look,
    room: u64,
}

impl Filling<'_> {
    fn full_in_s(&self, store: &str) -> Option<u64> {
        self.growth.full_in(store, &self.look, self.room).map(|left| left.as_secs())
    }
}

/// Reads a running daemon.
#[derive(Clone)]
pub(super) struct Observer {
    clock: Arc<dyn Clock>,
    growth: Arc<Mutex<Growth>>,
    started_at: Instant,
    pipeline: Arc<Pipeline>,
    listeners: Arc<ListenCounters>,
    writers: Vec<Arc<StoreHealth>>,
    journal: Arc<StoreHealth>,
    usage: Arc<dyn Fn() -> JournalUsage + Send + Sync>,
    stores: StoresHealth,
    dead_letters: Arc<DeadLetterFile>,
    reloads: Arc<ReloadCounts>,
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").finish_non_exhaustive()
    }
}

impl Observer {
    /// An observer of these parts, started now.
    #[must_use]
    pub(super) fn new(
        clock: Arc<dyn Clock>,
        pipeline: Arc<Pipeline>,
        listeners: Arc<ListenCounters>,
        threads: &WriterThreads,
        stores: StoresHealth,
        dead_letters: Arc<DeadLetterFile>,
        reloads: Arc<ReloadCounts>,
    ) -> Self {
        Self {
            clock,
            growth: Arc::default(),
            started_at: Instant::now(),
            pipeline,
            listeners,
            writers: std::iter::once(threads.record()).chain(threads.events()).cloned().collect(),
            journal: Arc::clone(threads.journal()),
            usage: Arc::new(threads.journal_usage()),
            stores,
            dead_letters,
            reloads,
        }
    }

    /// The ledger alone.
    #[must_use]
    pub(super) fn ledger(&self) -> Ledger {
        self.pipeline.ledger()
    }

    /// Reads everything; the ledger is one snapshot, the rest is read beside it.
    #[must_use]
    pub(super) fn report(&self) -> Report {
        let ledger = self.pipeline.ledger();
        let (entries, bytes) = self.pipeline.window_size();
        let letters = self.dead_letters.counts();
        let now = self.clock.read().now;
        let usage = (self.usage)();
        let growth = self.growth();
        let room = usage.max_bytes.saturating_sub(usage.bytes);
        let filling = Filling { growth: &growth, look: self.look(usage.bytes_written), room };
        Report {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_s: self.started_at.elapsed().as_secs(),
            imbalance: ledger.imbalance(),
            ledger,
            listeners: self.listeners.read(),
            writers: self.writers.iter().map(|health| WriterReport::of(health, now, &filling)).collect(),
            journal: self.journal(usage, &filling),
            queued_rows: self.pipeline.queued(),
            window: WindowReport { entries, bytes },
            past_unknown: self.pipeline.is_past_unknown(),
            beacons: self.pipeline.beacons().counts(),
            gateways: self.pipeline.gateways().counts(),
            postgres_wrong: self.stores.postgres_wrong.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            postgres: self.stores.postgres.as_deref().map(of_postgres),
            redis: self.stores.redis.as_deref().map(of_redis),
            dynamodb: self.stores.dynamodb.as_deref().map(of_dynamodb),
            dead_letters: DeadLettersReport {
                letters: letters.letters,
                damaged: letters.damaged,
                bytes: letters.bytes,
                max_bytes: letters.max_bytes,
            },
            reloads_applied: self.reloads.applied.load(Ordering::Relaxed),
            reloads_refused: self.reloads.refused.load(Ordering::Relaxed),
        }
    }
}

impl Observer {
    /// Takes note of how full the journal is; from time to time.
    pub(super) fn look_at_growth(&self) {
        let look = self.look((self.usage)().bytes_written);
        self.growth().note(look);
    }

    fn look(&self, written: u64) -> Look {
        Look { at: Instant::now(), written, progress: self.pipeline.progress() }
    }

    fn growth(&self) -> MutexGuard<'_, Growth> {
        self.growth.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn journal(&self, usage: JournalUsage, filling: &Filling<'_>) -> JournalReport {
        let progress = &filling.look.progress;
        let absent = |(store, _): &(String, u64)| AbsentReport {
            store: store.clone(),
            waiting_entries: progress.backlog_of(store).unwrap_or(0),
            full_in_s: filling.full_in_s(store),
        };
        JournalReport {
            absent: progress.absent.iter().map(absent).collect(),
            bytes: usage.bytes,
            max_bytes: usage.max_bytes,
            segments: usage.segments as u64,
            entries: usage.entries_written,
            bytes_appended: usage.bytes_written,
            syncs: usage.syncs,
            failed_attempts: self.journal.failed_attempts(),
            trouble: TroubleReport::of(&self.journal),
        }
    }
}

fn of_postgres(status: &PostgresWriterStatus) -> PostgresReport {
    let foreign_keys = status.foreign_keys().map(|keys| match keys {
        ForeignKeys::CheckedByBatch => "batch".to_owned(),
        ForeignKeys::CheckedByRow => "row".to_owned(),
    });
    PostgresReport { near_rows: status.near_rows(), merges: status.merges(), foreign_keys }
}

fn of_redis(health: &RedisHealth) -> RedisReport {
    let counts = health.counts();
    RedisReport {
        up: health.is_up(),
        customers_written: counts.customers_written,
        customers_superseded: counts.customers_superseded,
        customers_failed: counts.customers_failed,
        customers_dropped: counts.customers_dropped,
        beacons_kept: counts.beacons_kept,
        beacons_malformed: counts.beacons_malformed,
        requests_failed: counts.requests_failed,
        times_down: counts.times_down,
    }
}

fn of_dynamodb(health: &DynamoDbHealth) -> DynamoDbReport {
    DynamoDbReport {
        call_limit: health.call_limit(),
        calls_in_flight: health.calls_in_flight(),
        last_round_trip_us: u64::try_from(health.last_round_trip().as_micros()).unwrap_or(u64::MAX),
        calls: health.calls(),
        throttled_calls: health.throttled_calls(),
        unprocessed_items: health.unprocessed_items(),
        failed_calls: health.failed_calls(),
        stored_items: health.stored_items(),
    }
}
