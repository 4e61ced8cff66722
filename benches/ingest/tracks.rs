//! Recorded tracks that are made up: what customers do within a minute, and the beacons they pass.

use std::fmt::Write as _;

const BEACONS: usize = 8;
const GROUP: usize = 50;

/// What customers do within a minute, sighting by sighting.
#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) name: &'static str,
    /// Sightings of one customer: strong ones at its beacon, weak ones, and ones of a beacon nobody registered.
    pub(crate) strong: usize,
    pub(crate) weak: usize,
    pub(crate) unknown: usize,
}

/// Nothing but identities, few, and hardly any.
pub(crate) const SETS: [Set; 3] = [
    Set { name: "all identities", strong: 1, weak: 0, unknown: 0 },
    Set { name: "one in six an identity", strong: 4, weak: 1, unknown: 1 },
    Set { name: "59 of 60 duplicates", strong: 60, weak: 0, unknown: 0 },
];

fn beacon_id(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// The beacons, as `beacond beacon import` takes them.
pub(crate) fn beacons_csv() -> String {
    let mut csv = "beacon_id,store_id,major,minor,location,location_type,status\n".to_owned();
    for number in 0..BEACONS {
        let _ = writeln!(csv, "{},store1,1,{number},Table {number},table,active", beacon_id(number));
    }
    csv
}

/// Customers in groups, the group's in turn: the sightings of one are apart in the file and within a minute in time, and
/// new customers come all along.
pub(crate) fn tracks_csv(set: &Set, sightings: usize) -> String {
    let times = set.strong + set.weak + set.unknown;
    let mut csv = "detected_at_unix_us,customer_id,beacon_uuid,major,minor,rssi_dbm\n".to_owned();
    for nth in 0..sightings {
        let (group, within) = (nth / (GROUP * times), nth % (GROUP * times));
        let (time, customer) = (within / GROUP, group * GROUP + within % GROUP);
        let nearest = customer % BEACONS;
        let (beacon, rssi_dbm) = match time {
            _ if time < set.strong => (nearest, -50),
            _ if time < set.strong + set.weak => (nearest, -85),
            _ => (BEACONS + 1, -50),
        };
        let at_us = 1_700_000_000_000_000 + time * (55_000_000 / times) + customer;
        // Scattered, as ids are: neighbours in time are no neighbours in an index.
        let id = customer.wrapping_mul(2_654_435_761) % 100_000_000;
        let _ = writeln!(csv, "{at_us},customer{id:08},{},1,{beacon},{rssi_dbm}", beacon_id(beacon));
    }
    csv
}
