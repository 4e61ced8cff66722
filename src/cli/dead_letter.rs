//! `beacond dead-letter`: the rows that stores refused.

use std::process::ExitCode;

use clap::Subcommand;
use serde::Serialize;

use super::registry::{ListArgs, print_list};
use super::{Failure, exit};
use crate::stores::dead_letters;

/// What to do with them.
#[derive(Debug, Subcommand)]
pub(super) enum DeadLetterCommand {
    /// Print them as CSV, or as JSON; they name customers
    List(ListArgs),
}

/// A dead letter as it is printed.
#[derive(Serialize)]
struct Listed {
    at: String,
    store: String,
    reason: String,
    customer_id: String,
    beacon_id: Option<String>,
    detected_at: Option<String>,
    preferences_updated_at: Option<String>,
}

pub(super) fn run(command: DeadLetterCommand) -> Result<ExitCode, Failure> {
    let DeadLetterCommand::List(args) = command;
    let config = args.common.config()?;
    let failed = |error: &dyn std::fmt::Display| Failure::new(exit::IO, error.to_string());
    let kept = dead_letters::list(config.data_dir()).map_err(|error| failed(&error))?;
    let mut letters = Vec::new();
    for letter in kept {
        match letter.map_err(|error| failed(&error))? {
            Ok(letter) => letters.extend(listed(letter)),
            Err(damaged) => eprintln!("beacond: {damaged}"),
        }
    }
    print_list(letters.into_iter(), args.json)
}

fn listed(letter: dead_letters::KeptLetter) -> Option<Listed> {
    let (at, store, reason) = (letter.at.to_string(), letter.store, letter.reason);
    if let Some(identity) = letter.block.identities.first() {
        return Some(Listed {
            at,
            store,
            reason,
            customer_id: identity.customer_id.as_str().to_owned(),
            beacon_id: Some(identity.beacon_id.to_string()),
            detected_at: Some(identity.detected_at.to_string()),
            preferences_updated_at: None,
        });
    }
    letter.block.preferences.first().map(|change| Listed {
        at,
        store,
        reason,
        customer_id: change.customer_id.as_str().to_owned(),
        beacon_id: None,
        detected_at: None,
        preferences_updated_at: Some(change.updated_at.to_string()),
    })
}
