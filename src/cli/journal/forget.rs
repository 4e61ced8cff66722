//! `beacond journal forget-store`: what waits for a store that will not come back is dropped.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::{Counts, PlainArgs, print_json, unreadable};
use crate::cli::{Failure, exit};
use crate::data_dir::DataDir;
use crate::journal::{self, AppendError, JournalEntry, JournalState};

/// Arguments of `forget-store`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ForgetArgs {
    /// Its name, as `journal inspect` shows it
    name: String,
    #[command(flatten)]
    plain: PlainArgs,
}

/// What was dropped, for scripts.
#[derive(Serialize)]
struct Forgotten<'n> {
    forgotten: &'n str,
    dropped: Counts,
}

pub(super) fn run(args: &ForgetArgs) -> Result<ExitCode, Failure> {
    let config = args.plain.common.config()?;
    let _held = DataDir::hold(config.data_dir())?;
    let name = args.name.as_str();
    let settings = config.journal();
    let state = journal::snapshot(&settings.directory, &mut |_| {})
        .map_err(|error| unreadable(&error))?
        .recovery
        .state;
    let (state, next) = without(state, name)?;
    let mut dropped = Counts::default();
    let mut drop = |entry: &JournalEntry| {
        if entry.number >= next && entry.is_for(name) {
            dropped.add(entry);
        }
    };
    let mut opened =
        journal::open(&settings, &mut |entry| drop(&entry)).map_err(|error| unreadable(&error))?;
    opened.recovery.tail.iter().for_each(|entry| drop(entry));
    opened.appender.append(&[], Some(&state)).map_err(|error| {
        let code = match &error {
            AppendError::Full { .. } => exit::CANNOT_CREATE,
            AppendError::Io(_) => exit::IO,
        };
        Failure::new(code, error.to_string())
    })?;
    if args.plain.json {
        print_json(&Forgotten { forgotten: name, dropped })?;
    } else {
        println!("{name} is forgotten; {dropped} that it had not finished will not be written to it");
    }
    Ok(ExitCode::SUCCESS)
}

/// The state without this store, and which entry it had not finished.
fn without(state: Option<JournalState>, name: &str) -> Result<(JournalState, u64), Failure> {
    let stores = state.iter().flat_map(|state| &state.stores);
    let known: Vec<&str> = stores.map(|cursor| cursor.name.as_str()).collect();
    let refusal = if known.is_empty() {
        "the journal knows of no store".to_owned()
    } else {
        format!("the journal knows of no store {name:?}; it knows {}", known.join(", "))
    };
    let refused = || Failure::new(exit::USAGE, refusal);
    let Some(mut state) = state else {
        return Err(refused());
    };
    let Some(at) = state.stores.iter().position(|cursor| cursor.name == name) else {
        return Err(refused());
    };
    let cursor = state.stores.remove(at);
    Ok((state, cursor.next))
}
