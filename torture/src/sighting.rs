//! Sightings, and what must become of each by the data model's words: nothing of the daemon's code is used.

use beacon_protocol::OutcomeCode;
use uuid::Uuid;

/// Two identities of a customer are at least so far apart.
pub(crate) const MINUTE_US: i64 = 60_000_000;

/// Confidence that makes an identity.
const THRESHOLD: f32 = 0.8;

/// dBm that take the odds from one to e.
const SCALE_DBM: f32 = 4.0;

/// The store that every gateway may report.
pub(crate) const OURS: &str = "ours";

/// The store of one beacon, which the registered gateway may not report.
const THEIRS: &str = "theirs";

/// What a beacon is in the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Active,
    Inactive,
    Maintenance,
    /// Not in it.
    Unknown,
    /// In it with another minor: somebody copied the UUID.
    Copied,
    /// Of a store that not every gateway may report.
    Foreign,
}

/// A beacon of the torture's restaurant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beacon {
    pub(crate) standing: Standing,
    pub(crate) location_type: &'static str,
    midpoint_dbm: f32,
}

const fn beacon(standing: Standing, location_type: &'static str, midpoint_dbm: f32) -> Beacon {
    Beacon { standing, location_type, midpoint_dbm }
}

/// All of them; a sighting names one by its place.
pub(crate) const BEACONS: [Beacon; 12] = [
    beacon(Standing::Active, "table", -68.0),
    beacon(Standing::Active, "table", -68.0),
    beacon(Standing::Active, "counter", -72.0),
    beacon(Standing::Active, "counter", -72.0),
    beacon(Standing::Active, "entrance", -76.0),
    beacon(Standing::Active, "entrance", -76.0),
    beacon(Standing::Active, "", -68.0),
    beacon(Standing::Inactive, "table", -68.0),
    beacon(Standing::Maintenance, "table", -68.0),
    beacon(Standing::Unknown, "table", -68.0),
    beacon(Standing::Copied, "table", -68.0),
    beacon(Standing::Foreign, "table", -68.0),
];

/// The UUID of the beacon at this place.
pub(crate) fn beacon_id(place: u8) -> Uuid {
    Uuid::from_u128((0xBEAC << 112) | (0x7047 << 64) | u128::from(place))
}

/// The minor that is registered, and the one that gateways hear.
fn minors(place: u8) -> (u16, u16) {
    let registered = u16::from(place) + 1;
    let copied = BEACONS.get(usize::from(place)).is_some_and(|beacon| beacon.standing == Standing::Copied);
    (registered, if copied { registered + 1_000 } else { registered })
}

/// The registry, as `beacond beacon import` takes it.
pub(crate) fn registry() -> String {
    let mut csv = String::from("beacon_id,store_id,major,minor,location,location_type,status\n");
    for (place, beacon) in (0..).zip(&BEACONS) {
        let status = match beacon.standing {
            Standing::Unknown => continue,
            Standing::Active | Standing::Copied | Standing::Foreign => "active",
            Standing::Inactive => "inactive",
            Standing::Maintenance => "maintenance",
        };
        let store = if beacon.standing == Standing::Foreign { THEIRS } else { OURS };
        let (id, (minor, _)) = (beacon_id(place), minors(place));
        csv.push_str(&format!("{id},{store},1,{minor},Place {place},{},{status}\n", beacon.location_type));
    }
    csv
}

/// Whether a customer id is as it should be, or what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum IdForm {
    Good,
    Empty,
    Long,
    Control,
    NotUtf8,
}

/// What a gateway says it heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Sighting {
    pub(crate) round: u32,
    pub(crate) customer: u32,
    pub(crate) at_us: i64,
    pub(crate) beacon: u8,
    pub(crate) rssi_dbm: i8,
    pub(crate) id: IdForm,
}

/// What makes two sightings one and the same identity.
pub(crate) type Key = (u32, i64, u8);

impl Sighting {
    pub(crate) const fn key(&self) -> Key {
        (self.customer, self.at_us, self.beacon)
    }

    /// The id as it goes over the wire.
    pub(crate) fn customer_id(&self) -> Vec<u8> {
        let id = customer_id(self.round, self.customer);
        match self.id {
            IdForm::Good => id.into_bytes(),
            IdForm::Empty => Vec::new(),
            IdForm::Long => format!("{id}-{}", "x".repeat(64)).into_bytes(),
            IdForm::Control => format!("{id}\n").into_bytes(),
            IdForm::NotUtf8 => [id.as_bytes(), &[0xFF]].concat(),
        }
    }

    /// The beacon as it is heard: UUID, major, minor.
    pub(crate) fn heard(&self) -> beacon_protocol::BeaconRef {
        let minor = minors(self.beacon).1;
        beacon_protocol::BeaconRef { uuid: beacon_id(self.beacon).into_bytes(), major: 1, minor }
    }

