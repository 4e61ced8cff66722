//! Rows read back into the model; a row that does not fit is an error that names it, since files are edited by hand.

use std::collections::HashSet;
use std::fmt::Display;
use std::str::FromStr;

use rusqlite::Row;

use super::failure::{bad_row, store_error};
use crate::domain::beacon::{Beacon, BeaconId};
use crate::domain::confidence::Confidence;
use crate::domain::customer::CustomerId;
use crate::domain::gateway::{Gateway, GatewayId, StoreScope};
use crate::domain::identity::CustomerIdentity;
use crate::domain::time::Timestamp;
use crate::ports::StoreError;

/// One beacon, in the columns that [`beacon`] reads.
pub(super) const SELECT_BEACON: &str =
    "SELECT beacon_id, store_id, major, minor, location, location_type, status,
    updated_at FROM beacons WHERE beacon_id = ?1";

/// Every beacon, in the columns that [`beacon`] reads.
pub(super) const SELECT_BEACONS: &str =
    "SELECT beacon_id, store_id, major, minor, location, location_type, status,
    updated_at FROM beacons ORDER BY beacon_id";

/// One gateway, in the columns that [`gateway`] reads.
pub(super) const SELECT_GATEWAY: &str =
    "SELECT gateway_id, stores, status FROM gateways WHERE gateway_id = ?1";

/// Every gateway, in the columns that [`gateway`] reads.
pub(super) const SELECT_GATEWAYS: &str =
    "SELECT gateway_id, stores, status FROM gateways ORDER BY gateway_id";

/// A row of [`SELECT_BEACON`] or [`SELECT_BEACONS`].
pub(super) fn beacon(row: &Row<'_>) -> Result<Beacon, StoreError> {
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

/// A row of [`SELECT_GATEWAY`] or [`SELECT_GATEWAYS`].
pub(super) fn gateway(row: &Row<'_>) -> Result<Gateway, StoreError> {
    let id: GatewayId = parsed(row, 0, "gateway_id")?;
    let read = || {
        let json = text(row, 1, "stores")?.unwrap_or_default();
        let names: Vec<String> = serde_json::from_str(json)
            .map_err(|error| bad_row(format!("stores is no JSON array of texts: {error}")))?;
        let stores: HashSet<_> = names
            .iter()
            .map(|name| name.parse())
            .collect::<Result<_, _>>()
            .map_err(|error| bad_row(format!("stores: {error}")))?;
        Ok(Gateway { id: id.clone(), stores: StoreScope::These(stores), status: parsed(row, 2, "status")? })
    };
    read().map_err(|error| of_row(error, "gateway", &id))
}

/// A row of `beacon_id, detected_at, location, confidence`.
pub(super) fn identity(row: &Row<'_>, customer_id: &CustomerId) -> Result<CustomerIdentity, StoreError> {
    let confidence: f64 = row.get(3).map_err(|error| store_error(&error))?;
    Ok(CustomerIdentity {
        customer_id: customer_id.clone(),
        beacon_id: parsed(row, 0, "customer_identities.beacon_id")?,
        detected_at: time(row, 1, "customer_identities.detected_at")?,
        location: parsed_if_set(row, 2, "customer_identities.location")?,
        confidence: Confidence::from_stored(confidence)
            .ok_or_else(|| bad_row(format!("customer_identities.confidence: {confidence} is not 0 to 1")))?,
    })
}

/// A time in a column that is never NULL.
pub(super) fn time(row: &Row<'_>, index: usize, column: &str) -> Result<Timestamp, StoreError> {
    Timestamp::from_text(text(row, index, column)?.unwrap_or_default())
        .map_err(|error| bad_row(format!("{column}: {error}")))
}

fn of_row(error: StoreError, table: &str, id: &dyn Display) -> StoreError {
    match error {
        StoreError::BadRow { reason, .. } => bad_row(format!("{table} {id}: {reason}")),
        unavailable @ StoreError::Unavailable { .. } => unavailable,
    }
}

fn text<'r>(row: &'r Row<'_>, index: usize, column: &str) -> Result<Option<&'r str>, StoreError> {
    row.get_ref(index)
        .map_err(|error| store_error(&error))?
        .as_str_or_null()
        .map_err(|error| bad_row(format!("{column}: {error}")))
}

fn parsed_if_set<T>(row: &Row<'_>, index: usize, column: &str) -> Result<Option<T>, StoreError>
where
    T: FromStr<Err: Display>,
{
    text(row, index, column)?
        .map(|value| value.parse().map_err(|error| bad_row(format!("{column}: {error}"))))
        .transpose()
}

fn parsed<T: FromStr<Err: Display>>(row: &Row<'_>, index: usize, column: &str) -> Result<T, StoreError> {
    parsed_if_set(row, index, column)?.ok_or_else(|| bad_row(format!("{column} is NULL")))
}

fn number(row: &Row<'_>, index: usize, column: &str) -> Result<u16, StoreError> {
    row.get(index).map_err(|error| bad_row(format!("{column} is no number of 0 to 65535: {error}")))
}
