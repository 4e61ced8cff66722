//! What all engines have in common: started until it answers, stopped by pid, started again at the same place.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use rustix::process::Signal;

use crate::port;
use crate::process::{self, LeftRunning, Lifetime, STOP_DEADLINE, User, wait_until};

/// How long an engine may take until it answers: a recovery after a crash, a slow disk.
const READY_DEADLINE: Duration = Duration::from_secs(60);

/// Other ports to try when somebody was quicker.
const PORT_ATTEMPTS: u32 = 5;

/// How long until every process of a suspended engine stands still.
const SUSPEND_DEADLINE: Duration = Duration::from_secs(5);

/// Lines of the log that an error shows.
const LOG_LINES: usize = 15;

/// What it takes to start an engine, the first time and again.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    /// All the engine writes is in here; it goes when the engine goes.
    pub(crate) directory: PathBuf,
    pub(crate) port: u16,
    pub(crate) user: Option<User>,
    pub(crate) lifetime: Lifetime,
    /// What ends it at once without harm to others, for `setpriv --pdeathsig`, and the same as a signal.
    pub(crate) ended_by: (&'static str, Signal),
    /// Words of its command line that no other program's has.
    pub(crate) marker: String,
    /// Whether the engine itself, and nobody else at its port, answers.
    pub(crate) is_ready: fn(&Launch, u32) -> bool,
}

/// An engine's process, and how to start it again.
#[derive(Debug)]
pub(crate) struct Server {
    launch: Launch,
    child: Option<Child>,
}

impl Server {
    /// Starts what `plan` says for a port, with other ports as long as they are taken.
    pub(crate) fn start_on_free_port(plan: impl Fn(u16) -> Launch) -> anyhow::Result<Self> {
        for _ in 0..PORT_ATTEMPTS {
            let mut server = Self { launch: plan(port::free()?), child: None };
            match server.launch() {
                Ok(()) => return Ok(server),
                Err(NotStarted::PortTaken) => server.launch.directory = PathBuf::new(),
                Err(NotStarted::Because(error)) => return Err(error),
            }
        }
        bail!("{PORT_ATTEMPTS} ports in a row were taken while an engine started")
    }

    pub(crate) fn port(&self) -> u16 {
        self.launch.port
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.launch.directory
    }

    /// None while it is stopped.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Sends the signal and waits until the process has ended; kills it if that takes too long.
    pub(crate) fn stop(&mut self, signal: Signal) -> anyhow::Result<()> {
        let name = self.launch.name;
        let mut child = self.child.take().with_context(|| format!("{name} does not run"))?;
        // A suspended process hears of nothing else.
        resume(child.id());
        process::signal(child.id(), signal)?;
        if wait_until(STOP_DEADLINE, || Ok(child.try_wait()?))?.is_none() {
            child.kill()?;
            child.wait()?;
            if signal != Signal::KILL {
                bail!("{name} did not stop within {STOP_DEADLINE:?} and was killed");
            }
        }
        Ok(())
    }

    /// Starts it at the same port, with what it left in its directory.
    pub(crate) fn start_again(&mut self) -> anyhow::Result<()> {
        ensure!(self.child.is_none(), "{} still runs", self.launch.name);
        self.launch().map_err(|not_started| match not_started {
            NotStarted::PortTaken => anyhow!("somebody took port {} meanwhile", self.launch.port),
            NotStarted::Because(error) => error,
        })
    }

    /// Stops it and its children in their tracks: connections stay open, nothing answers.
    pub(crate) fn suspend(&self) -> anyhow::Result<()> {
        let name = self.launch.name;
        let pid = self.pid().with_context(|| format!("{name} does not run"))?;
        // The parent first: stopped, it starts no more children.
        process::signal(pid, Signal::STOP)?;
        let stands = |pid| wait_until(SUSPEND_DEADLINE, || Ok(process::is_suspended(pid).then_some(())));
        ensure!(stands(pid)?.is_some(), "{name} does not stand still");
        let children = process::children(pid)?;
        for child in &children {
            process::signal(*child, Signal::STOP)?;
        }
        for child in children {
            ensure!(stands(child)?.is_some(), "a process of {name} does not stand still");
        }
        Ok(())
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) -> anyhow::Result<()> {
        let pid = self.pid().with_context(|| format!("{} does not run", self.launch.name))?;
        resume(pid);
        Ok(())
    }

    /// Lets it run on; what is returned is all there is to stop it with.
    pub(crate) fn leave_running(mut self) -> anyhow::Result<LeftRunning> {
        let Launch { name, marker, directory, .. } = self.launch.clone();
        let child = self.child.take().with_context(|| format!("{name} does not run"))?;
        self.launch.directory = PathBuf::new();
        Ok(LeftRunning { name: name.into(), pid: child.id(), marker, directory })
    }

