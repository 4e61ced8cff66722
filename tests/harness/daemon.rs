//! A running daemon: started, asked, signalled, and killed at the latest when dropped.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::PATIENCE;
use super::home::finished;
use super::ledger::Stats;
use super::lines::Lines;
use super::tcp::TcpGateway;
use super::udp::UdpGateway;

/// How often the ready file is looked for while the daemon starts.
const READY_LOOK: Duration = Duration::from_millis(5);

/// How often the daemon is asked again for what a test waits for.
const STATS_LOOK: Duration = Duration::from_millis(5);

/// A daemon that accepts.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    pub(crate) stderr: Lines,
    pub(crate) tcp: SocketAddr,
    pub(crate) udp: SocketAddr,
    pub(crate) admin: SocketAddr,
    agent: ureq::Agent,
}

impl Daemon {
    /// Starts the daemon of this command on free ports and waits for its ready file.
    pub(crate) fn start(command: Command, data: &Path, ready: &Path, arguments: &[&str]) -> Self {
        Starting::spawn(command, data, ready, arguments).accepts()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The ledger and counters as its operators' page has them now, which must be in balance.
    #[track_caller]
    pub(crate) fn stats(&self) -> Stats {
        let (status, text) = self.page("/api/v1/ledger");
        assert_eq!(status, 200, "{text}");
        let stats = Stats::parse(&text);
        stats.assert_balanced();
        stats
    }

    /// Status and text of a page for operators.
    #[track_caller]
    pub(crate) fn page(&self, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.admin);
        let request = self.agent.get(&url).config().http_status_as_error(false).build();
        let mut answer = request.call().unwrap_or_else(|error| panic!("{url}: {error}"));
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    }

    /// Waits until what it counts is as `met` wants it.
    #[track_caller]
    pub(crate) fn wait_for_stats(&self, what: &str, met: impl Fn(&Stats) -> bool) -> Stats {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let stats = self.stats();
            if met(&stats) {
                return stats;
            }
            assert!(Instant::now() < deadline, "never came: {what}; last {stats:?}");
            assert!(!self.stderr.has_ended(), "the daemon ended: {}", self.stderr.text());
            self.stderr.wait_for_more(STATS_LOOK);
        }
    }

    /// Waits until every store has all that was accepted.
    #[track_caller]
    pub(crate) fn all_stored(&self) -> Stats {
        self.wait_for_stats("every store has everything", Stats::is_all_stored)
    }

    /// A gateway connected over TCP that has said nothing yet.
    pub(crate) fn connect(&self) -> TcpGateway {
        TcpGateway::connect(self.tcp)
    }

    /// A gateway with an open session over TCP, its sequences from 1.
    #[track_caller]
    pub(crate) fn tcp_session(&self, gateway_id: &str) -> TcpGateway {
        let mut gateway = self.connect();
        gateway.open(gateway_id);
        gateway
    }

    /// A gateway with an open session over UDP, its sequences from 1.
    #[track_caller]
    pub(crate) fn udp_session(&self, gateway_id: &str) -> UdpGateway {
        let mut gateway = UdpGateway::new(self.udp);
        gateway.open(gateway_id);
        gateway
    }

    /// Sends a signal by name (`TERM`, `INT`, `KILL`, ...).
    pub(crate) fn signal(&self, name: &str) {
        let script = format!("kill -{name} {}", self.pid());
        finished(Command::new("sh").args(["-c", &script])).succeeded();
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn ended(mut self) -> ExitStatus {
        assert!(self.stderr.wait_for_end(PATIENCE), "still running: {}", self.stderr.text());
        self.child.wait().unwrap()
    }

    /// Ends it as an operator does, and expects that nothing was left undone.
    #[track_caller]
    pub(crate) fn stop(self) {
        self.signal("TERM");
        let stderr = self.stderr.clone();
        let status = self.ended();
        assert_eq!(status.code(), Some(0), "{}", stderr.text());
    }

    /// Ends it as a power failure does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        end(&mut self.child);
        if std::thread::panicking() {
            eprintln!("the daemon's last words:\n{}", self.stderr.text());
        }
    }
}

/// A daemon that does not accept yet, and may never.
#[derive(Debug)]
pub(crate) struct Starting {
    child: Option<Child>,
    ready: PathBuf,
    pub(crate) stderr: Lines,
}

impl Starting {
    /// Starts the daemon of this command on free ports.
    pub(crate) fn spawn(mut command: Command, data: &Path, ready: &Path, arguments: &[&str]) -> Self {
        // A file of an earlier start says nothing about this one.
        let _ = std::fs::remove_file(ready);
        command.arg("serve").arg("--data-dir").arg(data).arg("--ready-file").arg(ready);
        for listener in ["--listen-tcp", "--listen-udp", "--admin"] {
            if !arguments.contains(&listener) {
                command.args([listener, "127.0.0.1:0"]);
            }
        }
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = Lines::of(child.stderr.take().unwrap());
        Self { child: Some(child), ready: ready.to_owned(), stderr }
    }

    /// Waits for its ready file.
    #[track_caller]
    pub(crate) fn accepts(mut self) -> Daemon {
        let ready = wait_for_ready(&self.ready, &self.stderr);
        let address = |name: &str| ready[name].as_str().and_then(|text| text.parse().ok());
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            // A connection kept for the next question may be ended by the daemon just then.
            .max_idle_connections(0)
            .build()
            .into();
        Daemon {
            tcp: address("tcp").unwrap_or_else(|| panic!("no tcp address: {ready}")),
            udp: address("udp").unwrap_or_else(|| panic!("no udp address: {ready}")),
            admin: address("admin").unwrap_or_else(|| panic!("no admin address: {ready}")),
            child: self.child.take().unwrap(),
            stderr: self.stderr.clone(),
            agent,
        }
    }

    /// Ends it with SIGTERM, and waits for that.
    #[track_caller]
    pub(crate) fn stopped(mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        let script = format!("kill -TERM {}", child.id());
        finished(Command::new("sh").args(["-c", &script])).succeeded();
        assert!(self.stderr.wait_for_end(PATIENCE), "still running: {}", self.stderr.text());
        child.wait().unwrap()
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            end(child);
        }
    }
}

/// Kills and reaps a child; one that was reaped already is left alone by the standard library.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn wait_for_ready(file: &Path, stderr: &Lines) -> serde_json::Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Ok(text) = std::fs::read_to_string(file)
            && let Ok(ready) = serde_json::from_str(&text)
        {
            return ready;
        }
        assert!(!stderr.has_ended(), "the daemon did not start: {}", stderr.text());
        assert!(Instant::now() < deadline, "the daemon is not ready: {}", stderr.text());
        stderr.wait_for_more(READY_LOOK);
    }
}
