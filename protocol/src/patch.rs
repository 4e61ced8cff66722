//! Changes to an encoded frame in place, for its next transmission.

use crate::error::{EncodeError, Field};
use crate::framing::reseal_frame;
use crate::header::{HEADER_BYTES, Kind};
use crate::time::AGES_FLAG;

const KIND_OFFSET: usize = 3;
const SEQUENCE_OFFSET: usize = HEADER_BYTES;
const BASE_OFFSET: usize = HEADER_BYTES + 8;
const FLAGS_OFFSET: usize = HEADER_BYTES + 16;

/// The sequence of an encoded sightings or preferences frame, which may be unsound behind it.
///
/// # Errors
/// `frame` is no such frame, or ends before its sequence does.
pub fn sequence_of(frame: &[u8]) -> Result<u64, EncodeError> {
    if !is_sequenced(frame) {
        return Err(EncodeError::NotPatchable);
    }
    let field = frame.get(SEQUENCE_OFFSET..BASE_OFFSET).and_then(<[u8]>::first_chunk);
    field.map(|bytes| u64::from_be_bytes(*bytes)).ok_or(EncodeError::NotPatchable)
}

/// The base of an encoded frame if it is an age, in microseconds.
///
/// # Errors
/// `frame` is no sightings or preferences frame.
pub fn age_of(frame: &[u8]) -> Result<Option<i64>, EncodeError> {
    check_sequenced(frame)?;
    if frame.get(FLAGS_OFFSET) != Some(&AGES_FLAG) {
        return Ok(None);
    }
    let field = frame.get(BASE_OFFSET..FLAGS_OFFSET).and_then(<[u8]>::first_chunk);
    field.map(|bytes| Some(i64::from_be_bytes(*bytes))).ok_or(EncodeError::NotPatchable)
}

/// Gives an encoded sightings or preferences frame its sequence, and a new checksum.
///
/// # Errors
/// Sequence zero, or `frame` is no such frame.
pub fn set_sequence(frame: &mut [u8], sequence: u64) -> Result<(), EncodeError> {
    if sequence == 0 {
        return Err(EncodeError::Field { field: Field::Sequence });
    }
    check_sequenced(frame)?;
    write_at(frame, SEQUENCE_OFFSET, sequence.to_be_bytes())?;
    reseal_frame(frame)
}

/// Ages the base of an encoded frame to `age_us` microseconds, as every repeat must, and gives it a new checksum;
/// its identity checksum stays as it was.
///
/// # Errors
/// An age below zero, or `frame` is no frame whose times are ages.
pub fn set_age(frame: &mut [u8], age_us: i64) -> Result<(), EncodeError> {
    if age_us < 0 {
        return Err(EncodeError::Field { field: Field::BaseTime });
    }
    if age_of(frame)?.is_none() {
        return Err(EncodeError::NotPatchable);
    }
    write_at(frame, BASE_OFFSET, age_us.to_be_bytes())?;
    reseal_frame(frame)
}

fn check_sequenced(frame: &[u8]) -> Result<(), EncodeError> {
    if is_sequenced(frame) && frame.len() > FLAGS_OFFSET { Ok(()) } else { Err(EncodeError::NotPatchable) }
}

fn is_sequenced(frame: &[u8]) -> bool {
    let kind = frame.get(KIND_OFFSET).copied().and_then(Kind::from_byte);
    matches!(kind, Some(Kind::Sightings | Kind::Preferences))
}

fn write_at(frame: &mut [u8], offset: usize, bytes: [u8; 8]) -> Result<(), EncodeError> {
    let field = frame.get_mut(offset..).and_then(<[u8]>::first_chunk_mut);
    *field.ok_or(EncodeError::NotPatchable)? = bytes;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::frame_of;
    use crate::{Message, Ping, PreferencesEncoder, TimeBase, deframe_whole};

    fn preferences(sequence: u64, base: TimeBase) -> Vec<u8> {
        frame_of(|buffer| {
            let mut encoder = PreferencesEncoder::new(buffer, sequence, base, b"customer")?;
            encoder.push(b"key", b"value")?;
            encoder.finish()
        })
    }

    #[test]
    fn a_patched_frame_is_as_if_it_had_been_written_so() {
        let mut frame = preferences(1, TimeBase::Age(5));
        set_sequence(&mut frame, 900).unwrap();
        set_age(&mut frame, 6).unwrap();
        assert_eq!(frame, preferences(900, TimeBase::Age(6)));
        assert_eq!(sequence_of(&frame), Ok(900));
        assert_eq!(age_of(&frame), Ok(Some(6)));
        assert!(Message::decode(deframe_whole(&frame, frame.len()).unwrap()).is_ok());
    }

    #[test]
    fn only_what_can_be_patched_is() {
        let mut ping = frame_of(|buffer| Ping { token: 1, time_us: 1 }.encode(buffer));
        assert_eq!(set_sequence(&mut ping, 1), Err(EncodeError::NotPatchable));
        let mut utc = preferences(1, TimeBase::Utc(5));
        assert_eq!(set_age(&mut utc, 1), Err(EncodeError::NotPatchable));
        assert_eq!(age_of(&utc), Ok(None));
        assert_eq!(set_sequence(&mut utc, 0), Err(EncodeError::Field { field: Field::Sequence }));
        let mut aged = preferences(1, TimeBase::Age(5));
        assert_eq!(set_age(&mut aged, -1), Err(EncodeError::Field { field: Field::BaseTime }));
        assert_eq!(set_age(&mut aged[..20], 1), Err(EncodeError::NotPatchable));
        assert_eq!(sequence_of(&aged[..20]), Ok(1));
        assert_eq!(sequence_of(&aged[..19]), Err(EncodeError::NotPatchable));
    }
}
