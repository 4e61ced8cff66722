//! What a gateway hears: a few customers again and again, now and late, near and far, right and wrong.

use beacon_protocol::OutcomeCode;

use super::Load;
use crate::clock::now_us;
use crate::random::Random;
use crate::sighting::{BEACONS, IdForm, MINUTE_US, Sighting, Standing};

/// Sightings that others are made near to.
const REMEMBERED: usize = 256;

/// Too far ahead, and too long ago, also for a clock that is hours wrong.
const AHEAD_US: i64 = 30 * 24 * 60 * MINUTE_US;
const LONG_AGO_US: i64 = 20 * 24 * 60 * MINUTE_US;

/// Makes sightings.
#[derive(Debug)]
pub(super) struct Hearing {
    pub(super) load: Load,
    /// Whether this gateway may report one store only.
    registered: bool,
    random: Random,
    remembered: Vec<Sighting>,
}

impl Hearing {
    pub(super) const fn new(load: Load, registered: bool, random: Random) -> Self {
        Self { load, registered, random, remembered: Vec::new() }
    }

    /// The sightings of a new frame, at most so many: their times are near enough to each other for one.
    pub(super) fn batch(&mut self, at_most: usize) -> Vec<Sighting> {
        let count = 1 + self.random.index(at_most.min(self.load.sightings));
        let mut sightings: Vec<Sighting> = (0..count).map(|_| self.sighting()).collect();
        if let Some(first) = sightings.first().copied() {
            sightings.retain(|sighting| i32::try_from(sighting.at_us - first.at_us).is_ok());
        }
        sightings
    }

    /// Sightings at the first beacon, each an identity if nothing stands against it.
    pub(super) fn strong(&mut self, count: usize) -> Vec<Sighting> {
        (0..count).map(|_| Sighting { beacon: 0, rssi_dbm: -45, id: IdForm::Good, ..self.fresh() }).collect()
    }

    /// What must become of it but for others of its customer.
    pub(super) fn outcome(&self, sighting: &Sighting) -> OutcomeCode {
        sighting.outcome(self.registered, now_us())
    }

    fn sighting(&mut self) -> Sighting {
        let sighting = match self.remembered.get(self.random.index(REMEMBERED)) {
            Some(near) if self.random.percent(25) => near_to(*near, &mut self.random),
            _ => self.fresh(),
        };
        if self.remembered.len() < REMEMBERED {
            self.remembered.push(sighting);
        } else {
            let place = self.random.index(REMEMBERED);
            self.remembered[place] = sighting;
        }
        sighting
    }

    fn fresh(&mut self) -> Sighting {
        let random = &mut self.random;
        let ago_us = match random.within(0..1_000) {
            0..600 => random.time_within(0..40_000_000),
            600..900 => random.time_within(0..10 * MINUTE_US),
            900..980 => random.time_within(0..50 * 60 * MINUTE_US),
            980..990 => -AHEAD_US,
            _ => LONG_AGO_US,
        };
        let active = BEACONS.iter().take_while(|beacon| beacon.standing == Standing::Active).count();
        let place = if random.percent(95) { random.index(active) } else { random.index(BEACONS.len()) };
        let rssi_dbm = match random.within(0..100) {
            0 => 1,
            1 => -101,
            2..70 => -40 - i8::try_from(random.within(0..20)).unwrap_or(0),
            _ => -60 - i8::try_from(random.within(0..41)).unwrap_or(0),
        };
        let forms = [IdForm::Empty, IdForm::Long, IdForm::Control, IdForm::NotUtf8];
        let id = if random.percent(98) { IdForm::Good } else { forms[random.index(forms.len())] };
        Sighting {
            round: self.load.round,
            customer: u32::try_from(random.within(0..u64::from(self.load.customers))).unwrap_or(0),
            at_us: now_us() - ago_us,
            beacon: u8::try_from(place).unwrap_or(0),
            rssi_dbm,
            id,
        }
    }
}

/// The same again, at the same time elsewhere, or on the edges of the minute; always of the same signal, so that what is
/// one identity has one confidence.
fn near_to(sighting: Sighting, random: &mut Random) -> Sighting {
    let edges = [-MINUTE_US, 1 - MINUTE_US, MINUTE_US - 1, MINUTE_US];
    match random.within(0..3) {
        0 => sighting,
        1 => Sighting { beacon: (sighting.beacon + 1) % 2, ..sighting },
        _ => Sighting { at_us: sighting.at_us + edges[random.index(edges.len())], ..sighting },
    }
}
