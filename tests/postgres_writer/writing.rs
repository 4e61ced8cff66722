//! What a batch leaves behind.

use beacond::ports::{BatchWriter, Delivery};
use beacond::stores::postgres::{ForeignKeys, PostgresWriter};

use crate::scene::{MINUTE_US, Scene, beacon_id, crowd, identified, identity, prefers};

const ROW: &str = "SELECT customer_id, beacon_id, location, confidence, to_char(detected_at AT TIME ZONE 'UTC',
    'YYYY-MM-DD HH24:MI:SS.US'), tableoid::regclass FROM customer_identities ORDER BY customer_id, detected_at";

#[test]
fn an_identity_makes_its_row_and_its_customer() {
    let scene = Scene::new();
    scene.writer().write(&[identified(vec![identity("Zoë 北京", 7, 2)])], Delivery::First).unwrap();
    let beacon = beacon_id(2);
    assert_eq!(
        scene.sql(ROW),
        format!("Zoë 北京|{beacon}|Table 2|0.9|2026-05-01 12:00:00.000007|customer_identities_2026")
    );
    assert_eq!(scene.last_seen("Zoë 北京"), "2026-05-01T12:00:00.000007Z");
    assert_eq!(scene.sql("SELECT preferences, created_at <= now() FROM customers"), "{}|t");
}

#[test]
fn a_place_without_a_name_is_null() {
    let scene = Scene::new();
    let mut nameless = identity("c", 0, 0);
    nameless.location = None;
    scene.writer().write(&[identified(vec![nameless])], Delivery::First).unwrap();
    assert_eq!(scene.sql("SELECT location IS NULL FROM customer_identities"), "t");
}

#[test]
fn a_batch_written_again_leaves_what_it_left_the_first_time() {
    let scene = Scene::new();
    let batch = [
        identified(vec![identity("a", 0, 0), identity("b", 5, 1), identity("a", MINUTE_US, 0)]),
        prefers("a", 3, &[("seat", "window")]),
    ];
    let mut writer = scene.writer();
    writer.write(&batch, Delivery::First).unwrap();
    let rows =
        || scene.sql("SELECT * FROM customer_identities ORDER BY id; SELECT * FROM customers ORDER BY 1");
    let first = rows();
    writer.write(&batch, Delivery::Again).unwrap();
    assert_eq!(rows(), first);
    // What may not be, is merged all the same.
    writer.write(&batch, Delivery::First).unwrap();
    assert_eq!(rows(), first);
    assert_eq!(writer.status().merges(), 2);
}

#[test]
fn a_conflict_on_the_first_way_leaves_new_rows_beside_old_ones() {
    let scene = Scene::new();
    let mut writer = scene.writer();
    writer.write(&crowd("c", 10, 0), Delivery::First).unwrap();
    writer.write(&crowd("c", 20, 0), Delivery::First).unwrap();
    assert_eq!(scene.count("customer_identities"), 20);
    assert_eq!(scene.count("customers"), 20);
}

#[test]
fn of_two_equal_keys_in_a_batch_the_first_is_stored() {
    let scene = Scene::new();
    let batch =
        [identified(vec![identity("a", 0, 1)]), identified(vec![identity("a", 0, 2), identity("b", 0, 2)])];
    let mut writer = scene.writer();
    writer.write(&batch, Delivery::First).unwrap();
    assert_eq!(
        scene.sql("SELECT customer_id, location FROM customer_identities ORDER BY 1"),
        "a|Table 1\nb|Table 2"
    );
    writer.write(&batch, Delivery::Again).unwrap();
    assert_eq!(scene.count("customer_identities"), 2);
    assert_eq!(writer.status().near_rows(), 0);
}

