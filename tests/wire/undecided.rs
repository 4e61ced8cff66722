//! What is told when something that must be asked cannot be: `undecided`, and later the decision.

use std::time::{Duration, Instant};

use crate::harness::frames;
use crate::harness::reply::Reply;
use crate::harness::store;
use crate::model::Sighting;
use crate::model::generated::heard;
use crate::scene::{GATEWAY, OTHER_GATEWAY, Scene, counter};

/// A store that cannot be asked is given up on after two seconds; then some, for a busy machine.
const BOUNDED: Duration = Duration::from_secs(6);

#[test]
fn what_cannot_be_committed_is_in_the_journal_and_answered_at_level_stored_when_it_is() {
    let scene = Scene::new();
    let mut gateway = scene.daemon.tcp_session(GATEWAY);
    let mut frame = [
        scene.strong("alice"),
        scene.weak("bob"),
        heard(b"alice".to_vec(), scene.now_us + 1, &counter(), -40),
        scene.strong("carol"),
        scene.strong(""),
    ];
    frame[3].major ^= 1;

    let lock = store::connect(&scene.home.data());
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    gateway.send(&frames::sightings(1, &frame));
    scene.daemon.wait_for_stats("the store is seen to fail", |stats| stats.writer_trouble() == "unavailable");
    let stats = scene.daemon.stats();
    assert_eq!((stats.number("received"), stats.number("in_progress")), (5, 0));
    assert_eq!((stats.store("new"), stats.store("waiting"), stats.store("stored")), (1, 1, 0));
    gateway.assert_unanswered();
    lock.execute_batch("ROLLBACK").unwrap();
    let record = &gateway.receive().ack().records[0];
    assert_eq!(
        record.outcomes(),
        [("invalid", 1), ("beacon_mismatch", 1), ("low_confidence", 1), ("duplicate", 1), ("identified", 1)]
    );
    let stats = scene.daemon.wait_for_stats("it works again", |stats| stats.writer_trouble().is_empty());
    assert_eq!((stats.number("identified_new"), stats.store("stored")), (1, 1));
    assert_eq!((stats.outcome("undecided"), stats.number("in_progress")), (0, 0));
    assert_eq!(scene.identities_of("alice"), 1);
}

#[test]
fn an_answer_that_leans_on_another_gateways_identity_waits_for_it_and_no_other_does() {
    let scene = Scene::new();
    let [mut first, mut second, mut third] =
        [GATEWAY, OTHER_GATEWAY, GATEWAY].map(|gateway| scene.daemon.tcp_session(gateway));
    let lock = store::connect(&scene.home.data());
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    first.send(&frames::sightings(1, &[scene.strong("alice")]));
    scene.daemon.wait_for_stats("alice is in the journal", |stats| stats.number("identified_new") == 1);
    let near = heard(b"alice".to_vec(), scene.now_us + 1, &counter(), -40);
    second.send(&frames::sightings(1, &[near, scene.strong("alice"), scene.weak("bob")]));
    scene.daemon.wait_for_stats("they lean on it", |stats| stats.outcome("duplicate") == 1);
    assert_eq!(third.ask(&frames::sightings(1, &[scene.weak("carol")])).outcomes(), [("low_confidence", 1)]);
    first.assert_unanswered();
    second.assert_unanswered();
    lock.execute_batch("ROLLBACK").unwrap();
    assert_eq!(first.receive().ack().records[0].outcomes(), [("identified", 1)]);
    let leant = second.receive().ack();
    assert_eq!(leant.records[0].outcomes(), [("low_confidence", 1), ("duplicate", 1), ("identified", 1)]);
    assert_eq!(scene.identities_of("alice"), 1);
}

