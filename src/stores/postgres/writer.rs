//! Writes batches by binary COPY, each customer's rows in one transaction.

mod failure;
mod lane;
mod part;
mod status;
mod transaction;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use self::failure::Failure;
use self::lane::{Lane, LaneMaker};
use self::part::Part;
pub use self::status::PostgresWriterStatus;
use self::transaction::Way;
use super::connect::{ConnectError, Connector, PostgresSettings};
use super::partitions;
use crate::ports::{BatchWriter, Block, Delivery, WriteError};
use crate::stores::batch_plan::BatchPlan;
use crate::tasks::TaskGroup;

/// How batches are written into PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresWriterSettings {
    /// Where to. Its `statement_timeout` does not count here: statements end with `write_timeout`.
    pub server: PostgresSettings,
    /// Over how many connections, at least one; each takes the batch's customers from one id to another.
    pub connections: usize,
    /// How long one write may take, connecting and every attempt of its own included.
    pub write_timeout: Duration,
    /// Who checks foreign keys.
    pub foreign_keys: ForeignKeys,
}

/// Who sees to it that an identity's customer and beacon exist. The integrity is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForeignKeys {
    /// The writer, once a batch: its customers are made or locked in the same transaction, its beacons are looked up as
    /// one set while none can be deleted. Needs the right to set `session_replication_role`, the guard triggers of the
    /// schema, and no triggers or foreign keys of others on the tables; without them it is [`Self::CheckedByRow`].
    CheckedByBatch,
    /// PostgreSQL, row by row.
    CheckedByRow,
}

/// Writes batches over connections of its own, which it opens when they are needed and drops after any error.
pub struct PostgresWriter {
    runtime: Runtime,
    maker: LaneMaker,
    /// As many as connections are to be used; none where one is still to be opened.
    lanes: Vec<Option<Lane>>,
    write_timeout: Duration,
    tasks: TaskGroup,
}

impl fmt::Debug for PostgresWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresWriter").field("maker", &self.maker).finish_non_exhaustive()
    }
}

/// Why there is no writer.
#[derive(Debug, thiserror::Error)]
pub enum PostgresWriterError {
    /// The URL or the certificates of the settings cannot be used.
    #[error(transparent)]
    Settings(#[from] ConnectError),
    /// The system gave no runtime.
    #[error("a runtime: {0}")]
    Runtime(#[from] std::io::Error),
}

/// A part of a batch is not made smaller than this: a transaction costs about as much as so many rows.
const PART_ROWS: usize = 500;

/// How long the tasks that drive connections may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(1);

impl PostgresWriter {
    /// A writer of these settings. Connects to nothing yet: that is for the first write, and for every one after a
    /// failure.
    ///
    /// # Errors
    /// [`PostgresWriterError`].
    pub fn new(settings: &PostgresWriterSettings) -> Result<Self, PostgresWriterError> {
        let server =
            PostgresSettings { statement_timeout: settings.write_timeout, ..settings.server.clone() };
        let tasks = TaskGroup::new("connections of the PostgreSQL writer");
        let maker = LaneMaker {
            connector: Connector::new(&server)?,
            foreign_keys: settings.foreign_keys,
            status: Arc::default(),
            tasks: tasks.clone(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let lanes = std::iter::repeat_with(|| None).take(settings.connections.max(1)).collect();
        Ok(Self { runtime, maker, lanes, write_timeout: settings.write_timeout, tasks })
    }

    /// What it has found and decided so far, to be read from anywhere.
    #[must_use]
    pub fn status(&self) -> Arc<PostgresWriterStatus> {
        Arc::clone(&self.maker.status)
    }
}

impl BatchWriter for PostgresWriter {
    fn write(&mut self, batch: &[Arc<Block>], delivery: Delivery) -> Result<(), WriteError> {
        let plan = BatchPlan::new(batch);
        if plan.is_empty() {
            return Ok(());
        }
        let parts =
            (batch.iter().map(|block| block.rows()).sum::<usize>() / PART_ROWS).clamp(1, self.lanes.len());
        let parts = Part::split(&plan, parts).map_err(|error| WriteError::Rejected(error.to_string()))?;
        let way = match delivery {
            Delivery::First => Way::Direct,
            Delivery::Again => Way::Merge,
        };
        let Self { runtime, maker, lanes, write_timeout, tasks: _ } = self;
        let writes = lanes.iter_mut().zip(&parts).map(|(lane, part)| {
            let limit = *write_timeout;
            let maker = &*maker;
            async move {
                let write = write_part(maker, lane, part, way);
                timeout(limit, write).await.unwrap_or(Err(Failure::TimedOut(limit)))
            }
        });
        let outcomes = runtime.block_on(join_all(writes));
        first_to_mend(outcomes.into_iter().filter_map(Result::err))
    }
}

impl Drop for PostgresWriter {
    fn drop(&mut self) {
        self.lanes.clear();
        self.runtime.block_on(self.tasks.join(END_TIMEOUT));
    }
}

/// Writes one part, with at most one further attempt for each thing that this writer can mend by itself.
async fn write_part(
    maker: &LaneMaker,
    held: &mut Option<Lane>,
    part: &Part<'_>,
    mut way: Way,
) -> Result<(), Failure> {
    let mut partitions_made = false;
    loop {
        // The lane is put back only after a commit. Dropped half-way, by an error or the time limit, it is closed.
        let (mut lane, used_before) = match held.take() {
            Some(lane) => (lane, true),
            None => (maker.open().await?, false),
        };
        let failure = match lane.write(part, way).await {
            Ok(near_ids) => {
                maker.status.found_near(&near_ids);
                *held = Some(lane);
                return Ok(());
            }
            Err(failure) => failure,
        };
        drop(lane);
        match failure {
            Failure::Conflict(_) if way == Way::Direct => way = Way::Merge,
            Failure::MissingPartition(_) if !partitions_made => {
                partitions_made = true;
                let mut lane = maker.open().await?;
                for name in partitions::make(lane.client_mut(), part.years()).await? {
                    tracing::info!(partition = name, "made a partition that a row was missing");
                }
                *held = Some(lane);
            }
            // The connection had died since its last use. In doubt whether it died at the commit, so merged.
            Failure::Connection(_) if used_before => way = Way::Merge,
            failure => return Err(failure),
        }
    }
}

/// Of several failures the one whose mending the others wait for: it makes no sense to look for a refused row by
/// writing to a server that is not there.
fn first_to_mend(failures: impl Iterator<Item = Failure>) -> Result<(), WriteError> {
    let order = |error: &WriteError| match error {
        WriteError::Misconfigured(_) => 0,
        WriteError::Unavailable(_) => 1,
        WriteError::Rejected(_) => 2,
    };
    failures.map(Failure::into_write_error).min_by_key(order).map_or(Ok(()), Err)
}
