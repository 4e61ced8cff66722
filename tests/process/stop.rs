//! Stopping in order: goodbye to every gateway, answers for what was begun, an exit code that says how it went.

use std::time::{Duration, Instant};

use beacon_protocol::{GoodbyeReason, RefusalCode};

use crate::harness::daemon::Daemon;
use crate::harness::frames;
use crate::harness::home::Home;
use crate::harness::reply::Reply;
use crate::harness::store;
use crate::harness::udp::UdpGateway;
use crate::model::Sighting;
use crate::model::generated::heard;
use crate::scene::table;

const GATEWAY: &str = "gateway";

/// A stop that waits for nothing; then some, for a busy machine.
const SOON: Duration = Duration::from_secs(5);

/// How often goodbye is said over UDP, where one may be lost.
const GOODBYES: usize = 3;

/// Gateways that come too late, from as many ports: whichever of the daemon's sockets they reach.
const NEWCOMERS: usize = 8;

fn strong(customer: &str) -> Sighting {
    heard(customer.into(), crate::harness::now_us(), &table(), -40)
}

#[track_caller]
fn assert_goodbye(reply: Reply) {
    let Reply::Goodbye(goodbye) = reply else { panic!("no goodbye but {reply:?}") };
    assert_eq!(goodbye.reason, GoodbyeReason::Draining);
    assert!(goodbye.deadline_ms > 0);
}

/// A daemon with a frame in progress that cannot be committed until the connection returned is dropped.
fn held_up(home: &Home) -> (Daemon, rusqlite::Connection) {
    let daemon = home.serve();
    let lock = store::connect(&home.data());
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    (daemon, lock)
}

#[test]
fn a_signal_to_stop_says_goodbye_to_every_gateway_and_ends_with_0() {
    for signal in ["TERM", "INT"] {
        let home = Home::with_beacons(&[table()]);
        let daemon = home.serve();
        let mut over_tcp = daemon.tcp_session(GATEWAY);
        let mut over_udp = daemon.udp_session(GATEWAY);
        assert_eq!(over_tcp.ask(&frames::sightings(1, &[strong("alice")])).outcomes(), [("identified", 1)]);
        let ack = over_udp.ask(&frames::sightings(1, &[strong("bob")]));
        assert_eq!(ack.records[0].outcomes(), [("identified", 1)]);
        let started = Instant::now();
        daemon.signal(signal);
        assert_goodbye(over_tcp.receive());
        for _ in 0..GOODBYES {
            assert_goodbye(over_udp.receive());
        }
        assert_eq!(over_tcp.receive(), Reply::Closed);
        assert_eq!(daemon.ended().code(), Some(0), "{signal}");
        assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
        assert_eq!(store::tables(&home.data()).identities.len(), 2);
    }
}

#[test]
fn what_was_begun_is_answered_after_goodbye_and_what_comes_later_is_not_begun() {
    let home = Home::with_beacons(&[table()]);
    let (daemon, lock) = held_up(&home);
    let mut gateway = daemon.tcp_session(GATEWAY);
    let (mut over_udp, idle) = (daemon.udp_session(GATEWAY), daemon.udp_session(GATEWAY));
    let begun = frames::sightings(1, &[strong("alice")]);
    gateway.send(&begun);
    over_udp.send(&frames::sightings(1, &[strong("bob")]));
    daemon.wait_for_stats("both begun", |stats| stats.number("identified_new") == 2);
    daemon.signal("TERM");
    assert_goodbye(idle.receive());
    for _ in 0..NEWCOMERS {
        let mut newcomer = UdpGateway::new(daemon.udp);
        assert_eq!(newcomer.greet(&frames::hello("other")).refusal().code, RefusalCode::Draining);
    }
    gateway.send(&frames::sightings(2, &[strong("carol")]));
    lock.execute_batch("ROLLBACK").unwrap();
    let (mut answered, mut goodbyes) = (0, 0);
    loop {
        match gateway.receive() {
            Reply::Ack(ack) => {
                assert_eq!(ack.records.iter().map(|record| record.sequence).collect::<Vec<_>>(), [1]);
                assert_eq!(ack.records[0].outcomes(), [("identified", 1)]);
                answered += 1;
            }
            Reply::Closed => break,
            goodbye => {
                assert_goodbye(goodbye);
                goodbyes += 1;
            }
        }
    }
    assert_eq!((answered, goodbyes), (1, 1));
    let acked = loop {
        match over_udp.receive() {
            Reply::Ack(ack) if !ack.records.is_empty() => break ack,
            Reply::Ack(_) => {}
            // Said three times, since a datagram may be lost.
            goodbye => assert_goodbye(goodbye),
        }
    };
    assert_eq!(acked.records[0].outcomes(), [("identified", 1)]);
    assert_eq!(daemon.ended().code(), Some(0));
    let seen: Vec<String> = store::tables(&home.data()).last_seen.into_keys().collect();
    assert_eq!(seen, ["alice", "bob"]);
}

