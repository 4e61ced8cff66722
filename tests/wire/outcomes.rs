//! Every outcome over the wire, its code and detail, its count, and times given as ages.

use std::time::{Duration, Instant};

use crate::harness::frames;
use crate::harness::ledger::OUTCOMES;
use crate::harness::reply::Record;
use crate::harness::{self, store};
use crate::model::generated::heard;
use crate::model::tables::utc_text;
use crate::model::{Beacon, Sighting};
use crate::scene::{
    GATEWAY, OTHER_GATEWAY, Scene, counter, foreign, inactive, maintenance, table, unregistered,
};

const MINUTE_US: i64 = 60_000_000;
const DAY_US: i64 = 24 * 60 * MINUTE_US;

/// How soon a change of a registration must be seen.
const CHANGE_SEEN_WITHIN: Duration = Duration::from_secs(5);

/// Sightings near now, each with the code and detail it must have.
fn every_outcome(scene: &Scene) -> Vec<(Sighting, (u8, u8))> {
    let strong = |customer: &[u8], beacon: &Beacon| heard(customer.to_vec(), scene.now_us, beacon, -40);
    let (copied_major, copied_minor) = (Beacon { major: 2, ..table() }, Beacon { minor: 0, ..table() });
    let with_rssi = |rssi_dbm| heard(b"rssi".to_vec(), scene.now_us, &table(), rssi_dbm);
    let later = |by_us| heard(b"alice".to_vec(), scene.now_us + by_us, &counter(), -40);
    vec![
        (strong(b"", &table()), (1, 1)),
        (strong("é".repeat(65).as_bytes(), &table()), (1, 2)),
        (strong(&[b'x'; 255], &table()), (1, 2)),
        (strong(b"line\nfeed", &table()), (1, 3)),
        (strong(b"\xc3\x28", &table()), (1, 4)),
        (with_rssi(-101), (1, 5)),
        (with_rssi(-128), (1, 5)),
        (with_rssi(1), (1, 5)),
        (with_rssi(127), (1, 5)),
        (later(6 * MINUTE_US), (2, 0)),
        (strong(b"alice", &unregistered()), (4, 0)),
        (strong(b"alice", &copied_major), (5, 0)),
        (strong(b"alice", &copied_minor), (5, 0)),
        (strong(b"alice", &inactive()), (6, 0)),
        (strong(b"alice", &maintenance()), (6, 0)),
        (strong(b"alice", &foreign()), (7, 0)),
        (scene.weak("alice"), (8, 0)),
        (strong(b"alice", &table()), (10, 0)),
        (later(0), (9, 0)),
        (later(MINUTE_US - 1), (9, 0)),
        (strong(b"alice", &table()), (10, 0)),
        (later(MINUTE_US), (10, 0)),
        (strong("爱丽丝".as_bytes(), &table()), (10, 0)),
        (with_rssi(0), (10, 0)),
    ]
}

/// What comes of a frame of every outcome and one of a sighting too old to share a frame with them.
fn assert_every_outcome(scene: &Scene, mut ask: impl FnMut(&[u8]) -> Record) {
    let played = every_outcome(scene);
    let sightings: Vec<Sighting> = played.iter().map(|(sighting, _)| sighting.clone()).collect();
    let mut counts = [0; 11];
    let mut exceptions = Vec::new();
    for (index, (_, (code, detail))) in (0..).zip(&played) {
        counts[usize::from(*code)] += 1;
        if *code <= 7 {
            exceptions.push((index, *code, *detail));
        }
    }
    let expected = Record { sequence: 1, status: 0, dead_lettered: 0, counts, exceptions };
    assert_eq!(ask(&frames::sightings(1, &sightings)), expected);

    let too_old = heard(b"bob".to_vec(), scene.now_us - 7 * DAY_US - MINUTE_US, &table(), -40);
    let record = ask(&frames::sightings(2, &[too_old]));
    assert_eq!(record.outcomes(), [("too_old", 1)]);
    assert_eq!(record.exceptions, [(0, 3, 0)]);

    counts[3] += 1;
    let stats = scene.daemon.stats();
    let counted = OUTCOMES.map(|name| stats.outcome(name));
    assert_eq!(counted, counts.map(u64::from));
    assert_eq!(stats.number("received"), counts.map(u64::from).iter().sum::<u64>());
    assert_eq!((stats.number("frames"), stats.number("in_progress")), (2, 0));
    assert_eq!((stats.number("identified_new"), stats.number("identified_redelivered")), (4, 1));
    assert_eq!((stats.store("new"), stats.store("stored"), stats.store("waiting")), (4, 4, 0));
    assert_eq!(store::tables(&scene.home.data()).identities.len(), 4);
}

