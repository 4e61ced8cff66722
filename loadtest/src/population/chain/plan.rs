//! The numbers of one chain: how many come when, what sightings become, where who can be.

mod travels;

use std::ops::Range;
use std::sync::Arc;

use beacon_protocol::OutcomeCode;

use self::travels::Travels;
use crate::level::Levels;
use crate::population::signal::Signals;
use crate::population::{Layout, MOST_PRESENT, Population, curve};
use crate::scenario::{PopulationPlan, Visits};

/// Ticks an interval between sightings: times are right to that, and then spread within.
const TICKS_PER_INTERVAL: i64 = 256;
/// No tick is shorter, in microseconds.
const SHORTEST_TICK_US: i64 = 5_000;
/// What a chain needs to know.
#[derive(Debug)]
pub(super) struct ChainPlan {
    pub(super) layout: Layout,
    pub(super) signals: Arc<Signals>,
    population: Arc<PopulationPlan>,
    levels: Arc<Levels>,
    pub(super) customers: Range<u32>,
    pub(super) stores: u32,
    pub(super) first_beacon: u32,
    pub(super) beacons_per_store: u32,
    pub(super) visits: Visits,
    pub(super) guest_share: f64,
    travels: Travels,
    pub(super) tick_us: i64,
    from_us: i64,
    /// Ticks between two sightings, on average; at most half as much again.
    pub(super) interval: u64,
    pub(super) longest_interval: u32,
    pub(super) stay_ticks: f64,
    /// Ticks in which those who come one after the other come.
    coming_ticks: f64,
    /// From one of those to the next.
    coming_step: u64,
    /// Upper bounds out of 2^32 of everything that is not eligible.
    outcomes: [(u64, OutcomeCode); 8],
}

impl ChainPlan {
    pub(super) fn new(population: &Population, gateway: u32, from_us: i64) -> Self {
        let scenario = population.scenario();
        let (plan, shares) = (&scenario.population, &scenario.shares);
        let layout = population.layout();
        let (customers, stores) = (layout.customers_of(gateway), layout.stores_of(gateway));
        let every_us = plan.sighted_every.as_us();
        let tick_us = (every_us / TICKS_PER_INTERVAL).max(SHORTEST_TICK_US);
        let interval = (every_us / tick_us).unsigned_abs();
        let travels = Travels::new(plan, layout, gateway);
        let mut sum = 0.0;
        let elsewhere = if layout.gateways() > 1 { shares.forbidden } else { 0.0 };
        let outcomes = [
            (shares.low_confidence, OutcomeCode::LowConfidence),
            (shares.unknown_beacon, OutcomeCode::UnknownBeacon),
            (shares.beacon_mismatch, OutcomeCode::BeaconMismatch),
            (shares.beacon_inactive, OutcomeCode::BeaconInactive),
            (elsewhere, OutcomeCode::Forbidden),
            (shares.too_old, OutcomeCode::TooOld),
            (shares.clock_skew, OutcomeCode::ClockSkew),
            (shares.invalid, OutcomeCode::Invalid),
        ]
        .map(|(share, code)| {
            sum += share;
            (out_of_all(sum), code)
        });
        let ticks = |us: i64| us as f64 / tick_us as f64;
        // Whoever comes last is still sighted, and that is still reported.
        let margin_us = (2 * every_us + 2 * scenario.sessions.report_every.as_us())
            .min(scenario.load.duration.as_us() / 2);
        Self {
            layout,
            signals: Arc::clone(population.signals()),
            population: Arc::clone(population.plan()),
            levels: Arc::clone(population.levels()),
            stores: stores.end - stores.start,
            first_beacon: layout.beacons_of(stores.start).start,
            beacons_per_store: layout.beacons_per_store(),
            visits: plan.visits,
            guest_share: plan.guests,
            travels,
            coming_step: coprime_step(customers.len() as u64),
            customers,
            tick_us,
            from_us,
            interval,
            longest_interval: u32::try_from(interval + interval / 2 + 1).unwrap_or(u32::MAX >> 1),
            stay_ticks: ticks(plan.stay.as_us()),
            coming_ticks: ticks(scenario.load.duration.as_us() - margin_us),
            outcomes,
        }
    }

    /// Microseconds after the run's begin at a tick's begin.
    pub(super) fn us_at(&self, tick: u32) -> i64 {
        self.from_us + i64::from(tick) * self.tick_us
    }

    fn seconds_at(&self, tick: u32) -> f64 {
        self.us_at(tick) as f64 / 1e6
    }

    /// The share of customers that should be there at a tick.
    fn present_share(&self, tick: u32) -> f64 {
        let part = curve::part(&self.population, self.seconds_at(tick));
        (self.population.present * self.levels.highest().max(1.0) * part).min(MOST_PRESENT)
    }

