//! `loadtest merge`: the parts of a run that several generators made, as one report.

mod intervals;
mod stamps;
#[cfg(test)]
mod tests;
mod timelines;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::artifacts;
use crate::compare;
use crate::ending::{Ending, Failure};
use crate::figures::count;
use crate::measurement::{Counts, Judged, Latency, Measurement, Sampled, Verdict, Window, metric};
use crate::slo::{self, Objective};

const EXIT_CODES: &str = "\
Exit codes: 0 the objectives hold for all together, 1 one does not, 3 a part is invalid, 64 wrong arguments,
65 files that are no reports, or not of the same run";

/// Examples of wrong answers that are kept.
const MOST_EXAMPLES: usize = 20;

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct MergeArguments {
    /// The report.json of every part, from `run --shard I/N`.
    #[arg(value_name = "REPORT", required = true, num_args = 2..)]
    reports: Vec<PathBuf>,
    /// Where the files of the whole go.
    #[arg(long, value_name = "DIRECTORY")]
    out: PathBuf,
}

/// Why parts do not make a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MergeError {
    #[error("the parts are not of the same run: {what} differs, {one} and {other}")]
    NotTheSame { what: &'static str, one: String, other: String },
    #[error("part {0} is there twice")]
    Twice(String),
    #[error("part {0:?} is not of the form I/N, or of another number of parts than the others")]
    NoPart(String),
    #[error("{0}")]
    Unreadable(String),
}

/// Merges, writes every file, and tells the verdict.
pub(crate) fn run(arguments: &MergeArguments, out: &mut impl Write) -> Result<Ending, Failure> {
    let mut parts = Vec::with_capacity(arguments.reports.len());
    for path in &arguments.reports {
        parts.push(compare::read(path)?);
    }
    let files = || arguments.reports.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
    let failure = |error: MergeError| Failure::File { file: files().join(", "), reason: error.to_string() };
    let begins_us =
        parts.iter().map(stamps::began_at_us).collect::<Result<Vec<i64>, _>>().map_err(failure)?;
    let merged = merge(parts).map_err(failure)?;
    let directory = &arguments.out;
    artifacts::write_all(directory, &merged)
        .with_context(|| format!("cannot write into {}", directory.display()))?;
    let logs: Vec<PathBuf> =
        arguments.reports.iter().map(|path| path.with_file_name(artifacts::INTERVAL_LOG)).collect();
    let has_log = logs.iter().all(|path| path.exists());
    if has_log {
        intervals::merge(&logs, &begins_us, &directory.join(artifacts::INTERVAL_LOG))
            .with_context(|| format!("cannot merge the interval logs into {}", directory.display()))?;
    }
    print(out, &merged, directory, has_log).context("cannot print")?;
    Ok(Ending::of(merged.verdict.kind))
}

fn print(
    out: &mut impl Write,
    merged: &Measurement,
    directory: &std::path::Path,
    has_log: bool,
) -> std::io::Result<()> {
    let Counts { sent, acked, lost, wrong, .. } = &merged.counts;
    writeln!(
        out,
        "{} parts: {} sightings sent, {} acknowledged, {} lost, {} answered wrongly",
        merged.stamp.shards.len(),
        count(*sent),
        count(*acked),
        count(*lost),
        count(*wrong)
    )?;
    for judged in &merged.verdict.objectives {
        let word = if judged.holds { "holds" } else { "MISSED" };
        writeln!(out, "  {:<24} {:>14}  {word}", judged.objective, slo::measured_text(judged))?;
    }
    for line in merged.verdict.invalid_because.iter().chain(&merged.verdict.caveats) {
        writeln!(out, "  {line}")?;
    }
    let log = if has_log { "" } else { " (without an interval log: not every part has one)" };
    writeln!(
        out,
        "{}: {}{log}",
        artifacts::verdict_word(merged.verdict.kind),
        directory.join(artifacts::PAGE).display()
    )
}

/// The whole of parts in any order.
///
/// # Errors
/// When they are not of one run, or one is there twice.
pub(crate) fn merge(mut parts: Vec<Measurement>) -> Result<Measurement, MergeError> {
    stamps::check(&parts)?;
    parts.sort_by_key(|part| stamps::order(&part.stamp));
    let stamp = stamps::merge(&parts)?;
    let same_daemon = stamps::same_daemon(&parts);
    let (series, heat, spread_s) = timelines::merge(&parts, same_daemon)?;
    let mut merged = Measurement {
        format: crate::measurement::FORMAT,
        verdict: Verdict::of(Vec::new(), Vec::new(), Vec::new()),
        stamp,
        window: window(&parts),
        counts: counts(&parts),
        latencies: latencies(&parts, same_daemon)?,
        series,
        heat,
    };
    merged.verdict = verdict(&parts, &merged, spread_s);
    Ok(merged)
}

