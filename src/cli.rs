//! The commands of beacond, one file each.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "commands speak to people and scripts")]

mod beacon;
mod check;
mod csv_file;
mod dead_letter;
mod gateway;
mod journal;
mod migrate;
mod registry;
mod serve;
mod stats;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::Formatter;
use tracing_subscriber::fmt::format::{DefaultFields, Format};
use tracing_subscriber::reload::Handle;

use crate::app::StartError;
use crate::config::{Config, ConfigError, DEFAULT_TOML, Overrides};
use crate::data_dir::DataDirError;
use crate::ports::StoreError;
use crate::stores::sqlite::OpenError;

/// The environment variable that sets what is logged, such as `beacond=debug`.
pub const LOG_VARIABLE: &str = "BEACOND_LOG";

/// Exit codes, those of `sysexits.h`.
mod exit {
    /// Wrong arguments.
    pub(super) const USAGE: u8 = 64;
    /// A file of the user's has an error.
    pub(super) const DATA: u8 = 65;
    /// A daemon or store cannot be reached.
    pub(super) const UNAVAILABLE: u8 = 69;
    /// A defect: a panic.
    pub(super) const SOFTWARE: i32 = 70;
    /// The system does not give what is needed: an address, a thread.
    pub(super) const SYSTEM: u8 = 71;
    /// The data directory cannot be written to or is held.
    pub(super) const CANNOT_CREATE: u8 = 73;
    /// Reading or writing a file failed.
    pub(super) const IO: u8 = 74;
    /// The configuration has an error, or a part that was checked is not right.
    pub(super) const CONFIG: u8 = 78;
}

/// Ingests Bluetooth-beacon sightings from restaurants' gateways, decides which identify a customer, and stores those.
#[derive(Debug, Parser)]
#[command(name = "beacond", version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take sessions of gateways until SIGTERM or SIGINT
    Serve(serve::ServeArgs),
    /// Say of each part whether it is right, one line each
    Check(Common),
    /// Bring the schema of the stores up to date; `status` only tells
    Migrate(migrate::MigrateArgs),
    /// Configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// The registered beacons
    #[command(subcommand)]
    Beacon(beacon::BeaconCommand),
    /// The registered gateways
    #[command(subcommand)]
    Gateway(gateway::GatewayCommand),
    /// What is accepted and not in every store yet
    #[command(subcommand)]
    Journal(journal::JournalCommand),
    /// The rows that stores refused
    #[command(subcommand)]
    DeadLetter(dead_letter::DeadLetterCommand),
    /// The ledger of the running daemon: every sighting and identity, accounted for
    Stats(stats::StatsArgs),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the default configuration, every key with a comment
    Default,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
struct Common {
    /// Configuration file; without it, the defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the daemon keeps its files
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Why a command failed: one line, and an exit code.
#[derive(Debug)]
struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(exit::CONFIG, error.to_string())
    }
}

impl From<DataDirError> for Failure {
    fn from(error: DataDirError) -> Self {
        Self::new(exit::CANNOT_CREATE, error.to_string())
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::new(exit::CANNOT_CREATE, error.to_string())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(exit::UNAVAILABLE, error.to_string())
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let code = match &error {
            StartError::DataDir(_) | StartError::Store(_) | StartError::Journal(_) => exit::CANNOT_CREATE,
            StartError::Config(_) | StartError::Wrong { .. } => exit::CONFIG,
            StartError::Listen(_) | StartError::Admin { .. } | StartError::System(_) => exit::SYSTEM,
        };
        Self::new(code, error.to_string())
    }
}

impl Common {
    fn config(&self) -> Result<Config, Failure> {
        self.config_with(Overrides::default())
    }

    fn config_with(&self, overrides: Overrides) -> Result<Config, Failure> {
        let config = self.config.as_deref().map_or_else(Config::defaults, Config::from_file)?;
        Ok(config.with_overrides(Overrides { data_dir: self.data_dir.clone(), ..overrides })?)
    }
}

/// Makes a panic anywhere end the whole process, loudly: no task dies alone.
pub fn end_the_process_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::exit(exit::SOFTWARE);
    }));
}

/// Changes what is logged.
#[derive(Debug, Clone)]
pub struct LogControl {
    filter: LogFilter,
}

/// The filter of the logs, whatever they are written to.
type LogFilter = Handle<EnvFilter, Formatter<DefaultFields, Format, fn() -> std::io::Stderr>>;

impl LogControl {
    /// From now on, this is logged, unless the environment says something else.
    fn set(&self, level: &str) {
        if std::env::var_os(LOG_VARIABLE).is_some() {
            return;
        }
        let set = EnvFilter::try_new(level).map(|filter| self.filter.reload(filter));
        if !matches!(set, Ok(Ok(()))) {
            tracing::warn!(level, "what is logged could not be changed");
        }
    }
}

/// Logs to standard error what [`LOG_VARIABLE`] asks for, `info` by default.
#[must_use]
pub fn log_to_stderr() -> LogControl {
    let filter = EnvFilter::builder()
        .with_env_var(LOG_VARIABLE)
        .with_default_directive(tracing::level_filters::LevelFilter::INFO.into())
        .from_env_lossy();
    let logs = tracing_subscriber::fmt()
        .with_writer(std::io::stderr as fn() -> std::io::Stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .with_env_filter(filter)
        .with_filter_reloading();
    let filter = logs.reload_handle();
    logs.init();
    LogControl { filter }
}

/// Runs the command of these arguments.
pub fn run(arguments: impl Iterator<Item = OsString>, logs: &LogControl) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // A closed pipe is nothing to complain about into it.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(exit::USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let done = match cli.command {
        Command::Serve(args) => serve::run(&args, logs),
        Command::Check(common) => check::run(&common),
        Command::Config(ConfigCommand::Default) => {
            print!("{DEFAULT_TOML}");
            Ok(ExitCode::SUCCESS)
        }
        Command::Beacon(command) => beacon::run(command),
        Command::Gateway(command) => gateway::run(command),
        Command::Migrate(args) => migrate::run(&args),
        Command::Journal(command) => journal::run(command),
        Command::DeadLetter(command) => dead_letter::run(command),
        Command::Stats(args) => stats::run(&args),
    };
    done.unwrap_or_else(|failure| {
        eprintln!("beacond: {}", failure.message);
        ExitCode::from(failure.code)
    })
}
