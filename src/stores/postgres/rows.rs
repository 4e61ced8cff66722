//! Rows read back into the model; a row that does not fit is an error that names it, since tables are edited by hand.

use std::collections::HashSet;
use std::error::Error;
use std::fmt::Display;
use std::str::FromStr;

use bytes::{BufMut, BytesMut};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

use super::failure::bad_row;
use crate::domain::beacon::{Beacon, BeaconId};
use crate::domain::confidence::Confidence;
use crate::domain::customer::CustomerId;
use crate::domain::gateway::{Gateway, GatewayId, StoreScope};
use crate::domain::identity::CustomerIdentity;
use crate::domain::time::Timestamp;
use crate::ports::StoreError;

/// One beacon, in the columns that [`beacon`] reads.
pub(super) const SELECT_BEACON: &str =
    "SELECT beacon_id, store_id, major, minor, location, location_type, status, updated_at
    FROM beacons WHERE beacon_id = $1";

/// So many beacons behind an id in the order of the primary key, in the columns that [`beacon`] reads.
pub(super) const SELECT_BEACONS_AFTER: &str =
    "SELECT beacon_id, store_id, major, minor, location, location_type, status, updated_at
    FROM beacons WHERE beacon_id > $1 ORDER BY beacon_id LIMIT $2";

/// Every beacon, in the columns that [`beacon`] reads and the order of the ids' bytes.
pub(super) const SELECT_BEACONS: &str =
    "SELECT beacon_id, store_id, major, minor, location, location_type, status, updated_at
    FROM beacons ORDER BY beacon_id COLLATE \"C\"";

/// One gateway, in the columns that [`gateway`] reads.
pub(super) const SELECT_GATEWAY: &str =
    "SELECT gateway_id, stores, status FROM gateways WHERE gateway_id = $1";

/// Every gateway, in the columns that [`gateway`] reads and the order of the ids' bytes.
pub(super) const SELECT_GATEWAYS: &str =
    "SELECT gateway_id, stores, status FROM gateways ORDER BY gateway_id COLLATE \"C\"";

/// A row of [`SELECT_BEACON`], [`SELECT_BEACONS_AFTER`] or [`SELECT_BEACONS`].
pub(super) fn beacon(row: &Row) -> Result<Beacon, StoreError> {
    let id: BeaconId = parsed(row, 0, "beacon_id")?;
    let read = || {
        Ok(Beacon {
            id,
            store_id: parsed(row, 1, "store_id")?,
            major: number(row, 2, "major")?,
            minor: number(row, 3, "minor")?,
            location: parsed_if_set(row, 4, "location")?,
            location_type: parsed_if_set(row, 5, "location_type")?,
            status: parsed(row, 6, "status")?,
            updated_at: time(row, 7, "updated_at")?,
        })
    };
    read().map_err(|error| of_row(error, "beacon", &id))
}

/// A beacon that can be used, and that a look-up by its id would find: ids are compared as text.
pub(super) fn canonical_beacon(row: &Row) -> Option<Beacon> {
    let beacon = beacon(row).ok()?;
    let id: &str = value(row, 0, "beacon_id").ok()?;
    (id == beacon.id.write_text(&mut [0; 36])).then_some(beacon)
}

/// A row of [`SELECT_GATEWAY`] or [`SELECT_GATEWAYS`].
pub(super) fn gateway(row: &Row) -> Result<Gateway, StoreError> {
    let id: GatewayId = parsed(row, 0, "gateway_id")?;
    let read = || {
        let names: Vec<&str> = value(row, 1, "stores")?;
        let stores: HashSet<_> = names
            .iter()
            .map(|name| name.parse())
            .collect::<Result<_, _>>()
            .map_err(|error| bad_row(format!("stores: {error}")))?;
        Ok(Gateway { id: id.clone(), stores: StoreScope::These(stores), status: parsed(row, 2, "status")? })
    };
    read().map_err(|error| of_row(error, "gateway", &id))
}

