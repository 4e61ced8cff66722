//! `beacond stats`: the ledger of the running daemon.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use ureq::Agent;

use super::{Common, Failure, exit};
use crate::app::Report;
use crate::data_dir;
use crate::domain::outcome::Outcome;

/// How long the daemon may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Arguments of `stats`.
#[derive(Debug, Args)]
pub(super) struct StatsArgs {
    #[command(flatten)]
    common: Common,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &StatsArgs) -> Result<ExitCode, Failure> {
    let config = args.common.config()?;
    let directory = config.data_dir();
    let unavailable = |message: String| Failure::new(exit::UNAVAILABLE, message);
    let holder = data_dir::holder(directory)
        .map_err(|error| unavailable(format!("{}: {error}", directory.display())))?
        .ok_or_else(|| {
            unavailable(format!("no daemon runs on the data directory {}", directory.display()))
        })?;
    let agent: Agent = Agent::config_builder().timeout_global(Some(ANSWER_TIMEOUT)).build().into();
    let url = format!("http://{}/api/v1/ledger", holder.admin);
    let text = agent.get(&url).call().and_then(|mut response| response.body_mut().read_to_string()).map_err(
        |error| unavailable(format!("the daemon with pid {} does not answer at {url}: {error}", holder.pid)),
    )?;
    if args.json {
        println!("{text}");
        return Ok(ExitCode::SUCCESS);
    }
    let report: Report = serde_json::from_str(&text)
        .map_err(|error| unavailable(format!("the daemon at {url} speaks of other things: {error}")))?;
    print!("{}", rendered(&report));
    Ok(ExitCode::SUCCESS)
}

fn rendered(report: &Report) -> String {
    use std::fmt::Write as _;
    let ledger = &report.ledger;
    let mut text = String::new();
    let mut line = |name: &str, count: u64, note: &str| {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{name:<28}{count:>14}  {note}");
    };
    line("sightings received", ledger.received, "");
    for (label, count) in Outcome::LABELS.iter().zip(ledger.outcomes).skip(1) {
        if count > 0 {
            line(&format!("  {label}"), count, if *label == "identified" { "<- stored" } else { "" });
        }
    }
    line("  returned undecided", ledger.undecided(), "sent again by the gateway");
    line("  in progress", ledger.in_progress, "");
    line("identified, new", ledger.identified_new, "");
    line("identified, redelivered", ledger.identified_redelivered, "");
    for (writer, store) in report.writers.iter().zip(ledger.stores()) {
        let trouble = writer.trouble.as_ref().map_or_else(String::new, |trouble| {
            format!("{} for {} s: {}", trouble.kind, trouble.seconds, trouble.reason)
        });
        line(&format!("stored in {}", writer.store), store.stored, &trouble);
        if store.waiting > 0 {
            let full = writer
                .full_in_s
                .map_or_else(String::new, |left| format!("; the journal is full in about {left} s"));
            let oldest = writer.oldest_s.map_or_else(String::new, |age| format!("the oldest for {age} s"));
            line("  waiting in the journal", store.waiting, &format!("{oldest}{full}"));
        }
        if store.lost_to_corruption > 0 {
            line(
                "  LOST TO CORRUPTION",
                store.lost_to_corruption,
                "`beacond journal verify` names the damage",
            );
        }
        if store.dead_lettered > 0 {
            line("  dead letters", store.dead_lettered, "refused by the store, kept in the data directory");
        }
    }
    for absent in &report.journal.absent {
        let note = "entries of the journal, for a store that is not configured";
        line(&format!("waiting for {}", absent.store), absent.waiting_entries, note);
    }
    if let Some(trouble) = &report.journal.trouble {
        line("JOURNAL", trouble.seconds, &format!("s {}: {}", trouble.kind, trouble.reason));
    }
    line("rows on their way", report.queued_rows as u64, "");
    line("preferences accepted", ledger.preferences.accepted, "");
    line("frames decided", ledger.frames, "");
    line("frames repeated", ledger.frames_repeated, "");
    line("frames skipped", report.listeners.frames_skipped, "of kinds not known");
    line("sessions open, TCP", report.listeners.tcp_sessions_open, "");
    line("sessions open, UDP", report.listeners.udp_sessions_open, "");
    for (code, count) in &report.listeners.refusals {
        line(&format!("refused: {code}"), *count, "");
    }
    match &report.imbalance {
        None => text.push_str("the ledger balances\n"),
        Some(imbalance) => {
            let _ = writeln!(text, "THE LEDGER DOES NOT BALANCE: {imbalance}");
        }
    }
    text
}