    /// How sure the signal makes us, in the bits of an f32.
    pub(crate) fn confidence_bits(&self) -> u32 {
        self.confidence().to_bits()
    }

    fn confidence(&self) -> f32 {
        let midpoint_dbm = BEACONS.get(usize::from(self.beacon)).map_or(0.0, |beacon| beacon.midpoint_dbm);
        1.0 / (1.0 + (-(f32::from(self.rssi_dbm) - midpoint_dbm) / SCALE_DBM).exp())
    }

    /// The outcome by the rules that need no other sighting; `Identified` where only another one can stand against it.
    /// `now_us` may be hours wrong: no time is sent that is near a limit.
    pub(crate) fn outcome(&self, registered_gateway: bool, now_us: i64) -> OutcomeCode {
        const SIX_DAYS_US: i64 = 6 * 24 * 60 * MINUTE_US;
        let standing =
            BEACONS.get(usize::from(self.beacon)).map_or(Standing::Unknown, |beacon| beacon.standing);
        if self.id != IdForm::Good || !(-100..=0).contains(&self.rssi_dbm) {
            OutcomeCode::Invalid
        } else if self.at_us - now_us > SIX_DAYS_US {
            OutcomeCode::ClockSkew
        } else if now_us - self.at_us > 2 * SIX_DAYS_US {
            OutcomeCode::TooOld
        } else if standing == Standing::Unknown {
            OutcomeCode::UnknownBeacon
        } else if standing == Standing::Copied {
            OutcomeCode::BeaconMismatch
        } else if matches!(standing, Standing::Inactive | Standing::Maintenance) {
            OutcomeCode::BeaconInactive
        } else if standing == Standing::Foreign && registered_gateway {
            OutcomeCode::Forbidden
        } else if self.confidence() < THRESHOLD {
            OutcomeCode::LowConfidence
        } else {
            OutcomeCode::Identified
        }
    }
}

/// The id of a customer of a round.
pub(crate) fn customer_id(round: u32, customer: u32) -> String {
    format!("r{round:05}-{customer:05}")
}

/// The customer of an id, if it is one of this round.
pub(crate) fn customer_of(round: u32, id: &str) -> Option<u32> {
    let (of_round, customer) = id.strip_prefix('r')?.split_once('-')?;
    let customer = customer.parse().ok()?;
    (of_round.parse() == Ok(round) && id == customer_id(round, customer)).then_some(customer)
}

/// The place of a beacon's UUID, if it is one of these.
pub(crate) fn place_of(id: &str) -> Option<u8> {
    (0..u8::try_from(BEACONS.len()).ok()?).find(|place| beacon_id(*place).to_string() == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000_000;

    fn heard(beacon: u8, rssi_dbm: i8) -> Sighting {
        Sighting { round: 3, customer: 12, at_us: NOW, beacon, rssi_dbm, id: IdForm::Good }
    }

    #[test]
    fn outcomes_are_the_models() {
        let day = 24 * 60 * MINUTE_US;
        let cases = [
            (heard(0, -62), OutcomeCode::Identified),
            (heard(0, -63), OutcomeCode::LowConfidence),
            (heard(2, -66), OutcomeCode::Identified),
            (heard(4, -71), OutcomeCode::LowConfidence),
            (heard(6, -62), OutcomeCode::Identified),
            (heard(0, 1), OutcomeCode::Invalid),
            (Sighting { id: IdForm::Long, ..heard(0, -50) }, OutcomeCode::Invalid),
            (heard(7, -50), OutcomeCode::BeaconInactive),
            (heard(9, -50), OutcomeCode::UnknownBeacon),
            (heard(10, -50), OutcomeCode::BeaconMismatch),
            (heard(11, -50), OutcomeCode::Forbidden),
            (Sighting { at_us: NOW + 30 * day, ..heard(9, -50) }, OutcomeCode::ClockSkew),
            (Sighting { at_us: NOW - 20 * day, ..heard(9, -50) }, OutcomeCode::TooOld),
        ];
        for (sighting, outcome) in cases {
            assert_eq!(sighting.outcome(true, NOW), outcome, "{sighting:?}");
        }
        assert_eq!(heard(11, -50).outcome(false, NOW), OutcomeCode::Identified);
    }

    #[test]
    fn ids_lead_back_to_their_customers_and_broken_ones_to_none() {
        let good = String::from_utf8(heard(0, -50).customer_id()).unwrap();
        assert_eq!(customer_of(3, &good), Some(12));
        assert_eq!(customer_of(4, &good), None);
        for id in [IdForm::Empty, IdForm::Long, IdForm::Control] {
            let id = String::from_utf8(Sighting { id, ..heard(0, -50) }.customer_id()).unwrap();
            assert_eq!(customer_of(3, &id), None);
        }
        assert_eq!(place_of(&beacon_id(11).to_string()), Some(11));
        assert_eq!(place_of("x"), None);
    }
}
