//! Beacons changed by psql under a running daemon, and preferences.

use std::time::{Duration, Instant};

use crate::harness::wait_until;
use crate::model::tables::{Tables, utc_text};
use crate::scene::{Reporter, registration, table};
use crate::stack::FullStack;

/// How soon every daemon knows of a change.
const KNOWN_WITHIN: Duration = Duration::from_secs(5);

const ACCEPTED: u8 = 2;

/// Reports a strong sighting of the beacon again and again until it comes to `outcome`, which must be soon; until then
/// it comes to `before`. Sightings of another beacon flow all the while.
fn reported_until(reporter: &mut Reporter, beacon: u16, before: &str, outcome: &str) {
    let started = Instant::now();
    loop {
        let frame = [reporter.strong(&table(beacon))];
        let came = reporter.ask(&frame);
        assert_eq!(came.len(), 1);
        if came[0].0 == outcome {
            println!("{outcome} after {:?}", started.elapsed());
            return;
        }
        assert_eq!(came[0].0, before);
        assert!(started.elapsed() < KNOWN_WITHIN, "still {before} after {:?}", started.elapsed());
        let other = [reporter.strong(&table(1))];
        assert_eq!(reporter.ask(&other), [("identified", 1)], "of a beacon that nobody changed");
    }
}

#[test]
fn a_beacon_retired_by_psql_is_refused_within_five_seconds_and_not_brought_back_by_a_cache() {
    let stack = FullStack::with_beacons(&[table(1), table(2)]);
    let daemon = stack.serve();
    let mut reporter = Reporter::open(&daemon, &[table(1), table(2)]);
    let frame = [reporter.strong(&table(1)), reporter.strong(&table(2))];
    assert_eq!(reporter.ask(&frame), [("identified", 2)]);
    // What was read at the start is told to no cache; what is looked up after a change is.
    stack.database.run(&format!(
        "UPDATE beacons SET location_type = location_type WHERE beacon_id = '{}'",
        table(2).id
    ));
    let cached = wait_until(|| {
        let frame = [reporter.strong(&table(2))];
        reporter.send(&frame);
        assert_eq!(reporter.answered().outcomes(), [("identified", 1)]);
        Some(stack.redis.beacon(table(2).id)).filter(|hash| !hash.is_empty())
    })
    .unwrap();
    let fields = ["store_id", "location", "major", "minor", "status", "location_type"];
    assert_eq!(fields.map(|field| cached[field].as_str()), ["ours", "Table 2", "1", "2", "active", "table"]);

    stack
        .database
        .run(&format!("UPDATE beacons SET status = 'inactive' WHERE beacon_id = '{}'", table(2).id));
    reported_until(&mut reporter, 2, "identified", "beacon_inactive");
    // Neither this daemon nor another on the same cache takes it for active again.
    let another = stack.home_by(&stack.database.url());
    let another = another.serve();
    let mut elsewhere = Reporter::open(&another, &[table(1), table(2)]);
    for _ in 0..20 {
        for reporter in [&mut reporter, &mut elsewhere] {
            let frame = [reporter.strong(&table(2))];
            reporter.send(&frame);
            assert_eq!(reporter.answered().outcomes(), [("beacon_inactive", 1)]);
        }
    }
    let hash = stack.redis.beacon(table(2).id);
    assert!(hash.is_empty() || hash["status"] == "inactive", "{hash:?}");

    stack.database.run(&format!("UPDATE beacons SET status = 'active' WHERE beacon_id = '{}'", table(2).id));
    reported_until(&mut elsewhere, 2, "beacon_inactive", "identified");
    another.stop();
    daemon.stop();
}

