//! What a run tells people: before it begins, and at its end.

use std::io::{self, Write};
use std::path::Path;

use super::arguments::RunArguments;
use super::stamp::Surroundings;
use crate::figures::{count, microseconds, rate};
use crate::measurement::{Measurement, VerdictKind};
use crate::scenario::{Scenario, Visits};
use crate::slo;
use crate::target::listed;

/// What is about to happen.
///
/// # Errors
/// When it cannot be printed.
pub(crate) fn introduce(
    out: &mut impl Write,
    scenario: &Scenario,
    arguments: &RunArguments,
    surroundings: &Surroundings,
) -> io::Result<()> {
    let population = &scenario.population;
    let present = f64::from(population.customers) * population.present;
    let at_level_one = present / population.sighted_every.as_secs_f64();
    let sightings = match population.visits {
        Visits::Random => format!("about {at_level_one:.0} sightings/s at level 1"),
        Visits::EachOnce => "each customer once".to_owned(),
    };
    writeln!(
        out,
        "loadtest run {}: {} customers, {} restaurants, {} gateways, {sightings}, for {}",
        scenario.name,
        count(population.customers.into()),
        count(population.stores.into()),
        count(population.gateways.into()),
        scenario.load.duration,
    )?;
    writeln!(out, "  to {}; seed {}, shard {}", listed(&arguments.target), scenario.seed, arguments.shard)?;
    let stores: Vec<_> = surroundings.stores.iter().map(|(part, name)| format!("{part}: {name}")).collect();
    writeln!(out, "  stores: {}\n", stores.join(", "))?;
    out.flush()
}

/// What came out.
///
/// # Errors
/// When it cannot be printed.
pub(crate) fn print(
    out: &mut impl Write,
    measurement: &Measurement,
    directory: &Path,
    quiet: bool,
) -> io::Result<()> {
    if !quiet {
        latencies(out, measurement)?;
        counts(out, measurement)?;
    }
    let verdict = &measurement.verdict;
    for judged in &verdict.objectives {
        let word = if judged.holds { "ok  " } else { "FAIL" };
        let measured = slo::measured_text(judged);
        writeln!(out, "  {word}  {:<28} {measured}", judged.objective)?;
    }
    for reason in &verdict.invalid_because {
        writeln!(out, "  invalid: {reason}")?;
    }
    for caveat in &verdict.caveats {
        writeln!(out, "  note: {caveat}")?;
    }
    let word = match verdict.kind {
        VerdictKind::Pass => "PASS",
        VerdictKind::Fail => "FAIL",
        VerdictKind::Invalid => "INVALID",
    };
    writeln!(out, "\n{word}: see {}", directory.display())
}

fn latencies(out: &mut impl Write, measurement: &Measurement) -> io::Result<()> {
    writeln!(
        out,
        "\n  {:<18} {:>10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "", "count", "p50", "p90", "p99", "p99.9", "p99.99", "max"
    )?;
    for (name, latency) in &measurement.latencies {
        write!(out, "  {name:<18} {:>10}", count(latency.count))?;
        for value in [latency.p50, latency.p90, latency.p99, latency.p999, latency.p9999, latency.max] {
            write!(out, " {:>9}", microseconds(value))?;
        }
        writeln!(out)?;
    }
    writeln!(out)
}

fn counts(out: &mut impl Write, measurement: &Measurement) -> io::Result<()> {
    let counts = &measurement.counts;
    writeln!(
        out,
        "  sent {} = acked {} + lost {} + undecided at the end {}; wrong {}; measured {} acked",
        count(counts.sent),
        count(counts.acked),
        count(counts.lost),
        count(counts.undecided_left),
        count(counts.wrong),
        rate(counts.acked_measured, measurement.window.measured_s),
    )?;
    for example in &counts.wrong_examples {
        writeln!(out, "    wrong: {example}")?;
    }
    let outcomes: Vec<_> =
        counts.outcomes.iter().map(|(label, number)| format!("{label} {}", count(*number))).collect();
    writeln!(out, "  answered {}\n", outcomes.join(", "))
}
