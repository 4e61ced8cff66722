//! What two runs do not have in common, by name.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use crate::measurement::{Measurement, Stamp};

/// A line for each difference that may be why figures differ.
pub(super) fn differences(baseline: &Measurement, new: &Measurement) -> Vec<String> {
    let (before, after) = (&baseline.stamp, &new.stamp);
    let mut lines = Vec::new();
    let mut differ = |name: &str, before: String, after: String| {
        if before != after {
            lines.push(format!("{name}: {before}, now {after}"));
        }
    };
    let host = |of: fn(&Stamp) -> String| (of(before), of(after));
    let pairs = [
        ("host's processor", host(|stamp| stamp.host.processor.clone())),
        ("host's cores", host(|stamp| stamp.host.cores.to_string())),
        ("host's memory", host(|stamp| crate::figures::bytes(stamp.host.memory_bytes))),
        ("host's kernel", host(|stamp| stamp.host.kernel.clone())),
        ("scenario", host(|stamp| stamp.scenario_name.clone())),
        ("scale", host(|stamp| stamp.scale.to_string())),
        ("ack level", host(|stamp| stamp.ack_level.clone())),
        ("transport", host(transports)),
        ("generators", host(|stamp| stamp.shards.len().to_string())),
    ];
    for (name, (before, after)) in pairs {
        differ(name, before, after);
    }
    let parts: BTreeSet<&String> = before.stores.keys().chain(after.stores.keys()).collect();
    let store =
        |stamp: &Stamp, part| stamp.stores.get(part).cloned().unwrap_or_else(|| "not asked".to_owned());
    for part in parts {
        differ(&format!("store of {part}"), store(before, part), store(after, part));
    }
    let (before, after) = (keys(&before.scenario), keys(&after.scenario));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names.into_iter().filter(|name| *name != "name") {
        let value =
            |keys: &BTreeMap<String, String>| keys.get(name).cloned().unwrap_or_else(|| "not set".to_owned());
        differ(name, value(&before), value(&after));
    }
    lines
}

/// `tcp` or `udp`, whatever the addresses.
fn transports(stamp: &Stamp) -> String {
    let schemes = stamp.targets.iter().filter_map(|target| target.split_once("://"));
    schemes.map(|(scheme, _)| scheme).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" and ")
}

/// Every key of a scenario with its value, by its whole name.
fn keys(scenario: &str) -> BTreeMap<String, String> {
    fn gather(above: &str, table: Table, into: &mut BTreeMap<String, String>) {
        for (key, value) in table {
            match value {
                Value::Table(inner) => gather(&format!("{above}{key}."), inner, into),
                value => {
                    into.insert(format!("{above}{key}"), value.to_string());
                }
            }
        }
    }
    let mut keys = BTreeMap::new();
    gather("", scenario.parse().unwrap_or_default(), &mut keys);
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::sample;

    #[test]
    fn differences_are_named_by_key_store_and_host() {
        let (before, mut after) = (sample::quiet(), sample::quiet());
        assert_eq!(differences(&before, &after), Vec::<String>::new());
        after.stamp.host.cores = 8;
        after.stamp.stores.insert("events".to_owned(), "dynoxide".to_owned());
        after.stamp.scenario = after.stamp.scenario.replace("gateways = 2000", "gateways = 1000");
        after.stamp.targets = vec!["udp://10.0.0.1:7700".to_owned()];
        after.stamp.began_at = "2027-01-01T00:00:00Z".to_owned();
        assert_eq!(
            differences(&before, &after),
            [
                "host's cores: 2, now 8",
                "transport: tcp, now udp",
                "store of events: dynamodb-stub, now dynoxide",
                "population.gateways: 2000, now 1000",
            ]
        );
    }
}
