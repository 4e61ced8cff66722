//! The whole daemon on PostgreSQL, Redis and DynamoDB, beside the same without DynamoDB and on the embedded store: how
//! much is acknowledged and stored a second, and whose processor time it takes.
//!
//! The programs are the built binaries and engines of its own, all on the same cores. Closed loop: the next frame leaves
//! when an answer comes. Each round has a database and a DynamoDB of its own; each line is the round of median rate.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark stops at what it does not expect, and prints its table"
)]

#[path = "ingest/tracks.rs"]
mod tracks;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use beacon_stack::processor::{Usage, of_children, of_process, of_tree};
use beacon_stack::{DynamoDb, DynamoDbEngine, Postgres, Redis, postgres_binaries};
use serde_json::Value;

use tracks::{SETS, Set, beacons_csv, tracks_csv};

const ROUNDS: usize = 3;

/// What the stores can do at most, with nothing in the way that makes no identity.
const EVERY_ONE: Set = Set { name: "every one an identity", strong: 1, weak: 0, unknown: 0 };

/// Identities of a round, about: some seconds of work for the slowest store.
const IDENTITIES: usize = 60_000;

/// Sightings of a round at most.
const MAX_SIGHTINGS: usize = 900_000;

struct Way {
    name: &'static str,
    clones: usize,
    in_flight: usize,
}

const WAYS: [Way; 2] = [
    Way { name: "1 TCP connection", clones: 1, in_flight: 64 },
    Way { name: "64 TCP connections", clones: 64, in_flight: 8 },
];

/// Which stores the daemon stands on, the system of record last but one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stores {
    Embedded,
    WithoutEvents,
    Full,
}

impl Stores {
    const ALL: [Self; 3] = [Self::Embedded, Self::WithoutEvents, Self::Full];

    const fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::WithoutEvents => "PostgreSQL, Redis",
            Self::Full => "and DynamoDB",
        }
    }

    /// The command that brings them to what the daemon needs.
    const fn migration(self) -> &'static [&'static str] {
        match self {
            Self::Full => &["migrate", "--create-dynamodb"],
            Self::Embedded | Self::WithoutEvents => &["migrate"],
        }
    }

    fn toml(self, table: &str) -> String {
        // What is answered is stored: the stores are what is measured.
        let level = "[sessions]\nack_level = \"stored\"\n";
        let stores = match self {
            Self::Embedded => String::new(),
            Self::WithoutEvents => "[stores]\nrecord = \"postgres\"\ncache = \"redis\"\n".to_owned(),
            Self::Full => format!(
                "[stores]\nrecord = \"postgres\"\ncache = \"redis\"\nevents = \"dynamodb\"\n\
                 [dynamodb]\ntable = \"{table}\"\n"
            ),
        };
        format!("{level}{stores}")
    }
}

fn main() {
    // Tests of all targets start benchmarks without this; there is nothing to test here.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut bench = Bench::start(directory.path());
    println!(
        "{:<23} {:<19} {:<18} {:>12} {:>13} {:>9} | {:>6} {:>8} {:>8} {:>6} {:>8} {:>6} | {:>22} {:>22}",
        "set",
        "way",
        "stores",
        "sightings/s",
        "identities/s",
        "p99 ack",
        "daemon",
        "sender",
        "postgres",
        "redis",
        "dynamodb",
        "of all",
        "record queue, write",
        "events queue, write"
    );
    for set in SETS.iter().chain([&EVERY_ONE]) {
        for way in &WAYS {
            let sightings = (IDENTITIES * (set.strong + set.weak + set.unknown)).min(MAX_SIGHTINGS);
            fs::write(&bench.tracks, tracks_csv(set, sightings / way.clones))
                .expect("the tracks can be written");
            for stores in Stores::ALL {
                let mut rounds: Vec<Round> = (0..ROUNDS).map(|_| bench.round(way, stores)).collect();
                rounds.sort_by(|a, b| a.sightings_per_second.total_cmp(&b.sightings_per_second));
                rounds[ROUNDS / 2].print(set, way, stores);
            }
        }
    }
}

