//! Frames a gateway sends, sound ones by the codec and broken ones by hand.

use std::sync::atomic::{AtomicU64, Ordering};

use beacon_protocol::{
    AckLevel, BeaconRef, Goodbye, GoodbyeReason, Hello, MAX_FRAME_BYTES, Ping, PreferencesEncoder,
    SightingRef, SightingsEncoder, TimeBase,
};

use crate::model::Sighting;

/// Bytes before a frame's body.
pub(crate) const HEADER_BYTES: usize = 12;

/// A boot epoch that no gateway of this test has had: frames of another numbering are other frames.
pub(crate) fn new_epoch() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(1_000);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// The hello of a gateway that starts at sequence 1, at the level at which what is answered can be looked at in the store.
pub(crate) fn hello(gateway_id: &str) -> Hello<'_> {
    Hello {
        min_version: 1,
        max_version: 1,
        ack_level: Some(AckLevel::Stored),
        boot_epoch: 1,
        first_unacked: 1,
        client_random: [7; 32],
        gateway_id,
        auth_method: 0,
        auth: &[],
    }
}

pub(crate) fn encoded_hello(hello: &Hello<'_>) -> Vec<u8> {
    frame(|buffer| hello.encode(buffer).unwrap())
}

/// A sightings frame with their times in UTC.
pub(crate) fn sightings(sequence: u64, sightings: &[Sighting]) -> Vec<u8> {
    let base_us = sightings[0].detected_at_us;
    sightings_from(sequence, TimeBase::Utc(base_us), base_us, sightings)
}

/// A sightings frame with times as ages: the base is `age_us` ago, and stands for `base_us` of the sightings.
pub(crate) fn aged_sightings(sequence: u64, age_us: i64, base_us: i64, sightings: &[Sighting]) -> Vec<u8> {
    sightings_from(sequence, TimeBase::Age(age_us), base_us, sightings)
}

fn sightings_from(sequence: u64, base: TimeBase, base_us: i64, sightings: &[Sighting]) -> Vec<u8> {
    let mut beacons: Vec<BeaconRef> = Vec::new();
    let beacon_of = |sighting: &Sighting| BeaconRef {
        uuid: sighting.beacon.into_bytes(),
        major: sighting.major,
        minor: sighting.minor,
    };
    for beacon in sightings.iter().map(beacon_of) {
        if !beacons.contains(&beacon) {
            beacons.push(beacon);
        }
    }
    frame(|buffer| {
        let mut encoder = SightingsEncoder::new(buffer, sequence, base, &beacons).unwrap();
        for sighting in sightings {
            let index = beacons.iter().position(|beacon| *beacon == beacon_of(sighting)).unwrap();
            let offset_us = sighting.detected_at_us - base_us;
            encoder
                .push(&SightingRef {
                    beacon_index: u8::try_from(index).unwrap(),
                    rssi_dbm: sighting.rssi_dbm,
                    time_offset_us: i32::try_from(offset_us).unwrap(),
                    customer_id: &sighting.customer_id,
                })
                .unwrap();
        }
        encoder.finish().unwrap()
    })
}

/// Sightings in frames of at most 64, in their order; a time too far from a frame's first begins another.
pub(crate) fn batches(sightings: &[Sighting]) -> Vec<&[Sighting]> {
    let mut batches = Vec::new();
    let mut rest = sightings;
    while let Some(first) = rest.first() {
        let near =
            |sighting: &&Sighting| i32::try_from(sighting.detected_at_us - first.detected_at_us).is_ok();
        let count = rest.iter().take(64).take_while(near).count();
        let (batch, more) = rest.split_at(count);
        batches.push(batch);
        rest = more;
    }
    batches
}

/// A preferences frame.
pub(crate) fn preferences(
    sequence: u64,
    updated_at_us: i64,
    customer: &[u8],
    pairs: &[(&[u8], &[u8])],
) -> Vec<u8> {
    frame(|buffer| {
        let base = TimeBase::Utc(updated_at_us);
        let mut encoder = PreferencesEncoder::new(buffer, sequence, base, customer).unwrap();
        for (key, value) in pairs {
            encoder.push(key, value).unwrap();
        }
        encoder.finish().unwrap()
    })
}

pub(crate) fn ping(token: u64) -> Vec<u8> {
    frame(|buffer| Ping { token, time_us: 0 }.encode(buffer).unwrap())
}

pub(crate) fn leaving(deadline_ms: u32) -> Vec<u8> {
    let goodbye = Goodbye { reason: GoodbyeReason::Leaving, deadline_ms };
    frame(|buffer| goodbye.encode(buffer).unwrap())
}

/// A frame of any version and kind around any body, with the right length and checksum.
pub(crate) fn raw(version: u8, kind: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xBE, 0xAC, version, kind];
    frame.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
    let checksum = crc32c(&[&frame, body].concat());
    frame.extend(checksum.to_be_bytes());
    frame.extend(body);
    frame
}

/// CRC-32C bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut rest = u32::MAX;
    for byte in bytes {
        rest ^= u32::from(*byte);
        for _ in 0..8 {
            rest = if rest & 1 == 1 { (rest >> 1) ^ 0x82F6_3B78 } else { rest >> 1 };
        }
    }
    !rest
}

fn frame(encode: impl FnOnce(&mut [u8]) -> usize) -> Vec<u8> {
    let mut buffer = vec![0; MAX_FRAME_BYTES];
    let length = encode(&mut buffer);
    buffer.truncate(length);
    buffer
}
