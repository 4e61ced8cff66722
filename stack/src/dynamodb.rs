//! A private DynamoDB: dynoxide, or Amazon's DynamoDB Local where there is a Java to run it.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use rustix::process::Signal;

use crate::process::{self, LeftRunning, Lifetime};
use crate::programs::java;
use crate::redis::first_answer;
use crate::server::{Launch, Server, make_directory};
use crate::stack::variables;

/// Which program plays DynamoDB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DynamoDbEngine {
    /// The program of `stack/dynamodb-engine`: the file.
    Dynoxide(PathBuf),
    /// Amazon's own, in Java: the directory of `DynamoDBLocal.jar`.
    ///
    /// It has no way to be told an address and listens on all of them, not on loopback only.
    Local(PathBuf),
}

impl DynamoDbEngine {
    /// The dynoxide that `BEACOND_DYNAMODB_ENGINE` names.
    ///
    /// # Errors
    /// When the variable is not set: `cargo xtask test` builds the engine and sets it.
    pub fn dynoxide() -> anyhow::Result<Self> {
        let file = env::var_os(variables::DYNAMODB_ENGINE).with_context(|| {
            format!("run it by `cargo xtask test`, or set {}", variables::DYNAMODB_ENGINE)
        })?;
        Ok(Self::Dynoxide(file.into()))
    }

    /// The DynamoDB Local that `BEACOND_DYNAMODB_LOCAL` names; none where there is none.
    pub fn local() -> Option<Self> {
        env::var_os(variables::DYNAMODB_LOCAL)
            .filter(|path| !path.is_empty())
            .map(|path| Self::Local(path.into()))
    }
}

/// A DynamoDB on a free port. Dropped, it is gone.
#[derive(Debug)]
pub struct DynamoDb {
    server: Server,
}

impl DynamoDb {
    /// Starts one that keeps its tables in memory: they are lost when it stops. `directory` is made
    /// for its log, and removed with it.
    ///
    /// # Errors
    /// When the program is not there, the directory is not empty, or the server does not answer:
    /// the end of its log is in the error.
    pub fn start(directory: &Path, engine: &DynamoDbEngine) -> anyhow::Result<Self> {
        Self::start_for(directory, engine, Lifetime::Starter)
    }

    /// The same, with a say in how long it runs at most.
    ///
    /// # Errors
    /// As [`DynamoDb::start`].
    pub fn start_for(directory: &Path, engine: &DynamoDbEngine, lifetime: Lifetime) -> anyhow::Result<Self> {
        Self::start_engine(directory, engine, lifetime, false)
    }

    /// Starts one that keeps its tables in `directory`, over [`DynamoDb::kill`] and
    /// [`DynamoDb::start_again`]; they go with it in the end.
    ///
    /// # Errors
    /// As [`DynamoDb::start`].
    pub fn start_on_disk(directory: &Path, engine: &DynamoDbEngine) -> anyhow::Result<Self> {
        Self::start_engine(directory, engine, Lifetime::Starter, true)
    }

    /// Where it listens, as AWS's tools take it.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.server.port())
    }

    /// None while it is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// Ends it at once, as a crash would.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.server.stop(Signal::KILL)
    }

    /// Starts it at the same port.
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

    /// Lets it go on after [`DynamoDb::suspend`].
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

    fn start_engine(
        directory: &Path,
        engine: &DynamoDbEngine,
        lifetime: Lifetime,
        on_disk: bool,
    ) -> anyhow::Result<Self> {
        let program = match engine {
            DynamoDbEngine::Dynoxide(file) => file.clone(),
            DynamoDbEngine::Local(_) => java().context("there is no Java to run DynamoDB Local")?,
        };
        ensure!(program.is_file(), "{} is no program", program.display());
        let directory = make_directory(directory)?;
        let server = Server::start_on_free_port(|port| {
            let (arguments, marker) = match engine {
                DynamoDbEngine::Dynoxide(_) => dynoxide(port, on_disk.then_some(&*directory)),
                DynamoDbEngine::Local(home) => local(home, port, on_disk.then_some(&*directory)),
            };
            Launch {
                name: "DynamoDB",
                program: program.clone(),
                arguments,
                directory: directory.clone(),
                port,
                user: None,
                lifetime,
                ended_by: ("KILL", Signal::KILL),
                marker,
                is_ready: speaks_http,
            }
        })?;
        Ok(Self { server })
    }
}

fn dynoxide(port: u16, tables: Option<&Path>) -> (Vec<OsString>, String) {
    let address = format!("127.0.0.1:{port}");
    let mut arguments = vec![OsString::from(&address)];
    arguments.extend(tables.map(|directory| directory.join("tables.sqlite").into()));
    (arguments, address)
}

fn local(home: &Path, port: u16, tables: Option<&Path>) -> (Vec<OsString>, String) {
    let mut libraries = OsString::from("-Djava.library.path=");
    libraries.push(home.join("DynamoDBLocal_lib"));
    // Up soon and small, rather than fast later.
    let mut arguments: Vec<OsString> =
        ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx512m"].map(Into::into).into();
    arguments.extend([libraries, "-jar".into(), home.join("DynamoDBLocal.jar").into()]);
    arguments.extend(["-disableTelemetry".into(), "-port".into(), port.to_string().into()]);
    match tables {
        None => arguments.push("-inMemory".into()),
        Some(directory) => arguments.extend(["-dbPath".into(), directory.into()]),
    }
    (arguments, format!("-port {port}"))
}

fn speaks_http(launch: &Launch, pid: u32) -> bool {
    let question = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    first_answer(launch.port, question).is_some_and(|answer| answer.starts_with(b"HTTP/1.1 "))
        && process::listens(pid, launch.port)
}
