//! Whether the identities stored are those that the sightings sent allow and demand.

use beacon_protocol::{OUTCOME_CODES, OutcomeCode};

use super::restaurants::BEACONS;
use super::visits::{GUESTS, Heard};

/// The same customer is not identified twice within this.
const WINDOW_US: i64 = 60_000_000;

/// A sighting that may identify, or an identity. They sort by customer, then time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    /// Number of the customer, over all restaurants.
    pub(crate) customer: u32,
    /// Microseconds since the Unix epoch.
    pub(crate) detected_at_us: i64,
    /// Number of the beacon, over all restaurants.
    pub(crate) beacon: usize,
}

/// What was sent, and what should become of it.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// Sightings by outcome code; at `identified` those that must be identified or a duplicate.
    pub(crate) expected: [u64; OUTCOME_CODES],
    /// These, one by one: 24 bytes each, for as long as the demo runs.
    pub(crate) eligible: Vec<Moment>,
}

impl Sent {
    pub(crate) fn add(&mut self, restaurant: u16, heard: &Heard) {
        self.expected[usize::from(heard.expected.byte())] += 1;
        if heard.expected == OutcomeCode::Identified {
            self.eligible.push(Moment {
                customer: customer(restaurant, heard.guest),
                detected_at_us: heard.detected_at_us,
                beacon: beacon(restaurant, heard.place),
            });
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (total, count) in self.expected.iter_mut().zip(other.expected) {
            *total += count;
        }
        self.eligible.extend(other.eligible);
    }

    pub(crate) fn total(&self) -> u64 {
        self.expected.iter().sum()
    }
}

/// A guest's number over all restaurants.
pub(crate) fn customer(restaurant: u16, guest: u32) -> u32 {
    u32::from(restaurant) * GUESTS + guest
}

/// A beacon's number over all restaurants.
pub(crate) fn beacon(restaurant: u16, place: usize) -> usize {
    usize::from(restaurant) * BEACONS + place
}

/// How many identities or sightings break which rule.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Comparison {
    /// Identities that nobody sent, or that no sighting could have made.
    pub(crate) never_sent: u64,
    /// Identities within a minute of another of that customer.
    pub(crate) too_near: u64,
    /// Sightings that should identify, without an identity of that customer within a minute.
    pub(crate) missing: u64,
}

/// Compares; both are sorted on the way.
pub(crate) fn compare(eligible: &mut [Moment], stored: &mut [Moment]) -> Comparison {
    eligible.sort_unstable();
    stored.sort_unstable();
    let mut comparison = Comparison::default();
    for identity in &*stored {
        comparison.never_sent += u64::from(eligible.binary_search(identity).is_err());
    }
    for pair in stored.windows(2) {
        comparison.too_near += u64::from(pair[0].customer == pair[1].customer && near(&pair[0], &pair[1]));
    }
    for sighting in &*eligible {
        let first_near = stored.partition_point(|identity| {
            (identity.customer, identity.detected_at_us)
                <= (sighting.customer, sighting.detected_at_us - WINDOW_US)
        });
        let found = stored.get(first_near);
        let covered =
            found.is_some_and(|identity| identity.customer == sighting.customer && near(identity, sighting));
        comparison.missing += u64::from(!covered);
    }
    comparison
}

fn near(one: &Moment, other: &Moment) -> bool {
    one.detected_at_us.abs_diff(other.detected_at_us) < WINDOW_US.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(seen: &[(u32, i64)]) -> Vec<Moment> {
        seen.iter()
            .map(|&(customer, detected_at_us)| Moment { customer, detected_at_us, beacon: 0 })
            .collect()
    }

    fn of(eligible: &[(u32, i64)], stored: &[(u32, i64)]) -> Comparison {
        compare(&mut moments(eligible), &mut moments(stored))
    }

    #[test]
    fn a_store_as_the_rules_want_it_has_nothing_to_report() {
        let eligible = [(2, 0), (1, 0), (1, 59_999_999), (1, 60_000_000), (1, -59_999_999)];
        assert_eq!(of(&eligible, &[(2, 0), (1, 0), (1, 60_000_000)]), Comparison::default());
    }

    #[test]
    fn an_identity_nobody_sent_is_found() {
        assert_eq!(of(&[(1, 0)], &[(1, 0), (2, 0)]).never_sent, 1);
        assert_eq!(of(&[(1, 0)], &[(1, 1)]).never_sent, 1);
    }

    #[test]
    fn identities_a_microsecond_too_near_are_found() {
        assert_eq!(of(&[(1, 0), (1, 59_999_999)], &[(1, 0), (1, 59_999_999)]).too_near, 1);
        assert_eq!(of(&[(1, 0), (2, 1)], &[(1, 0), (2, 1)]).too_near, 0);
    }

    #[test]
    fn a_sighting_without_an_identity_within_a_minute_is_found() {
        assert_eq!(of(&[(1, 0), (1, 60_000_000)], &[(1, 0)]).missing, 1);
        assert_eq!(of(&[(1, 0), (1, -60_000_000)], &[(1, 0)]).missing, 1);
        assert_eq!(of(&[(1, 0), (2, 0)], &[(2, 0)]).missing, 1);
        assert_eq!(of(&[(1, 0)], &[]).missing, 1);
    }
}
