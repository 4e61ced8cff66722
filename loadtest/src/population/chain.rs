//! A chain of restaurants: its customers come, are sighted, and leave; one gateway hears all of it.

mod plan;
mod wheel;

use beacon_protocol::OutcomeCode;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};

use self::plan::ChainPlan;
use self::wheel::Wheel;
use super::{Heard, Naming, is_reported};
use crate::population::Population;
use crate::scenario::Visits;

/// A customer of the chain, or a guest: 16 bytes, however many there are.
#[derive(Debug, Clone, Copy)]
struct Customer {
    /// The next in the same slot of the wheel.
    next: u32,
    /// The tick of the visit's end.
    leaves: u32,
    /// Where it sits: a beacon, counted from the chain's first; [`AWAY`].
    seat: u32,
    /// The tick of its last eligible sighting; [`NEVER`].
    sighted: u32,
}

const _: () = assert!(size_of::<Customer>() <= 16);

const AWAY: u32 = u32::MAX;
const NEVER: u32 = u32::MAX;
/// The rate of arrivals goes with the time of day, slowly.
const TICKS_A_RATE: u32 = 64;
/// Times that somebody is looked for who is not there already; where nearly all are, an arrival may be left out.
const LOOKS: u32 = 32;
/// What is sure to be identified had nothing eligible for longer.
const MINUTE_US: u64 = 60_000_000;
const DAY_US: i64 = 86_400_000_000;
/// Beyond any daemon's limits, which are a week and five minutes.
const TOO_OLD_US: i64 = 8 * DAY_US;
const SKEWED_US: i64 = 10 * 60 * 1_000_000;
/// A signal that no radio has.
const ABSURD_RSSI_DBM: i8 = 5;

/// What one gateway hears, tick by tick. The same seed, scenario and gateway make the same sightings, however they are
/// asked for.
#[derive(Debug)]
pub(crate) struct Chain {
    plan: ChainPlan,
    random: Xoshiro256PlusPlus,
    /// The chain's own, behind them those who come as guests.
    customers: Vec<Customer>,
    wheel: Wheel,
    /// The next tick to be told.
    tick: u32,
    /// How many come in a tick, on average.
    arrivals: f64,
    /// The part of those who are there that is reported.
    reported: f64,
    /// Of those who come one after the other: how many came.
    came: u32,
    /// Of the tick that is told, by time.
    due: Vec<(u32, u32)>,
}

impl Chain {
    /// A gateway's chain from so many microseconds after the run's begin on, or before it.
    pub(crate) fn new(population: &Population, gateway: u32, from_us: i64) -> Self {
        let plan = ChainPlan::new(population, gateway, from_us);
        let seed = Naming::seed(population.scenario().seed, gateway);
        let away = Customer { next: 0, leaves: 0, seat: AWAY, sighted: NEVER };
        let mut chain = Self {
            random: Xoshiro256PlusPlus::seed_from_u64(seed),
            customers: vec![away; plan.places()],
            wheel: Wheel::new(plan.longest_interval),
            tick: 0,
            arrivals: 0.0,
            reported: 1.0,
            came: 0,
            due: Vec::new(),
            plan,
        };
        if chain.plan.visits == Visits::Random {
            chain.settle();
        }
        chain
    }

    /// Appends everything heard until so many microseconds after the run's begin, rounded down to a tick, by time.
    pub(crate) fn hear(&mut self, until_us: i64, heard: &mut Vec<Heard>) {
        while self.plan.us_at(self.tick + 1) <= until_us {
            if self.tick.is_multiple_of(TICKS_A_RATE) {
                self.arrivals = self.plan.arrivals_in(self.tick);
            }
            self.reported = self.plan.part_reported(self.tick);
            self.arrive();
            let mut due = std::mem::take(&mut self.due);
            due.clear();
            let mut next = self.wheel.take(self.tick);
            while let Some(place) = next {
                next = self.customers.get(place as usize).and_then(|customer| Wheel::place(customer.next));
                due.push((self.within_tick(), place));
            }
            due.sort_unstable();
            for &(offset, place) in &due {
                self.sight(place, offset, heard);
            }
            self.due = due;
            self.tick += 1;
        }
    }

