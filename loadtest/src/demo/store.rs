//! The store as another client reads it, held against what was sent.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::comparison::{Moment, Sent, beacon, compare, customer};
use super::restaurants::Restaurant;
use super::visits::{GUESTS, customer_id};

/// Microseconds since the Unix epoch, from the text of a time.
const IDENTITIES: &str = "SELECT customer_id, beacon_id,
    CAST(strftime('%s', substr(detected_at, 1, 19)) AS INTEGER) * 1000000
    + CAST(substr(detected_at, 21, 6) AS INTEGER)
    FROM customer_identities";

const CUSTOMERS: &str = "SELECT count(*) FROM customers";

const LAST_SEEN_WRONG: &str = "SELECT count(*) FROM customers LEFT JOIN
    (SELECT customer_id, max(detected_at) AS latest FROM customer_identities GROUP BY customer_id)
    USING (customer_id) WHERE last_seen IS NOT latest";

const EVENTS: &str = "SELECT count(*) FROM customer_events";

const IDENTITIES_WITHOUT_EVENT: &str = "SELECT count(*) FROM customer_identities AS i
    LEFT JOIN customer_events AS e ON e.CustomerID = i.customer_id AND e.DetectedAt = i.detected_at
    AND e.BeaconID = i.beacon_id AND e.Location IS i.location AND e.Confidence = i.confidence
    WHERE e.CustomerID IS NULL";

/// What the store holds, in figures.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) identities: u64,
    pub(crate) customers: u64,
    pub(crate) events: u64,
    pub(crate) last_seen_wrong: u64,
    pub(crate) identities_without_event: u64,
    /// Identities of customers or beacons that the demo does not know.
    pub(crate) strangers: u64,
    pub(crate) never_sent: u64,
    pub(crate) too_near: u64,
    pub(crate) missing: u64,
}

/// Reads the whole store and compares it with what was sent.
pub(crate) fn inspect(
    database: &Path,
    restaurants: &[Restaurant],
    sent: &mut Sent,
) -> rusqlite::Result<Stored> {
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let count =
        |question| connection.query_row(question, [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs);
    let mut stored = Stored {
        customers: count(CUSTOMERS)?,
        events: count(EVENTS)?,
        last_seen_wrong: count(LAST_SEEN_WRONG)?,
        identities_without_event: count(IDENTITIES_WITHOUT_EVENT)?,
        ..Stored::default()
    };
    let customers: HashMap<String, u32> = restaurants
        .iter()
        .flat_map(|restaurant| (0..GUESTS).map(|guest| (restaurant.number, guest)))
        .map(|(number, guest)| (customer_id(number, guest), customer(number, guest)))
        .collect();
    let beacons: HashMap<String, usize> = restaurants
        .iter()
        .flat_map(|restaurant| restaurant.beacons.iter().enumerate().map(move |at| (restaurant.number, at)))
        .map(|(number, (place, registered))| (registered.id.to_string(), beacon(number, place)))
        .collect();
    let mut identities = Vec::new();
    let mut statement = connection.prepare(IDENTITIES)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        stored.identities += 1;
        let known = (customers.get(row.get_ref(0)?.as_str()?), beacons.get(row.get_ref(1)?.as_str()?));
        match known {
            (Some(&customer), Some(&beacon)) => {
                identities.push(Moment { customer, detected_at_us: row.get(2)?, beacon })
            }
            _ => stored.strangers += 1,
        }
    }
    let comparison = compare(&mut sent.eligible, &mut identities);
    stored.never_sent = comparison.never_sent;
    stored.too_near = comparison.too_near;
    stored.missing = comparison.missing;
    Ok(stored)
}
