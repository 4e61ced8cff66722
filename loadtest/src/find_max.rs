//! `loadtest find-max`: the highest load at which the objectives hold, by runs of it: doubled until one fails, then between.

mod search;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde::Serialize;

use self::search::{Search, Step};
use crate::ending::{Ending, Failure};
use crate::figures::{count_of, microseconds};
use crate::measurement::{Measurement, VerdictKind, metric};
use crate::run::{self, RunArguments};

/// Less measured than this is luck.
const SHORTEST_STEP: Duration = Duration::from_secs(10);

const EXIT_CODES: &str = "\
Each step is a whole run, warm-up included, into a directory of its own in --out (loadtest-find-max). A step whose run
is INVALID does not hold: what the generator cannot send is not proven. The load that is found has held twice.

Exit codes: 0 a load was found, 1 none holds, and those of `loadtest run` for what keeps a step from being run";

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct FindMaxArguments {
    #[command(flatten)]
    pub(crate) run: RunArguments,
    /// What is raised: the rate of sightings of the same population, or the population with its gateways (--scale).
    #[arg(long, value_enum, default_value = "rate")]
    pub(crate) by: By,
    /// Where to begin [default: 1,000 sightings/s, or a scale of 0.01].
    #[arg(long, value_name = "LOAD", value_parser = run::positive)]
    pub(crate) from: Option<f64>,
    /// Where to end at the latest [default: what the population can make, or a scale of 1].
    #[arg(long, value_name = "LOAD", value_parser = run::positive)]
    pub(crate) to: Option<f64>,
    /// How close the answer is to be: the lowest load that failed is at most so much above it.
    #[arg(long, value_name = "PERCENT", default_value = "10%", value_parser = resolution)]
    pub(crate) resolution: f64,
}

/// Finer than a tenth of a percent no two runs are the same.
fn resolution(text: &str) -> Result<f64, String> {
    let share = run::share(text)?;
    if share >= 0.001 { Ok(share) } else { Err("0.1% or more is wanted".to_owned()) }
}

/// What is raised from step to step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum By {
    Rate,
    Scale,
}

/// What a search showed, as JSON.
#[derive(Debug, Serialize)]
struct Found {
    by: By,
    /// The highest load that held, twice.
    highest: Option<f64>,
    resolution: f64,
    steps: Vec<StepResult>,
}

#[derive(Debug, Serialize)]
struct StepResult {
    load: f64,
    verdict: VerdictKind,
    /// Acknowledged in the measured window, each second.
    sightings_per_second: f64,
    ack_p99_us: Option<u64>,
    stored_p99_us: Option<u64>,
    /// The objectives that were not met, or why it proves nothing.
    because: Vec<String>,
    directory: PathBuf,
}

/// Searches, a run a step.
///
/// # Errors
/// What keeps a step from being run.
pub(crate) fn run(arguments: &FindMaxArguments, out: &mut impl Write) -> Result<Ending, Failure> {
    let scenario = run::scenario(&arguments.run)?;
    if scenario.load.duration.0.saturating_sub(scenario.load.warm_up.0) < SHORTEST_STEP {
        return Err(Failure::Usage(
            "a step must measure for 10s or more: --duration, or load.warm_up".to_owned(),
        ));
    }
    let (first, most) = match arguments.by {
        By::Rate => {
            let possible = run::most_rate(&scenario);
            (1_000.0, arguments.to.unwrap_or(possible).min(possible))
        }
        By::Scale => (0.01, arguments.to.unwrap_or(1.0)),
    };
    let mut search = Search::new(arguments.from.unwrap_or(first), most, arguments.resolution);
    let directory = arguments.run.out.clone().unwrap_or_else(|| PathBuf::from("loadtest-find-max"));
    let mut found =
        Found { by: arguments.by, highest: None, resolution: arguments.resolution, steps: Vec::new() };
    heading(arguments.by, out).context("cannot print")?;
    let mut interrupted = false;
    while let Some(load) = search.next() {
        let step = directory.join(format!("step-{:02}", found.steps.len() + 1));
        let ending = run::run(&at(arguments, load, &step), &mut io::sink())?;
        let result = result(load, step)?;
        line(arguments.by, &result, out).context("cannot print")?;
        search.stepped(load, if result.verdict == VerdictKind::Pass { Step::Held } else { Step::Failed });
        found.steps.push(result);
        interrupted = ending == Ending::Interrupted;
        if interrupted {
            break;
        }
    }
    found.highest = search.found();
    write_json(&directory, &found)?;
    conclude(&found, most, out).context("cannot print")?;
    Ok(match (interrupted, found.highest) {
        (true, _) => Ending::Interrupted,
        (false, Some(_)) => Ending::Good,
        (false, None) => Ending::Bad,
    })
}

