//! What a sighting, an identity and a customer cost, each with where it is known from.

use std::path::Path;

use serde::Serialize;

use super::needs::Wishes;
use crate::measurement::{Measurement, Point};
use crate::population::full_hours_a_day;
use crate::scenario::Scenario;
use crate::slo::Figure;

/// A figure that a plan rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Assumption {
    pub(super) name: &'static str,
    pub(super) value: f64,
    pub(super) unit: &'static str,
    pub(super) source: String,
}

/// Names a cost, its unit and where it is known from.
macro_rules! costs {
    ($($(#[$doc:meta])* $field:ident = $value:expr, $unit:literal, $name:literal, $source:expr;)*) => {
        /// What things cost.
        #[derive(Debug, Clone, PartialEq)]
        pub(super) struct Costs {
            $($(#[$doc])* pub(super) $field: f64,)*
            /// Whose figures those of the daemon are, where a run measured them.
            measured_by: Option<String>,
            /// Identities of a sighting, where a run measured them.
            pub(super) identities_of_a_sighting: Option<f64>,
        }

        impl Costs {
            /// Those of the documents.
            pub(super) fn documented() -> Self {
                Self { $($field: $value,)* measured_by: None, identities_of_a_sighting: None }
            }

            fn each(&self) -> Vec<Assumption> {
                vec![$(Assumption { name: $name, value: self.$field, unit: $unit, source: $source.to_owned() },)*]
            }
        }
    };
}

const DAEMON_SIGHTING: &str = "daemon: processor time of a sighting";
const DAEMON_IDENTITY: &str = "daemon: processor time of an identity, all stores";
const PERFORMANCE: &str = "docs/performance.md, ";
const MEASURED: &str = "docs/loadtest.md, Planning: ";
const PRICES: &str = "AWS price list, us-east-1, as of November 2024: check your own";

costs! {
    sighting_us = 0.6, "us", "daemon: processor time of a sighting",
        format!("{PERFORMANCE}acked at the journal: 3,384,000/s on 2 cores, the sender on them too");
    identity_us = 11.7, "us", "daemon: processor time of an identity, all stores",
        format!("{PERFORMANCE}full stack: 0.7 s for 60,000 identities");
    machine_cores = 8.0, "cores", "cores of a machine for the daemon", "an assumption of this plan";
    sighting_wire_bytes = 24.75, "bytes", "bytes of a sighting on the wire",
        format!("{PERFORMANCE}codec: frames of 64 with ids of 16 bytes, without headers of TCP/IP");
    window_bytes = 57.0, "bytes", "memory of an identity in the duplicate window", format!("{PERFORMANCE}duplicate window: resident");
    horizon_s = 900.0, "s", "how long identities stay in the window and the journal", "the daemon's default, [rules] horizon_s";
    beacon_bytes = 534.0, "bytes", "memory of a beacon in the daemon", format!("{PERFORMANCE}directory");
    session_bytes = 20_480.0, "bytes", "memory of a gateway's session", "the daemon's default configuration, max_tcp";
    journal_bytes = 86.0, "bytes", "journal of an identity", "the daemon's default configuration: 8 GiB hold about 100 million";
    postgres_rows_per_s = 31_600.0, "rows/s", "PostgreSQL: rows of known customers a second, 2 cores, 2 connections",
        format!("{PERFORMANCE}PostgreSQL writer, batches of 5,000");
    postgres_row_bytes = 256.0, "bytes", "PostgreSQL: a row with its four indexes", format!("{MEASURED}3 million rows, ids of 16 bytes");
    postgres_customer_bytes = 331.0, "bytes", "PostgreSQL: a customer with its indexes", format!("{MEASURED}200,000 customers, last_seen moved twice");
    postgres_kept_years = 5.0, "years", "PostgreSQL: identities are kept", "the data model";
    redis_customer_bytes = 230.0, "bytes", "Redis: a customer's latest identity", format!("{MEASURED}Redis 7.0, used_memory of 200,000");
    redis_beacon_bytes = 310.0, "bytes", "Redis: a beacon", format!("{MEASURED}Redis 7.0, used_memory of 200,000");
    redis_ops_per_s = 120_000.0, "/s", "Redis: identities a second, one connection", format!("{PERFORMANCE}Redis: the adapter, batches of 512");
    dynamodb_writes = 2.0, "WCU", "DynamoDB: write units of an identity", "one for the item, one for its entry in DetectedAtIndex, both under 1 KB";
    dynamodb_item_bytes = 433.0, "bytes", "DynamoDB: an item and its index entry, stored",
        "AWS' rule: 154 and 79 bytes of names and values, and 100 bytes each";
    dynamodb_kept_days = 365.0, "days", "DynamoDB: events are kept; deletion by TTL is free", "the data model; AWS documentation";
    on_demand_usd = 0.625, "USD", "DynamoDB on demand: a million writes", PRICES;
    provisioned_usd = 0.000_65, "USD", "DynamoDB provisioned: a WCU for an hour", PRICES;
    storage_usd = 0.25, "USD", "DynamoDB: a GB stored for a month", PRICES;
}

impl Costs {
    /// The daemon's costs and the share of identities as a run had them: both costs are moved by one factor, since one
    /// figure of busy cores cannot tell them apart.
    ///
    /// # Errors
    /// When the run did not measure what is needed.
    pub(super) fn measured_by(mut self, measurement: &Measurement, path: &Path) -> Result<Self, String> {
        let seconds = measurement.series.every_s * measurement.measured_points().count() as f64;
        let sum = |of: fn(&Point) -> u64| measurement.measured_points().map(of).sum::<u64>() as f64;
        let sightings = sum(|point| point.acked);
        let identities = sum(|point| point.outcomes.last().copied().unwrap_or_default());
        let cores = Figure::DaemonCores.read(measurement);
        if seconds <= 0.0 || sightings <= 0.0 {
            return Err("nothing was acknowledged in its measured window".to_owned());
        }
        let cores = cores.ok_or("it did not look at the daemon's processor: run with --admin")?;
        let expected = (sightings * self.sighting_us + identities * self.identity_us) / seconds / 1e6;
        let factor = cores / expected;
        self.sighting_us *= factor;
        self.identity_us *= factor;
        self.identities_of_a_sighting = Some(identities / sightings);
        self.measured_by = Some(format!(
            "{}: {cores:.2} cores at {:.0} sightings/s and {:.0} identities/s, the two costs in the proportion of \
             docs/performance.md; what it takes at rest is in them, so take a run at a high rate",
            path.display(),
            sightings / seconds,
            identities / seconds
        ));
        Ok(self)
    }

    /// All that a plan rests on.
    pub(super) fn assumptions(&self, scenario: &Scenario, wishes: Wishes) -> Vec<Assumption> {
        let population = &scenario.population;
        let of_scenario = || format!("scenario {}", scenario.name);
        let assumption = |name, value, unit, source| Assumption { name, value, unit, source };
        let mut all = vec![
            assumption(
                "customers who are in a store at once, at the height",
                population.present * 100.0,
                "%",
                of_scenario(),
            ),
            assumption("each is sighted every", population.sighted_every.as_secs_f64(), "s", of_scenario()),
            assumption("a visit lasts", population.stay.as_secs_f64() / 60.0, "min", of_scenario()),
            assumption(
                "a day's traffic is that of so many hours at the height",
                full_hours_a_day(population),
                "h",
                format!("{}, curve of the day", of_scenario()),
            ),
            assumption(
                "processors, servers and provisioned capacity are used, at most",
                wishes.busy * 100.0,
                "%",
                "--busy".to_owned(),
            ),
            assumption("a store may be away for", wishes.outage_s / 60.0, "min", "--outage".to_owned()),
            match self.identities_of_a_sighting {
                Some(share) => {
                    let source = self.measured_by.clone().unwrap_or_default();
                    assumption("identities of a sighting", share, "", source)
                }
                None => assumption(
                    "who is there is identified every",
                    60.0,
                    "s",
                    "the rule of one identity a minute: the most there can be".to_owned(),
                ),
            },
        ];
        let mut costs = self.each();
        for cost in &mut costs {
            if let (Some(run), DAEMON_SIGHTING | DAEMON_IDENTITY) = (&self.measured_by, cost.name) {
                cost.source.clone_from(run);
            }
        }
        all.extend(costs);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::sample;

    #[test]
    fn a_run_moves_both_costs_of_the_daemon_by_one_factor() {
        let mut measurement = sample::quiet();
        for point in &mut measurement.series.points {
            point.acked = 100_000;
            point.outcomes[10] = 10_000;
            point.daemon_cores = Some(0.354);
        }
        // Documented: 100,000 x 0.6 us and 10,000 x 11.7 us are 0.177 cores, half of what was measured.
        let costs = Costs::documented().measured_by(&measurement, Path::new("report.json")).unwrap();
        assert!((costs.sighting_us - 1.2).abs() < 1e-9 && (costs.identity_us - 23.4).abs() < 1e-9);
        assert!(costs.identities_of_a_sighting.is_some_and(|share| (share - 0.1).abs() < 1e-9));
        let scenario = Scenario::default();
        let wishes = Wishes { outage_s: 3_600.0, busy: 0.6 };
        let assumptions = costs.assumptions(&scenario, wishes);
        let named = |name| assumptions.iter().find(|one| one.name == name).unwrap();
        assert!(named(DAEMON_IDENTITY).source.starts_with("report.json: 0.35 cores at 100000 sightings/s"));
        assert!(assumptions.iter().all(|one| !one.source.is_empty()));
    }

    #[test]
    fn a_run_that_did_not_look_at_the_daemon_is_refused() {
        let of = |measurement| Costs::documented().measured_by(&measurement, Path::new("r")).unwrap_err();
        assert!(of(sample::quiet()).contains("--admin"));
        assert!(of(sample::empty()).contains("nothing was acknowledged"));
    }
}
