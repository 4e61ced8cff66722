//! `customer:<customer_id>`: only moves forward, and never makes anybody wait.

use std::sync::Arc;

use beacond::domain::confidence::{ConfidenceCurve, ConfidenceSettings};
use beacond::domain::location::LocationType;
use beacond::domain::sighting::Rssi;
use beacond::ports::{Block, LatestIdentities};
use beacond::stores::redis::RedisCounts;

use crate::scene::{Scene, block, identity, settings};
use crate::server::Server;

const SIX_DAYS_US: i64 = 6 * 24 * 60 * 60 * 1_000_000;

/// Has these written, each slice as one batch after the other, on a server.
async fn written(server: &Server, batches: &[Vec<Arc<Block>>]) -> RedisCounts {
    let mut sum = RedisCounts::default();
    for blocks in batches {
        let scene = Scene::on(server).await;
        scene.redis.customers.stored(blocks);
        let counts = scene.finish().await;
        sum.customers_written += counts.customers_written;
        sum.customers_superseded += counts.customers_superseded;
        sum.customers_failed += counts.customers_failed;
        sum.customers_dropped += counts.customers_dropped;
    }
    sum
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_is_a_hash_that_lives_an_hour_however_old_it_is() {
    let server = Server::start();
    let batch = vec![block(vec![identity("alice", 0), identity("bob", -SIX_DAYS_US)])];
    let counts = written(&server, &[batch]).await;
    let expected = [
        ("confidence".to_owned(), "0.9".to_owned()),
        ("detected_at".to_owned(), "2026-05-01T12:00:00.000000Z".to_owned()),
        ("location".to_owned(), "Table 3".to_owned()),
    ];
    assert_eq!(server.hash("customer:alice"), expected);
    assert_eq!(server.field("customer:bob", "detected_at"), "2026-04-25T12:00:00.000000Z");
    for key in ["customer:alice", "customer:bob"] {
        assert!((3_590..=3_600).contains(&server.ttl_seconds(key)), "{key}");
    }
    assert_eq!(counts, RedisCounts { customers_written: 2, ..RedisCounts::default() });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_identity_does_not_overwrite_a_newer_one() {
    let server = Server::start();
    let one_batch = vec![
        block(vec![identity("alice", -60_000_000), identity("alice", 0)]),
        block(vec![identity("alice", -120_000_000)]),
    ];
    let late = vec![block(vec![identity("alice", -1)])];
    let counts = written(&server, &[one_batch, late]).await;
    assert_eq!(server.field("customer:alice", "detected_at"), "2026-05-01T12:00:00.000000Z");
    assert_eq!((counts.customers_written, counts.customers_superseded), (1, 3));
    written(&server, &[vec![block(vec![identity("alice", 1)])]]).await;
    assert_eq!(server.field("customer:alice", "detected_at"), "2026-05-01T12:00:00.000001Z");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redelivery_does_not_make_a_hash_live_longer() {
    let server = Server::start();
    written(&server, &[vec![block(vec![identity("alice", 0)])]]).await;
    server.cli(&["EXPIRE", "customer:alice", "100"]);
    let counts = written(&server, &[vec![block(vec![identity("alice", 0)])]]).await;
    assert!(server.ttl_seconds("customer:alice") <= 100);
    assert_eq!(counts.customers_superseded, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_without_a_name_leaves_no_location_behind() {
    let server = Server::start();
    let mut nameless = identity("alice", 1);
    nameless.location = None;
    written(&server, &[vec![block(vec![identity("alice", 0)])], vec![block(vec![nameless])]]).await;
    let fields: Vec<String> = server.hash("customer:alice").into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["confidence", "detected_at"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confidence_reads_back_as_the_same_f32() {
    let server = Server::start();
    let curve = ConfidenceCurve::new(&ConfidenceSettings::default());
    let identities: Vec<_> = (-62_i8..=0)
        .map(|dbm| {
            let mut identity = identity(&format!("c{dbm}"), 0);
            identity.confidence = curve.confidence(Rssi::new(dbm).unwrap(), LocationType::Table);
            identity
        })
        .collect();
    written(&server, &[vec![block(identities.clone())]]).await;
    for identity in identities {
        let key = format!("customer:{}", identity.customer_id.as_str());
        let read: f32 = server.field(&key, "confidence").parse().unwrap();
        assert_eq!(read.to_bits(), identity.confidence.as_f32().to_bits());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_identity_does_not_keep_one_out() {
    let server = Server::start();
    server.cli(&["HSET", "customer:alice", "detected_at", "zzzzzzzzzzzzzzzzzzzzzzzzzzz"]);
    server.cli(&["SET", "customer:bob", "not a hash"]);
    let counts = written(&server, &[vec![block(vec![identity("alice", 0), identity("bob", 0)])]]).await;
    assert_eq!(counts.customers_written, 2);
    for key in ["customer:alice", "customer:bob"] {
        assert_eq!(server.field(key, "detected_at"), "2026-05-01T12:00:00.000000Z");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_that_somebody_flushed_are_loaded_again() {
    let server = Server::start();
    let scene = Scene::on(&server).await;
    server.cli(&["SCRIPT", "FLUSH"]);
    scene.redis.customers.stored(&[block(vec![identity("alice", 0), identity("bob", 0)])]);
    let counts = scene.finish().await;
    assert_eq!(counts, RedisCounts { customers_written: 2, ..RedisCounts::default() });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_queued_at_the_stop_is_written() {
    let server = Server::start();
    let scene = Scene::on(&server).await;
    let blocks: Vec<_> =
        (0..500).map(|of| block((0..20).map(|n| identity(&format!("c{of}-{n}"), 0)).collect())).collect();
    scene.redis.customers.stored(&blocks);
    let counts = scene.finish().await;
    assert_eq!(counts, RedisCounts { customers_written: 10_000, ..RedisCounts::default() });
    assert_eq!(server.cli(&["DBSIZE"]), "10000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_drops_and_counts() {
    let server = Server::start();
    let scene = Scene::start(&beacond::stores::redis::RedisSettings {
        customers_queued: 3,
        customers_batch_rows: 1,
        ..settings(&server.url())
    });
    scene.until_up().await;
    server.stop_answering();
    // Three have places, until the last of them is answered; a block that is larger than the queue never gets in.
    for number in 0..10 {
        scene.redis.customers.stored(&[block(vec![identity(&format!("c{number}"), 0)])]);
    }
    scene.redis.customers.stored(&[block((0..4).map(|n| identity(&format!("d{n}"), 0)).collect())]);
    assert_eq!(scene.redis.health.counts().customers_dropped, 7 + 4);
    server.answer_again();
    let counts = scene.finish().await;
    assert_eq!((counts.customers_written, counts.customers_dropped), (3, 11));
    assert_eq!(server.cli(&["DBSIZE"]), "3");
}
