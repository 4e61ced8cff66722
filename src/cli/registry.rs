//! What the commands of beacons and of gateways have in common: importing a file, printing a list.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::{Common, Failure, exit};
use crate::config::RecordSettings;
use crate::data_dir;
use crate::domain::beacon::Beacon;
use crate::domain::gateway::Gateway;
use crate::ports::StoreError;
use crate::stores::ImportSummary;
use crate::stores::postgres::PostgresAdmin;
use crate::stores::sqlite::SqliteAdmin;

/// The registry in the system of record; a daemon may have it open.
#[derive(Debug)]
pub(super) enum Registry {
    Sqlite(SqliteAdmin),
    Postgres(PostgresAdmin),
}

impl Registry {
    /// Opens it. The embedded store is made if it is missing.
    pub(super) fn open(common: &Common) -> Result<Self, Failure> {
        let config = common.config()?;
        Ok(match config.stores()?.record {
            RecordSettings::Sqlite => {
                data_dir::make(config.data_dir())?;
                Self::Sqlite(SqliteAdmin::open(config.data_dir())?)
            }
            RecordSettings::Postgres(settings) => Self::Postgres(PostgresAdmin::open(&settings.server)?),
        })
    }

    pub(super) fn import_beacons(&mut self, beacons: &[Beacon]) -> Result<ImportSummary, StoreError> {
        match self {
            Self::Sqlite(admin) => admin.import_beacons(beacons),
            Self::Postgres(admin) => admin.import_beacons(beacons),
        }
    }

    pub(super) fn beacons(&self) -> Result<Vec<Beacon>, StoreError> {
        match self {
            Self::Sqlite(admin) => admin.beacons(),
            Self::Postgres(admin) => admin.beacons(),
        }
    }

    pub(super) fn import_gateways(&mut self, gateways: &[Gateway]) -> Result<ImportSummary, StoreError> {
        match self {
            Self::Sqlite(admin) => admin.import_gateways(gateways),
            Self::Postgres(admin) => admin.import_gateways(gateways),
        }
    }

    pub(super) fn gateways(&self) -> Result<Vec<Gateway>, StoreError> {
        match self {
            Self::Sqlite(admin) => admin.gateways(),
            Self::Postgres(admin) => admin.gateways(),
        }
    }
}

/// Arguments of `import`.
#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The CSV file
    pub(super) file: PathBuf,
    #[command(flatten)]
    pub(super) common: Common,
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    pub(super) common: Common,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Says what an import did.
pub(super) fn imported(what: &str, summary: &ImportSummary) -> ExitCode {
    let ImportSummary { inserted, updated, unchanged } = summary;
    println!("{what}: {inserted} registered, {updated} changed, {unchanged} as they were");
    ExitCode::SUCCESS
}

/// Prints a list: JSON, or CSV with a header.
pub(super) fn print_list<T: Serialize>(
    rows: impl Iterator<Item = T>,
    json: bool,
) -> Result<ExitCode, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(exit::IO, format!("cannot print: {error}"));
    if json {
        let rows: Vec<T> = rows.collect();
        println!("{}", serde_json::to_string_pretty(&rows).map_err(|error| failed(&error))?);
        return Ok(ExitCode::SUCCESS);
    }
    let mut writer = csv::Writer::from_writer(std::io::stdout().lock());
    for row in rows {
        writer.serialize(row).map_err(|error| failed(&error))?;
    }
    writer.flush().map_err(|error| failed(&error))?;
    Ok(ExitCode::SUCCESS)
}
