//! Sightings put into a frame.

use beacon_protocol::{BeaconRef, MAX_FRAME_BYTES, SightingRef, SightingsEncoder, TimeBase};

use crate::sighting::Sighting;

/// A frame of as many of the sightings as fit, and how many that are; none if not one does.
pub(super) fn encode(sequence: u64, sightings: &[Sighting], max_bytes: usize) -> Option<(Vec<u8>, usize)> {
    let base_us = sightings.first()?.at_us;
    let mut beacons: Vec<BeaconRef> = Vec::new();
    for sighting in sightings {
        if !beacons.contains(&sighting.heard()) {
            beacons.push(sighting.heard());
        }
    }
    let mut buffer = vec![0; max_bytes.min(MAX_FRAME_BYTES)];
    let mut encoder = SightingsEncoder::new(&mut buffer, sequence, TimeBase::Utc(base_us), &beacons).ok()?;
    let mut fitted = 0;
    for sighting in sightings {
        let index = beacons.iter().position(|beacon| *beacon == sighting.heard())?;
        // A time too far from the first goes with another frame.
        let Ok(time_offset_us) = i32::try_from(sighting.at_us - base_us) else { break };
        let customer_id = sighting.customer_id();
        let beacon_index = u8::try_from(index).ok()?;
        let sighting = SightingRef {
            beacon_index,
            rssi_dbm: sighting.rssi_dbm,
            time_offset_us,
            customer_id: &customer_id,
        };
        if encoder.push(&sighting).is_err() {
            break;
        }
        fitted += 1;
    }
    let length = encoder.finish().ok()?;
    buffer.truncate(length);
    Some((buffer, fitted))
}
