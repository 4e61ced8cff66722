//! How sure an RSSI makes us that the customer is at the beacon's place.
//!
//! The logistic curve `1 / (1 + exp(-(rssi - midpoint) / scale))`, all in dBm, with a midpoint by location type.

use super::location::LocationType;
use super::sighting::Rssi;

/// The least confidence that makes an identity.
pub const CONFIDENCE_THRESHOLD: f32 = 0.8;

/// A probability, 0.0 to 1.0.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Confidence(f32);

impl Confidence {
    /// A confidence read back from a store; nothing when it is none.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "stores keep an f32, some of them in a wider column")]
    pub fn from_stored(value: f64) -> Option<Self> {
        (0.0..=1.0).contains(&value).then_some(Self(value as f32))
    }

    /// The value, 0.0 to 1.0.
    #[must_use]
    pub const fn as_f32(self) -> f32 {
        self.0
    }

    /// Whether it is enough for an identity.
    #[must_use]
    pub fn identifies(self) -> bool {
        self.0 >= CONFIDENCE_THRESHOLD
    }
}

/// The constants of the curve, in dBm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConfidenceSettings {
    /// RSSI of confidence one half at an entrance.
    pub entrance_midpoint_dbm: f32,
    /// RSSI of confidence one half at a table.
    pub table_midpoint_dbm: f32,
    /// RSSI of confidence one half at a counter.
    pub counter_midpoint_dbm: f32,
    /// How many dBm take the odds from one to e.
    pub scale_dbm: f32,
}

impl Default for ConfidenceSettings {
    fn default() -> Self {
        Self {
            entrance_midpoint_dbm: -76.0,
            table_midpoint_dbm: -68.0,
            counter_midpoint_dbm: -72.0,
            scale_dbm: 4.0,
        }
    }
}

/// The curve, tabulated: an RSSI has 101 lawful values.
#[derive(Debug, Clone)]
pub struct ConfidenceCurve {
    by_type: [[f32; Rssi::VALUES]; LocationType::ALL.len()],
}

impl ConfidenceCurve {
    /// Tabulates the curve of these constants.
    #[must_use]
    pub fn new(settings: &ConfidenceSettings) -> Self {
        let table = |midpoint_dbm: f32| {
            std::array::from_fn(|index| {
                let rssi_dbm = f32::from(Rssi::from_index(index).dbm());
                1.0 / (1.0 + (-(rssi_dbm - midpoint_dbm) / settings.scale_dbm).exp())
            })
        };
        Self {
            by_type: LocationType::ALL.map(|kind| {
                table(match kind {
                    LocationType::Entrance => settings.entrance_midpoint_dbm,
                    LocationType::Table => settings.table_midpoint_dbm,
                    LocationType::Counter => settings.counter_midpoint_dbm,
                })
            }),
        }
    }

    /// The confidence of one reading.
    #[must_use]
    pub fn confidence(&self, rssi: Rssi, location_type: LocationType) -> Confidence {
        Confidence(self.by_type[location_type.index()][rssi.index()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_the_formula_in_f32() {
        let settings = ConfidenceSettings::default();
        let curve = ConfidenceCurve::new(&settings);
        for (kind, midpoint) in
            [(LocationType::Table, -68.0f32), (LocationType::Counter, -72.0), (LocationType::Entrance, -76.0)]
        {
            for dbm in -100i8..=0 {
                let expected = 1.0f32 / (1.0 + (-(f32::from(dbm) - midpoint) / 4.0f32).exp());
                let confidence = curve.confidence(Rssi::new(dbm).unwrap(), kind);
                assert_eq!(confidence.as_f32().to_bits(), expected.to_bits(), "{kind} {dbm}");
                assert!((0.0..=1.0).contains(&confidence.as_f32()));
            }
        }
    }

    #[test]
    fn at_a_table_minus_62_identifies_and_minus_63_does_not() {
        let curve = ConfidenceCurve::new(&ConfidenceSettings::default());
        let confidence = |dbm| curve.confidence(Rssi::new(dbm).unwrap(), LocationType::Table);
        assert!(confidence(-62).identifies());
        assert!(!confidence(-63).identifies());
    }
}
