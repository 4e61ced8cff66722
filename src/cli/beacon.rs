//! `beacond beacon`: the registered beacons.

use std::process::ExitCode;

use clap::Subcommand;
use serde::Serialize;

use super::Failure;
use super::csv_file::{self, Line};
use super::registry::{self, ImportArgs, ListArgs, Registry};
use crate::domain::beacon::Beacon;
use crate::domain::time::Timestamp;

const COLUMNS: [&str; 7] = ["beacon_id", "store_id", "major", "minor", "location", "location_type", "status"];

/// What to do with them.
#[derive(Debug, Subcommand)]
pub(super) enum BeaconCommand {
    /// Register the beacons of a CSV file, or change those registered; a running daemon knows within 5 seconds
    ///
    /// Columns: beacon_id,store_id,major,minor,location,location_type,status. Location and its type
    /// (entrance, table, counter) may be empty. All lines are taken or none.
    Import(ImportArgs),
    /// Print them as CSV, or as JSON
    List(ListArgs),
}

/// A beacon as `list --json` prints it.
#[derive(Serialize)]
struct Listed<'b> {
    beacon_id: String,
    store_id: &'b str,
    major: u16,
    minor: u16,
    location: Option<&'b str>,
    location_type: Option<&'static str>,
    status: &'static str,
    updated_at: String,
}

pub(super) fn run(command: BeaconCommand) -> Result<ExitCode, Failure> {
    match command {
        BeaconCommand::Import(args) => import(&args),
        BeaconCommand::List(args) => list(&args),
    }
}

fn import(args: &ImportArgs) -> Result<ExitCode, Failure> {
    let beacons = csv_file::read(&args.file, &COLUMNS, beacon)?;
    let summary = Registry::open(&args.common)?.import_beacons(&beacons)?;
    Ok(registry::imported("beacons", &summary))
}

fn beacon(line: &Line<'_>) -> Result<Beacon, Failure> {
    Ok(Beacon {
        id: line.parse(0, "a UUID")?,
        store_id: line.parse(1, "a store id of 1 to 64 characters")?,
        major: line.parse(2, "a whole number from 0 to 65535")?,
        minor: line.parse(3, "a whole number from 0 to 65535")?,
        location: line.parse_optional(4, "a location of at most 32 characters")?,
        location_type: line.parse_optional(5, "entrance, table, counter or empty")?,
        status: line.parse(6, "active, inactive or maintenance")?,
        // The store says when it changed.
        updated_at: Timestamp::default(),
    })
}

fn list(args: &ListArgs) -> Result<ExitCode, Failure> {
    let beacons = Registry::open(&args.common)?.beacons()?;
    let listed = beacons.iter().map(|beacon| Listed {
        beacon_id: beacon.id.to_string(),
        store_id: beacon.store_id.as_str(),
        major: beacon.major,
        minor: beacon.minor,
        location: beacon.location.as_ref().map(|location| location.as_str()),
        location_type: beacon.location_type.map(|kind| kind.as_str()),
        status: beacon.status.as_str(),
        updated_at: beacon.updated_at.to_string(),
    });
    registry::print_list(listed, args.json)
}
