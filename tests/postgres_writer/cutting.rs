//! Connections that break, and writes that take too long.

use std::time::{Duration, Instant};

use beacond::domain::time::Timestamp;
use beacond::ports::{BatchWriter, Delivery, SystemOfRecord, WriteError};
use beacond::stores::postgres::{
    ForeignKeys, PostgresReaderSettings, PostgresRecord, PostgresSettings, PostgresWriter,
    PostgresWriterSettings,
};
use beacond::tasks::TaskGroup;

use crate::scene::{MINUTE_US, PATIENCE, Scene, crowd, identified, identity, time};

#[test]
fn a_connection_that_died_since_the_last_batch_is_made_anew() {
    let scene = Scene::new();
    let mut writer = scene.writer();
    writer.write(&crowd("a", 3, 0), Delivery::First).unwrap();
    scene.cut_writers();
    writer.write(&crowd("b", 3, 0), Delivery::First).unwrap();
    assert_eq!(scene.count("customer_identities"), 6);
}

#[test]
fn a_batch_cut_in_the_middle_is_not_there_and_can_be_written_again() {
    let scene = Scene::new();
    let mut writer = scene.writer();
    let batch = crowd("c", 2_000, 0);
    let holder = scene.hold_writers();
    let cut = std::thread::scope(|scope| {
        let written = scope.spawn(|| writer.write(&batch, Delivery::First));
        scene.wait_for_waiting(1);
        scene.cut_writers();
        written.join().unwrap()
    });
    assert!(matches!(cut, Err(WriteError::Unavailable(_))), "{cut:?}");
    drop(holder);
    assert_eq!(scene.count("customer_identities") + scene.count("customers"), 0);
    writer.write(&batch, Delivery::Again).unwrap();
    assert_eq!(scene.count("customer_identities"), 2_000);
}

#[test]
fn a_write_that_takes_too_long_is_given_up_on_both_sides() {
    let scene = Scene::new();
    let mut settings = scene.settings();
    settings.write_timeout = Duration::from_millis(500);
    let mut writer = PostgresWriter::new(&settings).unwrap();
    let batch = crowd("c", 10, 0);
    let mut holder = scene.hold_writers();
    let started = Instant::now();
    let given_up = writer.write(&batch, Delivery::First);
    assert!(matches!(given_up, Err(WriteError::Unavailable(_))), "{given_up:?}");
    assert!(started.elapsed() < PATIENCE / 2);
    scene.wait_for_waiting(0);
    holder.run("COMMIT");
    writer.write(&batch, Delivery::Again).unwrap();
    assert_eq!(scene.count("customer_identities"), 10);
}

#[test]
fn one_part_that_fails_leaves_the_others_and_again_makes_all() {
    let scene = Scene::new();
    let mut settings = scene.settings();
    settings.connections = 2;
    settings.write_timeout = Duration::from_millis(1_000);
    let mut writer = PostgresWriter::new(&settings).unwrap();
    let batch = crowd("c", 2_000, MINUTE_US);
    scene.sql("INSERT INTO customers (customer_id, last_seen) VALUES ('c-999', '2026-01-01')");
    let mut holder = scene.session();
    holder.run("BEGIN");
    holder.run("SELECT FROM customers WHERE customer_id = 'c-999' FOR UPDATE");
    assert!(matches!(writer.write(&batch, Delivery::First), Err(WriteError::Unavailable(_))));
    let there = scene.count("customer_identities");
    assert!((500..1_500).contains(&there), "{there}");
    holder.run("COMMIT");
    writer.write(&batch, Delivery::Again).unwrap();
    assert_eq!(scene.count("customer_identities"), 2_000);
}

#[test]
fn a_server_that_is_not_there_is_unavailable() {
    let scene = Scene::new();
    let mut writer = scene.writer_as("postgresql://postgres@127.0.0.1:1/nowhere".to_owned());
    let failed = writer.write(&crowd("c", 1, 0), Delivery::First);
    assert!(matches!(failed, Err(WriteError::Unavailable(_))), "{failed:?}");
}

#[test]
fn what_is_stored_last_is_told_only_when_a_writer_that_has_begun_has_ended() {
    for foreign_keys in [ForeignKeys::CheckedByBatch, ForeignKeys::CheckedByRow] {
        let scene = Scene::new();
        let mut holder = scene.hold_writers();
        let settings = PostgresWriterSettings { foreign_keys, ..scene.settings() };
        std::thread::scope(|scope| {
            let mut writer = PostgresWriter::new(&settings).unwrap();
            let batch = [identified(vec![identity("c", 7, 1)])];
            let written = scope.spawn(move || writer.write(&batch, Delivery::First));
            scene.wait_for_waiting(1);
            let newest = scope.spawn(|| newest_identity(&settings.server));
            // It waits too: what the daemon before was killed in may still be stored.
            scene.wait_for_waiting(2);
            holder.run("COMMIT");
            written.join().unwrap().unwrap();
            assert_eq!(newest.join().unwrap(), Some(time(7)), "{foreign_keys:?}");
        });
    }
}

/// What a start asks.
fn newest_identity(server: &PostgresSettings) -> Option<Timestamp> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let settings = PostgresReaderSettings {
            connections: std::num::NonZeroU32::MIN,
            questions: 1,
            question_timeout: PATIENCE,
        };
        let record = PostgresRecord::new(server, settings, TaskGroup::new("test")).unwrap();
        record.newest_identity().await.unwrap()
    })
}
