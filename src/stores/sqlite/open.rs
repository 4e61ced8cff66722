//! Opening the file: its settings, its schema, and one clear line when it cannot be opened.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, Error, ErrorCode, MAIN_DB, OpenFlags, OptionalExtension, TransactionBehavior};

/// The file's name in the data directory.
pub const FILE_NAME: &str = "beacond.sqlite3";

/// How long a statement waits for a lock that another connection holds, before it fails with nothing done. Under the
/// two seconds in which a store must answer, with time left for the statement itself.
pub const BUSY_TIMEOUT: Duration = Duration::from_millis(1500);

/// `PRAGMA application_id` of the schema: "BCND".
const APPLICATION_ID: i32 = 0x4243_4E44;

/// Settings of a connection that writes. `fullfsync` matters on macOS only. Measured on a file of a million
/// identities, in batches of 5,000: a smaller WAL is checkpointed so often that each page is written twice (CPU per
/// identity: 34 us at 8,192 pages, 30 us at 32,768 and no less at 65,536); a page cache of 16 to 256 MiB makes no
/// difference past the noise, and neither does `mmap_size`, with which a failing disk would be a signal that kills
/// the daemon instead of an error.
const WRITER_PRAGMAS: &str = "
    PRAGMA synchronous = FULL;
    PRAGMA fullfsync = ON;
    PRAGMA foreign_keys = ON;
    PRAGMA secure_delete = ON;
    PRAGMA trusted_schema = OFF;
    PRAGMA mmap_size = 0;
    PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -65536;
    PRAGMA wal_autocheckpoint = 32768;
    PRAGMA journal_size_limit = 268435456;
";

/// Settings of a connection that reads: there are several, so each has a smaller cache.
const READER_PRAGMAS: &str = "
    PRAGMA query_only = ON;
    PRAGMA trusted_schema = OFF;
    PRAGMA mmap_size = 0;
    PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -16384;
";

/// Why the file cannot be opened. Each is one line that names the file.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file or its directory is missing, not writable, or not a file.
    #[error("cannot open {}: {reason}", path.display())]
    Unreachable {
        /// Which file.
        path: PathBuf,
        /// What the operating system or SQLite said.
        reason: String,
    },
    /// It holds something else.
    #[error("{} is not a database of beacond: {reason}", path.display())]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// What it seems to be.
        reason: &'static str,
    },
    /// A newer beacond made it.
    #[error("{} has schema version {found}, this beacond knows up to {known}: use a newer beacond", path.display())]
    NewerSchema {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: i32,
        /// The newest version known here.
        known: i32,
    },
    /// Nothing has made its tables yet, or an older beacond made them.
    #[error("{} has schema version {found}, {known} is needed: open it for writing first", path.display())]
    OlderSchema {
        /// Which file.
        path: PathBuf,
        /// Its version, 0 when it has no tables.
        found: i32,
        /// The version needed.
        known: i32,
    },
    /// No room for its tables.
    #[error("cannot open {}: the disk is full", path.display())]
    DiskFull {
        /// Which file.
        path: PathBuf,
    },
    /// Another process keeps it locked.
    #[error("cannot open {}: another process keeps it locked", path.display())]
    Locked {
        /// Which file.
        path: PathBuf,
    },
}

/// Opens the file for writing; makes it and its directory, and brings its schema up to date, where needed.
pub(super) fn open_for_writing(data_dir: &Path) -> Result<Connection, OpenError> {
    let path = &data_dir.join(FILE_NAME);
    std::fs::create_dir_all(data_dir).map_err(|error| OpenError::Unreachable {
        path: path.clone(),
        reason: format!("its directory cannot be made: {error}"),
    })?;
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let explain = |error: Error| open_error(path, &error);
    let mut connection = Connection::open_with_flags(path, flags).map_err(explain)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(explain)?;
    let found = checked_version(&connection, path)?;
    // SQLite opens a file that it may not write for reading, and says so only here.
    if connection.is_readonly(MAIN_DB).map_err(explain)? {
        return Err(OpenError::Unreachable {
            path: path.to_owned(),
            reason: "the file is not writable".to_owned(),
        });
    }
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(explain)?;
    if mode != "wal" {
        return Err(OpenError::Unreachable {
            path: path.to_owned(),
            reason: format!("its file system allows journal mode {mode} only, WAL is needed"),
        });
    }
    connection.execute_batch(WRITER_PRAGMAS).map_err(explain)?;
    if found < known_version() {
        migrate(&mut connection, path)?;
    }
    Ok(connection)
}

