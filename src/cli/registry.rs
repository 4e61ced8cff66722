//! What the commands of beacons and of gateways have in common: importing a file, printing a list.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::{Common, Failure, exit};
use crate::stores::ImportSummary;

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
