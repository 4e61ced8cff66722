//! `loadtest conformance`: plays a server against a maker's gateway, or a gateway against a server, and tells which
//! rules of `protocol/SPEC.md` are kept.

mod bytes;
mod check;
mod daemon;
mod gateway;
mod message;
mod page;
mod rules;
mod verdict;
mod wire;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use clap::{Args, Subcommand};

use self::page::Subject;
use self::rules::Side;
use self::verdict::{Judged, Verdict};
use crate::ending::{Ending, Failure};
use crate::target::Transport;

/// Arguments of `conformance`.
#[derive(Debug, Args)]
pub(crate) struct ConformanceArguments {
    #[command(subcommand)]
    subject: Tested,
    /// Write the verdicts as JSON to this file.
    #[arg(long, value_name = "FILE", global = true)]
    json: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Tested {
    /// Tests a server: plays a gateway that keeps to the rules, and one that does not.
    Daemon(daemon::DaemonArguments),
    /// Tests a gateway: plays a server that it connects to, with all that can happen to it.
    Gateway(gateway::GatewayArguments),
}

/// Tests one side.
///
/// # Errors
/// When nobody is there to be tested.
pub(crate) fn run(arguments: &ConformanceArguments, out: &mut impl Write) -> Result<Ending, Failure> {
    let began = Instant::now();
    let (side, address, judged) = match &arguments.subject {
        Tested::Daemon(daemon) => {
            let held = daemon::hold_all(daemon)?;
            let over_udp = daemon.target.transport == Transport::Udp;
            let judged = verdict::judge(Side::Daemon, &held, |rule| daemon::untried(rule, over_udp));
            (Side::Daemon, daemon.target.to_string(), chosen(judged, &daemon.rule))
        }
        Tested::Gateway(gateway) => {
            let played = gateway::play_all(gateway, out)?;
            let judged =
                verdict::judge(Side::Gateway, &played.held, |rule| gateway::untried(rule, played.over_udp));
            (Side::Gateway, played.address, chosen(judged, &gateway.rule))
        }
    };
    let subject = Subject { side, address: &address, took_s: began.elapsed().as_secs_f64() };
    page::print(out, &subject, &judged).context("cannot print")?;
    if let Some(path) = &arguments.json {
        write_json(path, &subject, &judged)?;
    }
    let broken = judged.iter().any(|judged| matches!(judged.verdict, Verdict::Broken { .. }));
    Ok(if broken { Ending::Bad } else { Ending::Good })
}

/// All rules, or those that were asked for and those found broken on the way.
fn chosen(judged: Vec<Judged>, rules: &[u8]) -> Vec<Judged> {
    let wanted = |judged: &Judged| {
        rules.is_empty()
            || rules.contains(&judged.rule.number)
            || matches!(judged.verdict, Verdict::Broken { .. })
    };
    judged.into_iter().filter(wanted).collect()
}

fn write_json(path: &Path, subject: &Subject<'_>, judged: &[Judged]) -> anyhow::Result<()> {
    let json = page::json(subject, judged).context("cannot make JSON")?;
    std::fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))
}
