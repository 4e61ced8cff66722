//! The stores of a configuration, opened: what the pipeline stands on, and what runs beside it for them.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::StartError;
use crate::config::{Config, PostgresRecordSettings, RecordSettings, StoreSettings};
use crate::ports::{BatchWriter, BeaconCache, LatestIdentities, SystemOfRecord};
use crate::stores::StartCheck;
use crate::stores::dead_letters::DeadLetterFile;
use crate::stores::dynamodb::{DynamoDbAdmin, DynamoDbHealth, DynamoDbSettings, DynamoDbWriter};
use crate::stores::postgres::{PostgresRecord, PostgresWriter, PostgresWriterStatus, check_at_start};
use crate::stores::redis::{Redis, RedisHealth, RedisSettings};
use crate::stores::sqlite::{SqliteReader, SqliteWriter};
use crate::tasks::TaskGroup;

/// A store's writer, and what the store is called.
type Writer = (&'static str, Box<dyn BatchWriter>);

/// What was opened.
pub(super) struct Stores {
    pub(super) record: Arc<dyn SystemOfRecord>,
    pub(super) record_writer: Writer,
    pub(super) beacon_cache: Option<Arc<dyn BeaconCache>>,
    pub(super) latest: Option<Arc<dyn LatestIdentities>>,
    pub(super) events_writer: Option<Writer>,
    pub(super) dead_letters: Arc<DeadLetterFile>,
    pub(super) health: StoresHealth,
    /// Where changes of beacons are heard of, if they are told.
    pub(super) postgres: Option<PostgresRecordSettings>,
    /// PostgreSQL could not be reached: whether it is as it must be is still to be seen.
    pub(super) postgres_unchecked: bool,
}

/// How the stores are doing, for reports.
#[derive(Debug, Clone, Default)]
pub(super) struct StoresHealth {
    pub(super) postgres: Option<Arc<PostgresWriterStatus>>,
    pub(super) redis: Option<Arc<RedisHealth>>,
    pub(super) dynamodb: Option<Arc<DynamoDbHealth>>,
    /// What was found wrong with PostgreSQL after a start without it.
    pub(super) postgres_wrong: Arc<Mutex<Vec<String>>>,
}

/// Tasks that run beside the pipeline for the stores.
#[derive(Debug, Clone)]
pub(super) struct Background {
    pub(super) tasks: TaskGroup,
    pub(super) stop: CancellationToken,
}

impl Background {
    pub(super) fn new() -> Self {
        Self { tasks: TaskGroup::new("stores"), stop: CancellationToken::new() }
    }

    /// Ends the tasks, and waits for them as long as that.
    pub(super) async fn stop(&self, within: Duration) {
        self.stop.cancel();
        self.tasks.join(within).await;
    }
}

impl Stores {
    /// Opens the stores. One that is not there is waited for later; one that is wrong refuses the start.
    pub(super) fn open(
        config: &Config,
        data_dir: &Path,
        runtime: &Runtime,
        background: &Background,
    ) -> Result<Self, StartError> {
        let StoreSettings { record, cache, events, dead_letters_max_bytes } = config.stores()?;
        let mut health = StoresHealth::default();
        let mut postgres_unchecked = false;
        let (record, record_writer, postgres) = match record {
            RecordSettings::Sqlite => {
                // The writer's opening brings the schema up to date, so it comes first.
                let writer = SqliteWriter::open(data_dir)?;
                let record: Arc<dyn SystemOfRecord> = Arc::new(SqliteReader::open(data_dir)?);
                (record, ("sqlite", Box::new(writer) as Box<dyn BatchWriter>), None)
            }
            RecordSettings::Postgres(settings) => {
                let checked = runtime.block_on(check_at_start(&settings.server, &background.tasks));
                postgres_unchecked = matches!(checked, StartCheck::Unreachable(_));
                started("postgres", checked)?;
                let (record, writer) = open_postgres(&settings, runtime)?;
                health.postgres = Some(writer.status());
                (record, ("postgres", Box::new(writer) as Box<dyn BatchWriter>), Some(*settings))
            }
        };
        let events_writer = events.map(|settings| open_dynamodb(settings, &mut health)).transpose()?;
        let redis = cache.map(|settings| open_redis(&settings, runtime, background)).transpose()?;
        health.redis = redis.as_ref().map(|redis| Arc::clone(&redis.health));
        Ok(Self {
            record,
            record_writer,
            beacon_cache: redis.as_ref().map(|redis| Arc::<_>::clone(&redis.beacons) as _),
            latest: redis.map(|redis| redis.customers as _),
            events_writer,
            dead_letters: open_dead_letters(data_dir, dead_letters_max_bytes)?,
            health,
            postgres,
            postgres_unchecked,
        })
    }
}

fn open_postgres(
    settings: &PostgresRecordSettings,
    runtime: &Runtime,
) -> Result<(Arc<dyn SystemOfRecord>, PostgresWriter), StartError> {
    let _inside = runtime.enter();
    let unusable = |error: &dyn std::fmt::Display| StartError::wrong("postgres", error);
    // Its connections end with the runtime: the pipeline asks until then.
    let connections = TaskGroup::new("connections to PostgreSQL");
    let record = PostgresRecord::new(&settings.server, settings.reader, connections)
        .map_err(|error| unusable(&error))?;
    let writer = PostgresWriter::new(&settings.writer).map_err(|error| unusable(&error))?;
    Ok((Arc::new(record), writer))
}

fn open_redis(
    settings: &RedisSettings,
    runtime: &Runtime,
    background: &Background,
) -> Result<Redis, StartError> {
    let _inside = runtime.enter();
    Redis::start(settings, &background.tasks, &background.stop)
        .map_err(|error| StartError::wrong("redis", &error))
}

fn open_dynamodb(settings: DynamoDbSettings, health: &mut StoresHealth) -> Result<Writer, StartError> {
    started("dynamodb", DynamoDbAdmin::new(settings.clone())?.start_check())?;
    let writer = DynamoDbWriter::new(settings)?;
    health.dynamodb = Some(Arc::clone(writer.health()));
    Ok(("dynamodb", Box::new(writer)))
}

fn open_dead_letters(data_dir: &Path, max_bytes: u64) -> Result<Arc<DeadLetterFile>, StartError> {
    let (file, opened) = DeadLetterFile::open(data_dir, max_bytes)?;
    if opened.cut_bytes > 0 {
        tracing::warn!(bytes = opened.cut_bytes, "the last dead letter was written in part, and is cut off");
    }
    Ok(Arc::new(file))
}

/// What a store's check means to a start.
fn started(store: &'static str, check: StartCheck) -> Result<(), StartError> {
    match check {
        StartCheck::Right => Ok(()),
        StartCheck::Unreachable(reason) => {
            tracing::warn!(store, reason, "cannot be reached: serving without it until it can");
            Ok(())
        }
        StartCheck::Wrong(lines) => Err(StartError::Wrong { store, lines }),
    }
}
