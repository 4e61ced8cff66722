//! A private Redis: nothing of it is kept on disk.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use crate::process::{self, LeftRunning, Lifetime};
use crate::programs::redis_server;
use crate::server::{Launch, Server, make_directory};

/// An engine that is up answers in far less; one that is not must not hold up the next look.
pub(crate) const ANSWER_DEADLINE: Duration = Duration::from_millis(500);

/// A Redis on a free port of 127.0.0.1, in memory only. Dropped, it is gone.
#[derive(Debug)]
pub struct Redis {
    server: Server,
}

impl Redis {
    /// Starts one that writes its log into `directory`, which is made, and removed with it.
    ///
    /// # Errors
    /// When there is no Redis here, the directory is not empty, or the server does not answer: the
    /// end of its log is in the error.
    pub fn start(directory: &Path) -> anyhow::Result<Self> {
        Self::start_for(directory, Lifetime::Starter)
    }

    /// The same, with a say in how long it runs at most.
    ///
    /// # Errors
    /// As [`Redis::start`].
    pub fn start_for(directory: &Path, lifetime: Lifetime) -> anyhow::Result<Self> {
        let program = redis_server()?;
        let directory = make_directory(directory)?;
        let server = Server::start_on_free_port(|port| {
            let port_word = port.to_string();
            let arguments = ["--bind", "127.0.0.1", "--port", &port_word, "--save", "", "--appendonly", "no"];
            Launch {
                name: "Redis",
                program: program.clone(),
                arguments: arguments.map(Into::into).into(),
                directory: directory.clone(),
                port,
                user: None,
                lifetime,
                ended_by: ("KILL", Signal::KILL),
                marker: format!("127.0.0.1:{port}"),
                is_ready: answers_ping,
            }
        })?;
        Ok(Self { server })
    }

    /// Where it listens, as clients take it.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.server.port())
    }

    /// None while it is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// Ends it at once, as a crash would; all it knew is lost.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.server.stop(Signal::KILL)
    }

    /// Starts it, empty, at the same port.
    ///
    /// # Errors
    /// When it still runs, or does not answer.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        self.server.start_again()
    }

    /// Stops it in its tracks: connections stay open and can even be made, nothing answers.
    ///
    /// # Errors
    /// When it does not run, or the system has no `/proc`.
    pub fn suspend(&self) -> anyhow::Result<()> {
        self.server.suspend()
    }

    /// Lets it go on after [`Redis::suspend`].
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

/// What the server at that port says to `question`, in its first bytes.
pub(crate) fn first_answer(port: u16, question: &[u8]) -> Option<Vec<u8>> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_DEADLINE).ok()?;
    stream.set_read_timeout(Some(ANSWER_DEADLINE)).ok()?;
    stream.write_all(question).ok()?;
    let mut answer = [0; 64];
    let length = stream.read(&mut answer).ok()?;
    Some(answer.get(..length)?.to_vec())
}

fn answers_ping(launch: &Launch, pid: u32) -> bool {
    first_answer(launch.port, b"PING\r\n").is_some_and(|answer| answer.starts_with(b"+PONG"))
        && process::listens(pid, launch.port)
}
