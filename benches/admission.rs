//! Admission end to end without a socket: frame bytes in, outcomes out, on one core.
//!
//! The reference is decoding the same frames and looking at every field: what admission costs is the difference.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a benchmark stops at what it does not expect"
)]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use beacon_protocol::{
    BeaconRef, Deframed, MAX_FRAME_BYTES, Message, SightingRef, Sightings, SightingsEncoder, TimeBase,
    deframe,
};
use beacond::domain::beacon::{Beacon, BeaconId, BeaconStatus};
use beacond::domain::clock::{ClockReading, TimeLimits};
use beacond::domain::confidence::ConfidenceSettings;
use beacond::domain::customer::CustomerId;
use beacond::domain::frame::AckLevel;
use beacond::domain::gateway::{Gateway, GatewayId, GatewayStatus, StoreScope};
use beacond::domain::identity::CustomerIdentity;
use beacond::domain::sighting::{BeaconClaim, ClaimedSighting};
use beacond::domain::time::Timestamp;
use beacond::journal::JournalSettings;
use beacond::latency::Latencies;
use beacond::pipeline::{
    Admitted, Admitter, BatchLimits, DirectorySettings, FrameClaim, Pipeline, PipelinePorts,
    PipelineSettings, Received, TierSettings,
};
use beacond::ports::{
    BatchWriter, Block, Clock, DeadLetter, DeadLetters, Delivery, PortFuture, StoreError, SystemOfRecord,
    WriteError,
};
use beacond::tasks::TaskGroup;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
const FRAMES: u64 = 6_000;
const SIGHTINGS: u64 = 64;
const BEACONS: u8 = 4;

fn admission(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut group = criterion.benchmark_group("admission");
    group.throughput(Throughput::Elements(FRAMES * SIGHTINGS)).sample_size(10);
    for (name, times_seen) in [("59 of 60 duplicates", 60), ("every sighting an identity", 1)] {
        let frames = frames(FRAMES * SIGHTINGS / times_seen);
        group.bench_function(format!("{name}/decode only"), |bencher| {
            bencher.iter(|| {
                for frame in &frames {
                    black_box(decode(frame).sightings().map(|s| u64::from(s.beacon_index)).sum::<u64>());
                }
            });
        });
        group.bench_function(format!("{name}/admit"), |bencher| {
            let mut pipelines = Vec::new();
            bencher.iter_batched(
                || {
                    let home = tempfile::tempdir().unwrap();
                    let pipeline = pipeline(home.path());
                    pipelines.push((Arc::clone(&pipeline), home));
                    (Admitter::new(pipeline, AckLevel::Journal), gateway())
                },
                |(mut admitter, gateway)| {
                    runtime.block_on(async {
                        for frame in &frames {
                            black_box(admit(&mut admitter, &gateway, frame).await);
                        }
                    });
                },
                BatchSize::PerIteration,
            );
            for (pipeline, _) in &pipelines {
                pipeline.close();
            }
        });
    }
    group.finish();
}

async fn admit(admitter: &mut Admitter, gateway: &Gateway, frame: &[u8]) -> Admitted {
    let frame = decode(frame);
    let claims: Vec<_> = frame
        .beacons()
        .map(|beacon| BeaconClaim {
            id: BeaconId::from_bytes(beacon.uuid),
            major: beacon.major,
            minor: beacon.minor,
        })
        .collect();
    let origin = Timestamp::from_micros(frame.base.origin(NOW.as_micros()));
    let sightings: Vec<_> = frame
        .sightings()
        .map(|sighting| ClaimedSighting {
            beacon_index: sighting.beacon_index,
            rssi_dbm: sighting.rssi_dbm,
            detected_at: origin.plus_micros(i64::from(sighting.time_offset_us)),
            customer_id: sighting.customer_id,
        })
        .collect();
    let claim = FrameClaim { boot_epoch: 1, sequence: frame.sequence, checksum: 0, answered_up_to: 0 };
    admitter.sightings(gateway, claim, &Received::now(&Stands), &claims, &sightings).await
}

