//! The report as samples for `/metrics`.

mod engines;
#[cfg(test)]
mod tests;

use beacon_protocol::RefusalCode;

use self::engines::{of_directory, of_engines};
use super::report::{JournalReport, Report, WriterReport};
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
    samples.extend(of_journal(&report.journal));
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
            "Places taken in the queue before the journal.",
            report.queued_rows as u64,
        ),
        gauge("beacond_window_entries", "Identities in the duplicate window.", report.window.entries as u64),
        gauge(
            "beacond_window_bytes",
            "Memory the duplicate window has allocated.",
            report.window.bytes as u64,
        ),
        gauge(
            "beacond_past_unknown",
            "1 until it is known what was stored before this start: sightings are undecided.",
            u64::from(report.past_unknown),
        ),
        gauge("beacond_uptime_seconds", "Time since the start.", report.uptime_s),
    ]);
    let reloads = [("applied", report.reloads_applied), ("refused", report.reloads_refused)];
    samples.extend(reloads.map(|(result, count)| {
        let help = "Configurations read again on SIGHUP; of one that is refused nothing holds.";
        counter("beacond_config_reloads_total", help, count).with("result", result)
    }));
    samples
}

fn of_ledger(ledger: &Ledger) -> impl Iterator<Item = Sample> {
    let one_each = [
        counter("beacond_sightings_received_total", "Sightings taken in for a decision.", ledger.received),
        gauge(
            "beacond_sightings_in_progress",
            "Sightings whose outcome waits for the journal or a store.",
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
        gauge(
            "beacond_store_waiting_entries",
            "Entries of the journal that a store has not finished.",
            writer.waiting_entries,
        ),
        gauge(
            "beacond_store_oldest_unfinished_seconds",
            "Age of the oldest entry of what is being written into a store; 0 while nothing is.",
            writer.oldest_s.unwrap_or(0),
        ),
        Sample::gauge(
            "beacond_store_journal_full_in_seconds",
            "When the journal is full if a store goes on falling behind as in the last minute; +Inf if it does not.",
            writer.full_in_s.map_or(f64::INFINITY, |left| left as f64),
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

fn of_journal(journal: &JournalReport) -> impl Iterator<Item = Sample> {
    let one_each = [
        gauge("beacond_journal_bytes", "Size of the journal's files.", journal.bytes),
        gauge("beacond_journal_max_bytes", "The size they do not pass.", journal.max_bytes),
        gauge("beacond_journal_segments", "Files of the journal.", journal.segments),
        counter("beacond_journal_entries_total", "Entries made durable.", journal.entries),
        counter("beacond_journal_bytes_appended_total", "Bytes made durable.", journal.bytes_appended),
        counter(
            "beacond_journal_syncs_total",
            "Syncs of the journal: one for all that waited.",
            journal.syncs,
        ),
        counter(
            "beacond_journal_appends_failed_total",
            "Attempts to append to the journal that failed; what was to be appended waits.",
            journal.failed_attempts,
        ),
        gauge(
            "beacond_journal_trouble_seconds",
            "For how long the journal has not been appended to though it should; 0 while all is well.",
            journal.trouble.as_ref().map_or(0, |trouble| trouble.seconds),
        ),
        gauge(
            "beacond_journal_absent_stores",
            "Stores of earlier runs, not configured now, for which the journal is kept.",
            journal.absent.len() as u64,
        ),
    ];
    let held = journal.trouble.as_ref().map(|trouble| trouble.kind.as_str());
    let troubles = [Trouble::Unavailable, Trouble::Full].map(|trouble| {
        let here = u64::from(held == Some(trouble.label()));
        gauge("beacond_journal_trouble", "1 while the journal cannot be appended to, by what keeps it.", here)
            .with("trouble", trouble.label())
    });
    one_each.into_iter().chain(troubles)
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

fn counter(name: &'static str, help: &'static str, count: u64) -> Sample {
    Sample::counter(name, help, count as f64)
}

fn gauge(name: &'static str, help: &'static str, value: u64) -> Sample {
    Sample::gauge(name, help, value as f64)
}
