//! `cargo xtask rehearse`: a load test with all that belongs to it on this machine, from empty stores to the proof.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use beacon_stack::processor::{Usage, of_children, of_tree};
use beacon_stack::{DynamoDb, DynamoDbEngine, Postgres, Redis, variables};
use clap::Args;

use crate::daemon::{Daemon, program};
use crate::engines;
use crate::interrupt;
use crate::steps::Steps;
use crate::tools::{cargo, target};

const CONFIGURATION: &str = "[stores]\nrecord = \"postgres\"\ncache = \"redis\"\nevents = \"dynamodb\"\n[dynamodb]\ntable = \"CustomerEvents\"\n";

/// Anybody's first settings of a PostgreSQL that has work to do.
const POSTGRES_SETTINGS: &str = "shared_buffers = '1GB'\nmax_wal_size = '4GB'\n";

/// What is rehearsed.
#[derive(Debug, Args)]
pub(crate) struct Rehearsal {
    /// A scenario that ships with the load tester, or a TOML file
    scenario: String,
    /// So many times as many customers, stores and gateways
    #[arg(long, default_value = "1")]
    scale: String,
    /// `loadtest dynamodb-stub` in place of a DynamoDB engine, which is slower than all the rest
    #[arg(long)]
    stub: bool,
    /// The development profile's programs
    #[arg(long)]
    dev: bool,
    /// Further words for `loadtest run`; `--set`, `--seed` and `--gateways` are for `loadtest registry` too
    #[arg(last = true)]
    words: Vec<String>,
}

/// Builds the programs, starts the engines, runs, verifies, and leaves the reports in `target/rehearsals`.
///
/// # Errors
/// When something does not build or start, an objective is missed, or what is stored is wrong.
pub(crate) fn run(rehearsal: &Rehearsal) -> anyhow::Result<()> {
    let mut steps = Steps::new("rehearsal");
    let Some(programs) = engines::prepare(&mut steps) else {
        return steps.finish();
    };
    let (profile, built) = if rehearsal.dev { ("dev", "debug") } else { ("release", "release") };
    let mut build = cargo(["build", "--workspace", "--examples", "--bin", "beacond", "--bin", "loadtest"]);
    if !steps.run("beacond and loadtest", build.args(["--profile", profile])) {
        return steps.finish();
    }
    let built = target().join(built);
    let home = engines::home().join(format!("rehearsal-{}", std::process::id()));
    let stores = steps.act("engines", || Stores::start(rehearsal, &home, &built, programs.dynoxide()));
    if let Some(stores) = stores {
        let stage = Stage { rehearsal, built, home: home.clone(), stores };
        steps.act(&rehearsal.scenario, || stage.play());
    }
    if home.exists() {
        fs::remove_dir_all(&home)?;
    }
    steps.finish()
}

/// The engines, gone when this is.
struct Stores {
    environment: Vec<(String, String)>,
    postgres: Postgres,
    redis: Redis,
    events: Events,
}

enum Events {
    Engine(DynamoDb),
    Stub(Child),
}

