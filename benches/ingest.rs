//! The whole daemon on the embedded store, its load tester sending to it on the same cores: sightings acknowledged a
//! second, after their sync into the journal, over one TCP connection, over 64, and over UDP; and how long acks take at
//! half and at nine tenths of that, in an open loop.
//!
//! Both programs are the built binaries. Each figure is the median of its rounds, each round into a new store.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark stops at what it does not expect, and prints its table"
)]

#[path = "../tests/model/mod.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "the tests' own: only the generated set is used here"
)]
mod model;
#[path = "ingest/tracks.rs"]
mod tracks;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use tracks::{SETS, beacons_csv, tracks_csv};

const ROUNDS: usize = 5;

struct Way {
    name: &'static str,
    scheme: &'static str,
    clones: usize,
    in_flight: usize,
    sightings: usize,
}

const WAYS: [Way; 3] = [
    Way { name: "1 TCP connection", scheme: "tcp", clones: 1, in_flight: 64, sightings: 900_000 },
    Way { name: "64 TCP connections", scheme: "tcp", clones: 64, in_flight: 8, sightings: 18_000 },
    Way { name: "64 UDP sessions", scheme: "udp", clones: 64, in_flight: 8, sightings: 18_000 },
];

fn main() {
    // Tests of all targets start benchmarks without this; there is nothing to test here.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let beacons = directory.path().join("beacons.csv");
    fs::write(&beacons, beacons_csv()).expect("the beacons can be written");
    println!("{:<24} {:<20} {:>14} {:>14} {:>10}", "set", "way", "sightings/s", "identities/s", "p99 ack");
    let tracks = directory.path().join("tracks.csv");
    generated_set(directory.path(), &tracks);
    let mut highest = Vec::new();
    for set in &SETS {
        for way in &WAYS {
            fs::write(&tracks, tracks_csv(set, way.sightings)).expect("the tracks can be written");
            highest.push((set, way, print_median(set.name, way, &beacons, &tracks)));
        }
    }
    println!();
    println!(
        "{:<24} {:<20} {:>6} {:>12} {:>12} {:>12} {:>12}",
        "open loop", "way", "rate", "sightings/s", "p50 ack", "p99 ack", "p99.9 ack"
    );
    for (set, way, highest) in highest.iter().filter(|(_, way, _)| way.clones > 1) {
        fs::write(&tracks, tracks_csv(set, way.sightings)).expect("the tracks can be written");
        for part in [0.5, 0.9] {
            let rate = highest * part;
            let mut rounds: Vec<Round> =
                (0..ROUNDS).map(|_| round(&beacons, &tracks, way, Some(rate))).collect();
            rounds.sort_by(|a, b| a.ack_ms[1].total_cmp(&b.ack_ms[1]));
            let [p50, p99, p999] = rounds[ROUNDS / 2].ack_ms;
            let (name, percent) = (way.name, part * 100.0);
            println!(
                "{:<24} {name:<20} {percent:>5.0}% {rate:>12.0} {p50:>9.1} ms {p99:>9.1} ms {p999:>9.1} ms",
                set.name
            );
        }
    }
}

/// The set that the tests compare with the model: every outcome, up to four minutes out of order, late ones too.
fn generated_set(directory: &Path, tracks: &Path) {
    // Not cloned: some of its ids are as long as may be already.
    const WAYS: [Way; 2] = [
        Way { name: "1 TCP connection", scheme: "tcp", clones: 1, in_flight: 64, sightings: 0 },
        Way { name: "1 UDP session", scheme: "udp", clones: 1, in_flight: 64, sightings: 0 },
    ];
    let set = model::generated::generated(now_us(), 1);
    let beacons = directory.join("generated-beacons.csv");
    model::tracks::write_beacons(&beacons, &set.beacons);
    model::tracks::write_sightings(tracks, &set.sightings);
    for way in &WAYS {
        print_median("the tests' generated set", way, &beacons, tracks);
    }
}

/// Answers the sightings acknowledged a second.
fn print_median(set: &str, way: &Way, beacons: &Path, tracks: &Path) -> f64 {
    let mut rounds: Vec<Round> = (0..ROUNDS).map(|_| round(beacons, tracks, way, None)).collect();
    rounds.sort_by(|a, b| a.sightings_per_second.total_cmp(&b.sightings_per_second));
    let median = &rounds[ROUNDS / 2];
    println!(
        "{set:<24} {:<20} {:>14.0} {:>14.0} {:>7.1} ms",
        way.name, median.sightings_per_second, median.identities_per_second, median.ack_ms[1]
    );
    median.sightings_per_second
}

fn now_us() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(since_epoch.as_micros()).expect("a clock of this era")
}

struct Round {
    sightings_per_second: f64,
    identities_per_second: f64,
    /// The 50th, the 99th and the 99.9th percentile.
    ack_ms: [f64; 3],
}

/// One replay, as fast as it is answered or at a rate of sightings a second.
fn round(beacons: &Path, tracks: &Path, way: &Way, rate: Option<f64>) -> Round {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data = directory.path().join("data");
    run(Command::new(binary("beacond")).args(["beacon", "import"]).arg(beacons).arg("--data-dir").arg(&data));
    let daemon = Daemon::start(&data, directory.path());
    let report = directory.path().join("report.json");
    let now_us = now_us();
    run(Command::new(binary("loadtest"))
        .arg("replay")
        .arg(tracks)
        .args(["--target", &format!("{}://{}", way.scheme, daemon.address(way.scheme))])
        .args(["--clones", &way.clones.to_string(), "--in-flight", &way.in_flight.to_string()])
        .args(["--rebase-to", &now_us.to_string()])
        .args(rate.map(|rate| format!("--rate={rate:.0}")))
        .arg("--json")
        .arg(&report));
    let report: serde_json::Value =
        serde_json::from_slice(&fs::read(&report).expect("a report")).expect("JSON");
    let seconds = report["seconds"].as_f64().expect("seconds");
    Round {
        sightings_per_second: report["acked"].as_f64().expect("acked") / seconds,
        identities_per_second: report["outcomes"]["identified"].as_f64().expect("identified") / seconds,
        ack_ms: ["p50", "p99", "p999"]
            .map(|name| report["ack_us"][name].as_f64().expect("a percentile") / 1_000.0),
    }
}

/// A daemon on a data directory, killed when dropped.
struct Daemon {
    child: Child,
    addresses: serde_json::Value,
}

impl Daemon {
    fn start(data: &Path, directory: &Path) -> Self {
        let ready = directory.join("ready.json");
        let child = Command::new(binary("beacond"))
            .args(["serve", "--insecure-dev", "--listen-tcp", "127.0.0.1:0", "--listen-udp", "127.0.0.1:0"])
            .args(["--admin", "127.0.0.1:0", "--data-dir"])
            .arg(data)
            .arg("--ready-file")
            .arg(&ready)
            .stderr(Stdio::null())
            .spawn()
            .expect("the daemon starts");
        while !ready.exists() {
            std::thread::yield_now();
        }
        let addresses = serde_json::from_slice(&fs::read(ready).expect("a ready file")).expect("JSON");
        Self { child, addresses }
    }

    fn address(&self, scheme: &str) -> &str {
        self.addresses[scheme].as_str().expect("an address")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).expect("the daemon ends");
    }
}

fn run(command: &mut Command) {
    let output = command.output().expect("the command starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A built binary: benchmarks lie in `deps` below them.
fn binary(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_beacond")).with_file_name(name);
    assert!(path.exists(), "{} is missing: cargo build --workspace, in the same profile", path.display());
    path
}