    fn launch(&mut self) -> Result<(), NotStarted> {
        let log = self.launch.directory.join("log");
        let written_before = fs::metadata(&log).map_or(0, |file| file.len());
        let mut command = self.command();
        command.current_dir(&self.launch.directory);
        let child =
            process::spawn(command, &log).with_context(|| self.launch.program.display().to_string())?;
        let child = self.child.insert(child);
        let pid = child.id();
        let launch = &self.launch;
        let ready = wait_until(READY_DEADLINE, || {
            let said = said_since(&log, written_before);
            // DynamoDB Local says so and runs on.
            if said.contains("already in use") {
                return Ok(Some(Outcome::PortTaken));
            }
            if let Some(status) = child.try_wait()? {
                return Ok(Some(Outcome::Ended(status.to_string())));
            }
            Ok((launch.is_ready)(launch, pid).then_some(Outcome::Ready))
        })?;
        let why = match ready {
            Some(Outcome::Ready) => return Ok(()),
            Some(Outcome::PortTaken) => None,
            Some(Outcome::Ended(status)) => Some(format!("ended at once ({status})")),
            None => Some(format!("did not answer within {READY_DEADLINE:?}")),
        };
        self.end();
        let Some(why) = why else {
            return Err(NotStarted::PortTaken);
        };
        let last = last_lines(&said_since(&log, written_before));
        Err(anyhow!("{} {why}; the end of its log:\n{last}", self.launch.name).into())
    }

    fn command(&self) -> std::process::Command {
        let dies_by = match self.launch.lifetime {
            Lifetime::Starter => Some(self.launch.ended_by.0),
            Lifetime::Machine => None,
        };
        let mut command = process::command(&self.launch.program, self.launch.user, dies_by);
        // Its log is read for one sentence, which is wanted in English.
        command.args(&self.launch.arguments).env("LC_ALL", "C");
        command
    }

    fn end(&mut self) {
        if self.child.is_some() {
            // Killed at the latest; there is nobody to tell about more.
            let _ended = self.stop(self.launch.ended_by.1);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
        if self.launch.directory != Path::new("") {
            let _removed = process::remove_directory(&self.launch.directory);
        }
    }
}

/// An empty directory for an engine to write in.
pub(crate) fn make_directory(directory: &Path) -> anyhow::Result<PathBuf> {
    let shown = || directory.display().to_string();
    fs::create_dir_all(directory).with_context(shown)?;
    let directory = directory.canonicalize().with_context(shown)?;
    ensure!(directory.read_dir()?.next().is_none(), "{} is not empty", directory.display());
    Ok(directory)
}

enum Outcome {
    Ready,
    PortTaken,
    Ended(String),
}

enum NotStarted {
    PortTaken,
    Because(anyhow::Error),
}

impl From<anyhow::Error> for NotStarted {
    fn from(error: anyhow::Error) -> Self {
        Self::Because(error)
    }
}

/// As far as it can be: a process that has ended since needs no signal.
fn resume(pid: u32) {
    for pid in process::children(pid).unwrap_or_default().into_iter().chain([pid]) {
        let _resumed = process::signal(pid, Signal::CONT);
    }
}

fn said_since(log: &Path, written_before: u64) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let since =
        usize::try_from(written_before).ok().and_then(|before| bytes.get(before..)).unwrap_or_default();
    String::from_utf8_lossy(since).into_owned()
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn script(directory: &Path, script: String, port: u16) -> Launch {
        Launch {
            name: "script",
            program: "sh".into(),
            arguments: vec!["-c".into(), script.into()],
            directory: directory.to_owned(),
            port,
            user: None,
            lifetime: Lifetime::Starter,
            ended_by: ("KILL", Signal::KILL),
            marker: "-c".into(),
            is_ready: |launch, _| launch.directory.join("ready").exists(),
        }
    }

    #[test]
    fn another_port_is_tried_when_the_first_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        // The kernel's, and so none that is chosen here.
        let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let first = std::cell::Cell::new(Some(taken));
        let server = Server::start_on_free_port(|free| {
            let port = first.take().unwrap_or(free);
            let words = "if [ $0 = taken ]; then echo bind: Address already in use; else touch ready; fi; exec sleep 4321";
            let mut launch = script(directory.path(), words.into(), port);
            launch.arguments.push(if port == taken { "taken".into() } else { "free".into() });
            launch
        });
        assert_ne!(server.unwrap().port(), taken);
    }

    #[test]
    fn end_of_the_log_is_in_the_error_of_an_engine_that_ends_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let words = "seq 100; echo no such luck >&2; exit 3";
        let error =
            Server::start_on_free_port(|port| script(directory.path(), words.into(), port)).unwrap_err();
        let said = error.to_string();
        assert!(said.starts_with("script ended at once (exit status: 3)"), "{said}");
        assert!(said.ends_with("\n99\n100\nno such luck") && !said.contains("\n80\n"), "{said}");
        assert!(!directory.path().exists());
    }
}
