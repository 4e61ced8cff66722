//! What rows and sightings are called: ids turned back into numbers, and numbers into words for people.

use super::sent::{Frame, Sent};
use super::time;
use crate::population::{Layout, LocationType, Naming};
use crate::scenario::Scenario;

/// RSSI that a radio can have: -100 to 0 dBm.
const READINGS: usize = 101;
/// dBm that take the odds from one to e.
const SCALE_DBM: f32 = 4.0;
/// RSSI of confidence one half at an entrance, a counter, a table.
const MIDPOINTS_DBM: [f32; 3] = [-76.0, -72.0, -68.0];

/// The names of a run's population, and what its radios make sure of.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) layout: Layout,
    pub(super) naming: Naming,
    gateway: String,
    /// Show CustomerIDs, where by default customers are numbers.
    pub(super) shows_customers: bool,
    confidences: [[f32; READINGS]; 3],
}

impl Names {
    pub(super) fn new(scenario: &Scenario, shows_customers: bool) -> Self {
        let layout = Layout::new(&scenario.population);
        let confidences = MIDPOINTS_DBM.map(|midpoint_dbm| {
            std::array::from_fn(|reading| {
                let rssi_dbm = -f32::from(u8::try_from(reading).unwrap_or(u8::MAX));
                1.0 / (1.0 + (-(rssi_dbm - midpoint_dbm) / SCALE_DBM).exp())
            })
        });
        let gateway = scenario.sessions.gateway.clone();
        Self { layout, naming: Naming::new(layout), gateway, shows_customers, confidences }
    }

    /// The confidence of a reading at a beacon; none if no radio has that reading.
    pub(super) fn confidence(&self, beacon: u32, rssi_dbm: i8) -> Option<f32> {
        let kind = match self.layout.location_type(beacon) {
            LocationType::Entrance => 0,
            LocationType::Counter => 1,
            LocationType::Table => 2,
        };
        let reading = usize::try_from(-i32::from(rssi_dbm)).ok()?;
        self.confidences[kind].get(reading).copied()
    }

    pub(super) fn customer(&self, customer: u32) -> String {
        if self.shows_customers {
            let id = Naming::customer_id(customer);
            return format!("customer {customer} ({})", String::from_utf8_lossy(&id));
        }
        format!("customer {customer}")
    }

    pub(super) fn beacon(&self, beacon: u32) -> String {
        let store = Naming::store_id(self.layout.store_of(beacon));
        format!("beacon {beacon} ({}, {store})", self.naming.place(beacon))
    }

    /// Who was where, and when.
    pub(super) fn moment(&self, customer: u32, at_us: i64, beacon: u32) -> String {
        format!("{} at {} by {}", self.customer(customer), time::text(at_us), self.beacon(beacon))
    }

    pub(super) fn frame(&self, frame: &Frame) -> String {
        format!("{}, frame {}", Naming::gateway_id(&self.gateway, frame.gateway), frame.order)
    }

    pub(super) fn sighting(&self, sent: &Sent, frame: &Frame) -> String {
        let moment = self.moment(sent.customer, sent.at_us, sent.beacon);
        format!("{}, sighting {}: {moment}, {} dBm", self.frame(frame), sent.index, sent.rssi_dbm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confidence_is_the_models_to_the_last_bit() {
        let names = Names::new(&Scenario::default(), false);
        for (beacon, midpoint_dbm) in [(0, -76.0f32), (1, -72.0), (2, -68.0), (11, -72.0)] {
            for rssi_dbm in -100i8..=0 {
                let by_formula = 1.0f32 / (1.0 + (-(f32::from(rssi_dbm) - midpoint_dbm) / 4.0).exp());
                let bits = names.confidence(beacon, rssi_dbm).map(f32::to_bits);
                assert_eq!(bits, Some(by_formula.to_bits()), "{beacon} {rssi_dbm}");
            }
            assert_eq!(names.confidence(beacon, 1), None);
            assert_eq!(names.confidence(beacon, -101), None);
        }
    }

    #[test]
    fn customers_have_ids_only_when_asked_for() {
        let id = String::from_utf8(Naming::customer_id(7).into()).unwrap();
        assert!(!Names::new(&Scenario::default(), false).customer(7).contains(&id));
        assert!(Names::new(&Scenario::default(), true).customer(7).contains(&id));
    }
}
