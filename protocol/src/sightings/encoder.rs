//! Writes a batch of sightings into a buffer of the caller's, without an allocator.

use super::{BeaconRef, SIGHTING_HEAD_BYTES, SightingRef};
use crate::codec::Writer;
use crate::error::{EncodeError, Field};
use crate::framing::{begin_frame, seal_frame};
use crate::header::{HEADER_BYTES, Kind};
use crate::limits::MAX_SIGHTINGS;
use crate::time::TimeBase;

/// Where in the frame the number of sightings stands.
const SIGHTING_COUNT_OFFSET: usize = HEADER_BYTES + 18;

/// A frame of sightings in the making.
///
/// The frame becomes no longer than the buffer: pass one cut to the welcome's `max_frame_bytes`, or to
/// `max_datagram_bytes` less the datagram header.
#[derive(Debug)]
pub struct SightingsEncoder<'b> {
    writer: Writer<'b>,
    beacon_count: u8,
    sighting_count: u16,
}

impl<'b> SightingsEncoder<'b> {
    /// Begins a frame with its table of beacons.
    ///
    /// # Errors
    /// No room, sequence zero, an age below zero, no beacon or more than 255.
    pub fn new(
        buffer: &'b mut [u8],
        sequence: u64,
        base: TimeBase,
        beacons: &[BeaconRef],
    ) -> Result<Self, EncodeError> {
        if sequence == 0 {
            return Err(EncodeError::Field { field: Field::Sequence });
        }
        let beacon_count = match u8::try_from(beacons.len()) {
            Ok(count) if count > 0 => count,
            _ => {
                return Err(EncodeError::Field { field: Field::BeaconCount });
            }
        };
        let (base, flags) = base.to_wire()?;
        let mut writer = begin_frame(buffer)?;
        writer.u64(sequence)?;
        writer.i64(base)?;
        writer.u8(flags)?;
        writer.u8(beacon_count)?;
        writer.u16(0)?;
        for beacon in beacons {
            writer.bytes(&beacon.uuid)?;
            writer.u16(beacon.major)?;
            writer.u16(beacon.minor)?;
        }
        Ok(Self { writer, beacon_count, sighting_count: 0 })
    }

    /// Appends one sighting.
    ///
    /// # Errors
    /// [`EncodeError::Full`] when it does not fit any more: the frame stays as it was, finish it and begin
    /// another. A beacon index outside the table or a customer id over 255 bytes can never be sent.
    #[inline]
    pub fn push(&mut self, sighting: &SightingRef<'_>) -> Result<(), EncodeError> {
        if sighting.beacon_index >= self.beacon_count {
            return Err(EncodeError::Field { field: Field::BeaconIndex });
        }
        let Ok(id_bytes) = u8::try_from(sighting.customer_id.len()) else {
            return Err(EncodeError::Field { field: Field::CustomerId });
        };
        let count = usize::from(self.sighting_count);
        if count >= MAX_SIGHTINGS {
            return Err(EncodeError::Full { need: count.saturating_add(1), have: MAX_SIGHTINGS });
        }
        let (need, have) =
            (sighting.customer_id.len().saturating_add(SIGHTING_HEAD_BYTES), self.writer.room());
        if need > have {
            return Err(EncodeError::Full { need, have });
        }
        let [o0, o1, o2, o3] = sighting.time_offset_us.to_be_bytes();
        let rssi = sighting.rssi_dbm.cast_unsigned();
        self.writer.bytes(&[sighting.beacon_index, rssi, o0, o1, o2, o3, id_bytes])?;
        self.writer.bytes(sighting.customer_id)?;
        self.sighting_count = self.sighting_count.saturating_add(1);
        Ok(())
    }

    /// Sightings appended so far.
    #[must_use]
    pub const fn sighting_count(&self) -> u16 {
        self.sighting_count
    }

    /// Bytes of the frame so far.
    #[must_use]
    pub const fn frame_bytes(&self) -> usize {
        self.writer.position()
    }

    /// Fills in counts, length and checksum, and returns the frame's length.
    ///
    /// # Errors
    /// No sighting was appended.
    pub fn finish(mut self) -> Result<usize, EncodeError> {
        if self.sighting_count == 0 {
            return Err(EncodeError::Field { field: Field::SightingCount });
        }
        self.writer.patch(SIGHTING_COUNT_OFFSET, &self.sighting_count.to_be_bytes());
        seal_frame(self.writer, Kind::Sightings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEACON: BeaconRef = BeaconRef { uuid: [1; 16], major: 1, minor: 1 };
    const SIGHTING: SightingRef<'static> =
        SightingRef { beacon_index: 0, rssi_dbm: -1, time_offset_us: 0, customer_id: b"c" };

    #[test]
    fn what_the_format_cannot_carry_is_not_written() {
        let buffer = &mut [0; 10_000];
        let refused = |field| EncodeError::Field { field };
        let begin = |buffer: &mut [u8], sequence, base, count| {
            SightingsEncoder::new(buffer, sequence, base, &vec![BEACON; count]).map(|_| ()).unwrap_err()
        };
        assert_eq!(begin(buffer, 0, TimeBase::Utc(0), 1), refused(Field::Sequence));
        assert_eq!(begin(buffer, 1, TimeBase::Age(-1), 1), refused(Field::BaseTime));
        assert_eq!(begin(buffer, 1, TimeBase::Utc(0), 0), refused(Field::BeaconCount));
        assert_eq!(begin(buffer, 1, TimeBase::Utc(0), 256), refused(Field::BeaconCount));
        let mut encoder = SightingsEncoder::new(buffer, 1, TimeBase::Utc(0), &[BEACON]).unwrap();
        let outside = SightingRef { beacon_index: 1, ..SIGHTING };
        assert_eq!(encoder.push(&outside), Err(refused(Field::BeaconIndex)));
        let long = SightingRef { customer_id: &[0; 256], ..SIGHTING };
        assert_eq!(encoder.push(&long), Err(refused(Field::CustomerId)));
        assert_eq!(encoder.finish(), Err(refused(Field::SightingCount)));
    }

    #[test]
    fn a_full_frame_takes_no_more_and_stays_whole() {
        let buffer = &mut [0; 12 + 20 + 20 + 8 * 2 + 7];
        let mut encoder = SightingsEncoder::new(buffer, 1, TimeBase::Utc(0), &[BEACON]).unwrap();
        encoder.push(&SIGHTING).unwrap();
        encoder.push(&SIGHTING).unwrap();
        assert_eq!(encoder.push(&SIGHTING), Err(EncodeError::Full { need: 8, have: 7 }));
        assert_eq!(encoder.sighting_count(), 2);
        let length = encoder.finish().unwrap();
        assert!(crate::deframe_whole(&buffer[..length], length).is_ok());
    }

    #[test]
    fn a_frame_holds_4096_sightings_and_not_one_more() {
        let mut buffer = vec![0; crate::MAX_FRAME_BYTES];
        let mut encoder = SightingsEncoder::new(&mut buffer, 1, TimeBase::Utc(0), &[BEACON]).unwrap();
        for _ in 0..MAX_SIGHTINGS {
            encoder.push(&SIGHTING).unwrap();
        }
        assert_eq!(encoder.push(&SIGHTING), Err(EncodeError::Full { need: 4_097, have: 4_096 }));
    }
}