    /// The shares of the own customers who may come, and of the guests who may, that should be there at the begin.
    pub(super) fn settled_shares(&self) -> (f64, f64) {
        let (own, guests) = (self.customers.end - self.customers.start, self.travels.guests());
        let count = |places: Range<u32>| places.filter(|place| self.may_come(*place, 0)).count() as f64;
        let present = self.present_share(0) * f64::from(own);
        let as_guests = if guests > 0 { present * self.guest_share } else { 0.0 };
        let share = |present: f64, of: f64| if of > 0.0 { (present / of).min(MOST_PRESENT) } else { 0.0 };
        (share(present - as_guests, count(0..own)), share(as_guests, count(own..own + guests)))
    }

    /// Customers of the chain and guests, whose places are behind theirs.
    pub(super) fn places(&self) -> usize {
        self.customers.len() + self.travels.guests() as usize
    }

    /// The number of who has a place, among all customers.
    pub(super) fn who(&self, place: u32) -> u32 {
        match self.guest(place) {
            Some(guest) => self.travels.from.start + guest,
            None => self.customers.start + place,
        }
    }

    /// Whether who has a place is also another gateway's.
    pub(super) fn is_traveller(&self, place: u32) -> bool {
        place < self.travels.away || self.guest(place).is_some()
    }

    /// Whether who has a place may come at a tick: not while out of this chain.
    pub(super) fn may_come(&self, place: u32, tick: u32) -> bool {
        match self.guest(place) {
            Some(guest) => self.travels.is_out(guest, self.us_at(tick)),
            None => place >= self.travels.away || !self.travels.is_out(place, self.us_at(tick)),
        }
    }

    /// The tick at which who comes now has to be gone at the latest.
    pub(super) fn must_leave(&self, place: u32, tick: u32) -> u32 {
        if !self.is_traveller(place) {
            return u32::MAX;
        }
        let left_us = self.travels.turn_us - self.us_at(tick).rem_euclid(self.travels.turn_us);
        tick.saturating_add(u32::try_from(left_us / self.tick_us).unwrap_or(u32::MAX))
    }

    fn guest(&self, place: u32) -> Option<u32> {
        place.checked_sub(self.customers.end - self.customers.start)
    }

    /// Who comes in a tick, on average: as many as leave where as many are there as should be.
    pub(super) fn arrivals_in(&self, tick: u32) -> f64 {
        self.present_share(tick) * self.customers.len() as f64 / self.stay_ticks
    }

    /// Which part of those who are there is reported: the level as a part of the highest.
    pub(super) fn part_reported(&self, tick: u32) -> f64 {
        match self.visits {
            Visits::EachOnce => 1.0,
            Visits::Random => self.levels.at(self.seconds_at(tick)) / self.levels.highest().max(1.0),
        }
    }

    /// How many of those who come one after the other have come by the end of a tick.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and `as` saturates"
    )]
    pub(super) fn come_until(&self, tick: u32) -> u32 {
        let part = (f64::from(tick) + 1.0 + self.from_us as f64 / self.tick_us as f64) / self.coming_ticks;
        (self.customers.len() as f64 * part.clamp(0.0, 1.0)).round() as u32
    }

    /// Who comes as the `number`th: every customer once, in an order that jumps.
    pub(super) fn place_of_comer(&self, number: u32) -> u32 {
        let all = self.customers.len() as u64;
        u32::try_from(u64::from(number) * self.coming_step % all.max(1)).unwrap_or(0)
    }

    /// Beacons of a store that are in service.
    pub(super) const fn active_beacons(&self) -> u32 {
        self.beacons_per_store - 1
    }

    /// What a sighting becomes.
    pub(super) fn outcome(&self, random: u32) -> OutcomeCode {
        let found = self.outcomes.iter().find(|(bound, _)| u64::from(random) < *bound);
        found.map_or(OutcomeCode::Identified, |(_, code)| *code)
    }

    /// A beacon in service of another chain's store.
    pub(super) fn elsewhere(&self, random: u64) -> u32 {
        let first = self.first_beacon / self.beacons_per_store;
        let others = u64::from(self.layout.stores() - self.stores);
        let other = random.checked_rem(others).and_then(|other| u32::try_from(other).ok()).unwrap_or(0);
        let store = if other < first { other } else { other + self.stores };
        self.layout.beacons_of(store).start
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 2^32")]
fn out_of_all(share: f64) -> u64 {
    (share * 4_294_967_296.0).round() as u64
}

/// A step that visits every one of so many numbers: it has no divisor in common with them.
fn coprime_step(all: u64) -> u64 {
    let divisor = |mut a: u64, mut b: u64| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    // Near the golden section, so that neighbours in order are far apart in number.
    let near = (all * 618 / 1_000).max(1);
    (near..near + all.max(1)).find(|step| divisor(*step, all) == 1).unwrap_or(1)
}
