//! What recording times costs: one call, beside one histogram that all threads share behind a lock.
#![expect(clippy::unwrap_used, reason = "a benchmark stops at what it does not expect")]

use std::hint::black_box;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use beacond::latency::{Latencies, STAGES, Stage};
use criterion::{Criterion, criterion_group, criterion_main};
use hdrhistogram::Histogram;

const SIGHTINGS: u64 = 64;

/// The stages of a frame that its session's thread records.
const OF_A_FRAME: [Stage; 4] = [Stage::Decode, Stage::AdmitMemory, Stage::Answer, Stage::ReceivedToAcked];

fn recording(criterion: &mut Criterion) {
    for threads in [1, 2] {
        let mut group = criterion.benchmark_group(format!("latency/{threads} threads"));
        let latencies = Latencies::new();
        group.bench_function("record", |bencher| {
            bencher.iter_custom(|calls| {
                timed(threads, calls, |stage, took| latencies.record(stage, took, SIGHTINGS))
            });
        });
        let shared: [Mutex<Histogram<u64>>; STAGES] =
            std::array::from_fn(|_| Mutex::new(Histogram::new_with_bounds(1, 3_600_000_000, 2).unwrap()));
        group.bench_function("one histogram behind a lock", |bencher| {
            bencher.iter_custom(|calls| {
                timed(threads, calls, |stage, took| {
                    let micros = u64::try_from(took.as_micros()).unwrap();
                    shared[stage as usize].lock().unwrap().saturating_record_n(micros, SIGHTINGS);
                })
            });
        });
        group.finish();
    }
    let latencies = Latencies::new();
    timed(2, 1_000_000, |stage, took| latencies.record(stage, took, SIGHTINGS));
    criterion.bench_function("latency/read a stage", |bencher| {
        bencher.iter(|| black_box(latencies.read(Stage::ReceivedToAcked)));
    });
}

/// The time of `calls` on each of `threads` at once, with times from a few microseconds to a second.
fn timed(threads: u64, calls: u64, record: impl Fn(Stage, Duration) + Sync) -> Duration {
    let begun_at = Instant::now();
    thread::scope(|scope| {
        for thread in 0..threads {
            let record = &record;
            scope.spawn(move || {
                let mut random = thread + 1;
                for stage in OF_A_FRAME.into_iter().cycle().take(usize::try_from(calls).unwrap()) {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    let took = Duration::from_nanos((random >> 34) >> (random >> 20 & 15));
                    record(stage, black_box(took));
                }
            });
        }
    });
    begun_at.elapsed()
}

criterion_group!(benches, recording);
criterion_main!(benches);
