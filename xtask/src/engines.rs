//! The engines of a chore: what they need, started for it, gone with it.

use std::fs;
use std::path::{Path, PathBuf};

use beacon_stack::{Lifetime, Stack};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use crate::steps::Steps;
use crate::tools::root;
use crate::{dynamodb, interrupt, packages};

/// How the directory of a chore's engines begins; the chore's pid follows.
const OF_A_CHORE: &str = "stack-of-";

/// The programs of the engines that have to be built or fetched.
#[derive(Debug)]
pub(crate) struct Programs {
    dynoxide: PathBuf,
    /// Where Amazon's is, if it is to be had.
    dynamodb_local: Option<PathBuf>,
}

impl Programs {
    /// The file of dynoxide's program.
    pub(crate) fn dynoxide(&self) -> &Path {
        &self.dynoxide
    }

    /// Starts one of each kind.
    pub(crate) fn start(&self, directory: &Path, lifetime: Lifetime) -> anyhow::Result<Stack> {
        let stack = Stack::start(directory, &self.dynoxide, self.dynamodb_local.as_deref(), lifetime)?;
        interrupt::check()?;
        Ok(stack)
    }
}

/// Starts engines in a directory of their own, for as long as the chore keeps them, and sets the
/// variables of the steps to come. None if something failed; the steps say what.
pub(crate) fn start(steps: &mut Steps) -> Option<Stack> {
    let programs = prepare(steps)?;
    let stack = steps.act("engines", || {
        remove_leftovers()?;
        let directory = home().join(format!("{OF_A_CHORE}{}", std::process::id()));
        let stack = programs.start(&directory, Lifetime::Starter)?;
        println!("{}", listed(stack.environment()));
        Ok(stack)
    })?;
    steps.set(stack.environment());
    Some(stack)
}

/// Sees to it that every engine's program is here. None if one is not; the steps say why.
pub(crate) fn prepare(steps: &mut Steps) -> Option<Programs> {
    steps.act("PostgreSQL and Redis are here", packages::install_missing)?;
    if !steps.run("DynamoDB engine", &mut dynamodb::build()) {
        return None;
    }
    let local = dynamodb::local();
    if let Err(error) = &local {
        let instead = "what is tested on DynamoDB is tested on dynoxide alone";
        steps.skip("DynamoDB Local", format!("{error:#}; {instead}"));
    }
    Some(Programs { dynoxide: dynamodb::built(), dynamodb_local: local.ok() })
}

/// Where engines have their directories: the checkout's own, though several may share what they
/// build by `CARGO_TARGET_DIR`.
pub(crate) fn home() -> PathBuf {
    root().join("target")
}

/// The variables, one a line.
fn listed(environment: &[(String, String)]) -> String {
    let lines: Vec<String> = environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    lines.join("\n")
}

/// A chore that was killed took its engines with it, and left their directory.
fn remove_leftovers() -> anyhow::Result<()> {
    fs::create_dir_all(home())?;
    for entry in fs::read_dir(home())? {
        let entry = entry?;
        let name = entry.file_name();
        let of = name.to_str().and_then(|name| name.strip_prefix(OF_A_CHORE)?.parse().ok());
        if of.and_then(Pid::from_raw).is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH)) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}
