//! Where the engines' programs are: named by a variable, on the path, or where Debian puts them.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

use crate::stack::variables;

/// The oldest PostgreSQL the daemon works on.
const OLDEST_POSTGRES: u32 = 15;

/// The directory of the newest PostgreSQL's programs; `BEACOND_POSTGRES_BIN` names another.
///
/// # Errors
/// When there is none of version 15 or later.
pub fn postgres_binaries() -> anyhow::Result<PathBuf> {
    if let Some(given) = env::var_os(variables::POSTGRES_BINARIES) {
        let given = PathBuf::from(given);
        let version = postgres_version(&given)
            .with_context(|| format!("{} has no initdb and postgres that run", given.display()))?;
        ensure!(
            version >= OLDEST_POSTGRES,
            "{} has PostgreSQL {version}; {OLDEST_POSTGRES} or later is needed",
            given.display()
        );
        return Ok(given);
    }
    let found = candidates().into_iter().filter_map(|path| Some((postgres_version(&path)?, path)));
    match found.max_by_key(|(version, _)| *version) {
        Some((version, path)) if version >= OLDEST_POSTGRES => Ok(path),
        Some((version, path)) => bail!(
            "PostgreSQL {OLDEST_POSTGRES} or later is needed; {} has version {version} only",
            path.display()
        ),
        None => bail!("PostgreSQL {OLDEST_POSTGRES} or later is not here (initdb and postgres)"),
    }
}

/// The Redis server's program; `BEACOND_REDIS_SERVER` names another.
///
/// # Errors
/// When there is none.
pub fn redis_server() -> anyhow::Result<PathBuf> {
    if let Some(given) = env::var_os(variables::REDIS_SERVER) {
        let given = PathBuf::from(given);
        ensure!(given.is_file(), "{} is no program", given.display());
        return Ok(given);
    }
    on_path("redis-server").context("Redis is not here (redis-server)")
}

/// A Java that runs, for Amazon's DynamoDB Local.
pub fn java() -> Option<PathBuf> {
    on_path("java").filter(|java| output(java, &["-version"]).is_some())
}

/// What the program writes to standard output; none if it cannot be run or fails.
pub(crate) fn output(program: &Path, arguments: &[&str]) -> Option<String> {
    let done =
        Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    if done.status.success() { String::from_utf8(done.stdout).ok() } else { None }
}

/// The first file of that name on the path.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn candidates() -> Vec<PathBuf> {
    let mut found = Vec::new();
    if let Some(said) = output(Path::new("pg_config"), &["--bindir"]) {
        found.push(PathBuf::from(said.trim()));
    }
    let itself = on_path("postgres").and_then(|file| file.canonicalize().ok());
    found.extend(itself.and_then(|file| Some(file.parent()?.to_owned())));
    if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
        found.extend(versions.filter_map(|version| Some(version.ok()?.path().join("bin"))));
    }
    found
}

fn postgres_version(binaries: &Path) -> Option<u32> {
    if !binaries.join("initdb").is_file() {
        return None;
    }
    major_version(&output(&binaries.join("postgres"), &["--version"])?)
}

/// From `postgres (PostgreSQL) 15.12 (Debian 15.12-0+deb12u2)`, or `18beta1`.
fn major_version(said: &str) -> Option<u32> {
    let version = said.split_whitespace().nth(2)?;
    let end = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    version[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn major_version_is_read_from_what_postgres_says() {
        assert_eq!(major_version("postgres (PostgreSQL) 15.12 (Debian 15.12-0+deb12u2)\n"), Some(15));
        assert_eq!(major_version("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major_version("postgres"), None);
    }

    #[test]
    fn program_is_found_on_the_path() {
        assert!(on_path("sh").is_some());
        assert_eq!(on_path("no-such-program-anywhere"), None);
    }
}
