//! The embedded store: one SQLite file, the system of record of a daemon that has no PostgreSQL.
//!
//! [`SqliteWriter`] writes batches and makes the file, [`SqliteReader`] answers the pipeline's questions,
//! [`SqliteAdmin`] serves commands, also while a daemon has the file open in another process. The tables have the
//! names and columns of PostgreSQL's, so that any SQLite client reads them; there are no partitions, since a file has
//! no use for them. The file is in WAL mode with full sync: a commit is on the disk when it returns.

mod admin;
mod failure;
mod open;
mod reader;
mod rows;
mod writer;

pub use admin::SqliteAdmin;
pub use open::{BUSY_TIMEOUT, FILE_NAME, OpenError};
pub use reader::{SqliteReader, SqliteReaderSettings};
pub use writer::SqliteWriter;

/// The store's name in errors.
const STORE: &str = "SQLite";
