//! PostgreSQL: the system of record.

mod connect;
mod writer;

pub use self::connect::{ConnectError, PostgresSettings};

/// Its name in errors.
const STORE: &str = "PostgreSQL";
