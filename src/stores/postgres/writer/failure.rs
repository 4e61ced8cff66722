//! Why a write failed, and what is to be done about it.

use std::time::Duration;

use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

use crate::domain::beacon::BeaconId;
use crate::ports::WriteError;
use crate::stores::postgres::connect::ConnectError;
use crate::stores::postgres::failure::words;
use crate::stores::postgres::partitions::PartitionError;

/// What ended an attempt to write. After any of them the connection is dropped.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection, or the server at its other end, is gone.
    #[error("{}", words(.0))]
    Connection(#[source] Error),
    /// A row with the key of one in the batch is there.
    #[error("{}", words(.0))]
    Conflict(#[source] Error),
    /// No partition takes a row.
    #[error("{}", words(.0))]
    MissingPartition(#[source] Error),
    /// The server said no in another way.
    #[error("{}", words(.0))]
    Refused(#[source] Error),
    /// A partition could not be made.
    #[error("a partition is missing: {0}")]
    Partition(#[from] PartitionError),
    /// Columns that the writer does not know.
    #[error("column {0} of customer_identities is {1}")]
    ColumnType(&'static str, String),
    /// An identity's beacon is not in the table.
    #[error("the beacon {0} of an identity is not in the table of beacons")]
    MissingBeacon(String),
    /// Too late.
    #[error("not written within {} ms", .0.as_millis())]
    TimedOut(Duration),
}

/// A time in the batch that is no year of four digits.
#[derive(Debug, thiserror::Error)]
pub(super) enum OutOfRange {
    /// Of an identity.
    #[error("DetectedAt of an identity at beacon {0} is not in the years 1 to 9998")]
    DetectedAt(BeaconId),
    /// Of a preference.
    #[error("UpdatedAt of a preference is not in the years 0 to 9999")]
    UpdatedAt,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let Some(state) = error.as_db_error() else { return Self::Connection(error) };
        match *state.code() {
            SqlState::UNIQUE_VIOLATION => Self::Conflict(error),
            // A broken CHECK names its constraint.
            SqlState::CHECK_VIOLATION if state.constraint().is_none() => Self::MissingPartition(error),
            // The server told the connection that it ends it, perhaps long ago.
            SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN | SqlState::IDLE_SESSION_TIMEOUT => {
                Self::Connection(error)
            }
            _ => Self::Refused(error),
        }
    }
}

impl Failure {
    /// What the pipeline is told.
    pub(super) fn into_write_error(self) -> WriteError {
        let reason = self.to_string();
        match &self {
            Self::Connect(ConnectError::Refused(error))
            | Self::Connection(error)
            | Self::Conflict(error)
            | Self::Refused(error) => kind(error)(reason),
            // No row is to blame for a partition that cannot be made.
            Self::Partition(PartitionError::Postgres(error)) => match kind(error)(reason) {
                WriteError::Rejected(reason) => WriteError::Unavailable(reason),
                other => other,
            },
            Self::Connect(ConnectError::TimedOut(_)) | Self::TimedOut(_) => WriteError::Unavailable(reason),
            Self::Connect(ConnectError::Url(_) | ConnectError::Certificates(_))
            | Self::ColumnType(..)
            | Self::MissingPartition(_)
            | Self::Partition(PartitionError::Detached(_)) => WriteError::Misconfigured(reason),
            Self::MissingBeacon(_) | Self::Partition(PartitionError::Year(_)) => WriteError::Rejected(reason),
        }
    }
}

/// What the driver's error asks for, by the class of its SQLSTATE. A class not named here is waited for: better a batch
/// that waits for somebody than a row given up by mistake.
fn kind(error: &Error) -> fn(String) -> WriteError {
    let Some(code) = error.code() else { return WriteError::Unavailable };
    match (code.code().get(..2).unwrap_or_default(), code) {
        // A standby, or a server made read-only.
        (_, &SqlState::READ_ONLY_SQL_TRANSACTION) => WriteError::Misconfigured,
        // What is encoded fits the types found when connecting: a column has another one since.
        (_, &SqlState::INVALID_BINARY_REPRESENTATION) => WriteError::Misconfigured,
        // Only a location may be missing; another column is one that the writer does not know of.
        (_, &SqlState::NOT_NULL_VIOLATION)
            if error.as_db_error().and_then(DbError::column) != Some("location") =>
        {
            WriteError::Misconfigured
        }
        // Values, constraints, limits of an index row, a trigger's or a view's own refusal.
        ("22" | "23" | "44" | "54" | "P0", _) => WriteError::Rejected,
        // Names, types, rights, credentials, the database, what the server does not know.
        // A prepared statement that is gone means a pooler that shares sessions.
        ("0A" | "26" | "28" | "3D" | "3F" | "42", _) => WriteError::Misconfigured,
        _ => WriteError::Unavailable,
    }
}
