//! The restaurants of the demo: their beacons, and what each identifies.

use anyhow::Context;
use beacon_protocol::BeaconRef;
use beacond::domain::beacon::{Beacon, BeaconId, BeaconStatus};
use beacond::domain::location::LocationType;
use beacond::domain::time::Timestamp;

/// How many there are.
pub(crate) const RESTAURANTS: u16 = 10;

/// Tables where guests sit; one more in each restaurant is out of service.
pub(crate) const TABLES: usize = 10;

/// Beacons of a restaurant: the entrance, the tables in a row, the one out of service, the counter.
pub(crate) const BEACONS: usize = TABLES + 3;

/// A restaurant's beacons in the order in which a guest walks past them.
#[derive(Debug)]
pub(crate) struct Restaurant {
    /// From 1; also the Major of its beacons.
    pub(crate) number: u16,
    pub(crate) beacons: Vec<Beacon>,
}

impl Restaurant {
    pub(crate) fn open(number: u16) -> anyhow::Result<Self> {
        let beacons = (0..BEACONS).map(|place| beacon(number, place)).collect::<Result<_, _>>();
        Ok(Self { number, beacons: beacons.context("cannot furnish a restaurant")? })
    }

    /// What a gateway hears of a beacon.
    pub(crate) fn radio(&self, place: usize) -> BeaconRef {
        let beacon = &self.beacons[place];
        BeaconRef { uuid: *beacon.id.as_bytes(), major: beacon.major, minor: beacon.minor }
    }

    /// Whether a sighting this strong identifies somebody at this beacon, by the default curve: a confidence of
    /// 0.8 is reached 4 ln 4 = 5.55 dBm above the midpoint.
    pub(crate) fn identifies(&self, place: usize, rssi_dbm: i8) -> bool {
        let least_dbm = match self.beacons[place].location_type {
            Some(LocationType::Entrance) => -70,
            Some(LocationType::Counter) => -66,
            Some(LocationType::Table) | None => -62,
        };
        rssi_dbm >= least_dbm
    }
}

/// The beacon at a place; the same restaurant has the same beacons in every run.
fn beacon(number: u16, place: usize) -> anyhow::Result<Beacon> {
    const OUT_OF_SERVICE: usize = TABLES + 1;
    let minor = u16::try_from(place)?;
    let (location, location_type) = match place {
        0 => ("Entrance".to_owned(), LocationType::Entrance),
        1..=OUT_OF_SERVICE => (format!("Table {place}"), LocationType::Table),
        _ => ("Counter".to_owned(), LocationType::Counter),
    };
    let status = match place {
        OUT_OF_SERVICE if number.is_multiple_of(2) => BeaconStatus::Maintenance,
        OUT_OF_SERVICE => BeaconStatus::Inactive,
        _ => BeaconStatus::Active,
    };
    Ok(Beacon {
        id: BeaconId::from_bytes(uuid(number, minor)),
        store_id: format!("restaurant-{number:02}").parse()?,
        major: number,
        minor,
        location: Some(location.parse()?),
        location_type: Some(location_type),
        status,
        updated_at: Timestamp::from_micros(0),
    })
}

/// A UUID that looks like any other.
pub(crate) fn uuid(number: u16, minor: u16) -> [u8; 16] {
    let mut random = fastrand::Rng::with_seed(u64::from(number) << 16 | u64::from(minor));
    uuid::Builder::from_random_bytes(random.u128(..).to_be_bytes()).into_uuid().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use beacond::domain::confidence::{ConfidenceCurve, ConfidenceSettings};
    use beacond::domain::sighting::Rssi;

    #[test]
    fn what_identifies_is_what_the_default_curve_says() {
        let restaurant = Restaurant::open(3).unwrap();
        let curve = ConfidenceCurve::new(&ConfidenceSettings::default());
        for (place, beacon) in restaurant.beacons.iter().enumerate() {
            for rssi_dbm in -100..=0 {
                let kind = beacon.location_type.unwrap();
                let confidence = curve.confidence(Rssi::new(rssi_dbm).unwrap(), kind);
                assert_eq!(
                    restaurant.identifies(place, rssi_dbm),
                    confidence.identifies(),
                    "{kind} {rssi_dbm}"
                );
            }
        }
    }

    #[test]
    fn every_beacon_has_its_own_id() {
        let mut ids: Vec<_> = (1..=RESTAURANTS)
            .flat_map(|number| Restaurant::open(number).unwrap().beacons)
            .map(|beacon| beacon.id)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), usize::from(RESTAURANTS) * BEACONS);
    }
}
