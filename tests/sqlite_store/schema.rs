//! The tables are those of the data model, to the name.

use rusqlite::Connection;

use crate::scene::Scene;

/// Name, type, whether NULL is refused, default, place in the primary key.
type Column = (String, String, bool, Option<String>, i64);

fn columns(connection: &Connection, table: &str) -> Vec<Column> {
    let mut statement = connection
        .prepare("SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_info(?1)")
        .unwrap();
    let rows = statement
        .query_map([table], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
        .unwrap();
    rows.map(Result::unwrap).collect()
}

fn index(connection: &Connection, table: &str, name: &str) -> Option<(bool, String)> {
    let sql = "SELECT list.\"unique\", (SELECT group_concat(name, ',') FROM pragma_index_info(list.name))
        FROM pragma_index_list(?1) AS list WHERE list.name = ?2";
    connection.query_row(sql, [table, name], |row| Ok((row.get(0)?, row.get(1)?))).ok()
}

fn assert_columns(table: &str, expected: &[(&str, &str, bool, Option<&str>, i64)]) {
    let scene = Scene::new();
    let expected: Vec<Column> = expected
        .iter()
        .map(|&(name, kind, not_null, default, key)| {
            (name.to_owned(), kind.to_owned(), not_null, default.map(str::to_owned), key)
        })
        .collect();
    assert_eq!(columns(&scene.plain(), table), expected);
}

const NOW: Option<&str> = Some("strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')");

#[test]
fn customers_have_the_columns_of_the_data_model() {
    assert_columns(
        "customers",
        &[
            ("customer_id", "TEXT", true, None, 1),
            ("last_seen", "TEXT", true, None, 0),
            ("preferences", "TEXT", false, Some("'{}'"), 0),
            ("created_at", "TEXT", false, NOW, 0),
        ],
    );
}

#[test]
fn beacons_have_the_columns_of_the_data_model() {
    assert_columns(
        "beacons",
        &[
            ("beacon_id", "TEXT", true, None, 1),
            ("store_id", "TEXT", true, None, 0),
            ("major", "INTEGER", true, None, 0),
            ("minor", "INTEGER", true, None, 0),
            ("location", "TEXT", false, None, 0),
            ("status", "TEXT", true, Some("'active'"), 0),
            ("updated_at", "TEXT", false, NOW, 0),
            ("location_type", "TEXT", false, None, 0),
        ],
    );
}

#[test]
fn identities_and_events_have_the_columns_of_the_data_model() {
    assert_columns(
        "customer_identities",
        &[
            ("id", "INTEGER", true, None, 1),
            ("customer_id", "TEXT", true, None, 0),
            ("beacon_id", "TEXT", true, None, 0),
            ("location", "TEXT", false, None, 0),
            ("confidence", "REAL", true, None, 0),
            ("detected_at", "TEXT", true, None, 0),
        ],
    );
    assert_columns(
        "customer_events",
        &[
            ("CustomerID", "TEXT", true, None, 2),
            ("DetectedAt", "TEXT", true, None, 1),
            ("Location", "TEXT", false, None, 0),
            ("Confidence", "REAL", true, None, 0),
            ("BeaconID", "TEXT", true, None, 0),
            ("ExpiresAt", "INTEGER", true, None, 0),
        ],
    );
}

#[test]
fn preference_changes_and_gateways_have_the_columns_of_the_data_model() {
    assert_columns(
        "preference_changes",
        &[
            ("customer_id", "TEXT", true, None, 1),
            ("key", "TEXT", true, None, 2),
            ("updated_at", "TEXT", true, None, 0),
        ],
    );
    assert_columns(
        "gateways",
        &[
            ("gateway_id", "TEXT", true, None, 1),
            ("stores", "TEXT", true, Some("'[]'"), 0),
            ("status", "TEXT", true, Some("'active'"), 0),
            ("updated_at", "TEXT", false, NOW, 0),
        ],
    );
}

#[test]
fn every_index_has_its_name_and_columns() {
    let scene = Scene::new();
    let connection = scene.plain();
    for (table, name, unique, columns) in [
        ("customers", "idx_customers_last_seen", false, "last_seen"),
        ("beacons", "idx_beacons_store_id", false, "store_id"),
        ("beacons", "idx_beacons_status", false, "status"),
        ("customer_identities", "idx_customer_identities_customer_id", false, "customer_id"),
        ("customer_identities", "idx_customer_identities_detected_at", false, "detected_at"),
        ("customer_identities", "idx_customer_identities_unique", true, "customer_id,detected_at"),
        ("customer_events", "DetectedAtIndex", false, "DetectedAt"),
    ] {
        assert_eq!(index(&connection, table, name), Some((unique, columns.to_owned())), "{name}");
    }
}

#[test]
fn checks_and_foreign_keys_refuse_what_the_model_does_not_allow() {
    let scene = Scene::with_beacons();
    let connection = scene.plain();
    connection.execute("INSERT INTO customers (customer_id, last_seen) VALUES ('c', 't')", []).unwrap();
    let beacon: String = connection.query_row("SELECT beacon_id FROM beacons", [], |row| row.get(0)).unwrap();
    let refused = |sql: &str| connection.execute(sql, []).unwrap_err().to_string();
    for (column, value) in [
        ("major", "65536"),
        ("major", "-1"),
        ("minor", "65536"),
        ("status", "'gone'"),
        ("store_id", "NULL"),
        ("location", "printf('%033d', 1)"),
    ] {
        let error = refused(&format!("UPDATE beacons SET {column} = {value}"));
        assert!(error.contains("constraint failed"), "{column} {value}: {error}");
    }
    assert!(refused("UPDATE beacons SET status = 'gone'").contains("valid_status"));
    let long_id = refused("INSERT INTO customers (customer_id, last_seen) VALUES (printf('%065d', 1), 't')");
    assert!(long_id.contains("CHECK constraint failed"), "{long_id}");
    let identity = |customer: &str, beacon: &str, confidence: &str| {
        refused(&format!(
            "INSERT INTO customer_identities (customer_id, beacon_id, confidence, detected_at)
             VALUES ('{customer}', '{beacon}', {confidence}, 't')"
        ))
    };
    assert!(identity("c", &beacon, "1.1").contains("CHECK constraint failed"));
    assert!(identity("c", &beacon, "-0.1").contains("CHECK constraint failed"));
    assert!(identity("c", "nowhere", "0.9").contains("FOREIGN KEY constraint failed"));
    assert!(identity("nobody", &beacon, "0.9").contains("FOREIGN KEY constraint failed"));
}

#[test]
fn an_update_always_moves_a_beacons_updated_at_forward() {
    let scene = Scene::with_beacons();
    let connection = scene.plain();
    let moved = |from: &str| -> String {
        // Deleted and made anew, since an update alone cannot move the time back.
        connection
            .execute_batch(&format!(
                "CREATE TEMP TABLE kept AS SELECT * FROM beacons;
                 DELETE FROM beacons;
                 UPDATE kept SET updated_at = '{from}';
                 INSERT INTO beacons SELECT * FROM kept;
                 DROP TABLE kept;
                 UPDATE beacons SET minor = minor + 1;"
            ))
            .unwrap();
        connection.query_row("SELECT min(updated_at) FROM beacons", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(moved("2999-12-31T23:59:59.000009Z"), "2999-12-31T23:59:59.000010Z");
    assert_eq!(moved("2999-12-31T23:59:59.999999Z"), "3000-01-01T00:00:00.000000Z");
    let now = moved("2001-01-01T00:00:00.000000Z");
    assert!(now.starts_with("20") && now.len() == 27 && now.as_str() > "2026", "{now}");
}
