//! What the tests share: a database of their own, its beacons, and the adapter's settings.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use beacond::domain::beacon::{Beacon, BeaconId, BeaconStatus};
use beacond::domain::customer::CustomerId;
use beacond::domain::location::LocationType;
use beacond::domain::time::Timestamp;
use beacond::stores::postgres::{
    ConnectError, PostgresAdmin, PostgresReaderSettings, PostgresRecord, PostgresSettings,
};
use beacond::tasks::TaskGroup;
use tokio::runtime::{Builder, Runtime};

use crate::proxy::Proxy;
use crate::psql;

/// How long anything of a test may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// 2026-05-01T12:00:00.000000Z.
pub(crate) const NOON_US: i64 = 1_777_636_800_000_000;

/// A database that goes with its roles when this is dropped.
#[derive(Debug)]
pub(crate) struct Scene {
    name: String,
}

impl Scene {
    /// An empty database.
    pub(crate) fn empty() -> Self {
        Self::made_with("")
    }

    /// An empty database, made with options.
    pub(crate) fn made_with(options: &str) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("beacond_{}_{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        psql::run(&server(), &format!("CREATE DATABASE {name} {options}")).unwrap();
        Self { name }
    }

    /// A database with the schema.
    pub(crate) fn new() -> Self {
        let scene = Self::empty();
        scene.admin().migrate().unwrap();
        scene
    }

    /// A database with beacons 0 to 3.
    pub(crate) fn with_beacons() -> Self {
        let scene = Self::new();
        let beacons: Vec<Beacon> = (0..4).map(beacon).collect();
        scene.admin().import_beacons(&beacons).unwrap();
        scene
    }

    pub(crate) fn url(&self) -> String {
        let server = server();
        let (address, query) = server.split_once('?').unwrap_or((&server, ""));
        let (host, _) = address.rsplit_once('/').unwrap();
        format!("{host}/{}?{query}", self.name)
    }

    /// Its way in for a role.
    pub(crate) fn url_as(&self, role: &str) -> String {
        let url = self.url();
        let (_, rest) = url.split_once('@').unwrap();
        format!("postgresql://{role}:test@{rest}")
    }

    /// A proxy before it, and the way in through that.
    pub(crate) fn proxied(&self) -> (Proxy, String) {
        let proxy = Proxy::before(self.address());
        let url = self.url().replace(&self.address(), proxy.address());
        (proxy, format!("{url}&sslmode=disable"))
    }

    /// `host:port` of the server.
    fn address(&self) -> String {
        let url = self.url();
        let authority = url.split("://").nth(1).unwrap().split('/').next().unwrap();
        authority.rsplit('@').next().unwrap().to_owned()
    }

    pub(crate) fn settings(&self) -> PostgresSettings {
        settings(self.url())
    }

    pub(crate) fn admin(&self) -> PostgresAdmin {
        PostgresAdmin::open(&self.settings()).unwrap()
    }

    /// A role with a password, and with rights as granted: `%` in them is its name.
    pub(crate) fn role(&self, grants: &[&str]) -> String {
        let role = format!("{}_role", self.name);
        self.sql(&format!("CREATE ROLE {role} LOGIN PASSWORD 'test'"));
        for grant in grants {
            self.sql(&grant.replace('%', &role));
        }
        role
    }

    /// What a script prints.
    pub(crate) fn sql(&self, script: &str) -> String {
        self.try_sql(script).unwrap()
    }

    pub(crate) fn try_sql(&self, script: &str) -> Result<String, String> {
        psql::run(&self.url(), script)
    }

    pub(crate) fn session(&self) -> psql::Session {
        psql::Session::open(&self.url())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = psql::run(&server(), &format!("DROP DATABASE {} WITH (FORCE)", self.name));
        let _ = psql::run(&server(), &format!("DROP ROLE IF EXISTS {}_role", self.name));
    }
}

/// The superuser's way in to the server.
fn server() -> String {
    std::env::var("BEACOND_POSTGRES_URL")
        .unwrap_or_else(|_| panic!("run it by `cargo xtask test`, or set BEACOND_POSTGRES_URL"))
}

pub(crate) fn settings(url: String) -> PostgresSettings {
    PostgresSettings {
        url,
        connect_timeout: Duration::from_secs(5),
        statement_timeout: Duration::from_secs(20),
    }
}

pub(crate) fn reader_settings() -> PostgresReaderSettings {
    PostgresReaderSettings {
        connections: NonZeroU32::new(2).unwrap(),
        questions: 64,
        question_timeout: Duration::from_secs(5),
    }
}

/// A reader, on the runtime this is called on.
pub(crate) fn reader(
    postgres: &PostgresSettings,
    settings: PostgresReaderSettings,
) -> Result<PostgresRecord, ConnectError> {
    PostgresRecord::new(postgres, settings, TaskGroup::new("test"))
}

pub(crate) fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
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
