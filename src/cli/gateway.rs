//! `beacond gateway`: the registered gateways.

use std::collections::HashSet;
use std::process::ExitCode;

use clap::Subcommand;
use serde::Serialize;

use super::Failure;
use super::csv_file::{self, Line};
use super::registry::{self, ImportArgs, ListArgs, Registry};
use crate::domain::gateway::{Gateway, StoreScope};

const COLUMNS: [&str; 3] = ["gateway_id", "stores", "status"];

/// Between the stores of a gateway in CSV.
const STORE_SEPARATOR: char = ';';

/// What to do with them.
#[derive(Debug, Subcommand)]
pub(super) enum GatewayCommand {
    /// Register the gateways of a CSV file, or change those registered; a running daemon knows within 5 seconds
    ///
    /// Columns: gateway_id,stores,status. Stores are separated by semicolons; none means that it may report none.
    /// Status is active or disabled. All lines are taken or none.
    Import(ImportArgs),
    /// Print them as CSV, or as JSON
    List(ListArgs),
}

/// A gateway as `list --json` prints it.
#[derive(Serialize)]
struct Listed {
    gateway_id: String,
    stores: String,
    status: &'static str,
}

pub(super) fn run(command: GatewayCommand) -> Result<ExitCode, Failure> {
    match command {
        GatewayCommand::Import(args) => import(&args),
        GatewayCommand::List(args) => list(&args),
    }
}

fn import(args: &ImportArgs) -> Result<ExitCode, Failure> {
    let gateways = csv_file::read(&args.file, &COLUMNS, gateway)?;
    let summary = Registry::open(&args.common)?.import_gateways(&gateways)?;
    Ok(registry::imported("gateways", &summary))
}

fn gateway(line: &Line<'_>) -> Result<Gateway, Failure> {
    let stores = line.field(1).split(STORE_SEPARATOR).map(str::trim).filter(|store| !store.is_empty());
    let stores: Result<HashSet<_>, _> = stores.map(str::parse).collect();
    Ok(Gateway {
        id: line.parse(0, "a gateway id of 1 to 64 characters")?,
        stores: StoreScope::These(
            stores.map_err(|_| line.wrong(1, "store ids of 1 to 64 characters, separated by ;"))?,
        ),
        status: line.parse(2, "active or disabled")?,
    })
}

fn list(args: &ListArgs) -> Result<ExitCode, Failure> {
    let gateways = Registry::open(&args.common)?.gateways()?;
    let listed = gateways.iter().map(|gateway| Listed {
        gateway_id: gateway.id.to_string(),
        stores: match &gateway.stores {
            StoreScope::Every => String::new(),
            StoreScope::These(stores) => {
                let mut stores: Vec<_> = stores.iter().map(|store| store.as_str()).collect();
                stores.sort_unstable();
                stores.join(&STORE_SEPARATOR.to_string())
            }
        },
        status: gateway.status.as_str(),
    });
    registry::print_list(listed, args.json)
}
