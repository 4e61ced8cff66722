//! Where one frame ends and the next begins, checked from the header before the body is awaited.

use crate::checksum::crc32c;
use crate::codec::Writer;
use crate::error::{DecodeError, EncodeError};
use crate::header::{FRAME_VERSION, HEADER_BYTES, Kind, MAGIC};
use crate::limits::MAX_FRAME_BYTES;

/// Header bytes the checksum covers: magic, version, kind and length.
const CHECKED_HEADER_BYTES: usize = 8;
/// In a sequenced frame the time that a repeat may age stands behind the sequence.
const BASE_TIME_OFFSET: usize = 8;

/// What the front of a stream holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deframed<'a> {
    /// Not yet a whole frame: ask again when the stream holds this many bytes in all.
    Need(usize),
    /// A frame whose checksum is right.
    Frame {
        /// The frame.
        frame: RawFrame<'a>,
        /// Bytes to drop from the front of the stream before the next call.
        consumed: usize,
    },
}

/// A frame whose length and checksum are right; its body has not been looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawFrame<'a> {
    kind: u8,
    checksum: u32,
    checked_header: &'a [u8; CHECKED_HEADER_BYTES],
    body: &'a [u8],
}

impl<'a> RawFrame<'a> {
    /// The kind's byte, known to this version or not.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        self.kind
    }

    /// Everything behind the header.
    #[must_use]
    pub const fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The frame's checksum, found right.
    #[must_use]
    pub const fn checksum(&self) -> u32 {
        self.checksum
    }

    /// The checksum of a sequenced frame with its base time taken as zero: equal for all repeats of an aged frame.
    pub(crate) fn checksum_without_base_time(&self) -> u32 {
        let zero = [0_u8; 8];
        let (before, rest) = self.body.split_at_checked(BASE_TIME_OFFSET).unwrap_or((self.body, &[]));
        let after = rest.get(zero.len()..).unwrap_or(&[]);
        crc32c(&[self.checked_header, before, &zero, after])
    }
}

/// Looks for one frame at the front of `bytes`.
///
/// `limit_bytes` bounds the whole frame, header included; above [`MAX_FRAME_BYTES`] it has no effect.
///
/// # Errors
/// Magic, version, length and checksum, in this order, each as soon as its bytes are there: a frame that will
/// be refused is refused before its body is awaited.
#[inline]
pub fn deframe(bytes: &[u8], limit_bytes: usize) -> Result<Deframed<'_>, DecodeError> {
    const HEADER_WANTED: Result<Deframed<'_>, DecodeError> = Ok(Deframed::Need(HEADER_BYTES));
    let Some((&magic, rest)) = bytes.split_first_chunk::<2>() else {
        return HEADER_WANTED;
    };
    let found = u16::from_be_bytes(magic);
    if found != MAGIC {
        return Err(DecodeError::BadMagic { found });
    }
    let Some((&version, rest)) = rest.split_first() else {
        return HEADER_WANTED;
    };
    if version != FRAME_VERSION {
        return Err(DecodeError::UnsupportedVersion { found: version });
    }
    let Some((&kind, rest)) = rest.split_first() else {
        return HEADER_WANTED;
    };
    let Some((&length, rest)) = rest.split_first_chunk::<4>() else {
        return HEADER_WANTED;
    };
    let body_bytes = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    let length = body_bytes.saturating_add(HEADER_BYTES);
    let limit = limit_bytes.min(MAX_FRAME_BYTES);
    if length > limit {
        return Err(DecodeError::Oversize { length, limit });
    }
    let Some((&claimed, rest)) = rest.split_first_chunk::<4>() else {
        return HEADER_WANTED;
    };
    let claimed = u32::from_be_bytes(claimed);
    let (Some(checked_header), Some(body)) = (bytes.first_chunk(), rest.get(..body_bytes)) else {
        return Ok(Deframed::Need(length));
    };
    let computed = crc32c(&[checked_header, body]);
    if computed != claimed {
        return Err(DecodeError::BadChecksum { claimed, computed });
    }
    Ok(Deframed::Frame {
        frame: RawFrame { kind, checksum: claimed, checked_header, body },
        consumed: length,
    })
}

/// The one frame that is all of `bytes`, as in a datagram.
///
/// # Errors
/// As [`deframe`]; a frame that is not whole or is followed by more bytes is an error too.
pub fn deframe_whole(bytes: &[u8], limit_bytes: usize) -> Result<RawFrame<'_>, DecodeError> {
    match deframe(bytes, limit_bytes)? {
        Deframed::Need(need) => Err(DecodeError::UnexpectedEnd { offset: 0, need, have: bytes.len() }),
        Deframed::Frame { frame, consumed } => match bytes.len().saturating_sub(consumed) {
            0 => Ok(frame),
            extra => Err(DecodeError::TrailingData { offset: consumed, extra }),
        },
    }
}

/// Writes one frame, its body by `body`, to the front of `buffer`; returns its length.
pub(crate) fn encode_frame(
    buffer: &mut [u8],
    kind: Kind,
    body: impl FnOnce(&mut Writer<'_>) -> Result<(), EncodeError>,
) -> Result<usize, EncodeError> {
    let mut writer = begin_frame(buffer)?;
    body(&mut writer)?;
    seal_frame(writer, kind)
}

/// A writer that stands behind the place of the header.
pub(crate) fn begin_frame(buffer: &mut [u8]) -> Result<Writer<'_>, EncodeError> {
    let usable = buffer.len().min(MAX_FRAME_BYTES);
    let mut writer = Writer::new(buffer.get_mut(..usable).unwrap_or_default());
    writer.bytes(&[0; HEADER_BYTES])?;
    Ok(writer)
}

