//! Sightings: a batch of customers seen at beacons, the frame nearly all traffic consists of.

mod encoder;

pub use encoder::SightingsEncoder;

use crate::codec::Reader;
use crate::error::{DecodeError, Field};
use crate::framing::RawFrame;
use crate::header::Kind;
use crate::limits::MAX_SIGHTINGS;
use crate::time::TimeBase;

/// Bytes of a beacon in the table: UUID 16, major 2, minor 2.
pub const BEACON_BYTES: usize = 20;
/// Bytes of a sighting in front of its customer id: beacon index 1, RSSI 1, offset 4, id length 1.
pub const SIGHTING_HEAD_BYTES: usize = 7;
/// Bytes of the body in front of the beacon table: sequence 8, base 8, flags 1, two counts 3.
pub const SIGHTINGS_HEAD_BYTES: usize = 20;

/// A beacon as it announces itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BeaconRef {
    /// The UUID's bytes in the order they are written.
    pub uuid: [u8; 16],
    /// Major number.
    pub major: u16,
    /// Minor number.
    pub minor: u16,
}

/// One customer seen at one beacon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SightingRef<'a> {
    /// The beacon's place in the frame's table; decoded, it is always inside.
    pub beacon_index: u8,
    /// Signal strength as received, whether the model allows it or not.
    pub rssi_dbm: i8,
    /// Microseconds from the frame's base.
    pub time_offset_us: i32,
    /// The customer id's raw bytes, at most 255, whether the model allows them or not.
    pub customer_id: &'a [u8],
}

/// A batch of sightings whose structure has been checked once: reading it cannot fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sightings<'a> {
    /// The frame's number in its gateway and boot epoch, from 1.
    pub sequence: u64,
    /// What the sightings' offsets are counted from.
    pub base: TimeBase,
    frame: RawFrame<'a>,
    beacons: &'a [[u8; BEACON_BYTES]],
    sighting_count: u16,
    sightings: &'a [u8],
}

impl<'a> Sightings<'a> {
    #[inline]
    pub(crate) fn decode(frame: RawFrame<'a>, mut reader: Reader<'a>) -> Result<Self, DecodeError> {
        let refuse = |field, offset| Err(DecodeError::Field { kind: Kind::Sightings.byte(), field, offset });
        let offset = reader.offset();
        let sequence = reader.u64()?;
        if sequence == 0 {
            return refuse(Field::Sequence, offset);
        }
        let offset = reader.offset();
        let base = reader.i64()?;
        let base = TimeBase::from_wire(base, reader.u8()?, Kind::Sightings.byte(), offset)?;
        let offset = reader.offset();
        let beacon_count = reader.u8()?;
        if beacon_count == 0 {
            return refuse(Field::BeaconCount, offset);
        }
        let offset = reader.offset();
        let sighting_count = reader.u16()?;
        if sighting_count == 0 || usize::from(sighting_count) > MAX_SIGHTINGS {
            return refuse(Field::SightingCount, offset);
        }
        let (beacons, _) = reader.bytes(usize::from(beacon_count).saturating_mul(BEACON_BYTES))?.as_chunks();
        let sightings = reader.rest();
        for _ in 0..sighting_count {
            let [beacon_index, _, _, _, _, _, id_bytes] = reader.array::<SIGHTING_HEAD_BYTES>()?;
            if beacon_index >= beacon_count {
                let offset = reader.offset().saturating_sub(SIGHTING_HEAD_BYTES);
                return refuse(Field::BeaconIndex, offset);
            }
            reader.bytes(usize::from(id_bytes))?;
        }
        reader.finish()?;
        Ok(Self { sequence, base, frame, beacons, sighting_count, sightings })
    }

