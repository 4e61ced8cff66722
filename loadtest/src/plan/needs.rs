//! What so many users need. Pure arithmetic, so that it can be checked by hand.

use serde::Serialize;

use super::costs::Costs;
use crate::population::full_hours_a_day;
use crate::scenario::Scenario;

const DAYS_A_MONTH: f64 = 30.4;
/// The same customer is identified once in so long.
const IDENTIFIED_EVERY_S: f64 = 60.0;
/// How long Redis keeps a customer's latest identity.
const CACHED_S: f64 = 3_600.0;

/// What the operator wants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Wishes {
    pub(super) outage_s: f64,
    /// The part of a processor that may be busy.
    pub(super) busy: f64,
}

/// What so many users need, at the height of a day unless said.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Needs {
    pub(super) users: u64,
    pub(super) stores: f64,
    pub(super) beacons: f64,
    pub(super) gateways: f64,
    pub(super) sightings_per_s: f64,
    pub(super) identities_per_s: f64,
    pub(super) identities_per_day: f64,
    pub(super) network_bits_per_s: f64,
    pub(super) daemon: Daemon,
    pub(super) postgres: Postgres,
    pub(super) redis: Redis,
    pub(super) dynamodb: DynamoDb,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Daemon {
    /// Kept busy.
    pub(super) cores: f64,
    pub(super) machines: f64,
    /// Of all together: window, beacons, sessions.
    pub(super) memory_bytes: f64,
    /// Of all together, for the outage.
    pub(super) journal_bytes: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Postgres {
    pub(super) rows_per_s: f64,
    /// Of the measured kind: 2 cores and 2 connections.
    pub(super) servers: f64,
    pub(super) bytes_per_day: f64,
    /// When the first identities are deleted, customers included.
    pub(super) bytes_full: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Redis {
    pub(super) memory_bytes: f64,
    pub(super) writes_per_s: f64,
    /// By rate: each has one thread.
    pub(super) nodes: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct DynamoDb {
    pub(super) writes_per_s: f64,
    pub(super) on_demand_usd_per_month: f64,
    /// Scaled with the day, filled to the part that may be busy.
    pub(super) provisioned_usd_per_month: f64,
    /// When the first events expire.
    pub(super) bytes_full: f64,
    pub(super) storage_usd_per_month: f64,
}

impl Needs {
    pub(super) fn of(users: u64, scenario: &Scenario, costs: &Costs, wishes: Wishes) -> Self {
        let population = &scenario.population;
        let customers = users as f64;
        let scale = customers / f64::from(population.customers);
        let stores = (f64::from(population.stores) * scale).ceil();
        let beacons = stores * f64::from(population.beacons_per_store);
        let gateways = (f64::from(population.gateways) * scale).ceil();
        let present = customers * population.present;
        let sightings_per_s = present / population.sighted_every.as_secs_f64();
        let identities_per_s = match costs.identities_of_a_sighting {
            Some(share) => sightings_per_s * share,
            None => (present / IDENTIFIED_EVERY_S).min(sightings_per_s * scenario.shares.eligible()),
        };
        let identities_per_day = identities_per_s * full_hours_a_day(population) * 3_600.0;
        let load = Load { sightings_per_s, identities_per_s, identities_per_day };
        Self {
            users,
            stores,
            beacons,
            gateways,
            sightings_per_s,
            identities_per_s,
            identities_per_day,
            network_bits_per_s: sightings_per_s * costs.sighting_wire_bytes * 8.0,
            daemon: Daemon::of(load, beacons, gateways, costs, wishes),
            postgres: Postgres {
                rows_per_s: identities_per_s,
                servers: whole(identities_per_s / (costs.postgres_rows_per_s * wishes.busy)),
                bytes_per_day: identities_per_day * costs.postgres_row_bytes,
                bytes_full: identities_per_day * costs.postgres_row_bytes * costs.postgres_kept_years * 365.0
                    + customers * costs.postgres_customer_bytes,
            },
            redis: Redis {
                // Who is there, and who left within the time that Redis keeps them.
                memory_bytes: customers.min(present * (1.0 + CACHED_S / population.stay.as_secs_f64()))
                    * costs.redis_customer_bytes
                    + beacons * costs.redis_beacon_bytes,
                writes_per_s: identities_per_s,
                nodes: whole(identities_per_s / (costs.redis_ops_per_s * wishes.busy)),
            },
            dynamodb: DynamoDb::of(load, costs, wishes),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Load {
    sightings_per_s: f64,
    identities_per_s: f64,
    identities_per_day: f64,
}

impl Daemon {
    fn of(load: Load, beacons: f64, gateways: f64, costs: &Costs, wishes: Wishes) -> Self {
        let Load { sightings_per_s, identities_per_s, .. } = load;
        let cores = (sightings_per_s * costs.sighting_us + identities_per_s * costs.identity_us) / 1e6;
        Self {
            cores,
            machines: whole(cores / (costs.machine_cores * wishes.busy)),
            memory_bytes: identities_per_s * costs.horizon_s * costs.window_bytes
                + beacons * costs.beacon_bytes
                + gateways * costs.session_bytes,
            journal_bytes: identities_per_s * (costs.horizon_s + wishes.outage_s) * costs.journal_bytes,
        }
    }
}

impl DynamoDb {
    fn of(load: Load, costs: &Costs, wishes: Wishes) -> Self {
        let Load { identities_per_s, identities_per_day, .. } = load;
        let writes_a_month = identities_per_day * DAYS_A_MONTH * costs.dynamodb_writes;
        let bytes_full = identities_per_day * costs.dynamodb_kept_days * costs.dynamodb_item_bytes;
        Self {
            writes_per_s: identities_per_s * costs.dynamodb_writes,
            on_demand_usd_per_month: writes_a_month / 1e6 * costs.on_demand_usd,
            // A unit that is always used writes 3,600 times an hour.
            provisioned_usd_per_month: writes_a_month / 3_600.0 / wishes.busy * costs.provisioned_usd,
            bytes_full,
            storage_usd_per_month: bytes_full / 1e9 * costs.storage_usd,
        }
    }
}

/// There is no part of a machine, and never none.
fn whole(number: f64) -> f64 {
    number.ceil().max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Curve, Span};

    /// 10 million customers, a million there, each sighted every 10 s, as much all day long.
    fn scenario() -> Scenario {
        let mut scenario = crate::scenario::read("ten-million-lunch", &[]).unwrap();
        scenario.population.curve = Curve::Flat;
        scenario.population.stay = Span::minutes(60);
        scenario
    }

    fn about(value: f64, by_hand: f64) {
        assert!((value / by_hand - 1.0).abs() < 1e-6, "{value}, by hand {by_hand}");
    }

    #[test]
    fn ten_million_users_by_hand() {
        let wishes = Wishes { outage_s: 3_600.0, busy: 0.5 };
        let needs = Needs::of(10_000_000, &scenario(), &Costs::documented(), wishes);
        about(needs.sightings_per_s, 100_000.0);
        about(needs.identities_per_s, 1_000_000.0 / 60.0);
        about(needs.identities_per_day, 1_440_000_000.0);
        about(needs.network_bits_per_s, 19_800_000.0);
        // 100,000 x 0.6 us, 16,667 x 11.7 us.
        about(needs.daemon.cores, 0.06 + 0.195);
        assert_eq!(needs.daemon.machines, 1.0);
        // 15 million in the window, a million beacons, 2,000 sessions.
        about(needs.daemon.memory_bytes, 855e6 + 534e6 + 40.96e6);
        // 75 minutes.
        about(needs.daemon.journal_bytes, 75_000_000.0 * 86.0);
        // 16,667 of the 15,800 that half of a server writes.
        assert_eq!(needs.postgres.servers, 2.0);
        about(needs.postgres.bytes_full, 1.44e9 * 256.0 * 1_825.0 + 3.31e9);
        // A million there, and a million that left within the hour.
        about(needs.redis.memory_bytes, 2e6 * 230.0 + 1e6 * 310.0);
        about(needs.dynamodb.writes_per_s, 100_000.0 / 3.0);
        // 87,552 million writes a month.
        about(needs.dynamodb.on_demand_usd_per_month, 87_552.0 * 0.625);
        about(needs.dynamodb.provisioned_usd_per_month, 87_552e6 / 3_600.0 / 0.5 * 0.000_65);
        about(needs.dynamodb.bytes_full, 1.44e9 * 365.0 * 433.0);
    }

    #[test]
    fn a_hundred_times_the_users_need_a_hundred_times_as_much() {
        let wishes = Wishes { outage_s: 600.0, busy: 0.6 };
        let of = |users| Needs::of(users, &scenario(), &Costs::documented(), wishes);
        let (some, many) = (of(10_000_000), of(1_000_000_000));
        about(many.daemon.cores, some.daemon.cores * 100.0);
        about(many.gateways, 200_000.0);
        about(many.dynamodb.on_demand_usd_per_month, some.dynamodb.on_demand_usd_per_month * 100.0);
        assert_eq!((some.postgres.servers, many.postgres.servers), (1.0, 88.0));
    }

    #[test]
    fn a_measured_share_of_identities_goes_over_the_rule() {
        let wishes = Wishes { outage_s: 0.0, busy: 0.6 };
        let mut costs = Costs::documented();
        costs.identities_of_a_sighting = Some(0.1);
        about(Needs::of(10_000_000, &scenario(), &costs, wishes).identities_per_s, 10_000.0);
    }
}
