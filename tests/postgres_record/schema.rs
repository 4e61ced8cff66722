//! The tables are those of the data model, to the name; and migrations may meet.

use std::thread;

use crate::scene::{Scene, settings};

const TIME: &str = "timestamp with time zone";

fn assert_columns(table: &str, expected: &[(&str, &str, &str, &str)]) {
    let scene = Scene::new();
    let found = scene.sql(&format!(
        "SELECT column_name, data_type || coalesce('(' || character_maximum_length || ')', ''), is_nullable,
            column_default
        FROM information_schema.columns WHERE table_name = '{table}' ORDER BY ordinal_position"
    ));
    let expected: Vec<String> = expected
        .iter()
        .map(|(name, kind, null, default)| format!("{name}|{kind}|{null}|{default}"))
        .collect();
    assert_eq!(found, expected.join("\n"));
}

#[test]
fn customers_have_the_columns_of_the_data_model() {
    assert_columns(
        "customers",
        &[
            ("customer_id", "character varying(64)", "NO", ""),
            ("last_seen", TIME, "NO", ""),
            ("preferences", "jsonb", "YES", "'{}'::jsonb"),
            ("created_at", TIME, "YES", "CURRENT_TIMESTAMP"),
        ],
    );
}

#[test]
fn beacons_have_the_columns_of_the_data_model() {
    assert_columns(
        "beacons",
        &[
            ("beacon_id", "character varying(36)", "NO", ""),
            ("store_id", "character varying(64)", "NO", ""),
            ("major", "integer", "NO", ""),
            ("minor", "integer", "NO", ""),
            ("location", "character varying(32)", "YES", ""),
            ("status", "character varying(16)", "NO", "'active'::character varying"),
            ("updated_at", TIME, "YES", "CURRENT_TIMESTAMP"),
            ("location_type", "character varying(16)", "YES", ""),
        ],
    );
}

#[test]
fn customer_identities_have_the_columns_of_the_data_model() {
    assert_columns(
        "customer_identities",
        &[
            ("id", "bigint", "NO", "nextval('customer_identities_id_seq'::regclass)"),
            ("customer_id", "character varying(64)", "NO", ""),
            ("beacon_id", "character varying(36)", "NO", ""),
            ("location", "character varying(32)", "YES", ""),
            ("confidence", "real", "NO", ""),
            ("detected_at", TIME, "NO", ""),
        ],
    );
}

#[test]
fn preference_changes_and_gateways_have_the_columns_of_the_data_model() {
    assert_columns(
        "preference_changes",
        &[
            ("customer_id", "character varying(64)", "NO", ""),
            ("key", "text", "NO", ""),
            ("updated_at", TIME, "NO", ""),
        ],
    );
    assert_columns(
        "gateways",
        &[
            ("gateway_id", "character varying(64)", "NO", ""),
            ("stores", "ARRAY", "NO", "'{}'::text[]"),
            ("status", "character varying(16)", "NO", "'active'::character varying"),
            ("updated_at", TIME, "YES", "CURRENT_TIMESTAMP"),
        ],
    );
}

#[test]
fn indexes_have_the_names_and_columns_of_the_data_model() {
    let found = Scene::new().sql(
        "SELECT indexname || ' ' || regexp_replace(indexdef, '^CREATE (UNIQUE )?INDEX .* USING btree ', '\\1')
        FROM pg_indexes WHERE schemaname = 'public' AND tablename IN
            ('customers', 'beacons', 'customer_identities', 'preference_changes', 'gateways', 'beacon_deletions')
        ORDER BY indexname COLLATE \"C\"",
    );
    assert_eq!(
        found.lines().collect::<Vec<_>>(),
        [
            "beacon_deletions_pkey UNIQUE (beacon_id)",
            "beacons_pkey UNIQUE (beacon_id)",
            "customer_identities_pkey UNIQUE (id, detected_at)",
            "customers_pkey UNIQUE (customer_id)",
            "gateways_pkey UNIQUE (gateway_id)",
            "idx_beacon_deletions_deleted_at (deleted_at)",
            "idx_beacons_status (status)",
            "idx_beacons_store_id (store_id)",
            "idx_beacons_updated_at (updated_at)",
            "idx_customer_identities_customer_id (customer_id)",
            "idx_customer_identities_detected_at (detected_at)",
            "idx_customer_identities_unique UNIQUE (customer_id, detected_at)",
            "idx_customers_last_seen (last_seen)",
            "preference_changes_pkey UNIQUE (customer_id, key)",
        ]
    );
}

