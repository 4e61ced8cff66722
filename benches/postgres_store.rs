//! Batches written into a PostgreSQL that has a million identities, beside `psql` doing the same.
//!
//! The reference is one `psql` that for every batch of the same rows, in the same order, upserts its customers from a
//! temporary table and copies its identities, in one transaction. Every measurement has a fresh copy of the same
//! database; the ways to write take turns, and the table at the end has medians.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that meets something unexpected should stop right there"
)]
#![expect(clippy::print_stdout, reason = "its table is what it is for")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use beacond::domain::beacon::BeaconId;
use beacond::domain::confidence::Confidence;
use beacond::domain::customer::CustomerId;
use beacond::domain::identity::CustomerIdentity;
use beacond::domain::time::Timestamp;
use beacond::ports::{BatchWriter, Block, Delivery};
use beacond::stores::postgres::{ForeignKeys, PostgresSettings, PostgresWriter, PostgresWriterSettings};

const SCHEMA: &str = include_str!("../migrations/postgres/V1__schema.sql");
const TEMPLATE: &str = "beacond_bench_grown";
const MEASURED: &str = "beacond_bench_measured";

const START_US: i64 = 1_777_636_800_000_000;
/// From one identity to the next.
const STEP_US: i64 = 30_000;
const GROWN_ROWS: u64 = 1_000_000;
const KNOWN_CUSTOMERS: u64 = 200_000;
const BEACONS: u64 = 400;
/// Identities of a frame, about: a block each.
const BLOCK_ROWS: usize = 64;
const MEASURED_ROWS: usize = 100_000;
const ROUNDS: usize = 3;

/// Whom the rows are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Customers {
    Known,
    New,
}

/// How they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Psql,
    Writer { connections: usize, by_batch: bool, merged: bool },
}

