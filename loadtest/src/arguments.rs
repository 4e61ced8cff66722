//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::compare::CompareArguments;
use crate::conformance::ConformanceArguments;
use crate::dynamodb_stub::DynamoDbStubArguments;
use crate::find_max::FindMaxArguments;
use crate::generate::GenerateArguments;
use crate::merge::MergeArguments;
use crate::plan::PlanArguments;
use crate::registry::RegistryArguments;
use crate::run::RunArguments;
use crate::target::Target;
use crate::verify::VerifyArguments;

/// Sends a beacond what gateways would send, and tells what became of it.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Sends recorded tracks, in the order of the file.
    Replay(ReplayArguments),
    /// Simulates gateways and their customers against a daemon, measures, and gives a verdict.
    Run(RunArguments),
    /// Looks for the highest load at which the objectives hold.
    FindMax(FindMaxArguments),
    /// Writes the beacons and gateways of a scenario, for the daemon to import.
    Registry(RegistryArguments),
    /// Generates without a daemon: how fast the generator is, what it makes, and that it is always the same.
    Generate(GenerateArguments),
    /// Starts a daemon on a new embedded store, sends it what 50 gateways hear of 20,000 customers, and checks that
    /// every claim holds.
    Demo(DemoArguments),
    /// Tells which rules of the protocol's document a daemon or a gateway keeps, and which it breaks.
    Conformance(ConformanceArguments),
    /// Tells whether a run is worse than an earlier one, beyond what is noise.
    Compare(CompareArguments),
    /// Makes one report of the parts that several generators made.
    Merge(MergeArguments),
    /// Tells what machines and stores so many users need, and what they cost.
    Plan(PlanArguments),
    /// Proves from a run's evidence and from the stores themselves that nothing acknowledged is missing and nothing
    /// stored is wrong.
    Verify(VerifyArguments),
    /// Answers like DynamoDB, for rates beyond an emulator's; can be late, throttle and leave items unprocessed.
    DynamodbStub(DynamoDbStubArguments),
}

const REPLAY_EXIT_CODES: &str = "\
Exit codes: 0 all acknowledged, 1 something never was, 64 wrong arguments,
65 tracks that cannot be sent, 69 no daemon or refused by it, 130 interrupted";

const DEMO_EXIT_CODES: &str = "\
Exit codes: 0 every check holds, 1 one does not, 64 wrong arguments, 130 interrupted";

#[derive(Debug, Args)]
#[command(after_help = REPLAY_EXIT_CODES)]
pub(crate) struct ReplayArguments {
    /// CSV with the columns detected_at_unix_us, customer_id, beacon_uuid, major, minor, rssi_dbm; more are ignored.
    /// What it says is sent, valid or not; what the wire cannot carry is an error, and then nothing is sent.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The daemon, as tcp://HOST:PORT or udp://HOST:PORT. Several, separated by commas or each with its own --target:
    /// the first is preferred, the others are gone to when it sends gateways away or is gone.
    #[arg(long, required = true, value_name = "TARGET", value_delimiter = ',')]
    pub(crate) target: Vec<Target>,
    /// Shift all times so that the latest sighting is now.
    #[arg(long)]
    pub(crate) rebase: bool,
    /// Shift all times so that the latest sighting is then, in microseconds since 1970 UTC: repeatable.
    #[arg(long, value_name = "UNIX_US", conflicts_with = "rebase", allow_negative_numbers = true)]
    pub(crate) rebase_to: Option<i64>,
    /// Frames a gateway has unanswered at most. With 1 the order of decisions is the file's, also over UDP.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) in_flight: u32,
    /// Send the tracks N times at once, each time with other customers: id, id~1, id~2 and so on.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) clones: u32,
    /// Send X times as fast as it was recorded [default: as fast as it is answered].
    #[arg(long, value_name = "X", value_parser = positive)]
    pub(crate) speed: Option<f64>,
    /// Send R sightings a second over all gateways [default: as fast as they are answered].
    #[arg(long, value_name = "R", value_parser = positive, conflicts_with = "speed")]
    pub(crate) rate: Option<f64>,
    /// Write the result as JSON to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Gateway id to send as; with several gateways ID-1, ID-2 and so on.
    #[arg(long, value_name = "ID", default_value = "loadtest")]
    pub(crate) gateway: String,
    /// Gateways that the clones are dealt out to [default: one a clone, at most 64].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4_096))]
    pub(crate) gateways: Option<u32>,
    /// Sightings a frame at most; over UDP also what a datagram holds.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4_096))]
    pub(crate) batch: u16,
    /// Give up when no sighting was acknowledged for so many seconds, though some wait for it.
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = positive)]
    pub(crate) deadline: f64,
}

#[derive(Debug, Args)]
#[command(after_help = DEMO_EXIT_CODES)]
pub(crate) struct DemoArguments {
    /// Seconds of traffic.
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(crate) seconds: u32,
    /// Sightings a second over all gateways.
    #[arg(long, value_name = "R", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    pub(crate) rate: u32,
    /// Where the store goes; must be empty or not there yet [default: a new temporary directory].
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) data_dir: Option<PathBuf>,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        _ => Err("a number above 0 is wanted".to_owned()),
    }
}
