//! One poll: everything that changed since the last, in pages.

use std::time::Duration;

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::reach::{Ask, Glance, Reach};
use super::{PAGE, Told};
use crate::domain::beacon::BeaconId;
use crate::domain::time::{MICROS_PER_SECOND, Timestamp};
use crate::ports::{BEACON_CACHED_FOR, StoreError};
use crate::stores::postgres::failure::unavailable;
use crate::stores::postgres::rows::{self, Time};
use crate::stores::postgres::session::bounded;

/// How much further than needed the first poll of a connection looks back: it may be another server, with another clock.
const GAP_OVERLAP_US: i64 = 5 * 60 * MICROS_PER_SECOND;

/// The clock, and then who holds the lock for writing; [`super::reach`] says why. Everybody may read `pg_locks`.
const GLANCE: &str = "SELECT statement_timestamp(), pg_snapshot_xmin(pg_current_snapshot())::text::bigint,
    ARRAY(SELECT DISTINCT virtualtransaction FROM pg_locks
        WHERE locktype = 'relation' AND relation = 'beacons'::regclass AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'))";

/// A page of changes and deletions in the order of their times. `xmin`, the transaction that wrote a row, has 32 of the
/// 64 bits of a transaction's number, so it is compared on the circle.
const CHANGES: &str = "SELECT changed_at, beacon_id FROM (
        (SELECT updated_at AS changed_at, beacon_id::text FROM beacons
            WHERE (updated_at, beacon_id::text COLLATE \"C\") > ($1, $2)
            AND ($3 IS NULL OR ((xmin::text::bigint - $3) & 4294967295) < 2147483648)
            ORDER BY updated_at, beacon_id::text COLLATE \"C\" LIMIT $4)
        UNION ALL
        (SELECT deleted_at, beacon_id::text FROM beacon_deletions
            WHERE (deleted_at, beacon_id::text COLLATE \"C\") > ($1, $2)
            AND ($3 IS NULL OR ((xmin::text::bigint - $3) & 4294967295) < 2147483648)
            ORDER BY deleted_at, beacon_id::text COLLATE \"C\" LIMIT $4)
    ) AS changes ORDER BY changed_at, beacon_id COLLATE \"C\" LIMIT $4";

/// Tells of every change since the last poll, or since `start` if this is the first of a connection, or of as long as a
/// cache may hold a beacon if nothing was ever told. Each statement takes at most `longest`. Statements are not
/// prepared by name, so that a pooler may hand each to another server's connection.
pub(super) async fn poll(
    client: &Client,
    longest: Duration,
    reach: &mut Reach,
    start: Option<Timestamp>,
    told: &Told,
) -> Result<(), StoreError> {
    let rows = bounded(longest, client.query_typed(GLANCE, &[])).await?;
    let glance = rows.first().map(glance).transpose()?;
    let glance = glance.ok_or_else(|| unavailable("it does not tell its time".to_owned()))?;
    let cached_us = i64::try_from(BEACON_CACHED_FOR.as_micros()).unwrap_or(i64::MAX);
    let first = start.map_or(glance.at.plus_micros(-cached_us), |start| start.min(glance.at));
    let ask = reach.ask(&glance, first.plus_micros(-GAP_OVERLAP_US));
    let mut after = (ask.from, String::new());
    loop {
        let page = page(client, longest, &after, ask).await?;
        // Nobody holds a copy of what has no lawful id.
        let ids: Vec<BeaconId> = page.iter().filter_map(|(_, id)| id.parse().ok()).collect();
        told.changed(&ids);
        if page.len() < PAGE {
            break;
        }
        after = page.into_iter().next_back().unwrap_or(after);
    }
    reach.told(glance, ask);
    Ok(())
}

async fn page(
    client: &Client,
    longest: Duration,
    (after, after_id): &(Timestamp, String),
    ask: Ask,
) -> Result<Vec<(Timestamp, String)>, StoreError> {
    let limit = i64::try_from(PAGE).unwrap_or(i64::MAX);
    let after = Time(*after);
    let values: [(&(dyn ToSql + Sync), Type); 4] =
        [(&after, Type::TIMESTAMPTZ), (after_id, Type::TEXT), (&ask.since, Type::INT8), (&limit, Type::INT8)];
    let rows = bounded(longest, client.query_typed(CHANGES, &values)).await?;
    rows.iter()
        .map(|row| Ok((rows::time(row, 0, "beacons.updated_at")?, rows::value(row, 1, "beacon_id")?)))
        .collect()
}

fn glance(row: &Row) -> Result<Glance, StoreError> {
    Ok(Glance {
        at: rows::time(row, 0, "statement_timestamp")?,
        oldest_running: rows::value(row, 1, "pg_snapshot_xmin")?,
        writers: rows::value(row, 2, "virtualtransaction")?,
    })
}
