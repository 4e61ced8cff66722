//! Foreign keys hold although the writer's transactions fire no row triggers: attempts to break them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use beacond::ports::{BatchWriter, Delivery, WriteError};
use beacond::stores::postgres::{ForeignKeys, PostgresWriterStatus};

use crate::psql;
use crate::scene::{MINUTE_US, PATIENCE, RIGHTS, Scene, beacon_id, crowd, identified, identity, prefers};

fn by_batch(status: &PostgresWriterStatus) -> bool {
    status.foreign_keys() == Some(ForeignKeys::CheckedByBatch)
}

/// Runs a command that takes away what a batch in the middle of being written leans on, and answers its SQLSTATE. It
/// begins after the writer has looked, and can end only after the writer has committed.
fn taken_away_while_writing(isolation: &str, command: &str) -> String {
    let scene = Scene::new();
    scene.sql("INSERT INTO customers (customer_id, last_seen) VALUES ('known', '2026-01-01'), ('late', '2026-12-01')");
    let mut writer = scene.writer();
    let batch = [
        identified(vec![identity("known", 0, 1), identity("late", 0, 2), identity("new", 0, 3)]),
        prefers("late", 0, &[("seat", "bar")]),
    ];
    let mut taker = scene.session();
    taker.run(&format!("BEGIN ISOLATION LEVEL {isolation}"));
    // Its snapshot, if it keeps one, is from before the batch.
    taker.run("SELECT count(*) FROM customers, beacons, customer_identities");
    let mut holder = scene.hold_writers();
    std::thread::scope(|scope| {
        let written = scope.spawn(|| writer.write(&batch, Delivery::First));
        scene.wait_for_waiting(1);
        taker.send(command);
        scene.wait_for_waiting(2);
        holder.run("COMMIT");
        written.join().unwrap().unwrap();
    });
    let (_, state) = taker.answer();
    taker.send("COMMIT");
    taker.answer();
    assert!(by_batch(&writer.status()));
    assert_eq!(scene.count("customer_identities"), 3);
    assert_eq!(scene.orphans(), 0);
    state
}

#[test]
fn a_beacon_cannot_be_deleted_or_renamed_under_a_batch() {
    let beacon = beacon_id(1);
    for command in [
        format!("DELETE FROM beacons WHERE beacon_id = '{beacon}'"),
        format!("UPDATE beacons SET beacon_id = 'renamed' WHERE beacon_id = '{beacon}'"),
        format!(
            "WITH gone AS (DELETE FROM beacons WHERE beacon_id = '{beacon}' RETURNING 1) SELECT * FROM gone"
        ),
    ] {
        assert_eq!(taken_away_while_writing("READ COMMITTED", &command), "23503", "{command}");
        let state = taken_away_while_writing("REPEATABLE READ", &command);
        assert!(state == "40001" || state == "23503", "{command}: {state}");
    }
}

