//! Encodes a batch as the frame that a clone of the tracks sends.

use beacon_protocol::client::OutgoingFrame;
use beacon_protocol::{EncodeError, SightingRef, TimeBase};

use crate::batches::Batch;
use crate::clones::write_id;
use crate::tracks::Tracks;

/// The frame of a batch, its customers' ids lengthened by a clone's suffix.
pub(crate) fn frame(tracks: &Tracks, batch: &Batch, suffix: &str) -> Result<OutgoingFrame, EncodeError> {
    let mut ids = Vec::new();
    let mut ends = Vec::with_capacity(batch.sightings.len());
    for sighting in &batch.sightings {
        write_id(&tracks.customers[sighting.customer].id, suffix, &mut ids);
        ends.push(ids.len());
    }
    let mut start = 0;
    let sightings: Vec<_> = batch
        .sightings
        .iter()
        .zip(&ends)
        .map(|(sighting, &end)| SightingRef {
            beacon_index: sighting.beacon_index,
            rssi_dbm: sighting.rssi_dbm,
            time_offset_us: sighting.time_offset_us,
            customer_id: &ids[std::mem::replace(&mut start, end)..end],
        })
        .collect();
    OutgoingFrame::sightings(TimeBase::Utc(batch.base_time_us), &batch.beacons, &sightings)
}
