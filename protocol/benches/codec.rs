//! Encode and decode of a batch of 64 sightings over 4 beacons, beside prost and serde_json on the same data.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark of generated data, read by people"
)]

use std::hint::black_box;

use beacon_protocol::{
    BeaconRef, Deframed, MAX_FRAME_BYTES, Message, SightingRef, SightingsEncoder, TimeBase, deframe,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use prost::Message as _;
use serde::{Deserialize, Serialize};

const SIGHTINGS: u64 = 64;
const BEACONS: u16 = 4;
const BASE_TIME_US: i64 = 1_800_000_000_000_000;

/// The batch as a generic format carries it: the same numbers, beacons once, indices after.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
struct Batch {
    #[prost(uint64, tag = "1")]
    sequence: u64,
    #[prost(sfixed64, tag = "2")]
    base_time_us: i64,
    #[prost(message, repeated, tag = "3")]
    beacons: Vec<Beacon>,
    #[prost(message, repeated, tag = "4")]
    sightings: Vec<Sighting>,
}

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
struct Beacon {
    #[prost(bytes = "vec", tag = "1")]
    uuid: Vec<u8>,
    #[prost(uint32, tag = "2")]
    major: u32,
    #[prost(uint32, tag = "3")]
    minor: u32,
}

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
struct Sighting {
    #[prost(uint32, tag = "1")]
    beacon_index: u32,
    #[prost(sint32, tag = "2")]
    rssi_dbm: i32,
    #[prost(sint32, tag = "3")]
    time_offset_us: i32,
    #[prost(string, tag = "4")]
    customer_id: String,
}

fn batch() -> Batch {
    let beacon = |minor: u16| Beacon { uuid: vec![0xA7; 16], major: 100, minor: u32::from(minor) };
    let sighting = |index: i32| Sighting {
        beacon_index: u32::try_from(index).unwrap() % u32::from(BEACONS),
        rssi_dbm: -60 - index % 30,
        time_offset_us: index * 1_703,
        customer_id: format!("cust{:012}", i64::from(index) * 7_919_317),
    };
    let sightings = (0..i32::try_from(SIGHTINGS).unwrap()).map(sighting).collect();
    let beacons = (0..BEACONS).map(beacon).collect();
    Batch { sequence: 77, base_time_us: BASE_TIME_US, beacons, sightings }
}

fn beacons(batch: &Batch) -> Vec<BeaconRef> {
    let beacon = |beacon: &Beacon| BeaconRef {
        uuid: beacon.uuid.as_slice().try_into().unwrap(),
        major: u16::try_from(beacon.major).unwrap(),
        minor: u16::try_from(beacon.minor).unwrap(),
    };
    batch.beacons.iter().map(beacon).collect()
}

fn sightings(batch: &Batch) -> Vec<SightingRef<'_>> {
    let sighting = |sighting: &'_ Sighting| {
        (
            u8::try_from(sighting.beacon_index).unwrap(),
            i8::try_from(sighting.rssi_dbm).unwrap(),
            sighting.time_offset_us,
        )
    };
    let with_id = |seen| {
        let (beacon_index, rssi_dbm, time_offset_us) = sighting(seen);
        SightingRef { beacon_index, rssi_dbm, time_offset_us, customer_id: seen.customer_id.as_bytes() }
    };
    batch.sightings.iter().map(with_id).collect()
}

fn encode_beacon(buffer: &mut [u8], beacons: &[BeaconRef], sightings: &[SightingRef<'_>]) -> usize {
    let mut encoder = SightingsEncoder::new(buffer, 77, TimeBase::Utc(BASE_TIME_US), beacons).unwrap();
    for sighting in sightings {
        encoder.push(sighting).unwrap();
    }
    encoder.finish().unwrap()
}

/// What admission does with every format: looks at each field of each sighting.
fn decode_beacon(frame: &[u8]) -> i64 {
    let Deframed::Frame { frame, .. } = deframe(frame, MAX_FRAME_BYTES).unwrap() else { unreachable!() };
    let Message::Sightings(batch) = Message::decode(frame).unwrap() else { unreachable!() };
    let mut sum = 0_i64;
    for sighting in batch.sightings() {
        let detected_at_us = batch.base.resolve(0, sighting.time_offset_us);
        let first = sighting.customer_id.first().copied().unwrap_or(0);
        sum = sum
            .wrapping_add(detected_at_us)
            .wrapping_add(i64::from(sighting.rssi_dbm))
            .wrapping_add(i64::from(sighting.beacon_index))
            .wrapping_add(i64::from(first));
    }
    sum
}

fn read_batch(batch: &Batch) -> i64 {
    let mut sum = 0_i64;
    for sighting in &batch.sightings {
        let first = sighting.customer_id.as_bytes().first().copied().unwrap_or(0);
        sum = sum
            .wrapping_add(batch.base_time_us + i64::from(sighting.time_offset_us))
            .wrapping_add(i64::from(sighting.rssi_dbm))
            .wrapping_add(i64::from(sighting.beacon_index))
            .wrapping_add(i64::from(first));
    }
    sum
}

fn benchmarks(criterion: &mut Criterion) {
    let batch = batch();
    let (beacons, sightings) = (beacons(&batch), sightings(&batch));
    let mut buffer = vec![0; MAX_FRAME_BYTES];
    let length = encode_beacon(&mut buffer, &beacons, &sightings);
    let frame = buffer[..length].to_vec();
    let protobuf = batch.encode_to_vec();
    let json = serde_json::to_vec(&batch).unwrap();
    assert_eq!(decode_beacon(&frame), read_batch(&batch));
    println!("bytes a batch: beacon {}, prost {}, serde_json {}", frame.len(), protobuf.len(), json.len());

    let mut group = criterion.benchmark_group("encode_64");
    group.throughput(Throughput::Elements(SIGHTINGS));
    group.bench_function("beacon", |bench| {
        bench.iter(|| encode_beacon(black_box(&mut buffer), &beacons, black_box(&sightings)));
    });
    let mut output = Vec::with_capacity(json.len() * 2);
    group.bench_function("prost", |bench| {
        bench.iter(|| {
            output.clear();
            black_box(&batch).encode(&mut output).unwrap();
        });
    });
    group.bench_function("serde_json", |bench| {
        bench.iter(|| {
            output.clear();
            serde_json::to_writer(&mut output, black_box(&batch)).unwrap();
        });
    });
    group.finish();

    let mut group = criterion.benchmark_group("decode_64");
    group.throughput(Throughput::Elements(SIGHTINGS));
    group.bench_function("beacon", |bench| bench.iter(|| decode_beacon(black_box(&frame))));
    group.bench_function("prost", |bench| {
        bench.iter(|| read_batch(&Batch::decode(black_box(protobuf.as_slice())).unwrap()));
    });
    group.bench_function("serde_json", |bench| {
        bench.iter(|| read_batch(&serde_json::from_slice(black_box(&json)).unwrap()));
    });
    group.finish();
}

criterion_group!(codec, benchmarks);
criterion_main!(codec);
