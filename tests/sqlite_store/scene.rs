//! What the tests share: a data directory, its beacons, and rows to write.

use std::path::PathBuf;
use std::sync::Arc;

use beacond::domain::beacon::{Beacon, BeaconId, BeaconStatus};
use beacond::domain::confidence::{Confidence, ConfidenceCurve, ConfidenceSettings};
use beacond::domain::customer::CustomerId;
use beacond::domain::identity::CustomerIdentity;
use beacond::domain::location::LocationType;
use beacond::domain::preference::PreferenceChange;
use beacond::domain::sighting::Rssi;
use beacond::domain::time::Timestamp;
use beacond::ports::Block;
use beacond::stores::sqlite::{FILE_NAME, SqliteAdmin, SqliteWriter};
use rusqlite::types::FromSql;
use rusqlite::{Connection, Params};
use tempfile::TempDir;

/// 2026-05-01T12:00:00.000000Z.
pub(crate) const NOON_US: i64 = 1_777_636_800_000_000;

pub(crate) struct Scene {
    pub(crate) dir: TempDir,
}

impl Scene {
    /// A directory with an empty store.
    pub(crate) fn new() -> Self {
        let scene = Self { dir: TempDir::new().unwrap() };
        scene.admin();
        scene
    }

    /// A store with beacons 0 to 3.
    pub(crate) fn with_beacons() -> Self {
        let scene = Self::new();
        let beacons: Vec<Beacon> = (0..4).map(beacon).collect();
        scene.admin().import_beacons(&beacons).unwrap();
        scene
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join(FILE_NAME)
    }

    pub(crate) fn admin(&self) -> SqliteAdmin {
        SqliteAdmin::open(self.dir.path()).unwrap()
    }

    pub(crate) fn writer(&self) -> SqliteWriter {
        SqliteWriter::open(self.dir.path()).unwrap()
    }

    /// Another client.
    pub(crate) fn plain(&self) -> Connection {
        Connection::open(self.file()).unwrap()
    }

    pub(crate) fn one<T: FromSql>(&self, sql: &str, params: impl Params) -> T {
        self.plain().query_row(sql, params, |row| row.get(0)).unwrap()
    }

    pub(crate) fn count(&self, table: &str) -> i64 {
        self.one(&format!("SELECT count(*) FROM {table}"), [])
    }

    pub(crate) fn last_seen(&self, customer: &str) -> String {
        self.one("SELECT last_seen FROM customers WHERE customer_id = ?1", [customer])
    }
}

pub(crate) fn time(after_noon_us: i64) -> Timestamp {
    Timestamp::from_micros(NOON_US + after_noon_us)
}

pub(crate) fn customer(id: &str) -> CustomerId {
    CustomerId::from_bytes(id.as_bytes()).unwrap()
}

pub(crate) fn beacon_id(number: u8) -> BeaconId {
    BeaconId::from_bytes([number; 16])
}

pub(crate) fn beacon(number: u8) -> Beacon {
    Beacon {
        id: beacon_id(number),
        store_id: "store-1".parse().unwrap(),
        major: 1,
        minor: u16::from(number),
        location: Some(format!("Table {number}").parse().unwrap()),
        location_type: Some(LocationType::Table),
        status: BeaconStatus::Active,
        updated_at: Timestamp::default(),
    }
}

pub(crate) fn confidence() -> Confidence {
    let curve = ConfidenceCurve::new(&ConfidenceSettings::default());
    curve.confidence(Rssi::new(-60).unwrap(), LocationType::Table)
}

/// An identity at a beacon, so long after noon.
pub(crate) fn identity(customer_id: &str, after_noon_us: i64, beacon: u8) -> CustomerIdentity {
    CustomerIdentity {
        customer_id: customer(customer_id),
        beacon_id: beacon_id(beacon),
        location: Some(format!("Table {beacon}").parse().unwrap()),
        confidence: confidence(),
        detected_at: time(after_noon_us),
    }
}

pub(crate) fn identified(identities: Vec<CustomerIdentity>) -> Arc<Block> {
    Arc::new(Block { identities, preferences: Vec::new() })
}

pub(crate) fn prefers(customer_id: &str, after_noon_us: i64, pairs: &[(&str, &str)]) -> Arc<Block> {
    let pairs = pairs.iter().map(|(key, value)| (key.as_bytes(), value.as_bytes()));
    let change = PreferenceChange::from_claim(customer_id.as_bytes(), time(after_noon_us), pairs).unwrap();
    Arc::new(Block { identities: Vec::new(), preferences: vec![change] })
}
