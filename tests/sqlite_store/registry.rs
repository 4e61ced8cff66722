//! Importing beacons and gateways, beside a daemon that has the file open.

use std::collections::HashSet;

use beacond::domain::beacon::{Beacon, BeaconStatus};
use beacond::domain::gateway::{Gateway, GatewayStatus, StoreScope};
use beacond::ports::StoreError;
use beacond::stores::ImportSummary;

use crate::scene::{Scene, beacon};

const fn summary(inserted: usize, updated: usize, unchanged: usize) -> ImportSummary {
    ImportSummary { inserted, updated, unchanged }
}

fn gateway(id: &str, stores: &[&str], status: GatewayStatus) -> Gateway {
    let stores = stores.iter().map(|store| store.parse().unwrap()).collect();
    Gateway { id: id.parse().unwrap(), stores: StoreScope::These(stores), status }
}

#[test]
fn an_import_moves_updated_at_of_what_changed_only() {
    let scene = Scene::new();
    let _daemon = scene.writer();
    let mut admin = scene.admin();
    let mut beacons: Vec<Beacon> = (0..5).map(beacon).collect();
    assert_eq!(admin.import_beacons(&beacons).unwrap(), summary(5, 0, 0));
    let first = admin.beacons().unwrap();
    assert_eq!(admin.import_beacons(&beacons).unwrap(), summary(0, 0, 5));
    assert_eq!(admin.beacons().unwrap(), first);
    beacons[0].status = BeaconStatus::Inactive;
    beacons[1].location = None;
    beacons[2].location_type = None;
    beacons.push(beacon(9));
    assert_eq!(admin.import_beacons(&beacons).unwrap(), summary(1, 3, 2));
    let second = admin.beacons().unwrap();
    for (index, (before, after)) in first.iter().zip(&second).enumerate() {
        assert_eq!(after.updated_at > before.updated_at, index < 3, "{index}");
        assert_eq!(Beacon { updated_at: beacons[index].updated_at, ..after.clone() }, beacons[index]);
    }
    assert_eq!(second.len(), 6);
    assert_eq!(scene.count("beacons"), 6);
}

#[test]
fn the_same_beacon_twice_in_one_import_ends_as_the_later() {
    let scene = Scene::new();
    let later = Beacon { minor: 77, ..beacon(1) };
    assert_eq!(scene.admin().import_beacons(&[beacon(1), later]).unwrap(), summary(1, 1, 0));
    assert_eq!(scene.admin().beacons().unwrap()[0].minor, 77);
}

#[test]
fn gateways_are_imported_alike() {
    let scene = Scene::new();
    let mut admin = scene.admin();
    let gateways = [
        gateway("a", &["s2", "s1", "é\""], GatewayStatus::Active),
        gateway("b", &[], GatewayStatus::Disabled),
    ];
    assert_eq!(admin.import_gateways(&gateways).unwrap(), summary(2, 0, 0));
    assert_eq!(admin.import_gateways(&gateways).unwrap(), summary(0, 0, 2));
    assert_eq!(admin.gateways().unwrap(), gateways);
    let stores: String = scene.one("SELECT stores FROM gateways WHERE gateway_id = 'a'", []);
    assert_eq!(serde_json::from_str::<HashSet<String>>(&stores).unwrap().len(), 3);
    let fewer = gateway("a", &["s1"], GatewayStatus::Active);
    assert_eq!(admin.import_gateways(std::slice::from_ref(&fewer)).unwrap(), summary(0, 1, 0));
    assert_eq!(admin.gateways().unwrap(), [fewer, gateways[1].clone()]);
}

#[test]
fn a_gateway_of_every_store_cannot_be_registered_and_nothing_of_that_import_is() {
    let scene = Scene::new();
    let every = Gateway { stores: StoreScope::Every, ..gateway("b", &[], GatewayStatus::Active) };
    let both = [gateway("a", &[], GatewayStatus::Active), every];
    assert!(matches!(scene.admin().import_gateways(&both), Err(StoreError::BadRow { .. })));
    assert_eq!(scene.count("gateways"), 0);
}

#[test]
fn an_import_that_meets_a_lock_says_so_and_does_nothing() {
    let scene = Scene::new();
    let mut admin = scene.admin();
    let lock = scene.plain();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = admin.import_beacons(&[beacon(1)]).unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    lock.execute_batch("ROLLBACK").unwrap();
    assert_eq!(admin.import_beacons(&[beacon(1)]).unwrap(), summary(1, 0, 0));
}

#[test]
fn a_beacon_edited_out_of_the_model_is_named() {
    let scene = Scene::with_beacons();
    let edit = scene.plain();
    edit.execute_batch("PRAGMA ignore_check_constraints = ON; UPDATE beacons SET status = 'gone'").unwrap();
    let error = scene.admin().beacons().unwrap_err().to_string();
    assert!(error.contains("status") && error.contains(&beacon(0).id.to_string()), "{error}");
}
