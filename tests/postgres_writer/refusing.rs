//! What cannot be written ends as the pipeline needs to know, and a row is never lost.

use std::sync::Arc;

use beacond::domain::preference::PreferenceChange;
use beacond::ports::{BatchWriter, Block, Delivery, WriteError};
use beacond::stores::postgres::PostgresWriter;

use crate::scene::{MINUTE_US, NOON_US, RIGHTS, Scene, crowd, identified, identity, time};

fn rejected(writer: &mut PostgresWriter, batch: &[Arc<Block>], delivery: Delivery) -> String {
    match writer.write(batch, delivery) {
        Err(WriteError::Rejected(reason)) => reason,
        other => panic!("not rejected: {other:?}"),
    }
}

fn misconfigured(writer: &mut PostgresWriter, batch: &[Arc<Block>], delivery: Delivery) -> String {
    match writer.write(batch, delivery) {
        Err(WriteError::Misconfigured(reason)) => reason,
        other => panic!("not misconfigured: {other:?}"),
    }
}

#[test]
fn a_row_too_long_is_refused_and_the_others_are_written_without_it() {
    let scene = Scene::new();
    scene.sql("ALTER TABLE customer_identities ALTER location TYPE varchar(7)");
    let mut long = identity("long", 0, 0);
    long.location = Some("Table 10".parse().unwrap());
    let mut batch = crowd("c", 10, 0);
    batch.insert(5, identified(vec![long]));
    let mut writer = scene.writer();
    for delivery in [Delivery::First, Delivery::Again] {
        let reason = rejected(&mut writer, &batch, delivery);
        assert_eq!(reason, "value too long for type character varying(7) (SQLSTATE 22001)");
        assert_eq!(scene.count("customer_identities") + scene.count("customers"), 0);
    }
    rejected(&mut writer, &batch[5..6], Delivery::Again);
    writer.write(&batch[..5], Delivery::Again).unwrap();
    writer.write(&batch[6..], Delivery::Again).unwrap();
    assert_eq!(scene.count("customer_identities"), 10);
}

