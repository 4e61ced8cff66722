//! PostgreSQL: the system of record.

mod connect;
mod copy;
mod failure;
mod partitions;
mod rows;
mod session;
mod writer;

pub use self::connect::{ConnectError, PostgresSettings};
pub use self::writer::{
    ForeignKeys, PostgresWriter, PostgresWriterError, PostgresWriterSettings, PostgresWriterStatus,
};

/// Its name in errors.
const STORE: &str = "PostgreSQL";
