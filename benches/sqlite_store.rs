//! Batches written into an embedded store that has a million identities, and late questions to it.
//!
//! The reference for writing is the floor: the same rows put into one table without an index, as durably. For
//! questions it is the same lookups by a plain connection, without threads between.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that meets something unexpected should stop right there"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use beacond::domain::beacon::{Beacon, BeaconId, BeaconStatus};
use beacond::domain::confidence::{ConfidenceCurve, ConfidenceSettings};
use beacond::domain::customer::CustomerId;
use beacond::domain::identity::CustomerIdentity;
use beacond::domain::location::LocationType;
use beacond::domain::sighting::Rssi;
use beacond::domain::time::Timestamp;
use beacond::domain::window::SPACING_US;
use beacond::ports::{BatchWriter, Block, Delivery, SystemOfRecord};
use beacond::stores::sqlite::{FILE_NAME, SqliteAdmin, SqliteReader, SqliteWriter};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rusqlite::{Connection, params};
use tempfile::TempDir;

const START_US: i64 = 1_777_636_800_000_000;
const GROWN_ROWS: usize = 1_000_000;
const CUSTOMERS: u64 = 20_000;
const BEACONS: u16 = 400;
/// From one identity to the next.
const STEP_US: i64 = 30_000;
/// Identities of a frame, about: a block each.
const BLOCK_ROWS: usize = 64;
const QUESTION_PAIRS: usize = 64;

/// Identities as a day brings them: customers in no order, each of them every ten minutes or so.
struct Visits {
    made: u64,
    template: CustomerIdentity,
}

impl Visits {
    fn new() -> Self {
        let curve = ConfidenceCurve::new(&ConfidenceSettings::default());
        let template = CustomerIdentity {
            customer_id: customer(0),
            beacon_id: beacon_id(0),
            location: Some("Table 12".parse().unwrap()),
            confidence: curve.confidence(Rssi::new(-60).unwrap(), LocationType::Table),
            detected_at: Timestamp::from_micros(START_US),
        };
        Self { made: 0, template }
    }

