//! `loadtest conformance` as a process, and the verdicts of its JSON.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A test of a gateway or a daemon that is under way; dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Play {
    child: Child,
    out: BufReader<ChildStdout>,
    directory: TempDir,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Verdicts {
    pub(crate) code: Option<i32>,
    /// What people read.
    pub(crate) page: String,
    pub(crate) complaint: String,
    /// Null where there were none.
    json: Value,
}

impl Play {
    /// Starts it with these arguments; `--json` is added.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
        command.args(["conformance", "--json"]).arg(directory.path().join("verdicts.json")).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out, directory }
    }

    /// Where it waits for a gateway that it does not start itself.
    pub(crate) fn address(&mut self) -> SocketAddr {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        let target = line.strip_prefix("waiting for a gateway at ").and_then(|rest| rest.split(';').next());
        let address = target.and_then(|target| target.split("://").nth(1));
        address.unwrap_or_else(|| panic!("no address in {line:?}")).parse().unwrap()
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Verdicts {
        let mut page = String::new();
        self.out.read_to_string(&mut page).unwrap();
        let mut complaint = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
        let code = self.child.wait().unwrap().code();
        let json = std::fs::read(self.directory.path().join("verdicts.json"));
        let json = json.map_or(Value::Null, |bytes| serde_json::from_slice(&bytes).unwrap());
        Verdicts { code, page, complaint, json }
    }
}

impl Drop for Play {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Plays it to its end.
pub(crate) fn play(arguments: &[&str]) -> Verdicts {
    Play::start(arguments).end()
}

impl Verdicts {
    fn rules(&self, verdict: &str) -> BTreeSet<u8> {
        let rules = self.json["rules"].as_array().map(Vec::as_slice).unwrap_or_default();
        let of_verdict = rules.iter().filter(|rule| rule["verdict"] == verdict);
        of_verdict.map(|rule| rule["rule"].as_str().unwrap()[1..].parse().unwrap()).collect()
    }

    pub(crate) fn broken(&self) -> BTreeSet<u8> {
        self.rules("broken")
    }

    pub(crate) fn kept(&self) -> BTreeSet<u8> {
        self.rules("kept")
    }

    pub(crate) fn side(&self) -> &str {
        self.json["side"].as_str().unwrap_or_default()
    }

    /// No rule is broken, at least so many are kept, and page, JSON and exit code say so.
    #[track_caller]
    pub(crate) fn assert_kept(&self, at_least: usize) {
        assert_eq!((self.code, self.broken()), (Some(0), BTreeSet::new()), "{self}");
        assert!(self.kept().len() >= at_least, "{} of {at_least} rules are kept: {self}", self.kept().len());
        assert_eq!(self.json["summary"]["kept"], self.kept().len(), "{self}");
        assert!(self.page.contains(&format!("kept {}, broken 0", self.kept().len())), "{self}");
        println!("kept {}", self.kept().len());
    }
}

impl std::fmt::Display for Verdicts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit code {:?}\n{}{}", self.code, self.page, self.complaint)
    }
}
