//! Notices of changes: what was taken before one is never used after it.

use std::sync::atomic::Ordering;

use futures_util::FutureExt;
use tokio::time::{Duration, advance};

use super::super::{Tier, TierSettings};
use super::scripted::{World, beacon, id};
use crate::ports::BeaconChanges;

#[tokio::test(start_paused = true)]
async fn a_row_read_before_the_notice_is_not_answered_nor_kept_anywhere() {
    let world = World::new();
    world.directory.followed(true);
    world.record.put(beacon(1, 1));
    world.record.asks.shut();
    let mut asking = Box::pin(world.ask(1));
    assert!((&mut asking).now_or_never().is_none(), "held in the system of record with version 1 in hand");
    world.record.put(beacon(1, 2));
    world.directory.changed(&[id(1)]);
    world.record.asks.open();
    assert_eq!(asking.await, Some(2));
    assert_eq!(world.ask_at_once(1), (Some(2), Tier::Memory));
    world.settled().await;
    assert_eq!(world.cache.version(1), 2, "kept once what was owed had been forgotten");
    let counts = world.directory.counts();
    assert_eq!((counts.loads, counts.thrown_away, counts.notices), (2, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_row_read_from_the_shared_cache_before_the_notice_is_not_answered_nor_left_there() {
    let world = World::new();
    world.directory.followed(true);
    world.record.put(beacon(1, 1));
    world.cache.put(beacon(1, 1));
    world.cache.asks.shut();
    let mut asking = Box::pin(world.ask(1));
    assert!((&mut asking).now_or_never().is_none(), "held in the shared cache with version 1 in hand");
    world.record.put(beacon(1, 2));
    world.directory.changed(&[id(1)]);
    world.cache.asks.open();
    assert_eq!(asking.await, Some(2));
    world.settled().await;
    assert_ne!(world.cache.version(1), 1);
    assert_eq!(world.directory.counts().thrown_away, 1);
}

#[tokio::test(start_paused = true)]
async fn a_row_written_into_the_shared_cache_after_the_notice_is_forgotten_again() {
    let world = World::new();
    world.directory.followed(true);
    world.record.put(beacon(1, 1));
    world.cache.keeps.shut();
    assert_eq!(world.ask(1).await, Some(1));
    while world.cache.keeps.calls() == 0 {
        tokio::task::yield_now().await;
    }
    world.record.put(beacon(1, 2));
    world.directory.changed(&[id(1)]);
    while world.directory.counts().owed > 0 {
        tokio::task::yield_now().await;
    }
    world.cache.forgets.shut();
    world.cache.keeps.open();
    world.idle().await;
    assert_eq!(world.cache.version(1), 1, "the old row, written after it had been forgotten");
    world.cache.forgets.open();
    world.settled().await;
    assert_eq!(world.cache.version(1), 0);
    assert_eq!(world.ask(1).await, Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_write_with_no_known_end_is_forgotten() {
    let world = World::new();
    world.directory.followed(true);
    world.record.put(beacon(1, 1));
    world.cache.keeps.shut();
    assert_eq!(world.ask(1).await, Some(1));
    while world.cache.keeps.calls() == 0 {
        tokio::task::yield_now().await;
    }
    advance(Duration::from_millis(201)).await;
    world.idle().await;
    world.settled().await;
    assert_eq!(world.cache.forgets.calls(), 1);
    assert_eq!(world.directory.counts().shared_cache_failures, 1);
}

#[tokio::test(start_paused = true)]
async fn what_the_shared_cache_could_not_be_told_to_forget_is_not_read_from_it() {
    let world = World::new();
    world.directory.followed(true);
    world.record.put(beacon(1, 1));
    world.cache.put(beacon(1, 1));
    world.cache.down.store(true, Ordering::Relaxed);
    world.record.put(beacon(1, 2));
    world.directory.changed(&[id(1)]);
    advance(Duration::from_secs(60)).await;
    assert_eq!(world.directory.counts().owed, 1);
    world.cache.forgets.shut();
    world.cache.down.store(false, Ordering::Relaxed);
    while world.cache.asks.calls() == 0 {
        advance(Duration::from_millis(100)).await;
        world.directory.entries.invalidate(&id(2)).await;
        assert_eq!(world.ask(2).await, Some(0));
    }
    // The cache answers questions again, and its old row is not asked for.
    assert_eq!(world.ask(1).await, Some(2));
    assert_eq!(world.cache.asks.calls(), 1);
    world.idle().await;
    assert_eq!((world.cache.version(1), world.cache.keeps.calls()), (1, 0), "nor is anything kept over it");
    world.cache.forgets.open();
    world.settled().await;
    assert_ne!(world.cache.version(1), 1);
}

#[tokio::test(start_paused = true)]
async fn a_beacon_told_again_while_it_is_being_forgotten_is_forgotten_again() {
    let world = World::new();
    world.directory.followed(true);
    world.cache.forgets.shut();
    world.directory.changed(&[id(1)]);
    while world.cache.forgets.calls() == 0 {
        tokio::task::yield_now().await;
    }
    world.directory.changed(&[id(1)]);
    world.cache.forgets.open();
    world.settled().await;
    assert_eq!(world.cache.forgets.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_old_row_that_another_daemon_keeps_before_it_hears_is_not_read() {
    let world = World::new();
    world.directory.followed(true);
    world.record.put(beacon(1, 2));
    world.directory.changed(&[id(1)]);
    world.settled().await;
    world.cache.put(beacon(1, 1));
    assert_eq!(world.ask(1).await, Some(2));
    assert_eq!(world.cache.asks.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_beacon_is_gone_with_its_notice() {
    let world = World::new();
    world.directory.followed(true);
    world.record.put(beacon(1, 1));
    assert_eq!(world.ask(1).await, Some(1));
    world.idle().await;
    assert_eq!(world.cache.version(1), 1);
    world.record.rows.lock().unwrap().clear();
    world.directory.changed(&[id(1)]);
    assert_eq!(world.ask(1).await, Some(0));
    world.settled().await;
    assert_eq!(world.cache.version(1), 0);
}

#[tokio::test(start_paused = true)]
async fn a_new_beacon_is_known_with_its_notice_though_it_was_not_a_moment_ago() {
    let world = World::new();
    world.directory.followed(true);
    assert_eq!(world.ask(1).await, Some(0));
    world.record.put(beacon(1, 1));
    assert_eq!(world.ask_at_once(1), (Some(0), Tier::Memory), "held in memory");
    world.directory.changed(&[id(1)]);
    assert_eq!(world.ask(1).await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_beacon_made_anew_with_an_older_version_takes_the_place_of_the_deleted_one() {
    let world = World::new();
    world.record.put(beacon(1, 1));
    world.cache.put(beacon(1, 9));
    assert_eq!(world.ask(1).await, Some(9), "not followed: used, and confirmed beside");
    world.idle().await;
    assert_eq!(world.ask_at_once(1), (Some(1), Tier::Memory));
    world.settled().await;
    assert_eq!(world.cache.version(1), 0, "what the system of record contradicts does not stay");
}

#[tokio::test(start_paused = true)]
async fn a_copy_told_old_serves_while_the_system_of_record_cannot_be_asked() {
    let world = World::new();
    world.directory.followed(true);
    world.record.put(beacon(1, 1));
    assert_eq!(world.ask(1).await, Some(1));
    world.record.down.store(true, Ordering::Relaxed);
    world.directory.changed(&[id(1)]);
    assert_eq!(world.ask(1).await, Some(1));
    let counts = world.directory.counts();
    assert_eq!((counts.served_expired, counts.record_failing), (1, true));
}

#[tokio::test(start_paused = true)]
async fn loads_that_notices_overtake_one_after_the_other_end_as_cannot_say() {
    let world = World::new();
    world.directory.followed(true);
    world.record.put(beacon(1, 1));
    world.record.asks.shut();
    let mut asking = Box::pin(world.ask(1));
    for nth in 1..=4 {
        assert!((&mut asking).now_or_never().is_none());
        assert_eq!(world.record.asks.calls(), nth);
        world.directory.changed(&[id(1)]);
        world.record.asks.let_one_pass();
    }
    assert_eq!((&mut asking).now_or_never(), Some(None));
    assert_eq!(world.directory.counts().thrown_away, 4);
}

#[tokio::test(start_paused = true)]
async fn more_than_can_be_owed_makes_the_shared_cache_confirmed_for_a_day() {
    let world = World::with_tiers(TierSettings { owed_at_most: 2, ..TierSettings::default() });
    world.directory.followed(true);
    world.cache.down.store(true, Ordering::Relaxed);
    world.cache.put(beacon(4, 1));
    world.record.put(beacon(4, 2));
    world.directory.changed(&[id(1), id(2), id(3)]);
    world.cache.down.store(false, Ordering::Relaxed);
    advance(Duration::from_secs(60)).await;
    world.settled().await;
    assert!(world.directory.counts().shared_cache_distrusted);
    assert_eq!(world.ask(4).await, Some(1), "used");
    world.idle().await;
    assert_eq!(world.ask_at_once(4), (Some(2), Tier::Memory), "and confirmed");
    advance(Duration::from_secs(24 * 60 * 60)).await;
    assert!(!world.directory.counts().shared_cache_distrusted);
}