    /// At the begin as many are there as should be at that time, and as many of them guests.
    fn settle(&mut self) {
        let (own, guests) = self.plan.settled_shares();
        for place in 0..self.customers.len() {
            let share = if place < self.plan.customers.len() { own } else { guests };
            if let Ok(place) = u32::try_from(place)
                && self.plan.may_come(place, self.tick)
                && self.chance(share)
            {
                self.seat(place);
            }
        }
    }

    fn arrive(&mut self) {
        match self.plan.visits {
            Visits::Random => {
                for _ in 0..self.poisson(self.arrivals) {
                    self.arrive_by_chance();
                }
            }
            Visits::EachOnce => {
                let due = self.plan.come_until(self.tick);
                while self.came < due {
                    let place = self.plan.place_of_comer(self.came);
                    self.came += 1;
                    self.seat(place);
                }
            }
        }
    }

    fn arrive_by_chance(&mut self) {
        let (own, all) = (self.plan.customers.len() as u64, self.customers.len() as u64);
        let is_guest = all > own && self.chance(self.plan.guest_share);
        let (first, among) = if is_guest { (own, all - own) } else { (0, own) };
        for _ in 0..LOOKS {
            let place = self.below(among) + u32::try_from(first).unwrap_or(0);
            let is_away = self.customers.get(place as usize).is_some_and(|customer| customer.seat == AWAY);
            if is_away && self.plan.may_come(place, self.tick) {
                self.seat(place);
                return;
            }
        }
    }

    /// Somebody comes: a place is taken, an end foreseen, the first sighting set.
    fn seat(&mut self, place: u32) {
        let store = self.below(u64::from(self.plan.stores));
        let seat = store * self.plan.beacons_per_store + self.below(u64::from(self.plan.active_beacons()));
        let stay = self.exponential(self.plan.stay_ticks);
        let first = self.until_next();
        let leaves = self.tick.saturating_add(stay).min(self.plan.must_leave(place, self.tick));
        if let Some(customer) = self.customers.get_mut(place as usize) {
            *customer = Customer { seat, leaves, ..*customer };
            self.wheel.put(self.tick.saturating_add(first), place, &mut customer.next);
        }
    }

