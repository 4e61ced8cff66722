//! A generated restaurant's half hour: every outcome, redeliveries, late arrivals and the edges of the rules.

use uuid::Uuid;

use super::cases::{CASES, Case, Place};
use super::random::Random;
use super::{Beacon, DAY_US, MINUTE_US, SECOND_US, Sighting};

/// Sightings in the set at least.
pub(crate) const SIGHTINGS: usize = 200_000;

/// The most a sighting of the half hour comes later than one detected after it.
pub(crate) const LATEST_US: i64 = 4 * MINUTE_US;

/// The half hour starts this long before the base time and ends this long after it: always well within the five
/// minutes ahead, however long a test takes, and partly older than what is decided in memory alone.
const HALF_HOUR: (i64, i64) = (-25 * MINUTE_US, 3 * MINUTE_US);

/// How often each case is played, by customers of its own.
const PLAYS_OF_A_CASE: usize = 60;

const CUSTOMERS: i64 = 2_600;

const UNREGISTERED: usize = 40;

/// Who may be reported by the gateway the set is for.
const STORES: [&str; 3] = ["harbour", "Märkte 1", "station"];

/// The set, and what must be registered for it.
#[derive(Debug)]
pub(crate) struct Generated {
    /// The time it is around.
    pub(crate) base_us: i64,
    pub(crate) beacons: Vec<Beacon>,
    /// The stores its gateway may report; there are beacons of others.
    pub(crate) stores: Vec<String>,
    /// In the order in which they are sent.
    pub(crate) sightings: Vec<Sighting>,
}

/// The set for a base time, which is to be the time it is first sent or a little before.
pub(crate) fn generated(base_us: i64, seed: u64) -> Generated {
    let mut random = Random::new(seed);
    let beacons = beacons(&mut random);
    let mut writer = Writer {
        unregistered: (0..UNREGISTERED).map(|_| random.uuid()).collect(),
        random,
        base_us,
        beacons: &beacons,
        arrivals: Vec::with_capacity(SIGHTINGS + SIGHTINGS / 10),
    };
    for case in CASES {
        for play in 0..PLAYS_OF_A_CASE {
            writer.play(case, play);
        }
    }
    while writer.arrivals.len() < SIGHTINGS {
        writer.visit();
    }
    let mut arrivals = writer.arrivals;
    arrivals.sort_by_key(|arrival| arrival.0);
    Generated {
        base_us,
        stores: STORES.map(str::to_owned).to_vec(),
        sightings: arrivals.into_iter().map(|(_, sighting)| sighting).collect(),
        beacons,
    }
}

fn beacons(random: &mut Random) -> Vec<Beacon> {
    let mut beacons = Vec::new();
    for (store, status, count) in [
        (STORES[0], "active", 12),
        (STORES[1], "active", 12),
        (STORES[2], "active", 6),
        (STORES[0], "inactive", 2),
        (STORES[1], "maintenance", 2),
        ("elsewhere", "active", 3),
        ("elsewhere", "inactive", 1),
    ] {
        for place in 0..count {
            let kind = [Some("table"), Some("counter"), Some("entrance"), None][place % 4];
            let names = [Some(format!("Tisch {place} süd")), Some(format!("柜台{place}")), None];
            let edge = [0, 65_535, u16::try_from(random.between(1, 65_534)).unwrap()];
            beacons.push(Beacon {
                id: random.uuid(),
                store: store.to_owned(),
                major: edge[(place + 2) % 3],
                minor: edge[(place / 2) % 3],
                location: names[place % 3].clone(),
                location_type: kind.map(str::to_owned),
                status: status.to_owned(),
            });
        }
    }
    beacons
}

/// The id of customer `number`: most are plain, some are all that is allowed. Ids that look alike are different.
fn customer(number: i64) -> Vec<u8> {
    let id = match number % 16 {
        0 => format!("Zoë Müller-{number}"),
        1 => format!("Zoe\u{308} Müller-{}", number - 1),
        2 => format!("客户{number}"),
        3 => format!("{number:🐝<64}"),
        4 => format!("{number:x>64}"),
        5 => format!("{number:界>64}"),
        6 => format!(" spaces, \"quotes\"; and\u{a0}more {number} "),
        7 => format!("CUSTOMER-{}", number + 1),
        _ => format!("customer-{number}"),
    };
    id.into_bytes()
}

/// Writes sightings with the time at which each arrives.
struct Writer<'a> {
    random: Random,
    base_us: i64,
    beacons: &'a [Beacon],
    unregistered: Vec<Uuid>,
    arrivals: Vec<(i64, Sighting)>,
}

