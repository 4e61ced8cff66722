//! An embedded store with a run's identities, by its real schema.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::super::names::Names;
use super::super::time;
use super::simulated::{BEGAN_US, Simulated, customer_id};
use crate::population::{Heard, Layout, Naming};
use crate::scenario::Scenario;

const SCHEMA: &str = include_str!("../../../../migrations/sqlite/V1__schema.sql");

const INSERTS: [&str; 3] = [
    "INSERT INTO customers (customer_id, last_seen) VALUES (?1, ?2)
     ON CONFLICT DO UPDATE SET last_seen = max(last_seen, excluded.last_seen)",
    "INSERT INTO customer_identities (customer_id, detected_at, beacon_id, location, confidence)
     VALUES (?1, ?2, ?3, ?4, ?5)",
    "INSERT INTO customer_events (CustomerID, DetectedAt, BeaconID, Location, Confidence, ExpiresAt)
     VALUES (?1, ?2, ?3, ?4, ?5, 0)",
];

/// The file.
pub(super) struct Store {
    pub(super) file: PathBuf,
}

/// Rows on their way in.
pub(super) struct Rows {
    connection: Connection,
    names: Names,
}

impl Store {
    /// With everything that was identified.
    pub(super) fn create(file: &Path, simulated: &Simulated) -> Self {
        let store = Self::create_streamed(file, &simulated.scenario);
        store.insert(simulated, &simulated.identities);
        store
    }

    /// With the beacons alone.
    pub(super) fn create_streamed(file: &Path, scenario: &Scenario) -> Self {
        let connection = Connection::open(file).unwrap();
        connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF").unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        let layout = Layout::new(&scenario.population);
        for beacon in 0..layout.beacons() {
            let values = (beacon_id(beacon), Naming::store_id(layout.store_of(beacon)));
            connection
                .execute(
                    "INSERT INTO beacons (beacon_id, store_id, major, minor) VALUES (?1, ?2, 0, 0)",
                    values,
                )
                .unwrap();
        }
        Self { file: file.to_owned() }
    }

    pub(super) fn run(&self, sql: &str) {
        Connection::open(&self.file).unwrap().execute_batch(sql).unwrap();
    }

    pub(super) fn insert(&self, simulated: &Simulated, identities: &[Heard]) {
        let mut rows = self.rows_of(&simulated.scenario);
        identities.iter().for_each(|identity| rows.insert(identity));
        rows.finish();
    }

    pub(super) fn rows(&self) -> Rows {
        self.rows_of(&Scenario::default())
    }

    fn rows_of(&self, scenario: &Scenario) -> Rows {
        let connection = Connection::open(&self.file).unwrap();
        connection.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -262144; BEGIN").unwrap();
        Rows { connection, names: Names::new(scenario, false) }
    }
}

impl Rows {
    pub(super) fn insert(&mut self, heard: &Heard) {
        let (id, at) = (customer_id(heard.customer), time::text(BEGAN_US + heard.at_us));
        let (beacon, place) = (beacon_id(heard.beacon), self.names.naming.place(heard.beacon));
        let confidence = f64::from(self.names.confidence(heard.beacon, heard.rssi_dbm).unwrap());
        let mut statements = INSERTS.map(|sql| self.connection.prepare_cached(sql).unwrap());
        statements[0].execute((&id, &at)).unwrap();
        for statement in &mut statements[1..] {
            statement.execute((&id, &at, &beacon, &place, confidence)).unwrap();
        }
    }

    pub(super) fn finish(self) {
        self.connection.execute_batch("COMMIT").unwrap();
    }
}

fn beacon_id(beacon: u32) -> String {
    uuid::Uuid::from_bytes(Naming::beacon_id(beacon)).to_string()
}
