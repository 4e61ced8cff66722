//! Frames and datagrams as bytes, sound ones and such as no encoder would write.

use beacon_protocol::{
    BeaconRef, DATAGRAM_HEADER_BYTES, DATAGRAM_MAGIC, EncodeError, HEADER_BYTES, MAGIC, MAX_FRAME_BYTES,
    Ping, PreferencesEncoder, SightingRef, SightingsEncoder, TimeBase,
};

use super::check::{Stop, not_tried};

/// What an encoder writes, as a vector.
pub(super) fn encoded(encode: impl FnOnce(&mut [u8]) -> Result<usize, EncodeError>) -> Result<Vec<u8>, Stop> {
    let mut buffer = vec![0; MAX_FRAME_BYTES];
    let length = encode(&mut buffer).map_err(|error| not_tried(format!("cannot be encoded: {error}")))?;
    buffer.truncate(length);
    Ok(buffer)
}

/// A frame of any version and kind whose checksum is right.
pub(super) fn frame(version: u8, kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    resealed(&[&header(version, kind, length)[..], body].concat())
}

/// The header alone, its checksum zero.
pub(super) fn header(version: u8, kind: u8, body_bytes: u32) -> Vec<u8> {
    [&MAGIC.to_be_bytes()[..], &[version, kind], &body_bytes.to_be_bytes(), &[0; 4]].concat()
}

/// The frame with the checksum that its bytes have.
pub(super) fn resealed(frame: &[u8]) -> Vec<u8> {
    let Some((checked, rest)) = frame.split_at_checked(8) else { return frame.to_vec() };
    let body = rest.get(4..).unwrap_or_default();
    let checksum = crc32c::crc32c_append(crc32c::crc32c(checked), body);
    [checked, &checksum.to_be_bytes(), body].concat()
}

/// A sound frame with some bytes of its body overwritten, and the checksum right again.
pub(super) fn with_body(frame: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    if let Some(target) = frame.get_mut(HEADER_BYTES + at..HEADER_BYTES + at + bytes.len()) {
        target.copy_from_slice(bytes);
    }
    resealed(&frame)
}

/// A sound frame whose body is so long instead: cut, or with zeros behind it.
pub(super) fn with_length(frame: &[u8], body_bytes: usize) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame.resize(HEADER_BYTES + body_bytes, 0);
    let length = u32::try_from(body_bytes).unwrap_or(u32::MAX);
    if let Some(target) = frame.get_mut(4..8) {
        target.copy_from_slice(&length.to_be_bytes());
    }
    resealed(&frame)
}

/// Any bytes as a datagram of a session.
pub(super) fn datagram(session: u64, packet_number: u64, frame: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::with_capacity(DATAGRAM_HEADER_BYTES + frame.len());
    datagram.extend(DATAGRAM_MAGIC.to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(session.to_be_bytes());
    datagram.extend(packet_number.to_be_bytes());
    datagram.extend(frame);
    datagram
}

/// A ping.
pub(super) fn ping(token: u64) -> Result<Vec<u8>, Stop> {
    encoded(|buffer| Ping { token, time_us: 0 }.encode(buffer))
}

/// A frame of sightings at one beacon.
pub(super) fn sightings(
    sequence: u64,
    base: TimeBase,
    beacon: BeaconRef,
    sightings: &[SightingRef<'_>],
) -> Result<Vec<u8>, Stop> {
    encoded(|buffer| {
        let mut encoder = SightingsEncoder::new(buffer, sequence, base, &[beacon])?;
        for sighting in sightings {
            encoder.push(sighting)?;
        }
        encoder.finish()
    })
}

/// A frame of preferences.
pub(super) fn preferences(
    sequence: u64,
    updated_at: TimeBase,
    customer_id: &[u8],
    pairs: &[(&[u8], &[u8])],
) -> Result<Vec<u8>, Stop> {
    encoded(|buffer| {
        let mut encoder = PreferencesEncoder::new(buffer, sequence, updated_at, customer_id)?;
        for (key, value) in pairs {
            encoder.push(key, value)?;
        }
        encoder.finish()
    })
}

#[cfg(test)]
mod tests {
    use beacon_protocol::{Kind, deframe_whole};

    use super::*;

    #[test]
    fn frames_by_hand_have_the_checksum_of_the_codec() {
        let sound = ping(7).unwrap();
        assert_eq!(frame(1, Kind::Ping.byte(), &sound[HEADER_BYTES..]), sound);
        assert_eq!(resealed(&[&sound[..8], &[9; 4], &sound[HEADER_BYTES..]].concat()), sound);
        for changed in [with_body(&sound, 7, &[8]), with_length(&sound, 15), with_length(&sound, 17)] {
            assert!(deframe_whole(&changed, MAX_FRAME_BYTES).is_ok());
            assert_ne!(changed, sound);
        }
    }
}
