//! Who visits a restaurant and what its gateways hear of them: a story that the seed tells the same way every time.

use std::collections::VecDeque;

use beacon_protocol::{BeaconRef, OutcomeCode};

use super::restaurants::{BEACONS, Restaurant, TABLES, uuid};

/// Customers of one restaurant.
pub(crate) const GUESTS: u32 = 2_000;

/// Gateways that hang in one restaurant.
pub(crate) const GATEWAYS: usize = 5;

/// A visit is this part of the story long, in percent, give or take [`VISIT_VARIES_PERCENT`] of itself.
const VISIT_PERCENT: i64 = 35;
const VISIT_VARIES_PERCENT: i64 = 40;

const SECOND_US: i64 = 1_000_000;
const MINUTE_US: i64 = 60 * SECOND_US;
const DAY_US: i64 = 24 * 60 * MINUTE_US;

/// Out of so many hearings of a guest, one or a few are not what they should be.
const HEARINGS: u32 = 10_000;

/// The time that is told, in microseconds since the Unix epoch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Story {
    pub(crate) starts_us: i64,
    pub(crate) ends_us: i64,
}

impl Story {
    fn percent(self, percent: i64) -> i64 {
        (self.ends_us - self.starts_us) / 100 * percent
    }
}

/// One sighting, and what should become of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Which of the restaurant's gateways heard it.
    pub(crate) gateway: usize,
    /// Which of the restaurant's guests it is about.
    pub(crate) guest: u32,
    pub(crate) customer_id: Vec<u8>,
    /// Which of the restaurant's beacons.
    pub(crate) place: usize,
    pub(crate) beacon: BeaconRef,
    pub(crate) rssi_dbm: i8,
    pub(crate) detected_at_us: i64,
    /// `Identified` where it must be identified or, within a minute of that, a duplicate.
    pub(crate) expected: OutcomeCode,
}

/// A guest in the restaurant.
#[derive(Debug, Clone, Copy)]
struct Guest {
    number: u32,
    table: usize,
    arrives_us: i64,
    leaves_us: i64,
}

/// The guests of one restaurant as they come, sit and go.
#[derive(Debug)]
pub(crate) struct Visits {
    random: fastrand::Rng,
    story: Story,
    restaurant: Restaurant,
    /// A beacon of the restaurant next door, which the gateways here may not report.
    next_door: BeaconRef,
    /// Heard in turn: the first is the one not heard for the longest time.
    present: VecDeque<Guest>,
    arrived: u32,
}

impl Visits {
    pub(crate) fn new(restaurant: Restaurant, next_door: &Restaurant, story: Story) -> Self {
        Self {
            next_door: next_door.radio(0),
            random: fastrand::Rng::with_seed(restaurant.number.into()),
            story,
            restaurant,
            present: VecDeque::new(),
            arrived: 0,
        }
    }

    /// The number of the restaurant.
    pub(crate) const fn restaurant(&self) -> u16 {
        self.restaurant.number
    }

    /// When `told` of `all` sightings are told, the next guest in turn is heard by the one to three nearest beacons.
    /// Nothing when nobody is there.
    pub(crate) fn hear(&mut self, told: u32, all: u32, heard: &mut Vec<Heard>) {
        let span_us = self.story.ends_us - self.story.starts_us;
        let now_us = self.story.starts_us + span_us * i64::from(told) / i64::from(all);
        self.admit(now_us);
        let guest = loop {
            match self.present.pop_front() {
                None => return,
                Some(guest) if guest.leaves_us <= now_us => {}
                Some(guest) => break guest,
            }
        };
        self.present.push_back(guest);
        let place = guest.place_at(now_us);
        let aside = if self.random.bool() { place + 1 } else { place.saturating_sub(1) };
        let beyond = if aside > place { place.saturating_sub(1) } else { place + 1 };
        let weaker = [(place, 0, 100), (aside, 11, 40), (beyond, 18, 15)];
        for (order, (place, weaker_dbm, percent)) in (0..).zip(weaker) {
            if place < BEACONS && self.random.u8(0..100) < percent {
                let sound = self.sighting(guest, place, weaker_dbm, now_us + order);
                heard.push(self.spoil(sound));
            }
        }
    }

    /// Lets in everybody who has arrived by now. The first are there already when the story starts.
    fn admit(&mut self, now_us: i64) {
        while self.arrived < GUESTS {
            let first_us = self.story.starts_us - self.story.percent(VISIT_PERCENT) / 2;
            let last_us = self.story.ends_us - self.story.percent(VISIT_PERCENT) / 2;
            let arrives_us = first_us + (last_us - first_us) / i64::from(GUESTS) * i64::from(self.arrived);
            if arrives_us > now_us {
                return;
            }
            let varies = self.random.i64(-VISIT_VARIES_PERCENT..=VISIT_VARIES_PERCENT);
            self.present.push_back(Guest {
                number: self.arrived,
                table: self.random.usize(1..=TABLES),
                arrives_us,
                leaves_us: arrives_us + self.story.percent(VISIT_PERCENT) / 100 * (100 + varies),
            });
            self.arrived += 1;
        }
    }