impl Events {
    fn pid(&self) -> Option<u32> {
        match self {
            Self::Engine(engine) => engine.pid(),
            Self::Stub(stub) => Some(stub.id()),
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        if let Self::Stub(child) = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Stores {
    fn start(rehearsal: &Rehearsal, home: &Path, built: &Path, dynoxide: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(home)?;
        let mut postgres = Postgres::start(&home.join("postgres"))?;
        let settings = postgres.data_directory().join("postgresql.auto.conf");
        OpenOptions::new().append(true).open(settings)?.write_all(POSTGRES_SETTINGS.as_bytes())?;
        postgres.stop_fast()?;
        postgres.start_again()?;
        let redis = Redis::start(&home.join("redis"))?;
        let (events, endpoint) = if rehearsal.stub {
            let ready_file = home.join("stub");
            let mut stub = Command::new(built.join("loadtest"));
            stub.args(["dynamodb-stub", "--empty", "--quiet", "--listen", "127.0.0.1:0", "--ready-file"]);
            let stub = stub.arg(&ready_file).stdin(Stdio::null()).spawn()?;
            let mut events = Events::Stub(stub);
            let endpoint = endpoint_of(&mut events, &ready_file)?;
            (events, endpoint)
        } else {
            let engine = DynamoDbEngine::Dynoxide(dynoxide.to_owned());
            let engine = DynamoDb::start(&home.join("dynamodb"), &engine)?;
            let endpoint = engine.endpoint();
            (Events::Engine(engine), endpoint)
        };
        let mut environment: Vec<(String, String)> =
            variables::AWS.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        environment.extend([
            (variables::POSTGRES_URL.to_owned(), postgres.url()),
            (variables::REDIS_URL.to_owned(), redis.url()),
            (variables::DYNAMODB_ENDPOINT.to_owned(), endpoint),
        ]);
        Ok(Self { environment, postgres, redis, events })
    }
}

/// What the stub writes when it can be asked.
fn endpoint_of(events: &mut Events, ready_file: &Path) -> anyhow::Result<String> {
    let Events::Stub(stub) = events else { bail!("an engine writes no file") };
    loop {
        match fs::read_to_string(ready_file) {
            Ok(endpoint) => return Ok(endpoint.trim().to_owned()),
            Err(_) => ensure!(stub.try_wait()?.is_none(), "the stub ended"),
        }
        interrupt::check()?;
        std::thread::yield_now();
    }
}

struct Stage<'r> {
    rehearsal: &'r Rehearsal,
    built: PathBuf,
    home: PathBuf,
    stores: Stores,
}

impl Stage<'_> {
    fn play(&self) -> anyhow::Result<()> {
        let (registry, configuration) = (self.home.join("registry"), self.home.join("beacond.toml"));
        fs::write(&configuration, CONFIGURATION)?;
        self.succeed(self.beacond().args(["migrate", "--create-dynamodb", "--config"]).arg(&configuration))?;
        self.succeed(self.loadtest("registry").args(self.scenario()?).arg("--into").arg(&registry))?;
        for kind in ["beacon", "gateway"] {
            let file = registry.join(format!("{kind}s.csv"));
            self.succeed(self.beacond().args([kind, "import", "--config"]).arg(&configuration).arg(file))?;
        }
        let mut serve = self.beacond();
        serve.args(["serve", "--config"]).arg(&configuration);
        let daemon = Daemon::start(&mut serve, &self.home.join("data"))?;
        let results = self.results()?;
        let admin = daemon.admin()?;
        let target = daemon.tcp()?;
        let (before, began) = (self.usage(&daemon), Instant::now());
        let run = self.ended(
            self.loadtest("run")
                .args(["--scenario", &self.rehearsal.scenario, "--scale", &self.rehearsal.scale])
                .args(["--target", &target, "--admin", &admin, "--dynamodb-table", "CustomerEvents", "--out"])
                .arg(&results)
                .args(&self.rehearsal.words),
        )?;
        let (after, lasted) = (self.usage(&daemon), began.elapsed());
        for ((part, before), (_, after)) in before.iter().zip(&after) {
            let seconds = after.since(*before);
            println!(
                "{part:<12} {seconds:>8.1} s of processor time, {:.2} cores",
                seconds / lasted.as_secs_f64()
            );
        }
        let verify = self.ended(
            self.loadtest("verify")
                .arg(&results)
                .args(["--dynamodb-table", "CustomerEvents", "--admin", &admin, "--wait", "600s", "--json"])
                .arg(results.join("verified.json")),
        )?;
        daemon.stop()?;
        println!(
            "run ended with {run}, verify with {verify}; the report: {}",
            results.join("report.html").display()
        );
        ensure!(run == 0 && verify == 0, "run ended with {run}, verify with {verify}");
        Ok(())
    }

    /// Processor time of all parts, the load tester's among them.
    fn usage(&self, daemon: &Daemon) -> [(&'static str, Usage); 5] {
        let of = |pid: Option<u32>| of_tree(pid.unwrap_or_default());
        let Stores { postgres, redis, events, .. } = &self.stores;
        [
            ("load tester", of_children()),
            ("beacond", of_tree(daemon.pid())),
            ("PostgreSQL", of(postgres.pid())),
            ("Redis", of(redis.pid())),
            ("DynamoDB", of(events.pid())),
        ]
    }

    /// What makes the population, of all the words.
    fn scenario(&self) -> anyhow::Result<Vec<&str>> {
        let mut words = vec!["--scenario", &self.rehearsal.scenario, "--scale", &self.rehearsal.scale];
        let mut given = self.rehearsal.words.iter();
        while let Some(word) = given.next() {
            let name = word.split('=').next().unwrap_or(word);
            if !["--set", "--seed", "--gateways"].contains(&name) {
                continue;
            }
            words.push(word);
            if name == word {
                words.push(given.next().context("a word without its value")?);
            }
        }
        Ok(words)
    }

    /// An empty directory for what the run leaves.
    fn results(&self) -> anyhow::Result<PathBuf> {
        let scenario = Path::new(&self.rehearsal.scenario).file_stem().context("the scenario has no name")?;
        let stores = if self.rehearsal.stub { "stub" } else { "engines" };
        let name = format!("{}-{}-{stores}", scenario.display(), self.rehearsal.scale);
        let results = target().join("rehearsals").join(name);
        if results.exists() {
            fs::remove_dir_all(&results)?;
        }
        fs::create_dir_all(results.parent().context("a path has a parent")?)?;
        Ok(results)
    }

    fn beacond(&self) -> Command {
        self.program("beacond")
    }

    fn loadtest(&self, word: &str) -> Command {
        let mut command = self.program("loadtest");
        command.arg(word);
        command
    }

    fn program(&self, name: &str) -> Command {
        let mut command = program(self.built.join(name));
        let variables = self.stores.environment.iter().map(|(name, value)| (name, value));
        command.envs(variables).stdin(Stdio::null());
        command
    }

    fn succeed(&self, command: &mut Command) -> anyhow::Result<()> {
        let code = self.ended(command)?;
        ensure!(code == 0, "{} ended with {code}", command.get_program().display());
        Ok(())
    }

    /// Its exit code.
    #[expect(clippy::unused_self, reason = "reads like the others")]
    fn ended(&self, command: &mut Command) -> anyhow::Result<i32> {
        let status = interrupt::status(command)?.context("interrupted")?;
        status.code().with_context(|| format!("ended by {status}"))
    }
}
