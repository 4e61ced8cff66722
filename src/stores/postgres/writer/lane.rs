//! A connection kept for writing, with what is prepared and known of the database at its other end.

use std::fmt;
use std::sync::Arc;

use bytes::BytesMut;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Statement};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::failure::Failure;
use super::status::PostgresWriterStatus;
use super::{ForeignKeys, transaction};
use crate::stores::postgres::connect::{ConnectError, Connector};
use crate::stores::postgres::copy::COLUMNS;
use crate::stores::postgres::failure::words;
use crate::tasks::TaskGroup;

/// What every connection is made of.
#[derive(Debug)]
pub(super) struct LaneMaker {
    pub(super) connector: Connector,
    pub(super) foreign_keys: ForeignKeys,
    pub(super) status: Arc<PostgresWriterStatus>,
    /// Drives the connections.
    pub(super) tasks: TaskGroup,
}

/// A connection for writing. Dropped, its socket is closed at once and an open transaction with it.
pub(super) struct Lane {
    pub(super) client: Client,
    pub(super) statements: Statements,
    pub(super) foreign_keys: ForeignKeys,
    pub(super) status: Arc<PostgresWriterStatus>,
    /// A batch as COPY has it; kept for its room.
    pub(super) buffer: BytesMut,
    /// How to copy into the staging table, once there is one.
    pub(super) copy_staging: Option<Statement>,
    /// Whether most customers of the last batch were new.
    pub(super) mostly_new: bool,
    _driver: DropGuard,
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").field("foreign_keys", &self.foreign_keys).finish_non_exhaustive()
    }
}

/// What is prepared on every connection.
pub(super) struct Statements {
    pub(super) move_known: Statement,
    pub(super) insert_or_lock: Statement,
    pub(super) move_late: Statement,
    pub(super) missing_beacons: Statement,
    pub(super) copy: Statement,
    pub(super) near: Statement,
}

/// Every statement finds rows by keys, however small a table is while it is planned; and plans hold for any number of
/// keys. What is committed is on the disk, whatever the role's defaults say.
const SESSION: &str = "SET plan_cache_mode = force_generic_plan;
    SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off;
    SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') IN ('off', 'local')";

/// Why the writer may not check foreign keys itself, if so. Its transactions fire only triggers that are ALWAYS
/// enabled, so there must be none that it would pass over, and no foreign keys but those that it checks.
const OBSTACLE: &str = "WITH written AS (
        SELECT unnest(ARRAY['customers', 'customer_identities', 'preference_changes']::regclass[])::oid AS relation
        UNION ALL SELECT inhrelid FROM pg_inherits WHERE inhparent = 'customer_identities'::regclass
    )
    SELECT CASE
        WHEN NOT has_parameter_privilege('session_replication_role', 'SET') THEN 0
        WHEN (SELECT count(*) FROM pg_trigger WHERE tgrelid = 'beacons'::regclass AND tgenabled IN ('O', 'A')
              AND tgname IN ('beacons_guard_deletion', 'beacons_guard_renaming')) < 2 THEN 1
        WHEN EXISTS (SELECT FROM pg_trigger JOIN written ON tgrelid = relation
                     WHERE NOT tgisinternal AND tgenabled IN ('O', 'R')) THEN 2
        WHEN EXISTS (SELECT FROM pg_constraint JOIN written ON conrelid = relation
                     WHERE contype = 'f' AND confrelid NOT IN ('customers'::regclass, 'beacons'::regclass)) THEN 3
    END";

/// In the order of the numbers in [`OBSTACLE`].
const OBSTACLES: [&str; 4] = [
    "no right to set session_replication_role",
    "the guard triggers of the table of beacons are missing or disabled",
    "a trigger of others on the tables of customers",
    "a foreign key of others on the tables of customers",
];

impl LaneMaker {
    /// Connects, and looks at what is there: the types of columns, which COPY does not convert, and whether foreign keys
    /// may be checked by the batch.
    pub(super) async fn open(&self) -> Result<Lane, Failure> {
        let (client, connection) = self.connector.connect().await?;
        let ended = CancellationToken::new();
        let driver = ended.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = driver.cancelled() => {}
                outcome = connection => if let Err(error) = outcome {
                    tracing::debug!(error = words(&error), "a connection for writing has ended");
                }
            }
        });
        let driver = ended.drop_guard();
        client.batch_execute(SESSION).await.map_err(ConnectError::Refused)?;
        check_columns(&client).await?;
        let obstacle = match self.foreign_keys {
            ForeignKeys::CheckedByBatch => {
                let found: Option<i32> = client.query_one(OBSTACLE, &[]).await?.try_get(0)?;
                found.and_then(|number| OBSTACLES.get(usize::try_from(number).ok()?).copied())
            }
            ForeignKeys::CheckedByRow => None,
        };
        Ok(Lane {
            statements: Statements::prepare(&client).await?,
            foreign_keys: self.status.checks(self.foreign_keys, obstacle),
            status: Arc::clone(&self.status),
            buffer: BytesMut::new(),
            copy_staging: None,
            mostly_new: false,
            client,
            _driver: driver,
        })
    }
}

impl Lane {
    /// For what is no write of a batch.
    pub(super) const fn client_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl Statements {
    async fn prepare(client: &Client) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            move_known: client.prepare(transaction::MOVE_KNOWN).await?,
            insert_or_lock: client.prepare(transaction::INSERT_OR_LOCK).await?,
            move_late: client.prepare(transaction::MOVE_LATE).await?,
            missing_beacons: client.prepare(transaction::MISSING_BEACONS).await?,
            copy: client.prepare(&format!("COPY customer_identities ({COLUMNS}) FROM STDIN BINARY")).await?,
            near: client.prepare(transaction::NEAR).await?,
        })
    }
}

/// Binary COPY takes a column's own format only.
async fn check_columns(client: &Client) -> Result<(), Failure> {
    const TEXTS: &[Type] = &[Type::VARCHAR, Type::TEXT, Type::BPCHAR];
    let wanted: [(&'static str, &[Type]); 5] = [
        ("customer_id", TEXTS),
        ("beacon_id", TEXTS),
        ("location", TEXTS),
        ("confidence", &[Type::FLOAT4]),
        ("detected_at", &[Type::TIMESTAMPTZ]),
    ];
    let columns = client.prepare(&format!("SELECT {COLUMNS} FROM customer_identities")).await?;
    for ((name, types), column) in wanted.into_iter().zip(columns.columns()) {
        if !types.contains(column.type_()) {
            return Err(Failure::ColumnType(name, column.type_().name().to_owned()));
        }
    }
    Ok(())
}