/// Engines, and the files that every round uses.
struct Bench {
    postgres: Postgres,
    redis: Redis,
    /// Anew in each round: this engine slows down with what it holds in memory.
    dynamodb: DynamoDb,
    engine: DynamoDbEngine,
    directory: PathBuf,
    beacons: PathBuf,
    tracks: PathBuf,
    rounds: usize,
}

impl Bench {
    fn start(directory: &Path) -> Self {
        let engine = DynamoDbEngine::dynoxide().expect("an engine: run it by cargo xtask bench");
        let beacons = directory.join("beacons.csv");
        fs::write(&beacons, beacons_csv()).expect("the beacons can be written");
        Self {
            postgres: Postgres::start(&directory.join("postgres")).expect("PostgreSQL starts"),
            redis: Redis::start(&directory.join("redis")).expect("Redis starts"),
            dynamodb: DynamoDb::start(&directory.join("dynamodb"), &engine).expect("DynamoDB starts"),
            engine,
            directory: directory.to_owned(),
            beacons,
            tracks: directory.join("tracks.csv"),
            rounds: 0,
        }
    }

    fn round(&mut self, way: &Way, stores: Stores) -> Round {
        self.rounds += 1;
        let name = format!("round_{}", self.rounds);
        let directory = self.directory.join(format!("dynamodb_{}", self.rounds));
        self.dynamodb = DynamoDb::start(&directory, &self.engine).expect("DynamoDB starts");
        let home = tempfile::tempdir_in(&self.directory).expect("a temporary directory");
        let config = home.path().join("beacond.toml");
        fs::write(&config, stores.toml(&name)).expect("the configuration can be written");
        let beacond =
            Beacond { home: home.path(), config: &config, database: self.database_url(&name), bench: self };
        if stores != Stores::Embedded {
            self.psql(&format!("CREATE DATABASE {name}"));
            beacond.run(stores.migration());
        }
        beacond.run(&["beacon", "import", self.beacons.to_str().expect("a path of UTF-8")]);
        let daemon = beacond.serve();
        let before = self.usage(&daemon);
        let report = self.replay(way, &daemon, home.path());
        let after = self.usage(&daemon);
        let stages = daemon.stages();
        drop(daemon);
        if stores != Stores::Embedded {
            self.psql(&format!("DROP DATABASE {name} WITH (FORCE)"));
        }
        let seconds = report["seconds"].as_f64().expect("seconds");
        Round {
            sightings_per_second: report["acked"].as_f64().expect("acked") / seconds,
            identities_per_second: report["outcomes"]["identified"].as_f64().expect("identified") / seconds,
            ack_p99_ms: report["ack_us"]["p99"].as_f64().expect("p99") / 1_000.0,
            seconds,
            used: [0, 1, 2, 3, 4].map(|process| after[process].since(before[process])),
            stages,
        }
    }

    /// Sends the tracks, and returns what the load tester reports.
    fn replay(&self, way: &Way, daemon: &Daemon, home: &Path) -> Value {
        let report = home.join("report.json");
        run(Command::new(binary("loadtest"))
            .arg("replay")
            .arg(&self.tracks)
            .args(["--target", &format!("tcp://{}", daemon.address("tcp"))])
            .args(["--clones", &way.clones.to_string(), "--in-flight", &way.in_flight.to_string()])
            .args(["--rebase-to", &now_us().to_string()])
            .arg("--json")
            .arg(&report));
        serde_json::from_slice(&fs::read(&report).expect("a report")).expect("JSON")
    }

    /// Of the daemon, its sender, and the engines.
    fn usage(&self, daemon: &Daemon) -> [Usage; 5] {
        [
            of_process(daemon.child.id()),
            of_children(),
            of_tree(self.postgres.pid().expect("PostgreSQL runs")),
            of_process(self.redis.pid().expect("Redis runs")),
            of_process(self.dynamodb.pid().expect("DynamoDB runs")),
        ]
    }

    fn database_url(&self, database: &str) -> String {
        let url = self.postgres.url();
        let (server, _) = url.rsplit_once('/').expect("a URL with a database");
        format!("{server}/{database}")
    }

