//! `beacond serve`: the daemon itself.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Common, Failure, exit};
use crate::app::{Addresses, Daemon, Exit};
use crate::config::Overrides;
use crate::data_dir;

/// Exit code of a stop that left something in the journal, or may have: a second signal came.
const WAITING: u8 = 3;

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    common: Common,
    /// Where gateways connect over TCP, such as 127.0.0.1:7400
    #[arg(long, value_name = "ADDRESS")]
    listen_tcp: Option<SocketAddr>,
    /// Where gateways connect over UDP
    #[arg(long, value_name = "ADDRESS")]
    listen_udp: Option<SocketAddr>,
    /// Where operators ask
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// Write the bound addresses to this file, as JSON, once the daemon accepts
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Take gateways that are not registered, for every store; listens on loopback only
    #[arg(long)]
    insecure_dev: bool,
}

pub(super) fn run(args: &ServeArgs) -> Result<ExitCode, Failure> {
    let config = args.common.config_with(Overrides {
        data_dir: None,
        tcp: args.listen_tcp,
        udp: args.listen_udp,
        admin: args.admin,
        insecure_dev: args.insecure_dev,
    })?;
    if let Some(path) = &args.ready_file
        && matches!(data_dir::holder(config.data_dir()), Ok(None))
    {
        // One left by a daemon that was killed would say that this one is ready.
        remove_ready_file(path)?;
    }
    raise_open_files();
    let stop = CancellationToken::new();
    // Before anything is opened: a signal in the middle of the start is not lost.
    stop_on_signals(stop.clone())
        .map_err(|error| Failure::new(exit::SYSTEM, format!("no signal handling: {error}")))?;
    let daemon = Daemon::build(&config)?;
    if let Some(path) = &args.ready_file {
        write_ready_file(path, &daemon.addresses())
            .map_err(|error| Failure::new(exit::IO, format!("cannot write {}: {error}", path.display())))?;
    }
    let exit = daemon.run(&stop);
    if let Some(path) = &args.ready_file {
        remove_ready_file(path)?;
    }
    Ok(match exit {
        Exit::Stored => ExitCode::SUCCESS,
        Exit::Waiting => ExitCode::from(WAITING),
    })
}

fn remove_ready_file(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Failure::new(exit::IO, format!("cannot remove {}: {error}", path.display())))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Asks for as many open files as the system lets this process have: every TCP session is one.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, current = limit.current, "the limit of open files could not be raised");
    }
}

/// Written beside and renamed: whoever waits for the file never reads half of it.
fn write_ready_file(path: &Path, addresses: &Addresses) -> io::Result<()> {
    let text = serde_json::to_string(addresses).map_err(io::Error::other)?;
    let beside = path.with_extension("partial");
    fs::write(&beside, text + "\n")?;
    fs::rename(beside, path)
}

/// The first SIGTERM or SIGINT stops the daemon in order, the second one at once.
fn stop_on_signals(stop: CancellationToken) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let (mut terminate, mut interrupt) = {
        let _inside = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async {
            for signals in 1.. {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if signals > 1 {
                    tracing::warn!("a second signal: stopping at once");
                    std::process::exit(i32::from(WAITING));
                }
                stop.cancel();
            }
        });
    })?;
    Ok(())
}
