//! Killed in the middle: everything acknowledged is in the store, nothing is there twice, and work goes on.

use std::collections::BTreeSet;

use beacon_protocol::AckLevel;

use crate::harness::daemon::Daemon;
use crate::harness::frames::batches;
use crate::harness::home::Home;
use crate::harness::replay::report;
use crate::harness::store;
use crate::model::generated::{SIGHTINGS, generated, heard};
use crate::model::tables::Tables;
use crate::model::tracks::write_sightings;
use crate::model::{Beacon, Model, Scope, Sighting, totals};

const GATEWAY: &str = "loadtest";

/// Enough that the daemon is killed long before it is through.
const CUSTOMERS: u32 = 200_000;

/// How many are stored when it is killed, at least.
const STORED_BEFORE: u64 = 20_000;

fn table() -> Beacon {
    Beacon {
        id: uuid::Uuid::from_u128(1),
        store: "store".to_owned(),
        major: 1,
        minor: 1,
        location: Some("Table 1".to_owned()),
        location_type: Some("table".to_owned()),
        status: "active".to_owned(),
    }
}

fn customers_of(sightings: &[Sighting]) -> impl Iterator<Item = String> {
    sightings.iter().map(|sighting| String::from_utf8(sighting.customer_id.clone()).unwrap())
}

#[test]
fn what_was_acknowledged_before_the_kill_is_stored_and_nothing_twice() {
    let home = Home::with_beacons(&[table()]);
    let now_us = crate::harness::now_us();
    let sightings: Vec<Sighting> =
        (0..CUSTOMERS).map(|number| heard(format!("c-{number}").into(), now_us, &table(), -50)).collect();
    let daemon = home.serve();
    let mut gateway = daemon.connect();
    let welcome = gateway.open(GATEWAY);
    assert_eq!(welcome.ack_level, AckLevel::Stored);
    let window_frames = usize::try_from(welcome.window_frames).unwrap();
    let records = std::thread::scope(|scope| {
        let sending = scope.spawn(|| gateway.send_all(&sightings, window_frames));
        daemon.wait_for_stats("many are stored", |stats| stats.store("stored") >= STORED_BEFORE);
        daemon.kill();
        sending.join().unwrap()
    });
    let batches = batches(&sightings);
    assert!(!records.is_empty() && records.len() < batches.len(), "{} answered", records.len());
    let stored = store::tables(&home.data());
    let found: BTreeSet<&str> = stored.identities.iter().map(|row| row.customer_id.as_str()).collect();
    assert_eq!(found.len(), stored.identities.len(), "a customer is there twice");
    for (record, batch) in records.iter().zip(&batches) {
        assert_eq!(record.outcomes(), [("identified", u16::try_from(batch.len()).unwrap())]);
        let lost = customers_of(batch).find(|customer| !found.contains(customer.as_str()));
        assert_eq!(lost, None, "acknowledged in frame {} and lost", record.sequence);
    }

    let daemon = home.serve();
    let records = daemon.tcp_session(GATEWAY).send_all(&sightings, window_frames);
    assert_eq!(records.len(), batches.len());
    assert!(records.iter().all(|record| record.counts[..10] == [0; 10]), "all are identified");
    let mut model = Model::of_one_gateway(&[table()], GATEWAY);
    model.decide_all(GATEWAY, &sightings, now_us);
    let stats = daemon.all_stored();
    Tables::expected(&model).assert_found(&store::tables(&home.data()), "after the kill");
    // What was accepted and not stored at the kill may have been kept too.
    assert!(stats.number("identified_redelivered") >= u64::try_from(stored.identities.len()).unwrap());
    daemon.stop();
}

/// Sends the first `count` of the generated set to a daemon that `end` ends in the middle of it, and to its successor
/// on the same address.
fn replay_to_two_daemons(transport: &str, arguments: &[&str], count: usize, end: impl FnOnce(Daemon)) {
    let now_us = crate::harness::now_us();
    let mut set = generated(now_us, 9);
    set.sightings.truncate(count);
    let home = Home::with_beacons(&set.beacons);
    let stores: Vec<&str> = set.stores.iter().map(String::as_str).collect();
    home.import_gateways(&[(GATEWAY, &stores, "active")]);
    let file = home.path("generated.csv");
    write_sightings(&file, &set.sightings);
    let config = home.write("beacond.toml", "[pipeline]\nbatch_age_ms = 0\n");
    let serve = |tcp: &str, udp: &str| {
        let config = ["--config", config.to_str().unwrap()];
        home.serve_with(&[&config[..], &["--listen-tcp", tcp, "--listen-udp", udp]].concat())
    };
    let daemon = serve("127.0.0.1:0", "127.0.0.1:0");
    let (tcp, udp) = (daemon.tcp.to_string(), daemon.udp.to_string());
    let target = format!("{transport}://{}", if transport == "tcp" { &tcp } else { &udp });
    let (sent, daemon) = std::thread::scope(|scope| {
        let sending = scope.spawn(|| report(&home.path(""), &file, &target, arguments));
        daemon.wait_for_stats("some are stored", |stats| stats.store("stored") >= 2_000);
        end(daemon);
        let daemon = serve(&tcp, &udp);
        (sending.join().unwrap(), daemon)
    });
    let mut model = Model::new(&set.beacons, &[(GATEWAY.to_owned(), Scope::Stores(set.stores))]);
    let outcomes = model.decide_all(GATEWAY, &set.sightings, now_us);
    let count = u64::try_from(set.sightings.len()).unwrap();
    sent.assert_acknowledged(count, &totals(&outcomes));
    daemon.all_stored();
    Tables::expected(&model).assert_found(&store::tables(&home.data()), "sent to two daemons");
    assert!((1..count).contains(&daemon.stats().number("received")), "both had their part");
    daemon.stop();
}

#[test]
fn a_replay_over_tcp_outlives_the_kill_of_its_daemon() {
    replay_to_two_daemons("tcp", &[], SIGHTINGS, Daemon::kill);
}

#[test]
fn a_replay_over_tcp_outlives_the_stop_of_its_daemon() {
    replay_to_two_daemons("tcp", &[], SIGHTINGS, Daemon::stop);
}

#[test]
fn a_replay_over_udp_outlives_the_kill_of_its_daemon() {
    // Frame by frame it takes its time; a part of the set is as good.
    replay_to_two_daemons("udp", &["--in-flight", "1"], SIGHTINGS / 5, Daemon::kill);
}
