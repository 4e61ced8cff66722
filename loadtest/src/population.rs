//! The population: customers in restaurants, and what gateways hear of them. Pure; time is an argument, and everything
//! follows from the seed.

mod layout;
mod naming;

use beacon_protocol::OutcomeCode;

pub(crate) use self::layout::{BeaconStatus, Layout, LocationType};
pub(crate) use self::naming::Naming;

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
    /// Whether it is certain to be identified: eligible, and nothing eligible of this customer within a minute before.
    pub(crate) opens_visit: bool,
}
