//! The duplicate window at 10 million customers, beside a plain map from customer id to last time.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use beacond::domain::beacon::BeaconId;
use beacond::domain::time::Timestamp;
use beacond::domain::window::{
    CustomerHasher, CustomerKey, DuplicateWindow, SPACING_US, Standing, WindowLimits,
};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput, criterion_group};

/// The daemon's allocator: memory is measured with it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CUSTOMERS: u64 = 10_000_000;
/// Customers of the second set, who stay: each is identified every minute of a quarter of an hour.
const STAYING: u64 = CUSTOMERS / MINUTES_STAYED;
const MINUTES_STAYED: u64 = 16;
/// Sightings asked about, or entries let go, in one iteration.
const BATCH: u64 = 1 << 20;
const HORIZON_US: i64 = 15 * 60 * 1_000_000;
const MAX_AHEAD_US: i64 = 5 * 60 * 1_000_000;
/// 10 million identities in a quarter of an hour are one in 90 microseconds.
const APART_US: i64 = HORIZON_US / CUSTOMERS.cast_signed();
const START_US: i64 = 1_790_000_000_000_000;

type Id = [u8; 16];

/// A customer id of 16 hexadecimal digits, without order in them.
fn id_of(customer: u64) -> Id {
    let mut scrambled = customer.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut id = [0; 16];
    for digit in &mut id {
        *digit = b"0123456789abcdef"[(scrambled & 15) as usize];
        scrambled >>= 4;
    }
    id
}

/// The `number`-th identity: everybody once, then everybody again, as a gateway reports it: up to 30 s late.
#[derive(Clone, Copy)]
struct Identity {
    id: Id,
    detected_us: i64,
    accepted_us: i64,
}

fn identity(number: u64) -> Identity {
    let accepted_us = START_US + number.cast_signed() * APART_US;
    let late_us = (number.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 39).cast_signed() % 30_000_000;
    Identity { id: id_of(number), detected_us: accepted_us - late_us, accepted_us }
}

/// The `number`-th identity of customers who stay: in each minute everybody once.
fn staying_identity(number: u64) -> Identity {
    let (minute, customer) = (number / STAYING, number % STAYING);
    let offset_us = (customer.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 39).cast_signed() % SPACING_US;
    let detected_us = START_US + minute.cast_signed() * SPACING_US + offset_us;
    Identity { id: id_of(customer), detected_us, accepted_us: START_US + number.cast_signed() * APART_US }
}

/// Sightings to ask about: of customers spread over `known` identities, up to a minute after.
fn sightings(identity: impl Fn(u64) -> Identity, known: u64) -> Vec<(Id, i64)> {
    (0..BATCH)
        .map(|number| {
            let random = number.wrapping_mul(0xD134_2543_DE82_EF95).wrapping_add(0x1405_7B7E_F767_814F);
            let identity = identity((random >> 20) % known);
            (identity.id, identity.detected_us + 1 + (random >> 38).cast_signed() % (SPACING_US - 1))
        })
        .collect()
}

struct Window {
    window: DuplicateWindow,
    hasher: CustomerHasher,
}

impl Window {
    fn new() -> Self {
        let limits = WindowLimits::new(HORIZON_US, MAX_AHEAD_US, 12_000_000);
        Self { window: DuplicateWindow::new(limits), hasher: CustomerHasher::new([7; 16]) }
    }

    fn accept(&mut self, identity: Identity) {
        let beacon = BeaconId::from_bytes([3; 16]);
        let accepted = self.window.accept(
            self.hasher.key(&identity.id),
            Timestamp::from_micros(identity.detected_us),
            &beacon,
            Timestamp::from_micros(identity.accepted_us),
        );
        assert!(accepted.is_ok(), "the limit leaves room");
        if let Ok(position) = accepted {
            self.window.stored(position.after());
        }
    }

    fn is_duplicate(&self, (id, detected_us): &(Id, i64)) -> bool {
        let beacon = BeaconId::from_bytes([3; 16]);
        let standing = self.window.check(self.hasher.key(id), Timestamp::from_micros(*detected_us), &beacon);
        standing != Standing::Clear
    }

    /// Duplicates among the sightings of a frame, with their memory read ahead.
    fn duplicates_in_frame(&self, frame: &[(Id, i64)]) -> usize {
        let beacon = BeaconId::from_bytes([3; 16]);
        let keyed: Vec<(CustomerKey, Timestamp)> =
            frame.iter().map(|(id, us)| (self.hasher.key(id), Timestamp::from_micros(*us))).collect();
        keyed.iter().for_each(|(key, at)| self.window.read_ahead(*key, *at));
        keyed.iter().filter(|(key, at)| self.window.check(*key, *at, &beacon) != Standing::Clear).count()
    }

