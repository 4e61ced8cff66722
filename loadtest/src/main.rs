//! Load tester of beacond: arguments in, exit code out.

mod arguments;
mod artifacts;
mod batches;
mod clock;
mod clones;
mod compare;
mod conformance;
mod demo;
mod dynamodb_stub;
mod encode;
mod ending;
mod evidence;
mod figures;
mod find_max;
mod frames;
mod generate;
mod level;
mod measurement;
mod merge;
mod pace;
mod plan;
mod population;
mod postgres;
mod record;
mod recorder;
mod registry;
mod replay;
mod report;
mod run;
mod scenario;
mod session;
mod slo;
mod target;
mod tracks;
mod verify;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use self::arguments::{Arguments, Command};

/// What sysexits calls EX_USAGE; clap's own 2 is taken by shells.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nowhere to tell that telling failed.
            let _ = error.print();
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if asked { ExitCode::SUCCESS } else { ExitCode::from(USAGE) };
        }
    };
    let mut out = std::io::stdout().lock();
    ending::exit_code(match arguments.command {
        Command::Replay(arguments) => replay::run(&arguments, &mut out),
        Command::FindMax(arguments) => find_max::run(&arguments, &mut out),
        Command::Registry(arguments) => registry::run(&arguments, &mut out),
        Command::Generate(arguments) => generate::run(&arguments, &mut out),
        Command::Run(arguments) => run::run(&arguments, &mut out),
        Command::Demo(arguments) => demo::run(&arguments, &mut out),
        Command::Conformance(arguments) => conformance::run(&arguments, &mut out),
        Command::Compare(arguments) => compare::run(&arguments, &mut out),
        Command::Merge(arguments) => merge::run(&arguments, &mut out),
        Command::Plan(arguments) => plan::run(&arguments, &mut out),
        Command::Verify(arguments) => verify::run(&arguments, &mut out),
        Command::DynamodbStub(arguments) => dynamodb_stub::run(&arguments, &mut out),
    })
}
