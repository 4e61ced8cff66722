//! Changes of beacons are told: at once by notices, and by polls where notices are lost.

use beacond::domain::beacon::BeaconId;

use crate::recorder::{Following, OFTEN, SELDOM, Told};
use crate::scene::{Scene, beacon_id};

const RETIRE: &str = "UPDATE beacons SET status = 'inactive' WHERE minor = 1";

#[test]
fn a_change_a_new_beacon_and_a_deletion_are_told_by_notices() {
    let scene = Scene::with_beacons();
    let mut following = Following::start(scene.url(), SELDOM);
    following.until_followed();
    scene.sql(RETIRE);
    following.until_changed(beacon_id(1));
    scene.sql(&format!(
        "INSERT INTO beacons (beacon_id, store_id, major, minor) VALUES ('{}', 's', 0, 0)",
        beacon_id(9)
    ));
    following.until_changed(beacon_id(9));
    scene.sql("DELETE FROM beacons WHERE minor = 2");
    following.until_changed(beacon_id(2));
    assert_eq!(following.stop(), [Told::Followed(false)]);
}

#[test]
fn where_notices_are_lost_changes_are_told_by_polls_and_do_not_count_as_followed() {
    let scene = Scene::with_beacons();
    let (proxy, url) = scene.proxied();
    proxy.mute(true);
    let mut following = Following::start(url, OFTEN);
    following.until_changed(beacon_id(1));
    scene.sql(
        "DELETE FROM beacons WHERE minor = 2; INSERT INTO beacons (beacon_id, store_id, major, minor)
        VALUES ('no id at all', 's', 0, 0)",
    );
    let mut told = following.until_changed(beacon_id(2));
    scene.sql(RETIRE);
    told.extend(following.until_changed(beacon_id(1)));
    told.extend(following.stop());
    assert!(told.iter().all(|told| matches!(told, Told::Changed(_))), "{told:?}");
}

#[test]
fn notices_that_stop_in_silence_are_missed_at_the_next_poll_and_count_again_when_they_return() {
    let scene = Scene::with_beacons();
    let (proxy, url) = scene.proxied();
    let mut following = Following::start(url, OFTEN);
    following.until_followed();
    proxy.mute(true);
    following.until_not_followed();
    scene.sql(RETIRE);
    following.until_changed(beacon_id(1));
    proxy.mute(false);
    following.until_followed();
}

#[test]
fn what_changed_while_the_connection_was_gone_is_told_before_changes_count_as_followed_again() {
    let scene = Scene::with_beacons();
    let (proxy, url) = scene.proxied();
    let mut following = Following::start(url, SELDOM);
    following.until_followed();
    proxy.cut();
    following.until_not_followed();
    scene.sql(RETIRE);
    scene.sql("DELETE FROM beacons WHERE minor = 2");
    proxy.mend();
    let told = following.until_followed();
    let ids: Vec<BeaconId> = told
        .into_iter()
        .flat_map(|told| match told {
            Told::Changed(ids) => ids,
            Told::Followed(_) => Vec::new(),
        })
        .collect();
    assert!(ids.contains(&beacon_id(1)) && ids.contains(&beacon_id(2)), "{ids:?}");
}

#[test]
fn a_session_that_the_server_ends_is_replaced() {
    let scene = Scene::with_beacons();
    let mut following = Following::start(scene.url(), SELDOM);
    following.until_followed();
    scene.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = 'beacond' AND datname = current_database()",
    );
    following.until_not_followed();
    following.until_followed();
    scene.sql(RETIRE);
    following.until_changed(beacon_id(1));
}

#[test]
fn a_poll_that_waits_for_a_lock_says_so_in_time_and_what_changed_is_told_when_it_may_be_read() {
    let scene = Scene::with_beacons();
    let mut following = Following::start(scene.url(), OFTEN);
    following.until_followed();
    let mut locker = scene.session();
    locker.run("BEGIN; LOCK TABLE beacons IN ACCESS EXCLUSIVE MODE");
    following.until_not_followed();
    locker.run(RETIRE);
    locker.run("COMMIT");
    let mut told = following.until_followed();
    told.extend(following.stop());
    assert!(told.iter().any(|told| crate::recorder::tells(told, beacon_id(1))), "{told:?}");
}

#[test]
fn thousands_of_changes_at_once_are_all_told_in_pages() {
    let scene = Scene::new();
    let mut following = Following::start(scene.url(), SELDOM);
    following.until_followed();
    scene.sql(
        "INSERT INTO beacons (beacon_id, store_id, major, minor)
        SELECT gen_random_uuid(), 's', 0, 0 FROM generate_series(1, 20000)",
    );
    let mut missing: std::collections::HashSet<BeaconId> =
        scene.sql("SELECT beacon_id FROM beacons").lines().map(|id| id.parse().unwrap()).collect();
    assert_eq!(missing.len(), 20_000);
    while !missing.is_empty() {
        if let Told::Changed(ids) = following.next() {
            assert!(ids.len() <= 1_000);
            for id in ids {
                missing.remove(&id);
            }
        }
    }
}