    fn sighting(&mut self, guest: Guest, place: usize, weaker_dbm: i32, detected_at_us: i64) -> Heard {
        let near_dbm = match place {
            0 => -63,
            place if place == BEACONS - 1 => -59,
            _ => -54,
        };
        let noise_dbm: i32 = (0..4).map(|_| self.random.i32(-4..=4)).sum();
        let rssi_dbm = i8::try_from((near_dbm - weaker_dbm + noise_dbm).clamp(-100, 0)).unwrap_or(-100);
        let in_service = place != TABLES + 1;
        Heard {
            gateway: place % GATEWAYS,
            guest: guest.number,
            customer_id: customer_id(self.restaurant.number, guest.number).into_bytes(),
            place,
            beacon: self.restaurant.radio(place),
            rssi_dbm,
            detected_at_us,
            expected: match (in_service, self.restaurant.identifies(place, rssi_dbm)) {
                (false, _) => OutcomeCode::BeaconInactive,
                (true, false) => OutcomeCode::LowConfidence,
                (true, true) => OutcomeCode::Identified,
            },
        }
    }

    /// What reality does to a few sightings in a thousand. What the daemon asks first decides.
    fn spoil(&mut self, sound: Heard) -> Heard {
        match self.random.u32(0..HEARINGS) {
            // The beacon of a neighbour's shop.
            0..50 => Heard {
                beacon: BeaconRef { uuid: uuid(u16::MAX, self.restaurant.number), ..sound.beacon },
                expected: OutcomeCode::UnknownBeacon,
                ..sound
            },
            // Somebody copied the UUID.
            50..80 => Heard {
                beacon: BeaconRef { minor: sound.beacon.minor + 1_000, ..sound.beacon },
                expected: OutcomeCode::BeaconMismatch,
                ..sound
            },
            80..90 => Heard { customer_id: Vec::new(), expected: OutcomeCode::Invalid, ..sound },
            90..100 => Heard {
                customer_id: [&sound.customer_id[..], b"\x00\xff"].concat(),
                expected: OutcomeCode::Invalid,
                ..sound
            },
            100..110 => Heard { rssi_dbm: 20, expected: OutcomeCode::Invalid, ..sound },
            // A gateway whose clock was set by hand.
            110..120 => Heard {
                detected_at_us: self.story.ends_us + 20 * MINUTE_US,
                expected: OutcomeCode::ClockSkew,
                ..sound
            },
            120..130 => Heard {
                detected_at_us: sound.detected_at_us - 8 * DAY_US,
                expected: OutcomeCode::TooOld,
                ..sound
            },
            140..150 => Heard { beacon: self.next_door, expected: OutcomeCode::Forbidden, ..sound },
            // It waited in a gateway that was offline: late, but not too late.
            130..140 => Heard { detected_at_us: sound.detected_at_us - 25 * MINUTE_US, ..sound },
            _ => sound,
        }
    }
}

impl Guest {
    /// In by the door, long at the table, out by the counter.
    fn place_at(self, now_us: i64) -> usize {
        let stay = (self.leaves_us - self.arrives_us).max(1);
        match (now_us - self.arrives_us) * 100 / stay {
            ..8 => 0,
            8..90 => self.table,
            _ => BEACONS - 1,
        }
    }
}

/// A guest's CustomerID. One in fifty is not ASCII.
pub(crate) fn customer_id(restaurant: u16, guest: u32) -> String {
    let name = if guest.is_multiple_of(50) { "gæst" } else { "guest" };
    format!("{name}-{restaurant:02}-{guest:05}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};

    const STORY: Story = Story { starts_us: 1_800_000_000_000_000, ends_us: 1_800_000_720_000_000 };

    fn told() -> Vec<Heard> {
        let next_door = Restaurant::open(2).unwrap();
        let mut visits = Visits::new(Restaurant::open(1).unwrap(), &next_door, STORY);
        let mut heard = Vec::new();
        for told in 0..20_000 {
            visits.hear(told, 20_000, &mut heard);
        }
        heard
    }

    #[test]
    fn a_story_is_the_same_every_time() {
        assert_eq!(told(), told());
    }

    #[test]
    fn everybody_comes_and_every_kind_of_sighting_occurs() {
        let heard = told();
        let guests: HashSet<_> = heard.iter().map(|heard| heard.guest).collect();
        assert_eq!(guests.len(), GUESTS as usize);
        let mut kinds: HashMap<_, u32> = HashMap::new();
        for heard in &heard {
            *kinds.entry(heard.expected).or_default() += 1;
        }
        let not_expected = [OutcomeCode::Undecided, OutcomeCode::Duplicate];
        for code in OutcomeCode::ALL {
            assert_eq!(kinds.contains_key(&code), !not_expected.contains(&code), "{}", code.label());
        }
        let eligible =
            f64::from(kinds[&OutcomeCode::Identified]) / f64::from(u32::try_from(heard.len()).unwrap());
        assert!((0.5..0.8).contains(&eligible), "{eligible}");
        assert!((0..GATEWAYS).all(|gateway| heard.iter().any(|heard| heard.gateway == gateway)));
    }
}
