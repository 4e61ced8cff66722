//! `loadtest replay`, run beside a daemon.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::home::{Finished, finished};

/// What a replay reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) sent: u64,
    pub(crate) acked: u64,
    /// Sightings by outcome, those that never came left out.
    pub(crate) outcomes: BTreeMap<String, u64>,
    /// Sightings in frames that an earlier session had made durable: nothing is said of their outcomes any more.
    pub(crate) repeated: u64,
}

impl Report {
    /// All of so many sightings were acknowledged, each with the outcome `expected`, or as repeated.
    #[track_caller]
    pub(crate) fn assert_acknowledged(&self, count: u64, expected: &BTreeMap<String, u64>) {
        assert_eq!((self.sent, self.acked), (count, count), "{self:?}");
        let told: u64 = self.outcomes.values().sum();
        assert_eq!(told + self.repeated, count, "{self:?}");
        for (outcome, times) in &self.outcomes {
            assert!(
                expected.get(outcome).is_some_and(|most| times <= most),
                "{outcome}: {self:?}, {expected:?}"
            );
        }
    }
}

/// Runs `loadtest replay` with these arguments to its end.
pub(crate) fn replay(file: &Path, target: &str, arguments: &[&str]) -> Finished {
    finished(command(file, target).args(arguments))
}

/// The command `loadtest replay` without arguments of its own.
pub(crate) fn command(file: &Path, target: &str) -> Command {
    let mut command = Command::new(loadtest());
    command.arg("replay").arg(file).args(["--target", target]);
    command
}

/// Runs it and returns what it reported, having been answered about everything it sent.
#[track_caller]
pub(crate) fn report(folder: &Path, file: &Path, target: &str, arguments: &[&str]) -> Report {
    let json = folder.join("report.json");
    let arguments = [arguments, &["--json", json.to_str().unwrap()]].concat();
    replay(file, target, &arguments).succeeded();
    let report: Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    let count = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("no count in {report}"));
    for percentile in ["p50", "p99", "max"] {
        count(&report["ack_us"][percentile]);
    }
    let outcomes = report["outcomes"].as_object().unwrap().iter();
    let outcomes = outcomes.map(|(name, value)| (name.clone(), count(value)));
    Report {
        sent: count(&report["sent"]),
        acked: count(&report["acked"]),
        repeated: count(&report["repeated"]),
        outcomes: outcomes.filter(|&(_, count)| count > 0).collect(),
    }
}

/// The load tester, built beside the daemon.
fn loadtest() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_beacond")).with_file_name("loadtest");
    assert!(
        program.is_file(),
        "{} is not built: run `cargo xtask test`, or `cargo build --workspace --bins` first",
        program.display()
    );
    program
}
