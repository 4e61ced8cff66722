//! `/metrics` as a scraper reads it.

use std::collections::BTreeMap;
use std::time::Duration;

use beacond::latency::{EDGES, Stage};
use beacond::ops::Sample;

use crate::client::Operators;
use crate::exposition::{Family, families};

fn operators() -> Operators {
    let help = "Things, with a \\ and\na line break.";
    let operators = Operators::start(vec![
        Sample::counter("beacond_things_total", help, 3.0).with("kind", "a"),
        Sample::gauge("beacond_level_bytes", "A level.", 1.5),
        Sample::counter("beacond_things_total", help, 12_345_678_901.0).with("kind", "b"),
    ]);
    for (stage, micros) in Stage::ALL
        .into_iter()
        .zip([1, 100, 101, 999_999, 1_000_000, 1_000_001, 20_000_000].into_iter().cycle())
    {
        operators.latencies.record(stage, Duration::from_micros(micros), 64);
        operators.latencies.record(stage, Duration::from_millis(3), 1);
    }
    operators
}

#[test]
fn whole_page_is_in_the_classic_text_format() {
    let operators = operators();
    let reply = operators.get("/metrics");
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/plain; version=0.0.4")));
    let families = families(&reply.body);
    let things: Vec<f64> = families["beacond_things_total"].series.iter().map(|series| series.2).collect();
    assert_eq!(things, [3.0, 12_345_678_901.0], "samples of a name stand together");
    for (name, family) in &families {
        assert!(name.starts_with("beacond_") || name.starts_with("process_"), "{name}");
        assert_eq!(family.kind == "counter", name.ends_with("_total"), "{name}");
    }
}

#[test]
fn buckets_are_cumulative_to_the_count_and_have_an_edge_at_a_second() {
    let operators = operators();
    let families = families(&operators.get("/metrics").body);
    let mut histograms = 0;
    for (labels, buckets, count) in ["beacond_stage_duration_seconds", "beacond_latency_seconds"]
        .iter()
        .flat_map(|name| histograms_of(&families[*name]))
    {
        histograms += 1;
        assert_eq!(buckets.len(), EDGES.len() + 1, "{labels:?}");
        assert!(
            buckets.is_sorted_by(|low, high| low.0 < high.0 && low.1 <= high.1),
            "{labels:?}: {buckets:?}"
        );
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, count)), "{labels:?}");
        assert!(buckets.iter().any(|bucket| (bucket.0 - 1.0).abs() < f64::EPSILON), "{labels:?}");
        assert!((count - 65.0).abs() < f64::EPSILON, "{labels:?}");
    }
    assert_eq!(histograms, Stage::ALL.len());
}

#[test]
fn edge_at_a_second_parts_times_to_the_nanosecond() {
    let operators = Operators::start(Vec::new());
    operators.latencies.record(Stage::ReceivedToAcked, Duration::from_secs(1), 99);
    operators.latencies.record(Stage::ReceivedToAcked, Duration::from_nanos(1_000_000_001), 1);
    let page = operators.get("/metrics").body;
    for line in [
        r#"beacond_latency_seconds_bucket{to="acked",le="0.5"} 0"#,
        r#"beacond_latency_seconds_bucket{to="acked",le="1"} 99"#,
        r#"beacond_latency_seconds_bucket{to="acked",le="2.5"} 100"#,
        r#"beacond_latency_seconds_sum{to="acked"} 100.000000001"#,
    ] {
        assert!(page.lines().any(|found| found == line), "no line {line}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn process_is_told_as_its_operating_system_sees_it() {
    let operators = Operators::start(Vec::new());
    let families = families(&operators.get("/metrics").body);
    let value = |name: &str| families[name].series[0].2;
    assert!(value("process_resident_memory_bytes") > 1e6);
    assert!(value("process_open_fds") >= 4.0 && value("process_open_fds") < value("process_max_fds"));
    assert!(value("process_cpu_seconds_total") >= 0.0);
    assert!(value("process_start_time_seconds") > 1.6e9);
    assert!(value("process_threads") >= 2.0);
    let document = include_str!("../../METRICS.md");
    for name in families.keys() {
        assert!(document.contains(&format!("`{name}`")), "METRICS.md does not name {name}");
    }
    assert_eq!(families["beacond_build_info"].series[0].1["version"], env!("CARGO_PKG_VERSION"));
}

type Buckets = Vec<(f64, f64)>;

/// Each histogram of a family: its own labels, its buckets by edge, its count.
fn histograms_of(family: &Family) -> Vec<(BTreeMap<String, String>, Buckets, f64)> {
    let mut found: BTreeMap<BTreeMap<String, String>, (Buckets, f64)> = BTreeMap::new();
    for (name, labels, value) in &family.series {
        let mut labels = labels.clone();
        let edge = labels.remove("le");
        let histogram = found.entry(labels).or_default();
        match edge {
            Some(edge) => histogram.0.push((edge.parse().unwrap(), *value)),
            None if name.ends_with("_count") => histogram.1 = *value,
            None => assert!(name.ends_with("_sum"), "{name}"),
        }
    }
    found.into_iter().map(|(labels, (buckets, count))| (labels, buckets, count)).collect()
}
