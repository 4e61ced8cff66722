//! The report as samples for `/metrics`.

use beacon_protocol::RefusalCode;

use super::report::{DirectoryReport, DynamoDbReport, RedisReport, Report, WriterReport};
use crate::domain::outcome::Outcome;
use crate::listen::ListenCounts;
use crate::ops::Sample;
use crate::pipeline::{Ledger, PreferenceLedger, StoreLedger, Trouble};

/// The stores by what they are for, in the order of the report: labels do not change with the engine.
const STORES: [&str; 2] = ["record", "events"];

const TROUBLES: [Trouble; 3] = [Trouble::Unavailable, Trouble::Misconfigured, Trouble::DeadLetters];

/// Every count of the report. A series is there from the start, with 0: an alert on its rate sees the first step.
pub(super) fn samples(report: &Report) -> Vec<Sample> {
    let mut samples = Vec::with_capacity(128);
    samples.extend(of_ledger(&report.ledger));
    samples.extend(of_preferences(&report.ledger.preferences));
    for (store, ledger) in STORES.into_iter().zip(report.ledger.stores()) {
        samples.extend(of_store(store, ledger));
    }
    for (store, writer) in STORES.into_iter().zip(&report.writers) {
        samples.extend(of_writer(store, writer));
    }
    samples.extend(of_listeners(&report.listeners));
    samples.extend(of_directory("beacons", report.beacons));
    samples.extend(of_directory("gateways", report.gateways));
    samples.extend(of_engines(report));
    samples.extend([
        gauge(
            "beacond_ledger_unbalanced",
            "1 if an equation of the ledger does not hold: never.",
            u64::from(report.imbalance.is_some()),
        ),
        gauge(
            "beacond_queue_rows",
            "Places taken in the queue before the stores.",
            report.queued_rows as u64,
        ),
        gauge("beacond_window_entries", "Identities in the duplicate window.", report.window.entries as u64),
        gauge(
            "beacond_window_bytes",
            "Memory the duplicate window has allocated.",
            report.window.bytes as u64,
        ),
        gauge("beacond_uptime_seconds", "Time since the start.", report.uptime_s),
    ]);
    samples
}

fn of_ledger(ledger: &Ledger) -> impl Iterator<Item = Sample> {
    let one_each = [
        counter("beacond_sightings_received_total", "Sightings taken in for a decision.", ledger.received),
        gauge(
            "beacond_sightings_in_progress",
            "Sightings whose outcome waits for a store.",
            ledger.in_progress,
        ),
        counter("beacond_frames_decided_total", "Frames of sightings decided.", ledger.frames),
        counter(
            "beacond_frames_repeated_total",
            "Frames recognised as repeats and answered without being decided again.",
            ledger.frames_repeated,
        ),
    ];
    let outcomes = Outcome::LABELS.into_iter().zip(ledger.outcomes).map(|(outcome, count)| {
        let help = "Sightings by final outcome; undecided were returned to their gateway.";
        counter("beacond_sightings_settled_total", help, count).with("outcome", outcome)
    });
    let identified = [("new", ledger.identified_new), ("redelivered", ledger.identified_redelivered)];
    let identified = identified.into_iter().map(|(kind, count)| {
        let help = "Sightings identified: with a new identity, or again with one that was known.";
        counter("beacond_sightings_identified_total", help, count).with("kind", kind)
    });
    one_each.into_iter().chain(outcomes).chain(identified)
}

fn of_preferences(ledger: &PreferenceLedger) -> impl Iterator<Item = Sample> {
    let one_each = [
        counter("beacond_preferences_received_total", "Preferences taken in.", ledger.received),
        gauge("beacond_preferences_in_progress", "Preferences that wait for the store.", ledger.in_progress),
    ];
    let answers =
        [("accepted", ledger.accepted), ("invalid", ledger.invalid), ("undecided", ledger.undecided)];
    let answers = answers.into_iter().map(|(answer, count)| {
        let help = "Preferences by final answer; undecided were returned to their gateway.";
        counter("beacond_preferences_settled_total", help, count).with("answer", answer)
    });
    one_each.into_iter().chain(answers)
}

fn of_store(store: &'static str, ledger: &StoreLedger) -> impl Iterator<Item = Sample> {
    let came =
        [("waiting_at_start", ledger.waiting_at_start), ("new", ledger.new), ("replayed", ledger.replayed)];
    let came = came.into_iter().map(move |(source, count)| {
        let help = "Identities that came to be stored: of an earlier start, new, from the dead letters.";
        counter("beacond_identities_accepted_total", help, count).with("store", store).with("source", source)
    });
    let went = [
        ("stored", ledger.stored),
        ("dead_lettered", ledger.dead_lettered),
        ("erased", ledger.erased),
        ("lost_to_corruption", ledger.lost_to_corruption),
    ];
    let went = went.into_iter().map(move |(end, count)| {
        let help = "Identities a store is done with, by their end.";
        counter("beacond_identities_finished_total", help, count).with("store", store).with("end", end)
    });
    let help = "Identities accepted and not finished.";
    let waiting = gauge("beacond_identities_waiting", help, ledger.waiting).with("store", store);
    came.chain(went).chain([waiting])
}

