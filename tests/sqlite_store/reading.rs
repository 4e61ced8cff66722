//! The system of record's answers.

use beacond::domain::beacon::BeaconStatus;
use beacond::domain::customer::CustomerId;
use beacond::domain::gateway::{GatewayStatus, StoreScope};
use beacond::domain::identity::CustomerIdentity;
use beacond::domain::time::Timestamp;
use beacond::ports::{BatchWriter, Delivery, StoreError, SystemOfRecord};
use beacond::stores::sqlite::{SqliteReader, SqliteReaderSettings};
use rusqlite::Connection;

use crate::scene::{NOON_US, Scene, beacon, beacon_id, customer, identified, identity, time};

const MINUTE_US: i64 = 60_000_000;

fn reader(scene: &Scene) -> SqliteReader {
    SqliteReader::open(scene.dir.path()).unwrap()
}

fn near(stored: &[(&str, i64)], asked: &[(&str, i64)]) -> Vec<(String, i64)> {
    let scene = Scene::with_beacons();
    let identities = stored.iter().map(|&(id, at)| identity(id, at, 1)).collect();
    scene.writer().write(&[identified(identities)], Delivery::First).unwrap();
    let asked = asked.iter().map(|&(id, at)| (customer(id), time(at))).collect();
    futures_block_on(reader(&scene).identities_near(asked))
        .unwrap()
        .into_iter()
        .map(|found| {
            assert_eq!(found.beacon_id, beacon_id(1));
            (found.customer_id.as_str().to_owned(), found.detected_at.as_micros() - NOON_US)
        })
        .collect()
}

fn futures_block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn near_is_less_than_60_seconds_on_either_side_to_the_microsecond() {
    let stored = [("é北", 0)];
    assert_eq!(near(&stored, &[("é北", MINUTE_US)]), []);
    assert_eq!(near(&stored, &[("é北", -MINUTE_US)]), []);
    assert_eq!(near(&stored, &[("é北", MINUTE_US - 1)]), [("é北".to_owned(), 0)]);
    assert_eq!(near(&stored, &[("é北", 1 - MINUTE_US)]), [("é北".to_owned(), 0)]);
    assert_eq!(near(&stored, &[("é北", 0)]), [("é北".to_owned(), 0)]);
}

#[test]
fn each_near_identity_comes_once_and_only_of_customers_asked_about() {
    let stored = [("a", 0), ("a", MINUTE_US), ("a", 2 * MINUTE_US), ("b", 0), ("c", 0)];
    let asked = [("b", 5), ("a", 100 * MINUTE_US), ("a", MINUTE_US + 9), ("a", 1), ("nobody", 0)];
    let expected = [("a", 0), ("a", MINUTE_US), ("a", 2 * MINUTE_US), ("b", 0)];
    let expected: Vec<_> = expected.iter().map(|&(id, at)| (id.to_owned(), at)).collect();
    assert_eq!(near(&stored, &asked), expected);
}

#[test]
fn a_question_of_a_full_frame_sees_what_was_committed_before_it() {
    let scene = Scene::with_beacons();
    let reader = reader(&scene);
    let mut writer = scene.writer();
    let names: Vec<String> = (0..4096).map(|number| format!("customer-{number}")).collect();
    for minute in 0..2 {
        let at = minute * MINUTE_US;
        writer
            .write(&[identified(names.iter().map(|name| identity(name, at, 0)).collect())], Delivery::First)
            .unwrap();
        let asked: Vec<(CustomerId, Timestamp)> =
            names.iter().map(|name| (customer(name), time(at))).collect();
        let found = futures_block_on(reader.identities_near(asked)).unwrap();
        assert_eq!(found.len(), 4096);
        assert!(found.iter().all(|CustomerIdentity { detected_at, .. }| *detected_at == time(at)));
    }
}

#[test]
fn the_newest_identity_is_the_latest_detected() {
    let scene = Scene::with_beacons();
    let reader = reader(&scene);
    assert_eq!(futures_block_on(reader.newest_identity()).unwrap(), None);
    scene
        .writer()
        .write(&[identified(vec![identity("a", 9, 0), identity("z", 4, 0)])], Delivery::First)
        .unwrap();
    assert_eq!(futures_block_on(reader.newest_identity()).unwrap(), Some(time(9)));
}

#[test]
fn a_beacon_is_read_as_registered_and_an_unknown_one_is_none() {
    let scene = Scene::with_beacons();
    let reader = reader(&scene);
    let mut found = futures_block_on(reader.beacon(beacon_id(2))).unwrap().unwrap();
    assert!(found.updated_at > Timestamp::default());
    found.updated_at = Timestamp::default();
    assert_eq!(found, beacon(2));
    assert_eq!(futures_block_on(reader.beacon(beacon_id(9))).unwrap(), None);
    scene.plain().execute("UPDATE beacons SET status = 'maintenance', location_type = NULL", []).unwrap();
    let changed = futures_block_on(reader.beacon(beacon_id(2))).unwrap().unwrap();
    assert_eq!((changed.status, changed.location_type), (BeaconStatus::Maintenance, None));
}

