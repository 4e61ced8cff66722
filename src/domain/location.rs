//! Where a beacon hangs.

use std::fmt;
use std::str::FromStr;

use compact_str::CompactString;

/// The longest location name, in characters (the width of `beacons.location`).
pub const LOCATION_NAME_MAX_CHARS: usize = 32;

/// A location's name, such as `Table 3`: at most 32 characters, none of them a control character.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LocationName(CompactString);

/// A location name that is too long or has control characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a location is at most {LOCATION_NAME_MAX_CHARS} characters without control characters")]
pub struct NotALocationName;

impl LocationName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LocationName {
    type Err = NotALocationName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        if name.chars().count() > LOCATION_NAME_MAX_CHARS || name.chars().any(char::is_control) {
            return Err(NotALocationName);
        }
        Ok(Self(CompactString::new(name)))
    }
}

/// What kind of place it is; it decides how confidence follows from RSSI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LocationType {
    /// At the door: heard from afar.
    Entrance,
    /// At a table. A beacon without a location type counts as one.
    #[default]
    Table,
    /// At the counter.
    Counter,
}

/// Text that is none of `entrance`, `table`, `counter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a location type is one of entrance, table, counter")]
pub struct NotALocationType;

impl LocationType {
    /// Every type, in the order of [`Self::index`].
    pub const ALL: [Self; 3] = [Self::Entrance, Self::Table, Self::Counter];

    /// Its place in [`Self::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Entrance => 0,
            Self::Table => 1,
            Self::Counter => 2,
        }
    }

    /// Its name in the stores.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Entrance => "entrance",
            Self::Table => "table",
            Self::Counter => "counter",
        }
    }
}

impl fmt::Display for LocationType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for LocationType {
    type Err = NotALocationType;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name).ok_or(NotALocationType)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_32_characters_passes_and_33_do_not() {
        assert!("ü".repeat(32).parse::<LocationName>().is_ok());
        assert_eq!("ü".repeat(33).parse::<LocationName>(), Err(NotALocationName));
        assert_eq!("a\tb".parse::<LocationName>(), Err(NotALocationName));
    }

    #[test]
    fn types_round_trip_through_their_names() {
        for (index, kind) in LocationType::ALL.into_iter().enumerate() {
            assert_eq!(kind.as_str().parse(), Ok(kind));
            assert_eq!(kind.index(), index);
        }
        assert_eq!("bar".parse::<LocationType>(), Err(NotALocationType));
    }
}