    /// Ticks until the next sighting of one of whom nothing is known, so that the rate is the same from the begin on: the
    /// distribution of what is left of an interval at any time.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and `as` saturates"
    )]
    fn until_next(&mut self) -> u32 {
        let random = self.unit();
        let part = if random < 0.5 { random } else { 1.5 - (2.0 * (1.0 - random)).sqrt() };
        (part * self.plan.interval as f64) as u32
    }

    /// A customer's turn: leaves, or is sighted and set to be so again.
    fn sight(&mut self, place: u32, offset_us: u32, heard: &mut Vec<Heard>) {
        let Some(&before) = self.customers.get(place as usize) else { return };
        let is_counted = self.plan.visits == Visits::EachOnce;
        let owes = is_counted && before.sighted == NEVER;
        let mut after = before;
        if self.tick >= before.leaves && !owes {
            after.seat = AWAY;
        } else {
            let who = self.plan.who(place);
            if is_reported(who, self.reported) {
                heard.push(self.sighting(who, place, &mut after, owes, offset_us));
            }
            let half = self.plan.interval / 2;
            let wait = half + u64::from(self.below(2 * half.max(1)));
            let next = self.tick.saturating_add(u32::try_from(wait).unwrap_or(u32::MAX).max(1));
            self.wheel.put(next, place, &mut after.next);
        }
        if let Some(customer) = self.customers.get_mut(place as usize) {
            *customer = after;
        }
    }

    fn sighting(
        &mut self,
        who: u32,
        place: u32,
        customer: &mut Customer,
        must_identify: bool,
        offset_us: u32,
    ) -> Heard {
        let drawn = self.random.next_u32();
        let expected = if must_identify { OutcomeCode::Identified } else { self.plan.outcome(drawn) };
        let (seat, tick) = (customer.seat, self.tick);
        let us = self.plan.us_at(tick) + i64::from(offset_us);
        let (beacon, rssi_dbm) = self.signal(who, seat, expected);
        let mut opens_visit = false;
        if expected == OutcomeCode::Identified {
            // Each of the two may be anywhere within its tick.
            let ticks = tick.saturating_sub(customer.sighted).saturating_sub(1);
            let is_fresh =
                customer.sighted == NEVER || u64::from(ticks) * self.plan.tick_us.unsigned_abs() > MINUTE_US;
            opens_visit = is_fresh && !self.plan.is_traveller(place);
            customer.sighted = tick;
        }
        let at_us = match expected {
            OutcomeCode::TooOld => us - TOO_OLD_US,
            OutcomeCode::ClockSkew => us + SKEWED_US,
            _ => us,
        };
        Heard { customer: who, beacon, at_us, rssi_dbm, expected, opens_visit }
    }

    /// Which beacon is heard, and how strongly.
    fn signal(&mut self, who: u32, seat: u32, expected: OutcomeCode) -> (u32, i8) {
        let is_strong = expected != OutcomeCode::LowConfidence;
        let seat = self.plan.first_beacon + seat;
        let store_first = seat - seat % self.plan.beacons_per_store;
        let location = |plan: &ChainPlan, beacon| plan.layout.location_type(beacon);
        let own = location(&self.plan, seat);
        let is_neighbour = self.plan.signals.is_neighbour(is_strong, own, self.random.next_u32());
        let beacon = match expected {
            OutcomeCode::BeaconInactive => store_first + self.plan.beacons_per_store - 1,
            OutcomeCode::Forbidden => self.plan.elsewhere(self.random.next_u64()),
            _ if is_neighbour => {
                // Of the others in service, each as likely.
                let others = self.plan.active_beacons() - 1;
                let step = 1 + self.below(u64::from(others));
                store_first + (seat - store_first + step) % self.plan.active_beacons()
            }
            _ => seat,
        };
        let random = self.random.next_u32();
        let rssi = self.plan.signals.rssi(is_strong, location(&self.plan, beacon), is_neighbour, random);
        let is_absurd = expected == OutcomeCode::Invalid && Naming::is_invalid_by_rssi(who);
        (beacon, if is_absurd { ABSURD_RSSI_DBM } else { rssi })
    }

    /// A number below `bound`, each as likely to within 2^-32 (Lemire: Fast Random Integer Generation in an Interval, 2019,
    /// without the rejection).
    fn below(&mut self, bound: u64) -> u32 {
        let wide = u64::from(self.random.next_u32()) * bound.min(u64::from(u32::MAX));
        u32::try_from(wide >> 32).unwrap_or(u32::MAX)
    }

    fn within_tick(&mut self) -> u32 {
        self.below(self.plan.tick_us.unsigned_abs())
    }

    /// From 0 to 1, 1 left out.
    fn unit(&mut self) -> f64 {
        (self.random.next_u64() >> 11) as f64 / 9_007_199_254_740_992.0
    }

    fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    /// Ticks until something that comes by chance, this many on average.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and `as` saturates"
    )]
    fn exponential(&mut self, mean_ticks: f64) -> u32 {
        (-mean_ticks * libm::log(1.0 - self.unit())).round() as u32
    }

    /// How many of what comes by chance come, this many on average (Knuth: The Art of Computer Programming, 3.4.1).
    fn poisson(&mut self, mean: f64) -> u32 {
        /// Above it the product of the method loses digits: the sum of two draws is one of their sum.
        const MOST: f64 = 16.0;
        let (mut rest, mut count) = (mean, 0);
        while rest > 0.0 {
            let limit = libm::exp(-rest.min(MOST));
            let mut product = self.unit();
            while product > limit {
                count += 1;
                product *= self.unit();
            }
            rest -= MOST;
        }
        count
    }
}

#[cfg(test)]
mod tests;
