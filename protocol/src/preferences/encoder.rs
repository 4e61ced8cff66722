//! Writes a customer's preferences into a buffer of the caller's.

use crate::codec::Writer;
use crate::error::{EncodeError, Field};
use crate::framing::{begin_frame, seal_frame};
use crate::header::Kind;
use crate::limits::{MAX_PREFERENCE_PAIRS, MAX_PREFERENCE_VALUE_BYTES};
use crate::time::TimeBase;

/// A preferences frame in the making.
#[derive(Debug)]
pub struct PreferencesEncoder<'b> {
    writer: Writer<'b>,
    pair_count_offset: usize,
    pair_count: u8,
}

impl<'b> PreferencesEncoder<'b> {
    /// Begins a frame.
    ///
    /// # Errors
    /// No room, sequence zero, an age below zero, or a customer id over 255 bytes.
    pub fn new(
        buffer: &'b mut [u8],
        sequence: u64,
        updated_at: TimeBase,
        customer_id: &[u8],
    ) -> Result<Self, EncodeError> {
        if sequence == 0 {
            return Err(EncodeError::Field { field: Field::Sequence });
        }
        let (base, flags) = updated_at.to_wire()?;
        let mut writer = begin_frame(buffer)?;
        writer.u64(sequence)?;
        writer.i64(base)?;
        writer.u8(flags)?;
        writer.short_bytes(customer_id, Field::CustomerId)?;
        let pair_count_offset = writer.position();
        writer.u8(0)?;
        Ok(Self { writer, pair_count_offset, pair_count: 0 })
    }

    /// Appends one pair.
    ///
    /// # Errors
    /// [`EncodeError::Full`] when it does not fit or there are 64 already; a key over 255 or a value over 1,024
    /// bytes can never be sent.
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), EncodeError> {
        let count = usize::from(self.pair_count);
        if count >= MAX_PREFERENCE_PAIRS {
            return Err(EncodeError::Full { need: count.saturating_add(1), have: MAX_PREFERENCE_PAIRS });
        }
        let value_bytes = match u16::try_from(value.len()) {
            Ok(length) if value.len() <= MAX_PREFERENCE_VALUE_BYTES => length,
            _ => {
                return Err(EncodeError::Field { field: Field::PreferenceValue });
            }
        };
        let need = key.len().saturating_add(value.len()).saturating_add(3);
        let have = self.writer.room();
        if need > have {
            return Err(EncodeError::Full { need, have });
        }
        self.writer.short_bytes(key, Field::PreferenceKey)?;
        self.writer.u16(value_bytes)?;
        self.writer.bytes(value)?;
        self.pair_count = self.pair_count.saturating_add(1);
        Ok(())
    }

    /// Fills in count, length and checksum, and returns the frame's length.
    ///
    /// # Errors
    /// No pair was appended.
    pub fn finish(mut self) -> Result<usize, EncodeError> {
        if self.pair_count == 0 {
            return Err(EncodeError::Field { field: Field::PairCount });
        }
        self.writer.patch(self.pair_count_offset, &[self.pair_count]);
        seal_frame(self.writer, Kind::Preferences)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_format_cannot_carry_is_not_written() {
        let buffer = &mut [0; 10_000];
        let refused = |field| EncodeError::Field { field };
        let begin = |buffer: &mut [u8], sequence, base, id: &[u8]| {
            PreferencesEncoder::new(buffer, sequence, base, id).map(|_| ()).unwrap_err()
        };
        assert_eq!(begin(buffer, 0, TimeBase::Utc(0), b""), refused(Field::Sequence));
        assert_eq!(begin(buffer, 1, TimeBase::Age(-1), b""), refused(Field::BaseTime));
        assert_eq!(begin(buffer, 1, TimeBase::Utc(0), &[0; 256]), refused(Field::CustomerId));
        let mut encoder = PreferencesEncoder::new(buffer, 1, TimeBase::Utc(0), b"c").unwrap();
        assert_eq!(encoder.push(&[0; 256], b""), Err(refused(Field::PreferenceKey)));
        assert_eq!(encoder.push(b"", &[0; 1_025]), Err(refused(Field::PreferenceValue)));
        assert_eq!(encoder.finish(), Err(refused(Field::PairCount)));
    }

    #[test]
    fn a_frame_holds_64_pairs_and_not_one_more() {
        let buffer = &mut [0; 10_000];
        let mut encoder = PreferencesEncoder::new(buffer, 1, TimeBase::Utc(0), b"c").unwrap();
        for _ in 0..MAX_PREFERENCE_PAIRS {
            encoder.push(b"k", b"v").unwrap();
        }
        assert_eq!(encoder.push(b"k", b"v"), Err(EncodeError::Full { need: 65, have: 64 }));
        assert!(encoder.finish().is_ok());
    }
}
