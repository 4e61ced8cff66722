//! What figures are called in reports.

use crate::figures::count;
use crate::measurement::{Measurement, VerdictKind, metric};

/// The latencies in the order that reports have them, and what each is.
pub(super) const LATENCIES: [(&str, &str); 11] = [
    (metric::ACK, "from when a frame was due to its answer"),
    (metric::ACK_UNCORRECTED, "from when it was really sent: hides a stall, for comparison only"),
    (metric::STORED, "from when it was due until it was seen in the slowest store"),
    (metric::STORED_RECORD, "the same in the system of record"),
    (metric::STORED_EVENTS, "the same in the store of events"),
    (metric::READ, "reading a customer's latest identity"),
    (metric::READ_CACHE, "the same from the cache"),
    (metric::READ_RECORD, "the same from the system of record"),
    (metric::BACKLOG, "from a gateway's return to the answer of what it heard offline"),
    (metric::CONNECT, "from connecting to the welcome"),
    (metric::LAG, "how late the generator itself was: not part of the others"),
];

/// A latency's name for people.
pub(super) fn latency(name: &str) -> &str {
    match name {
        metric::ACK => "ack (corrected)",
        metric::ACK_UNCORRECTED => "ack (uncorrected)",
        metric::STORED_RECORD => "stored: record",
        metric::STORED_EVENTS => "stored: events",
        metric::READ_CACHE => "read: cache",
        metric::READ_RECORD => "read: record",
        metric::LAG => "generator's lag",
        other => other,
    }
}

/// A store's part for people.
pub(super) fn store_part(part: &str) -> &str {
    match part {
        "record" => "system of record",
        "events" => "store of events",
        other => other,
    }
}

/// A verdict as people are told it.
pub(crate) const fn verdict(kind: VerdictKind) -> &'static str {
    match kind {
        VerdictKind::Pass => "PASS",
        VerdictKind::Fail => "FAIL",
        VerdictKind::Invalid => "INVALID",
    }
}

/// What was run, on one line.
pub(super) fn run_line(measurement: &Measurement) -> String {
    let Measurement { stamp, window, counts, .. } = measurement;
    let scale =
        if (stamp.scale - 1.0).abs() > 1e-9 { format!("scale {}, ", stamp.scale) } else { String::new() };
    format!(
        "{scale}{} at {}: {} sightings over {} sessions, {:.0} s measured after {:.0} s of warm-up",
        stamp.targets.join(", "),
        stamp.began_at,
        count(counts.sent),
        count(counts.sessions),
        window.measured_s,
        window.warm_up_s,
    )
}

/// Whether what stood in for a store was not that store.
pub(super) fn is_stub(store: &str) -> bool {
    store.contains("stub")
}
