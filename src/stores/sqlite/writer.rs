//! Writes batches, one transaction each.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{CachedStatement, Connection, params};

use super::failure::{bad_row, store_error, unavailable};
use super::open::{OpenError, open_for_writing};
use crate::domain::identity::CustomerIdentity;
use crate::ports::{BatchWriter, Block, Delivery, StoreError, WriteError};
use crate::stores::batch_plan::BatchPlan;

// Rows go one by one through prepared statements: 50 rows to a statement took more CPU, 33 us an identity for 29.
const UPSERT_CUSTOMER: &str = "INSERT INTO customers (customer_id, last_seen) VALUES (?1, ?2)
    ON CONFLICT (customer_id) DO UPDATE SET last_seen = ?3 WHERE ?3 > last_seen";
const INSERT_IDENTITY: &str = "INSERT INTO customer_identities
    (customer_id, beacon_id, location, confidence, detected_at) VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (customer_id, detected_at) DO NOTHING";
const INSERT_EVENT: &str = "INSERT INTO customer_events
    (CustomerID, DetectedAt, Location, Confidence, BeaconID, ExpiresAt) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
    ON CONFLICT (DetectedAt, CustomerID) DO NOTHING";
const UPSERT_PREFERENCE_CHANGE: &str = "INSERT INTO preference_changes (customer_id, key, updated_at)
    VALUES (?1, ?2, ?3)
    ON CONFLICT (customer_id, key) DO UPDATE SET updated_at = ?3 WHERE ?3 > updated_at";
const MERGE_PREFERENCES: &str = "UPDATE customers
    SET preferences = json_patch(coalesce(preferences, '{}'), ?2) WHERE customer_id = ?1";

/// Writes batches into the file, each in one transaction with one fsync.
///
/// A write waits for another process's lock at most [`super::BUSY_TIMEOUT`]. One writer a daemon is meant; several
/// take turns. An identity at a beacon that is not in the file is [`WriteError::Rejected`].
pub struct SqliteWriter {
    data_dir: PathBuf,
    /// None after a failure that leaves the connection in an unknown state; opened anew by the next call.
    connection: Option<Connection>,
    /// A COMMIT failed half-way: what it wrote may be in the WAL file and visible without being on the disk.
    in_doubt: bool,
}

impl fmt::Debug for SqliteWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteWriter")
            .field("data_dir", &self.data_dir)
            .field("in_doubt", &self.in_doubt)
            .finish_non_exhaustive()
    }
}

impl SqliteWriter {
    /// Opens the file in `data_dir`; makes both, and brings its schema up to date, where needed.
    ///
    /// # Errors
    /// [`OpenError`]: the file cannot be reached, is not ours, or a newer beacond made it.
    pub fn open(data_dir: &Path) -> Result<Self, OpenError> {
        let connection = open_for_writing(data_dir)?;
        Ok(Self { data_dir: data_dir.to_owned(), connection: Some(connection), in_doubt: false })
    }

    fn take_connection(&mut self) -> Result<Connection, StoreError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => open_for_writing(&self.data_dir).map_err(|error| unavailable(error.to_string()))?,
        };
        if self.in_doubt {
            settle(&connection)?;
            self.in_doubt = false;
        }
        Ok(connection)
    }

    /// Undoes what is open, and keeps the connection if that worked.
    fn roll_back(&mut self, connection: Connection) {
        if connection.is_autocommit() || connection.execute_batch("ROLLBACK").is_ok() {
            self.connection = Some(connection);
        }
    }
}

/// Writes what a failed COMMIT may have left in the WAL file into the database, and syncs both: its fsync failed, so the
/// system may think that pages are on the disk which are not, and a later fsync would not write them.
fn settle(connection: &Connection) -> Result<(), StoreError> {
    let busy: bool = connection
        .query_row("PRAGMA wal_checkpoint(FULL)", [], |row| row.get(0))
        .map_err(|error| store_error(&error))?;
    if busy {
        return Err(unavailable("a reader keeps the WAL from being checkpointed".to_owned()));
    }
    Ok(())
}

/// Writes the rows into the open transaction.
fn fill(connection: &Connection, plan: &BatchPlan<'_>) -> Result<(), StoreError> {
    fill_customers(connection, plan).map_err(|error| store_error(&error))?;
    fill_identities(connection, plan)?;
    fill_preferences(connection, plan)
}

/// What is to be done about a write that failed so.
fn write_error(error: StoreError) -> WriteError {
    match error {
        StoreError::Unavailable { .. } => WriteError::Unavailable(error.to_string()),
        StoreError::BadRow { .. } => WriteError::Rejected(error.to_string()),
    }
}

