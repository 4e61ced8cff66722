//! Look-ups of beacons by the tier that answers, and what a million beacons in memory take.
//!
//! The reference of each is the tier asked by itself: the bare cache that memory is made of, the port of the shared
//! cache, the port of the system of record.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark stops at what it does not expect, and says what it measured"
)]

use std::collections::HashMap;
use std::env;
use std::fs;
use std::hint::black_box;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use beacond::domain::beacon::{Beacon, BeaconId, BeaconStatus};
use beacond::domain::customer::CustomerId;
use beacond::domain::gateway::{Gateway, GatewayId};
use beacond::domain::identity::CustomerIdentity;
use beacond::domain::location::LocationType;
use beacond::domain::time::Timestamp;
use beacond::pipeline::{Directory, DirectorySettings, Known, TierSettings};
use beacond::ports::{BeaconCache, BeaconChanges, PortFuture, StoreError, SystemOfRecord};
use beacond::stores::redis::{Redis, RedisSettings};
use beacond::tasks::TaskGroup;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::join_all;
use moka::future::Cache;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

const BEACONS: u32 = 10_000;
const LOOKUPS: u32 = 100_000;
const MANY_BEACONS: u32 = 1_000_000;
/// Questions that sessions have in flight at a time.
const IN_FLIGHT: u32 = 64;

type Beacons = Directory<BeaconId, Beacon>;

fn from_memory(criterion: &mut Criterion) {
    let runtime = runtime();
    let bare = Cache::new(u64::from(BEACONS) * 2);
    let directory = directory(None, u64::from(BEACONS) * 2);
    runtime.block_on(async {
        for number in 0..BEACONS {
            bare.insert(id(number), Arc::new(beacon(number))).await;
            assert!(matches!(directory.resolve(&id(number)).await, Known::Is(_)));
        }
    });
    // Not looked at where memory answers.
    let deadline = tokio::time::Instant::now();
    let mut group = criterion.benchmark_group("directory/memory");
    group.sample_size(20);
    for threads in [1, 2] {
        group.throughput(Throughput::Elements(u64::from(LOOKUPS) * threads));
        group.bench_function(format!("bare cache, threads: {threads}"), |bencher| {
            let look_up = async || {
                for nth in 0..LOOKUPS {
                    black_box(bare.get(&scattered(nth)).await);
                }
            };
            bencher.iter_custom(|rounds| on_threads(threads, rounds, &look_up));
        });
        group.bench_function(format!("directory, threads: {threads}"), |bencher| {
            let look_up = async || {
                for nth in 0..LOOKUPS {
                    black_box(directory.resolve_until(&scattered(nth), deadline).await);
                }
            };
            bencher.iter_custom(|rounds| on_threads(threads, rounds, &look_up));
        });
    }
    group.finish();
}

/// The time that all threads take for it, each on a runtime of its own.
fn on_threads(threads: u64, rounds: u64, work: &(impl AsyncFn() + Sync)) -> Duration {
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                runtime().block_on(async {
                    for _ in 0..rounds {
                        work().await;
                    }
                });
            });
        }
    });
    began.elapsed()
}

