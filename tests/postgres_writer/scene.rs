//! What the tests share: a database of their own with its beacons, rows to write, and locks to hold a write with.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use beacond::domain::beacon::BeaconId;
use beacond::domain::confidence::Confidence;
use beacond::domain::customer::CustomerId;
use beacond::domain::identity::CustomerIdentity;
use beacond::domain::preference::PreferenceChange;
use beacond::domain::time::Timestamp;
use beacond::ports::Block;
use beacond::stores::postgres::{ForeignKeys, PostgresSettings, PostgresWriter, PostgresWriterSettings};

use crate::psql::{self, Session};

const SCHEMA: &str = include_str!("../../migrations/postgres/V1__schema.sql");

/// 2026-05-01T12:00:00.000000Z.
pub(crate) const NOON_US: i64 = 1_777_636_800_000_000;
pub(crate) const MINUTE_US: i64 = 60_000_000;

/// How long anything of a test may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A database with beacons 0 to 3 and the partition of 2026. It goes with its role when this is dropped.
#[derive(Debug)]
pub(crate) struct Scene {
    name: String,
}

impl Scene {
    pub(crate) fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("beacond_w_{}_{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        psql::run(&server(), &format!("CREATE DATABASE {name}")).unwrap();
        let scene = Self { name };
        let beacons: Vec<_> =
            (0..4).map(|number| format!("('{}', 's', 1, {number})", beacon_id(number))).collect();
        scene.sql(&format!(
            "{SCHEMA};
            CREATE TABLE customer_identities_2026 PARTITION OF customer_identities
            FOR VALUES FROM ('2026-01-01 00:00+00') TO ('2027-01-01 00:00+00');
            INSERT INTO beacons (beacon_id, store_id, major, minor) VALUES {}",
            beacons.join(", ")
        ));
        scene
    }

    pub(crate) fn url(&self) -> String {
        let server = server();
        let (address, query) = server.split_once('?').unwrap_or((&server, ""));
        format!("{}/{}?{query}", address.rsplit_once('/').unwrap().0, self.name)
    }

    /// Makes a role with these rights, `%` in them being its name, and answers its way in.
    pub(crate) fn role(&self, grants: &[&str]) -> String {
        let role = format!("{}_role", self.name);
        self.sql(&format!("CREATE ROLE {role} LOGIN PASSWORD 'test'"));
        for grant in grants {
            self.sql(&grant.replace('%', &role));
        }
        let url = self.url();
        let (_, rest) = url.split_once("://").unwrap();
        let rest = rest.split_once('@').map_or(rest, |(_, rest)| rest);
        format!("postgresql://{role}:test@{rest}")
    }

    pub(crate) fn settings(&self) -> PostgresWriterSettings {
        PostgresWriterSettings {
            server: PostgresSettings {
                url: self.url(),
                connect_timeout: Duration::from_secs(10),
                statement_timeout: PATIENCE,
            },
            connections: 1,
            write_timeout: PATIENCE,
            foreign_keys: ForeignKeys::CheckedByBatch,
        }
    }

    pub(crate) fn writer(&self) -> PostgresWriter {
        PostgresWriter::new(&self.settings()).unwrap()
    }

    pub(crate) fn writer_as(&self, url: String) -> PostgresWriter {
        let mut settings = self.settings();
        settings.server.url = url;
        PostgresWriter::new(&settings).unwrap()
    }

    /// What a script prints.
    pub(crate) fn sql(&self, script: &str) -> String {
        psql::run(&self.url(), script).unwrap()
    }

    pub(crate) fn count(&self, table: &str) -> usize {
        self.sql(&format!("SELECT count(*) FROM {table}")).parse().unwrap()
    }

    pub(crate) fn last_seen(&self, customer: &str) -> String {
        self.sql(&format!(
            "SELECT to_char(last_seen AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')
             FROM customers WHERE customer_id = '{customer}'"
        ))
    }

    pub(crate) fn session(&self) -> Session {
        Session::open(&self.url())
    }

