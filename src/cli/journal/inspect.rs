//! `beacond journal inspect`: what it holds, and what waits for each store.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::{Counts, Damaged, PlainArgs, Torn, origin, print_json, unreadable};
use crate::cli::{Failure, exit};
use crate::domain::time::Timestamp;
use crate::journal::{self, EntryKind, JournalEntry, StoreCursor};

/// Arguments of `inspect`.
#[derive(Debug, Args)]
pub(in crate::cli) struct InspectArgs {
    #[command(flatten)]
    plain: PlainArgs,
    /// Print the entries instead, one a line
    #[arg(long)]
    entries: bool,
    /// Name the customers in them
    #[arg(long, requires = "entries")]
    customers: bool,
}

/// What it holds, for scripts.
#[derive(Serialize)]
struct Inspected {
    /// It may have moved on: a daemon was perhaps writing it.
    snapshot: bool,
    segments: Vec<ListedSegment>,
    bytes: u64,
    first_number: u64,
    next_number: u64,
    #[serde(flatten)]
    held: Counts,
    accepted_from: Option<String>,
    accepted_to: Option<String>,
    stores: Vec<ListedStore>,
    /// Entries at the end of which nobody knows that they are synced; they are sound.
    tail_entries: usize,
    torn: Option<Torn>,
    damage: Vec<Damaged>,
}

#[derive(Serialize)]
struct ListedSegment {
    file: String,
    bytes: u64,
    used_bytes: u64,
    entries: u64,
}

#[derive(Serialize)]
struct ListedStore {
    store: String,
    next_number: u64,
    waiting: Counts,
}

#[derive(Serialize)]
struct ListedEntry<'e> {
    number: u64,
    accepted_at: String,
    origin: String,
    identities: usize,
    preferences: usize,
    synced: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    customers: Vec<&'e str>,
}

/// What is remembered of each entry: enough to count what waits for a store whose cursor is known at the end only.
struct Seen {
    number: u64,
    counts: Counts,
    only_for: Option<String>,
}

pub(super) fn run(args: &InspectArgs) -> Result<ExitCode, Failure> {
    let directory = args.plain.common.config()?.journal().directory;
    if args.entries {
        return print_entries(args, &directory);
    }
    let mut seen = Vec::new();
    let mut range: Option<(Timestamp, Timestamp)> = None;
    let mut see = |entry: &JournalEntry| {
        let at = entry.accepted_at;
        range = Some(range.map_or((at, at), |(from, to)| (from.min(at), to.max(at))));
        seen.push(Seen::of(entry));
    };
    let snapshot =
        journal::snapshot(&directory, &mut |entry| see(&entry)).map_err(|error| unreadable(&error))?;
    let recovery = snapshot.recovery;
    recovery.tail.iter().for_each(|entry| see(entry));
    let stores = recovery.state.iter().flat_map(|state| &state.stores);
    let inspected = Inspected {
        snapshot: true,
        segments: snapshot
            .segments
            .iter()
            .map(|segment| ListedSegment {
                file: segment.path.display().to_string(),
                bytes: segment.bytes,
                used_bytes: segment.used_bytes,
                entries: segment.entries,
            })
            .collect(),
        bytes: recovery.bytes,
        first_number: recovery.first_number,
        next_number: recovery.next_number,
        held: sum(seen.iter()),
        accepted_from: range.map(|(from, _)| from.to_string()),
        accepted_to: range.map(|(_, to)| to.to_string()),
        stores: stores
            .map(|cursor| ListedStore {
                store: cursor.name.clone(),
                next_number: cursor.next,
                waiting: sum(seen.iter().filter(|seen| seen.waits_for(cursor))),
            })
            .collect(),
        tail_entries: recovery.tail.len(),
        torn: recovery.torn.as_ref().map(Torn::from),
        damage: recovery.damage.iter().map(Damaged::from).collect(),
    };
    if args.plain.json {
        print_json(&inspected)?;
        return Ok(ExitCode::SUCCESS);
    }
    print_text(&inspected);
    if let Some(torn) = &recovery.torn {
        println!("never finished, so never answered: {torn}");
    }
    for range in &recovery.damage {
        println!("DAMAGED, and lost: {range}");
    }
    Ok(ExitCode::SUCCESS)
}

