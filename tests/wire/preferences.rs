//! Preferences over the wire: accepted by key and time, refused with the field, undecided without a store.

use crate::harness::frames::{self, preferences};
use crate::harness::store;
use crate::model::tables::utc_text;
use crate::scene::{GATEWAY, Scene};

const ACCEPTED: u8 = 2;
const INVALID: u8 = 3;

const MINUTE_US: i64 = 60_000_000;

/// When, whose, key, value, and the detail that says what is wrong with one of them.
type Broken<'a> = (i64, &'a [u8], &'a [u8], &'a [u8], u8);

impl Scene {
    fn preferences_of(&self, customer: &str) -> Option<serde_json::Value> {
        let sql = format!("SELECT max(preferences) FROM customers WHERE customer_id = '{customer}'");
        store::text(&self.home.data(), &sql).map(|json| serde_json::from_str(&json).unwrap())
    }

    fn last_seen_of(&self, customer: &str) -> Option<String> {
        store::tables(&self.home.data()).last_seen.get(customer).cloned()
    }
}

#[test]
fn a_key_changes_only_for_a_newer_time() {
    let scene = Scene::new();
    let mut gateway = scene.daemon.tcp_session(GATEWAY);
    let now_us = scene.now_us;
    let mut set = |sequence, at_us, pairs: &[(&[u8], &[u8])]| {
        let record = gateway.ask(&preferences(sequence, at_us, b"alice", pairs));
        assert_eq!((record.sequence, record.status), (sequence, ACCEPTED));
        assert_eq!((record.outcomes(), record.exceptions), (vec![], vec![]));
    };
    set(1, now_us, &[(b"diet", b"vegan"), (b"seat", "Fenster 窗".as_bytes())]);
    let expected = serde_json::json!({"diet": "vegan", "seat": "Fenster 窗"});
    assert_eq!(scene.preferences_of("alice"), Some(expected));
    // Nobody has seen this customer: the row's last_seen is when the preferences were set.
    assert_eq!(scene.last_seen_of("alice"), Some(utc_text(now_us)));

    set(2, now_us - MINUTE_US, &[(b"diet", b"meat"), (b"drink", b"tea")]);
    set(3, now_us, &[(b"diet", b"fish")]);
    let expected = serde_json::json!({"diet": "vegan", "seat": "Fenster 窗", "drink": "tea"});
    assert_eq!(scene.preferences_of("alice"), Some(expected), "the older change, and one of equal time");

    set(4, now_us + 1, &[(b"diet", b"")]);
    let expected = serde_json::json!({"diet": "", "seat": "Fenster 窗", "drink": "tea"});
    assert_eq!(scene.preferences_of("alice"), Some(expected));
    let stats = scene.daemon.stats();
    assert_eq!((stats.preferences("received"), stats.preferences("accepted")), (4, 4));
    assert_eq!(stats.number("received"), 0, "they are no sightings");
}

#[test]
fn preferences_and_identity_of_a_customer_go_together() {
    let scene = Scene::new();
    let mut gateway = scene.daemon.tcp_session(GATEWAY);
    let earlier = preferences(1, scene.now_us - MINUTE_US, b"alice", &[(b"diet", b"vegan")]);
    assert_eq!(gateway.ask(&earlier).status, ACCEPTED);
    assert_eq!(gateway.ask(&frames::sightings(2, &[scene.strong("alice")])).outcomes(), [("identified", 1)]);
    assert_eq!(scene.last_seen_of("alice"), Some(utc_text(scene.now_us)));
    assert_eq!(scene.preferences_of("alice"), Some(serde_json::json!({"diet": "vegan"})));
    let later = preferences(3, scene.now_us + MINUTE_US, b"alice", &[(b"diet", b"fish")]);
    assert_eq!(gateway.ask(&later).status, ACCEPTED);
    assert_eq!(scene.last_seen_of("alice"), Some(utc_text(scene.now_us)), "setting is not being seen");
}

#[test]
fn a_field_that_breaks_its_rule_is_named_and_nothing_changes() {
    let scene = Scene::new();
    let mut gateway = scene.daemon.tcp_session(GATEWAY);
    let long_key = "é".repeat(65);
    let ahead_us = scene.now_us + 6 * MINUTE_US;
    let broken: [Broken<'_>; 13] = [
        (scene.now_us, b"", b"diet", b"vegan", 1),
        (scene.now_us, &[b'x'; 65], b"diet", b"vegan", 2),
        (scene.now_us, b"al\x07ice", b"diet", b"vegan", 3),
        (scene.now_us, b"al\xffice", b"diet", b"vegan", 4),
        (scene.now_us, b"alice", b"", b"vegan", 6),
        (scene.now_us, b"alice", long_key.as_bytes(), b"vegan", 6),
        (scene.now_us, b"alice", b"di\tet", b"vegan", 6),
        (scene.now_us, b"alice", b"di\xffet", b"vegan", 6),
        (scene.now_us, b"alice", b"diet", b"veg\xff", 7),
        (scene.now_us, b"alice", b"diet", b"veg\0an", 7),
        (ahead_us, b"alice", b"diet", b"vegan", 8),
        (i64::MAX, b"alice", b"diet", b"vegan", 8),
        (i64::MIN, b"alice", b"diet", b"vegan", 8),
    ];
    let mut sequence = 0;
    for (at_us, customer, key, value, detail) in broken {
        sequence += 1;
        let frame = preferences(sequence, at_us, customer, &[(b"seat", b"window"), (key, value)]);
        let record = gateway.ask(&frame);
        assert_eq!(
            (record.status, record.exceptions),
            (INVALID, vec![(0, 1, detail)]),
            "{customer:?} {key:?}"
        );
    }
    let stats = scene.daemon.stats();
    assert_eq!((stats.preferences("received"), stats.preferences("invalid")), (13, 13));
    assert_eq!(scene.last_seen_of("alice"), None);
    // What is just allowed is.
    let allowed =
        preferences(sequence + 1, scene.now_us, b"alice", &[("é".repeat(64).as_bytes(), &[b'v'; 1_024])]);
    assert_eq!(gateway.ask(&allowed).status, ACCEPTED);
}

#[test]
fn what_cannot_be_committed_is_accepted_when_it_is_and_not_before() {
    let scene = Scene::new();
    let mut gateway = scene.daemon.tcp_session(GATEWAY);
    let lock = store::connect(&scene.home.data());
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    gateway.send(&preferences(1, scene.now_us, b"alice", &[(b"diet", b"vegan")]));
    let stats =
        scene.daemon.wait_for_stats("the store fails", |stats| stats.writer_trouble() == "unavailable");
    assert_eq!(
        (stats.preferences("received"), stats.preferences("accepted")),
        (1, 1),
        "it is in the journal"
    );
    gateway.assert_unanswered();
    assert_eq!(scene.last_seen_of("alice"), None);
    lock.execute_batch("ROLLBACK").unwrap();
    assert_eq!(gateway.receive().ack().records[0].status, ACCEPTED);
    assert_eq!(scene.daemon.stats().preferences("accepted"), 1);
    assert_eq!(scene.preferences_of("alice"), Some(serde_json::json!({"diet": "vegan"})));
}
