//! A daemon that a chore starts, whose words go to the terminal.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

const ANY: &str = "127.0.0.1:0";

/// A program of the project, without the settings that this process may have in its environment.
pub(crate) fn program(file: impl AsRef<Path>) -> Command {
    let mut command = Command::new(file.as_ref());
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("BEACOND_") {
            command.env_remove(name);
        }
    }
    command
}

/// Dropped, it is told to stop, and waited for.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    words: Option<JoinHandle<()>>,
    ready: String,
}

impl Daemon {
    /// Starts `beacond serve` on free ports, with this directory for its data; `serve` is in the command already.
    pub(crate) fn start(beacond_serve: &mut Command, data: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(data)?;
        let ready_file = data.join("ready.json");
        let mut child = beacond_serve
            .args(["--insecure-dev", "--listen-tcp", ANY, "--listen-udp", ANY, "--admin", ANY])
            .arg("--data-dir")
            .arg(data)
            .arg("--ready-file")
            .arg(&ready_file)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stderr.take().context("its words")?).lines();
        let mut daemon = Self { child, words: None, ready: String::new() };
        // It says that it accepts when the file is there.
        while !ready_file.exists() {
            match lines.next() {
                Some(line) => println!("{}", line?),
                None => bail!("the daemon ended: {}", daemon.child.wait()?),
            }
        }
        daemon.ready = fs::read_to_string(ready_file)?;
        daemon.words = Some(std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| println!("{line}"));
        }));
        Ok(daemon)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where gateways connect.
    pub(crate) fn tcp(&self) -> anyhow::Result<String> {
        Ok(format!("tcp://{}", self.address("tcp")?))
    }

    /// Where operators ask.
    pub(crate) fn admin(&self) -> anyhow::Result<String> {
        Ok(format!("http://{}", self.address("admin")?))
    }

    /// An address of the ready file, which is one flat object of texts.
    fn address(&self, name: &str) -> anyhow::Result<&str> {
        let mut words = self.ready.split('"').skip_while(|word| *word != name);
        words.nth(2).with_context(|| format!("no {name} in {}", self.ready))
    }

    /// Stops it in order.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let status = self.end()?;
        ensure!(status.success(), "the daemon ended with {status}");
        Ok(())
    }

    fn end(&mut self) -> anyhow::Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        let pid = Pid::from_raw(i32::try_from(self.child.id())?).context("a process has a number")?;
        kill_process(pid, Signal::TERM)?;
        let status = self.child.wait()?;
        // Ends with the daemon.
        let _ = self.words.take().map(JoinHandle::join);
        Ok(status)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.end();
    }
}
