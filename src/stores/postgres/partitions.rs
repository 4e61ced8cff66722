//! Partitions of `customer_identities`, one a UTC year, made before they are needed; and the daily care of tables.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use super::connect::{ConnectError, Connector, PostgresSettings};
use super::failure::{unavailable, words};
use super::session::{Session, bounded};
use crate::backoff::Backoff;
use crate::ports::StoreError;
use crate::tasks::TaskGroup;

/// Who makes a partition holds this lock, so that two do not collide in the catalog. "bcpt".
const LOCK: i64 = 0x6263_7074;

/// How long the making of a partition waits for writers to let go of the table; they wait behind it for as long.
const LOCK_TIMEOUT: &str = "5s";

/// How long one statement of the daily care may take.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// How often the care is taken.
const CARE_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// Deletions of beacons are kept for longer than a cache keeps a beacon and a catch-up looks back.
const PRUNE_DELETIONS: &str = "DELETE FROM beacon_deletions WHERE deleted_at < now() - INTERVAL '26 hours'";

/// Why a partition was not made.
#[derive(Debug, thiserror::Error)]
pub(super) enum PartitionError {
    /// PostgreSQL refused, or was not reached.
    #[error("{}", words(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// A table has the partition's name and is none.
    #[error("the table {0} is not attached to customer_identities")]
    Detached(String),
    /// No year of the common era with four digits.
    #[error("no partition can be made for the year {0}")]
    Year(i32),
}

/// The partition's name for a year.
pub(super) fn name(year: i32) -> String {
    format!("customer_identities_{year:04}")
}

/// Makes the partitions of these years that are missing, each in a transaction of its own, and tells which it made.
/// Safe when several do so at once. Takes no lock on the table where nothing is missing.
pub(super) async fn make(
    client: &mut Client,
    years: impl IntoIterator<Item = i32>,
) -> Result<Vec<String>, PartitionError> {
    let mut made = Vec::new();
    for year in years {
        if !(1..=9998).contains(&year) {
            return Err(PartitionError::Year(year));
        }
        let name = name(year);
        if attached(client, &name).await? {
            continue;
        }
        let transaction = client.transaction().await?;
        transaction
            .batch_execute(&format!(
                "SET LOCAL lock_timeout = '{LOCK_TIMEOUT}';
                SELECT pg_advisory_xact_lock({LOCK});
                CREATE TABLE IF NOT EXISTS {name} PARTITION OF customer_identities
                FOR VALUES FROM ('{year:04}-01-01 00:00:00+00') TO ('{:04}-01-01 00:00:00+00')",
                year + 1,
            ))
            .await?;
        transaction.commit().await?;
        if !attached(client, &name).await? {
            return Err(PartitionError::Detached(name));
        }
        made.push(name);
    }
    Ok(made)
}

/// Makes the partitions of this year and the next, by the server's clock.
pub(super) async fn make_ahead(client: &mut Client) -> Result<Vec<String>, PartitionError> {
    let year = this_year(client).await?;
    make(client, [year, year + 1]).await
}

/// The UTC year by the server's clock.
pub(super) async fn this_year(client: &Client) -> Result<i32, tokio_postgres::Error> {
    const YEAR: &str = "SELECT extract(year FROM now() AT TIME ZONE 'UTC')::int";
    client.query_one(YEAR, &[]).await?.try_get(0)
}

/// The names of all partitions.
pub(super) async fn names(client: &Client) -> Result<Vec<String>, tokio_postgres::Error> {
    const NAMES: &str = "SELECT relname::text FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
        WHERE inhparent = 'customer_identities'::regclass ORDER BY 1";
    client.query(NAMES, &[]).await?.iter().map(|row| row.try_get(0)).collect()
}

async fn attached(client: &Client, name: &str) -> Result<bool, tokio_postgres::Error> {
    const ATTACHED: &str = "SELECT EXISTS (SELECT FROM pg_inherits
        WHERE inhparent = 'customer_identities'::regclass AND inhrelid = to_regclass($1))";
    client.query_one(ATTACHED, &[&name]).await?.try_get(0)
}

/// Takes care of the tables at once and then daily: partitions of this year and the next, and old deletions of beacons.
#[derive(Debug)]
pub struct TableCare {
    connector: Connector,
}

impl TableCare {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// [`ConnectError`] when the URL or its certificates cannot be used.
    pub fn new(postgres: &PostgresSettings) -> Result<Self, ConnectError> {
        Ok(Self { connector: Connector::new(postgres)? })
    }

    /// Runs until `cancel`. What fails is tried again: a year without its partition has it made by the writer that
    /// misses it, in the way of its batch. Connections are driven by tasks of `tasks`.
    pub async fn run(self, tasks: TaskGroup, cancel: CancellationToken) {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(300));
        let mut failing = false;
        loop {
            let outcome = tokio::select! {
                () = cancel.cancelled() => return,
                outcome = care_once(&self.connector, &tasks) => outcome,
            };
            let wait = match outcome {
                Ok(made) => {
                    if !made.is_empty() {
                        tracing::info!(partitions = made.join(", "), "partitions were made");
                    }
                    backoff.reset();
                    failing = false;
                    CARE_INTERVAL
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "the tables' daily care failed, and is tried again");
                    }
                    backoff.wait()
                }
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}

async fn care_once(connector: &Connector, tasks: &TaskGroup) -> Result<Vec<String>, StoreError> {
    let mut session = Session::open(connector, tasks, STATEMENT_TIMEOUT).await?;
    let made = tokio::time::timeout(STATEMENT_TIMEOUT * 2, make_ahead(&mut session.client))
        .await
        .map_err(|_| unavailable("partitions were not made in time".to_owned()))?
        .map_err(|error| unavailable(error.to_string()))?;
    bounded(STATEMENT_TIMEOUT, session.client.execute(PRUNE_DELETIONS, &[])).await?;
    Ok(made)
}
