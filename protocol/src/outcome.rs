//! What becomes of a sighting, as the code in a result record.

/// Number of outcome codes: a result record carries one count for each.
pub const OUTCOME_CODES: usize = 11;

/// What was decided about one sighting, in the order the rules are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum OutcomeCode {
    /// No acknowledgement: a store that is needed cannot be asked. Send the sighting again in a new frame.
    Undecided = 0,
    /// A field breaks the model's rules; the exception's detail names it.
    Invalid = 1,
    /// Detected too far ahead of the daemon's clock.
    ClockSkew = 2,
    /// Detected too long ago.
    TooOld = 3,
    /// No beacon with this UUID is registered.
    UnknownBeacon = 4,
    /// The registered beacon has another major or minor.
    BeaconMismatch = 5,
    /// The beacon is inactive or in maintenance.
    BeaconInactive = 6,
    /// This gateway may not report the beacon's store.
    Forbidden = 7,
    /// The signal is too weak to identify by.
    LowConfidence = 8,
    /// The customer was identified within the same minute.
    Duplicate = 9,
    /// The customer is identified.
    Identified = 10,
}

impl OutcomeCode {
    /// Every code, at the index of its number.
    pub const ALL: [Self; OUTCOME_CODES] = [
        Self::Undecided,
        Self::Invalid,
        Self::ClockSkew,
        Self::TooOld,
        Self::UnknownBeacon,
        Self::BeaconMismatch,
        Self::BeaconInactive,
        Self::Forbidden,
        Self::LowConfidence,
        Self::Duplicate,
        Self::Identified,
    ];

    /// The code of a byte.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Undecided,
            1 => Self::Invalid,
            2 => Self::ClockSkew,
            3 => Self::TooOld,
            4 => Self::UnknownBeacon,
            5 => Self::BeaconMismatch,
            6 => Self::BeaconInactive,
            7 => Self::Forbidden,
            8 => Self::LowConfidence,
            9 => Self::Duplicate,
            10 => Self::Identified,
            _ => return None,
        })
    }

    /// The byte on the wire.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self as u8
    }

    /// Whether a result record lists each sighting with this code, not only their number.
    #[must_use]
    pub const fn is_listed(self) -> bool {
        (self as u8) <= (Self::Forbidden as u8)
    }

    /// Whether the sighting is acknowledged by it.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Undecided)
    }

    /// The code's name in metrics and reports.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Undecided => "undecided",
            Self::Invalid => "invalid",
            Self::ClockSkew => "clock_skew",
            Self::TooOld => "too_old",
            Self::UnknownBeacon => "unknown_beacon",
            Self::BeaconMismatch => "beacon_mismatch",
            Self::BeaconInactive => "beacon_inactive",
            Self::Forbidden => "forbidden",
            Self::LowConfidence => "low_confidence",
            Self::Duplicate => "duplicate",
            Self::Identified => "identified",
        }
    }
}

/// Which field of an `invalid` sighting (or of preferences) is at fault: the exception's detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum InvalidDetail {
    /// The customer id is empty.
    CustomerIdEmpty = 1,
    /// The customer id has more than 64 characters.
    CustomerIdLong = 2,
    /// The customer id has control characters.
    CustomerIdControl = 3,
    /// The customer id is not UTF-8.
    CustomerIdNotUtf8 = 4,
    /// The RSSI is outside -100..=0 dBm.
    Rssi = 5,
    /// A preference key is empty, too long or has control characters.
    PreferenceKey = 6,
    /// A preference value is too long or not UTF-8.
    PreferenceValue = 7,
    /// The time of the update is too far ahead.
    UpdatedAt = 8,
}

impl InvalidDetail {
    /// The detail of a byte.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::CustomerIdEmpty,
            2 => Self::CustomerIdLong,
            3 => Self::CustomerIdControl,
            4 => Self::CustomerIdNotUtf8,
            5 => Self::Rssi,
            6 => Self::PreferenceKey,
            7 => Self::PreferenceValue,
            8 => Self::UpdatedAt,
            _ => return None,
        })
    }

    /// The byte on the wire.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self as u8
    }
}

/// Why a sighting is `undecided`: the exception's detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum UndecidedDetail {
    /// The beacon directory cannot be asked.
    Directory = 1,
    /// The system of record cannot be asked, or its commit failed.
    Store = 2,
    /// The duplicate window has reached its bound.
    WindowFull = 3,
    /// The daemon is not sure of its own clock.
    ClockUnsure = 4,
}

impl UndecidedDetail {
    /// The detail of a byte.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Directory,
            2 => Self::Store,
            3 => Self::WindowFull,
            4 => Self::ClockUnsure,
            _ => return None,
        })
    }

    /// The byte on the wire.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_stands_for_its_own_code_only() {
        for byte in 0..=u8::MAX {
            assert_eq!(OutcomeCode::from_byte(byte), OutcomeCode::ALL.get(usize::from(byte)).copied());
            assert!(InvalidDetail::from_byte(byte).is_none_or(|detail| detail.byte() == byte));
            assert!(UndecidedDetail::from_byte(byte).is_none_or(|detail| detail.byte() == byte));
        }
    }

    #[test]
    fn listed_are_the_codes_from_undecided_to_forbidden() {
        let listed = OutcomeCode::ALL.into_iter().filter(|code| code.is_listed()).count();
        assert_eq!(listed, 8);
        assert!(OutcomeCode::Forbidden.is_listed() && !OutcomeCode::LowConfidence.is_listed());
    }
}
