//! A private PostgreSQL: a cluster of its own, made for it, with its defaults and with fsync.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rustix::process::Signal;

use crate::port::random;
use crate::process::{self, LeftRunning, Lifetime, User};
use crate::programs::postgres_binaries;
use crate::server::{Launch, Server, make_directory};

/// A PostgreSQL on a free port of 127.0.0.1, whose superuser `postgres` needs no password. Dropped,
/// it is gone with its data.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
}

impl Postgres {
    /// Makes a cluster in `directory` and starts a server on it; both go when this is dropped.
    ///
    /// The server refuses to run as root: for root it runs as `postgres` (or `nobody`), and if that
    /// user is not let into `directory`, the cluster is in the system's temporary directory.
    ///
    /// # Errors
    /// When there is no PostgreSQL of version 15 or later, the directory is not empty, the cluster
    /// cannot be made, or the server does not come up: the end of its log is in the error.
    pub fn start(directory: &Path) -> anyhow::Result<Self> {
        Self::start_for(directory, Lifetime::Starter)
    }

    /// The same, with a say in how long it runs at most.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub fn start_for(directory: &Path, lifetime: Lifetime) -> anyhow::Result<Self> {
        let binaries = postgres_binaries()?;
        let user = User::without_rights()?;
        let home = home(make_directory(directory)?, user)?;
        let made = initialise(&binaries, &home, user).and_then(|()| {
            Server::start_on_free_port(|port| Launch {
                name: "PostgreSQL",
                program: binaries.join("postgres"),
                arguments: arguments(&home.join("data"), port),
                directory: home.clone(),
                port,
                user,
                lifetime,
                // Immediately: the postmaster ends its children; killed, it would leave them to find out.
                ended_by: ("QUIT", Signal::QUIT),
                marker: home.join("data").display().to_string(),
                is_ready: says_ready,
            })
        });
        if made.is_err() {
            process::remove_directory(&home)?;
        }
        Ok(Self { server: made? })
    }

    /// The superuser's way in, to the database `postgres`.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port())
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// The cluster's own directory, `PGDATA`.
    pub fn data_directory(&self) -> PathBuf {
        self.server.directory().join("data")
    }

    /// The postmaster's; none while it is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// Ends it as a crash would: no checkpoint, sessions cut off, recovery at the next start.
    ///
    /// # Errors
    /// When it does not run, or had to be killed.
    pub fn stop_immediately(&mut self) -> anyhow::Result<()> {
        self.server.stop(Signal::QUIT)
    }

    /// Ends it in order: sessions cut off, transactions rolled back, a checkpoint.
    ///
    /// # Errors
    /// When it does not run, or had to be killed.
    pub fn stop_fast(&mut self) -> anyhow::Result<()> {
        self.server.stop(Signal::INT)
    }

    /// Starts it at the same port with the same data, and recovers if it has to.
    ///
    /// # Errors
    /// When it still runs, or does not come up.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        self.server.start_again()
    }

    /// Stops the postmaster and every session in their tracks: connections stay open, and can even
    /// be made, nothing answers.
    ///
    /// # Errors
    /// When it does not run, or the system has no `/proc`.
    pub fn suspend(&self) -> anyhow::Result<()> {
        self.server.suspend()
    }

    /// Lets it go on after [`Postgres::suspend`].
    ///
    /// # Errors
    /// When it does not run.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.server.resume()
    }

    /// Lets it run on; what is returned is all there is to stop it with.
    ///
    /// # Errors
    /// When it does not run.
    pub fn leave_running(self) -> anyhow::Result<LeftRunning> {
        self.server.leave_running()
    }
}

/// A directory that the server's user is let into: the one asked for, else a temporary one of the
/// system's in its place.
fn home(asked_for: PathBuf, user: Option<User>) -> anyhow::Result<PathBuf> {
    let Some(user) = user else {
        return Ok(asked_for);
    };
    let temporary = env::temp_dir().join(format!("beacond-postgres-{:016x}", random()));
    for home in [&asked_for, &temporary] {
        let shown = || home.display().to_string();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(home).with_context(shown)?;
        chown(home, Some(user.uid), Some(user.gid)).with_context(shown)?;
        let let_in = process::command(Path::new("test"), Some(user), None).arg("-w").arg(home).status()?;
        if let_in.success() {
            return Ok(home.clone());
        }
        process::remove_directory(home)?;
    }
    bail!(
        "PostgreSQL, which does not run as root, is let into neither {} nor {}",
        asked_for.display(),
        env::temp_dir().display()
    )
}

fn initialise(binaries: &Path, home: &Path, user: Option<User>) -> anyhow::Result<()> {
    let mut initdb = process::command(&binaries.join("initdb"), user, None);
    initdb.current_dir(home).arg("-D").arg(home.join("data"));
    initdb.args([
        "-U",
        "postgres",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--locale=C",
        "--no-sync",
        "--no-instructions",
    ]);
    let done = initdb.output().context("cannot start initdb")?;
    if !done.status.success() {
        bail!("initdb: {}\n{}", done.status, String::from_utf8_lossy(&done.stderr));
    }
    Ok(())
}

fn arguments(data: &Path, port: u16) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["-D".into(), data.into(), "-p".into(), port.to_string().into()];
    // No socket in the file system: their paths have a limit that a deep directory exceeds.
    for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=200"] {
        arguments.extend(["-c".into(), setting.into()]);
    }
    arguments
}

/// What `pg_ctl --wait` waits for: the last line of the file that the postmaster keeps about itself.
fn says_ready(launch: &Launch, pid: u32) -> bool {
    let said = fs::read_to_string(launch.directory.join("data/postmaster.pid")).unwrap_or_default();
    let mut lines = said.lines().map(str::trim);
    lines.next() == Some(&pid.to_string()) && lines.nth(6) == Some("ready")
}
