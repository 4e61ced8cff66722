//! The embedded store's file, read as any other client would.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::held::{Held, Sieve, Told};
use super::time;

const IDENTITIES: &str = "SELECT customer_id, detected_at, beacon_id, location, confidence
    FROM customer_identities WHERE detected_at BETWEEN ?1 AND ?2";

const EVENTS: &str = "SELECT CustomerID, DetectedAt, BeaconID, Location, Confidence
    FROM customer_events WHERE DetectedAt BETWEEN ?1 AND ?2";

const LAST_SEEN: &str = "SELECT customer_id, last_seen FROM customers";

/// The rows of `customer_identities` that could matter.
pub(super) fn identities(file: &Path, sieve: &Sieve) -> rusqlite::Result<Held> {
    rows(file, IDENTITIES, sieve)
}

/// The rows of `customer_events` that could matter.
pub(super) fn events(file: &Path, sieve: &Sieve) -> rusqlite::Result<Held> {
    rows(file, EVENTS, sieve)
}

/// Every customer's id, and when it was last seen.
pub(super) fn last_seen(file: &Path, mut visit: impl FnMut(&str, Option<i64>)) -> rusqlite::Result<()> {
    let connection = open(file)?;
    let mut statement = connection.prepare(LAST_SEEN)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        visit(row.get_ref(0)?.as_str()?, time::micros(row.get_ref(1)?.as_str()?));
    }
    Ok(())
}

fn rows(file: &Path, question: &str, sieve: &Sieve) -> rusqlite::Result<Held> {
    let connection = open(file)?;
    let mut statement = connection.prepare(question)?;
    let asked = sieve.asked();
    let mut rows = statement.query([time::text(*asked.start()), time::text(*asked.end())])?;
    let mut held = Held::default();
    while let Some(row) = rows.next()? {
        #[expect(clippy::cast_possible_truncation, reason = "SQLite keeps the f32 in a wider column")]
        let confidence = row.get::<_, f64>(4)? as f32;
        let told = Told {
            customer_id: row.get_ref(0)?.as_str()?,
            at_us: time::micros(row.get_ref(1)?.as_str()?),
            beacon_id: row.get_ref(2)?.as_str()?,
            location: row.get_ref(3)?.as_str_or_null()?,
            confidence,
        };
        held.take(sieve, &told);
    }
    Ok(held)
}

fn open(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.execute_batch("PRAGMA query_only = ON; PRAGMA trusted_schema = OFF")?;
    Ok(connection)
}
