//! Imports through the adapter, read back by psql, and the reverse.

use std::collections::HashSet;

use beacond::domain::beacon::BeaconStatus;
use beacond::domain::gateway::{Gateway, GatewayStatus, StoreScope};
use beacond::ports::StoreError;
use beacond::stores::ImportSummary;

use crate::scene::{Scene, beacon, beacon_id};

fn gateway(id: &str, stores: &[&str]) -> Gateway {
    Gateway {
        id: id.parse().unwrap(),
        stores: StoreScope::These(stores.iter().map(|store| store.parse().unwrap()).collect()),
        status: GatewayStatus::Active,
    }
}

fn summary(inserted: usize, updated: usize, unchanged: usize) -> ImportSummary {
    ImportSummary { inserted, updated, unchanged }
}

#[test]
fn an_import_inserts_updates_and_leaves_what_is_as_it_is() {
    let scene = Scene::new();
    let mut admin = scene.admin();
    assert_eq!(admin.import_beacons(&[beacon(1), beacon(2)]).unwrap(), summary(2, 0, 0));
    let times = || scene.sql("SELECT updated_at FROM beacons ORDER BY minor");
    let before = times();
    let mut moved = beacon(2);
    moved.location = None;
    moved.status = BeaconStatus::Inactive;
    assert_eq!(admin.import_beacons(&[beacon(1), moved.clone(), beacon(3)]).unwrap(), summary(1, 1, 1));
    let after = times();
    assert_eq!(before.lines().next(), after.lines().next());
    assert_ne!(before.lines().nth(1), after.lines().nth(1));
    assert_eq!(
        scene.sql("SELECT beacon_id, store_id, major, minor, location, location_type, status FROM beacons WHERE minor = 2"),
        format!("{}|store-1|1|2||table|inactive", beacon_id(2))
    );
    let read: Vec<_> = admin.beacons().unwrap();
    assert_eq!(read.iter().map(|beacon| beacon.id).collect::<Vec<_>>(), [1, 2, 3].map(beacon_id));
    assert_eq!((read[1].status, &read[1].location), (moved.status, &None));
}

#[test]
fn of_rows_with_one_id_the_last_counts() {
    let scene = Scene::new();
    let mut other = beacon(1);
    other.minor = 77;
    let summary_of = scene.admin().import_beacons(&[beacon(1), other.clone(), other]).unwrap();
    assert_eq!(summary_of, summary(1, 1, 1));
    assert_eq!(scene.sql("SELECT minor FROM beacons"), "77");
}

#[test]
fn an_import_that_is_refused_in_part_changes_nothing() {
    let scene = Scene::new();
    scene.sql("ALTER TABLE beacons ALTER location TYPE VARCHAR(7)");
    let mut long = beacon(2);
    long.location = Some("Table two".parse().unwrap());
    assert!(scene.admin().import_beacons(&[beacon(1), long]).is_err());
    assert_eq!(scene.sql("SELECT count(*) FROM beacons"), "0");
}

#[test]
fn gateways_are_imported_with_their_stores_as_a_sorted_array() {
    let scene = Scene::new();
    let mut admin = scene.admin();
    let gateways = [gateway("g1", &["b", "a,\"{}"]), gateway("g2", &[])];
    assert_eq!(admin.import_gateways(&gateways).unwrap(), summary(2, 0, 0));
    assert_eq!(admin.import_gateways(&gateways).unwrap(), summary(0, 0, 2));
    assert_eq!(admin.import_gateways(&[gateway("g2", &["c"])]).unwrap(), summary(0, 1, 0));
    assert_eq!(scene.sql("SELECT stores[1], stores[2] FROM gateways WHERE gateway_id = 'g1'"), "a,\"{}|b");
    let read = admin.gateways().unwrap();
    assert_eq!(read, [gateways[0].clone(), gateway("g2", &["c"])]);
    let moved = scene
        .sql("UPDATE gateways SET status = 'disabled' WHERE gateway_id = 'g2' RETURNING updated_at >= now()");
    assert_eq!(moved, "t");
}

#[test]
fn a_gateway_of_every_store_is_not_registered() {
    let scene = Scene::new();
    let every = Gateway { stores: StoreScope::Every, ..gateway("g", &[]) };
    assert!(matches!(scene.admin().import_gateways(&[every]), Err(StoreError::BadRow { .. })));
    assert_eq!(scene.sql("SELECT count(*) FROM gateways"), "0");
}

#[test]
fn a_list_with_a_row_that_breaks_the_model_names_it() {
    let scene = Scene::with_beacons();
    scene.sql("UPDATE beacons SET location_type = 'bar' WHERE minor = 3");
    let error = scene.admin().beacons().unwrap_err().to_string();
    assert!(error.contains(&format!("beacon {}: location_type: ", beacon_id(3))), "{error}");
    let ids: HashSet<_> = (0..3).map(beacon_id).collect();
    scene.sql("DELETE FROM beacons WHERE minor = 3");
    assert_eq!(scene.admin().beacons().unwrap().iter().map(|beacon| beacon.id).collect::<HashSet<_>>(), ids);
}