#[test]
fn goodbye_comes_at_once_though_an_answer_is_still_waited_for() {
    let home = Home::with_beacons(&[table()]);
    let (daemon, lock) = held_up(&home);
    let mut gateway = daemon.tcp_session(GATEWAY);
    gateway.send(&frames::sightings(1, &[strong("alice")]));
    daemon.wait_for_stats("begun", |stats| stats.number("identified_new") == 1);
    daemon.signal("TERM");
    assert_goodbye(gateway.receive());
    lock.execute_batch("ROLLBACK").unwrap();
    assert_eq!(gateway.receive().ack().records[0].outcomes(), [("identified", 1)]);
    assert_eq!(gateway.receive(), Reply::Closed);
    assert_eq!(daemon.ended().code(), Some(0));
}

#[test]
fn a_second_signal_stops_at_once_and_the_exit_code_says_so() {
    let home = Home::with_beacons(&[table()]);
    let (daemon, lock) = held_up(&home);
    let mut gateway = daemon.tcp_session(GATEWAY);
    gateway.send(&frames::sightings(1, &[strong("alice")]));
    daemon.wait_for_stats("begun", |stats| stats.number("identified_new") == 1);
    daemon.signal("INT");
    assert!(daemon.stderr.wait_for_line("stopping", crate::harness::PATIENCE));
    daemon.signal("INT");
    assert_eq!(daemon.ended().code(), Some(3));
    drop(lock);
    assert_eq!(store::tables(&home.data()).identities.len(), 0, "it is not in the store yet");
    let daemon = home.serve();
    daemon.wait_for_stats("it was in the journal", |stats| stats.store("stored") == 1);
    daemon.stop();
}

#[test]
fn a_daemon_stopped_without_any_session_ends_with_0() {
    let home = Home::new();
    home.serve().stop();
    home.serve_with(&[]).stop();
}

/// Drains in much less than a store that is stuck would take.
const SHORT_DRAIN: &str = "[sessions]\ndrain_deadline_ms = 300\n";

#[test]
fn a_store_that_is_stuck_is_left_at_the_deadline_and_gets_the_rest_from_the_next_start() {
    let home = Home::configured(Some(SHORT_DRAIN), Vec::new());
    home.import_beacons(&[table()]);
    let (daemon, lock) = held_up(&home);
    let mut gateway = daemon.tcp_session(GATEWAY);
    gateway.send(&frames::sightings(1, &[strong("alice"), strong("bob")]));
    daemon.wait_for_stats("in the journal", |stats| stats.store("waiting") == 2);
    let started = Instant::now();
    daemon.signal("TERM");
    assert_goodbye(gateway.receive());
    assert_eq!(daemon.ended().code(), Some(3), "something waits");
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    drop(lock);
    assert_eq!(store::tables(&home.data()).identities.len(), 0);
    let daemon = home.serve();
    let stats = daemon.wait_for_stats("stored", |stats| stats.store("waiting") == 0);
    assert_eq!((stats.store("waiting_at_start"), stats.store("stored")), (2, 2));
    daemon.stop();
    assert_eq!(store::tables(&home.data()).identities.len(), 2);
}
