//! `beacon:<beacon_id>`, both ways.

use std::sync::Arc;

use beacond::domain::beacon::BeaconStatus;
use beacond::ports::BeaconCache;

use crate::scene::{Scene, beacon, beacon_id, key};
use crate::server::Server;

/// What `beacon(1, 0)` is in Redis, sorted by field.
const HASH: [(&str, &str); 7] = [
    ("location", "Table 3"),
    ("location_type", "counter"),
    ("major", "65535"),
    ("minor", "7"),
    ("status", "maintenance"),
    ("store_id", "store-1"),
    ("updated_at", "2026-05-01T12:00:00.000000Z"),
];

fn hash() -> Vec<(String, String)> {
    HASH.iter().map(|&(field, value)| (field.to_owned(), value.to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beacon_is_a_hash_that_lives_a_day() {
    let server = Server::start();
    let scene = Scene::on(&server).await;
    let cache = &scene.redis.beacons;
    assert_eq!(cache.beacon(beacon_id(1)).await.unwrap(), None);
    cache.keep(Arc::new(beacon(1, 0))).await.unwrap();
    assert_eq!(server.hash(&key(1)), hash());
    assert!((86_390..=86_400).contains(&server.ttl_seconds(&key(1))));
    assert_eq!(cache.beacon(beacon_id(1)).await.unwrap(), Some(beacon(1, 0)));
    assert_eq!(scene.finish().await.beacons_kept, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_version_replaces_the_whole_hash_and_absent_fields_are_absent() {
    let server = Server::start();
    let scene = Scene::on(&server).await;
    let cache = &scene.redis.beacons;
    cache.keep(Arc::new(beacon(1, 0))).await.unwrap();
    server.cli(&["HSET", &key(1), "note", "of an older daemon"]);
    server.cli(&["EXPIRE", &key(1), "100"]);
    let mut newer = beacon(1, 1);
    (newer.location, newer.location_type, newer.status) = (None, None, BeaconStatus::Active);
    cache.keep(Arc::new(newer.clone())).await.unwrap();
    let fields: Vec<String> = server.hash(&key(1)).into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["major", "minor", "status", "store_id", "updated_at"]);
    assert!(server.ttl_seconds(&key(1)) > 86_000);
    assert_eq!(cache.beacon(beacon_id(1)).await.unwrap(), Some(newer));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_or_equal_version_leaves_what_is_held() {
    let server = Server::start();
    let scene = Scene::on(&server).await;
    let cache = &scene.redis.beacons;
    cache.keep(Arc::new(beacon(1, 0))).await.unwrap();
    server.cli(&["EXPIRE", &key(1), "100"]);
    for version_us in [0, -1, -86_400_000_000] {
        let mut other = beacon(1, version_us);
        other.status = BeaconStatus::Active;
        cache.keep(Arc::new(other)).await.unwrap();
        assert_eq!(server.hash(&key(1)), hash());
    }
    assert!(server.ttl_seconds(&key(1)) <= 100, "what was not written does not live longer");
    assert_eq!(scene.finish().await.beacons_kept, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hash_that_others_wrote_is_read_and_fields_unknown_to_the_model_are_ignored() {
    let server = Server::start();
    let scene = Scene::on(&server).await;
    let key = key(1);
    let pairs = HASH.iter().flat_map(|&(field, value)| [field, value]);
    let command: Vec<&str> = ["HSET", &key, "colour", "\u{1}"].into_iter().chain(pairs).collect();
    server.cli(&command);
    assert_eq!(scene.redis.beacons.beacon(beacon_id(1)).await.unwrap(), Some(beacon(1, 0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hash_the_model_does_not_allow_is_not_held_and_goes() {
    let server = Server::start();
    let scene = Scene::on(&server).await;
    let cache = &scene.redis.beacons;
    let broken = [
        ["HSET", "major", "65536"],
        ["HSET", "minor", ""],
        ["HSET", "status", "gone"],
        ["HSET", "location_type", "bar"],
        ["HSET", "location", "longer than the thirty-two characters"],
        ["HSET", "store_id", "a\tb"],
        ["HSET", "updated_at", "yesterday"],
        ["HDEL", "store_id", "nothing"],
    ];
    for (number, [command, field, value]) in (1..).zip(broken) {
        cache.keep(Arc::new(beacon(number, 0))).await.unwrap();
        server.cli(&[command, &key(number), field, value]);
        assert_eq!(cache.beacon(beacon_id(number)).await.unwrap(), None, "{field}");
        assert!(!server.holds(&key(number)), "{field}");
    }
    server.cli(&["SET", &key(9), "not a hash"]);
    assert_eq!(cache.beacon(beacon_id(9)).await.unwrap(), None);
    assert!(!server.holds(&key(9)));
    assert_eq!(scene.finish().await.beacons_malformed, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_version_does_not_keep_a_beacon_out() {
    let server = Server::start();
    let scene = Scene::on(&server).await;
    for version in ["zzzzzzzzzzzzzzzzzzzzzzzzzzz", "9", ""] {
        server.cli(&["DEL", &key(1)]);
        server.cli(&["HSET", &key(1), "updated_at", version]);
        scene.redis.beacons.keep(Arc::new(beacon(1, 0))).await.unwrap();
        assert_eq!(server.hash(&key(1)), hash());
    }
    server.cli(&["SET", &key(2), "not a hash"]);
    scene.redis.beacons.keep(Arc::new(beacon(2, 0))).await.unwrap();
    assert_eq!(server.hash(&key(2)), hash());
}

#[tokio::test(flavor = "multi_thread")]
async fn beacons_are_forgotten_whatever_their_version() {
    let server = Server::start();
    let scene = Scene::on(&server).await;
    let cache = &scene.redis.beacons;
    for number in 0..=3 {
        cache.keep(Arc::new(beacon(number, i64::from(number)))).await.unwrap();
    }
    // More than go in one round trip, most of them not there.
    cache.forget((1..2_500).map(beacon_id).collect()).await.unwrap();
    assert_eq!(server.cli(&["KEYS", "*"]), key(0));
    cache.keep(Arc::new(beacon(3, -1))).await.unwrap();
    assert!(server.holds(&key(3)), "an older version may come again");
}
