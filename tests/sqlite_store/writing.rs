//! What a batch leaves behind.

use std::sync::Arc;

use beacond::ports::{BatchWriter, Delivery, WriteError};

use crate::scene::{Scene, beacon_id, confidence, identified, identity, prefers, time};

const MINUTE_US: i64 = 60_000_000;

#[test]
fn an_identity_makes_its_row_its_event_and_its_customer() {
    let scene = Scene::with_beacons();
    scene.writer().write(&[identified(vec![identity("Zoë 北京", 7, 2)])], Delivery::First).unwrap();
    let connection = scene.plain();
    let at = "2026-05-01T12:00:00.000007Z";
    let expected_confidence = f64::from(confidence().as_f32());
    let row = connection
        .query_row(
            "SELECT customer_id, beacon_id, location, confidence, detected_at FROM customer_identities",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)),
        )
        .unwrap();
    let beacon = beacon_id(2).to_string();
    let expected: (String, String, String, f64, String) =
        ("Zoë 北京".to_owned(), beacon.clone(), "Table 2".to_owned(), expected_confidence, at.to_owned());
    assert_eq!(row, expected);
    let event = connection
        .query_row(
            "SELECT CustomerID, BeaconID, Location, Confidence, DetectedAt FROM customer_events",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)),
        )
        .unwrap();
    assert_eq!(row, event);
    let a_year_later: i64 = scene.one("SELECT unixepoch('2026-05-01T12:00:00Z') + 365 * 86400", []);
    assert_eq!(scene.one::<i64>("SELECT ExpiresAt FROM customer_events", []), a_year_later);
    assert_eq!(scene.last_seen("Zoë 北京"), at);
    assert_eq!(scene.one::<String>("SELECT preferences FROM customers", []), "{}");
    assert_eq!(scene.one::<i64>("SELECT length(created_at) FROM customers", []), 27);
}

#[test]
fn a_place_without_a_name_is_null() {
    let scene = Scene::with_beacons();
    let mut nameless = identity("c", 0, 0);
    nameless.location = None;
    scene.writer().write(&[identified(vec![nameless])], Delivery::First).unwrap();
    assert_eq!(scene.one::<Option<String>>("SELECT location FROM customer_identities", []), None);
    assert_eq!(scene.one::<Option<String>>("SELECT Location FROM customer_events", []), None);
}

#[test]
fn a_batch_written_twice_leaves_what_it_left_the_first_time() {
    let scene = Scene::with_beacons();
    let batch = [
        identified(vec![identity("a", 0, 0), identity("b", 5, 1), identity("a", MINUTE_US, 0)]),
        prefers("a", 3, &[("seat", "window")]),
    ];
    let mut writer = scene.writer();
    writer.write(&batch, Delivery::First).unwrap();
    let dump = || -> String {
        scene.one(
            "SELECT (SELECT group_concat(id || customer_id || detected_at || beacon_id) FROM customer_identities)
             || (SELECT group_concat(customer_id || last_seen || preferences || created_at) FROM customers)
             || (SELECT group_concat(CustomerID || DetectedAt) FROM customer_events)",
            [],
        )
    };
    let first = dump();
    writer.write(&batch, Delivery::First).unwrap();
    scene.writer().write(&batch, Delivery::First).unwrap();
    assert_eq!(dump(), first);
    assert_eq!((scene.count("customer_identities"), scene.count("customer_events")), (3, 3));
}

#[test]
fn a_redelivery_inside_one_batch_makes_one_row() {
    let scene = Scene::with_beacons();
    let twice = [identified(vec![identity("a", 0, 0)]), identified(vec![identity("a", 0, 0)])];
    scene.writer().write(&twice, Delivery::First).unwrap();
    assert_eq!((scene.count("customer_identities"), scene.count("customer_events")), (1, 1));
}

#[test]
fn last_seen_moves_forward_only() {
    let scene = Scene::with_beacons();
    let mut writer = scene.writer();
    writer
        .write(&[identified(vec![identity("c", 2 * MINUTE_US, 0), identity("c", 0, 0)])], Delivery::First)
        .unwrap();
    assert_eq!(scene.last_seen("c"), time(2 * MINUTE_US).to_string());
    writer.write(&[identified(vec![identity("c", MINUTE_US, 0)])], Delivery::First).unwrap();
    assert_eq!(scene.last_seen("c"), time(2 * MINUTE_US).to_string());
    writer.write(&[identified(vec![identity("c", 4 * MINUTE_US, 0)])], Delivery::First).unwrap();
    assert_eq!(scene.last_seen("c"), time(4 * MINUTE_US).to_string());
    assert_eq!(scene.count("customer_identities"), 4);
}