#[test]
fn a_customer_cannot_be_deleted_or_renamed_under_a_batch_known_or_late() {
    for (customer, isolations) in
        [("known", &["READ COMMITTED"][..]), ("late", &["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])]
    {
        for (isolation, command) in isolations.iter().flat_map(|isolation| {
            let delete = format!("DELETE FROM customers WHERE customer_id = '{customer}'");
            let rename = format!("UPDATE customers SET customer_id = 'renamed' WHERE customer_id = '{customer}'");
            let careful = format!(
                "{delete} AND NOT EXISTS (SELECT FROM customer_identities i WHERE i.customer_id = '{customer}')"
            );
            [delete, rename, careful].map(|command| (*isolation, command))
        }) {
            let state = taken_away_while_writing(isolation, &command);
            // A condition looked at anew after the wait may also find nothing to delete.
            assert!(["23503", "40001", "00000"].contains(&&*state), "{isolation}: {command}: {state}");
        }
    }
}

#[test]
fn a_beacon_deleted_but_not_committed_is_waited_for_and_then_missed() {
    let scene = Scene::new();
    let mut writer = scene.writer();
    let mut deleter = scene.session();
    deleter.run("BEGIN");
    deleter.run(&format!("DELETE FROM beacons WHERE beacon_id = '{}'", beacon_id(1)));
    let written = std::thread::scope(|scope| {
        let written = scope.spawn(|| writer.write(&[identified(vec![identity("c", 0, 1)])], Delivery::First));
        scene.wait_for_waiting(1);
        deleter.run("COMMIT");
        written.join().unwrap()
    });
    assert!(matches!(written, Err(WriteError::Rejected(_))), "{written:?}");
    assert_eq!(scene.count("customers"), 0);
}

#[test]
fn deleters_of_beacons_and_customers_beside_writers_leave_no_orphan() {
    let scene = Scene::new();
    let done = AtomicBool::new(false);
    let (url, started) = (scene.url(), Instant::now());
    let deleting = |script: &str| {
        let mut deleted = 0;
        while !done.load(Ordering::Relaxed) && started.elapsed() < PATIENCE {
            // Refused where rows lean on it: that is what is wanted.
            deleted += usize::from(psql::run(&url, script).is_ok());
        }
        deleted
    };
    let customers = "DELETE FROM customers WHERE customer_id IN
        (SELECT customer_id FROM customers WHERE customer_id NOT IN (SELECT customer_id FROM customer_identities))";
    let erased =
        "BEGIN; DELETE FROM preference_changes; DELETE FROM customer_identities WHERE customer_id < 'c-2';
        DELETE FROM customers WHERE customer_id < 'c-2'; COMMIT";
    // One who waits for the writers first, and gets through; and one who does not know of them.
    let retired = "BEGIN; SELECT pg_advisory_xact_lock(1650683492);
        DELETE FROM customer_identities WHERE beacon_id LIKE '03%'; DELETE FROM beacons WHERE minor = 3; COMMIT;
        INSERT INTO beacons (beacon_id, store_id, major, minor)
        VALUES ('03030303-0303-0303-0303-030303030303', 's', 1, 3) ON CONFLICT DO NOTHING";
    let deleted = "DELETE FROM beacons WHERE minor = 2;
        INSERT INTO beacons (beacon_id, store_id, major, minor)
        VALUES ('02020202-0202-0202-0202-020202020202', 's', 1, 2) ON CONFLICT DO NOTHING";
    let mut settings = scene.settings();
    settings.connections = 2;
    let (written, rejected, status) = std::thread::scope(|scope| {
        let deleters =
            [customers, erased, retired, deleted].map(|script| scope.spawn(move || deleting(script)));
        let mut writer = beacond::stores::postgres::PostgresWriter::new(&settings).unwrap();
        let (mut written, mut rejected) = (0, 0);
        for round in 0..150 {
            let mut batch = crowd("c", 1_200, round * 2 * MINUTE_US);
            batch.push(prefers("c-5", round, &[("seat", "bar")]));
            let delivery = if round % 3 == 0 { Delivery::Again } else { Delivery::First };
            match writer.write(&batch, delivery) {
                Ok(()) => written += 1,
                Err(WriteError::Rejected(_)) => rejected += 1,
                // A deadlock with a deleter, which the pipeline would write again.
                Err(WriteError::Unavailable(reason)) => assert!(reason.contains("40P01"), "{reason}"),
                Err(other) => panic!("{other:?}"),
            }
        }
        done.store(true, Ordering::Relaxed);
        let deleted = deleters.map(|deleter| deleter.join().unwrap());
        assert!(deleted[..3].iter().all(|deleted| *deleted > 0), "{deleted:?}");
        (written, rejected, writer.status())
    });
    assert!(by_batch(&status));
    assert!(written > 0, "{rejected} rejected");
    assert_eq!(scene.orphans(), 0);
}

#[test]
fn without_the_right_to_switch_triggers_off_rows_are_checked_one_by_one() {
    let scene = Scene::new();
    let mut writer = scene.writer_as(scene.role(&RIGHTS));
    writer.write(&crowd("c", 3, 0), Delivery::First).unwrap();
    assert_eq!(writer.status().foreign_keys(), Some(ForeignKeys::CheckedByRow));
    assert_eq!(scene.count("customer_identities"), 3);
}

#[test]
fn the_right_alone_is_enough_to_check_by_batch_and_taken_away_it_is_by_row() {
    let scene = Scene::new();
    let mut rights = RIGHTS.to_vec();
    rights.push("GRANT SET ON PARAMETER session_replication_role TO %");
    let mut writer = scene.writer_as(scene.role(&rights));
    writer.write(&crowd("a", 3, 0), Delivery::First).unwrap();
    assert!(by_batch(&writer.status()));
    let role = scene.sql("SELECT rolname FROM pg_roles WHERE rolname = current_database() || '_role'");
    scene.sql(&format!("REVOKE SET ON PARAMETER session_replication_role FROM {role}"));
    assert!(matches!(writer.write(&crowd("b", 3, 0), Delivery::First), Err(WriteError::Misconfigured(_))));
    writer.write(&crowd("b", 3, 0), Delivery::Again).unwrap();
    assert!(!by_batch(&writer.status()));
    assert_eq!(scene.count("customer_identities"), 6);
}

#[test]
fn without_the_guard_or_beside_triggers_and_keys_of_others_rows_are_checked_one_by_one() {
    for change in [
        "ALTER TABLE beacons DISABLE TRIGGER beacons_guard_deletion",
        "DROP TRIGGER beacons_guard_renaming ON beacons",
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
         CREATE TRIGGER noted AFTER INSERT ON customer_identities FOR EACH ROW EXECUTE FUNCTION note()",
        "CREATE TABLE regulars (customer_id varchar(64) PRIMARY KEY);
         ALTER TABLE customers ADD FOREIGN KEY (customer_id) REFERENCES regulars NOT VALID",
    ] {
        let scene = Scene::new();
        scene.sql(change);
        let mut writer = scene.writer();
        let _ = writer.write(&crowd("c", 3, 0), Delivery::First);
        assert!(!by_batch(&writer.status()), "{change}");
    }
}