#[test]
fn a_beacon_registered_by_psql_is_known_within_five_seconds_though_it_was_asked_for_before() {
    let stack = FullStack::with_beacons(&[table(1)]);
    let daemon = stack.serve();
    let mut reporter = Reporter::open(&daemon, &[table(1), table(7)]);
    for _ in 0..3 {
        let frame = [reporter.strong(&table(7)), reporter.weak(&table(1))];
        reporter.send(&frame);
        assert_eq!(reporter.answered().outcomes(), [("unknown_beacon", 1), ("low_confidence", 1)]);
    }
    stack.database.run(&registration(&table(7)));
    reported_until(&mut reporter, 7, "unknown_beacon", "identified");
    stack
        .database
        .run(&format!("UPDATE beacons SET location = 'Terrasse' WHERE beacon_id = '{}'", table(7).id));
    // Where somebody was is fixed when it is decided: the new name is of new identities only.
    let named = wait_until(|| {
        let frame = [reporter.strong(&table(7))];
        assert_eq!(reporter.ask(&frame), [("identified", 1)]);
        let sql = "SELECT location FROM customer_identities ORDER BY detected_at DESC LIMIT 1";
        (stack.database.value(sql) == "Terrasse").then_some(())
    });
    assert_eq!(named, Ok(()));
    daemon.stop();
}

#[test]
fn a_beacon_deleted_by_psql_is_unknown_within_five_seconds() {
    let stack = FullStack::with_beacons(&[table(1), table(2)]);
    let daemon = stack.serve();
    let mut reporter = Reporter::open(&daemon, &[table(1), table(2)]);
    let frame = [reporter.weak(&table(2))];
    assert_eq!(reporter.ask(&frame), [("low_confidence", 1)]);
    stack.database.run(&format!("DELETE FROM beacons WHERE beacon_id = '{}'", table(2).id));
    let started = Instant::now();
    let gone = wait_until(|| {
        let frame = [reporter.weak(&table(2)), reporter.strong(&table(1))];
        reporter.send(&frame);
        let outcomes = reporter.answered().outcomes();
        assert!(outcomes.contains(&("identified", 1)), "{outcomes:?}");
        outcomes.contains(&("unknown_beacon", 1)).then_some(())
    });
    assert_eq!(gone, Ok(()));
    assert!(started.elapsed() < KNOWN_WITHIN, "{:?}", started.elapsed());
    assert!(stack.redis.beacon(table(2).id).is_empty());
    daemon.stop();
}

#[test]
fn preferences_are_merged_by_their_time_in_the_system_of_record_alone() {
    let stack = FullStack::with_beacons(&[table(1)]);
    let daemon = stack.serve();
    let mut reporter = Reporter::open(&daemon, &[table(1)]);
    let now_us = crate::harness::now_us();
    let mut set = |at_us, pairs: &[(&str, &str)]| {
        reporter.send_preferences(at_us, "alice", pairs);
        assert_eq!(reporter.answered().status, ACCEPTED);
        stack.database.preferences_of("alice").unwrap()
    };
    let found = set(now_us, &[("diet", "vegan"), ("seat", "Fenster 窗")]);
    assert_eq!(found, serde_json::json!({"diet": "vegan", "seat": "Fenster 窗"}));
    let found = set(now_us - 1, &[("diet", "meat"), ("drink", "tea")]);
    assert_eq!(found, serde_json::json!({"diet": "vegan", "seat": "Fenster 窗", "drink": "tea"}));
    let found = set(now_us + 1, &[("diet", "")]);
    assert_eq!(found, serde_json::json!({"diet": "", "seat": "Fenster 窗", "drink": "tea"}));

    let stats = daemon.stats();
    assert_eq!((stats.preferences("received"), stats.preferences("accepted")), (3, 3));
    assert_eq!(stack.database.count("preference_changes"), 3);
    let customers = [("alice".to_owned(), utc_text(now_us))].into();
    // The first of a customer that nobody has seen made the row; setting is not being seen.
    let expected = Tables { last_seen: customers, ..Tables::default() };
    expected.assert_found(&stack.tables(), "preferences only");
    daemon.stop();
}
