//! `loadtest replay` as a process: what it sends, what it says, how it ends.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests: what is unexpected should stop right there"
)]

mod daemon;

use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use self::daemon::{Daemon, Script};

const HEADER: &str = "detected_at_unix_us,customer_id,beacon_uuid,major,minor,rssi_dbm";
const BEACON: &str = "0db9ba02-25ee-562c-9dee-7afcb156cfba";

/// A file of tracks that goes away with its directory.
struct Tracks {
    directory: tempfile::TempDir,
}

impl Tracks {
    fn of(lines: impl IntoIterator<Item = String>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let lines: Vec<String> = std::iter::once(HEADER.to_owned()).chain(lines).collect();
        std::fs::write(directory.path().join("tracks.csv"), lines.join("\n")).unwrap();
        Self { directory }
    }

    /// Customers `a` to `c` in turn, a second apart, at beacons with Minor 0 to 9.
    fn of_three(sightings: i64) -> Self {
        Self::of((0..sightings).map(|n| {
            let customer = ["a", "b", "c"][usize::try_from(n % 3).unwrap()];
            format!("{},{customer},{BEACON},1,{},-60", n * 1_000_000, n % 10)
        }))
    }

    fn json_path(&self) -> PathBuf {
        self.directory.path().join("result.json")
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(self.json_path()).unwrap()).unwrap()
    }

    fn replay(&self, target: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
        command
            .args(["replay", "tracks.csv", "--target", target, "--json", "result.json"])
            .args(more)
            .current_dir(self.directory.path())
            .stdin(Stdio::null());
        command
    }
}

fn run(mut command: Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// Nobody accepts there, but who connects is noticed.
fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let target = format!("tcp://{}", listener.local_addr().unwrap());
    (listener, target)
}

#[test]
fn a_line_that_cannot_be_sent_is_named_and_nothing_is_sent() {
    let (listener, target) = listener();
    let good = format!("1,a,{BEACON},1,2,-60");
    let tracks = Tracks::of([good.clone(), format!("1,a,{BEACON},1,70000,-60"), good]);
    let (code, out, error) = run(tracks.replay(&target, &[]));
    assert_eq!((code, out.as_str()), (65, ""));
    assert_eq!(
        error,
        "loadtest: tracks.csv: line 3, column 5 (minor): \"70000\" is not a whole number from 0 to 65535\n"
    );
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(!tracks.json_path().exists());
}

