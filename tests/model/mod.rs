//! A slow and obvious model of what becomes of sightings, written from the documents and from nothing of the daemon.

pub(crate) mod cases;
pub(crate) mod generated;
pub(crate) mod random;
pub(crate) mod tables;
pub(crate) mod tracks;

use std::collections::BTreeMap;

use uuid::Uuid;

const SECOND_US: i64 = 1_000_000;
const MINUTE_US: i64 = 60 * SECOND_US;
const DAY_US: i64 = 24 * 60 * MINUTE_US;

/// A registered beacon, as `beacond beacon import` takes it.
#[derive(Debug, Clone)]
pub(crate) struct Beacon {
    pub(crate) id: Uuid,
    pub(crate) store: String,
    pub(crate) major: u16,
    pub(crate) minor: u16,
    pub(crate) location: Option<String>,
    pub(crate) location_type: Option<String>,
    pub(crate) status: String,
}

/// What a gateway may report.
#[derive(Debug, Clone)]
pub(crate) enum Scope {
    Every,
    Stores(Vec<String>),
}

/// What a gateway says it heard.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Sighting {
    pub(crate) detected_at_us: i64,
    pub(crate) customer_id: Vec<u8>,
    pub(crate) beacon: Uuid,
    pub(crate) major: u16,
    pub(crate) minor: u16,
    pub(crate) rssi_dbm: i8,
}

/// Which rule an invalid sighting breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    Empty,
    Long,
    Control,
    NotUtf8,
    Rssi,
}

/// The outcomes, in the order in which they apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Invalid(Fault),
    ClockSkew,
    TooOld,
    UnknownBeacon,
    BeaconMismatch,
    BeaconInactive,
    Forbidden,
    LowConfidence,
    Duplicate,
    Identified,
}

impl Outcome {
    /// Its name, as `loadtest` and the ledger write it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid",
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

    /// Its code on the wire, and the detail beside it.
    pub(crate) fn code(self) -> (u8, u8) {
        match self {
            Self::Invalid(Fault::Empty) => (1, 1),
            Self::Invalid(Fault::Long) => (1, 2),
            Self::Invalid(Fault::Control) => (1, 3),
            Self::Invalid(Fault::NotUtf8) => (1, 4),
            Self::Invalid(Fault::Rssi) => (1, 5),
            Self::ClockSkew => (2, 0),
            Self::TooOld => (3, 0),
            Self::UnknownBeacon => (4, 0),
            Self::BeaconMismatch => (5, 0),
            Self::BeaconInactive => (6, 0),
            Self::Forbidden => (7, 0),
            Self::LowConfidence => (8, 0),
            Self::Duplicate => (9, 0),
            Self::Identified => (10, 0),
        }
    }
}

/// An identity that was accepted.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) detected_at_us: i64,
    pub(crate) beacon: Uuid,
    pub(crate) location: Option<String>,
    pub(crate) confidence: f32,
}

/// Everything accepted so far, and what is registered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    beacons: Vec<Beacon>,
    gateways: Vec<(String, Scope)>,
    /// By customer, in the order they were accepted.
    identities: BTreeMap<String, Vec<Identity>>,
}

impl Model {
    pub(crate) fn new(beacons: &[Beacon], gateways: &[(String, Scope)]) -> Self {
        Self { beacons: beacons.to_vec(), gateways: gateways.to_vec(), identities: BTreeMap::new() }
    }

    /// A model in which one gateway may report everything.
    pub(crate) fn of_one_gateway(beacons: &[Beacon], gateway: &str) -> Self {
        Self::new(beacons, &[(gateway.to_owned(), Scope::Every)])
    }