fn of_writer(store: &'static str, writer: &WriterReport) -> impl Iterator<Item = Sample> {
    let counts = [
        counter("beacond_batches_written_total", "Batches a store is done with.", writer.batches),
        counter("beacond_rows_written_total", "Rows in the batches a store is done with.", writer.rows),
        counter(
            "beacond_write_attempts_failed_total",
            "Attempts to write a batch that failed, but for those of which a row was refused.",
            writer.failed_attempts,
        ),
        counter(
            "beacond_rows_dead_lettered_total",
            "Rows a store refused that were kept as dead letters.",
            writer.dead_rows,
        ),
        gauge(
            "beacond_store_trouble_seconds",
            "For how long a store has not been written to; 0 while all is well.",
            writer.trouble.as_ref().map_or(0, |trouble| trouble.seconds),
        ),
    ];
    let held = writer.trouble.as_ref().map(|trouble| trouble.kind.as_str());
    let troubles = TROUBLES.map(|trouble| {
        let help = "1 while a store cannot be written to, by what keeps it from it.";
        let here = u64::from(held == Some(trouble.label()));
        gauge("beacond_store_trouble", help, here).with("trouble", trouble.label())
    });
    counts.into_iter().chain(troubles).map(move |sample| sample.with("store", store))
}

fn of_listeners(counts: &ListenCounts) -> impl Iterator<Item = Sample> {
    let transports = [
        ("tcp", counts.tcp_sessions_opened, counts.tcp_sessions_open),
        ("udp", counts.udp_sessions_opened, counts.udp_sessions_open),
    ];
    let sessions = transports.into_iter().flat_map(|(transport, opened, open)| {
        [
            counter("beacond_sessions_opened_total", "Sessions of gateways begun.", opened),
            gauge("beacond_sessions_open", "Sessions of gateways now.", open),
        ]
        .map(|sample| sample.with("transport", transport))
    });
    let frames = [
        counter("beacond_frames_received_total", "Sound frames of every kind.", counts.frames_received),
        counter(
            "beacond_frames_skipped_total",
            "Frames of unknown kinds that need not be understood.",
            counts.frames_skipped,
        ),
        counter(
            "beacond_datagrams_received_total",
            "Datagrams that reached a socket's reader.",
            counts.datagrams_received,
        ),
        counter(
            "beacond_datagrams_ignored_total",
            "Datagrams dropped without a word: too short, or a refusal.",
            counts.datagrams_ignored,
        ),
        counter("beacond_gateway_statuses_total", "Status frames of gateways.", counts.gateway_statuses),
    ];
    let refusals = RefusalCode::ALL.iter().map(|code| {
        let refused = counts.refusals.get(code.label()).copied().unwrap_or(0);
        counter("beacond_refusals_total", "Refusals sent, by code.", refused).with("code", code.label())
    });
    sessions.chain(frames).chain(refusals)
}

fn of_directory(directory: &'static str, report: DirectoryReport) -> impl Iterator<Item = Sample> {
    let tiers = [
        ("memory", report.from_memory + report.absent_from_memory),
        ("shared_cache", report.from_shared_cache),
        ("record", report.from_record),
    ];
    let answers = tiers.into_iter().map(|(tier, answers)| {
        counter(
            "beacond_directory_answers_total",
            "Registrations answered, by how far the question went.",
            answers,
        )
        .with("tier", tier)
    });
    [
        counter(
            "beacond_directory_served_expired_total",
            "Registrations that served past their time: the system of record could not be asked.",
            report.served_expired,
        ),
        counter(
            "beacond_directory_unanswered_total",
            "Questions left unanswered: the sightings concerned are undecided.",
            report.cannot_say,
        ),
        counter(
            "beacond_directory_loads_thrown_away_total",
            "Loads thrown away for a notice of a change that overlapped them.",
            report.thrown_away,
        ),
        counter("beacond_directory_notices_total", "Registrations told to have changed.", report.notices),
        gauge(
            "beacond_directory_entries",
            "Registrations in memory, and keys known not to be registered.",
            report.entries,
        ),
        gauge(
            "beacond_directory_owed",
            "Changed keys that the shared cache has still to forget.",
            report.owed,
        ),
        gauge(
            "beacond_directory_record_failing",
            "1 while the system of record cannot be asked: expired registrations serve.",
            u64::from(report.record_failing),
        ),
        gauge(
            "beacond_directory_followed",
            "1 while every change of a registration is being told.",
            u64::from(report.followed),
        ),
        counter(
            "beacond_directory_loads_total",
            "Registrations asked of the system of record.",
            report.loads,
        ),
        counter("beacond_directory_loads_failed_total", "Of these, without an answer.", report.failed_loads),
    ]
    .into_iter()
    .chain(answers)
    .map(move |sample| sample.with("directory", directory))
}

