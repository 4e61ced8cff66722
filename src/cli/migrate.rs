//! `beacond migrate`: the schema of the stores, brought up to date or told.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{Common, Failure, exit};
use crate::config::{Config, RecordSettings};
use crate::data_dir;
use crate::stores::dynamodb::DynamoDbAdmin;
use crate::stores::postgres::PostgresAdmin;
use crate::stores::sqlite::SqliteAdmin;

/// Arguments of `migrate`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct MigrateArgs {
    #[command(subcommand)]
    command: Option<MigrateCommand>,
    #[command(flatten)]
    common: Common,
    /// Make the table of events, its index and its TTL in DynamoDB too, where they are missing
    #[arg(long)]
    create_dynamodb: bool,
}

#[derive(Debug, Subcommand)]
enum MigrateCommand {
    /// Print the versions of the schema, and which are applied; exit code 78 when one is not
    Status(Common),
}

pub(super) fn run(args: &MigrateArgs) -> Result<ExitCode, Failure> {
    if let Some(MigrateCommand::Status(common)) = &args.command {
        return status(&common.config()?);
    }
    let config = args.common.config()?;
    let stores = config.stores()?;
    match stores.record {
        RecordSettings::Sqlite => {
            data_dir::make(config.data_dir())?;
            SqliteAdmin::open(config.data_dir())?;
            println!("sqlite: up to date");
        }
        RecordSettings::Postgres(settings) => {
            let applied = PostgresAdmin::open(&settings.server)?.migrate()?;
            for version in &applied {
                println!("postgres: applied version {}, {}", version.version, version.name);
            }
            println!("postgres: up to date");
        }
    }
    if args.create_dynamodb {
        let Some(settings) = stores.events else {
            let message = "--create-dynamodb needs events = \"dynamodb\" in the section [stores]";
            return Err(Failure::new(exit::USAGE, message));
        };
        let failed =
            |error: &dyn std::fmt::Display| Failure::new(exit::UNAVAILABLE, format!("dynamodb: {error}"));
        let admin = DynamoDbAdmin::new(settings).map_err(|error| failed(&error))?;
        for done in admin.create().map_err(|error| failed(&error))? {
            println!("dynamodb: {done}");
        }
        println!("dynamodb: up to date");
    }
    Ok(ExitCode::SUCCESS)
}

fn status(config: &Config) -> Result<ExitCode, Failure> {
    let RecordSettings::Postgres(settings) = config.stores()?.record else {
        println!("sqlite: brought up to date by whatever opens it");
        return Ok(ExitCode::SUCCESS);
    };
    let versions = PostgresAdmin::open(&settings.server)?.migration_status()?;
    for version in &versions {
        let applied = if version.applied { "applied" } else { "MISSING" };
        println!("{applied:<8} {:>4}  {}", version.version, version.name);
    }
    let complete = versions.iter().all(|version| version.applied);
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::from(exit::CONFIG) })
}
