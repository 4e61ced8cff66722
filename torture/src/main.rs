//! The torture test of beacond: `cargo xtask torture` builds what it needs and runs it.

#![expect(clippy::print_stdout, reason = "a command-line tool: what it prints is what it is for")]

mod arguments;
mod balance;
mod check;
mod clock;
mod daemon;
mod datagrams;
mod disk;
mod engines;
mod era;
mod evidence;
mod fault;
mod front;
mod gateway;
mod http;
mod journal;
mod plan;
mod proxy;
mod random;
mod report;
mod round;
mod sighting;
mod stores;
mod torture;
mod watch;

use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("torture: {error}");
            return ExitCode::FAILURE;
        }
    };
    // Driven by this thread, which lives as long as the process: what it starts dies with it.
    match runtime.block_on(run(&arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("torture: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The torture, until it ends or a signal comes; either way everything it started is put away by being dropped.
async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::select! {
        done = Box::pin(torture::run(arguments)) => done,
        _ = interrupt.recv() => anyhow::bail!("interrupted"),
        _ = terminate.recv() => anyhow::bail!("terminated"),
        _ = hang_up.recv() => anyhow::bail!("hung up"),
    }
}
