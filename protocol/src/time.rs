//! The time a sequenced frame refers to: of the day, or an age.

use crate::error::{DecodeError, EncodeError, Field};

/// Flag: the base is an age at the moment of this transmission.
pub(crate) const AGES_FLAG: u8 = 0b0000_0001;

/// What the times of a frame are counted from, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeBase {
    /// Since 1970-01-01T00:00:00Z, by the gateway's clock.
    Utc(i64),
    /// Before the moment of this transmission, zero or more: for a gateway without a clock it trusts.
    Age(i64),
}

impl TimeBase {
    /// The UTC time of something `offset_us` after the base, in a frame received at `received_at_us`; saturating.
    #[inline]
    #[must_use]
    pub const fn resolve(self, received_at_us: i64, offset_us: i32) -> i64 {
        self.origin(received_at_us).saturating_add(offset_us as i64)
    }

    /// The UTC time of the base itself, saturating.
    #[must_use]
    pub const fn origin(self, received_at_us: i64) -> i64 {
        match self {
            Self::Utc(base) => base,
            Self::Age(age) => received_at_us.saturating_sub(age),
        }
    }

    /// Whether the base is an age.
    #[must_use]
    pub const fn is_age(self) -> bool {
        matches!(self, Self::Age(_))
    }

    /// From the field and the flags as they stand on the wire; `offset` is the field's.
    pub(crate) fn from_wire(base: i64, flags: u8, kind: u8, offset: usize) -> Result<Self, DecodeError> {
        match flags {
            0 => Ok(Self::Utc(base)),
            AGES_FLAG if base >= 0 => Ok(Self::Age(base)),
            AGES_FLAG => Err(DecodeError::Field { kind, field: Field::BaseTime, offset }),
            // The flags stand right behind the eight bytes of the base.
            _ => Err(DecodeError::Field { kind, field: Field::Flags, offset: offset.saturating_add(8) }),
        }
    }

    /// The field and the flags for the wire.
    pub(crate) const fn to_wire(self) -> Result<(i64, u8), EncodeError> {
        match self {
            Self::Utc(base) => Ok((base, 0)),
            Self::Age(age) if age >= 0 => Ok((age, AGES_FLAG)),
            Self::Age(_) => Err(EncodeError::Field { field: Field::BaseTime }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_counts_back_from_the_moment_of_receipt() {
        assert_eq!(TimeBase::Utc(1_000).resolve(77, -1), 999);
        assert_eq!(TimeBase::Age(1_000).resolve(5_000, 10), 4_010);
    }

    #[test]
    fn times_saturate() {
        assert_eq!(TimeBase::Utc(i64::MAX).resolve(0, 1), i64::MAX);
        assert_eq!(TimeBase::Age(i64::MAX).resolve(-10, i32::MIN), i64::MIN);
    }
}