    fn next_identity(&mut self) -> CustomerIdentity {
        self.made += 1;
        let draw = scatter(self.made);
        CustomerIdentity {
            customer_id: customer(draw % CUSTOMERS),
            beacon_id: beacon_id(u16::try_from((draw >> 32) % u64::from(BEACONS)).unwrap()),
            detected_at: self.now(),
            ..self.template.clone()
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_micros(START_US + STEP_US * i64::try_from(self.made).unwrap())
    }

    fn batch(&mut self, rows: usize) -> Vec<Arc<Block>> {
        let mut identities: Vec<_> = (0..rows).map(|_| self.next_identity()).collect();
        let mut batch = Vec::new();
        while !identities.is_empty() {
            let rest = identities.split_off(identities.len().min(BLOCK_ROWS));
            batch.push(Arc::new(Block { identities, preferences: Vec::new() }));
            identities = rest;
        }
        batch
    }
}

/// SplitMix64: neighbours go far apart.
fn scatter(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// An id of 16 characters.
fn customer(number: u64) -> CustomerId {
    let id = format!("{:016x}", scatter(number));
    CustomerId::from_bytes(id.as_bytes()).unwrap()
}

fn beacon_id(number: u16) -> BeaconId {
    let mut bytes = [0xbe; 16];
    bytes[14..].copy_from_slice(&number.to_be_bytes());
    BeaconId::from_bytes(bytes)
}

fn grown_store(dir: &Path) -> (SqliteWriter, Visits) {
    let beacons: Vec<Beacon> = (0..BEACONS)
        .map(|number| Beacon {
            id: beacon_id(number),
            store_id: "store-1".parse().unwrap(),
            major: 1,
            minor: number,
            location: None,
            location_type: None,
            status: BeaconStatus::Active,
            updated_at: Timestamp::default(),
        })
        .collect();
    SqliteAdmin::open(dir).unwrap().import_beacons(&beacons).unwrap();
    let mut writer = SqliteWriter::open(dir).unwrap();
    let mut visits = Visits::new();
    for _ in 0..GROWN_ROWS / 20_000 {
        writer.write(&visits.batch(20_000), Delivery::First).unwrap();
    }
    (writer, visits)
}

fn bare_table(dir: &Path) -> Connection {
    let connection = Connection::open(dir.join("bare.sqlite3")).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 32768;
             CREATE TABLE bare (customer_id TEXT, beacon_id TEXT, location TEXT, confidence REAL, detected_at TEXT)",
        )
        .unwrap();
    connection
}

fn write_bare(connection: &mut Connection, batch: &[Arc<Block>]) {
    let transaction = connection.transaction().unwrap();
    let mut insert = transaction.prepare_cached("INSERT INTO bare VALUES (?1, ?2, ?3, ?4, ?5)").unwrap();
    for identity in batch.iter().flat_map(|block| &block.identities) {
        insert
            .execute(params![
                identity.customer_id.as_str(),
                identity.beacon_id.write_text(&mut [0; 36]),
                identity.location.as_ref().map(|location| location.as_str()),
                identity.confidence.as_f32(),
                identity.detected_at.to_text().as_str(),
            ])
            .unwrap();
    }
    drop(insert);
    transaction.commit().unwrap();
}

/// Time of writing `times` batches, each made before the clock starts.
fn timed(
    times: u64,
    mut batch: impl FnMut() -> Vec<Arc<Block>>,
    mut write: impl FnMut(&[Arc<Block>]),
) -> Duration {
    let mut total = Duration::ZERO;
    for _ in 0..times {
        let batch = batch();
        let start = Instant::now();
        write(&batch);
        total += start.elapsed();
    }
    total
}

fn store(criterion: &mut Criterion) {
    let dir = TempDir::new().unwrap();
    let (mut writer, mut visits) = grown_store(dir.path());
    late_questions(criterion, dir.path(), visits.now());
    let mut bare = bare_table(dir.path());
    let mut group = criterion.benchmark_group("sqlite_store/write");
    group.sample_size(10).measurement_time(Duration::from_secs(8));
    for rows in [500, 5_000, 20_000] {
        group.throughput(Throughput::Elements(u64::try_from(rows).unwrap()));
        group.bench_with_input(BenchmarkId::new("store", rows), &rows, |bencher, &rows| {
            bencher.iter_custom(|times| {
                timed(times, || visits.batch(rows), |batch| writer.write(batch, Delivery::First).unwrap())
            });
        });
        group.bench_with_input(BenchmarkId::new("bare table", rows), &rows, |bencher, &rows| {
            bencher.iter_custom(|times| {
                timed(times, || visits.batch(rows), |batch| write_bare(&mut bare, batch))
            });
        });
    }
    group.finish();
}

fn late_questions(criterion: &mut Criterion, dir: &Path, now: Timestamp) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let reader = SqliteReader::open(dir).unwrap();
    let plain = Connection::open(dir.join(FILE_NAME)).unwrap();
    let mut asked = (0..).map(|number| {
        let back_us = i64::try_from(scatter(number) % 60_000_000).unwrap();
        (customer(scatter(number) % CUSTOMERS), now.plus_micros(-back_us))
    });
    let mut question = move || asked.by_ref().take(QUESTION_PAIRS).collect::<Vec<_>>();
    let mut group = criterion.benchmark_group("sqlite_store/late question of 64 pairs");
    group.throughput(Throughput::Elements(1));
    group.bench_function("reader", |bencher| {
        bencher.iter_batched(
            &mut question,
            |asked| runtime.block_on(reader.identities_near(asked)).unwrap().len(),
            criterion::BatchSize::SmallInput,
        );
    });
    group.bench_function("plain connection", |bencher| {
        bencher.iter_batched(
            &mut question,
            |asked| asked.iter().map(|pair| ask_plain(&plain, pair)).sum::<usize>(),
            criterion::BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn ask_plain(connection: &Connection, (customer, time): &(CustomerId, Timestamp)) -> usize {
    let mut select = connection
        .prepare_cached(
            "SELECT beacon_id, detected_at FROM customer_identities
             WHERE customer_id = ?1 AND detected_at > ?2 AND detected_at < ?3",
        )
        .unwrap();
    let (after, before) = (time.plus_micros(-SPACING_US).to_text(), time.plus_micros(SPACING_US).to_text());
    let found = select
        .query_map([customer.as_str(), after.as_str(), before.as_str()], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        })
        .unwrap();
    found.map(Result::unwrap).count()
}

criterion_group!(benches, store);
criterion_main!(benches);
