//! The stores that are verified, and how each is read.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::Instant;

use super::held::{Held, Sieve};
use super::{dynamodb, postgres, sqlite};
use crate::ending::Failure;

/// Between two readings of a store that is not complete.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// So many readings with the same result say that nothing comes any more.
const UNCHANGED_READINGS: u32 = 3;

/// A store.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Source {
    Sqlite(PathBuf),
    SqliteEvents(PathBuf),
    /// By its URL.
    Postgres(String),
    DynamoDb {
        table: String,
        endpoint: Option<String>,
    },
}

impl Source {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "SQLite",
            Self::SqliteEvents(_) => "SQLite's events",
            Self::Postgres(_) => "PostgreSQL",
            Self::DynamoDb { .. } => "DynamoDB",
        }
    }

    /// Whether it has the table of customers.
    pub(super) fn is_record(&self) -> bool {
        matches!(self, Self::Sqlite(_) | Self::Postgres(_))
    }

    /// What it holds once as many identities of the run are there as were answered, or nothing changes any more, or the
    /// time is over.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn settled(
        &self,
        runtime: &Runtime,
        sieve: &Arc<Sieve>,
        identified: u64,
        until: Instant,
    ) -> Result<Held, Failure> {
        let (mut before, mut unchanged) = (None, 1);
        loop {
            let held = self.read(runtime, sieve)?;
            let there = held.of_run().count() as u64;
            unchanged = if before.replace(there) == Some(there) { unchanged + 1 } else { 1 };
            let is_late = Instant::now() + LOOK_AGAIN_AFTER > until;
            if there >= identified || unchanged >= UNCHANGED_READINGS || is_late {
                return Ok(held);
            }
            drop(held);
            runtime.block_on(async { tokio::time::sleep(LOOK_AGAIN_AFTER).await });
        }
    }

    fn read(&self, runtime: &Runtime, sieve: &Arc<Sieve>) -> Result<Held, Failure> {
        let read = match self {
            Self::Sqlite(file) => sqlite::identities(file, sieve).map_err(|error| error.to_string()),
            Self::SqliteEvents(file) => sqlite::events(file, sieve).map_err(|error| error.to_string()),
            Self::Postgres(url) => runtime.block_on(postgres::identities(url, sieve)),
            Self::DynamoDb { table, endpoint } => {
                runtime.block_on(dynamodb::events(table, endpoint.as_deref(), sieve))
            }
        };
        let mut held = read.map_err(|reason| self.unreachable(reason))?;
        held.sort();
        Ok(held)
    }

    /// Shows every customer of the system of record, with the time of `last_seen`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn last_seen(
        &self,
        runtime: &Runtime,
        visit: impl FnMut(&str, Option<i64>),
    ) -> Result<(), Failure> {
        let read = match self {
            Self::Sqlite(file) => sqlite::last_seen(file, visit).map_err(|error| error.to_string()),
            Self::Postgres(url) => runtime.block_on(postgres::last_seen(url, visit)),
            Self::SqliteEvents(_) | Self::DynamoDb { .. } => Ok(()),
        };
        read.map_err(|reason| self.unreachable(reason))
    }

    fn unreachable(&self, reason: String) -> Failure {
        Failure::Resources(format!("{}: {reason}", self.name()))
    }
}