    /// The frame it was read from.
    #[must_use]
    pub const fn frame(&self) -> RawFrame<'a> {
        self.frame
    }

    /// Number of sightings, from 1 to 4,096.
    #[must_use]
    pub const fn sighting_count(&self) -> u16 {
        self.sighting_count
    }

    /// Number of beacons in the table, from 1 to 255.
    #[must_use]
    pub const fn beacon_count(&self) -> usize {
        self.beacons.len()
    }

    /// The beacon at an index of the table.
    #[inline]
    #[must_use]
    pub fn beacon(&self, index: u8) -> Option<BeaconRef> {
        self.beacons.get(usize::from(index)).map(beacon_from)
    }

    /// The table of beacons, in index order.
    #[inline]
    pub fn beacons(&self) -> impl ExactSizeIterator<Item = BeaconRef> + use<'a> {
        self.beacons.iter().map(beacon_from)
    }

    /// The sightings, in index order.
    #[inline]
    #[must_use]
    pub const fn sightings(&self) -> SightingsIter<'a> {
        SightingsIter { rest: self.sightings, left: self.sighting_count }
    }

    /// What tells a repeat of this frame from another frame with its sequence: the frame's checksum, but with
    /// the base taken as zero where it is an age, because a repeat has aged.
    #[must_use]
    pub fn identity_checksum(&self) -> u32 {
        if self.base.is_age() { self.frame.checksum_without_base_time() } else { self.frame.checksum() }
    }
}

/// The sightings of a frame, in index order.
#[derive(Debug, Clone)]
pub struct SightingsIter<'a> {
    rest: &'a [u8],
    left: u16,
}

impl<'a> Iterator for SightingsIter<'a> {
    type Item = SightingRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (&head, rest) = self.rest.split_first_chunk::<SIGHTING_HEAD_BYTES>()?;
        let [beacon_index, rssi, o0, o1, o2, o3, id_bytes] = head;
        let (customer_id, rest) = rest.split_at_checked(usize::from(id_bytes))?;
        self.rest = rest;
        self.left = self.left.saturating_sub(1);
        Some(SightingRef {
            beacon_index,
            rssi_dbm: rssi.cast_signed(),
            time_offset_us: i32::from_be_bytes([o0, o1, o2, o3]),
            customer_id,
        })
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.left), Some(usize::from(self.left)))
    }
}

impl ExactSizeIterator for SightingsIter<'_> {}