fn preferences(scene: &Scene) -> serde_json::Value {
    let text: String = scene.one("SELECT preferences FROM customers WHERE customer_id = 'c'", []);
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_preference_changes_only_for_a_newer_one_key_by_key() {
    let scene = Scene::with_beacons();
    let mut writer = scene.writer();
    writer.write(&[prefers("c", 10, &[("seat", "window"), ("tea", "green")])], Delivery::First).unwrap();
    writer.write(&[prefers("c", 10, &[("seat", "equal loses")])], Delivery::First).unwrap();
    writer.write(&[prefers("c", 9, &[("seat", "older loses"), ("music", "none")])], Delivery::First).unwrap();
    writer.write(&[prefers("c", 11, &[("tea", "black")])], Delivery::First).unwrap();
    let expected = serde_json::json!({"seat": "window", "tea": "black", "music": "none"});
    assert_eq!(preferences(&scene), expected);
    let changed_at = |key: &str| -> String {
        scene.one("SELECT updated_at FROM preference_changes WHERE customer_id = 'c' AND key = ?1", [key])
    };
    assert_eq!(changed_at("seat"), time(10).to_string());
    assert_eq!(changed_at("tea"), time(11).to_string());
    assert_eq!(changed_at("music"), time(9).to_string());
}

#[test]
fn a_preference_of_an_unknown_customer_makes_the_row_and_does_not_move_a_known_ones_last_seen() {
    let scene = Scene::with_beacons();
    let mut writer = scene.writer();
    writer.write(&[prefers("c", 10, &[("k", "v")])], Delivery::First).unwrap();
    assert_eq!(scene.last_seen("c"), time(10).to_string());
    writer.write(&[prefers("c", 99, &[("k", "w")])], Delivery::First).unwrap();
    assert_eq!(scene.last_seen("c"), time(10).to_string());
    writer.write(&[identified(vec![identity("c", 20, 0)]), prefers("c", 199, &[])], Delivery::First).unwrap();
    assert_eq!(scene.last_seen("c"), time(20).to_string());
}

#[test]
fn any_lawful_key_and_value_survives() {
    let scene = Scene::with_beacons();
    let pairs = [
        ("quote\"back\\slash", "a \"b\" \\ c"),
        ("$.a[0]", "'; DROP"),
        ("ключ 🍜", "\u{1}\u{fffd}"),
        ("e", ""),
    ];
    let mut writer = scene.writer();
    writer.write(&[prefers("c", 1, &pairs)], Delivery::First).unwrap();
    writer.write(&[prefers("c", 2, &pairs[..2])], Delivery::First).unwrap();
    let expected: serde_json::Map<_, _> =
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
    assert_eq!(preferences(&scene), serde_json::Value::Object(expected));
}

#[test]
fn a_batch_of_an_unknown_beacon_is_refused_whole_and_the_next_is_written() {
    let scene = Scene::with_beacons();
    let mut writer = scene.writer();
    let batch = [
        identified(vec![identity("a", 0, 0), identity("m", 0, 99), identity("z", 0, 1)]),
        prefers("p", 0, &[("k", "v")]),
    ];
    let error = writer.write(&batch, Delivery::First).unwrap_err();
    let WriteError::Rejected(reason) = &error else { panic!("{error}") };
    assert!(reason.contains(&beacon_id(99).to_string()), "{reason}");
    for table in ["customers", "customer_identities", "customer_events", "preference_changes"] {
        assert_eq!(scene.count(table), 0, "{table}");
    }
    writer.write(&[identified(vec![identity("a", 0, 0)])], Delivery::First).unwrap();
    assert_eq!(scene.count("customer_identities"), 1);
}

#[test]
fn a_batch_of_nothing_is_written_even_when_the_file_is_locked() {
    let scene = Scene::with_beacons();
    let mut writer = scene.writer();
    let lock = scene.plain();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    writer.write(&[], Delivery::First).unwrap();
    writer.write(&[Arc::default(), Arc::default()], Delivery::First).unwrap();
}

#[test]
fn two_writers_take_turns() {
    let scene = Scene::with_beacons();
    let writers = [scene.writer(), scene.writer()];
    let threads: Vec<_> = writers
        .into_iter()
        .enumerate()
        .map(|(name, mut writer)| {
            std::thread::spawn(move || {
                for number in 0..20 {
                    let batch = [identified(vec![identity(&format!("{name}"), number * MINUTE_US, 0)])];
                    writer.write(&batch, Delivery::First).unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(scene.count("customer_identities"), 40);
}
