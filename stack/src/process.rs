//! Processes: started so that they do not outlive their starter, signalled by pid, looked at through `/proc`.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::programs::{on_path, output};

/// Between two looks at a process that gives no sign of itself.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// How long a process that was told to stop may take before it is killed.
pub(crate) const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// Until when an engine runs that nobody stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Until the process that started it ends, in whatever way.
    Starter,
    /// On and on.
    Machine,
}

/// Whom a process runs as.
#[derive(Debug, Clone, Copy)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl User {
    /// Somebody without rights, for a server that refuses to run as root; none if we are not root.
    pub(crate) fn without_rights() -> anyhow::Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let found = ["postgres", "nobody"].into_iter().find_map(|name| {
            let ask = |what| output(Path::new("id"), &[what, name])?.trim().parse().ok();
            Some(Self { uid: ask("-u")?, gid: ask("-g")? })
        });
        Ok(Some(found.context("there is no user postgres and no user nobody")?))
    }
}

/// The command that runs `program` as that user, and lets it die by `signal` with its starter.
pub(crate) fn command(program: &Path, user: Option<User>, dies_by: Option<&str>) -> Command {
    let dies_by = dies_by.filter(|_| *CAN_DIE_WITH_PARENT);
    if user.is_none() && dies_by.is_none() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    if let Some(User { uid, gid }) = user {
        command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}")).arg("--clear-groups");
    }
    if let Some(signal) = dies_by {
        command.arg(format!("--pdeathsig={signal}"));
    }
    command.arg("--").arg(program);
    command
}

/// Starts it in a process group of its own (Ctrl-C in a terminal is not meant for it), without
/// input, its output added to the log.
pub(crate) fn spawn(mut command: Command, log: &Path) -> anyhow::Result<Child> {
    let log = OpenOptions::new().create(true).append(true).open(log)?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
    let spawner = SPAWNER.as_ref().context("no thread to start engines from")?;
    let (tell, told) = sync_channel(1);
    spawner.send((command, tell)).ok().context("the thread that starts engines is gone")?;
    told.recv().context("the thread that starts engines is gone")?.context("cannot be started")
}

/// Looks again and again until there is something to see. None when the deadline has passed.
pub(crate) fn wait_until<T>(
    deadline: Duration,
    mut look: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<Option<T>> {
    let started = Instant::now();
    loop {
        let seen = look()?;
        if seen.is_some() || started.elapsed() > deadline {
            return Ok(seen);
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "another program's state is no event here; it is looked at"
        )]
        thread::sleep(LOOK_AGAIN);
    }
}

/// Sends the signal; a process that is gone needs none.
pub(crate) fn signal(pid: u32, signal: Signal) -> anyhow::Result<()> {
    let pid = Pid::from_raw(i32::try_from(pid)?).context("pid 0")?;
    match kill_process(pid, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot signal {pid:?}")),
    }
}

/// The processes that `pid` started and that still run.
///
/// # Errors
/// Without a `/proc`, as only Linux has it.
pub(crate) fn children(pid: u32) -> anyhow::Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("only on Linux")? {
        let name = entry?.file_name();
        let Some(child) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if status(child).is_some_and(|status| status.parent == pid) {
            found.push(child);
        }
    }
    Ok(found)
}

/// Whether the process has been stopped by a signal, or has ended: its parent, stopped too, may not have noticed.
pub(crate) fn is_suspended(pid: u32) -> bool {
    status(pid).is_none_or(|status| matches!(status.state, 'T' | 'Z'))
}

/// Whether that process has an open socket that listens on that port. True where that cannot be
/// known.
pub(crate) fn listens(pid: u32, port: u16) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return true;
    };
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let listening: Vec<String> = tables
        .iter()
        .flat_map(|table| table.lines())
        .filter_map(|line| inode_of_listener(line, port))
        .collect();
    descriptors
        .filter_map(|descriptor| fs::read_link(descriptor.ok()?.path()).ok())
        .any(|target| listening.iter().any(|socket| target == Path::new(socket)))
}

/// An engine that was left running by another process: what it takes to find it and stop it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftRunning {
    /// Which engine.
    pub name: String,
    /// Its pid when it was left.
    pub pid: u32,
    /// Words of its command line that no other program's has.
    pub marker: String,
    /// What it keeps its data in; removed when it is stopped.
    pub directory: PathBuf,
}

impl LeftRunning {
    /// Whether it still runs: there is such a pid, and it still is that program.
    pub fn is_running(&self) -> bool {
        command_line(self.pid).is_some_and(|line| line.contains(&self.marker))
    }