    fn grown(identity: impl Fn(u64) -> Identity) -> Self {
        let mut window = Self::new();
        (0..CUSTOMERS).for_each(|number| window.accept(identity(number)));
        window
    }
}

/// The obvious way: the last time a customer was identified, by id.
#[derive(Default)]
struct Plain(HashMap<Vec<u8>, i64>);

impl Plain {
    fn accept(&mut self, identity: Identity) {
        self.0.insert(identity.id.to_vec(), identity.detected_us);
    }

    fn is_duplicate(&self, (id, detected_us): &(Id, i64)) -> bool {
        self.0.get(id.as_slice()).is_some_and(|last| last.abs_diff(*detected_us) < SPACING_US.unsigned_abs())
    }

    fn grown() -> Self {
        let mut plain = Self::default();
        (0..CUSTOMERS).for_each(|number| plain.accept(identity(number)));
        plain
    }
}

/// Resident memory in bytes; 0 where the system does not tell.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() * 1024
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Memory at 10 million customers, while as many again go through, and after all have left.
fn report_window_memory() {
    let before = resident_bytes();
    let mut window = Window::new();
    let mut most = 0.0_f64;
    for number in 0..CUSTOMERS {
        window.accept(identity(number));
        if number >= 1_000_000 && number.is_multiple_of(4096) {
            most = most.max(window.window.memory_bytes() as f64 / number as f64);
        }
    }
    let resident = resident_bytes() - before;
    eprintln!(
        "window: {:.0} MB allocated, {:.0} MB resident: {:.1} bytes a customer; allocated from 1 million on at most {most:.1}",
        megabytes(window.window.memory_bytes() as u64),
        megabytes(resident),
        resident as f64 / CUSTOMERS as f64,
    );
    for number in CUSTOMERS..2 * CUSTOMERS {
        let identity = identity(number);
        window.accept(identity);
        window.window.expire(Timestamp::from_micros(identity.accepted_us), 2);
    }
    eprintln!(
        "window: after 10 million more {} are kept, {:.0} MB allocated, {:.0} MB resident",
        window.window.len(),
        megabytes(window.window.memory_bytes() as u64),
        megabytes(resident_bytes() - before),
    );
    let calls = window.window.len() / 1024 + 2 * 256;
    for _ in 0..calls {
        window.window.expire(Timestamp::from_micros(i64::MAX), 1024);
    }
    eprintln!(
        "window: after all have left {} are kept, {:.1} MB allocated",
        window.window.len(),
        megabytes(window.window.memory_bytes() as u64)
    );
}

/// The longest single insert on the way to 10 million. The same insert rebuilds the same table in every
/// round, so what was slow in one round only was another process.
fn report_longest_insert() {
    const SLOW: Duration = Duration::from_micros(100);
    let mut slow: Option<HashMap<u64, Duration>> = None;
    for _round in 0..3 {
        let mut window = Window::new();
        let mut slow_now = HashMap::new();
        for number in 0..CUSTOMERS {
            let identity = identity(number);
            let took = timed(|| window.accept(identity));
            if took > SLOW {
                slow_now.insert(number, took);
            }
        }
        slow = Some(match slow {
            None => slow_now,
            Some(before) => {
                let both = before.into_iter();
                both.filter_map(|(number, took)| Some((number, took.min(*slow_now.get(&number)?)))).collect()
            }
        });
    }
    let slow = slow.unwrap_or_default();
    eprintln!(
        "window: longest insert {:?}, {} of {CUSTOMERS} over {SLOW:?} (each the best of 3)",
        slow.values().max().unwrap_or(&Duration::ZERO),
        slow.len()
    );
}

fn report_plain_memory() {
    let before = resident_bytes();
    let mut plain = Plain::default();
    let longest = (0..CUSTOMERS).map(|number| timed(|| plain.accept(identity(number)))).max();
    let resident = resident_bytes() - before;
    eprintln!(
        "plain map: {:.0} MB resident: {:.1} bytes a customer; longest insert {:?}",
        megabytes(resident),
        resident as f64 / CUSTOMERS as f64,
        longest.unwrap_or_default(),
    );
}

fn bench_keys(criterion: &mut Criterion) {
    let hasher = CustomerHasher::new([7; 16]);
    let mut group = criterion.benchmark_group("customer_key");
    group.throughput(Throughput::Elements(1));
    for bytes in [8, 16, 36, 64] {
        let id = vec![b'c'; bytes];
        group.bench_function(format!("{bytes}_bytes"), |bencher| {
            bencher.iter(|| -> CustomerKey { hasher.key(black_box(&id)) });
        });
    }
    group.finish();
}