#[test]
fn a_gateway_is_read_as_registered() {
    let scene = Scene::new();
    let sql =
        r#"INSERT INTO gateways (gateway_id, stores, status) VALUES ('g', '["s1", "Zürich"]', 'disabled')"#;
    scene.plain().execute(sql, []).unwrap();
    let reader = reader(&scene);
    let gateway = futures_block_on(reader.gateway("g".parse().unwrap())).unwrap().unwrap();
    let stores = ["s1", "Zürich"].into_iter().map(|store| store.parse().unwrap()).collect();
    assert_eq!((gateway.stores, gateway.status), (StoreScope::These(stores), GatewayStatus::Disabled));
    assert_eq!(futures_block_on(reader.gateway("h".parse().unwrap())).unwrap(), None);
}

#[test]
fn rows_edited_out_of_the_model_are_bad_rows_and_the_reader_goes_on() {
    let scene = Scene::with_beacons();
    let edit = |sql: &str| {
        let connection = scene.plain();
        connection.execute_batch("PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF").unwrap();
        connection.execute(sql, []).unwrap();
    };
    let reader = reader(&scene);
    let bad = |error: StoreError| match error {
        StoreError::BadRow { reason, .. } => reason,
        StoreError::Unavailable { .. } => panic!("{error}"),
    };
    for (column, value) in [
        ("major", "70000"),
        ("minor", "-1"),
        ("status", "'gone'"),
        ("store_id", "''"),
        ("location", "char(7)"),
        ("location_type", "'bar'"),
    ] {
        let was: rusqlite::types::Value = scene.one(&format!("SELECT {column} FROM beacons"), []);
        edit(&format!("UPDATE beacons SET {column} = {value}"));
        let reason = bad(futures_block_on(reader.beacon(beacon_id(1))).unwrap_err());
        assert!(reason.contains(column) && reason.contains(&beacon_id(1).to_string()), "{reason}");
        scene.plain().execute(&format!("UPDATE beacons SET {column} = ?1"), [was]).unwrap();
        assert!(futures_block_on(reader.beacon(beacon_id(1))).unwrap().is_some());
    }
    for stores in ["{}", "[1]", "\"s\"", "not JSON", "[\"\"]", "null"] {
        edit(&format!("INSERT OR REPLACE INTO gateways (gateway_id, stores) VALUES ('g', '{stores}')"));
        let reason = bad(futures_block_on(reader.gateway("g".parse().unwrap())).unwrap_err());
        assert!(reason.contains("gateway g: stores"), "{reason}");
    }
    edit(
        "INSERT INTO customer_identities (customer_id, beacon_id, confidence, detected_at)
          VALUES ('c', 'no UUID', 0.9, '2026-05-01T12:00:00.000000Z')",
    );
    let reason = bad(futures_block_on(reader.identities_near(vec![(customer("c"), time(0))])).unwrap_err());
    assert!(reason.contains("beacon_id"), "{reason}");
    edit("UPDATE customer_identities SET detected_at = 'yesterday'");
    let reason = bad(futures_block_on(reader.newest_identity()).unwrap_err());
    assert!(reason.contains("detected_at"), "{reason}");
}

#[test]
fn more_questions_than_may_wait_are_refused_at_once() {
    let scene = Scene::with_beacons();
    let settings = SqliteReaderSettings { threads: 1, queue: 1 };
    let reader = SqliteReader::open_with(scene.dir.path(), settings).unwrap();
    let asked: Vec<_> = (0..4096).map(|number| (customer(&format!("c{number}")), time(0))).collect();
    let answers: Vec<_> = (0..50).map(|_| reader.identities_near(asked.clone())).collect();
    let mut refused = 0;
    for answer in answers {
        match futures_block_on(answer) {
            Ok(found) => assert_eq!(found, []),
            Err(StoreError::Unavailable { reason, .. }) => {
                assert!(reason.contains("too many questions"), "{reason}");
                refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!((1..50).contains(&refused), "{refused}");
    assert!(futures_block_on(reader.beacon(beacon_id(0))).unwrap().is_some());
}

#[test]
fn a_question_given_up_hurts_nobody() {
    let scene = Scene::with_beacons();
    let reader = reader(&scene);
    for _ in 0..100 {
        drop(reader.beacon(beacon_id(0)));
    }
    assert!(futures_block_on(reader.newest_identity()).is_ok());
}

/// A connection may leave WAL mode only when it is the only one.
fn is_alone(connection: &Connection) -> bool {
    connection
        .pragma_update_and_check(None, "journal_mode", "DELETE", |row| row.get::<_, String>(0))
        .is_ok_and(|mode| mode == "delete")
}

#[test]
fn closing_ends_its_threads_and_their_connections() {
    let scene = Scene::with_beacons();
    let reader = reader(&scene);
    assert!(!is_alone(&scene.plain()));
    reader.close();
    assert!(is_alone(&scene.plain()));
}