impl Drop for SqliteWriter {
    /// Leaves one tidy file: what is in the WAL goes into the database. Readers may still be open, so this is not left to
    /// the last connection; if it fails, the WAL is read at the next start as it would be after a crash.
    fn drop(&mut self) {
        if let Some(connection) = &self.connection {
            let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        }
    }
}

impl BatchWriter for SqliteWriter {
    /// A row that is there is found by its key, so nothing differs for a batch written again.
    fn write(&mut self, batch: &[Arc<Block>], _delivery: Delivery) -> Result<(), WriteError> {
        let plan = BatchPlan::new(batch);
        if plan.is_empty() {
            return Ok(());
        }
        let connection = self.take_connection().map_err(write_error)?;
        let filled = connection
            .execute_batch("BEGIN IMMEDIATE")
            .map_err(|error| store_error(&error))
            .and_then(|()| fill(&connection, &plan));
        if let Err(error) = filled {
            self.roll_back(connection);
            return Err(write_error(error));
        }
        match connection.execute_batch("COMMIT") {
            Ok(()) => self.connection = Some(connection),
            Err(error) => {
                // If the transaction is still open, as after SQLITE_BUSY, nothing of it is in the file.
                self.in_doubt = connection.is_autocommit();
                if !self.in_doubt {
                    self.roll_back(connection);
                }
                return Err(write_error(store_error(&error)));
            }
        }
        Ok(())
    }
}

fn fill_customers(connection: &Connection, plan: &BatchPlan<'_>) -> rusqlite::Result<()> {
    let mut upsert = connection.prepare_cached(UPSERT_CUSTOMER)?;
    for (id, row) in &plan.customers {
        let last_seen_if_new = row.last_seen_if_new.to_text();
        let identified_at = row.identified_at.map(|time| time.to_text());
        upsert.execute(params![
            id.as_str(),
            last_seen_if_new.as_str(),
            identified_at.as_ref().map(|text| text.as_str())
        ])?;
    }
    Ok(())
}

fn fill_identities(connection: &Connection, plan: &BatchPlan<'_>) -> Result<(), StoreError> {
    let prepare = |sql| connection.prepare_cached(sql).map_err(|error| store_error(&error));
    let mut insert_identity = prepare(INSERT_IDENTITY)?;
    let mut insert_event = prepare(INSERT_EVENT)?;
    for identity in &plan.identities {
        insert_one(&mut insert_identity, &mut insert_event, identity).map_err(|error| {
            match store_error(&error) {
                StoreError::BadRow { reason, .. } => {
                    bad_row(format!("identity at beacon {}: {reason}", identity.beacon_id))
                }
                unavailable @ StoreError::Unavailable { .. } => unavailable,
            }
        })?;
    }
    Ok(())
}

fn insert_one(
    insert_identity: &mut CachedStatement<'_>,
    insert_event: &mut CachedStatement<'_>,
    identity: &CustomerIdentity,
) -> rusqlite::Result<()> {
    let customer_id = identity.customer_id.as_str();
    let mut buffer = [0; 36];
    let beacon_id = identity.beacon_id.write_text(&mut buffer);
    let location = identity.location.as_ref().map(|location| location.as_str());
    let confidence = f64::from(identity.confidence.as_f32());
    let text = identity.detected_at.to_text();
    let detected_at = text.as_str();
    insert_identity.execute(params![customer_id, beacon_id, location, confidence, detected_at])?;
    let expires_at = identity.event_expires_at_seconds();
    insert_event.execute(params![customer_id, detected_at, location, confidence, beacon_id, expires_at])?;
    Ok(())
}

fn fill_preferences(connection: &Connection, plan: &BatchPlan<'_>) -> Result<(), StoreError> {
    if plan.preferences.is_empty() {
        return Ok(());
    }
    let prepare = |sql| connection.prepare_cached(sql).map_err(|error| store_error(&error));
    let mut upsert_change = prepare(UPSERT_PREFERENCE_CHANGE)?;
    let mut merge = prepare(MERGE_PREFERENCES)?;
    for (id, rows) in &plan.preferences {
        let mut newer = serde_json::Map::new();
        for (key, row) in rows {
            let updated_at = row.updated_at.to_text();
            let changed = upsert_change
                .execute(params![id.as_str(), key, updated_at.as_str()])
                .map_err(|error| store_error(&error))?;
            if changed == 1 {
                newer.insert((*key).to_owned(), row.value.into());
            }
        }
        if !newer.is_empty() {
            let patch = serde_json::Value::Object(newer).to_string();
            merge.execute(params![id.as_str(), patch]).map_err(|error| store_error(&error))?;
        }
    }
    Ok(())
}
