//! The daemon under torture: started, signalled, killed, and seen to when it ends by itself.

use std::fs::{self, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How often it is looked at while it starts or stops.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A start waits for stores that hang, each for a bounded time; then some, for a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// A stop takes its drain deadline; then some.
const STOPPED_WITHIN: Duration = Duration::from_secs(15);

/// Lines of its log that an error shows.
const LOG_LINES: usize = 20;

/// How it is started, each time.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    /// The daemon that makes faults on purpose.
    pub(crate) program: PathBuf,
    /// For its configuration, its ready file and its log.
    pub(crate) directory: PathBuf,
    pub(crate) config: PathBuf,
    pub(crate) environment: Vec<(String, String)>,
}

/// Where it listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) tcp: SocketAddr,
    pub(crate) udp: SocketAddr,
    pub(crate) admin: SocketAddr,
}

/// A process; killed when dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    launch: Launch,
}

impl Launch {
    /// Starts it; it accepts when [`Daemon::ready`] says so.
    ///
    /// # Errors
    /// When there is no such program.
    pub(crate) fn start(&self, data: &Path) -> anyhow::Result<Daemon> {
        // A file of an earlier start says nothing about this one.
        let _absent = fs::remove_file(self.ready_file());
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        let mut command = self.command(&["serve"], data);
        for listener in ["--listen-tcp", "--listen-udp", "--admin"] {
            command.args([listener, "127.0.0.1:0"]);
        }
        command.arg("--insecure-dev").arg("--ready-file").arg(self.ready_file());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| self.program.display().to_string())?;
        Ok(Daemon { child, launch: self.clone() })
    }

    /// Runs a command of its own to its end and returns what it printed.
    ///
    /// # Errors
    /// When it fails: what it said is in the error.
    pub(crate) fn run(&self, words: &[&str], data: &Path) -> anyhow::Result<String> {
        let done = self.command(words, data).stdin(Stdio::null()).output()?;
        if !done.status.success() {
            bail!("beacond {}: {}", words.join(" "), String::from_utf8_lossy(&done.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }

    /// What `beacond journal verify --json` prints, sound or not.
    ///
    /// # Errors
    /// When it cannot be run.
    pub(crate) fn verify_journal(&self, data: &Path) -> anyhow::Result<Vec<u8>> {
        let words = ["journal", "verify", "--json"];
        Ok(self.command(&words, data).stdin(Stdio::null()).stderr(Stdio::null()).output()?.stdout)
    }

    fn command(&self, words: &[&str], data: &Path) -> Command {
        // It does not outlive this process, however that ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig=KILL", "--"]).arg(&self.program).args(words);
        command.arg("--config").arg(&self.config).arg("--data-dir").arg(data);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn ready_file(&self) -> PathBuf {
        self.directory.join("ready.json")
    }

    fn log(&self) -> PathBuf {
        self.directory.join("beacond.log")
    }
}

impl Daemon {
    /// Waits until it accepts.
    ///
    /// # Errors
    /// When it ends instead, or never does: both break a promise.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<Addresses> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if let Some(addresses) = self.addresses() {
                return Ok(addresses);
            }
            self.check()?;
            if Instant::now() > deadline {
                bail!("the daemon is not ready after {READY_WITHIN:?}; its log ends\n{}", self.last_words());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// That it runs.
    ///
    /// # Errors
    /// When it ended though nobody told it to.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the daemon ended by itself ({status}); its log ends\n{}", self.last_words());
        }
        Ok(())
    }

    /// Ends it as kill -9 does.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub(crate) fn kill(mut self) -> anyhow::Result<()> {
        self.check()?;
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?).context("pid 0")?;
        kill_process(pid, signal).context("the daemon cannot be signalled")
    }

    /// Waits for its end after a signal.
    ///
    /// # Errors
    /// When it does not come.
    pub(crate) async fn ended(mut self) -> anyhow::Result<ExitStatus> {
        let deadline = Instant::now() + STOPPED_WITHIN;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!(
                    "the daemon did not stop within {STOPPED_WITHIN:?}; its log ends\n{}",
                    self.last_words()
                );
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn addresses(&self) -> Option<Addresses> {
        let text = fs::read_to_string(self.launch.ready_file()).ok()?;
        let ready: serde_json::Value = serde_json::from_str(&text).ok()?;
        let address = |name: &str| ready[name].as_str()?.parse().ok();
        Some(Addresses { tcp: address("tcp")?, udp: address("udp")?, admin: address("admin")? })
    }

    fn last_words(&self) -> String {
        let log = fs::read(self.launch.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&log).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(LOG_LINES)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // One that has been reaped is left alone by the standard library.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}