/// The run of a step.
fn at(arguments: &FindMaxArguments, load: f64, directory: &Path) -> RunArguments {
    let mut run = arguments.run.clone();
    match arguments.by {
        By::Rate => run.scenario.rate = Some(load),
        By::Scale => run.scenario.scale = Some(load),
    }
    run.out = Some(directory.to_owned());
    run.quiet = true;
    run.no_evidence = true;
    run
}

fn result(load: f64, directory: PathBuf) -> anyhow::Result<StepResult> {
    let path = directory.join("report.json");
    let json = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let measurement: Measurement = serde_json::from_slice(&json).context("the step's report is none")?;
    let p99 = |name: &str| {
        measurement.latencies.get(name).filter(|latency| latency.count > 0).map(|latency| latency.p99)
    };
    let verdict = &measurement.verdict;
    let missed =
        verdict.objectives.iter().filter(|judged| !judged.holds).map(|judged| judged.objective.clone());
    Ok(StepResult {
        load,
        verdict: verdict.kind,
        sightings_per_second: crate::figures::per_second(
            measurement.counts.acked_measured,
            measurement.window.measured_s,
        ),
        ack_p99_us: p99(metric::ACK),
        stored_p99_us: p99(metric::STORED),
        because: verdict.invalid_because.iter().cloned().chain(missed).collect(),
        directory,
    })
}

fn heading(by: By, out: &mut impl Write) -> io::Result<()> {
    let load = match by {
        By::Rate => "sightings/s",
        By::Scale => "scale",
    };
    writeln!(out, "{load:>12} {:>14} {:>10} {:>12}   verdict", "acked/s", "ack p99", "stored p99")
}

fn line(by: By, step: &StepResult, out: &mut impl Write) -> io::Result<()> {
    let time = |us: Option<u64>| us.map_or_else(|| "-".to_owned(), microseconds);
    let verdict = match step.verdict {
        VerdictKind::Pass => "holds".to_owned(),
        VerdictKind::Fail => format!("fails: {}", step.because.join(", ")),
        VerdictKind::Invalid => format!("INVALID: {}", step.because.join("; ")),
    };
    let rate = count_of(step.sightings_per_second);
    let (ack, stored) = (time(step.ack_p99_us), time(step.stored_p99_us));
    writeln!(out, "{:>12} {rate:>14} {ack:>10} {stored:>12}   {verdict}", shown(by, step.load))?;
    out.flush()
}

fn conclude(found: &Found, most: f64, out: &mut impl Write) -> io::Result<()> {
    match found.highest {
        Some(load) if load >= most => writeln!(
            out,
            "\n{} holds, the highest load that was to be tried; more: --to, or population.customers",
            shown(found.by, load)
        ),
        Some(load) => writeln!(
            out,
            "\nhighest load that holds: {} ({:.0}% apart from one that does not)",
            shown(found.by, load),
            found.resolution * 100.0
        ),
        None => writeln!(out, "\nno load was found that holds"),
    }
}

fn shown(by: By, load: f64) -> String {
    match by {
        By::Rate => count_of(load),
        By::Scale => format!("{load:.4}"),
    }
}

fn write_json(directory: &Path, found: &Found) -> anyhow::Result<()> {
    let json = serde_json::to_string_pretty(found).context("cannot make JSON")?;
    let path = directory.join("find-max.json");
    std::fs::write(&path, json + "\n").with_context(|| format!("cannot write {}", path.display()))
}
