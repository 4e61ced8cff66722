//! The registry of beacons and gateways, for commands; works beside a running daemon.

use std::path::Path;

use rusqlite::{Connection, Row, Transaction, TransactionBehavior, params};

use super::failure::{bad_row, store_error};
use super::open::{OpenError, open_for_writing};
use super::rows::{self, SELECT_BEACONS, SELECT_GATEWAYS};
use crate::domain::beacon::Beacon;
use crate::domain::gateway::{Gateway, StoreScope};
use crate::ports::StoreError;
use crate::stores::ImportSummary;

const INSERT_BEACON: &str = "INSERT INTO beacons
    (beacon_id, store_id, major, minor, location, location_type, status) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
    ON CONFLICT (beacon_id) DO NOTHING";
const UPDATE_BEACON: &str = "UPDATE beacons SET
    store_id = ?2, major = ?3, minor = ?4, location = ?5, location_type = ?6, status = ?7
    WHERE beacon_id = ?1
    AND (store_id, major, minor, location, location_type, status) IS NOT (?2, ?3, ?4, ?5, ?6, ?7)";
const INSERT_GATEWAY: &str = "INSERT INTO gateways (gateway_id, stores, status) VALUES (?1, ?2, ?3)
    ON CONFLICT (gateway_id) DO NOTHING";
const UPDATE_GATEWAY: &str = "UPDATE gateways SET
    stores = ?2, status = ?3, updated_at = strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')
    WHERE gateway_id = ?1 AND (stores, status) IS NOT (?2, ?3)";

/// Reads and changes the registry.
#[derive(Debug)]
pub struct SqliteAdmin {
    connection: Connection,
}

impl SqliteAdmin {
    /// Opens the file in `data_dir`; makes both, and brings its schema up to date, where needed.
    ///
    /// # Errors
    /// [`OpenError`]: the file cannot be reached, is not ours, or a newer beacond made it.
    pub fn open(data_dir: &Path) -> Result<Self, OpenError> {
        Ok(Self { connection: open_for_writing(data_dir)? })
    }

    /// Registers beacons by id, all or none. The database's clock sets `updated_at`, and only where something else
    /// changed; theirs is not looked at. Beacons that are not among them stay.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the file is locked for too long or cannot be written.
    pub fn import_beacons(&mut self, beacons: &[Beacon]) -> Result<ImportSummary, StoreError> {
        self.import(|transaction, summary| {
            let mut insert = transaction.prepare(INSERT_BEACON)?;
            let mut update = transaction.prepare(UPDATE_BEACON)?;
            for beacon in beacons {
                let mut buffer = [0; 36];
                let values = params![
                    beacon.id.write_text(&mut buffer),
                    beacon.store_id.as_str(),
                    beacon.major,
                    beacon.minor,
                    beacon.location.as_ref().map(|location| location.as_str()),
                    beacon.location_type.map(|kind| kind.as_str()),
                    beacon.status.as_str(),
                ];
                summary.count(insert.execute(values)?, || update.execute(values))?;
            }
            Ok(())
        })
    }

    /// Every beacon, by id.
    ///
    /// # Errors
    /// [`StoreError::BadRow`] names the first row that breaks the model.
    pub fn beacons(&self) -> Result<Vec<Beacon>, StoreError> {
        self.all(SELECT_BEACONS, rows::beacon)
    }

    /// Registers gateways by id, all or none. Gateways that are not among them stay.
    ///
    /// # Errors
    /// [`StoreError::BadRow`] for a gateway of every store, which is what an unregistered one is, and
    /// [`StoreError::Unavailable`] when the file is locked for too long or cannot be written.
    pub fn import_gateways(&mut self, gateways: &[Gateway]) -> Result<ImportSummary, StoreError> {
        let registered = gateways
            .iter()
            .map(|gateway| Ok((gateway, stores_json(gateway)?)))
            .collect::<Result<Vec<_>, StoreError>>()?;
        self.import(|transaction, summary| {
            let mut insert = transaction.prepare(INSERT_GATEWAY)?;
            let mut update = transaction.prepare(UPDATE_GATEWAY)?;
            for (gateway, stores) in &registered {
                let values = params![gateway.id.as_str(), stores, gateway.status.as_str()];
                summary.count(insert.execute(values)?, || update.execute(values))?;
            }
            Ok(())
        })
    }

    /// Every gateway, by id.
    ///
    /// # Errors
    /// [`StoreError::BadRow`] names the first row that breaks the model.
    pub fn gateways(&self) -> Result<Vec<Gateway>, StoreError> {
        self.all(SELECT_GATEWAYS, rows::gateway)
    }

    fn import(
        &mut self,
        write: impl FnOnce(&Transaction<'_>, &mut ImportSummary) -> rusqlite::Result<()>,
    ) -> Result<ImportSummary, StoreError> {
        let mut summary = ImportSummary::default();
        let run = || {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            write(&transaction, &mut summary)?;
            transaction.commit()
        };
        run().map_err(|error| store_error(&error))?;
        Ok(summary)
    }

    fn all<T>(
        &self,
        sql: &str,
        read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let explain = |error| store_error(&error);
        let mut select = self.connection.prepare(sql).map_err(explain)?;
        let mut rows = select.query([]).map_err(explain)?;
        let mut all = Vec::new();
        while let Some(row) = rows.next().map_err(explain)? {
            all.push(read(row)?);
        }
        Ok(all)
    }
}

/// The stores as sorted JSON, so that the same set is the same text.
fn stores_json(gateway: &Gateway) -> Result<String, StoreError> {
    match &gateway.stores {
        StoreScope::Every => {
            Err(bad_row(format!("gateway {}: a registered gateway names its stores", gateway.id)))
        }
        StoreScope::These(stores) => {
            let mut names: Vec<&str> = stores.iter().map(|store| store.as_str()).collect();
            names.sort_unstable();
            Ok(serde_json::Value::from(names).to_string())
        }
    }
}
