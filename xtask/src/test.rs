//! `cargo xtask test`: builds everything, starts the engines, then runs every test there is.

use std::process::Command;

use crate::engines;
use crate::steps::Steps;
use crate::tools::{answers, cargo, root, target};

/// Runs every test, against engines that are there for this run alone; with filters, only those
/// of the workspace whose names contain one.
///
/// # Errors
/// When something does not build, an engine does not start, or any test failed.
pub(crate) fn run(filters: &[String]) -> anyhow::Result<()> {
    let mut steps = Steps::new("steps");
    // Programs and tests in one go: built apart, the tests' own features would build them twice.
    let built = steps.run("build", &mut cargo(["build", "--workspace", "--bins", "--tests"]));
    // Gone when this is: also after a failed test, and after Ctrl-C.
    if built && let Some(_engines) = engines::start(&mut steps) {
        let runner = Runner::found();
        steps.run("workspace", &mut runner.command(&["--workspace"], filters));
        if filters.is_empty() {
            steps.run("examples in documents", &mut cargo(["test", "--workspace", "--doc"]));
            test_protocol(&mut steps, runner);
        }
    }
    steps.finish()
}

/// What is promised to a gateway's maker beyond the daemon's own use of the crate.
fn test_protocol(steps: &mut Steps, runner: Runner) {
    let package = ["--package", "beacon-protocol"];
    steps.run("protocol, default features", &mut runner.command(&package, &[]));
    let bare = [package[0], package[1], "--no-default-features", "--lib"];
    steps.run("protocol, no features", &mut runner.command(&bare, &[]));
    let mut proofs = cargo(["build", "--manifest-path", "protocol/proofs/Cargo.toml"]);
    steps.run("protocol without std", proofs.arg("--target-dir").arg(target().join("proofs")));
    let vectors = "protocol vectors";
    if answers("python3", ["--version"]) {
        let mut generate = Command::new("python3");
        steps.run(vectors, generate.current_dir(root()).args(["protocol/vectors/generate.py", "--check"]));
    } else {
        steps.skip(vectors, "there is no python3 to generate them a second time");
    }
}

/// Which test runner the machine has.
#[derive(Debug, Clone, Copy)]
enum Runner {
    /// A process for each test, and one that hangs is stopped and named.
    Nextest,
    Cargo,
}

impl Runner {
    fn found() -> Self {
        if answers(cargo([]).get_program(), ["nextest", "--version"]) { Self::Nextest } else { Self::Cargo }
    }

    fn command(self, selection: &[&str], filters: &[String]) -> Command {
        let mut command = match self {
            Self::Nextest => {
                let mut command = cargo(["nextest", "run", "--no-fail-fast"]);
                command.args(["--config-file", "xtask/nextest.toml"]);
                command
            }
            Self::Cargo => cargo(["test", "--no-fail-fast", "--lib", "--bins", "--tests"]),
        };
        command.args(selection);
        if let Self::Cargo = self {
            command.arg("--");
        }
        command.args(filters);
        command
    }
}