#[test]
fn a_nul_character_is_refused() {
    let scene = Scene::new();
    let change = |key: &str, value: &str| {
        let customer_id = identity("c", 0, 0).customer_id;
        let pairs = vec![(key.to_owned(), value.to_owned())];
        let preferences = vec![PreferenceChange { customer_id, updated_at: time(0), pairs }];
        Arc::new(Block { identities: Vec::new(), preferences })
    };
    let mut writer = scene.writer();
    for block in [change("key", "a\0b"), change("a\0b", "value")] {
        rejected(&mut writer, &[block], Delivery::First);
    }
    writer.write(&[change("key", "ab")], Delivery::Again).unwrap();
    assert_eq!(scene.sql("SELECT preferences FROM customers"), r#"{"key": "ab"}"#);
}

#[test]
fn a_time_that_no_partition_can_be_made_for_is_refused() {
    let scene = Scene::new();
    let mut writer = scene.writer();
    for micros in [i64::MIN, -62_135_596_800_000_001, 253_370_764_800_000_000, i64::MAX] {
        let reason = rejected(
            &mut writer,
            &[identified(vec![identity("c", micros.saturating_sub(NOON_US), 0)])],
            Delivery::First,
        );
        assert!(reason.contains("DetectedAt"), "{micros}: {reason}");
    }
    let years =
        [-62_135_596_800_000_000, 253_370_764_799_999_999].map(|micros| identity("c", micros - NOON_US, 0));
    writer.write(&[identified(years.to_vec())], Delivery::First).unwrap();
    assert_eq!(
        scene.sql("SELECT tableoid::regclass FROM customer_identities ORDER BY detected_at"),
        "customer_identities_0001\ncustomer_identities_9998"
    );
}

#[test]
fn an_identity_at_a_beacon_that_is_gone_is_refused_by_name() {
    let scene = Scene::new();
    let batch = [identified(vec![identity("a", 0, 0), identity("b", 0, 9)])];
    let reason = rejected(&mut scene.writer(), &batch, Delivery::First);
    assert!(reason.contains("09090909-0909-0909-0909-090909090909"), "{reason}");
    let mut settings = scene.settings();
    settings.foreign_keys = beacond::stores::postgres::ForeignKeys::CheckedByRow;
    let reason = rejected(&mut PostgresWriter::new(&settings).unwrap(), &batch, Delivery::First);
    assert!(reason.contains("23503"), "{reason}");
    assert_eq!(scene.count("customers"), 0);
}

#[test]
fn a_missing_partition_is_made_by_the_writer() {
    let scene = Scene::new();
    scene.sql("DROP TABLE customer_identities_2026");
    let after_a_year = 366 * 24 * 60 * MINUTE_US;
    let batch = [identified(vec![identity("a", 0, 0), identity("b", 0, 1), identity("a", after_a_year, 2)])];
    scene.writer().write(&batch, Delivery::First).unwrap();
    assert_eq!(
        scene.sql("SELECT tableoid::regclass, count(*) FROM customer_identities GROUP BY 1 ORDER BY 1"),
        "customer_identities_2026|2\ncustomer_identities_2027|1"
    );
    assert_eq!(scene.count("customers"), 2);
}

#[test]
fn several_connections_that_miss_the_same_partition_make_it_once() {
    let scene = Scene::new();
    scene.sql("DROP TABLE customer_identities_2026");
    let mut settings = scene.settings();
    settings.connections = 4;
    let (mut writer, batch) = (PostgresWriter::new(&settings).unwrap(), crowd("c", 3_000, 0));
    let mut delivery = Delivery::First;
    // One that makes it can meet another that has begun to write: PostgreSQL ends one of them, and it is written again.
    while let Err(error) = writer.write(&batch, delivery) {
        assert!(matches!(&error, WriteError::Unavailable(reason) if reason.contains("40P01")), "{error}");
        delivery = Delivery::Again;
    }
    assert_eq!(scene.count("customer_identities_2026"), 3_000);
}

#[test]
fn without_the_right_to_make_a_partition_its_rows_wait_for_it() {
    let scene = Scene::new();
    let url = scene.role(&RIGHTS);
    scene.sql("DROP TABLE customer_identities_2026");
    let mut writer = scene.writer_as(url);
    let batch = crowd("c", 3, 0);
    let reason = misconfigured(&mut writer, &batch, Delivery::First);
    assert!(reason.contains("42501"), "{reason}");
    scene.sql(
        "CREATE TABLE customer_identities_2026 PARTITION OF customer_identities
         FOR VALUES FROM ('2026-01-01 00:00+00') TO ('2027-01-01 00:00+00')",
    );
    writer.write(&batch, Delivery::Again).unwrap();
    assert_eq!(scene.count("customer_identities"), 3);
}

#[test]
fn without_the_unique_index_nothing_is_merged() {
    let scene = Scene::new();
    let mut writer = scene.writer();
    let batch = crowd("c", 3, 0);
    writer.write(&batch, Delivery::First).unwrap();
    scene.sql("DROP INDEX idx_customer_identities_unique");
    let reason = misconfigured(&mut writer, &batch, Delivery::Again);
    assert!(reason.contains("42P10"), "{reason}");
    scene.sql("CREATE UNIQUE INDEX idx_customer_identities_unique ON customer_identities (customer_id, detected_at)");
    writer.write(&batch, Delivery::Again).unwrap();
    assert_eq!(scene.count("customer_identities"), 3);
}

#[test]
fn a_revoked_right_is_waited_for() {
    let scene = Scene::new();
    let mut writer = scene.writer_as(scene.role(&RIGHTS));
    writer.write(&crowd("a", 3, 0), Delivery::First).unwrap();
    let role = scene.sql("SELECT rolname FROM pg_roles WHERE rolname = current_database() || '_role'");
    for table in ["customers", "customer_identities"] {
        scene.sql(&format!("REVOKE INSERT ON {table} FROM {role}"));
        let reason = misconfigured(&mut writer, &crowd("b", 3, 0), Delivery::First);
        assert!(reason.contains("42501"), "{reason}");
        scene.sql(&format!("GRANT INSERT ON {table} TO {role}"));
    }
    writer.write(&crowd("b", 3, 0), Delivery::Again).unwrap();
    assert_eq!(scene.count("customer_identities"), 6);
}

#[test]
fn another_type_of_a_column_is_named_also_when_it_changes_under_an_open_connection() {
    let scene = Scene::new();
    let mut writer = scene.writer();
    writer.write(&crowd("a", 3, 0), Delivery::First).unwrap();
    scene.sql("ALTER TABLE customer_identities ALTER confidence TYPE double precision");
    let unseen = writer.write(&crowd("b", 3, 0), Delivery::First).unwrap_err();
    assert!(!matches!(unseen, WriteError::Rejected(_)), "{unseen}");
    let reason = misconfigured(&mut writer, &crowd("b", 3, 0), Delivery::Again);
    assert_eq!(reason, "column confidence of customer_identities is float8");
    scene.sql("ALTER TABLE customer_identities ALTER confidence TYPE real");
    writer.write(&crowd("b", 3, 0), Delivery::Again).unwrap();
    assert_eq!(scene.count("customer_identities"), 6);
}

#[test]
fn a_column_that_the_writer_does_not_fill_and_must_be_filled_is_no_row_s_fault() {
    let scene = Scene::new();
    scene.sql("ALTER TABLE customer_identities ADD COLUMN added int NOT NULL");
    misconfigured(&mut scene.writer(), &crowd("c", 3, 0), Delivery::First);
    scene.sql("ALTER TABLE customer_identities DROP COLUMN added");
    scene.sql("ALTER TABLE customer_identities ALTER location SET NOT NULL");
    let mut nameless = identity("c", 0, 0);
    nameless.location = None;
    rejected(&mut scene.writer(), &[identified(vec![nameless])], Delivery::First);
}

#[test]
fn a_table_or_database_or_password_that_is_not_there_is_misconfigured() {
    let scene = Scene::new();
    let url = scene.url();
    let (address, _) = url.rsplit_once('/').unwrap();
    let mut nowhere = scene.writer_as(format!("{address}/beacond_nowhere"));
    let reason = misconfigured(&mut nowhere, &crowd("c", 1, 0), Delivery::First);
    assert!(reason.contains("3D000"), "{reason}");
    scene.sql("DROP TABLE preference_changes; DROP TABLE customer_identities");
    misconfigured(&mut scene.writer(), &crowd("c", 1, 0), Delivery::First);
}