/// Fills in the header of a frame whose body has been written; returns the frame's length.
pub(crate) fn seal_frame(writer: Writer<'_>, kind: Kind) -> Result<usize, EncodeError> {
    let length = writer.position();
    let buffer = writer.into_buffer();
    let frame = buffer.get_mut(..length).unwrap_or_default();
    let full = EncodeError::Full { need: HEADER_BYTES, have: frame.len() };
    let (header, body) = frame.split_first_chunk_mut::<HEADER_BYTES>().ok_or(full)?;
    let body_bytes = u32::try_from(body.len()).map_err(|_| full)?;
    let [m0, m1] = MAGIC.to_be_bytes();
    let [l0, l1, l2, l3] = body_bytes.to_be_bytes();
    let checked = [m0, m1, FRAME_VERSION, kind.byte(), l0, l1, l2, l3];
    let [c0, c1, c2, c3] = crc32c(&[&checked, body]).to_be_bytes();
    *header = [m0, m1, FRAME_VERSION, kind.byte(), l0, l1, l2, l3, c0, c1, c2, c3];
    Ok(length)
}

/// Computes the checksum of an encoded frame anew, after its body was patched.
pub(crate) fn reseal_frame(frame: &mut [u8]) -> Result<(), EncodeError> {
    let (header, body) = frame.split_first_chunk_mut::<HEADER_BYTES>().ok_or(EncodeError::NotPatchable)?;
    let (checked, checksum) = header.split_at_mut(CHECKED_HEADER_BYTES);
    checksum.copy_from_slice(&crc32c(&[checked, body]).to_be_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ping::Ping;

    const HEADER: [u8; HEADER_BYTES] = [0xBE, 0xAC, 1, 0x86, 0, 0, 0, 16, 0, 0, 0, 0];

    /// The header with some bytes changed, cut to a length.
    fn changed(changes: &[(usize, u8)], length: usize) -> Vec<u8> {
        let mut bytes = HEADER.to_vec();
        for &(place, byte) in changes {
            bytes[place] = byte;
        }
        bytes.truncate(length);
        bytes
    }

    fn refused(bytes: &[u8]) -> &'static str {
        deframe(bytes, MAX_FRAME_BYTES).unwrap_err().label()
    }

    #[test]
    fn each_field_of_the_header_is_refused_as_soon_as_it_is_there() {
        assert_eq!(refused(&changed(&[(1, 0xAD)], 2)), "bad_magic");
        assert_eq!(refused(&changed(&[(2, 2)], 3)), "unsupported_version");
        assert_eq!(refused(&changed(&[(5, 1)], 8)), "oversize");
        for length in 0..HEADER_BYTES {
            assert_eq!(
                deframe(&HEADER[..length], MAX_FRAME_BYTES),
                Ok(Deframed::Need(HEADER_BYTES)),
                "{length}"
            );
        }
        assert_eq!(deframe(&HEADER, MAX_FRAME_BYTES), Ok(Deframed::Need(28)));
    }

    #[test]
    fn faults_are_refused_in_the_order_of_the_header() {
        let everything = [(0, 0), (2, 9), (3, 0xFF), (4, 0xFF)];
        assert_eq!(refused(&changed(&everything, 12)), "bad_magic");
        assert_eq!(refused(&changed(&everything[1..], 12)), "unsupported_version");
        assert_eq!(refused(&changed(&everything[2..], 12)), "oversize");
        let whole = [changed(&[(3, 0xFF)], 12), vec![0; 16]].concat();
        assert_eq!(refused(&whole), "bad_checksum");
    }

    #[test]
    fn the_limit_counts_the_header_and_is_never_above_the_format() {
        let oversize = |limit| DecodeError::Oversize { length: 28, limit };
        assert_eq!(deframe(&HEADER, 28), Ok(Deframed::Need(28)));
        assert_eq!(deframe(&HEADER, 27), Err(oversize(27)));
        let largest = changed(&[(5, 0), (6, 0xFF), (7, 0xF4)], 12);
        assert_eq!(deframe(&largest, usize::MAX), Ok(Deframed::Need(MAX_FRAME_BYTES)));
        let longer = changed(&[(5, 0), (6, 0xFF), (7, 0xF5)], 12);
        let error = DecodeError::Oversize { length: MAX_FRAME_BYTES + 1, limit: MAX_FRAME_BYTES };
        assert_eq!(deframe(&longer, usize::MAX), Err(error));
    }

    #[test]
    fn frames_follow_each_other_and_only_a_datagram_ends_with_one() {
        let mut stream = [0; 56];
        let first = Ping { token: 1, time_us: 0 }.encode(&mut stream).unwrap();
        Ping { token: 2, time_us: 0 }.encode(&mut stream[first..]).unwrap();
        let Ok(Deframed::Frame { frame, consumed }) = deframe(&stream, MAX_FRAME_BYTES) else {
            panic!("no frame")
        };
        assert_eq!((frame.body()[7], consumed), (1, 28));
        assert_eq!(deframe_whole(&stream, 100), Err(DecodeError::TrailingData { offset: 28, extra: 28 }));
        assert!(deframe_whole(&stream[..28], 100).is_ok());
    }
}
