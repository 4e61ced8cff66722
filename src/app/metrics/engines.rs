//! Samples of what only some engines have, and of the directories in front of them.

use super::{counter, gauge};
use crate::app::report::{DynamoDbReport, RedisReport, Report};
use crate::ops::Sample;
use crate::pipeline::DirectoryCounts;

pub(super) fn of_directory(directory: &'static str, report: DirectoryCounts) -> impl Iterator<Item = Sample> {
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
        counter(
            "beacond_directory_shared_cache_failures_total",
            "Questions to the shared cache that it did not answer.",
            report.shared_cache_failures,
        ),
        gauge(
            "beacond_directory_shared_cache_failing",
            "1 while the shared cache cannot be asked: the system of record is asked instead.",
            u64::from(report.shared_cache_failing),
        ),
        gauge(
            "beacond_directory_shared_cache_distrusted",
            "1 while answers of the shared cache are confirmed by the system of record.",
            u64::from(report.shared_cache_distrusted),
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
pub(super) fn of_engines(report: &Report) -> Vec<Sample> {
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
        Sample::gauge(
            "beacond_dynamodb_last_round_trip_seconds",
            "How long the last call took.",
            dynamodb.last_round_trip_us as f64 / 1e6,
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
