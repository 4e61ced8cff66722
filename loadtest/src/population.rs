//! The population: customers in restaurants, and what gateways hear of them. Pure; time is an argument, and everything
//! follows from the seed.

mod chain;
mod curve;
mod layout;
mod naming;
mod signal;

use std::sync::Arc;

use beacon_protocol::OutcomeCode;

pub(crate) use self::chain::Chain;
pub(crate) use self::curve::full_hours_a_day;
pub(crate) use self::layout::{BeaconStatus, Layout, LocationType};
pub(crate) use self::naming::Naming;
use self::signal::Signals;
use crate::level::Levels;
use crate::scenario::{PopulationPlan, Scenario};

/// The largest share of customers that are there: not everybody can be, since somebody has to be able to come.
pub(crate) const MOST_PRESENT: f64 = 0.95;

/// What all chains of a run share.
#[derive(Debug)]
pub(crate) struct Population {
    scenario: Arc<Scenario>,
    plan: Arc<PopulationPlan>,
    levels: Arc<Levels>,
    signals: Arc<Signals>,
}

impl Population {
    pub(crate) fn new(scenario: Arc<Scenario>) -> Self {
        let (plan, levels) = (Arc::new(scenario.population.clone()), Arc::new(Levels::of(&scenario.load)));
        Self { scenario, plan, levels, signals: Signals::new() }
    }

    pub(crate) fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    pub(crate) fn layout(&self) -> Layout {
        Layout::new(&self.plan)
    }

    const fn plan(&self) -> &Arc<PopulationPlan> {
        &self.plan
    }

    const fn levels(&self) -> &Arc<Levels> {
        &self.levels
    }

    const fn signals(&self) -> &Arc<Signals> {
        &self.signals
    }
}

/// When a gateway first reports, in microseconds: they are spread over the interval, so that not all report at once.
pub(crate) fn report_phase_us(gateway: u32, report_every_us: i64) -> i64 {
    /// 2^64 divided by the golden ratio.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let part = u64::from(gateway + 1).wrapping_mul(SPREAD) >> 32;
    let every = u64::try_from(report_every_us).unwrap_or(0).min(u64::from(u32::MAX));
    i64::try_from((part * every) >> 32).unwrap_or(0)
}

/// Whether a customer is of the part that is reported: always the same ones, and the more the larger the part.
fn is_reported(customer: u32, part: f64) -> bool {
    part >= 1.0 || f64::from(Naming::spread(customer)) < part * 4_294_967_296.0
}

/// One sighting, before it is put into bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Of all customers.
    pub(crate) customer: u32,
    /// Of all registered beacons. Where [`expected`](Self::expected) is `unknown_beacon` or `beacon_mismatch` it is the one
    /// whose place the strange one takes: [`Naming::radio`].
    pub(crate) beacon: u32,
    /// When, as it will be told: microseconds since the run's begin, before it where it was heard offline.
    pub(crate) at_us: i64,
    pub(crate) rssi_dbm: i8,
    /// What it must become. `identified` is every eligible one, of which some become `duplicate`.
    pub(crate) expected: OutcomeCode,
    /// Whether it is certain to be identified: eligible, and nothing eligible of this customer within a minute before, as
    /// far as this gateway hears.
    pub(crate) opens_visit: bool,
}
