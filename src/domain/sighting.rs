//! What a gateway says it heard.

use super::beacon::BeaconId;
use super::outcome::InvalidField;
use super::time::Timestamp;

/// A received signal strength: -100 to 0 dBm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rssi(i8);

impl Rssi {
    /// How many values there are.
    pub const VALUES: usize = 101;

    /// Takes a reading in dBm.
    ///
    /// # Errors
    /// [`InvalidField::Rssi`] outside -100..=0.
    pub const fn new(dbm: i8) -> Result<Self, InvalidField> {
        if dbm < -100 || dbm > 0 { Err(InvalidField::Rssi) } else { Ok(Self(dbm)) }
    }

    /// The value in dBm.
    #[must_use]
    pub const fn dbm(self) -> i8 {
        self.0
    }

    /// Its place in a table over all values: 0 for 0 dBm, 100 for -100 dBm.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0.unsigned_abs() as usize
    }

    /// The value at `index` of such a table, the last one past its end.
    #[must_use]
    pub fn from_index(index: usize) -> Self {
        Self(i8::try_from(index.min(Self::VALUES - 1)).map_or(-100, |positive| -positive))
    }
}

/// What a beacon sends: its UUID and two numbers. What of it is true is for the directory to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BeaconClaim {
    /// The UUID heard.
    pub id: BeaconId,
    /// The Major heard.
    pub major: u16,
    /// The Minor heard.
    pub minor: u16,
}

/// One sighting as it came over the wire: claimed, nothing of it checked yet.
#[derive(Debug, Clone, Copy)]
pub struct ClaimedSighting<'a> {
    /// Index of the beacon in its frame's table.
    pub beacon_index: u8,
    /// Signal strength in dBm, any value.
    pub rssi_dbm: i8,
    /// When it was heard.
    pub detected_at: Timestamp,
    /// CustomerID, 0 to 255 raw bytes.
    pub customer_id: &'a [u8],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rssi_is_minus_100_to_0_dbm() {
        assert_eq!(Rssi::new(-101), Err(InvalidField::Rssi));
        assert_eq!(Rssi::new(1), Err(InvalidField::Rssi));
        for dbm in -100..=0 {
            let rssi = Rssi::new(dbm).unwrap();
            assert_eq!(Rssi::from_index(rssi.index()), rssi);
        }
    }
}