#[test]
fn a_beacon_that_cannot_be_looked_up_leaves_its_sightings_undecided_and_no_others() {
    let scene = Scene::new();
    let mut gateway = scene.daemon.tcp_session(GATEWAY);
    assert_eq!(gateway.ask(&frames::sightings(1, &[scene.strong("alice")])).outcomes(), [("identified", 1)]);
    let elsewhere = store::connect(&scene.home.data());
    elsewhere.execute_batch("ALTER TABLE beacons RENAME TO beacons_away").unwrap();
    let of_counter = heard(b"bob".to_vec(), scene.now_us, &counter(), -40);
    let started = Instant::now();
    let record = gateway.ask(&frames::sightings(2, &[of_counter.clone(), scene.weak("carol")]));
    assert!(started.elapsed() < BOUNDED, "{:?}", started.elapsed());
    assert_eq!(record.outcomes(), [("undecided", 1), ("low_confidence", 1)]);
    assert_eq!(record.exceptions, [(0, 0, 1)]);
    elsewhere.execute_batch("ALTER TABLE beacons_away RENAME TO beacons").unwrap();
    let mut sequence = 2;
    let deadline = Instant::now() + BOUNDED;
    // How long a failed look-up is remembered is the daemon's business, but not for long.
    loop {
        sequence += 1;
        let outcomes =
            gateway.ask(&frames::sightings(sequence, std::slice::from_ref(&of_counter))).outcomes();
        if outcomes == [("identified", 1)] {
            break;
        }
        assert_eq!(outcomes, [("undecided", 1)]);
        assert!(Instant::now() < deadline, "still undecided");
    }
}

#[test]
fn a_full_window_takes_no_late_sightings_and_then_no_others_either() {
    // Of a thousand entries the last eighth is for sightings of the last quarter of an hour.
    let scene = Scene::with_config("[pipeline]\nwindow_entries = 1000\n");
    let mut gateway = scene.daemon.tcp_session(GATEWAY);
    let fresh = |from: u32, to: u32| -> Vec<Sighting> {
        (from..to).map(|number| scene.strong(&format!("customer-{number}"))).collect()
    };
    let mut late = scene.strong("late");
    late.detected_at_us -= 20 * 60 * 1_000_000;
    assert_eq!(gateway.ask(&frames::sightings(1, &fresh(0, 900))).outcomes(), [("identified", 900)]);
    let record = gateway.ask(&frames::sightings(2, &[late]));
    assert_eq!((record.outcomes(), record.exceptions), (vec![("undecided", 1)], vec![(0, 0, 3)]));
    let record = gateway.ask(&frames::sightings(3, &fresh(899, 1_001)));
    assert_eq!(record.outcomes(), [("undecided", 1), ("identified", 101)]);
    assert_eq!(record.exceptions, [(101, 0, 3)]);
    // What is known is told all the same.
    let mut again = scene.strong("customer-7");
    again.detected_at_us += 1;
    assert_eq!(gateway.ask(&frames::sightings(4, &[again])).outcomes(), [("duplicate", 1)]);
    let stats = scene.daemon.stats();
    assert_eq!((stats.number("identified_new"), stats.outcome("undecided")), (1_000, 2));
}

#[test]
fn a_ping_is_answered_while_a_whole_window_of_answers_waits_for_the_store() {
    let scene = Scene::with_config("[sessions]\ntcp_window_frames = 4\n");
    let mut gateway = scene.daemon.tcp_session(GATEWAY);
    let lock = store::connect(&scene.home.data());
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    for sequence in 1..=4 {
        gateway.send(&frames::sightings(sequence, &[scene.strong(&format!("customer-{sequence}"))]));
    }
    scene.daemon.wait_for_stats("all are in the journal", |stats| stats.number("identified_new") == 4);
    gateway.assert_unanswered();
    lock.execute_batch("ROLLBACK").unwrap();
}

#[test]
fn a_ping_is_answered_while_an_answer_waits_for_the_store() {
    let scene = Scene::new();
    let mut over_tcp = scene.daemon.tcp_session(GATEWAY);
    let mut over_udp = scene.daemon.udp_session(OTHER_GATEWAY);
    let lock = store::connect(&scene.home.data());
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    over_tcp.send(&frames::sightings(1, &[scene.strong("alice")]));
    over_udp.send(&frames::sightings(1, &[scene.strong("bob")]));
    scene.daemon.wait_for_stats("both are in the journal", |stats| stats.number("identified_new") == 2);
    over_tcp.assert_unanswered();
    over_udp.send(&frames::ping(2));
    let pong = loop {
        match over_udp.receive() {
            Reply::Ack(ack) => assert_eq!(ack.records, [], "the record came before the pong"),
            other => break other,
        }
    };
    assert!(matches!(pong, Reply::Pong(pong) if pong.token == 2));
    lock.execute_batch("ROLLBACK").unwrap();
}
