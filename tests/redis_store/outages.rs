//! Redis gone, hanging, refusing, and back: nobody waits for it, and it comes back by itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use beacond::ports::{BeaconCache, LatestIdentities, StoreError};
use beacond::stores::redis::{RedisSettings, check};
use tokio::time::timeout;

use crate::scene::{Scene, beacon, beacon_id, block, identity, key, settings};
use crate::server::Server;

/// What a call may take beyond its timeout on a busy machine.
const SLACK: Duration = Duration::from_secs(2);

fn impatient(server: &Server) -> RedisSettings {
    RedisSettings { timeout: Duration::from_millis(200), ..settings(&server.url()) }
}

async fn fails_at_once(scene: &Scene) {
    let asked_at = Instant::now();
    for _ in 0..1_000 {
        let answer = scene.redis.beacons.beacon(beacon_id(1)).await;
        assert!(matches!(answer, Err(StoreError::Unavailable { store: "Redis", .. })), "{answer:?}");
    }
    assert!(asked_at.elapsed() < SLACK, "a thousand calls took {:?}", asked_at.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_killed_is_used_again_when_it_is_back() {
    let mut server = Server::start();
    let scene = Scene::on(&server).await;
    scene.redis.beacons.keep(Arc::new(beacon(1, 0))).await.unwrap();
    server.kill();
    scene.until_down().await;
    fails_at_once(&scene).await;
    scene.redis.customers.stored(&[block(vec![identity("alice", 0)])]);
    assert_eq!(scene.redis.health.counts().customers_dropped, 1, "not queued for a server that is gone");

    server.run();
    scene.until_up().await;
    assert_eq!(scene.redis.beacons.beacon(beacon_id(1)).await.unwrap(), None, "it came back empty");
    scene.redis.beacons.keep(Arc::new(beacon(1, 0))).await.unwrap();
    scene.redis.customers.stored(&[block(vec![identity("alice", 1)])]);
    let counts = scene.finish().await;
    assert!(server.holds(&key(1)));
    assert!(server.holds("customer:alice"));
    assert_eq!((counts.times_down, counts.beacons_kept, counts.customers_written), (1, 2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_at_the_start_is_found_later() {
    let mut server = Server::not_started();
    let scene = Scene::start(&settings(&server.url()));
    fails_at_once(&scene).await;
    server.run();
    scene.until_up().await;
    scene.redis.beacons.keep(Arc::new(beacon(1, 0))).await.unwrap();
    assert!(server.holds(&key(1)));
    assert_eq!(scene.finish().await.times_down, 0, "it had never been up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_costs_one_timeout() {
    let server = Server::start();
    let scene = Scene::start(&impatient(&server));
    scene.until_up().await;
    server.stop_answering();
    let asked_at = Instant::now();
    assert!(scene.redis.beacons.beacon(beacon_id(1)).await.is_err());
    assert!(asked_at.elapsed() < Duration::from_millis(200) + SLACK);
    scene.until_down().await;
    fails_at_once(&scene).await;
    server.answer_again();
    scene.until_up().await;
    assert_eq!(scene.redis.beacons.beacon(beacon_id(1)).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_adapter_notices_that_the_server_hangs() {
    let server = Server::start();
    let scene = Scene::start(&impatient(&server));
    scene.until_up().await;
    server.stop_answering();
    scene.until_down().await;
    server.answer_again();
    scene.until_up().await;
    assert_eq!(scene.finish().await.times_down, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn beacons_that_could_not_be_forgotten_are_before_the_cache_answers_again() {
    let server = Server::start();
    let scene = Scene::start(&impatient(&server));
    scene.until_up().await;
    for number in 1..=4 {
        scene.redis.beacons.keep(Arc::new(beacon(number, 0))).await.unwrap();
    }
    server.stop_answering();
    // One whose caller goes away, one that hangs, one while it is known to be down.
    let left = timeout(Duration::from_millis(1), scene.redis.beacons.forget(vec![beacon_id(1)])).await;
    assert!(left.is_err(), "the server hangs");
    scene.until_down().await;
    assert!(scene.redis.beacons.forget(vec![beacon_id(2), beacon_id(3)]).await.is_err());
    server.answer_again();
    scene.until_up().await;
    for number in 1..=3 {
        assert_eq!(scene.redis.beacons.beacon(beacon_id(number)).await.unwrap(), None);
        assert!(!server.holds(&key(number)));
    }
    assert!(server.holds(&key(4)));
}

#[tokio::test(flavor = "multi_thread")]
async fn past_what_can_be_remembered_every_beacon_is_forgotten_and_no_customer() {
    let server = Server::start();
    let scene = Scene::start(&impatient(&server));
    scene.until_up().await;
    for number in 0..3_000 {
        scene.redis.beacons.keep(Arc::new(beacon(number, 0))).await.unwrap();
    }
    server.cli(&["HSET", "customer:alice", "location", "Table 3"]);
    server.stop_answering();
    scene.until_down().await;
    assert!(scene.redis.beacons.forget((100_000..200_000).map(beacon_id).collect()).await.is_err());
    server.answer_again();
    scene.until_up().await;
    assert_eq!(server.cli(&["KEYS", "*"]), "customer:alice");
}

#[tokio::test(flavor = "multi_thread")]
async fn identities_under_way_when_the_server_hangs_are_failed_and_the_rest_dropped() {
    let server = Server::start();
    let scene = Scene::start(&RedisSettings { customers_batch_rows: 1, ..impatient(&server) });
    scene.until_up().await;
    server.stop_answering();
    let blocks: Vec<_> = (0..100).map(|n| block(vec![identity(&format!("c{n}"), 0)])).collect();
    scene.redis.customers.stored(&blocks);
    scene.until_down().await;
    server.answer_again();
    let counts = scene.finish().await;
    assert_eq!(counts.customers_failed, 1);
    assert_eq!(counts.customers_dropped, 99);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_takes_no_writes_is_down_until_it_does() {
    let server = Server::start();
    let scene = Scene::on(&server).await;
    scene.redis.beacons.keep(Arc::new(beacon(1, 0))).await.unwrap();
    server.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    scene.until_down().await;
    fails_at_once(&scene).await;
    server.cli(&["REPLICAOF", "NO", "ONE"]);
    scene.until_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_too_full_for_a_newer_version_does_not_go_on_with_the_old_one() {
    let server = Server::start_with(&["--maxmemory-policy", "noeviction"]);
    let scene = Scene::on(&server).await;
    let cache = &scene.redis.beacons;
    cache.keep(Arc::new(beacon(1, 0))).await.unwrap();
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    assert!(cache.keep(Arc::new(beacon(1, 1))).await.is_err());
    assert!(!server.holds(&key(1)));
    scene.redis.customers.stored(&[block(vec![identity("alice", 0), identity("bob", 0)])]);
    assert!(scene.redis.health.is_up(), "it answers, and can forget");
    let counts = scene.finish().await;
    assert_eq!((counts.requests_failed, counts.customers_failed), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_lets_in_and_is_never_repeated() {
    let server = Server::start_with(&["--requirepass", "opensesame", "--maxmemory", "64mb"]);
    let good = settings(&server.url_as(":opensesame"));
    let scene = Scene::start(&good);
    scene.until_up().await;
    let lines = check(&good).await;
    let found: Vec<&String> = lines.iter().map(|line| line.found.as_ref().unwrap()).collect();
    let version = server.cli(&["-a", "opensesame", "--no-auth-warning", "INFO", "server"]);
    let version = version.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap().trim();
    assert!(found[0].ends_with(&format!("version {version}")), "{found:?}");
    assert!(found[2].contains("67108864 bytes, policy noeviction"), "{found:?}");

    let wrong = check(&settings(&server.url_as(":closedsesame"))).await;
    assert!(wrong.iter().any(|line| line.found.is_err()));
    assert!(!format!("{lines:?} {wrong:?} {good:?} {:?}", scene.redis).contains("sesame"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_the_right_to_write_is_named_by_the_check() {
    let server = Server::start();
    server.cli(&["ACL", "SETUSER", "reader", "on", ">pass", "~*", "+@read", "+@connection", "+info"]);
    let lines = check(&settings(&server.url_as("reader:pass"))).await;
    let rights = lines.iter().find(|line| line.part == "rights").unwrap();
    assert!(rights.found.as_ref().unwrap_err().contains("no permissions"), "{rights:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_there_is_named_by_the_check() {
    let lines = check(&settings(&Server::not_started().url())).await;
    assert_eq!(lines.len(), 1);
    assert!(lines[0].found.as_ref().unwrap_err().contains("redis://127.0.0.1:"), "{lines:?}");
}