fn main() {
    let Ok(url) = std::env::var("BEACOND_POSTGRES_URL") else {
        println!(
            "not run: BEACOND_POSTGRES_URL is not set (`cargo xtask stack up`, then `cargo xtask stack env`)"
        );
        return;
    };
    let rounds = std::env::var("BEACOND_BENCH_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let server = Server { url };
    server.grow();
    let mut measured: BTreeMap<(Customers, usize, Way), Vec<Duration>> = BTreeMap::new();
    for _ in 0..rounds {
        for (customers, rows, way) in plan() {
            let batches = batches(customers, rows);
            let took = server.measure(&batches, way);
            measured.entry((customers, rows, way)).or_default().push(took);
        }
    }
    server.sql("postgres", &format!("DROP DATABASE IF EXISTS {TEMPLATE}"));
    print(&measured);
}

fn plan() -> Vec<(Customers, usize, Way)> {
    let mut plan = Vec::new();
    for customers in [Customers::Known, Customers::New] {
        for rows in [1_000, 5_000, 20_000] {
            plan.push((customers, rows, Way::Psql));
            for connections in [1, 2, 4] {
                plan.push((customers, rows, Way::Writer { connections, by_batch: true, merged: false }));
            }
        }
    }
    for (by_batch, merged) in [(false, false), (true, true)] {
        plan.push((Customers::Known, 5_000, Way::Writer { connections: 1, by_batch, merged }));
    }
    plan
}

struct Server {
    url: String,
}

impl Server {
    fn url_of(&self, database: &str) -> String {
        let (base, query) = self.url.split_once('?').unwrap_or((&self.url, ""));
        format!("{}/{database}?{query}", base.rsplit_once('/').unwrap().0)
    }

    /// Runs a script by psql.
    fn sql(&self, database: &str, script: &str) {
        let mut psql = Command::new("psql")
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-d", &self.url_of(database)])
            .env("PGOPTIONS", "-c client_min_messages=warning")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        psql.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(psql.wait().unwrap().success());
    }

    /// A database as it is after some months.
    fn grow(&self) {
        self.sql("postgres", &format!("DROP DATABASE IF EXISTS {TEMPLATE}"));
        self.sql("postgres", &format!("CREATE DATABASE {TEMPLATE}"));
        self.sql(TEMPLATE, SCHEMA);
        let mut rows = String::new();
        writeln!(
            rows,
            "CREATE TABLE customer_identities_2026 PARTITION OF customer_identities
             FOR VALUES FROM ('2026-01-01 00:00+00') TO ('2027-01-01 00:00+00');
             SET session_replication_role = replica;
             COPY beacons (beacon_id, store_id, major, minor, updated_at) FROM stdin;"
        )
        .unwrap();
        for number in 0..BEACONS {
            writeln!(rows, "{}\tstore-1\t1\t{number}\tnow", beacon_id(number)).unwrap();
        }
        rows.push_str("\\.\nCOPY customers (customer_id, last_seen) FROM stdin;\n");
        for number in 0..KNOWN_CUSTOMERS {
            writeln!(rows, "{}\t{}", customer_id(number), Timestamp::from_micros(START_US - 60_000_000))
                .unwrap();
        }
        rows.push_str("\\.\n");
        self.sql(TEMPLATE, &rows);
        for thousand in 0..GROWN_ROWS / 100_000 {
            let first = thousand * 100_000;
            let rows: Vec<_> = (first..first + 100_000)
                .map(|number| {
                    let back_us = i64::try_from(GROWN_ROWS - number).unwrap() * STEP_US + 3_600_000_000;
                    identity(number % KNOWN_CUSTOMERS * 7_919 % KNOWN_CUSTOMERS, number, START_US - back_us)
                })
                .collect();
            let copy = format!("SET session_replication_role = replica;\n{}", copy_text(&rows));
            self.sql(TEMPLATE, &copy);
        }
        self.sql(TEMPLATE, "VACUUM ANALYZE");
    }

    /// How long it takes to write the batches into a fresh copy of the grown database.
    fn measure(&self, batches: &[Vec<CustomerIdentity>], way: Way) -> Duration {
        self.sql("postgres", &format!("DROP DATABASE IF EXISTS {MEASURED}"));
        self.sql("postgres", &format!("CREATE DATABASE {MEASURED} TEMPLATE {TEMPLATE} STRATEGY file_copy"));
        // Read once, and with the writing of the copy behind us.
        self.sql(
            MEASURED,
            "SELECT count(*), sum(length(customer_id)) FROM customer_identities;
             SET enable_seqscan = off; SELECT count(customer_id) FROM customers;
             SELECT count(customer_id) FROM customer_identities; CHECKPOINT",
        );
        let took = match way {
            Way::Psql => self.by_psql(batches),
            Way::Writer { connections, by_batch, merged } => {
                let foreign_keys =
                    if by_batch { ForeignKeys::CheckedByBatch } else { ForeignKeys::CheckedByRow };
                let delivery = if merged { Delivery::Again } else { Delivery::First };
                self.by_writer(batches, connections, foreign_keys, delivery)
            }
        };
        self.sql(
            MEASURED,
            &format!(
                "DO $$ BEGIN ASSERT (SELECT count(*) FROM customer_identities WHERE detected_at > '{}') = {}; END $$",
                Timestamp::from_micros(START_US),
                batches.iter().map(Vec::len).sum::<usize>()
            ),
        );
        self.sql("postgres", &format!("DROP DATABASE {MEASURED}"));
        took
    }

    fn by_psql(&self, batches: &[Vec<CustomerIdentity>]) -> Duration {
        let mut script = String::from(
            "CREATE TEMP TABLE seen (customer_id text, last_seen timestamptz) ON COMMIT DELETE ROWS;\n",
        );
        for batch in batches {
            let mut batch = batch.clone();
            batch.sort_by(|a, b| (&a.customer_id, a.detected_at).cmp(&(&b.customer_id, b.detected_at)));
            script.push_str("BEGIN;\nCOPY seen FROM stdin;\n");
            for row in &batch {
                writeln!(script, "{}\t{}", row.customer_id.as_str(), row.detected_at).unwrap();
            }
            script.push_str(
                "\\.\nINSERT INTO customers (customer_id, last_seen)
                 SELECT customer_id, max(last_seen) FROM seen GROUP BY customer_id
                 ON CONFLICT (customer_id) DO UPDATE SET last_seen = excluded.last_seen
                 WHERE excluded.last_seen > customers.last_seen;\n",
            );
            script.push_str(&copy_text(&batch));
            script.push_str("COMMIT;\n");
        }
        let start = Instant::now();
        self.sql(MEASURED, &script);
        start.elapsed()
    }

    fn by_writer(
        &self,
        batches: &[Vec<CustomerIdentity>],
        connections: usize,
        foreign_keys: ForeignKeys,
        delivery: Delivery,
    ) -> Duration {
        let mut writer = PostgresWriter::new(&PostgresWriterSettings {
            server: PostgresSettings {
                url: self.url_of(MEASURED),
                connect_timeout: Duration::from_secs(5),
                statement_timeout: Duration::from_secs(60),
            },
            connections,
            write_timeout: Duration::from_secs(60),
            foreign_keys,
        })
        .unwrap();
        let batches: Vec<Vec<Arc<Block>>> = batches
            .iter()
            .map(|batch| {
                let block = |rows: &[CustomerIdentity]| {
                    Arc::new(Block { identities: rows.to_vec(), preferences: Vec::new() })
                };
                batch.chunks(BLOCK_ROWS).map(block).collect()
            })
            .collect();
        // Connections are opened with the process that psql starts.
        let start = Instant::now();
        for batch in &batches {
            writer.write(batch, delivery).unwrap();
        }
        let took = start.elapsed();
        assert_eq!(writer.status().foreign_keys(), Some(foreign_keys));
        assert_eq!(writer.status().near_rows(), 0);
        took
    }
}

fn batches(customers: Customers, rows: usize) -> Vec<Vec<CustomerIdentity>> {
    let all: Vec<_> = (0..MEASURED_ROWS)
        .map(|row| {
            let row = u64::try_from(row).unwrap();
            let number = match customers {
                Customers::Known => row * 7_919 % KNOWN_CUSTOMERS,
                Customers::New => KNOWN_CUSTOMERS + row,
            };
            identity(number, row, START_US + (i64::try_from(row).unwrap() + 1) * STEP_US)
        })
        .collect();
    all.chunks(rows).map(<[_]>::to_vec).collect()
}

fn identity(customer: u64, row: u64, at_us: i64) -> CustomerIdentity {
    CustomerIdentity {
        customer_id: CustomerId::from_bytes(customer_id(customer).as_bytes()).unwrap(),
        beacon_id: beacon_id(scatter(row) % BEACONS),
        location: Some("Table 12".parse().unwrap()),
        confidence: Confidence::from_stored(0.925).unwrap(),
        detected_at: Timestamp::from_micros(at_us),
    }
}

/// A COPY of the rows in psql's own way.
fn copy_text(rows: &[CustomerIdentity]) -> String {
    let mut text = String::from(
        "COPY customer_identities (customer_id, beacon_id, location, confidence, detected_at) FROM stdin;\n",
    );
    for row in rows {
        writeln!(
            text,
            "{}\t{}\t{}\t{}\t{}",
            row.customer_id.as_str(),
            row.beacon_id,
            row.location.as_ref().unwrap().as_str(),
            row.confidence.as_f32(),
            row.detected_at
        )
        .unwrap();
    }
    text.push_str("\\.\n");
    text
}

/// SplitMix64: neighbours go far apart.
fn scatter(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// 16 characters.
fn customer_id(number: u64) -> String {
    format!("{:016x}", scatter(number))
}

fn beacon_id(number: u64) -> BeaconId {
    BeaconId::from_bytes((0xbeac_u128 << 64 | u128::from(number)).to_be_bytes())
}

fn print(measured: &BTreeMap<(Customers, usize, Way), Vec<Duration>>) {
    let median = |times: &[Duration]| {
        let mut times = times.to_vec();
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64()
    };
    println!("| customers | rows a batch | way | rows/s | beside psql |\n|---|---|---|---|---|");
    for ((customers, rows, way), times) in measured {
        let reference = median(&measured[&(*customers, *rows, Way::Psql)]);
        let took = median(times);
        let way = match way {
            Way::Psql => "psql".to_owned(),
            Way::Writer { connections, by_batch, merged } => format!(
                "writer, {connections} connections{}{}",
                if *by_batch { "" } else { ", foreign keys by row" },
                if *merged { ", merged" } else { "" }
            ),
        };
        #[expect(clippy::cast_precision_loss, reason = "for reading")]
        let rate = MEASURED_ROWS as f64 / took;
        println!("| {customers:?} | {rows} | {way} | {rate:.0} | {:.2} |", reference / took);
    }
}
