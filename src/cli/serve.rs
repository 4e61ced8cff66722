//! `beacond serve`: the daemon itself.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::JoinHandle;
use std::time::Duration;

use clap::Args;
use crossbeam_channel::{Receiver, bounded};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Common, Failure, LogControl, exit};
use crate::app::{Addresses, Daemon, Exit, Reloaded, Reloader, StartError};
use crate::backoff::Backoff;
use crate::config::{Config, Overrides};
use crate::data_dir;

/// Exit code of a stop that left something in the journal, or may have: a second signal came.
const WAITING: u8 = 3;

/// Waits for a disk that does not let the daemon start are drawn from up to these.
const DISK_FIRST_WAIT: Duration = Duration::from_millis(200);
const DISK_LONGEST_WAIT: Duration = Duration::from_secs(2);

/// How often a ready file is tried that a disk did not take.
const READY_EVERY: Duration = Duration::from_millis(200);

/// Arguments of `serve`.
#[derive(Debug, Clone, Args)]
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

impl ServeArgs {
    fn config(&self) -> Result<Config, Failure> {
        self.common.config_with(Overrides {
            data_dir: None,
            tcp: self.listen_tcp,
            udp: self.listen_udp,
            admin: self.admin,
            insecure_dev: self.insecure_dev,
        })
    }
}

pub(super) fn run(args: &ServeArgs, logs: &LogControl) -> Result<ExitCode, Failure> {
    let config = args.config()?;
    logs.set(config.log_level());
    if let Some(path) =
        args.ready_file.as_deref().filter(|path| path.parent().is_none_or(|folder| !in_place(folder)))
    {
        return Err(Failure::new(
            exit::IO,
            format!("cannot write {}: its directory is not there", path.display()),
        ));
    }
    raise_open_files();
    let stop = CancellationToken::new();
    // Before anything is opened: a signal in the middle of the start is not lost.
    let reloads = on_signals(stop.clone())
        .map_err(|error| Failure::new(exit::SYSTEM, format!("no signal handling: {error}")))?;
    let Some(daemon) = built(args, &config, &stop)? else {
        return Ok(stopped_before_it_began(&config));
    };
    let ready = args.ready_file.as_ref().map(|path| ReadyFile::announce(path, daemon.addresses(), &stop));
    let ready = ready.transpose()?;
    reload_on_demand(args, logs, daemon.reloader(), reloads)
        .map_err(|error| Failure::new(exit::SYSTEM, error.to_string()))?;
    let exit = daemon.run(&stop);
    if let Some(ready) = ready {
        ready.remove()?;
    }
    Ok(match exit {
        Exit::Stored => ExitCode::SUCCESS,
        Exit::Waiting => ExitCode::from(WAITING),
    })
}

/// The daemon, as soon as the disk lets it start; none if it is told to stop before.
fn built(args: &ServeArgs, config: &Config, stop: &CancellationToken) -> Result<Option<Daemon>, Failure> {
    let mut backoff = Backoff::new(DISK_FIRST_WAIT, DISK_LONGEST_WAIT);
    let mut said = String::new();
    loop {
        let error = match attempt(args, config) {
            Ok(daemon) if said.is_empty() => return Ok(Some(daemon)),
            Ok(daemon) => {
                tracing::info!("the disk lets the daemon start");
                return Ok(Some(daemon));
            }
            Err(error) if error.is_of_the_disk() => error.to_string(),
            Err(error) => return Err(error.into()),
        };
        if said != error {
            tracing::error!(error, "waiting for the disk: this start is tried again until it lets it");
            said = error;
        }
        if waited(stop, backoff.wait())? {
            return Ok(None);
        }
    }
}

fn attempt(args: &ServeArgs, config: &Config) -> Result<Daemon, StartError> {
    if let Some(path) = &args.ready_file
        && matches!(data_dir::holder(config.data_dir()), Ok(None))
    {
        // One left by a daemon that was killed would say that this one is ready.
        removed(path)?;
    }
    Daemon::build(config)
}

/// Waits; tells whether the daemon is to stop.
fn waited(stop: &CancellationToken, wait: Duration) -> Result<bool, Failure> {
    let runtime = Builder::new_current_thread().enable_time().build();
    let runtime = runtime.map_err(|error| Failure::new(exit::SYSTEM, error.to_string()))?;
    Ok(runtime.block_on(async { timeout(wait, stop.cancelled()).await.is_ok() }))
}

