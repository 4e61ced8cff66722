//! `loadtest run`: simulates gateways and their customers, measures what the daemon makes of them, and gives a verdict.

mod absence;
mod again;
mod arguments;
mod conduct;
mod connect;
mod course;
mod daemon;
mod desk;
mod engine;
mod evidence_thread;
mod gateway;
mod histograms;
mod judge;
mod lateness;
mod live;
mod machine;
mod observer;
mod plan;
mod probe;
mod reads;
mod recorder;
mod result;
mod samples;
mod source;
mod stamp;
mod stores;
mod summary;
mod timeline;
mod view;
mod watch;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;

pub(crate) use self::arguments::{RunArguments, ScenarioArguments, Shard, positive, share};
use self::conduct::Order;
use self::engine::Ended;
pub(crate) use self::plan::{most_rate, scenario};
use self::stores::Stores;
use crate::artifacts;
use crate::clock::now_us;
use crate::compare::{self, Comparison};
use crate::ending::{Ending, Failure};
use crate::measurement::VerdictKind;
use crate::scenario::Scenario;

/// What `verify` reads.
pub(crate) const EVIDENCE: &str = "evidence";
/// Files that are open beside the gateways' connections.
const OTHER_FILES: u64 = 64;

/// Runs all of it.
///
/// # Errors
/// Why there was no run.
pub(crate) fn run(arguments: &RunArguments, out: &mut impl Write) -> Result<Ending, Failure> {
    let scenario = scenario(arguments)?;
    let stores = Stores::of(arguments)?;
    let (objectives, left_out) = plan::objectives(&scenario, arguments, &stores)?;
    let baseline = arguments.baseline.as_deref().map(compare::read).transpose()?;
    let gateways = (0..scenario.population.gateways).filter(|&gateway| arguments.shard.has(gateway)).count();
    let limit = machine::raise_open_files_limit();
    if gateways as u64 + OTHER_FILES > limit {
        return Err(Failure::Resources(format!(
            "{gateways} gateways need as many open files, and {limit} are allowed: raise ulimit -n, or let several \
             machines run a part each with --shard"
        )));
    }
    let directory = directory(arguments, &scenario);
    let runtime = tokio::runtime::Runtime::new().context("cannot start a runtime")?;
    let order = Order {
        arguments,
        scenario: Arc::new(scenario),
        objectives: &objectives,
        stores: &stores,
        directory: &directory,
    };
    let result = runtime.block_on(Box::pin(order.conduct(out)));
    runtime.shutdown_background();
    let (mut measurement, ended) = result?;
    if ended == Ended::AtOnce {
        return Ok(Ending::Interrupted);
    }
    measurement.verdict.caveats.extend(left_out);
    let comparison = baseline.map(|baseline| Comparison::of(&baseline, &measurement, &[], arguments.noise));
    if comparison.as_ref().is_some_and(Comparison::is_worse) {
        measurement.verdict.caveats.push("worse than the baseline".to_owned());
        measurement.verdict.kind = measurement.verdict.kind.max(VerdictKind::Fail);
    }
    artifacts::write_all(&directory, &measurement)
        .with_context(|| format!("cannot write to {}", directory.display()))?;
    if let Some(comparison) = comparison {
        write!(out, "\n{comparison}").context("cannot print")?;
    }
    summary::print(out, &measurement, &directory, arguments.quiet).context("cannot print")?;
    Ok(if ended == Ended::Interrupted { Ending::Interrupted } else { Ending::of(measurement.verdict.kind) })
}

/// The report's directory.
fn directory(arguments: &RunArguments, scenario: &Scenario) -> PathBuf {
    let time = stamp::utc_text(now_us()).replace([':', '-'], "");
    let name = || PathBuf::from(format!("loadtest-{}-{}", scenario.name, time.get(..15).unwrap_or_default()));
    arguments.out.clone().unwrap_or_else(name)
}
