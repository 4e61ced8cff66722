//! PostgreSQL and Redis from Debian's packages, where they are missing and we may install.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use beacon_stack::{postgres_binaries, redis_server};

/// Read by Debian's PostgreSQL when it is installed: it would make a cluster and start it.
const CLUSTERS: (&str, &str) = (
    "/etc/postgresql-common/createcluster.d/beacond.conf",
    "# Only while `cargo xtask` installs PostgreSQL.\ncreate_main_cluster = false\n",
);

/// Asked by Debian's packages whether they may start their service.
const SERVICES: (&str, &str) = (
    "/usr/sbin/policy-rc.d",
    "#!/bin/sh\n# Only while `cargo xtask` installs packages: start nothing.\nexit 101\n",
);

/// Sees to it that there are a PostgreSQL and a Redis to start.
///
/// # Errors
/// One line for each that is missing, and how to get them, where they cannot be installed.
pub(crate) fn install_missing() -> anyhow::Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    let reasons: Vec<String> = missing.iter().map(|missing| missing.reason.clone()).collect();
    let reasons = reasons.join("\n");
    let packages: Vec<&str> = missing.iter().map(|missing| missing.package).collect();
    if !Path::new("/etc/debian_version").exists() {
        bail!("{reasons}\ninstall what is missing and have it on the path");
    }
    if !rustix::process::geteuid().is_root() {
        bail!("{reasons}\nas root: apt-get install {}", packages.join(" "));
    }
    println!("{reasons}\ninstalling {}", packages.join(" "));
    install(&packages)?;
    let still = self::missing();
    ensure!(still.is_empty(), "after installing {}: {}", packages.join(" "), still[0].reason);
    Ok(())
}

struct Missing {
    reason: String,
    package: &'static str,
}

fn missing() -> Vec<Missing> {
    let looked = [(postgres_binaries(), "postgresql"), (redis_server(), "redis-server")];
    let missing = looked.into_iter().filter_map(|(found, package)| {
        found.err().map(|error| Missing { reason: format!("{error:#}"), package })
    });
    missing.collect()
}

/// No service is started and no cluster made by it.
fn install(packages: &[&str]) -> anyhow::Result<()> {
    let _no_clusters = PutInPlace::unless_there(CLUSTERS)?;
    let no_services = PutInPlace::unless_there(SERVICES)?;
    if let Some(policy) = &no_services {
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&policy.0, executable)?;
    }
    run(&["update", "-qq"])?;
    run(&[&["install", "-y", "-qq", "--no-install-recommends"], packages].concat())
}

fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let mut apt = Command::new("apt-get");
    apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    let status = apt.status().context("apt-get")?;
    ensure!(status.success(), "apt-get {}: {status}", arguments.join(" "));
    Ok(())
}

/// A file that is there as long as this is.
struct PutInPlace(PathBuf);

impl PutInPlace {
    /// None if somebody has one there already, which stays as it is.
    fn unless_there((path, text): (&str, &str)) -> anyhow::Result<Option<Self>> {
        let path = PathBuf::from(path);
        if path.exists() {
            return Ok(None);
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        Ok(Some(Self(path)))
    }
}

impl Drop for PutInPlace {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            eprintln!("cannot remove {}: {error}", self.0.display());
        }
    }
}
