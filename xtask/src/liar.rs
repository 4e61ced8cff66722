//! `cargo xtask liar`: a daemon that acks and drops one identity in 100,000, and the load tester that must find it by name.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::daemon::{Daemon, program};
use crate::interrupt;
use crate::steps::Steps;
use crate::tools::{cargo, target};
use crate::torture;

/// Each customer comes once and is identified: enough that a drop in 100,000 is missed by one run in twenty thousand.
const SCENARIO: [&str; 6] = [
    "population.customers=1_000_000",
    "population.stores=10_000",
    "population.gateways=64",
    "load.duration=60s",
    "load.warm_up=5s",
    "sessions.report_every=250ms",
];

/// Builds both daemons and the load tester, and shows that `verify` believes the one and not the other.
///
/// # Errors
/// When something does not build, the liar is believed, or the honest one is not.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut steps = Steps::new("liar");
    let (honest, loadtest) = (target().join("debug/beacond"), target().join("debug/loadtest"));
    let Some(liar) = torture::daemon_with_faults(&mut steps) else {
        return steps.finish();
    };
    let shared = ["build", "--workspace", "--examples", "--bin", "beacond", "--bin", "loadtest"];
    if !steps.run("beacond and loadtest", &mut cargo(shared)) {
        return steps.finish();
    }
    let home = target().join("liar");
    for (name, beacond, mutant, expected) in
        [("honest", honest, "", 0), ("drops one in 100,000", liar, "drop-one-in-100000", 1)]
    {
        steps.act(name, || {
            if home.exists() {
                fs::remove_dir_all(&home)?;
            }
            fs::create_dir_all(&home)?;
            let trial = Trial { beacond, loadtest: loadtest.clone(), home: home.clone() };
            trial.run(mutant, expected)
        });
    }
    if home.exists() {
        fs::remove_dir_all(&home)?;
    }
    steps.finish()
}

/// One daemon on a new embedded store, one run, one verification.
struct Trial {
    beacond: PathBuf,
    loadtest: PathBuf,
    home: PathBuf,
}

impl Trial {
    fn run(&self, mutant: &str, expected: i32) -> anyhow::Result<()> {
        interrupt::check()?;
        let (registry, data, results) =
            (self.home.join("registry"), self.home.join("data"), self.home.join("run"));
        succeed(self.loadtest("registry").arg("--into").arg(&registry))?;
        let beacons = registry.join("beacons.csv");
        succeed(program(&self.beacond).args(["beacon", "import"]).arg(beacons).arg("--data-dir").arg(&data))?;
        let mut serve = program(&self.beacond);
        let daemon = Daemon::start(serve.arg("serve").env("BEACOND_MUTANT", mutant), &data)?;
        let store = data.join("beacond.sqlite3");
        succeed(
            self.loadtest("run")
                .args(["--target", &daemon.tcp()?])
                // What counts is whether the proof is right: this machine may be too slow for the times.
                .args(["--slo", "lost==0", "--slo", "wrong==0", "--set", "verdict.lag_share=1.0", "--quiet"])
                .arg("--out")
                .arg(&results),
        )?;
        let mut verify = program(&self.loadtest);
        verify.arg("verify").arg(&results).arg("--sqlite").arg(store);
        // It waits until nothing waits for the store.
        let verified = verify.args(["--wait", "180s", "--admin", &daemon.admin()?]).output()?;
        daemon.stop()?;
        let said = String::from_utf8_lossy(&verified.stdout);
        println!("{said}{}", String::from_utf8_lossy(&verified.stderr));
        ensure!(verified.status.code() == Some(expected), "verify ended with {}", verified.status);
        ensure!(expected == 0 || said.contains("gateway"), "what is missing is not named");
        Ok(())
    }

    fn loadtest(&self, word: &str) -> Command {
        let mut command = program(&self.loadtest);
        command.args([word, "--scenario", "ten-million-census"]);
        command.args(SCENARIO.iter().flat_map(|setting| ["--set", setting]));
        command
    }
}

fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let status = interrupt::status(command.stdin(Stdio::null()))?.context("interrupted")?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}
