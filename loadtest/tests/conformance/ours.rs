//! The daemon and the gateway client of this project: neither breaks a rule.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::beacond::Beacond;
use crate::play::play;

/// A registered beacon, and it as `--beacon` names it.
const BEACONS: &str = "beacon_id,store_id,major,minor,location,location_type,status\n\
    0db9ba02-25ee-562c-9dee-7afcb156cfba,store-1,1,2,Table 1,table,active\n";
const BEACON: &str = "0db9ba02-25ee-562c-9dee-7afcb156cfba:1:2";

/// Sightings for a gateway to send, longer than all scenes take.
const SIGHTINGS: u32 = 20_000;

/// What a gateway is told: each sighting has a time of its own, and they never end.
pub(crate) fn tracks() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tracks.csv");
    let mut text = "detected_at_unix_us,customer_id,beacon_uuid,major,minor,rssi_dbm\n".to_owned();
    for number in 0..SIGHTINGS {
        let customer = number % 50;
        text += &format!("{number}000000,customer-{customer},0db9ba02-25ee-562c-9dee-7afcb156cfba,1,2,-60\n");
    }
    std::fs::write(&file, text).unwrap();
    (directory, file)
}

/// Beside the rules that every server shows: R39, as its idle timeout is short, and R48, as a beacon is registered.
#[track_caller]
fn assert_daemon_keeps(scheme: &str, at_least: usize) {
    let directory = tempfile::tempdir().unwrap();
    let beacons = directory.path().join("beacons.csv");
    std::fs::write(&beacons, BEACONS).unwrap();
    let daemon = Beacond::start(&beacons);
    let verdicts = play(&["daemon", "--target", &daemon.target(scheme), "--beacon", BEACON]);
    verdicts.assert_kept(at_least);
    assert!(verdicts.kept().is_superset(&[39, 48].into()), "{verdicts}");
    daemon.stop();
}

#[track_caller]
fn assert_client_keeps(listen: &str, at_least: usize) {
    let (_directory, tracks) = tracks();
    let replay = [env!("CARGO_BIN_EXE_loadtest"), "replay", tracks.to_str().unwrap(), "--rebase"];
    let paced = ["--rate", "100", "--batch", "8", "--target", "{target}"];
    play(&[&["gateway", "--listen", listen, "--exec"], &replay[..], &paced].concat()).assert_kept(at_least);
}

#[test]
fn our_daemon_keeps_every_rule_that_shows_over_tcp() {
    assert_daemon_keeps("tcp", 23);
}

#[test]
fn our_daemon_keeps_every_rule_that_shows_over_udp() {
    assert_daemon_keeps("udp", 33);
}

#[test]
fn our_client_keeps_every_rule_that_shows_over_tcp() {
    assert_client_keeps("tcp://127.0.0.1:0", 31);
}

#[test]
fn our_client_keeps_every_rule_that_shows_over_udp() {
    assert_client_keeps("udp://127.0.0.1:0", 40);
}