#[test]
fn identities_are_partitioned_by_detected_at_and_refer_to_customers_and_beacons() {
    let scene = Scene::new();
    assert_eq!(scene.sql("SELECT pg_get_partkeydef('customer_identities'::regclass)"), "RANGE (detected_at)");
    let found = scene.sql(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint
        WHERE conrelid IN ('customer_identities'::regclass, 'preference_changes'::regclass) AND contype = 'f'
        ORDER BY 1",
    );
    assert_eq!(
        found.lines().collect::<Vec<_>>(),
        [
            "FOREIGN KEY (beacon_id) REFERENCES beacons(beacon_id)",
            "FOREIGN KEY (customer_id) REFERENCES customers(customer_id)",
            "FOREIGN KEY (customer_id) REFERENCES customers(customer_id)",
        ]
    );
}

#[test]
fn checks_refuse_what_the_data_model_does_not_allow() {
    let scene = Scene::with_beacons();
    scene.sql("INSERT INTO customers VALUES ('c', now())");
    let beacon = "INSERT INTO beacons (beacon_id, store_id, major, minor, status) VALUES";
    let identity = "INSERT INTO customer_identities (customer_id, beacon_id, confidence, detected_at)
        SELECT 'c', min(beacon_id),";
    for (refused, by) in [
        (format!("{beacon} ('b', 's', 65536, 0, 'active')"), "beacons_major_check"),
        (format!("{beacon} ('b', 's', 0, -1, 'active')"), "beacons_minor_check"),
        (format!("{beacon} ('b', 's', 0, 0, 'lost')"), "valid_status"),
        (format!("{identity} 1.1, now() FROM beacons"), "customer_identities_confidence_check"),
        (format!("{identity} 'NaN', now() FROM beacons"), "customer_identities_confidence_check"),
        ("INSERT INTO gateways (gateway_id, status) VALUES ('g', 'x')".to_owned(), "gateways_status_check"),
    ] {
        let error = scene.try_sql(&refused).unwrap_err();
        assert!(error.contains(&format!("check constraint \"{by}\"")), "{refused}: {error}");
    }
}

#[test]
fn of_migrations_that_meet_one_applies_each_version_and_all_succeed() {
    let scene = Scene::empty();
    let applied: usize = thread::scope(|scope| {
        let migrating: Vec<_> =
            (0..4).map(|_| scope.spawn(|| scene.admin().migrate().unwrap().len())).collect();
        migrating.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    let known = scene.admin().migration_status().unwrap();
    assert_eq!(applied, known.len());
    assert!(known.iter().all(|version| version.applied));
    assert_eq!(scene.sql("SELECT count(*) FROM refinery_schema_history"), known.len().to_string());
}

#[test]
fn status_shows_what_is_to_be_applied_and_what_is() {
    let scene = Scene::empty();
    let mut admin = scene.admin();
    let before = admin.migration_status().unwrap();
    assert_eq!((before[0].version, before[0].name.as_str(), before[0].applied), (1, "schema", false));
    assert_eq!(scene.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0");
    let applied = admin.migrate().unwrap();
    assert_eq!(applied, admin.migration_status().unwrap());
    assert_eq!(admin.migrate().unwrap(), []);
}

#[test]
fn a_database_of_a_newer_beacond_is_not_migrated() {
    let scene = Scene::new();
    scene.sql("INSERT INTO refinery_schema_history VALUES (999, 'later', '2026-05-01T12:00:00Z', '1')");
    let error = scene.admin().migrate().unwrap_err().to_string();
    assert!(error.contains("999"), "{error}");
    assert!(scene.admin().migration_status().unwrap().iter().any(|version| version.version == 999));
}

#[test]
fn a_migration_without_the_right_to_it_says_so_and_leaves_nothing() {
    let scene = Scene::empty();
    let role = scene.role(&["GRANT USAGE ON SCHEMA public TO %"]);
    let settings = settings(scene.url_as(&role));
    let mut admin = beacond::stores::postgres::PostgresAdmin::open(&settings).unwrap();
    let error = admin.migrate().unwrap_err().to_string();
    assert!(error.contains("permission denied for schema public (SQLSTATE 42501)"), "{error}");
    assert_eq!(scene.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0");
}