/// Opens a file whose schema is up to date, for reading only.
pub(super) fn open_for_reading(data_dir: &Path) -> Result<Connection, OpenError> {
    let path = &data_dir.join(FILE_NAME);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let explain = |error: Error| open_error(path, &error);
    let connection = Connection::open_with_flags(path, flags).map_err(explain)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(explain)?;
    let found = checked_version(&connection, path)?;
    if found < known_version() {
        return Err(OpenError::OlderSchema { path: path.to_owned(), found, known: known_version() });
    }
    connection.execute_batch(READER_PRAGMAS).map_err(explain)?;
    Ok(connection)
}

mod embedded {
    #![allow(missing_docs, unreachable_pub, clippy::unwrap_used, reason = "generated by refinery's macro")]
    refinery::embed_migrations!("migrations/sqlite");
}

fn known_version() -> i32 {
    let runner = embedded::migrations::runner();
    let versions = runner.get_migrations().iter().map(refinery::Migration::version);
    versions.max().unwrap_or_default()
}

/// The file's schema version, 0 when it is new; refuses what is not ours or newer than us.
fn checked_version(connection: &Connection, path: &Path) -> Result<i32, OpenError> {
    let explain = |error: Error| open_error(path, &error);
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(explain)?;
    if tables == 0 {
        return Ok(0);
    }
    let has_history = connection
        .query_row(
            "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'refinery_schema_history'",
            [],
            |_| Ok(()),
        )
        .optional()
        .map_err(explain)?
        .is_some();
    let version: i32 = if has_history {
        connection
            .query_row("SELECT coalesce(max(version), 0) FROM refinery_schema_history", [], |row| row.get(0))
            .map_err(explain)?
    } else {
        0
    };
    let application_id: i32 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(explain)?;
    // A start that died between the history's table and the first migration left a history of nothing.
    if application_id != APPLICATION_ID && !(has_history && version == 0) {
        return Err(OpenError::Foreign {
            path: path.to_owned(),
            reason: "it has tables that beacond did not make",
        });
    }
    if version > known_version() {
        return Err(OpenError::NewerSchema { path: path.to_owned(), found: version, known: known_version() });
    }
    Ok(version)
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    connection.set_transaction_behavior(TransactionBehavior::Immediate);
    let outcome = embedded::migrations::runner().set_grouped(true).run(connection);
    connection.set_transaction_behavior(TransactionBehavior::Deferred);
    match outcome {
        Ok(_) => Ok(()),
        // Another process may have been faster: then its tables are in the way of ours, and all is well.
        Err(_) if checked_version(connection, path)? == known_version() => Ok(()),
        Err(error) => Err(migration_error(path, &error)),
    }
}

fn migration_error(path: &Path, error: &refinery::Error) -> OpenError {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<Error>() {
            return open_error(path, error);
        }
        source = cause.source();
    }
    OpenError::Unreachable { path: path.to_owned(), reason: format!("its tables cannot be made: {error}") }
}

fn open_error(path: &Path, error: &Error) -> OpenError {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::Foreign { path, reason: "it is not an SQLite file" },
        Some(ErrorCode::DiskFull) => OpenError::DiskFull { path },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::Locked { path },
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly) => OpenError::Unreachable {
            reason: unreachable_reason(&path).unwrap_or_else(|| error.to_string()),
            path,
        },
        _ => OpenError::Unreachable { path, reason: error.to_string() },
    }
}

/// What the operating system has against the file: SQLite tells only that it could not be opened. The file itself is
/// not opened here, since closing it again would release the locks of this process's connections.
fn unreachable_reason(path: &Path) -> Option<String> {
    if path.is_dir() {
        return Some("it is a directory".to_owned());
    }
    let directory = path.parent()?;
    let probe = directory.join(format!(".{FILE_NAME}-{}", std::process::id()));
    match std::fs::File::create_new(&probe).and_then(|_| std::fs::remove_file(&probe)) {
        Ok(()) => (!path.exists()).then(|| "it does not exist".to_owned()),
        Err(error) => Some(format!("no file can be made in {}: {error}", directory.display())),
    }
}
