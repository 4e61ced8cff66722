//! Frames a gateway encodes from any values: written whole or refused, and read back as they were.
#![no_main]

use beacon_protocol::{
    BeaconRef, MAX_FRAME_BYTES, Message, SightingRef, SightingsEncoder, TimeBase, deframe_whole, set_age,
};
use libfuzzer_sys::fuzz_target;

/// Sequence, time, whether it is an age, buffer length, beacons, sightings.
type Input = (u64, i64, bool, u16, Vec<(u128, u16, u16)>, Vec<(u8, i8, i32, Vec<u8>)>);

fuzz_target!(|input: Input| {
    let (sequence, base, ages, room, beacons, sightings) = input;
    let base = if ages { TimeBase::Age(base) } else { TimeBase::Utc(base) };
    let beacon =
        |&(uuid, major, minor): &(u128, u16, u16)| BeaconRef { uuid: uuid.to_be_bytes(), major, minor };
    let beacons: Vec<_> = beacons.iter().map(beacon).collect();
    let mut buffer = vec![0; usize::from(room)];
    let Ok(mut encoder) = SightingsEncoder::new(&mut buffer, sequence, base, &beacons) else { return };
    let mut taken = Vec::new();
    for (beacon_index, rssi_dbm, time_offset_us, customer_id) in &sightings {
        let (beacon_index, rssi_dbm, time_offset_us) = (*beacon_index, *rssi_dbm, *time_offset_us);
        let seen = SightingRef { beacon_index, rssi_dbm, time_offset_us, customer_id };
        if encoder.push(&seen).is_ok() {
            taken.push(seen);
        }
    }
    let Ok(length) = encoder.finish() else { return };
    let frame = &mut buffer[..length];
    let Message::Sightings(batch) = Message::decode(deframe_whole(frame, MAX_FRAME_BYTES).unwrap()).unwrap()
    else {
        panic!("not sightings")
    };
    assert!(batch.sequence == sequence && batch.base == base);
    assert!(batch.beacons().eq(beacons) && batch.sightings().eq(taken));
    let identity = batch.identity_checksum();
    if ages && set_age(frame, 5).is_ok() {
        let Message::Sightings(aged) =
            Message::decode(deframe_whole(frame, MAX_FRAME_BYTES).unwrap()).unwrap()
        else {
            panic!("not sightings any more")
        };
        assert_eq!(aged.identity_checksum(), identity);
    }
});
