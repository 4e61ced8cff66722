//! What the samples of a report are, and that the document names them.

use std::collections::BTreeSet;

use super::*;
use crate::app::report::{
    DeadLettersReport, DynamoDbReport, PostgresReport, RedisReport, TroubleReport, WindowReport,
};
use crate::pipeline::DirectoryCounts;

/// Of a daemon on the full stack, whose store of events is in trouble.
fn report() -> Report {
    let store = StoreLedger { new: 3, stored: 1, waiting: 2, ..StoreLedger::default() };
    let writer = WriterReport { store: "sqlite".into(), batches: 1, rows: 1, ..WriterReport::default() };
    let trouble = TroubleReport { kind: "misconfigured".into(), reason: "a right".into(), seconds: 7 };
    Report {
        uptime_s: 9,
        ledger: Ledger {
            received: 5,
            outcomes: [1, 0, 0, 0, 0, 0, 0, 0, 0, 3, 1],
            system_of_record: store,
            events: Some(store),
            ..Ledger::default()
        },
        listeners: ListenCounts {
            refusals: [("busy".to_owned(), 4)].into(),
            udp_sessions_open: 2,
            ..ListenCounts::default()
        },
        writers: vec![writer.clone(), WriterReport { trouble: Some(trouble), ..writer }],
        queued_rows: 2,
        window: WindowReport { entries: 1, bytes: 64 },
        beacons: DirectoryCounts {
            loads: 3,
            failed_loads: 1,
            from_memory: 40,
            absent_from_memory: 2,
            ..DirectoryCounts::default()
        },
        postgres: Some(PostgresReport { near_rows: 0, merges: 1, foreign_keys: Some("row".into()) }),
        redis: Some(RedisReport {
            up: true,
            customers_written: 6,
            customers_superseded: 0,
            customers_failed: 0,
            customers_dropped: 8,
            beacons_kept: 1,
            beacons_malformed: 0,
            requests_failed: 0,
            times_down: 0,
        }),
        dynamodb: Some(DynamoDbReport {
            call_limit: 4,
            calls_in_flight: 2,
            last_round_trip_us: 2_500,
            calls: 9,
            throttled_calls: 1,
            unprocessed_items: 5,
            failed_calls: 0,
            stored_items: 100,
        }),
        dead_letters: DeadLettersReport { letters: 1, damaged: 0, bytes: 200, max_bytes: 1_000 },
        ..Report::default()
    }
}

#[track_caller]
fn assert_value(samples: &[Sample], name: &str, labels: &[(&str, &str)], value: f64) {
    let found: Vec<_> = samples
        .iter()
        .filter(|sample| sample.name == name && labels.iter().all(|label| sample.labels.contains(label)))
        .map(|sample| sample.value)
        .collect();
    assert_eq!(found, [value], "{name} {labels:?}");
}

#[test]
fn each_count_stands_under_its_labels() {
    let samples = samples(&report());
    assert_value(&samples, "beacond_sightings_received_total", &[], 5.0);
    assert_value(&samples, "beacond_sightings_settled_total", &[("outcome", "undecided")], 1.0);
    assert_value(&samples, "beacond_sightings_settled_total", &[("outcome", "duplicate")], 3.0);
    let stored = [("store", "events"), ("end", "stored")];
    assert_value(&samples, "beacond_identities_finished_total", &stored, 1.0);
    assert_value(&samples, "beacond_identities_waiting", &[("store", "record")], 2.0);
    assert_value(&samples, "beacond_refusals_total", &[("code", "busy")], 4.0);
    assert_value(&samples, "beacond_sessions_open", &[("transport", "udp")], 2.0);
    let trouble = |store| [("store", store), ("trouble", "misconfigured")];
    assert_value(&samples, "beacond_store_trouble", &trouble("record"), 0.0);
    assert_value(&samples, "beacond_store_trouble", &trouble("events"), 1.0);
    assert_value(&samples, "beacond_store_trouble_seconds", &[("store", "events")], 7.0);
    assert_value(&samples, "beacond_directory_loads_failed_total", &[("directory", "beacons")], 1.0);
    let memory = [("directory", "beacons"), ("tier", "memory")];
    assert_value(&samples, "beacond_directory_answers_total", &memory, 42.0);
    assert_value(&samples, "beacond_postgres_foreign_keys_by_row", &[], 1.0);
    assert_value(&samples, "beacond_redis_customers_total", &[("outcome", "dropped")], 8.0);
    assert_value(&samples, "beacond_dynamodb_last_round_trip_seconds", &[], 0.002_5);
    assert_value(&samples, "beacond_dead_letters_bytes", &[], 200.0);
}

#[test]
fn engines_that_are_not_configured_have_no_series() {
    let embedded = Report { postgres: None, redis: None, dynamodb: None, ..report() };
    for sample in samples(&embedded) {
        for engine in ["postgres", "redis", "dynamodb"] {
            assert!(!sample.name.contains(engine), "{}", sample.name);
        }
    }
}

#[test]
fn no_series_is_there_twice_and_all_of_a_name_are_alike() {
    let samples = samples(&report());
    for (index, sample) in samples.iter().enumerate() {
        let names = |sample: &Sample| sample.labels.iter().map(|label| label.0).collect::<Vec<_>>();
        for other in samples[..index].iter().filter(|other| other.name == sample.name) {
            assert_ne!(other.labels, sample.labels, "{}", sample.name);
            assert_eq!((other.help, other.kind, names(other)), (sample.help, sample.kind, names(sample)));
        }
    }
}

/// The names at the start of the rows of METRICS.md's tables.
fn documented() -> BTreeSet<&'static str> {
    let rows = include_str!("../../../METRICS.md").lines().filter_map(|line| line.strip_prefix("| `"));
    let names = rows.flat_map(|row| row.split(" |").next().unwrap_or(row).split('`'));
    names.filter(|name| name.starts_with("beacond_")).collect()
}

#[test]
fn metrics_md_names_every_metric_and_no_other() {
    let of_ops = ["beacond_build_info", "beacond_latency_seconds", "beacond_stage_duration_seconds"];
    let names = samples(&report()).into_iter().map(|sample| sample.name).chain(of_ops);
    assert_eq!(names.collect::<BTreeSet<_>>(), documented());
}

#[test]
fn every_refusal_and_outcome_is_there_from_the_start() {
    let samples = samples(&Report { listeners: ListenCounts::default(), ..report() });
    let of = |name| samples.iter().filter(|sample| sample.name == name).count();
    assert_eq!(of("beacond_refusals_total"), RefusalCode::ALL.len());
    assert_eq!(of("beacond_sightings_settled_total"), Outcome::LABELS.len());
}
