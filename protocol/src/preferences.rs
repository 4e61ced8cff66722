//! Preferences: what a customer likes, as of a moment.

mod encoder;

pub use encoder::PreferencesEncoder;

use crate::codec::Reader;
use crate::error::{DecodeError, Field};
use crate::framing::RawFrame;
use crate::header::Kind;
use crate::limits::{MAX_PREFERENCE_PAIRS, MAX_PREFERENCE_VALUE_BYTES};
use crate::time::TimeBase;

/// A customer's preferences whose structure has been checked once; what the model allows is not checked here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preferences<'a> {
    /// The frame's number in its gateway and boot epoch, from 1; counted together with sightings.
    pub sequence: u64,
    /// When the preferences were given.
    pub updated_at: TimeBase,
    /// The customer id's raw bytes, at most 255.
    pub customer_id: &'a [u8],
    frame: RawFrame<'a>,
    pair_count: u8,
    pairs: &'a [u8],
}

/// One preference, raw bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PreferencePair<'a> {
    /// Its name, at most 255 bytes.
    pub key: &'a [u8],
    /// What it is set to, at most 1,024 bytes.
    pub value: &'a [u8],
}

impl<'a> Preferences<'a> {
    pub(crate) fn decode(frame: RawFrame<'a>, mut reader: Reader<'a>) -> Result<Self, DecodeError> {
        let refuse =
            |field, offset| Err(DecodeError::Field { kind: Kind::Preferences.byte(), field, offset });
        let offset = reader.offset();
        let sequence = reader.u64()?;
        if sequence == 0 {
            return refuse(Field::Sequence, offset);
        }
        let offset = reader.offset();
        let base = reader.i64()?;
        let updated_at = TimeBase::from_wire(base, reader.u8()?, Kind::Preferences.byte(), offset)?;
        let customer_id = reader.short_bytes()?;
        let offset = reader.offset();
        let pair_count = reader.u8()?;
        if pair_count == 0 || usize::from(pair_count) > MAX_PREFERENCE_PAIRS {
            return refuse(Field::PairCount, offset);
        }
        let pairs = reader.rest();
        for _ in 0..pair_count {
            read_pair(&mut reader)?;
        }
        reader.finish()?;
        Ok(Self { sequence, updated_at, customer_id, frame, pair_count, pairs })
    }

    /// The frame it was read from.
    #[must_use]
    pub const fn frame(&self) -> RawFrame<'a> {
        self.frame
    }

    /// Number of pairs, from 1 to 64.
    #[must_use]
    pub const fn pair_count(&self) -> u8 {
        self.pair_count
    }

    /// The pairs, in the order sent.
    pub fn pairs(&self) -> impl Iterator<Item = PreferencePair<'a>> + use<'a> {
        let mut reader = Reader::at(0, self.pairs);
        core::iter::from_fn(move || read_pair(&mut reader).ok())
    }

    /// What tells a repeat of this frame from another frame with its sequence; see
    /// [`Sightings::identity_checksum`](crate::Sightings::identity_checksum).
    #[must_use]
    pub fn identity_checksum(&self) -> u32 {
        if self.updated_at.is_age() { self.frame.checksum_without_base_time() } else { self.frame.checksum() }
    }
}

fn read_pair<'a>(reader: &mut Reader<'a>) -> Result<PreferencePair<'a>, DecodeError> {
    let key = reader.short_bytes()?;
    let offset = reader.offset();
    let value_bytes = usize::from(reader.u16()?);
    if value_bytes > MAX_PREFERENCE_VALUE_BYTES {
        return Err(DecodeError::Field {
            kind: Kind::Preferences.byte(),
            field: Field::PreferenceValue,
            offset,
        });
    }
    Ok(PreferencePair { key, value: reader.bytes(value_bytes)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;
    use crate::error::EncodeError;
    use crate::testing::{body_of, check_message, decode_body};

    const PAIRS: [PreferencePair<'static>; 3] = [
        PreferencePair { key: b"language", value: b"de" },
        PreferencePair { key: b"", value: b"" },
        PreferencePair { key: &[0xFF; 255], value: &[0xFE; 1_024] },
    ];

    fn encode(buffer: &mut [u8], updated_at: TimeBase) -> Result<usize, EncodeError> {
        let mut encoder = PreferencesEncoder::new(buffer, 4, updated_at, b"customer")?;
        for pair in &PAIRS {
            encoder.push(pair.key, pair.value)?;
        }
        encoder.finish()
    }

    #[test]
    fn preferences_come_back_and_every_cut_is_an_error() {
        for base in [TimeBase::Utc(i64::MIN), TimeBase::Age(0)] {
            check_message(
                |buffer| encode(buffer, base),
                |message| {
                    let Message::Preferences(preferences) = message else { panic!("{message:?}") };
                    assert_eq!((preferences.sequence, preferences.updated_at), (4, base));
                    assert_eq!(
                        (preferences.customer_id, preferences.pair_count()),
                        (b"customer".as_slice(), 3)
                    );
                    assert_eq!(preferences.pairs().collect::<Vec<_>>(), PAIRS);
                },
            );
        }
    }

    #[test]
    fn fields_out_of_range_are_refused_with_their_place() {
        let good = body_of(|buffer| encode(buffer, TimeBase::Age(1)));
        let cases = [
            (7, 0, Field::Sequence, 12),
            (8, 0x80, Field::BaseTime, 20),
            (16, 0x80, Field::Flags, 28),
            (26, 0, Field::PairCount, 38),
            (26, 65, Field::PairCount, 38),
            (36, 0x7F, Field::PreferenceValue, 48),
        ];
        for (position, byte, field, offset) in cases {
            let mut body = good.clone();
            body[position] = byte;
            let error = decode_body(Kind::Preferences, &body).unwrap_err();
            assert_eq!(error, DecodeError::Field { kind: 0x89, field, offset }, "byte {position}");
        }
    }
}
