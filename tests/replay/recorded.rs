//! The recorded tracks, once, again, after a restart, and a thousand times over; and files that cannot be sent.

use std::path::PathBuf;

use crate::expectation::{Expectation, GATEWAY};
use crate::harness::daemon::Daemon;
use crate::harness::home::Home;
use crate::harness::replay::{replay, report};
use crate::harness::{self, store};
use crate::model::tables::{IdentityRow, Tables};
use crate::model::tracks::{read_beacons, read_sightings, real_tracks};
use crate::model::{Model, Sighting};

/// The recorded tracks, and where they are; `None`, said plainly, where they are not.
fn recorded(now_us: i64) -> Option<(PathBuf, PathBuf, Vec<Sighting>)> {
    let Some((tracks, beacons)) = real_tracks() else {
        println!("SKIPPED: there are no recorded tracks in ../shared/data");
        return None;
    };
    let sightings = read_sightings(&tracks, now_us);
    Some((tracks, beacons, sightings))
}

fn recorded_tracks_twice(target: impl Fn(&Daemon) -> String, arguments: &[&str]) {
    let now_us = harness::now_us();
    let Some((tracks, beacons, sightings)) = recorded(now_us) else { return };
    let model = Model::of_one_gateway(&read_beacons(&beacons), GATEWAY);
    let expectation = Expectation::of(model, &sightings, now_us);
    let tables = Tables::expected(&expectation.model);
    assert_eq!((expectation.sent, tables.identities.len()), (6_159, 6));

    let home = Home::new();
    home.import_beacon_file(&beacons);
    let rebase = now_us.to_string();
    let arguments = [arguments, &["--rebase-to", &rebase]].concat();
    let send = |daemon: &Daemon| report(&home.path(""), &tracks, &target(daemon), &arguments);
    let daemon = home.serve();
    assert_eq!(send(&daemon), expectation.report());
    daemon.all_stored();
    expectation.assert_counted(&daemon);
    tables.assert_found(&store::tables(&home.data()), "sent once");

    // What was identified is identified again, and everything else has the outcome it had.
    assert_eq!(send(&daemon), expectation.report());
    assert_eq!(daemon.stats().number("identified_new"), expectation.identities());
    tables.assert_found(&store::tables(&home.data()), "sent twice");
    daemon.stop();

    let daemon = home.serve();
    assert_eq!(send(&daemon), expectation.report());
    assert_eq!(daemon.stats().number("identified_new"), 0);
    tables.assert_found(&store::tables(&home.data()), "sent again after a restart");
    daemon.stop();
    assert_read_by_another_client(&home, &tables);
}

/// The same rows as a client that shares no code with the daemon, not even SQLite's, reads them.
fn assert_read_by_another_client(home: &Home, tables: &Tables) {
    let Some(found) = store::read_by_python(&home.data()) else {
        println!("SKIPPED: there is no python3 to read the store with");
        return;
    };
    let row = |row: &IdentityRow| format!("{}|{}|{}", row.customer_id, row.detected_at, row.beacon_id);
    let customers = tables.last_seen.iter().map(|(customer, last_seen)| format!("{customer}|{last_seen}"));
    let identities = tables.identities.iter().map(row);
    let events = tables.events.iter().map(|event| row(&event.identity));
    let mut expected: Vec<String> = customers.chain(identities).chain(events).collect();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn recorded_tracks_over_tcp_make_what_the_model_says_and_again_nothing() {
    recorded_tracks_twice(|daemon| format!("tcp://{}", daemon.tcp), &[]);
}

#[test]
fn recorded_tracks_over_udp_make_what_the_model_says_and_again_nothing() {
    recorded_tracks_twice(|daemon| format!("udp://{}", daemon.udp), &["--in-flight", "1"]);
}

#[test]
fn a_thousand_clones_of_the_recorded_tracks_make_the_same_each() {
    let now_us = harness::now_us();
    let Some((tracks, beacons, sightings)) = recorded(now_us) else { return };
    let model = Model::of_one_gateway(&read_beacons(&beacons), GATEWAY);
    let mut expectation = Expectation::of(model, &sightings, now_us);
    for clone in 1..1_000 {
        expectation.add_clone(&sightings, now_us, clone);
    }
    let tables = Tables::expected(&expectation.model);
    assert_eq!((expectation.sent, tables.identities.len()), (6_159_000, 6_000));

    let home = Home::new();
    home.import_beacon_file(&beacons);
    let daemon = home.serve();
    let (target, rebase) = (format!("tcp://{}", daemon.tcp), now_us.to_string());
    let arguments = ["--clones", "1000", "--rebase-to", &rebase];
    assert_eq!(report(&home.path(""), &tracks, &target, &arguments), expectation.report());
    expectation.assert_counted(&daemon);
    tables.assert_found(&store::tables(&home.data()), "a thousand clones");
    daemon.stop();
}

#[test]
fn a_line_that_does_not_parse_is_named_and_nothing_is_sent() {
    let home = Home::new();
    let daemon = home.serve();
    let header = "detected_at_unix_us,customer_id,beacon_uuid,major,minor,rssi_dbm";
    let sound = "1,alice,0db9ba02-25ee-562c-9dee-7afcb156cfba,1,2,-60";
    for (line, named) in [
        ("yesterday,alice,0db9ba02-25ee-562c-9dee-7afcb156cfba,1,2,-60", "detected_at_unix_us"),
        ("1,alice,0db9ba02,1,2,-60", "beacon_uuid"),
        ("1,alice,0db9ba02-25ee-562c-9dee-7afcb156cfba,65536,2,-60", "major"),
        ("1,alice,0db9ba02-25ee-562c-9dee-7afcb156cfba,1,-2,-60", "minor"),
        ("1,alice,0db9ba02-25ee-562c-9dee-7afcb156cfba,1,2,-129", "rssi_dbm"),
    ] {
        let file = home.write("broken.csv", &format!("{header}\n{sound}\n{line}\n"));
        let failed = replay(&file, &format!("tcp://{}", daemon.tcp), &[]);
        let said = failed.failed_in_one_line(65);
        assert!(said.contains("broken.csv") && said.contains("line 3") && said.contains(named), "{said}");
    }
    let stats = daemon.stats();
    assert_eq!((stats.number("frames"), stats.listener("tcp_sessions_opened")), (0, 0));
    daemon.stop();
}
