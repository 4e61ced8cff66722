//! The built daemon: started on free ports, and gone at the latest when dropped.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

const READY_AT_MOST: Duration = Duration::from_secs(30);
/// How often the ready file is looked for.
const LOOK: Duration = Duration::from_millis(20);

/// Short, so that a session's end by silence is waited for.
const CONFIGURATION: &str = "[sessions]\nidle_timeout_ms = 2000\n";

/// A daemon that takes any gateway.
#[derive(Debug)]
pub(crate) struct Beacond {
    child: Child,
    ready: Value,
    home: TempDir,
}

impl Beacond {
    /// Starts one that knows the beacons of this file.
    pub(crate) fn start(beacons: &Path) -> Self {
        let home = tempfile::tempdir().unwrap();
        let ready = home.path().join("ready.json");
        std::fs::write(home.path().join("beacond.toml"), CONFIGURATION).unwrap();
        let imported = command(&home, &["beacon", "import"]).arg(beacons).output().unwrap();
        assert!(imported.status.success(), "{imported:?}");
        let mut serve = command(&home, &["serve", "--insecure-dev"]);
        serve.arg("--ready-file").arg(&ready);
        for listener in ["--listen-tcp", "--listen-udp", "--admin"] {
            serve.args([listener, "127.0.0.1:0"]);
        }
        let child = serve.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut daemon = Self { child, ready: Value::Null, home };
        daemon.ready = daemon.wait_until_ready(&ready);
        daemon
    }

    fn wait_until_ready(&mut self, file: &Path) -> Value {
        let deadline = Instant::now() + READY_AT_MOST;
        loop {
            if let Ok(text) = std::fs::read_to_string(file)
                && let Ok(ready) = serde_json::from_str(&text)
            {
                return ready;
            }
            assert_eq!(self.child.try_wait().unwrap(), None, "the daemon ended");
            assert!(Instant::now() < deadline, "the daemon is not ready");
            std::thread::park_timeout(LOOK);
        }
    }

    /// Where gateways connect: `tcp` or `udp`.
    pub(crate) fn target(&self, scheme: &str) -> String {
        let address: SocketAddr = self.ready[scheme].as_str().unwrap().parse().unwrap();
        format!("{scheme}://{address}")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends it as an operator would; where its data are.
    pub(crate) fn stop(mut self) -> TempDir {
        self.signal(Signal::TERM);
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "the daemon left something undone");
        std::mem::replace(&mut self.home, tempfile::tempdir().unwrap())
    }
}

impl Drop for Beacond {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(home: &TempDir, words: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(words).arg("--config").arg(home.path().join("beacond.toml"));
    command.arg("--data-dir").arg(home.path().join("data")).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("BEACOND_") {
            command.env_remove(name);
        }
    }
    command
}

/// Built beside the load tester.
fn program() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_loadtest")).with_file_name("beacond");
    assert!(
        program.is_file(),
        "{} is not built: run `cargo xtask test`, or `cargo build --workspace --bins` first",
        program.display()
    );
    program
}
