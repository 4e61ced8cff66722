//! The built load tester against daemons that behave as a test says: counts, times and verdicts.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests: what is unexpected should stop right there"
)]

#[path = "../harness/beacond.rs"]
mod beacond;
mod daemon;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use self::beacond::Beacond;
use self::daemon::{Daemon, Script};

/// Twenty gateways, 1,000 sightings a second in 200 frames, all of them eligible.
const SMALL: [&str; 15] = [
    "population.customers=20000",
    "population.stores=40",
    "population.gateways=20",
    "sessions.report_every=100ms",
    "shares.low_confidence=0",
    "shares.unknown_beacon=0",
    "shares.beacon_mismatch=0",
    "shares.beacon_inactive=0",
    "shares.too_old=0",
    "shares.clock_skew=0",
    "shares.invalid=0",
    "population.curve=flat",
    "load.warm_up=1s",
    "load.drain=5s",
    "sample.stored_per_second=0",
];

fn loadtest(target: &str, directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command.args(["run", "--scenario", "smoke", "--target", target, "--out"]).arg(directory);
    for setting in SMALL {
        command.args(["--set", setting]);
    }
    command.args(["--rate", "1000"]).args(arguments).stdin(Stdio::null());
    for variable in ["BEACOND_POSTGRES_URL", "BEACOND_REDIS_URL"] {
        command.env_remove(variable);
    }
    command
}

fn run(target: &str, directory: &Path, arguments: &[&str]) -> Output {
    loadtest(target, directory, arguments).output().unwrap()
}

fn report(directory: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(directory.join("report.json")).unwrap()).unwrap()
}

fn number(report: &Value, path: &str) -> u64 {
    report.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path} in {report}"))
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn every_sighting_that_was_sent_is_accounted_for() {
    let daemon = Daemon::serve(Script { undecided_frames: 5, ..Script::default() });
    let directory = tempfile::tempdir().unwrap();
    let slo = ["--duration", "4s", "--slo", "lost==0", "--slo", "wrong==0", "--slo", "undecided<1%"];
    let output = run(&daemon.target(), directory.path(), &slo);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let report = report(directory.path());
    let counts = |name: &str| number(&report, &format!("/counts/{name}"));
    assert_eq!(counts("sent"), counts("acked"));
    assert_eq!((counts("lost"), counts("undecided_left"), counts("undecided")), (0, 0, 5));
    // The undecided ones came twice.
    assert_eq!(daemon.sightings(), counts("sent") + 5);
    assert!((3_000..5_000).contains(&counts("sent")), "{}", counts("sent"));
    let points = report["series"]["points"].as_array().unwrap();
    assert_eq!(points.iter().map(|point| point["sent"].as_u64().unwrap()).sum::<u64>(), counts("sent"));
    for file in ["report.html", "report.md", "percentiles.txt", "intervals.hlog", "evidence"] {
        assert!(directory.path().join(file).exists(), "{file}");
    }
}

#[test]
fn a_stall_of_the_target_is_in_the_corrected_times_and_the_generator_is_not_late() {
    let stall = (Duration::from_secs(3), Duration::from_millis(1_400));
    let daemon = Daemon::serve(Script { stall: Some(stall), ..Script::default() });
    let directory = tempfile::tempdir().unwrap();
    // One frame in flight: what a client sees that waits for each answer before it sends the next.
    let arguments = ["--duration", "10s", "--slo", "ack.p99<100ms", "--set", "sessions.in_flight=1"];
    let output = run(&daemon.target(), directory.path(), &arguments);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let report = report(directory.path());
    let at = |metric: &str, quantile: &str| number(&report, &format!("/latencies/{metric}/{quantile}"));
    // 20 of 1,700 frames waited for the stall itself, and one in seven for the schedule to be caught up with.
    assert!(at("ack", "p99") > 1_000_000, "{report}");
    assert!(at("ack", "p90") > 300_000, "{report}");
    assert!(at("ack_uncorrected", "p90") < 50_000, "{report}");
    assert!(at("lag", "p99") < 100_000, "{report}");
    assert_eq!(number(&report, "/counts/lost"), 0);
}

#[test]
fn a_daemon_that_is_stopped_for_a_moment_is_in_the_corrected_times_and_hidden_by_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let (registry, results) = (directory.path().join("registry"), directory.path().join("run"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command.args(["registry", "--scenario", "smoke", "--into"]).arg(&registry);
    let written = command.args(SMALL.iter().flat_map(|setting| ["--set", setting])).output().unwrap();
    assert!(written.status.success(), "{}", text(&written));
    let beacond = Beacond::start(&registry.join("beacons.csv"));
    // Twenty frames, one a gateway, wait for the stop itself: fewer than one in a hundred.
    let often = ["--set", "sessions.report_every=50ms", "--set", "sessions.in_flight=1"];
    let mut child =
        loadtest(&beacond.target("tcp"), &results, &[&["--duration", "10s"], &often[..]].concat())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.trim_start().starts_with("5/10 s")), "no word at half time");
    beacond.signal(Signal::STOP);
    std::thread::park_timeout(Duration::from_millis(1_400));
    beacond.signal(Signal::CONT);
    let said: Vec<String> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{said:#?}");
    let report = report(&results);
    let p99 = |metric: &str| number(&report, &format!("/latencies/{metric}/p99"));
    assert!(p99("ack") > 1_000_000, "{said:#?}");
    assert!(p99("ack_uncorrected") < 300_000, "{said:#?}");
    assert!(p99("lag") < 100_000, "{said:#?}");
    assert_eq!((number(&report, "/counts/lost"), number(&report, "/counts/wrong")), (0, 0));
    let page = std::fs::read_to_string(results.join("report.md")).unwrap();
    assert!(page.contains("| ack (corrected) |") && page.contains("| ack (uncorrected) |"), "{page}");
    let home = beacond.stop();
    let mut verify = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    verify.arg("verify").arg(&results).arg("--sqlite").arg(home.path().join("data/beacond.sqlite3"));
    let verified = verify.env_remove("BEACOND_POSTGRES_URL").output().unwrap();
    assert_eq!(verified.status.code(), Some(0), "{}", text(&verified));
}

