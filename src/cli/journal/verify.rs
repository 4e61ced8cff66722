//! `beacond journal verify`: whether all of it can be read.

use std::process::ExitCode;

use serde::Serialize;

use super::{Counts, Damaged, PlainArgs, Torn, print_json, unreadable};
use crate::cli::{Failure, exit};
use crate::journal;

/// What was found, for scripts.
#[derive(Serialize)]
struct Verified {
    sound: bool,
    segments: usize,
    bytes: u64,
    #[serde(flatten)]
    held: Counts,
    /// Entries at the end of which nobody knows that they are synced; they are sound.
    tail_entries: usize,
    /// What was being written when it ended, and was never answered.
    torn: Option<Torn>,
    damage: Vec<Damaged>,
}

pub(super) fn run(args: &PlainArgs) -> Result<ExitCode, Failure> {
    let directory = args.common.config()?.journal().directory;
    let mut held = Counts::default();
    let snapshot =
        journal::snapshot(&directory, &mut |entry| held.add(&entry)).map_err(|error| unreadable(&error))?;
    let recovery = snapshot.recovery;
    recovery.tail.iter().for_each(|entry| held.add(entry));
    let sound = recovery.damage.is_empty();
    if args.json {
        print_json(&Verified {
            sound,
            segments: recovery.segments,
            bytes: recovery.bytes,
            held,
            tail_entries: recovery.tail.len(),
            torn: recovery.torn.as_ref().map(Torn::from),
            damage: recovery.damage.iter().map(Damaged::from).collect(),
        })?;
    } else {
        println!("{held} in {} segments can be read", recovery.segments);
        if let Some(torn) = &recovery.torn {
            println!("never finished, so never answered: {torn}");
        }
        for range in &recovery.damage {
            println!("DAMAGED, and lost: {range}");
        }
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::from(exit::DATA) })
}
