//! A folder of a test's own: the data directory, the files beside it, and commands run on them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::daemon::{Daemon, Starting};
use crate::model::Beacon;
use crate::model::tracks::{write_beacons, write_gateways};

/// A temporary folder, removed at the end.
#[derive(Debug)]
pub(crate) struct Home {
    folder: TempDir,
    config: Option<PathBuf>,
    environment: Vec<(&'static str, String)>,
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), config: None, environment: Vec::new() }
    }

    /// A home whose daemons and commands have these variables in their environment and, if there is any, this TOML for
    /// their configuration.
    pub(crate) fn configured(toml: Option<&str>, environment: Vec<(&'static str, String)>) -> Self {
        let mut home = Self { environment, ..Self::new() };
        home.config = toml.map(|toml| home.write("beacond.toml", toml));
        home
    }

    /// A home whose beacons are registered.
    pub(crate) fn with_beacons(beacons: &[Beacon]) -> Self {
        let home = Self::new();
        home.import_beacons(beacons);
        home
    }

    /// The daemon's data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// A file of this home.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file and returns where it is.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn import_beacons(&self, beacons: &[Beacon]) {
        let file = self.path("beacons.csv");
        write_beacons(&file, beacons);
        self.import_beacon_file(&file);
    }

    pub(crate) fn import_beacon_file(&self, file: &Path) {
        self.beacond(&["beacon", "import", file.to_str().unwrap()]).succeeded();
    }

    /// Registers gateways: (id, stores, status).
    pub(crate) fn import_gateways(&self, gateways: &[(&str, &[&str], &str)]) {
        let file = self.path("gateways.csv");
        write_gateways(&file, gateways);
        self.beacond(&["gateway", "import", file.to_str().unwrap()]).succeeded();
    }

    /// Runs a command of the daemon's on this data directory to its end.
    pub(crate) fn beacond(&self, arguments: &[&str]) -> Finished {
        finished(
            self.command().args(arguments).args(self.config_arguments()).arg("--data-dir").arg(self.data()),
        )
    }

    /// Starts the daemon, open to every gateway, and waits until it accepts.
    pub(crate) fn serve(&self) -> Daemon {
        self.serve_with(&["--insecure-dev"])
    }

    /// Starts the daemon with these arguments beside its addresses and directory.
    pub(crate) fn serve_with(&self, arguments: &[&str]) -> Daemon {
        self.start_with(arguments).accepts()
    }

    /// Starts the daemon with these arguments, whatever comes of it.
    pub(crate) fn start_with(&self, arguments: &[&str]) -> Starting {
        let config = self.config_arguments();
        let config = config.iter().map(|argument| argument.to_str().unwrap());
        let arguments: Vec<&str> = config.chain(arguments.iter().copied()).collect();
        Starting::spawn(self.command(), &self.data(), &self.path("ready.json"), &arguments)
    }

    /// The built daemon in this home's environment.
    fn command(&self) -> Command {
        let mut command = beacond();
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn config_arguments(&self) -> Vec<&OsStr> {
        self.config.iter().flat_map(|path| [OsStr::new("--config"), path.as_os_str()]).collect()
    }
}

impl Finished {
    /// This, if the exit code is 0.
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// The only line of stderr, if the exit code is this one and nothing is on stdout.
    #[track_caller]
    pub(crate) fn failed_in_one_line(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        let lines: Vec<&str> = self.stderr.lines().collect();
        assert_eq!(lines.len(), 1, "not one line: {}", self.stderr);
        assert_eq!(self.stdout, "", "a failure belongs on stderr");
        lines[0].to_owned()
    }
}

/// The built daemon, with nothing of this process's environment that would configure it.
pub(crate) fn beacond() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_beacond"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("BEACOND_") {
            command.env_remove(name);
        }
    }
    command.env_remove("RUST_LOG").env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub(crate) fn finished(command: &mut Command) -> Finished {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}