#[test]
fn last_seen_moves_forward_only() {
    let scene = Scene::new();
    let mut writer = scene.writer();
    let mut seen_after = |after_us: &[i64]| {
        let rows = after_us.iter().map(|at| identity("c", *at, 0)).collect();
        writer.write(&[identified(rows)], Delivery::First).unwrap();
        scene.last_seen("c")
    };
    assert_eq!(seen_after(&[10 * MINUTE_US]), "2026-05-01T12:10:00.000000Z");
    assert_eq!(seen_after(&[5 * MINUTE_US]), "2026-05-01T12:10:00.000000Z");
    assert_eq!(seen_after(&[8 * MINUTE_US, 12 * MINUTE_US]), "2026-05-01T12:12:00.000000Z");
    assert_eq!(seen_after(&[20 * MINUTE_US]), "2026-05-01T12:20:00.000000Z");
    assert_eq!(scene.count("customer_identities"), 5);
}

#[test]
fn a_batch_over_several_connections_is_all_there_and_again_nothing_more() {
    let scene = Scene::new();
    let mut settings = scene.settings();
    settings.connections = 4;
    let mut writer = PostgresWriter::new(&settings).unwrap();
    let mut batch = crowd("c", 3_000, 0);
    batch.push(prefers("c-7", 1, &[("seat", "bar")]));
    batch.push(prefers("other", 1, &[("seat", "bar")]));
    writer.write(&batch, Delivery::First).unwrap();
    let backends = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'beacond'";
    assert_eq!(scene.sql(backends), "4");
    writer.write(&batch, Delivery::Again).unwrap();
    assert_eq!(scene.count("customer_identities"), 3_000);
    assert_eq!(
        scene.sql("SELECT count(DISTINCT (customer_id, detected_at)) FROM customer_identities"),
        "3000"
    );
    assert_eq!(scene.count("customers"), 3_001);
    assert_eq!(scene.sql("SELECT count(*) FROM customers WHERE preferences = '{\"seat\": \"bar\"}'"), "2");
}

#[test]
fn both_ways_to_check_foreign_keys_leave_the_same() {
    let rows = [ForeignKeys::CheckedByBatch, ForeignKeys::CheckedByRow].map(|foreign_keys| {
        let scene = Scene::new();
        let mut settings = scene.settings();
        settings.foreign_keys = foreign_keys;
        let mut writer = PostgresWriter::new(&settings).unwrap();
        writer.write(&crowd("c", 100, 0), Delivery::First).unwrap();
        writer.write(&crowd("c", 120, 10 * MINUTE_US), Delivery::Again).unwrap();
        assert_eq!(writer.status().foreign_keys(), Some(foreign_keys));
        scene.sql(ROW)
    });
    assert_eq!(rows[0], rows[1]);
    assert_eq!(rows[0].lines().count(), 220);
}

#[test]
fn a_batch_without_rows_asks_nothing_of_the_server() {
    let scene = Scene::new();
    let mut writer = scene.writer_as("postgresql://nobody@127.0.0.1:1/nowhere".to_owned());
    writer.write(&[identified(Vec::new())], Delivery::First).unwrap();
    assert!(writer.write(&crowd("c", 1, 0), Delivery::First).is_err());
}

#[test]
fn known_customers_among_mostly_new_ones_are_moved_all_the_same() {
    let scene = Scene::new();
    let mut writer = scene.writer();
    writer.write(&crowd("a", 100, 0), Delivery::First).unwrap();
    let mut batch = crowd("b", 100, 2 * MINUTE_US);
    batch.extend(crowd("a", 10, 2 * MINUTE_US));
    writer.write(&batch, Delivery::First).unwrap();
    let mut batch = crowd("c", 100, 4 * MINUTE_US);
    batch.push(identified(vec![identity("a-3", MINUTE_US + 1, 0), identity("a-4", 4 * MINUTE_US, 0)]));
    writer.write(&batch, Delivery::First).unwrap();
    assert_eq!(scene.last_seen("a-3"), "2026-05-01T12:02:00.000000Z");
    assert_eq!(scene.last_seen("a-4"), "2026-05-01T12:04:00.000000Z");
    assert_eq!(scene.last_seen("a-50"), "2026-05-01T12:00:00.000000Z");
    assert_eq!(scene.count("customers"), 300);
    assert_eq!(writer.status().near_rows(), 1);
}