/// The stores by their engines, where these have counts of their own.
fn of_engines(report: &Report) -> Vec<Sample> {
    let mut samples = vec![
        gauge(
            "beacond_dead_letters",
            "Rows that stores refused, kept in the data directory.",
            report.dead_letters.letters,
        ),
        gauge("beacond_dead_letters_bytes", "Size of their file.", report.dead_letters.bytes),
        gauge("beacond_dead_letters_max_bytes", "The size it does not pass.", report.dead_letters.max_bytes),
    ];
    if let Some(postgres) = &report.postgres {
        samples.extend([
            counter(
                "beacond_postgres_near_rows_total",
                "Rows found within a minute of another of their customer: never any.",
                postgres.near_rows,
            ),
            counter(
                "beacond_postgres_merges_total",
                "Batches, or parts of them, merged through the staging table.",
                postgres.merges,
            ),
            gauge(
                "beacond_postgres_foreign_keys_by_row",
                "1 if PostgreSQL checks references row by row.",
                u64::from(postgres.foreign_keys.as_deref() == Some("row")),
            ),
        ]);
    }
    samples.extend(report.redis.iter().flat_map(of_redis));
    samples.extend(report.dynamodb.iter().flat_map(of_dynamodb));
    samples
}

fn of_redis(redis: &RedisReport) -> [Sample; 9] {
    let customers = |outcome, count| {
        counter(
            "beacond_redis_customers_total",
            "Latest identities of customers, by what became of them.",
            count,
        )
        .with("outcome", outcome)
    };
    [
        gauge("beacond_redis_up", "1 while the cache is connected.", u64::from(redis.up)),
        customers("written", redis.customers_written),
        customers("superseded", redis.customers_superseded),
        customers("failed", redis.customers_failed),
        customers("dropped", redis.customers_dropped),
        counter("beacond_redis_beacons_kept_total", "Registrations kept in the cache.", redis.beacons_kept),
        counter(
            "beacond_redis_beacons_malformed_total",
            "Registrations in the cache that do not fit the model.",
            redis.beacons_malformed,
        ),
        counter("beacond_redis_requests_failed_total", "Requests without an answer.", redis.requests_failed),
        counter("beacond_redis_down_total", "Times the cache went away.", redis.times_down),
    ]
}

fn of_dynamodb(dynamodb: &DynamoDbReport) -> [Sample; 8] {
    [
        gauge("beacond_dynamodb_call_limit", "Calls that may be in flight.", dynamodb.call_limit),
        gauge("beacond_dynamodb_calls_in_flight", "Calls in flight.", dynamodb.calls_in_flight),
        gauge(
            "beacond_dynamodb_last_round_trip_microseconds",
            "How long the last call took.",
            dynamodb.last_round_trip_us,
        ),
        counter("beacond_dynamodb_calls_total", "Calls made.", dynamodb.calls),
        counter(
            "beacond_dynamodb_calls_throttled_total",
            "Calls throttled as a whole.",
            dynamodb.throttled_calls,
        ),
        counter(
            "beacond_dynamodb_items_unprocessed_total",
            "Items given back unprocessed.",
            dynamodb.unprocessed_items,
        ),
        counter("beacond_dynamodb_calls_failed_total", "Calls that failed otherwise.", dynamodb.failed_calls),
        counter("beacond_dynamodb_items_stored_total", "Items stored.", dynamodb.stored_items),
    ]
}

fn counter(name: &'static str, help: &'static str, count: u64) -> Sample {
    Sample::counter(name, help, count as f64)
}

fn gauge(name: &'static str, help: &'static str, value: u64) -> Sample {
    Sample::gauge(name, help, value as f64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::app::report::{TroubleReport, WindowReport};

    fn report() -> Report {
        let store = StoreLedger { new: 3, stored: 1, waiting: 2, ..StoreLedger::default() };
        let writer = WriterReport { store: "sqlite".into(), batches: 1, rows: 1, ..WriterReport::default() };
        let trouble = TroubleReport { kind: "misconfigured".into(), reason: "a right".into(), seconds: 7 };
        Report {
            version: "1".into(),
            uptime_s: 9,
            ledger: Ledger {
                received: 5,
                outcomes: [1, 0, 0, 0, 0, 0, 0, 0, 0, 3, 1],
                system_of_record: store,
                events: Some(store),
                ..Ledger::default()
            },
            imbalance: None,
            listeners: ListenCounts {
                refusals: [("busy".to_owned(), 4)].into(),
                udp_sessions_open: 2,
                ..ListenCounts::default()
            },
            writers: vec![writer.clone(), WriterReport { trouble: Some(trouble), ..writer }],
            queued_rows: 2,
            window: WindowReport { entries: 1, bytes: 64 },
            beacons: DirectoryReport { loads: 3, failed_loads: 1, ..DirectoryReport::default() },
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
        let rows = include_str!("../../METRICS.md").lines().filter_map(|line| line.strip_prefix("| `"));
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
}
