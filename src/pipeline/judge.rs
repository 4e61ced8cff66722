//! The rules that need nothing but the sighting, its beacon, its gateway and the clock: 1 to 7 of the model.

use std::sync::Arc;

use super::directory::Known;
use crate::domain::beacon::{Beacon, BeaconStatus};
use crate::domain::clock::{ClockReading, TimeLimits};
use crate::domain::confidence::{Confidence, ConfidenceCurve, ConfidenceSettings};
use crate::domain::customer::CustomerId;
use crate::domain::gateway::Gateway;
use crate::domain::location::LocationType;
use crate::domain::outcome::{Outcome, UndecidedReason};
use crate::domain::sighting::{BeaconClaim, ClaimedSighting, Rssi};

/// What rules 3 to 6 say of one beacon of a frame's table, once for all its sightings.
#[derive(Debug)]
pub(super) enum BeaconVerdict {
    Registered { beacon: Arc<Beacon>, location_type: LocationType },
    Refused(Outcome),
}

impl BeaconVerdict {
    pub(super) fn new(claim: &BeaconClaim, known: Known<Beacon>, gateway: &Gateway) -> Self {
        let beacon = match known {
            Known::Is(beacon) => beacon,
            Known::Not => return Self::Refused(Outcome::UnknownBeacon),
            Known::CannotSay => return Self::Refused(Outcome::Undecided(UndecidedReason::Directory)),
        };
        if (beacon.major, beacon.minor) != (claim.major, claim.minor) {
            return Self::Refused(Outcome::BeaconMismatch);
        }
        if beacon.status != BeaconStatus::Active {
            return Self::Refused(Outcome::BeaconInactive);
        }
        if !gateway.may_report(&beacon.store_id) {
            return Self::Refused(Outcome::Forbidden);
        }
        let location_type = beacon.location_type.unwrap_or_default();
        Self::Registered { beacon, location_type }
    }
}

/// The constants of the rules.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) time: TimeLimits,
    pub(super) curve: ConfidenceCurve,
}

impl Rules {
    pub(super) fn new(time: TimeLimits, confidence: &ConfidenceSettings) -> Self {
        Self { time, curve: ConfidenceCurve::new(confidence) }
    }

    /// The outcome by rules 1 to 7, or the confidence with which the sighting goes on to the duplicate window.
    pub(super) fn judge(
        &self,
        sighting: &ClaimedSighting<'_>,
        clock: &ClockReading,
        verdicts: &[BeaconVerdict],
    ) -> Result<Confidence, Outcome> {
        CustomerId::validate_bytes(sighting.customer_id).map_err(Outcome::Invalid)?;
        let rssi = Rssi::new(sighting.rssi_dbm).map_err(Outcome::Invalid)?;
        if let Some(refusal) = self.time.judge(sighting.detected_at, clock) {
            return Err(refusal);
        }
        // The codec has checked that every index is within the frame's table.
        let Some(verdict) = verdicts.get(usize::from(sighting.beacon_index)) else {
            return Err(Outcome::UnknownBeacon);
        };
        match verdict {
            BeaconVerdict::Refused(outcome) => Err(*outcome),
            BeaconVerdict::Registered { location_type, .. } => {
                let confidence = self.curve.confidence(rssi, *location_type);
                if confidence.identifies() { Ok(confidence) } else { Err(Outcome::LowConfidence) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::domain::beacon::BeaconId;
    use crate::domain::confidence::ConfidenceSettings;
    use crate::domain::gateway::{GatewayStatus, StoreScope};
    use crate::domain::outcome::InvalidField;
    use crate::domain::time::Timestamp;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
    const CLAIM: BeaconClaim = BeaconClaim { id: BeaconId::from_bytes([7; 16]), major: 1, minor: 2 };

    fn beacon() -> Beacon {
        Beacon {
            id: CLAIM.id,
            store_id: "s".parse().unwrap(),
            major: 1,
            minor: 2,
            location: None,
            location_type: None,
            status: BeaconStatus::Active,
            updated_at: NOW,
        }
    }

    fn gateway(stores: StoreScope) -> Gateway {
        Gateway { id: "g".parse().unwrap(), stores, status: GatewayStatus::Active }
    }

    fn judge(
        sighting: &ClaimedSighting<'_>,
        known: Known<Beacon>,
        stores: StoreScope,
    ) -> Result<Confidence, Outcome> {
        let rules = Rules {
            time: TimeLimits::default(),
            curve: ConfidenceCurve::new(&ConfidenceSettings::default()),
        };
        let verdicts = [BeaconVerdict::new(&CLAIM, known, &gateway(stores))];
        rules.judge(sighting, &ClockReading::agreed(NOW), &verdicts)
    }

    fn sighting() -> ClaimedSighting<'static> {
        ClaimedSighting { beacon_index: 0, rssi_dbm: -50, detected_at: NOW, customer_id: b"alice" }
    }

    #[test]
    fn a_lawful_strong_sighting_of_an_active_beacon_goes_on() {
        assert!(judge(&sighting(), Known::Is(beacon().into()), StoreScope::Every).is_ok());
    }

    /// Every sighting here breaks its own rule and all later ones.
    #[test]
    fn the_first_rule_that_applies_is_the_outcome() {
        let nothing = || StoreScope::These(HashSet::new());
        let weak = ClaimedSighting { rssi_dbm: -90, ..sighting() };
        let old = ClaimedSighting { detected_at: Timestamp::from_micros(0), ..weak };
        let loud = ClaimedSighting { rssi_dbm: 1, ..old };
        let nameless = ClaimedSighting { customer_id: b"", ..loud };
        let inactive = Beacon { status: BeaconStatus::Maintenance, ..beacon() };
        let copied = Beacon { minor: 3, ..inactive.clone() };
        let cases = [
            (nameless, Known::Not, Outcome::Invalid(InvalidField::CustomerIdEmpty)),
            (loud, Known::Not, Outcome::Invalid(InvalidField::Rssi)),
            (old, Known::Not, Outcome::TooOld),
            (weak, Known::CannotSay, Outcome::Undecided(UndecidedReason::Directory)),
            (weak, Known::Not, Outcome::UnknownBeacon),
            (weak, Known::Is(copied.into()), Outcome::BeaconMismatch),
            (weak, Known::Is(inactive.into()), Outcome::BeaconInactive),
            (weak, Known::Is(beacon().into()), Outcome::Forbidden),
        ];
        for (sighting, known, expected) in cases {
            assert_eq!(judge(&sighting, known, nothing()).unwrap_err(), expected);
        }
        assert_eq!(
            judge(&weak, Known::Is(beacon().into()), StoreScope::Every).unwrap_err(),
            Outcome::LowConfidence
        );
    }
}
