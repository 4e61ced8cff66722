//! The check finds each thing that would keep a daemon from its work, and names it.

use beacond::stores::StartCheck;
use beacond::stores::postgres::{PostgresAdmin, PostgresSettings, check_at_start};
use beacond::tasks::TaskGroup;

use crate::scene::{Scene, runtime, settings};

fn at_start(settings: &PostgresSettings) -> StartCheck {
    runtime().block_on(async { check_at_start(settings, &TaskGroup::new("test")).await })
}

/// The line of a part.
fn line(settings: &PostgresSettings, part: &str) -> Result<String, String> {
    let lines = PostgresAdmin::open(settings).unwrap().check().unwrap();
    lines.into_iter().find(|line| line.part == part).unwrap_or_else(|| panic!("no line {part}")).found
}

/// That a script makes this one part wrong, in the check and at a start.
fn assert_wrong(script: &str, part: &str, expected: &str) {
    let scene = Scene::with_beacons();
    scene.sql(script);
    let wrong = line(&scene.settings(), part).unwrap_err();
    assert!(wrong.contains(expected), "{wrong}");
    match at_start(&scene.settings()) {
        StartCheck::Wrong(found) => assert_eq!(found, [format!("{part}: {wrong}")]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_migrated_database_is_right_in_every_part() {
    let scene = Scene::with_beacons();
    let lines = scene.admin().check().unwrap();
    let parts: Vec<_> = lines.iter().map(|line| line.part).collect();
    assert_eq!(
        parts,
        [
            "server",
            "schema",
            "tables",
            "columns",
            "indexes",
            "triggers",
            "rights",
            "foreign keys",
            "partitions"
        ]
    );
    assert!(lines.iter().all(|line| line.found.is_ok()), "{lines:?}");
    assert_eq!(at_start(&scene.settings()), StartCheck::Right);
}

#[test]
fn an_empty_database_is_to_be_migrated() {
    let scene = Scene::empty();
    let lines = scene.admin().check().unwrap();
    assert_eq!(lines.len(), 2);
    assert!(lines[1].found.as_ref().unwrap_err().contains("beacond migrate"));
    assert!(matches!(at_start(&scene.settings()), StartCheck::Wrong(_)));
}

#[test]
fn a_newer_schema_asks_for_a_newer_beacond() {
    assert_wrong(
        "INSERT INTO refinery_schema_history VALUES (999, 'later', '2026-05-01T12:00:00Z', '1')",
        "schema",
        "use a newer beacond",
    );
}

#[test]
fn a_dropped_table_a_wrong_type_and_a_dropped_column_are_named() {
    assert_wrong("DROP TABLE gateways", "tables", "gateways is missing");
    assert_wrong(
        "ALTER TABLE beacons ALTER minor TYPE BIGINT",
        "columns",
        "beacons.minor is bigint, integer is needed",
    );
    assert_wrong("ALTER TABLE beacons DROP location_type", "columns", "beacons.location_type is missing");
    assert_wrong(
        "ALTER TABLE customers ALTER last_seen DROP NOT NULL",
        "columns",
        "customers.last_seen is not NOT NULL",
    );
}

#[test]
fn a_dropped_index_and_one_of_other_columns_are_named() {
    assert_wrong(
        "DROP INDEX idx_customer_identities_unique",
        "indexes",
        "idx_customer_identities_unique is missing",
    );
    assert_wrong(
        "DROP INDEX idx_beacons_status; CREATE INDEX idx_beacons_status ON beacons (location)",
        "indexes",
        "idx_beacons_status is not on beacons (status)",
    );
}

#[test]
fn a_trigger_that_is_off_or_a_guard_that_does_not_always_fire_is_named() {
    assert_wrong(
        "ALTER TABLE beacons DISABLE TRIGGER beacons_tell",
        "triggers",
        "beacons_tell is not enabled",
    );
    assert_wrong(
        "ALTER TABLE beacons ENABLE TRIGGER beacons_guard_deletion",
        "triggers",
        "beacons_guard_deletion is not enabled",
    );
}

#[test]
fn a_missing_partition_is_named_and_a_start_makes_it() {
    let scene = Scene::new();
    let name = scene.sql("SELECT 'customer_identities_' || extract(year FROM now() AT TIME ZONE 'UTC')");
    scene.sql(&format!("DROP TABLE {name}"));
    let wrong = line(&scene.settings(), "partitions").unwrap_err();
    assert!(wrong.contains(&format!("{name} is missing")), "{wrong}");
    assert_eq!(at_start(&scene.settings()), StartCheck::Right);
    assert!(line(&scene.settings(), "partitions").unwrap().contains(&name));
}

#[test]
fn a_role_needs_its_rights_and_is_told_what_it_may_do_without() {
    let scene = Scene::new();
    let role = scene.role(&[
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO %",
        "GRANT INSERT, UPDATE ON customers, preference_changes TO %",
        "GRANT INSERT ON customer_identities TO %",
        "GRANT DELETE ON beacon_deletions TO %",
    ]);
    let settings = settings(scene.url_as(&role));
    let wrong = line(&settings, "rights").unwrap_err();
    assert_eq!(wrong, "no USAGE on customer_identities_id_seq");
    scene.sql(&format!("GRANT USAGE ON SEQUENCE customer_identities_id_seq TO {role}"));
    assert!(line(&settings, "rights").unwrap().contains("not to import"));
    assert!(line(&settings, "foreign keys").unwrap().contains("row by row"));
    assert!(line(&settings, "partitions").unwrap().contains("WARNING"));
    assert_eq!(at_start(&settings), StartCheck::Right);
    scene.sql(&format!("GRANT SET ON PARAMETER session_replication_role TO {role}"));
    assert!(line(&settings, "foreign keys").unwrap().contains("a batch at once"));
    scene.sql(&format!("REVOKE SET ON PARAMETER session_replication_role FROM {role}"));
    scene.sql(&format!("REVOKE INSERT ON customer_identities FROM {role}"));
    assert_eq!(line(&settings, "rights").unwrap_err(), "no INSERT on customer_identities");
    assert_eq!(
        at_start(&settings),
        StartCheck::Wrong(vec!["rights: no INSERT on customer_identities".to_owned()])
    );
}

#[test]
fn a_database_that_may_not_be_written_or_has_another_encoding_will_not_do() {
    let scene = Scene::new();
    let name = scene.sql("SELECT current_database()");
    scene.sql(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on"));
    assert!(line(&scene.settings(), "server").unwrap_err().contains("read-only"));
    let other = Scene::made_with("ENCODING SQL_ASCII LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
    assert!(line(&other.settings(), "server").unwrap_err().contains("UTF8 is needed"));
}

#[test]
fn a_server_that_is_not_there_is_waited_for_and_a_wrong_url_is_not() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = settings(format!("postgresql://u:hidden@{nobody}/d?sslmode=disable"));
    match at_start(&gone) {
        StartCheck::Unreachable(reason) => assert!(!reason.contains("hidden"), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(at_start(&settings("mysql://h/d".to_owned())), StartCheck::Wrong(_)));
}
