//! `beacond dead-letter`: the rows that stores refused.

use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::Agent;

use super::registry::{ListArgs, print_list};
use super::{Common, Failure, exit};
use crate::config::Config;
use crate::data_dir::{self, DataDir, Holder};
use crate::domain::time::Timestamp;
use crate::ops::{ORDER_HEADER, ORDER_HEADER_VALUE, PurgeAnswer, PurgeOrder, ReplayAnswer, ReplayOrder};
use crate::stores::dead_letters::{self, DeadLetterFile};

/// How long the daemon may take to carry out one order.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What to do with them.
#[derive(Debug, Subcommand)]
pub(super) enum DeadLetterCommand {
    /// Print them as CSV, or as JSON; they name customers
    List(ListArgs),
    /// Have the running daemon give them to their stores again; each passes the duplicate window as a sighting does
    Replay(ReplayArgs),
    /// Delete them for good
    Purge(PurgeArgs),
}

/// Arguments of `replay`.
#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    common: Common,
    /// Only those that this store refused
    #[arg(long, value_name = "NAME")]
    store: Option<String>,
    /// At most so many, the oldest first
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `purge`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["before", "all"]))]
pub(super) struct PurgeArgs {
    #[command(flatten)]
    common: Common,
    /// Only those that this store refused
    #[arg(long, value_name = "NAME")]
    store: Option<String>,
    /// Those given up before this time, such as 2026-05-01T00:00:00.000000Z or 2026-05-01
    #[arg(long, value_name = "TIME", value_parser = time)]
    before: Option<Timestamp>,
    /// Whenever they were given up
    #[arg(long)]
    all: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A dead letter as it is printed.
#[derive(Serialize)]
struct Listed {
    at: String,
    store: String,
    entry: Option<u64>,
    row: Option<u32>,
    reason: String,
    customer_id: String,
    beacon_id: Option<String>,
    detected_at: Option<String>,
    preferences_updated_at: Option<String>,
}

pub(super) fn run(command: DeadLetterCommand) -> Result<ExitCode, Failure> {
    match command {
        DeadLetterCommand::List(args) => print(&args),
        DeadLetterCommand::Replay(args) => replay(&args),
        DeadLetterCommand::Purge(args) => purge(args),
    }
}

fn print(args: &ListArgs) -> Result<ExitCode, Failure> {
    let config = args.common.config()?;
    let kept = dead_letters::list(config.data_dir()).map_err(|error| io_failure(&error))?;
    let mut letters = Vec::new();
    for letter in kept {
        match letter.map_err(|error| io_failure(&error))? {
            Ok(letter) => letters.extend(listed(letter)),
            Err(damaged) => eprintln!("beacond: {damaged}"),
        }
    }
    print_list(letters.into_iter(), args.json)
}

fn listed(letter: dead_letters::KeptLetter) -> Option<Listed> {
    let (identity, change) = (letter.block.identities.first(), letter.block.preferences.first());
    let customer =
        identity.map(|identity| &identity.customer_id).or(change.map(|change| &change.customer_id))?;
    Some(Listed {
        at: letter.at.to_string(),
        store: letter.store,
        entry: letter.entry,
        row: letter.row,
        reason: letter.reason,
        customer_id: customer.as_str().to_owned(),
        beacon_id: identity.map(|identity| identity.beacon_id.to_string()),
        detected_at: identity.map(|identity| identity.detected_at.to_string()),
        preferences_updated_at: change.map(|change| change.updated_at.to_string()),
    })
}

/// Asks the daemon for one part after another.
fn replay(args: &ReplayArgs) -> Result<ExitCode, Failure> {
    let config = args.common.config()?;
    let directory = config.data_dir().display();
    let holder = running(&config)?.ok_or_else(|| {
        let why = format!(
            "no daemon runs on the data directory {directory}: only a running one takes dead letters back"
        );
        Failure::new(exit::UNAVAILABLE, why)
    })?;
    let mut done = ReplayAnswer::default();
    loop {
        let stayed = done.duplicates + done.unrecorded + done.unconfigured;
        let looked_at = usize::try_from(stayed + done.replayed).unwrap_or(usize::MAX);
        let limit = args.limit.map(|limit| limit.saturating_sub(looked_at));
        if limit == Some(0) {
            break;
        }
        let order = ReplayOrder {
            store: args.store.clone(),
            until: Some(done.until).filter(|until| !until.is_empty()),
            skip: usize::try_from(stayed).unwrap_or(usize::MAX),
            limit,
        };
        let part: ReplayAnswer = order_of(&holder, "replay", &order)?;
        done.replayed += part.replayed;
        done.duplicates += part.duplicates;
        done.unrecorded += part.unrecorded;
        done.unconfigured += part.unconfigured;
        done.undecided += part.undecided;
        (done.until, done.more) = (part.until, part.more);
        if !done.more || done.undecided > 0 {
            break;
        }
    }
    if args.json {
        print_json(&done)?;
    } else {
        println!("{} replayed: the journal has them for their stores again", done.replayed);
        for (count, why) in [
            (done.duplicates, "stay: another identity of the customer is within a minute"),
            (done.unrecorded, "stay: events of identities that the system of record does not have"),
            (done.unconfigured, "stay: their store is not configured"),
            (
                done.undecided,
                "stay, undecided: the system of record cannot be asked now, or the daemon stops",
            ),
        ] {
            if count > 0 {
                println!("{count} {why}");
            }
        }
    }
    Ok(if done.undecided > 0 { ExitCode::from(exit::UNAVAILABLE) } else { ExitCode::SUCCESS })
}

fn purge(args: PurgeArgs) -> Result<ExitCode, Failure> {
    let config = args.common.config()?;
    let answer = match running(&config)? {
        Some(holder) => {
            let before = args.before.map(|before| before.to_string());
            order_of(&holder, "purge", &PurgeOrder { store: args.store, before })?
        }
        None => purge_here(&config, args.store.as_deref(), args.before)?,
    };
    if args.json {
        print_json(&answer)?;
    } else {
        println!(
            "{} dead letters purged, and {} lines that could not be read",
            answer.purged, answer.damaged
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// No daemon runs, and none starts meanwhile.
fn purge_here(
    config: &Config,
    store: Option<&str>,
    before: Option<Timestamp>,
) -> Result<PurgeAnswer, Failure> {
    let held = DataDir::hold(config.data_dir())?;
    let (letters, _) = DeadLetterFile::open(held.path(), u64::MAX).map_err(|error| io_failure(&error))?;
    let removed = letters.purge(store, before).map_err(|error| io_failure(&error))?;
    Ok(PurgeAnswer { purged: removed.letters, damaged: removed.damaged })
}

fn running(config: &Config) -> Result<Option<Holder>, Failure> {
    let directory = config.data_dir();
    data_dir::holder(directory)
        .map_err(|error| Failure::new(exit::UNAVAILABLE, format!("{}: {error}", directory.display())))
}

fn order_of<A: DeserializeOwned>(holder: &Holder, what: &str, order: &impl Serialize) -> Result<A, Failure> {
    let url = format!("http://{}/api/v1/dead-letters/{what}", holder.admin);
    let failed = |error: &dyn std::fmt::Display| {
        let pid = holder.pid;
        Failure::new(exit::UNAVAILABLE, format!("the daemon with pid {pid} did not do it ({url}): {error}"))
    };
    let agent: Agent = Agent::config_builder()
        .timeout_global(Some(ANSWER_TIMEOUT))
        .http_status_as_error(false)
        .build()
        .into();
    let order = serde_json::to_string(order).map_err(|error| failed(&error))?;
    let mut response = agent
        .post(&url)
        .header(ORDER_HEADER, ORDER_HEADER_VALUE)
        .content_type("application/json")
        .send(order)
        .map_err(|error| failed(&error))?;
    let text = response.body_mut().read_to_string().map_err(|error| failed(&error))?;
    if !response.status().is_success() {
        return Err(failed(&text.trim_end()));
    }
    serde_json::from_str(&text).map_err(|error| failed(&error))
}

fn print_json(answer: &impl Serialize) -> Result<(), Failure> {
    println!("{}", serde_json::to_string_pretty(answer).map_err(|error| io_failure(&error))?);
    Ok(())
}

fn io_failure(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(exit::IO, error.to_string())
}

/// A time in full, or the day that it begins.
fn time(text: &str) -> Result<Timestamp, String> {
    let full =
        if text.len() == "2026-05-01".len() { format!("{text}T00:00:00.000000Z") } else { text.to_owned() };
    Timestamp::from_text(&full).map_err(|error| error.to_string())
}