impl Seen {
    fn of(entry: &JournalEntry) -> Self {
        let mut counts = Counts::default();
        counts.add(entry);
        let only_for = match &entry.kind {
            EntryKind::Frame(_) => None,
            EntryKind::Replay { store, .. } => Some(store.clone()),
        };
        Self { number: entry.number, counts, only_for }
    }

    fn waits_for(&self, cursor: &StoreCursor) -> bool {
        self.number >= cursor.next && self.only_for.as_ref().is_none_or(|store| *store == cursor.name)
    }
}

fn sum<'s>(seen: impl Iterator<Item = &'s Seen>) -> Counts {
    seen.fold(Counts::default(), |sum, Seen { counts, .. }| Counts {
        entries: sum.entries + counts.entries,
        identities: sum.identities + counts.identities,
        preferences: sum.preferences + counts.preferences,
    })
}

fn print_text(inspected: &Inspected) {
    let Inspected { held, first_number, next_number, segments, bytes, .. } = inspected;
    println!(
        "{held}, numbered {first_number}..{next_number}, in {} segments of {bytes} bytes",
        segments.len()
    );
    for segment in segments {
        let ListedSegment { file, bytes, used_bytes, entries } = segment;
        println!("  {file}: {entries} entries, {used_bytes} of {bytes} bytes used");
    }
    if let (Some(from), Some(to)) = (&inspected.accepted_from, &inspected.accepted_to) {
        println!("accepted from {from} to {to}");
    }
    for ListedStore { store, next_number, waiting } in &inspected.stores {
        println!("{store}: waiting from {next_number} on: {waiting}");
    }
    if inspected.tail_entries > 0 {
        println!("the last {} entries are not known to be synced", inspected.tail_entries);
    }
}

fn print_entries(args: &InspectArgs, directory: &std::path::Path) -> Result<ExitCode, Failure> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut printed = Ok(());
    let mut print = |entry: &Arc<JournalEntry>, synced: bool| {
        if printed.is_ok() {
            printed = print_entry(&mut out, args, entry, synced);
        }
    };
    let snapshot =
        journal::snapshot(directory, &mut |entry| print(&entry, true)).map_err(|error| unreadable(&error))?;
    snapshot.recovery.tail.iter().for_each(|entry| print(entry, false));
    match printed.and_then(|()| out.flush()) {
        // Whoever read it has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Failure::new(exit::IO, format!("cannot print: {error}"))),
        Ok(()) => Ok(ExitCode::SUCCESS),
    }
}

fn print_entry(
    out: &mut impl Write,
    args: &InspectArgs,
    entry: &JournalEntry,
    synced: bool,
) -> io::Result<()> {
    let mut customers: Vec<&str> = Vec::new();
    if args.customers {
        customers.extend(entry.block.identities.iter().map(|identity| identity.customer_id.as_str()));
        customers.extend(entry.block.preferences.iter().map(|change| change.customer_id.as_str()));
    }
    let listed = ListedEntry {
        number: entry.number,
        accepted_at: entry.accepted_at.to_string(),
        origin: origin(&entry.kind),
        identities: entry.block.identities.len(),
        preferences: entry.block.preferences.len(),
        synced,
        customers,
    };
    if args.plain.json {
        serde_json::to_writer(&mut *out, &listed)?;
        return writeln!(out);
    }
    let ListedEntry { number, accepted_at, origin, identities, preferences, customers, .. } = listed;
    write!(
        out,
        "{number} {accepted_at} {origin}: {identities} identities, {preferences} preference changes"
    )?;
    if !synced {
        write!(out, ", not known to be synced")?;
    }
    for customer in customers {
        write!(out, " {customer:?}")?;
    }
    writeln!(out)
}