    /// Stops it if it still runs, and removes its directory. True if it was running.
    ///
    /// # Errors
    /// When it can be neither stopped nor killed, or its directory not removed.
    pub fn stop(&self) -> anyhow::Result<bool> {
        let running = self.is_running();
        if running {
            signal(self.pid, Signal::CONT)?;
            // SIGINT is PostgreSQL's fast way, and ends the others in order too.
            signal(self.pid, Signal::INT)?;
            let gone = || Ok((!self.is_running()).then_some(()));
            if wait_until(STOP_DEADLINE, gone)?.is_none() {
                signal(self.pid, Signal::KILL)?;
                let killed = wait_until(STOP_DEADLINE, gone)?.is_some();
                ensure!(killed, "{} (pid {}) does not end", self.name, self.pid);
            }
        }
        remove_directory(&self.directory)?;
        Ok(running)
    }
}

/// Removes it with all that is in it; one that is not there is fine.
pub(crate) fn remove_directory(directory: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", directory.display()))
        }
        _ => Ok(()),
    }
}

type Order = (Command, SyncSender<io::Result<Child>>);

/// Every engine is started from this one thread, which lives as long as the process: a process
/// that dies with its parent dies when the parent's thread that started it ends.
static SPAWNER: LazyLock<Option<SyncSender<Order>>> = LazyLock::new(|| {
    let (sender, orders) = sync_channel::<Order>(1);
    let spawner = thread::Builder::new().name("engines".into()).spawn(move || {
        for (mut command, tell) in orders {
            // Who asked may be gone; then nobody would ever stop the engine.
            if let Err(unheard) = tell.send(command.spawn())
                && let Ok(mut child) = unheard.0
            {
                let _ended = child.kill().and_then(|()| child.wait());
            }
        }
    });
    spawner.ok().map(|_| sender)
});

/// util-linux has the way since 2.33; elsewhere an engine may outlive a starter that was killed.
static CAN_DIE_WITH_PARENT: LazyLock<bool> = LazyLock::new(|| {
    cfg!(target_os = "linux")
        && on_path("setpriv").is_some_and(|setpriv| output(&setpriv, &["--pdeathsig=KILL", "true"]).is_some())
});

struct Status {
    state: char,
    parent: u32,
}

fn status(pid: u32) -> Option<Status> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name, in brackets, may hold anything.
    let mut words = line.rsplit_once(')')?.1.split_whitespace();
    Some(Status { state: words.next()?.chars().next()?, parent: words.next()?.parse().ok()? })
}

/// The command line of a process that has not ended, words apart by spaces.
fn command_line(pid: u32) -> Option<String> {
    if Path::new("/proc/self/cmdline").exists() {
        // What has ended and was not waited for has an empty one.
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        return Some(String::from_utf8_lossy(&line).replace('\0', " "));
    }
    output(Path::new("ps"), &["-o", "args=", "-p", &pid.to_string()])
}

/// From a line of `/proc/net/tcp`: the socket, as `/proc/PID/fd` names it, if it listens on `port`.
fn inode_of_listener(line: &str, port: u16) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (_, local_port) = words.get(1)?.rsplit_once(':')?;
    let listens = *words.get(3)? == "0A" && u16::from_str_radix(local_port, 16) == Ok(port);
    listens.then(|| Some(format!("socket:[{}]", words.get(9)?)))?
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn listener_is_known_by_its_process_and_port() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(listens(std::process::id(), port));
        drop(listener);
        assert!(!listens(std::process::id(), port));
    }

    #[test]
    fn process_left_running_is_stopped_only_if_it_still_is_that_program() {
        let directory = tempfile::tempdir().unwrap().keep();
        let mut command = command(Path::new("sleep"), None, Some("KILL"));
        command.arg("4321.5");
        let mut child = spawn(command, &directory.join("log")).unwrap();
        let left = LeftRunning {
            name: "sleep".into(),
            pid: child.id(),
            marker: "another program".into(),
            directory: directory.clone(),
        };
        assert!(!left.stop().unwrap());
        assert_eq!(child.try_wait().unwrap(), None);
        assert!(!directory.exists());
        let left = LeftRunning { marker: "sleep 4321.5".into(), ..left };
        // Between `setpriv` and the program it becomes there is a moment without a command line.
        assert!(wait_until(STOP_DEADLINE, || Ok(left.is_running().then_some(()))).unwrap().is_some());
        assert!(left.stop().unwrap());
        assert!(!left.is_running());
        assert!(child.wait().unwrap().code().is_none());
    }

    #[test]
    fn children_are_found_by_their_parent() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut command = Command::new("sleep");
        command.arg("4321");
        let mut child = spawn(command, log.path()).unwrap();
        assert!(children(std::process::id()).unwrap().contains(&child.id()));
        signal(child.id(), Signal::KILL).unwrap();
        child.wait().unwrap();
        assert!(!children(std::process::id()).unwrap().contains(&child.id()));
    }
}