fn decode(frame: &[u8]) -> Sightings<'_> {
    match deframe(frame, MAX_FRAME_BYTES) {
        Ok(Deframed::Frame { frame, .. }) => match Message::decode(frame) {
            Ok(Message::Sightings(sightings)) => sightings,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// Frames of sightings of so many customers in turn, scattered, all within a minute.
fn frames(customers: u64) -> Vec<Vec<u8>> {
    let beacons: Vec<_> = (0..BEACONS).map(|n| BeaconRef { uuid: [n; 16], major: 1, minor: 2 }).collect();
    (0..FRAMES)
        .map(|frame| {
            let mut buffer = vec![0; MAX_FRAME_BYTES];
            let base = TimeBase::Utc(NOW.as_micros() - 30_000_000);
            let mut encoder = SightingsEncoder::new(&mut buffer, frame + 1, base, &beacons).unwrap();
            for index in 0..SIGHTINGS {
                let nth = frame * SIGHTINGS + index;
                let customer = format!("customer{:08}", nth.wrapping_mul(2_654_435_761) % customers);
                encoder
                    .push(&SightingRef {
                        beacon_index: (nth % u64::from(BEACONS)) as u8,
                        rssi_dbm: -50,
                        time_offset_us: (nth / 8) as i32,
                        customer_id: customer.as_bytes(),
                    })
                    .unwrap();
            }
            let length = encoder.finish().unwrap();
            buffer.truncate(length);
            buffer
        })
        .collect()
}

fn gateway() -> Gateway {
    Gateway { id: "g".parse().unwrap(), stores: StoreScope::Every, status: GatewayStatus::Active }
}

fn pipeline(home: &Path) -> Arc<Pipeline> {
    let batch = BatchLimits { rows: 5_000, bytes: 4 << 20, age: Duration::from_millis(5) };
    let settings = PipelineSettings {
        time: TimeLimits::default(),
        confidence: ConfidenceSettings::default(),
        horizon_us: 900_000_000,
        window_entries: 10_000_000,
        queue_rows: 1_000_000,
        frames_remembered: 100_000,
        journal: JournalSettings {
            directory: home.join("journal"),
            segment_bytes: 64 << 20,
            max_bytes: 8 << 30,
        },
        batch,
        events_batch: batch,
        question_timeout: Duration::from_secs(2),
        directory: DirectorySettings::default(),
        tiers: TierSettings::default(),
    };
    let ports = PipelinePorts {
        record: Arc::new(Registered),
        beacon_cache: None,
        record_writer: ("nowhere", Box::new(Discards)),
        events_writer: None,
        latest: None,
        dead_letters: Arc::new(Discards),
        clock: Arc::new(Stands),
        latencies: Arc::new(Latencies::new()),
        refreshes: TaskGroup::new("refreshes"),
    };
    let (pipeline, _writers) = Pipeline::start(&settings, ports, [1; 16]).unwrap();
    pipeline.past_known(None);
    pipeline
}

#[derive(Debug)]
struct Stands;

impl Clock for Stands {
    fn read(&self) -> ClockReading {
        ClockReading::agreed(NOW)
    }
}

/// A record that knows every beacon and holds nothing.
#[derive(Debug)]
struct Registered;

impl SystemOfRecord for Registered {
    fn beacon(&self, id: BeaconId) -> PortFuture<'_, Result<Option<Beacon>, StoreError>> {
        let beacon = Beacon {
            id,
            store_id: "s".parse().unwrap(),
            major: 1,
            minor: 2,
            location: "Table 3".parse().ok(),
            location_type: None,
            status: BeaconStatus::Active,
            updated_at: NOW,
        };
        Box::pin(async { Ok(Some(beacon)) })
    }

    fn gateway(&self, _: GatewayId) -> PortFuture<'_, Result<Option<Gateway>, StoreError>> {
        Box::pin(async { Ok(None) })
    }

    fn identities_near(
        &self,
        _: Vec<(CustomerId, Timestamp)>,
    ) -> PortFuture<'_, Result<Vec<CustomerIdentity>, StoreError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn newest_identity(&self) -> PortFuture<'_, Result<Option<Timestamp>, StoreError>> {
        Box::pin(async { Ok(None) })
    }
}

/// A store that takes everything at once.
#[derive(Debug)]
struct Discards;

impl BatchWriter for Discards {
    fn write(&mut self, _: &[Arc<Block>], _: Delivery) -> Result<(), WriteError> {
        Ok(())
    }
}

impl DeadLetters for Discards {
    fn keep(&self, _: &DeadLetter) -> Result<(), StoreError> {
        Ok(())
    }
}

criterion_group!(benches, admission);
criterion_main!(benches);
