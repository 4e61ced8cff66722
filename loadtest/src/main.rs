//! Load tester of beacond: arguments in, exit code out.

mod arguments;
mod batches;
mod clock;
mod clones;
mod demo;
mod dynamodb_stub;
mod ending;
mod evidence;
mod figures;
mod frames;
mod measurement;
mod pace;
mod population;
mod record;
mod recorder;
mod replay;
mod report;
mod scenario;
mod session;
mod target;
mod tracks;

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
        Command::Demo(arguments) => demo::run(&arguments, &mut out),
        Command::DynamodbStub(arguments) => dynamodb_stub::run(&arguments, &mut out),
    })
}