impl Writer<'_> {
    /// Plays a case, every sixth time some days ago.
    fn play(&mut self, case: &Case, play: usize) {
        let now_us = self.base_us + self.random.between(HALF_HOUR.0, 0);
        let days = if play % 6 == 5 { self.random.between(1, 6) } else { 0 };
        let start_us = now_us - days * DAY_US;
        let number = self.random.between(0, i64::MAX / 2) / 16 * 16 + i64::try_from(play % 16).unwrap();
        let (here, there) = loop {
            let pair = (self.open_beacon(), self.open_beacon());
            if pair.0.id != pair.1.id {
                break pair;
            }
        };
        let mut arrives_us = now_us + case.steps.iter().map(|step| step.0).max().unwrap_or(0);
        for step in case.steps {
            let beacon = match step.1 {
                Place::Here => here.clone(),
                Place::There => there.clone(),
                Place::Copied => Beacon { minor: here.minor ^ 1, ..here.clone() },
                Place::Retired => {
                    self.beacon(|beacon| beacon.status != "active" && beacon.store != "elsewhere")
                }
                Place::Foreign => {
                    self.beacon(|beacon| beacon.status == "active" && beacon.store == "elsewhere")
                }
            };
            self.arrivals.push((arrives_us, heard(customer(number), start_us + step.0, &beacon, step.2)));
            arrives_us += self.random.between(0, 3 * SECOND_US);
        }
    }

    /// A customer comes, stays a few minutes, and is heard every few seconds.
    fn visit(&mut self) {
        let id = customer(self.random.between(0, CUSTOMERS - 1));
        let mut at_us = self.base_us + self.random.between(HALF_HOUR.0, HALF_HOUR.1);
        let until_us = (at_us + self.random.between(0, 5 * MINUTE_US)).min(self.base_us + HALF_HOUR.1);
        while at_us <= until_us {
            let beacon = self.open_beacon();
            let rssi_dbm = i8::try_from(self.random.between(-78, -45)).unwrap();
            let sighting = heard(id.clone(), at_us, &beacon, rssi_dbm);
            let sighting = if self.random.percent(16) { self.spoilt(sighting) } else { sighting };
            let arrives_us = at_us + self.delay_us();
            if self.random.percent(7) {
                let again_us = arrives_us + self.delay_us() / 2;
                self.arrivals.push((again_us.min(at_us + LATEST_US), sighting.clone()));
            }
            self.arrivals.push((arrives_us, sighting));
            at_us += self.random.between(4 * SECOND_US, 40 * SECOND_US);
        }
    }

    fn delay_us(&mut self) -> i64 {
        let most_us = match self.random.between(1, 10) {
            1 => LATEST_US,
            2 | 3 => 30 * SECOND_US,
            _ => 2 * SECOND_US,
        };
        self.random.between(0, most_us)
    }

    /// The sighting with one thing wrong, or with two, of which the first in the order of the rules counts.
    fn spoilt(&mut self, sighting: Sighting) -> Sighting {
        let once = self.spoilt_once(sighting);
        if self.random.percent(15) { self.spoilt_once(once) } else { once }
    }

    fn spoilt_once(&mut self, mut sighting: Sighting) -> Sighting {
        match self.random.between(0, 13) {
            0 => sighting.customer_id = Vec::new(),
            1 => sighting.customer_id = "é".repeat(65).into_bytes(),
            2 => sighting.customer_id = b"tab\there".to_vec(),
            3 => sighting.customer_id = "next\u{85}line".into(),
            4 => sighting.customer_id = b"caf\xe9".to_vec(),
            5 => sighting.rssi_dbm = *self.random.pick(&[-128, -101, 1, 127]),
            6 => sighting.detected_at_us = self.base_us + self.random.between(20, 25) * MINUTE_US,
            7 => {
                sighting.detected_at_us = self.base_us - 7 * DAY_US - self.random.between(60, 600) * SECOND_US
            }
            8 => sighting.beacon = *self.random.pick(&self.unregistered),
            9 => sighting.major ^= 1,
            10 => sighting.minor = sighting.minor.wrapping_add(256),
            11 => self.move_to(&mut sighting, |beacon| beacon.status != "active"),
            12 => self.move_to(&mut sighting, |beacon| beacon.store == "elsewhere"),
            _ => sighting.rssi_dbm = -95,
        }
        sighting
    }

    fn move_to(&mut self, sighting: &mut Sighting, fits: impl Fn(&Beacon) -> bool) {
        let beacon = self.beacon(fits);
        (sighting.beacon, sighting.major, sighting.minor) = (beacon.id, beacon.major, beacon.minor);
    }

    fn open_beacon(&mut self) -> Beacon {
        self.beacon(|beacon| beacon.status == "active" && beacon.store != "elsewhere")
    }

    fn beacon(&mut self, fits: impl Fn(&Beacon) -> bool) -> Beacon {
        let fitting: Vec<&Beacon> = self.beacons.iter().filter(|beacon| fits(beacon)).collect();
        (*self.random.pick(&fitting)).clone()
    }
}

/// A sighting of a beacon that says the truth about itself.
pub(crate) fn heard(customer_id: Vec<u8>, detected_at_us: i64, beacon: &Beacon, rssi_dbm: i8) -> Sighting {
    Sighting {
        detected_at_us,
        customer_id,
        beacon: beacon.id,
        major: beacon.major,
        minor: beacon.minor,
        rssi_dbm,
    }
}
