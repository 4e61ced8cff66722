//! The registry of beacons and gateways, the schema and its check, for commands; works beside running daemons.

use std::collections::HashSet;
use std::pin::pin;
use std::time::Duration;

use futures_util::TryStreamExt;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_postgres::{Row, Transaction};

use super::check;
use super::connect::{Connector, PostgresSettings};
use super::failure::{bad_row, store_error, unavailable};
use super::migrate::{self, SchemaVersion};
use super::partitions;
use super::rows::{self, SELECT_BEACONS, SELECT_GATEWAYS};
use super::session::{Session, bounded};
use crate::domain::beacon::Beacon;
use crate::domain::gateway::{Gateway, StoreScope};
use crate::ports::StoreError;
use crate::stores::{CheckLine, ImportSummary};
use crate::tasks::TaskGroup;

/// `xmax` is 0 in a row that was not there before: an update leaves its transaction's mark.
const IMPORT_BEACONS: &str = "INSERT INTO beacons AS held
        (beacon_id, store_id, major, minor, location, location_type, status)
    SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::int[], $5::text[], $6::text[], $7::text[])
    ON CONFLICT (beacon_id) DO UPDATE SET
        store_id = excluded.store_id, major = excluded.major, minor = excluded.minor,
        location = excluded.location, location_type = excluded.location_type, status = excluded.status
    WHERE (held.store_id, held.major, held.minor, held.location, held.location_type, held.status)
        IS DISTINCT FROM (excluded.store_id, excluded.major, excluded.minor, excluded.location,
            excluded.location_type, excluded.status)
    RETURNING xmax::text = '0'";

/// A row's stores travel as one JSON array each, since `unnest` would flatten an array of arrays.
const IMPORT_GATEWAYS: &str = "INSERT INTO gateways AS held (gateway_id, stores, status)
    SELECT gateway_id, ARRAY(SELECT jsonb_array_elements_text(stores::jsonb)), status
    FROM unnest($1::text[], $2::text[], $3::text[]) AS given (gateway_id, stores, status)
    ON CONFLICT (gateway_id) DO UPDATE SET stores = excluded.stores, status = excluded.status
    WHERE (held.stores, held.status) IS DISTINCT FROM (excluded.stores, excluded.status)
    RETURNING xmax::text = '0'";

/// Imports take turns: two that met on the same rows in another order would stop each other. "bcim".
const IMPORT_LOCK: &str = "SELECT pg_advisory_xact_lock(1650682221)";

/// Rows of an import that one statement carries.
const CHUNK_ROWS: usize = 10_000;

/// How long one statement may take: long enough for a chunk, and for a turn to import.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a check may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a migration may take.
const MIGRATE_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// Reads and changes the registry, and the schema. Blocks; not to be called on a runtime's thread.
#[derive(Debug)]
pub struct PostgresAdmin {
    session: Session,
    /// After what runs on it, so that it is dropped last.
    runtime: Runtime,
}

