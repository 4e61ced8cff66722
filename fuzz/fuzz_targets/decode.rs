//! Any bytes as the body of any kind, with a right header: decoded or refused, and what is decoded can be read through.
#![no_main]

use beacon_protocol::{MAX_FRAME_BYTES, Message, TimeBase, deframe_whole};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&kind, body)) = input.split_first() else { return };
    if body.len() > MAX_FRAME_BYTES - 12 {
        return;
    }
    let mut frame = vec![0xBE, 0xAC, 1, kind];
    frame.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&frame), body);
    frame.extend(checksum.to_be_bytes());
    frame.extend(body);
    let raw = deframe_whole(&frame, MAX_FRAME_BYTES).expect("a right header");
    match Message::decode(raw) {
        Ok(Message::Sightings(batch)) => {
            assert_eq!(batch.sightings().count(), usize::from(batch.sighting_count()));
            for seen in batch.sightings() {
                assert!(batch.beacon(seen.beacon_index).is_some());
                let _ = batch.base.resolve(i64::MAX, seen.time_offset_us);
            }
            let same = batch.identity_checksum() == raw.checksum();
            assert!(same || matches!(batch.base, TimeBase::Age(_)));
        }
        Ok(Message::Ack(ack)) => {
            assert_eq!(ack.records().count(), usize::from(ack.record_count()));
            for record in ack.records() {
                assert_eq!(record.exceptions().count(), record.exception_count());
                let _ = ack.has_received(record.sequence);
            }
        }
        Ok(Message::Preferences(preferences)) => {
            assert_eq!(preferences.pairs().count(), usize::from(preferences.pair_count()));
        }
        Ok(_) => {}
        Err(error) => assert!(error.to_string().len() <= 255 && error.refusal_code().number() > 0),
    }
});
