//! The beacon: a radio with a place, registered by a restaurant.

use std::fmt;
use std::str::FromStr;

use compact_str::CompactString;
use uuid::Uuid;

use super::location::{LocationName, LocationType};
use super::time::Timestamp;

/// The longest StoreID, in characters (the width of `beacons.store_id`).
pub const STORE_ID_MAX_CHARS: usize = 64;

/// A beacon's UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BeaconId(Uuid);

/// Text that is not a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a beacon id is a UUID such as 0db9ba02-25ee-562c-9dee-7afcb156cfba")]
pub struct NotABeaconId;

impl BeaconId {
    /// The id of these 16 bytes, in the order of the UUID's text.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// Its 16 bytes, in the order of the UUID's text.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The lower-case text with hyphens, 36 characters, written into `buffer`.
    pub fn write_text<'b>(&self, buffer: &'b mut [u8; 36]) -> &'b str {
        self.0.hyphenated().encode_lower(buffer)
    }
}

impl fmt::Display for BeaconId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for BeaconId {
    type Err = NotABeaconId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(Self).map_err(|_| NotABeaconId)
    }
}

/// The restaurant a beacon belongs to: 1 to 64 characters, none of them a control character.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(CompactString);

/// A StoreID that is empty, too long or has control characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a store id is 1 to {STORE_ID_MAX_CHARS} characters without control characters")]
pub struct NotAStoreId;

impl StoreId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StoreId {
    type Err = NotAStoreId;

    fn from_str(id: &str) -> Result<Self, Self::Err> {
        let chars = id.chars().count();
        if chars == 0 || chars > STORE_ID_MAX_CHARS || id.chars().any(char::is_control) {
            return Err(NotAStoreId);
        }
        Ok(Self(CompactString::new(id)))
    }
}

/// Whether a beacon's sightings count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum BeaconStatus {
    /// They do.
    #[default]
    Active,
    /// Retired.
    Inactive,
    /// Being worked on.
    Maintenance,
}

/// Text that is none of `active`, `inactive`, `maintenance`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a beacon's status is one of active, inactive, maintenance")]
pub struct NotABeaconStatus;

impl BeaconStatus {
    const ALL: [Self; 3] = [Self::Active, Self::Inactive, Self::Maintenance];

    /// Its name in the stores.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Maintenance => "maintenance",
        }
    }
}

impl fmt::Display for BeaconStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for BeaconStatus {
    type Err = NotABeaconStatus;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|status| status.as_str() == name).ok_or(NotABeaconStatus)
    }
}

/// A registered beacon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beacon {
    /// Its UUID.
    pub id: BeaconId,
    /// The restaurant it belongs to.
    pub store_id: StoreId,
    /// The upper of the two numbers it sends.
    pub major: u16,
    /// The lower of the two numbers it sends.
    pub minor: u16,
    /// What its place is called, if it has a name.
    pub location: Option<LocationName>,
    /// What kind of place that is; unset counts as a table.
    pub location_type: Option<LocationType>,
    /// Whether its sightings count.
    pub status: BeaconStatus,
    /// When the registration last changed.
    pub updated_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_statuses_round_trip_through_their_text() {
        let text = "0db9ba02-25ee-562c-9dee-7afcb156cfba";
        let id: BeaconId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(id.write_text(&mut [0; 36]), text);
        assert_eq!(BeaconId::from_bytes(*id.as_bytes()), id);
        for status in BeaconStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        assert_eq!("gone".parse::<BeaconStatus>(), Err(NotABeaconStatus));
    }

    #[test]
    fn store_ids_have_one_to_64_characters() {
        assert_eq!("".parse::<StoreId>(), Err(NotAStoreId));
        assert!("s".repeat(64).parse::<StoreId>().is_ok());
        assert_eq!("s".repeat(65).parse::<StoreId>(), Err(NotAStoreId));
    }
}
