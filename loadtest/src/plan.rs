//! `loadtest plan`: from what a sighting and an identity cost, measured, to machines, stores and a monthly bill.

mod costs;
mod needs;
mod page;

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use self::costs::{Assumption, Costs};
use self::needs::{Needs, Wishes};
use crate::compare;
use crate::ending::{Ending, Failure};
use crate::scenario::{self, Scenario, Span};

const EXIT_CODES: &str = "\
Exit codes: 0 planned, 64 wrong arguments, 65 a report that nothing can be learned from, 78 a wrong scenario

Every figure is the assumptions' arithmetic: read them, they are printed with where they come from.";

/// Planned for unless users are named: the design's target, and a hundred times that.
const USUAL_USERS: [u64; 2] = [10_000_000, 1_000_000_000];
/// More than people on earth.
const MOST_USERS: u64 = 10_000_000_000;

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct PlanArguments {
    /// Customers in all; several, separated by commas, are planned side by side [default: 10000000,1000000000].
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u64).range(1..=MOST_USERS))]
    users: Vec<u64>,
    /// Take the daemon's cost and the share of identities from the report.json of a run, and its scenario.
    #[arg(long, value_name = "REPORT", conflicts_with = "scenario")]
    from: Option<PathBuf>,
    /// Who is there and how often each is sighted: a shipped scenario or a file.
    #[arg(long, value_name = "NAME|FILE", default_value = "ten-million-lunch")]
    scenario: String,
    /// How long a store may be away while the journal keeps what is meant for it.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = span)]
    outage: Span,
    /// The part of a processor that may be busy at the day's height, in percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 60, value_parser = clap::value_parser!(u8).range(5..=95))]
    busy: u8,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn span(text: &str) -> Result<Span, String> {
    humantime::parse_duration(text).map(Span).map_err(|error| format!("{error}; a time such as 1h is wanted"))
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Plan {
    scenario: String,
    plans: Vec<Needs>,
    assumptions: Vec<Assumption>,
}

/// Reckons and prints.
pub(crate) fn run(arguments: &PlanArguments, out: &mut impl Write) -> Result<Ending, Failure> {
    let (scenario, costs) = match &arguments.from {
        None => (scenario::read(&arguments.scenario, &[])?, Costs::documented()),
        Some(path) => {
            let failure = |reason| Failure::File { file: path.display().to_string(), reason };
            let measurement = compare::read(path)?;
            let scenario: Scenario = toml::from_str(&measurement.stamp.scenario)
                .map_err(|error| failure(format!("its scenario: {}", error.message())))?;
            let costs = Costs::documented().measured_by(&measurement, path).map_err(failure)?;
            (scenario, costs)
        }
    };
    let wishes = Wishes { outage_s: arguments.outage.as_secs_f64(), busy: f64::from(arguments.busy) / 100.0 };
    let users = if arguments.users.is_empty() { &USUAL_USERS[..] } else { &arguments.users };
    let plan = Plan {
        plans: users.iter().map(|users| Needs::of(*users, &scenario, &costs, wishes)).collect(),
        assumptions: costs.assumptions(&scenario, wishes),
        scenario: scenario.name,
    };
    let printed = if arguments.json {
        serde_json::to_string_pretty(&plan)
            .map_err(std::io::Error::other)
            .and_then(|json| writeln!(out, "{json}"))
    } else {
        page::write(out, &plan)
    };
    printed.context("cannot print")?;
    Ok(Ending::Good)
}