    fn psql(&self, sql: &str) {
        let psql = postgres_binaries().expect("PostgreSQL's programs").join("psql");
        run(Command::new(psql).args(["-X", "-q", "-d", &self.postgres.url(), "-c", sql]));
    }
}

struct Round {
    sightings_per_second: f64,
    identities_per_second: f64,
    ack_p99_ms: f64,
    seconds: f64,
    /// Processor time of the daemon, its sender, PostgreSQL, Redis and DynamoDB.
    used: [f64; 5],
    stages: Value,
}

impl Round {
    fn print(&self, set: &Set, way: &Way, stores: Stores) {
        let cores = std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64);
        let busy = self.used.iter().sum::<f64>() / (self.seconds * cores);
        let [daemon, sender, postgres, redis, dynamodb] = self.used;
        let p50_ms = |stage: &str| self.stages[stage]["p50_us"].as_f64().unwrap_or_default() / 1_000.0;
        let pair = |queue, write| format!("{:.1}, {:.1} ms", p50_ms(queue), p50_ms(write));
        println!(
            "{:<23} {:<19} {:<18} {:>12.0} {:>13.0} {:>6.1} ms | {daemon:>4.1} s {sender:>6.1} s {postgres:>6.1} s \
             {redis:>4.1} s {dynamodb:>6.1} s {:>5.0}% | {:>22} {:>22}",
            set.name,
            way.name,
            stores.name(),
            self.sightings_per_second,
            self.identities_per_second,
            self.ack_p99_ms,
            busy * 100.0,
            pair("record_queue", "record_write"),
            pair("events_queue", "events_write"),
        );
    }
}

/// The built daemon on one configuration.
struct Beacond<'a> {
    home: &'a Path,
    config: &'a Path,
    database: String,
    bench: &'a Bench,
}

impl Beacond<'_> {
    fn command(&self, command: &[&str]) -> Command {
        let mut beacond = Command::new(binary("beacond"));
        beacond
            .args(command)
            .arg("--config")
            .arg(self.config)
            .arg("--data-dir")
            .arg(self.home.join("data"))
            .env("BEACOND_POSTGRES_URL", &self.database)
            .env("BEACOND_REDIS_URL", self.bench.redis.url())
            .env("BEACOND_DYNAMODB_ENDPOINT", self.bench.dynamodb.endpoint())
            .stdin(Stdio::null());
        beacond
    }

    fn run(&self, command: &[&str]) {
        run(&mut self.command(command));
    }

    fn serve(&self) -> Daemon {
        let ready = self.home.join("ready.json");
        let child = self
            .command(&[
                "serve",
                "--insecure-dev",
                "--listen-tcp",
                "127.0.0.1:0",
                "--listen-udp",
                "127.0.0.1:0",
            ])
            .args(["--admin", "127.0.0.1:0"])
            .arg("--ready-file")
            .arg(&ready)
            .stderr(Stdio::null())
            .spawn()
            .expect("the daemon starts");
        while !ready.exists() {
            std::thread::yield_now();
        }
        let addresses = serde_json::from_slice(&fs::read(ready).expect("a ready file")).expect("JSON");
        Daemon { child, addresses }
    }
}

/// A daemon, killed when dropped.
struct Daemon {
    child: Child,
    addresses: Value,
}

impl Daemon {
    fn address(&self, listener: &str) -> &str {
        self.addresses[listener].as_str().expect("an address")
    }

    /// Its times by stage.
    fn stages(&self) -> Value {
        let url = format!("http://{}/api/v1/histograms", self.address("admin"));
        let mut page = ureq::get(&url).call().expect("a page");
        serde_json::from_str(&page.body_mut().read_to_string().expect("text")).expect("JSON")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).expect("the daemon ends");
    }
}

fn now_us() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(since_epoch.as_micros()).expect("a clock of this era")
}

fn run(command: &mut Command) {
    let output = command.output().expect("the command starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A built binary: benchmarks lie in `deps` below them.
fn binary(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_beacond")).with_file_name(name);
    assert!(path.exists(), "{} is missing: cargo build --workspace, in the same profile", path.display());
    path
}
