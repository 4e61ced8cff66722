//! What a poll looks back for: before the start, and to transactions that commit late.

use crate::recorder::{Following, OFTEN, SELDOM, Told, tells};
use crate::scene::{Scene, beacon_id};

/// Sets the time of a beacon's last change.
fn changed_ago(scene: &Scene, minor: u8, ago: &str) {
    scene.sql(&format!(
        "ALTER TABLE beacons DISABLE TRIGGER beacons_stamp;
        UPDATE beacons SET updated_at = now() - INTERVAL '{ago}' WHERE minor = {minor};
        ALTER TABLE beacons ENABLE ALWAYS TRIGGER beacons_stamp"
    ));
}

#[test]
fn a_start_tells_what_changed_for_as_long_as_a_cache_may_hold_it_before_changes_count_as_followed() {
    let scene = Scene::with_beacons();
    changed_ago(&scene, 1, "24 hours 1 minute");
    changed_ago(&scene, 2, "25 hours");
    scene.sql("DELETE FROM beacons WHERE minor = 3");
    scene.sql("UPDATE beacon_deletions SET deleted_at = now() - INTERVAL '23 hours'");
    let mut following = Following::start(scene.url(), SELDOM);
    let told = following.until_followed();
    assert!(
        [0, 1, 3].iter().all(|number| told.iter().any(|told| tells(told, beacon_id(*number)))),
        "{told:?}"
    );
    assert!(!told.iter().any(|told| tells(told, beacon_id(2))), "{told:?}");
}

/// The transaction stays open for longer than the overlap of polls, while other changes are told, so that only knowing
/// of its lock can find its change. Notices are lost.
#[test]
fn a_poll_finds_a_change_of_a_transaction_that_commits_long_after() {
    let scene = Scene::with_beacons();
    let (proxy, url) = scene.proxied();
    proxy.mute(true);
    let mut following = Following::start(url, OFTEN);
    following.until_changed(beacon_id(0));
    let mut late = scene.session();
    late.run("BEGIN; UPDATE beacons SET status = 'inactive' WHERE minor = 1");
    scene.sql("UPDATE beacons SET status = 'inactive' WHERE minor = 2");
    following.until_changed(beacon_id(2));
    late.run("SELECT pg_sleep(12)");
    scene.sql("UPDATE beacons SET status = 'active' WHERE minor = 2");
    let mut told = following.until_changed(beacon_id(2));
    assert!(!told.iter().any(|told| tells(told, beacon_id(1))), "{told:?}");
    late.run("COMMIT");
    told.extend(following.until_changed(beacon_id(1)));
    assert!(told.iter().all(|told| matches!(told, Told::Changed(_))));
}