#[inline]
fn beacon_from(bytes: &[u8; BEACON_BYTES]) -> BeaconRef {
    let [
        u0,
        u1,
        u2,
        u3,
        u4,
        u5,
        u6,
        u7,
        u8,
        u9,
        u10,
        u11,
        u12,
        u13,
        u14,
        u15,
        major0,
        major1,
        minor0,
        minor1,
    ] = *bytes;
    BeaconRef {
        uuid: [u0, u1, u2, u3, u4, u5, u6, u7, u8, u9, u10, u11, u12, u13, u14, u15],
        major: u16::from_be_bytes([major0, major1]),
        minor: u16::from_be_bytes([minor0, minor1]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::EncodeError;
    use crate::testing::{body_of, check_message, decode_body, frame_of};
    use crate::{Message, deframe_whole, set_age};

    const BEACONS: [BeaconRef; 2] = [
        BeaconRef { uuid: [1; 16], major: 2, minor: 3 },
        BeaconRef { uuid: *b"0123456789abcdef", major: u16::MAX, minor: 0 },
    ];

    const SIGHTINGS: [SightingRef<'static>; 3] = [
        SightingRef { beacon_index: 0, rssi_dbm: -67, time_offset_us: 0, customer_id: b"customer" },
        SightingRef { beacon_index: 1, rssi_dbm: 127, time_offset_us: i32::MIN, customer_id: b"" },
        SightingRef { beacon_index: 1, rssi_dbm: -128, time_offset_us: i32::MAX, customer_id: &[0xFF; 255] },
    ];

    fn encode(buffer: &mut [u8], sequence: u64, base: TimeBase) -> Result<usize, EncodeError> {
        let mut encoder = SightingsEncoder::new(buffer, sequence, base, &BEACONS)?;
        for sighting in &SIGHTINGS {
            encoder.push(sighting)?;
        }
        encoder.finish()
    }

    #[test]
    fn sightings_come_back_and_every_cut_is_an_error() {
        for base in [TimeBase::Utc(-5), TimeBase::Age(i64::MAX)] {
            check_message(
                |buffer| encode(buffer, 9, base),
                |message| {
                    let Message::Sightings(batch) = message else { panic!("{message:?}") };
                    assert_eq!((batch.sequence, batch.base, batch.sighting_count()), (9, base, 3));
                    assert_eq!(batch.beacons().collect::<Vec<_>>(), BEACONS);
                    assert_eq!(batch.beacon(1), Some(BEACONS[1]));
                    assert_eq!(batch.beacon(2), None);
                    assert_eq!(batch.sightings().len(), 3);
                    assert_eq!(batch.sightings().collect::<Vec<_>>(), SIGHTINGS);
                },
            );
        }
    }

    #[test]
    fn fields_out_of_range_are_refused_with_their_place() {
        let good = body_of(|buffer| encode(buffer, 1, TimeBase::Age(1)));
        let cases = [
            (7, 0, Field::Sequence, 12),
            (8, 0x80, Field::BaseTime, 20),
            (16, 2, Field::Flags, 28),
            (17, 0, Field::BeaconCount, 29),
            (18, 0x20, Field::SightingCount, 30),
            (19, 0, Field::SightingCount, 30),
            (60, 2, Field::BeaconIndex, 72),
        ];
        for (position, byte, field, offset) in cases {
            let mut body = good.clone();
            body[position] = byte;
            let error = decode_body(Kind::Sightings, &body).unwrap_err();
            assert_eq!(error, DecodeError::Field { kind: 0x83, field, offset }, "byte {position}");
        }
    }

    fn identity(frame: &[u8]) -> u32 {
        match Message::decode(deframe_whole(frame, frame.len()).unwrap()).unwrap() {
            Message::Sightings(batch) => batch.identity_checksum(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn identity_of_an_aged_frame_survives_ageing_and_nothing_else() {
        let mut frame = frame_of(|buffer| encode(buffer, 1, TimeBase::Age(1_000)));
        let first = identity(&frame);
        set_age(&mut frame, 77_000).unwrap();
        assert_eq!(identity(&frame), first);
        assert_ne!(identity(&frame_of(|buffer| encode(buffer, 2, TimeBase::Age(1_000)))), first);
        let zero = frame_of(|buffer| encode(buffer, 1, TimeBase::Age(0)));
        assert_eq!(identity(&zero), u32::from_be_bytes(zero[8..12].try_into().unwrap()));
    }

    #[test]
    fn identity_of_a_frame_with_utc_times_covers_them() {
        let frame = |base| frame_of(|buffer| encode(buffer, 1, TimeBase::Utc(base)));
        assert_ne!(identity(&frame(1)), identity(&frame(2)));
        assert_eq!(identity(&frame(1)), u32::from_be_bytes(frame(1)[8..12].try_into().unwrap()));
    }

    #[test]
    fn a_batch_of_64_over_4_beacons_takes_at_most_26_bytes_a_sighting() {
        let beacons: Vec<_> = (0..4).map(|minor| BeaconRef { uuid: [9; 16], major: 1, minor }).collect();
        let frame = frame_of(|buffer| {
            let mut encoder = SightingsEncoder::new(buffer, 1, TimeBase::Utc(0), &beacons)?;
            for index in 0..64_u8 {
                let customer_id = b"customer-0000001";
                encoder.push(&SightingRef {
                    beacon_index: index % 4,
                    rssi_dbm: -60,
                    time_offset_us: i32::from(index),
                    customer_id,
                })?;
            }
            encoder.finish()
        });
        assert!(frame.len() <= 26 * 64, "{} bytes", frame.len());
    }
}
