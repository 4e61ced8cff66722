//! Cuts tracks into batches, each of which fits one frame.

use beacon_protocol::{
    BEACON_BYTES, BeaconRef, HEADER_BYTES, MAX_BEACONS, MAX_SIGHTINGS, SIGHTING_HEAD_BYTES,
    SIGHTINGS_HEAD_BYTES,
};

use crate::tracks::Tracks;

/// What one frame may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchLimits {
    /// Sightings, 1 to [`MAX_SIGHTINGS`].
    pub(crate) sightings: usize,
    /// The whole frame. The first sighting of a batch is in it in any case.
    pub(crate) frame_bytes: usize,
    /// By how much a clone may lengthen each customer id.
    pub(crate) added_id_bytes: usize,
}

/// Consecutive sightings of the tracks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    /// Microseconds since the Unix epoch, from which the sightings' times count.
    pub(crate) base_time_us: i64,
    /// The beacons in it, once each.
    pub(crate) beacons: Vec<BeaconRef>,
    /// In the order of the tracks; at least one.
    pub(crate) sightings: Vec<BatchSighting>,
}

/// A sighting as its frame tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchSighting {
    /// Its place in [`Batch::beacons`].
    pub(crate) beacon_index: u8,
    pub(crate) rssi_dbm: i8,
    /// After (or before) [`Batch::base_time_us`].
    pub(crate) time_offset_us: i32,
    /// Its place in [`Tracks::customers`].
    pub(crate) customer: usize,
}

impl Batch {
    /// The latest time in it.
    pub(crate) fn latest_us(&self) -> i64 {
        let latest = self.sightings.iter().map(|sighting| sighting.time_offset_us).max();
        self.base_time_us.saturating_add(latest.unwrap_or_default().into())
    }
}

/// Makes one batch after the other, so that only one is in memory at a time.
#[derive(Debug)]
pub(crate) struct Batches<'a> {
    tracks: &'a Tracks,
    limits: BatchLimits,
    next: usize,
    /// Places of the batch's beacons in the tracks, in the order of its table.
    beacons: Vec<usize>,
}

impl<'a> Batches<'a> {
    pub(crate) fn of(tracks: &'a Tracks, limits: BatchLimits) -> Self {
        Self {
            tracks,
            limits: BatchLimits { sightings: limits.sightings.clamp(1, MAX_SIGHTINGS), ..limits },
            next: 0,
            beacons: Vec::new(),
        }
    }
}