fn from_record(criterion: &mut Criterion) {
    let runtime = runtime();
    let record = Registered;
    let mut group = criterion.benchmark_group("directory/record that answers at once");
    group.throughput(Throughput::Elements(u64::from(BEACONS))).sample_size(10);
    group.bench_function("port", |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                for number in 0..BEACONS {
                    black_box(SystemOfRecord::beacon(&record, id(number)).await.unwrap());
                }
            });
        });
    });
    group.bench_function("directory", |bencher| {
        bencher.iter_batched(
            || directory(None, u64::from(BEACONS) * 2),
            |directory| {
                runtime.block_on(miss_all(&directory, 1));
                directory
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// Beacons that Redis has and memory has not. Needs a server: its URL is BEACOND_REDIS_URL.
fn from_shared_cache(criterion: &mut Criterion) {
    let Ok(url) = env::var("BEACOND_REDIS_URL") else {
        println!("directory/Redis: not measured, BEACOND_REDIS_URL is not set");
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let settings =
        RedisSettings { url, timeout: Duration::from_secs(1), customers_queued: 1, customers_batch_rows: 1 };
    let (tasks, stop) = (TaskGroup::new("redis"), CancellationToken::new());
    let cache: Arc<dyn BeaconCache> = runtime.block_on(async {
        let redis = Redis::start(&settings, &tasks, &stop).unwrap();
        redis.health.follow().wait_for(|up| *up).await.unwrap();
        for number in 0..BEACONS {
            redis.beacons.keep(Arc::new(beacon(number))).await.unwrap();
        }
        redis.beacons
    });
    let mut group = criterion.benchmark_group("directory/Redis");
    group.throughput(Throughput::Elements(u64::from(BEACONS))).sample_size(10);
    for in_flight in [1, IN_FLIGHT] {
        group.bench_function(format!("port, in flight: {in_flight}"), |bencher| {
            let ask = async |number| {
                black_box(cache.beacon(id(number)).await.unwrap().unwrap());
            };
            bencher.iter(|| runtime.block_on(in_turn(in_flight, &ask)));
        });
        group.bench_function(format!("directory, in flight: {in_flight}"), |bencher| {
            bencher.iter_batched(
                || directory(Some(Arc::clone(&cache)), u64::from(BEACONS) * 2),
                |directory| {
                    runtime.block_on(miss_all(&directory, in_flight));
                    assert_eq!(directory.counts().from_shared_cache, u64::from(BEACONS));
                    directory
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
    runtime.block_on(async {
        cache.forget((0..BEACONS).map(id).collect()).await.unwrap();
        stop.cancel();
        tasks.join(Duration::from_secs(5)).await;
    });
}

async fn miss_all(directory: &Arc<Beacons>, in_flight: u32) {
    let ask = async |number| assert!(matches!(directory.resolve(&id(number)).await, Known::Is(_)));
    in_turn(in_flight, &ask).await;
}

/// Asks for every beacon, so many at a time.
async fn in_turn(in_flight: u32, ask: &impl AsyncFn(u32)) {
    let lane = async |first| {
        for number in (first..BEACONS).step_by(in_flight as usize) {
            ask(number).await;
        }
    };
    join_all((0..in_flight).map(lane)).await;
}

/// Once: what the process grows by, with every beacon loaded and held.
fn memory(_: &mut Criterion) {
    let runtime = runtime();
    let before = resident_bytes();
    let plain: HashMap<_, _> = (0..MANY_BEACONS).map(|number| (id(number), beacon(number))).collect();
    let plain_bytes = resident_bytes() - before;
    // What the reference took would be used again, and not counted.
    let before = resident_bytes();
    let directory = directory(None, u64::from(MANY_BEACONS) * 2);
    let began = Instant::now();
    runtime.block_on(async {
        for number in 0..MANY_BEACONS {
            assert!(matches!(directory.resolve(&id(number)).await, Known::Is(_)));
        }
    });
    let loading = began.elapsed();
    let bytes = resident_bytes() - before;
    let began = Instant::now();
    let known = directory.known().len();
    let listing = began.elapsed();
    println!(
        "directory/a million beacons: {} bytes each, {} in a plain map; loaded in {loading:?}; {known} listed in {listing:?}",
        bytes / u64::from(MANY_BEACONS),
        plain_bytes / u64::from(MANY_BEACONS),
    );
    drop(plain);
}

fn resident_bytes() -> u64 {
    const PAGE_BYTES: u64 = 4_096;
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * PAGE_BYTES
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn directory(cache: Option<Arc<dyn BeaconCache>>, max_entries: u64) -> Arc<Beacons> {
    let settings = DirectorySettings { max_entries, ..DirectorySettings::default() };
    let tasks = TaskGroup::new("directory");
    let directory =
        Directory::of_beacons(settings, TierSettings::default(), tasks, Arc::new(Registered), cache);
    directory.followed(true);
    directory
}

fn id(number: u32) -> BeaconId {
    let mut bytes = [7; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    BeaconId::from_bytes(bytes)
}

/// In no order, each as often.
fn scattered(nth: u32) -> BeaconId {
    id(nth.wrapping_mul(2_654_435_761) % BEACONS)
}

fn beacon(number: u32) -> Beacon {
    Beacon {
        id: id(number),
        store_id: "store-0001".parse().unwrap(),
        major: 1,
        minor: 2,
        location: Some("Table 12".parse().unwrap()),
        location_type: Some(LocationType::Table),
        status: BeaconStatus::Active,
        updated_at: Timestamp::from_micros(1_777_636_800_000_000),
    }
}

/// A system of record that has every beacon at hand.
#[derive(Debug)]
struct Registered;

impl SystemOfRecord for Registered {
    fn beacon(&self, id: BeaconId) -> PortFuture<'_, Result<Option<Beacon>, StoreError>> {
        let bytes = id.as_bytes();
        let number = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        Box::pin(async move { Ok(Some(beacon(number))) })
    }

    fn gateway(&self, _id: GatewayId) -> PortFuture<'_, Result<Option<Gateway>, StoreError>> {
        Box::pin(async { Ok(None) })
    }

    fn identities_near(
        &self,
        _asked: Vec<(CustomerId, Timestamp)>,
    ) -> PortFuture<'_, Result<Vec<CustomerIdentity>, StoreError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn newest_identity(&self) -> PortFuture<'_, Result<Option<Timestamp>, StoreError>> {
        Box::pin(async { Ok(None) })
    }
}

criterion_group!(benches, memory, from_memory, from_record, from_shared_cache);
criterion_main!(benches);