/// A row of `id, beacon_id, detected_at, location, confidence` from the given column on; an error names the row's `id`.
pub(super) fn identity(
    row: &Row,
    first: usize,
    customer_id: &CustomerId,
) -> Result<CustomerIdentity, StoreError> {
    let id: i64 = value(row, first, "id")?;
    let read = || {
        let confidence: f32 = value(row, first + 4, "confidence")?;
        Ok(CustomerIdentity {
            customer_id: customer_id.clone(),
            beacon_id: parsed(row, first + 1, "beacon_id")?,
            detected_at: time(row, first + 2, "detected_at")?,
            location: parsed_if_set(row, first + 3, "location")?,
            confidence: Confidence::from_stored(confidence.into())
                .ok_or_else(|| bad_row(format!("confidence: {confidence} is not 0 to 1")))?,
        })
    };
    read().map_err(|error| of_row(error, "customer identity", &id))
}

/// A time in a column that is never NULL.
pub(super) fn time(row: &Row, index: usize, column: &str) -> Result<Timestamp, StoreError> {
    value::<Time>(row, index, column).map(|time| time.0)
}

/// A value of the column's own type; NULL and other types are the row's fault.
pub(super) fn value<'r, T: FromSql<'r>>(row: &'r Row, index: usize, column: &str) -> Result<T, StoreError> {
    row.try_get(index).map_err(|error| {
        let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        bad_row(format!("{column}: {cause}"))
    })
}

fn of_row(error: StoreError, table: &str, id: &dyn Display) -> StoreError {
    match error {
        StoreError::BadRow { reason, .. } => bad_row(format!("{table} {id}: {reason}")),
        unavailable @ StoreError::Unavailable { .. } => unavailable,
    }
}

fn parsed_if_set<T>(row: &Row, index: usize, column: &str) -> Result<Option<T>, StoreError>
where
    T: FromStr<Err: Display>,
{
    value::<Option<&str>>(row, index, column)?
        .map(|text| text.parse().map_err(|error| bad_row(format!("{column}: {error}"))))
        .transpose()
}

fn parsed<T: FromStr<Err: Display>>(row: &Row, index: usize, column: &str) -> Result<T, StoreError> {
    parsed_if_set(row, index, column)?.ok_or_else(|| bad_row(format!("{column} is NULL")))
}

fn number(row: &Row, index: usize, column: &str) -> Result<u16, StoreError> {
    let number: i32 = value(row, index, column)?;
    u16::try_from(number).map_err(|_| bad_row(format!("{column}: {number} is not 0 to 65535")))
}

/// A time as TIMESTAMPTZ has it: microseconds since 2000-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time(pub(super) Timestamp);

/// 2000-01-01T00:00:00Z in microseconds since the Unix epoch.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;
/// The first time that TIMESTAMPTZ holds, 4714-11-24 BC, and the last, at the end of the year 294276.
const FIRST_US: i64 = -211_813_488_000_000_000;
const LAST_US: i64 = 9_223_371_331_199_999_999;

impl Time {
    /// Microseconds since 2000-01-01T00:00:00Z; a time out of range is the nearest end.
    pub(super) fn as_postgres_micros(self) -> i64 {
        self.0.as_micros().saturating_sub(POSTGRES_EPOCH_US).clamp(FIRST_US, LAST_US)
    }
}

impl ToSql for Time {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_i64(self.as_postgres_micros());
        Ok(IsNull::No)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl<'r> FromSql<'r> for Time {
    fn from_sql(_: &Type, raw: &'r [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        if !(FIRST_US..=LAST_US).contains(&micros) {
            return Err("it is infinite".into());
        }
        Ok(Self(Timestamp::from_micros(micros.saturating_add(POSTGRES_EPOCH_US))))
    }

    accepts!(TIMESTAMPTZ);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_round_trip_and_those_out_of_range_become_the_nearest_end() {
        let written = |micros: i64| {
            let mut out = BytesMut::new();
            Time(Timestamp::from_micros(micros)).to_sql(&Type::TIMESTAMPTZ, &mut out).unwrap();
            out
        };
        let read = |raw: &[u8]| Time::from_sql(&Type::TIMESTAMPTZ, raw).map(|time| time.0.as_micros());
        assert_eq!(&written(POSTGRES_EPOCH_US + 1)[..], &1i64.to_be_bytes());
        for micros in [0, -1, 1_581_252_411_243_835] {
            assert_eq!(read(&written(micros)).unwrap(), micros);
        }
        assert_eq!(&written(i64::MIN)[..], &FIRST_US.to_be_bytes());
        assert!(read(&i64::MAX.to_be_bytes()).unwrap_err().to_string().contains("infinite"));
        assert!(read(&[0; 4]).is_err());
    }
}