/// A journal of an earlier run may have something that waits.
fn stopped_before_it_began(config: &Config) -> ExitCode {
    let empty = fs::read_dir(config.journal().directory).map_or(true, |mut files| files.next().is_none());
    if empty { ExitCode::SUCCESS } else { ExitCode::from(WAITING) }
}

/// The file that says that the daemon accepts, and where.
#[derive(Debug)]
struct ReadyFile {
    path: PathBuf,
    /// Where the disk did not take it: tries again.
    late: Option<JoinHandle<()>>,
}

impl ReadyFile {
    fn announce(path: &Path, addresses: Addresses, stop: &CancellationToken) -> Result<Self, Failure> {
        let mut ready = Self { path: path.to_owned(), late: None };
        let failed =
            |error: &io::Error| Failure::new(exit::IO, format!("cannot write {}: {error}", path.display()));
        match write_ready_file(path, &addresses) {
            Ok(()) => {}
            Err(error) if data_dir::is_of_the_disk(&error) => {
                tracing::warn!(path = %path.display(), %error, "the daemon is ready, but its file cannot say so yet");
                let (path, stop) = (path.to_owned(), stop.clone());
                let late = std::thread::Builder::new().name("ready-file".into()).spawn(move || {
                    while waited(&stop, READY_EVERY).is_ok_and(|stopped| !stopped) {
                        if write_ready_file(&path, &addresses).is_ok() {
                            return;
                        }
                    }
                });
                ready.late = Some(late.map_err(|error| failed(&error))?);
            }
            Err(error) => return Err(failed(&error)),
        }
        Ok(ready)
    }

    fn remove(self) -> Result<(), Failure> {
        if self.late.is_some_and(|late| late.join().is_err()) {
            tracing::error!("the thread of the ready file panicked");
        }
        let path = &self.path;
        removed(path)
            .map_err(|error| Failure::new(exit::IO, format!("cannot remove {}: {error}", path.display())))
    }
}

/// Whether a directory is there; of a bare file name it is the current one.
fn in_place(folder: &Path) -> bool {
    folder.as_os_str().is_empty() || folder.is_dir()
}

fn removed(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
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

/// The first SIGTERM or SIGINT stops the daemon in order, the second one at once. Every SIGHUP is told to whom this
/// returns; those that come while one is being answered are one.
fn on_signals(stop: CancellationToken) -> io::Result<Receiver<()>> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let (mut terminate, mut interrupt, mut hangup) = {
        let _inside = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?)
    };
    let (reload, reloads) = bounded(1);
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                    _ = hangup.recv() => {
                        // One that waits already will read what this one is about.
                        let _ = reload.try_send(());
                        continue;
                    }
                }
                if stop.is_cancelled() {
                    tracing::warn!("a second signal: stopping at once");
                    std::process::exit(i32::from(WAITING));
                }
                stop.cancel();
            }
        });
    })?;
    Ok(reloads)
}

/// Reads the configuration again whenever it is told to, on a thread of its own that ends with the process.
fn reload_on_demand(
    args: &ServeArgs,
    logs: &LogControl,
    reloader: Reloader,
    demands: Receiver<()>,
) -> io::Result<()> {
    let (args, logs) = (args.clone(), logs.clone());
    std::thread::Builder::new().name("reload".into()).spawn(move || {
        for () in &demands {
            match args.config() {
                Ok(config) => {
                    let Reloaded { applied, not_applied } = reloader.apply(&config);
                    logs.set(config.log_level());
                    for key in not_applied {
                        tracing::warn!(key, "has changed in the configuration, and holds from the next start on");
                    }
                    tracing::info!(
                        applied = applied.join(", "),
                        "the configuration was read again; registrations are looked up anew; certificates and \
                         credentials of the stores are read at a start only"
                    );
                }
                Err(failure) => {
                    reloader.refuse();
                    tracing::error!(
                        error = failure.message,
                        "the configuration cannot be used: all goes on as before"
                    );
                }
            }
        }
    })?;
    Ok(())
}