#[test]
fn a_generator_that_got_no_processor_proves_nothing() {
    let daemon = Daemon::serve(Script::default());
    let directory = tempfile::tempdir().unwrap();
    let child = loadtest(&daemon.target(), directory.path(), &["--duration", "6s"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until(|| daemon.sightings() > 1_500);
    signal(&child, Signal::STOP);
    std::thread::park_timeout(Duration::from_millis(1_500));
    signal(&child, Signal::CONT);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    let report = report(directory.path());
    assert_eq!(report["verdict"]["kind"], "invalid");
    let because = report["verdict"]["invalid_because"].to_string();
    assert!(because.contains("the generator made"), "{because}");
}

#[test]
fn what_has_no_answer_is_lost_and_what_was_never_taken_too() {
    let daemon = Daemon::serve(Script { silent_after: Some(100), ..Script::default() });
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["--duration", "3s", "--set", "load.drain=1s", "--set", "sessions.in_flight=4"];
    let output = run(&daemon.target(), directory.path(), &arguments);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let report = report(directory.path());
    let counts = |name: &str| number(&report, &format!("/counts/{name}"));
    assert_eq!(counts("sent"), counts("acked") + counts("lost"));
    assert!(counts("lost") > 1_500, "{report}");
    // Far fewer than were due ever left.
    assert!(daemon.sightings() < counts("sent") / 2, "{} of {}", daemon.sightings(), counts("sent"));
}

#[test]
fn a_wrong_answer_is_named_and_fails() {
    let daemon = Daemon::serve(Script { one_wrong: true, ..Script::default() });
    let directory = tempfile::tempdir().unwrap();
    let output = run(&daemon.target(), directory.path(), &["--duration", "2s"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let report = report(directory.path());
    assert_eq!(number(&report, "/counts/wrong"), 1);
    let example = report["counts"]["wrong_examples"][0].as_str().unwrap();
    assert!(example.contains("sighting 0: identified, but answered invalid"), "{example}");
}

#[test]
fn an_objective_that_fails_ends_the_run_if_that_is_wanted() {
    let daemon = Daemon::serve(Script::default());
    let directory = tempfile::tempdir().unwrap();
    let begins = Instant::now();
    let arguments = ["--duration", "60s", "--abort-on-fail", "--slo", "ack.p50<1us"];
    let output = run(&daemon.target(), directory.path(), &arguments);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(begins.elapsed() < Duration::from_secs(40));
    assert!(text(&output).contains("ended early"), "{}", text(&output));
}

#[test]
fn somebody_who_interrupts_gets_a_report_all_the_same() {
    let daemon = Daemon::serve(Script::default());
    let directory = tempfile::tempdir().unwrap();
    let child = loadtest(&daemon.target(), directory.path(), &["--duration", "60s"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until(|| daemon.sightings() > 2_000);
    signal(&child, Signal::INT);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output));
    let report = report(directory.path());
    assert_eq!(report["verdict"]["kind"], "invalid");
    assert_eq!(number(&report, "/counts/sent"), number(&report, "/counts/acked"));
}

#[test]
fn gateways_that_were_offline_send_what_they_heard_when_they_return() {
    let daemon = Daemon::serve(Script::default());
    let directory = tempfile::tempdir().unwrap();
    let arguments = [
        "--duration",
        "5s",
        "--set",
        "offline.gateways=0.5",
        "--set",
        "offline.lasts=10s",
        "--set",
        "offline.returns_after=2s",
    ];
    let output = run(&daemon.target(), directory.path(), &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let report = report(directory.path());
    // 500/s of the half that stayed, and of the other half from eight seconds before the begin.
    let sent = number(&report, "/counts/sent");
    assert!((8_000..10_500).contains(&sent), "{sent}");
    assert!(number(&report, "/latencies/backlog/count") > 50, "{report}");
    assert_eq!(number(&report, "/counts/sessions"), 20);
    assert_eq!(number(&report, "/counts/lost"), 0);
}

#[test]
fn what_cannot_run_is_told_on_one_line() {
    let nobody = Daemon::serve(Script { knows_nobody: true, ..Script::default() });
    let directory = tempfile::tempdir().unwrap();
    let closed = "tcp://127.0.0.1:9";
    let out = |name: &str| directory.path().join(name);
    let cases: [(&str, &[&str], i32, &str); 6] = [
        (&nobody.target(), &[], 69, "not registered"),
        (closed, &["--set", "sessions.connect_within=1s"], 69, "no session with the daemon"),
        (closed, &["--set", "load.durtion=1s"], 78, "is load.duration meant?"),
        (closed, &["--slo", "ack.p98<1s"], 64, "is no objective"),
        (closed, &["--set", "population.sighted_every=1h"], 64, "--rate"),
        (closed, &["--sqlite", "/nowhere/beacond.sqlite3"], 69, "cannot be asked"),
    ];
    for (number, (target, arguments, code, part)) in cases.into_iter().enumerate() {
        let directory = out(&number.to_string());
        let output = run(target, &directory, &[&["--quiet"], arguments].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(code), 1), "{stderr}");
        assert!(stderr.starts_with("loadtest: ") && stderr.contains(part), "{stderr}");
        assert!(!directory.exists(), "{arguments:?} left a directory");
    }
}

fn wait_until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "it does not happen");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn signal(child: &Child, signal: Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).unwrap();
}