fn window(parts: &[Measurement]) -> Window {
    let longest = |of: fn(&Window) -> f64| parts.iter().map(|part| of(&part.window)).fold(0.0, f64::max);
    Window {
        warm_up_s: longest(|window| window.warm_up_s),
        measured_s: longest(|window| window.measured_s),
        drained_s: longest(|window| window.drained_s),
    }
}

fn counts(parts: &[Measurement]) -> Counts {
    let mut total = Counts::default();
    for Measurement { counts, stamp, .. } in parts {
        total.sent += counts.sent;
        total.sent_measured += counts.sent_measured;
        total.acked += counts.acked;
        total.acked_measured += counts.acked_measured;
        total.lost += counts.lost;
        total.wrong += counts.wrong;
        total.undecided += counts.undecided;
        total.undecided_left += counts.undecided_left;
        total.repeated += counts.repeated;
        total.dead_lettered += counts.dead_lettered;
        total.frames += counts.frames;
        total.retransmissions += counts.retransmissions;
        total.sessions += counts.sessions;
        total.sessions_lost += counts.sessions_lost;
        let shard = stamp.shards.join(", ");
        total
            .wrong_examples
            .extend(counts.wrong_examples.iter().map(|example| format!("{shard}: {example}")));
        add(&mut total.outcomes, &counts.outcomes, |sum, more| *sum += more);
        add(&mut total.meant, &counts.meant, |sum, more| *sum += more);
        add(&mut total.sampled, &counts.sampled, both);
        add(&mut total.reads, &counts.reads, both);
    }
    total.wrong_examples.truncate(MOST_EXAMPLES);
    total
}

fn both(sum: &mut Sampled, more: &Sampled) {
    sum.found += more.found;
    sum.missing += more.missing;
}

fn add<V: Default>(into: &mut BTreeMap<String, V>, from: &BTreeMap<String, V>, sum: impl Fn(&mut V, &V)) {
    for (name, value) in from {
        sum(into.entry(name.clone()).or_default(), value);
    }
}

/// Histograms added. What one daemon said to several generators is told once, by whom it told most.
fn latencies(parts: &[Measurement], same_daemon: bool) -> Result<BTreeMap<String, Latency>, MergeError> {
    let mut by_name: BTreeMap<&str, Vec<&Latency>> = BTreeMap::new();
    for (name, latency) in parts.iter().flat_map(|part| &part.latencies) {
        by_name.entry(name).or_default().push(latency);
    }
    let unreadable =
        |name: &str, reason: String| MergeError::Unreadable(format!("histogram {name}: {reason}"));
    let mut merged = BTreeMap::new();
    for (name, latencies) in by_name {
        if same_daemon && name.starts_with(metric::DAEMON) {
            let most = latencies.into_iter().max_by_key(|latency| latency.count);
            merged.extend(most.map(|latency| (name.to_owned(), latency.clone())));
            continue;
        }
        let mut sum = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 3_600_000_000, 3)
            .map_err(|error| unreadable(name, error.to_string()))?;
        for latency in latencies {
            let more = latency.histogram().map_err(|reason| unreadable(name, reason))?;
            sum.add(more).map_err(|error| unreadable(name, error.to_string()))?;
        }
        let latency = Latency::of(&sum).map_err(|error| unreadable(name, error.to_string()))?;
        merged.insert(name.to_owned(), latency);
    }
    Ok(merged)
}

/// The objectives of the parts, judged anew of the whole.
fn verdict(parts: &[Measurement], merged: &Measurement, spread_s: f64) -> Verdict {
    let of_part =
        |part: &Measurement, line: &String| format!("part {}: {line}", part.stamp.shards.join(", "));
    let mut objectives: Vec<&str> = Vec::new();
    let (mut because, mut caveats): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for part in parts {
        for Judged { objective, .. } in &part.verdict.objectives {
            if !objectives.contains(&objective.as_str()) {
                objectives.push(objective);
            }
        }
        because.extend(part.verdict.invalid_because.iter().map(|line| of_part(part, line)));
        for caveat in &part.verdict.caveats {
            let in_all = parts.iter().all(|part| part.verdict.caveats.contains(caveat));
            let caveat = if in_all { caveat.clone() } else { of_part(part, caveat) };
            if !caveats.contains(&caveat) {
                caveats.push(caveat);
            }
        }
    }
    caveats.push(
        "percentiles over time are those of the slowest part; all others are of all answers".to_owned(),
    );
    if spread_s > 1.0 {
        caveats.push(format!("the parts began up to {spread_s:.1} s apart"));
    }
    let missing = stamps::missing(&merged.stamp);
    if !missing.is_empty() {
        because.push(format!("parts are missing: {}", missing.join(", ")));
    }
    caveats.extend(stamps::differences(parts));
    let judge = |text: &&str| match text.parse::<Objective>() {
        Ok(objective) => objective.judge(merged),
        Err(_) => Judged { objective: (*text).to_owned(), measured: None, holds: false },
    };
    Verdict::of(objectives.iter().map(judge).collect(), because, caveats)
}