#[test]
fn every_outcome_has_its_code_and_is_counted_over_tcp() {
    let scene = Scene::new();
    let mut gateway = scene.daemon.tcp_session(GATEWAY);
    assert_every_outcome(&scene, |frame| gateway.ask(frame));
}

#[test]
fn every_outcome_has_its_code_and_is_counted_over_udp() {
    let scene = Scene::new();
    let mut gateway = scene.daemon.udp_session(GATEWAY);
    assert_every_outcome(&scene, |frame| {
        let [record] = <[Record; 1]>::try_from(gateway.ask(frame).records).unwrap();
        record
    });
}

#[test]
fn one_customer_is_decided_once_whichever_gateways_heard_it() {
    let scene = Scene::new();
    let frame = frames::sightings(1, &[scene.strong("alice")]);
    let mut over_tcp = scene.daemon.tcp_session(GATEWAY);
    assert_eq!(over_tcp.ask(&frame).outcomes(), [("identified", 1)]);
    let mut over_udp = scene.daemon.udp_session(OTHER_GATEWAY);
    let elsewhere = heard(b"alice".to_vec(), scene.now_us + 1, &counter(), -40);
    let both = frames::sightings(1, &[scene.strong("alice"), elsewhere]);
    assert_eq!(over_udp.ask(&both).records[0].outcomes(), [("duplicate", 1), ("identified", 1)]);
    assert_eq!(scene.daemon.stats().number("identified_redelivered"), 1);
    assert_eq!(scene.identities_of("alice"), 1);
}

#[test]
fn ages_count_back_from_the_moment_the_frame_arrives() {
    let scene = Scene::new();
    let mut gateway = scene.daemon.tcp_session(GATEWAY);
    let base_us = scene.now_us;
    let mut earlier = scene.strong("alice");
    earlier.detected_at_us -= 2 * MINUTE_US;
    let frame = frames::aged_sightings(1, 30_000_000, base_us, &[scene.strong("alice"), earlier]);
    let before_us = harness::now_us();
    assert_eq!(gateway.ask(&frame).outcomes(), [("identified", 2)]);
    let after_us = harness::now_us();
    let found: Vec<String> =
        store::tables(&scene.home.data()).identities.into_iter().map(|row| row.detected_at).collect();
    for (text, age_us) in found.iter().zip([150_000_000, 30_000_000]) {
        // A daemon's clock that is slewed beside the machine's may differ a little.
        let (from, to) = (utc_text(before_us - age_us - 50_000), utc_text(after_us - age_us + 50_000));
        assert!((&from..=&to).contains(&text), "{text} not in {from}..{to}");
    }
}

#[test]
fn a_frame_sent_by_a_gateway_that_dies_is_decided_all_the_same() {
    let scene = Scene::new();
    let mut gateway = scene.daemon.tcp_session(GATEWAY);
    gateway.send(&frames::sightings(1, &[scene.strong("alice"), scene.weak("bob")]));
    drop(gateway);
    let stats = scene.daemon.wait_for_stats("both decided", |stats| {
        stats.number("received") == 2 && stats.number("in_progress") == 0
    });
    assert_eq!((stats.outcome("identified"), stats.outcome("low_confidence")), (1, 1));
    assert_eq!(scene.identities_of("alice"), 1);
}

#[test]
fn a_beacon_that_is_retired_is_known_to_be_within_five_seconds() {
    let scene = Scene::new();
    let mut gateway = scene.daemon.tcp_session(GATEWAY);
    let mut sequence = 1;
    let mut ask = || {
        sequence += 1;
        gateway.ask(&frames::sightings(sequence - 1, &[scene.weak("alice")])).outcomes()
    };
    assert_eq!(ask(), [("low_confidence", 1)]);
    scene.home.import_beacons(&[Beacon { status: "inactive".to_owned(), ..table() }]);
    let deadline = Instant::now() + CHANGE_SEEN_WITHIN;
    while ask() != [("beacon_inactive", 1)] {
        assert!(Instant::now() < deadline, "still active");
    }
}