impl PostgresAdmin {
    /// Connects. The schema is not looked at.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the URL cannot be used, or the server cannot be reached or refuses the
    /// connection.
    pub fn open(postgres: &PostgresSettings) -> Result<Self, StoreError> {
        let connector = Connector::new(postgres)?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| unavailable(format!("no runtime: {error}")))?;
        let tasks = TaskGroup::new("postgres-admin");
        let session = runtime.block_on(Session::open(&connector, &tasks, STATEMENT_TIMEOUT))?;
        Ok(Self { session, runtime })
    }

    /// Registers beacons by id, all or none. The database's clock sets `updated_at`, and only where something else
    /// changed; theirs is not looked at. Beacons that are not among them stay.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when a row is refused, or the server does not answer in time.
    pub fn import_beacons(&mut self, beacons: &[Beacon]) -> Result<ImportSummary, StoreError> {
        self.import(beacons, |beacon| beacon.id, import_beacons)
    }

    /// Every beacon, by id.
    ///
    /// # Errors
    /// [`StoreError::BadRow`] names the first row that breaks the model.
    pub fn beacons(&self) -> Result<Vec<Beacon>, StoreError> {
        self.all(SELECT_BEACONS, rows::beacon)
    }

    /// Registers gateways by id, all or none. Gateways that are not among them stay.
    ///
    /// # Errors
    /// [`StoreError::BadRow`] for a gateway of every store, which is what an unregistered one is, and
    /// [`StoreError::Unavailable`] when a row is refused, or the server does not answer in time.
    pub fn import_gateways(&mut self, gateways: &[Gateway]) -> Result<ImportSummary, StoreError> {
        let registered = gateways
            .iter()
            .map(|gateway| Ok((gateway, stores_json(gateway)?)))
            .collect::<Result<Vec<_>, StoreError>>()?;
        self.import(&registered, |(gateway, _)| gateway.id.clone(), import_gateways)
    }

    /// Every gateway, by id.
    ///
    /// # Errors
    /// [`StoreError::BadRow`] names the first row that breaks the model.
    pub fn gateways(&self) -> Result<Vec<Gateway>, StoreError> {
        self.all(SELECT_GATEWAYS, rows::gateway)
    }

    /// Brings the schema up to date, makes the partitions of this year and the next, and tells which versions it
    /// applied: none when it was up to date. Safe when several do so at once.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when a right is missing, a newer beacond has migrated the database, or the server
    /// does not answer in time. A version is applied as a whole or not at all.
    pub fn migrate(&mut self) -> Result<Vec<SchemaVersion>, StoreError> {
        let client = &mut self.session.client;
        let work = async {
            let applied = migrate::migrate(client).await?;
            partitions::make_ahead(client).await.map_err(|error| unavailable(error.to_string()))?;
            Ok(applied)
        };
        self.runtime.block_on(async {
            timeout(MIGRATE_TIMEOUT, work)
                .await
                .unwrap_or_else(|_| Err(unavailable("the migration did not end in time".to_owned())))
        })
    }

    /// Every version of the schema that this program knows or the database has, by number.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the server does not answer in time.
    pub fn migration_status(&self) -> Result<Vec<SchemaVersion>, StoreError> {
        self.runtime.block_on(bounded(STATEMENT_TIMEOUT, migrate::status(&self.session.client)))
    }

    /// Whether the database is as the daemon needs it, one line a part.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the server does not answer in time.
    pub fn check(&self) -> Result<Vec<CheckLine>, StoreError> {
        self.runtime.block_on(bounded(CHECK_TIMEOUT, check::lines(&self.session.client)))
    }

    /// Writes `rows` in the order given, in chunks in which no key comes twice: a statement may not meet a row again.
    fn import<'r, T, K: Eq + std::hash::Hash>(
        &mut self,
        rows: &'r [T],
        key: impl Fn(&T) -> K,
        write: impl AsyncFn(&Transaction<'_>, &'r [T]) -> Result<Vec<Row>, tokio_postgres::Error>,
    ) -> Result<ImportSummary, StoreError> {
        let client = &mut self.session.client;
        self.runtime.block_on(async {
            let mut summary = ImportSummary::default();
            let transaction = bounded(STATEMENT_TIMEOUT, client.transaction()).await?;
            bounded(STATEMENT_TIMEOUT, transaction.execute(IMPORT_LOCK, &[])).await?;
            let mut rest = rows;
            while !rest.is_empty() {
                let mut keys = HashSet::new();
                let rows = rest.iter().take(CHUNK_ROWS).take_while(|row| keys.insert(key(row))).count();
                let (chunk, after) = rest.split_at(rows);
                let written = bounded(STATEMENT_TIMEOUT, write(&transaction, chunk)).await?;
                let inserted = written.iter().filter(|row| row.get(0)).count();
                summary.inserted += inserted;
                summary.updated += written.len() - inserted;
                summary.unchanged += chunk.len() - written.len();
                rest = after;
            }
            bounded(STATEMENT_TIMEOUT, transaction.commit()).await?;
            Ok(summary)
        })
    }

    fn all<T>(&self, sql: &str, read: impl Fn(&Row) -> Result<T, StoreError>) -> Result<Vec<T>, StoreError> {
        let nothing: [&str; 0] = [];
        let reading = async {
            let rows =
                self.session.client.query_raw(sql, nothing).await.map_err(|error| store_error(&error))?;
            let mut rows = pin!(rows);
            let mut all = Vec::new();
            while let Some(row) = rows.try_next().await.map_err(|error| store_error(&error))? {
                all.push(read(&row)?);
            }
            Ok(all)
        };
        self.runtime.block_on(async {
            timeout(STATEMENT_TIMEOUT, reading)
                .await
                .unwrap_or_else(|_| Err(unavailable("no answer in time".to_owned())))
        })
    }
}

async fn import_beacons(
    transaction: &Transaction<'_>,
    beacons: &[Beacon],
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let ids: Vec<String> = beacons.iter().map(|beacon| beacon.id.to_string()).collect();
    let stores: Vec<&str> = beacons.iter().map(|beacon| beacon.store_id.as_str()).collect();
    let majors: Vec<i32> = beacons.iter().map(|beacon| beacon.major.into()).collect();
    let minors: Vec<i32> = beacons.iter().map(|beacon| beacon.minor.into()).collect();
    let locations: Vec<Option<&str>> =
        beacons.iter().map(|beacon| beacon.location.as_ref().map(|location| location.as_str())).collect();
    let types: Vec<Option<&str>> =
        beacons.iter().map(|beacon| beacon.location_type.map(|kind| kind.as_str())).collect();
    let statuses: Vec<&str> = beacons.iter().map(|beacon| beacon.status.as_str()).collect();
    transaction.query(IMPORT_BEACONS, &[&ids, &stores, &majors, &minors, &locations, &types, &statuses]).await
}

async fn import_gateways(
    transaction: &Transaction<'_>,
    gateways: &[(&Gateway, String)],
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let ids: Vec<&str> = gateways.iter().map(|(gateway, _)| gateway.id.as_str()).collect();
    let stores: Vec<&str> = gateways.iter().map(|(_, stores)| stores.as_str()).collect();
    let statuses: Vec<&str> = gateways.iter().map(|(gateway, _)| gateway.status.as_str()).collect();
    transaction.query(IMPORT_GATEWAYS, &[&ids, &stores, &statuses]).await
}

/// The stores as sorted JSON, so that the same set is the same array.
fn stores_json(gateway: &Gateway) -> Result<String, StoreError> {
    match &gateway.stores {
        StoreScope::Every => {
            Err(bad_row(format!("gateway {}: a registered gateway names its stores", gateway.id)))
        }
        StoreScope::These(stores) => {
            let mut names: Vec<&str> = stores.iter().map(|store| store.as_str()).collect();
            names.sort_unstable();
            Ok(serde_json::Value::from(names).to_string())
        }
    }
}
