//! `beacond journal`: what is accepted and not in every store yet.

mod forget;
mod inspect;
mod verify;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;

use self::forget::ForgetArgs;
use self::inspect::InspectArgs;
use super::{Common, Failure, exit};
use crate::journal::{DamagedRange, EntryKind, JournalEntry, OpenError, TornTail};

/// What to do with it.
#[derive(Debug, Subcommand)]
pub(super) enum JournalCommand {
    /// Say what it holds and what waits for each store. Beside a running daemon it is a snapshot
    Inspect(InspectArgs),
    /// Read all of it; exit code 0 if it is sound, 65 if something is damaged, with each range named. Beside a running
    /// daemon it is a snapshot
    Verify(PlainArgs),
    /// Drop what waits for a store that will not come back; no daemon may run
    ForgetStore(ForgetArgs),
}

/// What they all take.
#[derive(Debug, Args)]
pub(super) struct PlainArgs {
    #[command(flatten)]
    common: Common,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: JournalCommand) -> Result<ExitCode, Failure> {
    match command {
        JournalCommand::Inspect(args) => inspect::run(&args),
        JournalCommand::Verify(args) => verify::run(&args),
        JournalCommand::ForgetStore(args) => forget::run(&args),
    }
}

fn unreadable(error: &OpenError) -> Failure {
    Failure::new(exit::IO, error.to_string())
}

fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new(exit::IO, format!("cannot print: {error}")))?;
    println!("{text}");
    Ok(())
}

/// Entries counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
struct Counts {
    entries: u64,
    identities: u64,
    preferences: u64,
}

impl Counts {
    fn add(&mut self, entry: &JournalEntry) {
        self.entries += 1;
        self.identities += entry.block.identities.len() as u64;
        self.preferences += entry.block.preferences.len() as u64;
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { entries, identities, preferences } = self;
        write!(f, "{entries} entries with {identities} identities and {preferences} preference changes")
    }
}

/// Where an entry comes from, for one line.
fn origin(kind: &EntryKind) -> String {
    match kind {
        EntryKind::Frame(mark) => {
            let id = &mark.id;
            format!("frame {} of epoch {} of gateway {}", id.sequence, id.boot_epoch, id.gateway)
        }
        EntryKind::Replay { store, .. } => format!("replay of a dead letter of {store}"),
    }
}

/// A damaged range as it is printed.
#[derive(Debug, Serialize)]
struct Damaged {
    segment: String,
    from_byte: u64,
    to_byte: u64,
    first_number: u64,
    end_number: u64,
    first_identity: u64,
    end_identity: u64,
}

impl From<&DamagedRange> for Damaged {
    fn from(range: &DamagedRange) -> Self {
        Self {
            segment: range.segment.display().to_string(),
            from_byte: range.from_byte,
            to_byte: range.to_byte,
            first_number: range.first_number,
            end_number: range.end_number,
            first_identity: range.first_identity,
            end_identity: range.end_identity,
        }
    }
}

/// A torn tail as it is printed.
#[derive(Debug, Serialize)]
struct Torn {
    segment: String,
    from_byte: u64,
    to_byte: u64,
    first_number: u64,
    end_number: u64,
}

impl From<&TornTail> for Torn {
    fn from(torn: &TornTail) -> Self {
        Self {
            segment: torn.segment.display().to_string(),
            from_byte: torn.from_byte,
            to_byte: torn.to_byte,
            first_number: torn.first_number,
            end_number: torn.end_number,
        }
    }
}