    /// What becomes of this sighting, after all decided before it, at the daemon's `now_us`.
    pub(crate) fn decide(&mut self, gateway: &str, sighting: &Sighting, now_us: i64) -> Outcome {
        let customer = match lawful_customer(&sighting.customer_id) {
            Ok(customer) => customer,
            Err(fault) => return Outcome::Invalid(fault),
        };
        if !(-100..=0).contains(&sighting.rssi_dbm) {
            return Outcome::Invalid(Fault::Rssi);
        }
        if i128::from(sighting.detected_at_us) - i128::from(now_us) > i128::from(5 * MINUTE_US) {
            return Outcome::ClockSkew;
        }
        if i128::from(now_us) - i128::from(sighting.detected_at_us) > i128::from(7 * DAY_US) {
            return Outcome::TooOld;
        }
        let Some(beacon) = self.beacons.iter().find(|beacon| beacon.id == sighting.beacon) else {
            return Outcome::UnknownBeacon;
        };
        if beacon.major != sighting.major || beacon.minor != sighting.minor {
            return Outcome::BeaconMismatch;
        }
        if beacon.status != "active" {
            return Outcome::BeaconInactive;
        }
        if !self.may_report(gateway, &beacon.store) {
            return Outcome::Forbidden;
        }
        let confidence = confidence(sighting.rssi_dbm, beacon.location_type.as_deref());
        if confidence < 0.8 {
            return Outcome::LowConfidence;
        }
        let accepted = self.identities.entry(customer.to_owned()).or_default();
        for identity in accepted.iter() {
            if identity.detected_at_us == sighting.detected_at_us && identity.beacon == sighting.beacon {
                return Outcome::Identified;
            }
        }
        for identity in accepted.iter() {
            if (identity.detected_at_us - sighting.detected_at_us).abs() < MINUTE_US {
                return Outcome::Duplicate;
            }
        }
        accepted.push(Identity {
            detected_at_us: sighting.detected_at_us,
            beacon: sighting.beacon,
            location: beacon.location.clone(),
            confidence,
        });
        Outcome::Identified
    }

    /// The outcomes of a whole sequence at one `now_us`, one for each sighting.
    pub(crate) fn decide_all(&mut self, gateway: &str, sightings: &[Sighting], now_us: i64) -> Vec<Outcome> {
        let decide = |sighting| self.decide(gateway, sighting, now_us);
        sightings.iter().map(decide).collect()
    }

    /// What was accepted, by customer.
    pub(crate) fn identities(&self) -> impl Iterator<Item = (&str, &Identity)> {
        self.identities.iter().flat_map(|(customer, accepted)| {
            accepted.iter().map(move |identity| (customer.as_str(), identity))
        })
    }

    fn may_report(&self, gateway: &str, store: &str) -> bool {
        let scope = self.gateways.iter().find(|(id, _)| id == gateway).map(|(_, scope)| scope);
        match scope {
            Some(Scope::Every) => true,
            Some(Scope::Stores(stores)) => stores.iter().any(|allowed| allowed == store),
            None => false,
        }
    }
}

/// How many sightings had each outcome, by its name.
pub(crate) fn totals(outcomes: &[Outcome]) -> BTreeMap<String, u64> {
    let mut totals = BTreeMap::new();
    for outcome in outcomes {
        *totals.entry(outcome.label().to_owned()).or_insert(0) += 1;
    }
    totals
}

/// The certainty of a reading: the logistic curve around the midpoint of the beacon's location type.
pub(crate) fn confidence(rssi_dbm: i8, location_type: Option<&str>) -> f32 {
    let midpoint: f32 = match location_type {
        Some("counter") => -72.0,
        Some("entrance") => -76.0,
        _ => -68.0,
    };
    let scale: f32 = 4.0;
    1.0 / (1.0 + (-(f32::from(rssi_dbm) - midpoint) / scale).exp())
}

fn lawful_customer(id: &[u8]) -> Result<&str, Fault> {
    if id.is_empty() {
        return Err(Fault::Empty);
    }
    let Ok(text) = std::str::from_utf8(id) else {
        return Err(Fault::NotUtf8);
    };
    if text.chars().count() > 64 {
        return Err(Fault::Long);
    }
    if text.chars().any(char::is_control) {
        return Err(Fault::Control);
    }
    Ok(text)
}