#[test]
fn an_id_too_long_for_its_clones_is_named_and_nothing_is_sent() {
    let (listener, target) = listener();
    let tracks = Tracks::of([format!("1,{},{BEACON},1,2,-60", "x".repeat(63))]);
    let (code, _, error) = run(tracks.replay(&target, &["--clones", "2"]));
    assert_eq!(code, 65);
    assert!(
        error.starts_with("loadtest: tracks.csv: line 2, column 2 (customer_id): clone 1 would make"),
        "{error}"
    );
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_target_that_is_down_is_told_in_one_line() {
    let (listener, target) = listener();
    drop(listener);
    let (code, out, error) = run(Tracks::of_three(1).replay(&target, &[]));
    assert_eq!((code, out.as_str()), (69, ""));
    assert!(error.starts_with(&format!("loadtest: target {target}: ")), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn of_several_targets_the_next_is_gone_to_when_one_is_down() {
    let tracks = Tracks::of_three(1_000);
    for down_first in [true, false] {
        let daemon = Daemon::over_tcp(Script::Duplicates);
        let (listener, down) = listener();
        drop(listener);
        let up = format!("tcp://{}", daemon.address);
        let targets = if down_first { [down, up] } else { [up, down] };
        for more in [&[][..], &["--target", &targets[1]]] {
            let first = if more.is_empty() { targets.join(",") } else { targets[0].clone() };
            let (code, out, error) = run(tracks.replay(&first, more));
            assert_eq!((code, error.as_str()), (0, ""));
            assert!(out.contains(&targets.join(", ")), "{out}");
        }
        assert_eq!(daemon.seen().len(), 2_000);
    }
}

#[test]
fn a_refusal_is_told_with_code_and_text() {
    let daemon = Daemon::over_tcp(Script::UnknownGateway);
    let target = format!("tcp://{}", daemon.address);
    let (code, _, error) = run(Tracks::of_three(1).replay(&target, &["--gateway", "bar-3"]));
    assert_eq!(code, 69);
    assert!(error.contains("unknown_gateway (8): bar-3 is not registered"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn arguments_that_do_not_fit_are_a_usage_error() {
    let tracks = Tracks::of_three(1);
    for more in [
        &["--target", "http://a:1"][..],
        &["--target", "udp://127.0.0.1:1"],
        &["--in-flight", "0"],
        &["--rebase", "--rebase-to", "5"],
        &["--rate", "1", "--speed", "1"],
        &["--rate", "-1"],
        &["--gateways", "2"],
        &["--gateway", ""],
        &["--colour"],
    ] {
        assert_eq!(run(tracks.replay("tcp://127.0.0.1:1", more)).0, 64, "{more:?}");
    }
}

#[test]
fn the_file_is_sent_in_its_order_and_counted() {
    let tracks = Tracks::of_three(1_000);
    for in_flight in ["1", "64"] {
        let daemon = Daemon::over_tcp(Script::Duplicates);
        let target = format!("tcp://{}", daemon.address);
        let more = ["--in-flight", in_flight, "--rebase-to", "2000000000"];
        let (code, out, error) = run(tracks.replay(&target, &more));
        assert_eq!((code, error.as_str()), (0, ""));
        assert!(out.contains("1,000 sightings sent, 1,000 acknowledged"), "{out}");
        let seen = daemon.seen();
        assert_eq!(seen.len(), 1_000);
        for (n, seen) in (0..).zip(&seen) {
            assert_eq!(seen.detected_at_us, 2_000_000_000 - (999 - n) * 1_000_000);
            assert_eq!((i64::from(seen.minor), seen.rssi_dbm), (n % 10, -60));
        }
        let json = tracks.json();
        assert_eq!((&json["sent"], &json["acked"]), (&1_000.into(), &1_000.into()));
        assert_eq!(json["outcomes"]["duplicate"], 1_000);
        assert_eq!(json["outcomes"]["identified"], 0);
        assert!(json["ack_us"]["p50"].as_u64().unwrap() <= json["ack_us"]["max"].as_u64().unwrap());
    }
}

#[test]
fn over_udp_frames_fit_datagrams_and_one_in_flight_keeps_the_order() {
    let tracks = Tracks::of_three(500);
    let daemon = Daemon::over_udp(Script::Duplicates);
    let target = format!("udp://{}", daemon.address);
    let (code, _, error) = run(tracks.replay(&target, &["--in-flight", "1", "--batch", "4096"]));
    assert_eq!((code, error.as_str()), (0, ""));
    let times: Vec<i64> = daemon.seen().iter().map(|seen| seen.detected_at_us).collect();
    assert!(times.iter().copied().eq((0..500).map(|n| n * 1_000_000)));
}

#[test]
fn each_clone_keeps_its_order_and_has_its_own_customers() {
    let tracks = Tracks::of_three(200);
    let daemon = Daemon::over_tcp(Script::Duplicates);
    let target = format!("tcp://{}", daemon.address);
    let (code, _, error) = run(tracks.replay(&target, &["--clones", "5", "--gateways", "2"]));
    assert_eq!((code, error.as_str()), (0, ""));
    let seen = daemon.seen();
    assert_eq!(seen.len(), 1_000);
    for clone in 0..5 {
        let suffix = if clone == 0 { String::new() } else { format!("~{clone}") };
        let of_clone = |id: &[u8]| id.len() == 1 + suffix.len() && id.ends_with(suffix.as_bytes());
        let times = seen.iter().filter(|seen| of_clone(&seen.customer_id)).map(|seen| seen.detected_at_us);
        assert!(times.eq((0..200).map(|n| n * 1_000_000)), "clone {clone}");
    }
    for gateway in ["loadtest-1", "loadtest-2"] {
        assert!(seen.iter().any(|seen| seen.gateway == gateway), "{gateway}");
    }
}

#[test]
fn undecided_sightings_are_sent_again_and_counted_each_time() {
    let tracks = Tracks::of_three(3);
    let daemon = Daemon::over_tcp(Script::FirstUndecided);
    let target = format!("tcp://{}", daemon.address);
    let (code, _, error) = run(tracks.replay(&target, &["--in-flight", "1", "--batch", "2"]));
    assert_eq!((code, error.as_str()), (0, ""));
    let ids: Vec<_> = daemon.seen().into_iter().map(|seen| seen.customer_id).collect();
    assert_eq!(ids, [b"a", b"b", b"a", b"c"]);
    let json = tracks.json();
    assert_eq!((&json["sent"], &json["acked"]), (&3.into(), &3.into()));
    assert_eq!((&json["outcomes"]["undecided"], &json["outcomes"]["duplicate"]), (&1.into(), &3.into()));
}

#[test]
fn what_is_never_acknowledged_is_told_at_the_deadline() {
    let tracks = Tracks::of_three(3);
    let daemon = Daemon::over_tcp(Script::Silence);
    let target = format!("tcp://{}", daemon.address);
    let (code, out, error) = run(tracks.replay(&target, &["--deadline", "0.2"]));
    assert_eq!(code, 1);
    assert!(out.contains("3 sightings sent, 0 acknowledged"), "{out}");
    assert_eq!(error, "loadtest: 3 of 3 sightings sent were not acknowledged\n");
    assert_eq!(tracks.json()["acked"], 0);
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_it_with_what_was_reached() {
    use std::io::Read;
    let tracks = Tracks::of_three(2);
    let daemon = Daemon::over_tcp(Script::Duplicates);
    let target = format!("tcp://{}", daemon.address);
    // The second of the two is due after a day.
    let mut command = tracks.replay(&target, &["--batch", "1", "--speed", "0.00001"]);
    let mut replay = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while daemon.seen().is_empty() {
        std::thread::yield_now();
    }
    let id = replay.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    assert_eq!(replay.wait().unwrap().code(), Some(130));
    let mut out = String::new();
    replay.stdout.unwrap().read_to_string(&mut out).unwrap();
    assert!(out.contains("1 sightings sent"), "{out}");
}