impl Iterator for Batches<'_> {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let rest = self.tracks.sightings.get(self.next..)?;
        let base_time_us = rest.first()?.detected_at_us;
        let mut bytes = HEADER_BYTES + SIGHTINGS_HEAD_BYTES;
        let mut sightings = Vec::with_capacity(self.limits.sightings.min(rest.len()));
        self.beacons.clear();
        for sighting in rest.iter().take(self.limits.sightings) {
            let known = self.beacons.iter().position(|&beacon| beacon == sighting.beacon);
            let beacon_index = known.unwrap_or(self.beacons.len());
            let id = &self.tracks.customers[sighting.customer].id;
            bytes += SIGHTING_HEAD_BYTES + id.len() + self.limits.added_id_bytes;
            bytes += if known.is_none() { BEACON_BYTES } else { 0 };
            let offset = sighting.detected_at_us.checked_sub(base_time_us).map(i32::try_from);
            let (Some(Ok(time_offset_us)), Ok(beacon_index)) = (offset, u8::try_from(beacon_index)) else {
                break;
            };
            if usize::from(beacon_index) == MAX_BEACONS
                || bytes > self.limits.frame_bytes && !sightings.is_empty()
            {
                break;
            }
            if known.is_none() {
                self.beacons.push(sighting.beacon);
            }
            sightings.push(BatchSighting {
                beacon_index,
                rssi_dbm: sighting.rssi_dbm,
                time_offset_us,
                customer: sighting.customer,
            });
        }
        self.next += sightings.len();
        Some(Batch {
            base_time_us,
            beacons: self.beacons.iter().map(|&beacon| self.tracks.beacons[beacon]).collect(),
            sightings,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracks::{TrackCustomer, TrackSighting};

    const ROOMY: BatchLimits = BatchLimits { sightings: 64, frame_bytes: 65_536, added_id_bytes: 0 };

    /// One customer with a 16-byte id at these times and beacons.
    fn tracks(seen: impl IntoIterator<Item = (i64, usize)>) -> Tracks {
        let sightings: Vec<_> = seen
            .into_iter()
            .map(|(detected_at_us, beacon)| TrackSighting {
                detected_at_us,
                customer: 0,
                beacon,
                rssi_dbm: -60,
            })
            .collect();
        let beacons = sightings.iter().map(|sighting| sighting.beacon + 1).max().unwrap_or(0);
        Tracks {
            customers: vec![TrackCustomer { id: [b'x'; 16].into(), line: 2 }],
            beacons: (0..beacons)
                .map(|beacon| BeaconRef { uuid: [0; 16], major: 0, minor: u16::try_from(beacon).unwrap() })
                .collect(),
            sightings,
            ..Tracks::default()
        }
    }

    fn sizes(tracks: &Tracks, limits: BatchLimits) -> Vec<usize> {
        Batches::of(tracks, limits).map(|batch| batch.sightings.len()).collect()
    }

    /// Whatever the cuts, the frames say what the file says, in its order.
    #[test]
    fn batches_put_together_are_the_tracks() {
        let far = i64::from(i32::MAX);
        let tracks =
            tracks((0..1_000).map(|n| ((n * 7 % 13 - 6) * far / 5, usize::try_from(n * n % 300).unwrap())));
        for sightings in [1, 7, 64] {
            let limits = BatchLimits { sightings, frame_bytes: 1_180, added_id_bytes: 4 };
            let again: Vec<_> = Batches::of(&tracks, limits)
                .flat_map(|batch| {
                    let minor = |index: u8| batch.beacons[usize::from(index)].minor;
                    let told: Vec<_> = batch
                        .sightings
                        .iter()
                        .map(|s| {
                            (
                                batch.base_time_us + i64::from(s.time_offset_us),
                                usize::from(minor(s.beacon_index)),
                            )
                        })
                        .collect();
                    told
                })
                .collect();
            let original: Vec<_> = tracks.sightings.iter().map(|s| (s.detected_at_us, s.beacon)).collect();
            assert_eq!(again, original);
        }
    }

    #[test]
    fn a_time_no_offset_can_tell_starts_a_frame() {
        let far = i64::from(i32::MAX);
        assert_eq!(sizes(&tracks([(0, 0), (far, 0), (far + 1, 0), (0, 0)]), ROOMY), [2, 2]);
        assert_eq!(sizes(&tracks([(i64::MIN, 0), (i64::MAX, 0), (0, 0)]), ROOMY), [1, 1, 1]);
    }

    #[test]
    fn a_beacon_past_the_table_starts_a_frame() {
        let limits = BatchLimits { sightings: 4_096, ..ROOMY };
        assert_eq!(sizes(&tracks((0..512).map(|n| (0, n))), limits), [255, 255, 2]);
    }

    #[test]
    fn a_frame_keeps_its_limits_of_sightings_and_bytes() {
        let tracks = tracks((0..100).map(|_| (0, 0)));
        assert_eq!(sizes(&tracks, ROOMY), [64, 36]);
        // Head 12 + 20, beacon 20, then 7 + 16 + 2 a sighting.
        let tight = BatchLimits { sightings: 64, frame_bytes: 52 + 40 * 25, added_id_bytes: 2 };
        assert_eq!(sizes(&tracks, tight), [40, 40, 20]);
        let too_tight = BatchLimits { frame_bytes: 10, ..ROOMY };
        assert_eq!(sizes(&tracks, too_tight), [1; 100]);
    }
}
