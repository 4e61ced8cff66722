//! The SQLite file, read by a client of its own.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Row};

use crate::model::tables::{Bits, EventRow, IdentityRow, Tables};

/// The file's name in the data directory.
const FILE: &str = "beacond.sqlite3";

/// A connection to the store of this data directory, beside the daemon's.
pub(crate) fn connect(data: &Path) -> Connection {
    let connection = Connection::open_with_flags(data.join(FILE), OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
    connection.busy_timeout(Duration::from_secs(10)).unwrap();
    connection
}

/// Everything that identities made, of one moment.
pub(crate) fn tables(data: &Path) -> Tables {
    let mut connection = connect(data);
    let reading = connection.transaction().unwrap();
    let all = |sql: &str, read: &mut dyn FnMut(&Row<'_>)| {
        let mut statement = reading.prepare(sql).unwrap();
        let mut rows = statement.query(()).unwrap();
        while let Some(row) = rows.next().unwrap() {
            read(row);
        }
    };
    let mut tables = Tables::default();
    all(
        "SELECT customer_id, detected_at, beacon_id, location, confidence FROM customer_identities",
        &mut |row| tables.identities.push(identity(row)),
    );
    all("SELECT customer_id, last_seen FROM customers", &mut |row| {
        tables.last_seen.insert(row.get(0).unwrap(), row.get(1).unwrap());
    });
    all(
        "SELECT CustomerID, DetectedAt, BeaconID, Location, Confidence, ExpiresAt FROM customer_events",
        &mut |row| {
            let expires_at_s = row.get(5).unwrap();
            tables.events.push(EventRow { identity: identity(row), expires_at_s });
        },
    );
    tables.sorted()
}

/// Customers and identities as Python's own SQLite reads them, a line each; nothing where there is no Python.
pub(crate) fn read_by_python(data: &Path) -> Option<Vec<String>> {
    const SCRIPT: &str = "import sqlite3, sys
rows = sqlite3.connect(sys.argv[1])
for row in rows.execute('SELECT customer_id, last_seen FROM customers'): print(*row, sep='|')
for row in rows.execute('SELECT customer_id, detected_at, beacon_id FROM customer_identities'): print(*row, sep='|')
for row in rows.execute('SELECT CustomerID, DetectedAt, BeaconID FROM customer_events'): print(*row, sep='|')";
    let output = Command::new("python3").args(["-c", SCRIPT]).arg(data.join(FILE)).output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut lines: Vec<String> =
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    Some(lines)
}

/// What one value of one row is.
pub(crate) fn text(data: &Path, sql: &str) -> Option<String> {
    connect(data).query_row(sql, (), |row| row.get(0)).unwrap()
}

fn identity(row: &Row<'_>) -> IdentityRow {
    let confidence: f64 = row.get(4).unwrap();
    IdentityRow {
        customer_id: row.get(0).unwrap(),
        detected_at: row.get(1).unwrap(),
        beacon_id: row.get(2).unwrap(),
        location: row.get(3).unwrap(),
        confidence: Bits::of_stored(confidence).unwrap_or_else(|| panic!("{confidence} is more than an f32")),
    }
}
