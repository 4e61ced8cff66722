//! The operators' pages of a daemon on the full stack.

use serde_json::Value;

use crate::harness::wait_until;
use crate::scene::{Reporter, table};
use crate::stack::FullStack;

/// The value of the series whose line starts so.
#[track_caller]
fn series(metrics: &str, start: &str) -> f64 {
    let line =
        metrics.lines().find(|line| line.strip_prefix(start).is_some_and(|rest| rest.starts_with(' ')));
    let value = line.and_then(|line| line.rsplit(' ').next()).and_then(|value| value.parse().ok());
    value.unwrap_or_else(|| panic!("no {start} in\n{metrics}"))
}

#[test]
fn every_stage_of_the_way_is_timed_and_counted_for_every_sighting() {
    const IDENTITIES: u16 = 20;
    let stack = FullStack::with_beacons(&[table(1)]);
    let daemon = stack.serve();
    let mut reporter = Reporter::open(&daemon, &[table(1)]);
    let mut frame: Vec<_> = (0..IDENTITIES).map(|_| reporter.strong(&table(1))).collect();
    frame.extend((0..5).map(|_| reporter.weak(&table(1))));
    assert_eq!(reporter.ask(&frame), [("low_confidence", 5), ("identified", IDENTITIES)]);

    let count = |stage: &str| {
        let (status, page) = daemon.page("/api/v1/histograms");
        assert_eq!(status, 200);
        let stages: Value = serde_json::from_str(&page).unwrap();
        let count = stages[stage]["count"].as_u64().unwrap_or_else(|| panic!("no {stage} in {page}"));
        assert!(count == 0 || stages[stage]["max_us"].as_u64() > Some(0), "{stage} in {page}");
        count
    };
    let identities = u64::from(IDENTITIES);
    // An answer is timed when it has left, which the gateway may see first.
    let acked = wait_until(|| (count("received_to_acked") == identities + 5).then_some(()));
    assert_eq!(acked, Ok(()), "{}", count("received_to_acked"));
    assert_eq!(count("decode"), identities + 5);
    let admitted: u64 = ["admit_memory", "admit_cache", "admit_record"].map(count).iter().sum();
    assert_eq!(admitted, identities + 5);
    for stage in ["record_queue", "record_write", "received_to_record"] {
        assert_eq!(count(stage), identities, "{stage}");
    }
    for stage in ["events_queue", "events_write", "received_to_events"] {
        assert_eq!(count(stage), identities, "{stage}");
    }
    daemon.stop();
}

#[test]
fn metrics_count_what_the_ledger_counts_with_an_edge_at_one_second() {
    let stack = FullStack::with_beacons(&[table(1)]);
    let daemon = stack.serve();
    let mut reporter = Reporter::open(&daemon, &[table(1)]);
    let frame = [reporter.strong(&table(1)), reporter.strong(&table(1)), reporter.weak(&table(1))];
    assert_eq!(reporter.ask(&frame), [("low_confidence", 1), ("identified", 2)]);
    let (status, metrics) = daemon.page("/metrics");
    assert_eq!(status, 200);
    let within_a_second = "beacond_latency_seconds_bucket{to=\"events\",le=\"1\"}";
    assert!((series(&metrics, within_a_second) - 2.0).abs() < f64::EPSILON, "{metrics}");
    for customer in frame.iter().map(|sighting| std::str::from_utf8(&sighting.customer_id).unwrap()) {
        assert!(!metrics.contains(customer), "a customer is in the metrics");
    }
    assert_eq!(
        (daemon.page("/live").0, daemon.page("/ready").0, daemon.page("/elsewhere").0),
        (200, 200, 404)
    );
    daemon.stop();
}
