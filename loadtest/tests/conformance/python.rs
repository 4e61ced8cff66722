//! The gateway in Python, written from the document alone: it keeps the rules, and our daemon understands it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::beacond::Beacond;
use crate::ours::tracks;
use crate::play::{Verdicts, play};

/// Tests in `test_gateway.py`.
const TESTS: u32 = 21;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol/examples").canonicalize().unwrap()
}

/// Python in the folder of the gateway; nothing is written there.
fn python() -> Command {
    let found = Command::new("python3").arg("--version").output();
    assert!(found.is_ok_and(|output| output.status.success()), "there is no python3: install it");
    let mut command = Command::new("python3");
    command.arg("-B").current_dir(examples()).stdin(Stdio::null());
    command
}

fn perform(listen: &str, gateway: &[&str], rules: &[&str]) -> Verdicts {
    python();
    let (_directory, tracks) = tracks();
    let rules: Vec<&str> = rules.iter().flat_map(|rule| ["--rule", rule]).collect();
    let sent = [tracks.to_str().unwrap(), "--rebase", "--rate", "100", "--batch", "8", "--forever"];
    let exec = [&["--exec", "python3", "-B"], gateway, &sent].concat();
    // The arguments of the gateway come last; what else it is told stands in front of its file.
    play(&[&["gateway", "--listen", listen], &rules[..], &exec].concat())
}

fn gateway() -> String {
    examples().join("gateway.py").to_str().unwrap().to_owned()
}

#[test]
fn it_keeps_every_rule_that_shows_over_tcp() {
    perform("tcp://127.0.0.1:0", &[&gateway()], &[]).assert_kept(32);
}

#[test]
fn it_keeps_every_rule_that_shows_over_udp() {
    perform("udp://127.0.0.1:0", &[&gateway()], &[]).assert_kept(41);
}

#[test]
fn without_a_clock_it_takes_ages_anew() {
    for listen in ["tcp://127.0.0.1:0", "udp://127.0.0.1:0"] {
        perform(listen, &[&gateway(), "--ages"], &["64"]).assert_kept(1);
    }
}

/// What only starts of a process show: an epoch that comes back with another numbering.
#[test]
fn with_an_epoch_that_is_always_the_same_it_is_told_of_r50() {
    let always_the_same = format!(
        "import sys\n\
         sys.path.insert(0, {:?})\n\
         import gateway\n\
         begin = gateway.Gateway.__init__\n\
         def begin_with_epoch_7(self, *words):\n    begin(self, *words)\n    self.epoch = 7\n\
         gateway.Gateway.__init__ = begin_with_epoch_7\n\
         sys.exit(gateway.main())\n",
        examples().to_str().unwrap()
    );
    // Two scenes are two starts.
    let verdicts = perform("tcp://127.0.0.1:0", &["-c", &always_the_same], &["44", "50"]);
    assert_eq!((verdicts.code, verdicts.broken()), (Some(1), [50].into()), "{verdicts}");
}

#[test]
fn its_own_tests_pass() {
    let Output { status, stderr, .. } = python().args(["-m", "unittest", "test_gateway"]).output().unwrap();
    let said = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{said}");
    let ran = said.lines().find_map(|line| line.strip_prefix("Ran ")?.split(' ').next()?.parse().ok());
    assert!(ran.is_some_and(|ran: u32| ran >= TESTS), "{TESTS} were there once: {said}");
}

/// Recorded tracks and their beacons, where they are.
fn recorded() -> Option<(PathBuf, PathBuf)> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let (tracks, beacons) = (data.join("ble_tracks.csv"), data.join("ble_beacons.csv"));
    let are_there = tracks.is_file() && beacons.is_file();
    if !are_there {
        println!("SKIPPED: there are no recorded tracks in ../shared/data");
    }
    are_there.then_some((tracks, beacons))
}

/// What it is told of the recorded tracks is what our own client is told of them, over TCP and over UDP.
#[test]
fn our_daemon_decides_its_tracks_as_those_of_our_client() {
    let Some((tracks, beacons)) = recorded() else { return };
    let directory = tempfile::tempdir().unwrap();
    let json = |name: &str| -> Value {
        serde_json::from_slice(&std::fs::read(directory.path().join(name)).unwrap()).unwrap()
    };
    for scheme in ["tcp", "udp"] {
        let daemon = Beacond::start(&beacons);
        // In the order of the file, so that the same sightings are the first of their minute.
        let in_order = ["--rebase", "--in-flight", "1"];
        let said = python()
            .args(["gateway.py".as_ref(), tracks.as_os_str()])
            .args(["--target", &daemon.target(scheme), "--json"])
            .arg(directory.path().join("python.json"))
            .args(in_order)
            .output()
            .unwrap();
        assert_eq!(said.status.code(), Some(0), "{said:?}");
        daemon.stop();

        let daemon = Beacond::start(&beacons);
        let said = Command::new(env!("CARGO_BIN_EXE_loadtest"))
            .args(["replay".as_ref(), tracks.as_os_str()])
            .args(["--target", &daemon.target(scheme), "--json"])
            .arg(directory.path().join("rust.json"))
            .args(in_order)
            .output()
            .unwrap();
        assert_eq!(said.status.code(), Some(0), "{said:?}");
        daemon.stop();

        let (python, mut rust) = (json("python.json"), json("rust.json"));
        rust["outcomes"].as_object_mut().unwrap().retain(|_, count| *count != 0);
        for name in ["sent", "acked", "outcomes"] {
            assert_eq!(python[name], rust[name], "{name} over {scheme}");
        }
        assert_eq!((&python["sent"], &python["acked"]), (&6_159.into(), &6_159.into()));
    }
}
