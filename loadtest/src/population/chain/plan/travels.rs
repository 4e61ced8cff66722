//! Who goes to another chain than one's own, and when: nobody is in two places at once.
//!
//! Customers who travel are at home for a turn and out for a turn, one half of them in the first and the other half in the
//! second; out is always the chain before. Both chains know whose turn it is by the time alone.

use std::ops::Range;

use crate::population::Layout;
use crate::scenario::{PopulationPlan, Visits};

/// A turn lasts so many times the average stay, so that few visits are cut short by its end.
const STAYS_A_TURN: i64 = 4;
/// Of those who travel half are out at a time, and not all of them are in a store.
const TRAVELLERS_A_GUEST: f64 = 4.0;

/// What a chain needs to know of it.
#[derive(Debug)]
pub(super) struct Travels {
    /// Those of another chain who come here as guests.
    pub(super) from: Range<u32>,
    /// How many of the own customers, the first ones, go elsewhere.
    pub(super) away: u32,
    /// How long a turn lasts.
    pub(super) turn_us: i64,
}

impl Travels {
    pub(super) fn new(plan: &PopulationPlan, layout: Layout, gateway: u32) -> Self {
        let gateways = layout.gateways();
        let travellers_of = |gateway: u32| {
            let customers = layout.customers_of(gateway);
            if gateways < 2 || plan.visits == Visits::EachOnce {
                return customers.start..customers.start;
            }
            customers.start..customers.start + travellers(plan, customers.end - customers.start)
        };
        let own = travellers_of(gateway);
        Self {
            from: travellers_of((gateway + 1) % gateways),
            away: own.end - own.start,
            turn_us: (STAYS_A_TURN * plan.stay.as_us()).max(1),
        }
    }

    pub(super) const fn guests(&self) -> u32 {
        self.from.end - self.from.start
    }

    /// Whether a chain's `number`th traveller is out at that time.
    pub(super) const fn is_out(&self, number: u32, at_us: i64) -> bool {
        (at_us.div_euclid(self.turn_us) + number as i64).rem_euclid(2) == 1
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and at most all")]
fn travellers(plan: &PopulationPlan, customers: u32) -> u32 {
    let share = (TRAVELLERS_A_GUEST * plan.guests).min(1.0);
    (f64::from(customers) * share).ceil() as u32
}
