//! `cargo xtask torture`: builds a daemon that makes faults on purpose, and lets the torture test loose on it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use beacon_stack::variables;

use crate::engines;
use crate::steps::Steps;
use crate::tools::{cargo, target};

/// Named like this, all builds share every dependency with `cargo xtask test`, down to its features.
const BUILD: [&str; 4] = ["build", "--workspace", "--examples", "--bin"];

/// Builds everything and runs the torture with these words.
///
/// # Errors
/// When something does not build, a promise was broken, or a mutant was not told.
pub(crate) fn run(words: &[String]) -> anyhow::Result<()> {
    let mut steps = Steps::new("torture");
    let Some(programs) = engines::prepare(&mut steps) else {
        return steps.finish();
    };
    if !steps.run("torture", cargo(BUILD).arg("torture")) {
        return steps.finish();
    }
    if let Some(program) = daemon_with_faults(&mut steps) {
        let mut torture = Command::new(target().join("debug/torture"));
        torture.arg("--beacond").arg(program).arg("--directory").arg(engines::home()).args(words);
        torture.envs(variables::AWS).env(variables::DYNAMODB_ENGINE, programs.dynoxide());
        steps.run("rounds", &mut torture);
    }
    steps.finish()
}

/// Builds the daemon that makes faults when it is told to, and returns where it is.
pub(crate) fn daemon_with_faults(steps: &mut Steps) -> Option<PathBuf> {
    let plain = steps.act("the daemon without faults aside", Plain::aside)?;
    let mut beacond = cargo(BUILD);
    beacond.args(["beacond", "--features", "beacond/torture"]);
    let is_built = steps.run("beacond with faults", &mut beacond);
    steps.act("both daemons in their places", || plain.back()).filter(|_| is_built)
}

/// The daemon without faults, out of the way of the one with faults: cargo puts both in one place.
struct Plain {
    place: PathBuf,
    aside: PathBuf,
    was_there: bool,
}

impl Plain {
    fn aside() -> anyhow::Result<Self> {
        let place = target().join("debug/beacond");
        let aside = target().join("debug/beacond-without-faults");
        let was_there = place.is_file();
        if was_there {
            fs::rename(&place, &aside)?;
        }
        Ok(Self { place, aside, was_there })
    }

    /// Puts it back, and returns where the other one is now.
    fn back(self) -> anyhow::Result<PathBuf> {
        let directory = target().join("torture");
        fs::create_dir_all(&directory)?;
        let tortured = directory.join("beacond");
        if self.place.is_file() {
            // A copy, since the next build would write into this file; and renamed, since another torture may run it.
            let copy = directory.join(format!("beacond-{}", std::process::id()));
            fs::copy(&self.place, &copy).context("the daemon with faults")?;
            fs::rename(copy, &tortured)?;
            fs::remove_file(&self.place)?;
        }
        if self.was_there {
            fs::rename(&self.aside, &self.place)?;
        }
        Ok(tortured)
    }
}
