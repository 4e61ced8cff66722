//! `cargo xtask liar`: a daemon that acks and drops one identity in 100,000, and the load tester that must find it by name.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

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
        let (registry, data, results) =
            (self.home.join("registry"), self.home.join("data"), self.home.join("run"));
        succeed(self.loadtest("registry").arg("--into").arg(&registry))?;
        let beacons = registry.join("beacons.csv");
        succeed(
            Command::new(&self.beacond).args(["beacon", "import"]).arg(beacons).arg("--data-dir").arg(&data),
        )?;
        let daemon = Daemon::start(&self.beacond, &data, &self.home, mutant)?;
        let store = data.join("beacond.sqlite3");
        succeed(
            self.loadtest("run")
                .args(["--target", &format!("tcp://{}", daemon.address("tcp")?)])
                // What counts is whether the proof is right: this machine may be too slow for the times.
                .args(["--slo", "lost==0", "--slo", "wrong==0", "--set", "verdict.lag_share=1.0", "--quiet"])
                .arg("--out")
                .arg(&results),
        )?;
        let mut verify = Command::new(&self.loadtest);
        verify.arg("verify").arg(&results).arg("--sqlite").arg(store);
        // It waits until nothing waits for the store.
        let admin = format!("http://{}", daemon.address("admin")?);
        let verified = verify.args(["--wait", "180s", "--admin", &admin]).output()?;
        daemon.stop()?;
        let said = String::from_utf8_lossy(&verified.stdout);
        println!("{said}{}", String::from_utf8_lossy(&verified.stderr));
        ensure!(verified.status.code() == Some(expected), "verify ended with {}", verified.status);
        ensure!(expected == 0 || said.contains("gateway"), "what is missing is not named");
        Ok(())
    }

    fn loadtest(&self, word: &str) -> Command {
        let mut command = Command::new(&self.loadtest);
        command.args([word, "--scenario", "ten-million-census"]);
        command.args(SCENARIO.iter().flat_map(|setting| ["--set", setting]));
        command
    }
}

fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let status = command.stdin(Stdio::null()).status()?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}

/// A daemon whose words go to the terminal.
struct Daemon {
    child: Child,
    words: JoinHandle<()>,
    ready: String,
}

impl Daemon {
    fn start(beacond: &Path, data: &Path, home: &Path, mutant: &str) -> anyhow::Result<Self> {
        let ready_file = home.join("ready.json");
        let any = "127.0.0.1:0";
        let mut child = Command::new(beacond)
            .args(["serve", "--insecure-dev", "--listen-tcp", any, "--listen-udp", any, "--admin", any])
            .arg("--data-dir")
            .arg(data)
            .arg("--ready-file")
            .arg(&ready_file)
            .env("BEACOND_MUTANT", mutant)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stderr.take().context("its words")?).lines();
        // It says that it accepts when the file is there.
        while !ready_file.exists() {
            match lines.next() {
                Some(line) => println!("{}", line?),
                None => bail!("the daemon ended: {}", child.wait()?),
            }
        }
        let words =
            std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| println!("{line}")));
        Ok(Self { child, words, ready: fs::read_to_string(ready_file)? })
    }

    /// An address of the ready file, which is one flat object of texts.
    fn address(&self, name: &str) -> anyhow::Result<&str> {
        let mut words = self.ready.split('"').skip_while(|word| *word != name);
        words.nth(2).with_context(|| format!("no {name} in {}", self.ready))
    }

    fn stop(mut self) -> anyhow::Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?).context("a process has a number")?;
        kill_process(pid, Signal::TERM)?;
        let status = self.child.wait()?;
        // Ends with the daemon.
        let _ = self.words.join();
        ensure!(status.success(), "the daemon ended with {status}");
        Ok(())
    }
}