fn bench_checks(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    sightings: &[(Id, i64)],
    duplicates: bool,
    is_duplicate: impl Fn(&(Id, i64)) -> bool,
) {
    group.throughput(Throughput::Elements(BATCH));
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            let found = sightings.iter().filter(|sighting| is_duplicate(sighting)).count();
            assert_eq!(found, if duplicates { sightings.len() } else { 0 });
        });
    });
}

fn bench_window(criterion: &mut Criterion) {
    bench_keys(criterion);
    let mut group = criterion.benchmark_group("window_10m");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    let known = sightings(identity, CUSTOMERS);
    let unknown = sightings(|number| identity(number + 4 * CUSTOMERS), CUSTOMERS);

    group.throughput(Throughput::Elements(CUSTOMERS));
    group.bench_function("insert", |bencher| {
        bencher.iter_custom(|rounds| (0..rounds).map(|_| timed(|| Window::grown(identity))).sum());
    });
    group.bench_function("insert_plain_map", |bencher| {
        bencher.iter_custom(|rounds| (0..rounds).map(|_| timed(Plain::grown)).sum());
    });

    let mut window = Window::grown(identity);
    bench_checks(&mut group, "check_duplicate", &known, true, |sighting| window.is_duplicate(sighting));
    bench_checks(&mut group, "check_unknown", &unknown, false, |sighting| window.is_duplicate(sighting));
    for (name, sightings, expected) in [
        ("check_duplicate_in_frames_of_64", &known, known.len()),
        ("check_unknown_in_frames_of_64", &unknown, 0),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let found: usize = sightings.chunks(64).map(|frame| window.duplicates_in_frame(frame)).sum();
                assert_eq!(found, expected);
            });
        });
    }
    let mut next = CUSTOMERS;
    group.bench_function("expire", |bencher| {
        bencher.iter_custom(|rounds| {
            (0..rounds)
                .map(|_| {
                    let took = timed(|| {
                        let gone: usize = (0..BATCH / 1024)
                            .map(|_| window.window.expire(Timestamp::from_micros(i64::MAX), 1024))
                            .sum();
                        assert_eq!(gone as u64, BATCH);
                    });
                    (next..next + BATCH).for_each(|number| window.accept(identity(number)));
                    next += BATCH;
                    took
                })
                .sum()
        });
    });
    drop(window);

    let staying = Window::grown(staying_identity);
    let known = sightings(staying_identity, CUSTOMERS);
    bench_checks(&mut group, "check_duplicate_staying", &known, true, |sighting| {
        staying.is_duplicate(sighting)
    });
    bench_checks(&mut group, "check_unknown_staying", &unknown, false, |sighting| {
        staying.is_duplicate(sighting)
    });
    eprintln!(
        "window of staying customers: {:.0} MB allocated",
        megabytes(staying.window.memory_bytes() as u64)
    );
    drop(staying);

    let known = sightings(identity, CUSTOMERS);
    let mut plain = Plain::grown();
    bench_checks(&mut group, "check_duplicate_plain_map", &known, true, |sighting| {
        plain.is_duplicate(sighting)
    });
    bench_checks(&mut group, "check_unknown_plain_map", &unknown, false, |sighting| {
        plain.is_duplicate(sighting)
    });
    let mut next = CUSTOMERS;
    group.bench_function("expire_plain_map", |bencher| {
        bencher.iter_custom(|rounds| {
            (0..rounds)
                .map(|_| {
                    let oldest_us = identity(next - CUSTOMERS + BATCH).detected_us;
                    let took = timed(|| plain.0.retain(|_, last| *last >= oldest_us));
                    (next..next + BATCH).for_each(|number| plain.accept(identity(number)));
                    next += BATCH;
                    took
                })
                .sum()
        });
    });
    group.finish();
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    let made = work();
    let took = start.elapsed();
    drop(made);
    took
}

criterion_group!(benches, bench_window);

/// Names the report a process is to print; each has one of its own, since memory that was given back
/// stays in the allocator for a while.
const REPORT: &str = "BEACOND_WINDOW_REPORT";

fn main() -> std::io::Result<()> {
    // `cargo test --benches` runs this too, but 10 million customers are no test.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let reports: [(&str, fn()); 3] = [
        ("window", report_window_memory),
        ("plain", report_plain_memory),
        ("longest", report_longest_insert),
    ];
    if let Some(wanted) = std::env::var_os(REPORT) {
        reports.iter().filter(|(name, _)| wanted == *name).for_each(|(_, report)| report());
        return Ok(());
    }
    for (name, _) in reports {
        std::process::Command::new(std::env::current_exe()?).arg("--bench").env(REPORT, name).status()?;
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
    Ok(())
}