    /// Lets the writers come as far as their COPY, and no further, until the session ends its transaction.
    pub(crate) fn hold_writers(&self) -> Session {
        let mut holder = self.session();
        holder.run("BEGIN");
        holder.run("LOCK TABLE customer_identities IN SHARE MODE");
        holder
    }

    /// Waits until so many sessions of this database wait for a lock.
    pub(crate) fn wait_for_waiting(&self, sessions: usize) {
        let waiting = "SELECT count(DISTINCT pid) FROM pg_locks JOIN pg_stat_activity USING (pid)
             WHERE NOT granted AND datname = current_database()";
        self.wait_until(waiting, &sessions.to_string());
    }

    /// Asks until the answer is this one.
    pub(crate) fn wait_until(&self, question: &str, answer: &str) {
        let started = Instant::now();
        loop {
            let found = self.sql(question);
            if found == answer {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{question}: {found}");
        }
    }

    /// Ends every connection of a writer.
    pub(crate) fn cut_writers(&self) {
        self.sql(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'beacond'",
        );
    }

    /// Identities without their customer or their beacon, and preferences without their customer.
    pub(crate) fn orphans(&self) -> usize {
        self.sql(
            "SELECT (SELECT count(*) FROM customer_identities WHERE customer_id NOT IN (SELECT customer_id FROM customers))
             + (SELECT count(*) FROM customer_identities WHERE beacon_id NOT IN (SELECT beacon_id FROM beacons))
             + (SELECT count(*) FROM preference_changes WHERE customer_id NOT IN (SELECT customer_id FROM customers))",
        )
        .parse()
        .unwrap()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = psql::run(&server(), &format!("DROP DATABASE {} WITH (FORCE)", self.name));
        let _ = psql::run(&server(), &format!("DROP ROLE IF EXISTS {}_role", self.name));
    }
}

fn server() -> String {
    std::env::var("BEACOND_POSTGRES_URL").expect(
        "run it by `cargo xtask test`, or set BEACOND_POSTGRES_URL to a superuser's URL of a private server",
    )
}

/// What a writer needs, and no more.
pub(crate) const RIGHTS: [&str; 3] = [
    "GRANT SELECT, INSERT, UPDATE ON customers, customer_identities, preference_changes TO %",
    "GRANT SELECT ON beacons TO %",
    "GRANT USAGE ON SEQUENCE customer_identities_id_seq TO %",
];

pub(crate) fn time(after_noon_us: i64) -> Timestamp {
    Timestamp::from_micros(NOON_US + after_noon_us)
}

pub(crate) fn beacon_id(number: u8) -> BeaconId {
    BeaconId::from_bytes([number; 16])
}

/// An identity at a beacon, so long after noon.
pub(crate) fn identity(customer_id: &str, after_noon_us: i64, beacon: u8) -> CustomerIdentity {
    CustomerIdentity {
        customer_id: CustomerId::from_bytes(customer_id.as_bytes()).unwrap(),
        beacon_id: beacon_id(beacon),
        location: Some(format!("Table {beacon}").parse().unwrap()),
        confidence: Confidence::from_stored(0.9).unwrap(),
        detected_at: time(after_noon_us),
    }
}

pub(crate) fn identified(identities: Vec<CustomerIdentity>) -> Arc<Block> {
    Arc::new(Block { identities, preferences: Vec::new() })
}

/// So many customers, identified once each at beacons in turn.
pub(crate) fn crowd(name: &str, customers: usize, after_noon_us: i64) -> Vec<Arc<Block>> {
    (0..customers)
        .map(|number| {
            let beacon = u8::try_from(number % 4).unwrap();
            identified(vec![identity(&format!("{name}-{number}"), after_noon_us, beacon)])
        })
        .collect()
}

pub(crate) fn prefers(customer_id: &str, after_noon_us: i64, pairs: &[(&str, &str)]) -> Arc<Block> {
    let pairs = pairs.iter().map(|(key, value)| (key.as_bytes(), value.as_bytes()));
    let change = PreferenceChange::from_claim(customer_id.as_bytes(), time(after_noon_us), pairs).unwrap();
    Arc::new(Block { identities: Vec::new(), preferences: vec![change] })
}
