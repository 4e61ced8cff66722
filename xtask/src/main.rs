//! The project's chores: every test, every check, the benchmarks, the fuzz targets, the engines they need.

#![expect(clippy::print_stdout, reason = "a command-line tool: what it prints is what it is for")]

mod bench;
mod check;
mod daemon;
mod dynamodb;
mod engines;
mod fuzz;
mod interrupt;
mod liar;
mod packages;
mod rehearse;
mod stack;
mod steps;
mod test;
mod tools;
mod torture;

use std::num::NonZeroU32;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// `cargo xtask`: what a contributor and CI run.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "The project's chores", version)]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Build everything, then run every test; with filters, only the tests whose names contain one
    Test {
        /// Parts of test names
        filters: Vec<String>,
    },
    /// Format, lints, documentation, dependencies
    Check,
    /// Run the benchmarks, all or one, and say where the results are
    Bench {
        /// The bench target, such as `codec`; an unknown name lists them
        name: Option<String>,
        /// Build with the development profile: sooner ready, slower code
        #[arg(long)]
        dev: bool,
    },
    /// PostgreSQL, Redis and DynamoDB for development: private, on free ports, under target/stack
    #[command(subcommand)]
    Stack(Engines),
    /// Kill, cut, fill and deceive a daemon and its stores, and prove that nothing acked is lost
    Torture {
        /// `--rounds N --seed S [--minutes M] [--first N] [--mutant NAME | --mutants]`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Let a daemon ack and drop one identity in 100,000, and prove that `loadtest verify` finds it by name
    Liar,
    /// Start engines and the daemon, run a load test against them, prove what is stored: reports in target/rehearsals
    Rehearse(rehearse::Rehearsal),
    /// Run every fuzz target for a while
    Fuzz {
        /// How long each target runs
        #[arg(long, default_value = "30")]
        seconds: NonZeroU32,
        /// Only this target
        target: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Engines {
    /// Start them, and leave them running; installs what is missing on Debian, for root
    Up,
    /// Stop them and remove their data
    Down,
    /// Print how to reach them, for `eval "$(cargo xtask stack env)"`
    Env,
}

fn main() -> ExitCode {
    match interrupt::listen().and_then(|()| run(Arguments::parse().chore)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(chore: Chore) -> anyhow::Result<()> {
    match chore {
        Chore::Test { filters } => test::run(&filters),
        Chore::Check => check::run(),
        Chore::Bench { name, dev } => bench::run(name.as_deref(), dev),
        Chore::Stack(Engines::Up) => stack::up(),
        Chore::Stack(Engines::Down) => stack::down(),
        Chore::Stack(Engines::Env) => stack::print_environment(),
        Chore::Torture { words } => torture::run(&words),
        Chore::Liar => liar::run(),
        Chore::Rehearse(rehearsal) => rehearse::run(&rehearsal),
        Chore::Fuzz { seconds, target } => fuzz::run(seconds, target.as_deref()),
    }
}
