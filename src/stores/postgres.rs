//! PostgreSQL: the system of record.
//!
//! [`PostgresWriter`] writes batches, [`PostgresRecord`] answers the pipeline's questions, [`BeaconChangesTask`] tells
//! caches what has changed, [`TableCare`] makes partitions before they are needed, [`PostgresAdmin`] serves commands,
//! [`check_at_start`] says whether a daemon can work with a database. The schema is `migrations/postgres`.

mod admin;
mod changes;
mod check;
mod connect;
mod copy;
mod failure;
mod migrate;
mod partitions;
mod reader;
mod rows;
mod session;
mod writer;

pub use self::admin::PostgresAdmin;
pub use self::changes::{BeaconChangesTask, FollowSettings};
pub use self::check::check_at_start;
pub use self::connect::{ConnectError, PostgresSettings};
pub use self::migrate::SchemaVersion;
pub use self::partitions::TableCare;
pub use self::reader::{PostgresReaderSettings, PostgresRecord};
pub use self::writer::{
    ForeignKeys, PostgresWriter, PostgresWriterError, PostgresWriterSettings, PostgresWriterStatus,
};

/// Its name in errors.
const STORE: &str = "PostgreSQL";
