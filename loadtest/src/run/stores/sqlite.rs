//! The embedded store, read beside the daemon. Its calls block: each is made on a thread that does nothing else.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::{MINUTE_US, causes, customer_text, time_text};
use crate::run::samples::Wanted;

const SEE: &str = "SELECT 1 FROM customer_identities \
                   WHERE customer_id = ?1 AND detected_at > ?2 AND detected_at < ?3 LIMIT 1";
const LATEST: &str = "SELECT beacon_id, location, confidence, detected_at FROM customer_identities \
                      WHERE customer_id = ?1 ORDER BY detected_at DESC LIMIT 1";
/// For a lock that another process holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) fn open(path: &Path) -> Result<Connection, String> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(causes)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(causes)?;
    connection.prepare_cached(SEE).map_err(causes)?;
    Ok(connection)
}

/// Which of these are there.
pub(super) fn see(connection: &Connection, wanted: &[impl AsRef<Wanted>]) -> Result<Vec<bool>, String> {
    let mut statement = connection.prepare_cached(SEE).map_err(causes)?;
    let seen = wanted.iter().map(|wanted| {
        let wanted = wanted.as_ref();
        let at_us = wanted.detected_at_us;
        let key =
            (customer_text(wanted.customer), time_text(at_us - MINUTE_US), time_text(at_us + MINUTE_US));
        statement.exists(key).map_err(causes)
    });
    seen.collect()
}

/// Reads a customer's latest identity; whether there is one.
pub(super) fn latest(connection: &Connection, customer: u32) -> Result<bool, String> {
    let mut statement = connection.prepare_cached(LATEST).map_err(causes)?;
    let row = statement.query_row([customer_text(customer)], |row| row.get::<_, String>(3)).optional();
    Ok(row.map_err(causes)?.is_some())
}
