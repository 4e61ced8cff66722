//! The tiers: who is asked, how often, who is believed, and what serves while one of them is gone.

use std::sync::atomic::Ordering;

use futures_util::future::join_all;
use tokio::time::{Duration, Instant, advance};

use super::super::Tier;
use super::scripted::{World, beacon, id};
use crate::ports::BeaconChanges;

#[tokio::test(start_paused = true)]
async fn a_miss_goes_through_the_tiers_and_fills_them_on_the_way_back() {
    let world = World::new();
    world.directory.followed(true);
    world.record.put(beacon(1, 1));
    world.cache.put(beacon(2, 1));
    let deadline = world.directory.deadline();
    assert_eq!(world.directory.resolve_until(&id(1), deadline).await.1, Tier::Record);
    assert_eq!(world.directory.resolve_until(&id(2), deadline).await.1, Tier::SharedCache);
    world.idle().await;
    assert_eq!(
        (world.ask_at_once(1), world.ask_at_once(2)),
        ((Some(1), Tier::Memory), (Some(1), Tier::Memory))
    );
    assert_eq!((world.cache.version(1), world.cache.asks.calls(), world.record.asks.calls()), (1, 2, 1));
    let counts = world.directory.counts();
    assert_eq!((counts.from_memory, counts.from_shared_cache, counts.from_record), (2, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_who_wait_for_one_beacon_cost_one_question_a_tier() {
    let world = World::new();
    world.directory.followed(true);
    world.record.put(beacon(1, 1));
    world.record.asks.shut();
    world.cache.asks.shut();
    let stampede = join_all((0..1_000).map(|_| world.ask(1)));
    let let_through = async {
        advance(Duration::from_millis(100)).await;
        world.cache.asks.open();
        advance(Duration::from_millis(100)).await;
        world.record.asks.open();
    };
    let (answers, ()) = tokio::join!(stampede, let_through);
    assert_eq!(answers, vec![Some(1); 1_000]);
    world.idle().await;
    let calls = (world.cache.asks.calls(), world.record.asks.calls(), world.cache.keeps.calls());
    assert_eq!(calls, (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_who_wait_for_a_load_that_fails_cost_one_question_a_tier() {
    let world = World::new();
    world.record.down.store(true, Ordering::Relaxed);
    world.record.asks.shut();
    let stampede = join_all((0..1_000).map(|_| world.ask(1)));
    let let_through = async {
        advance(Duration::from_millis(100)).await;
        world.record.asks.open();
    };
    let (answers, ()) = tokio::join!(stampede, let_through);
    assert_eq!(answers, vec![None; 1_000]);
    assert_eq!((world.cache.asks.calls(), world.record.asks.calls()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_told_when_it_changes_is_good_for_a_day() {
    let world = World::new();
    world.record.put(beacon(1, 1));
    world.directory.followed(true);
    assert_eq!(world.ask(1).await, Some(1));
    advance(Duration::from_secs(23 * 60 * 60)).await;
    assert_eq!(world.ask_at_once(1), (Some(1), Tier::Memory));
    world.idle().await;
    assert_eq!(world.record.asks.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_longer_told_is_loaded_beside_at_first_and_then_before_it_is_used() {
    let world = World::new();
    world.record.put(beacon(1, 1));
    world.record.put(beacon(2, 1));
    world.directory.followed(true);
    assert_eq!((world.ask(1).await, world.ask(2).await), (Some(1), Some(1)));
    advance(Duration::from_secs(3_600)).await;
    world.directory.followed(false);
    world.record.put(beacon(1, 2));
    world.record.put(beacon(2, 2));
    assert_eq!(world.ask_at_once(1), (Some(1), Tier::Memory), "nobody waits as soon as following ends");
    world.idle().await;
    assert_eq!(world.ask_at_once(1), (Some(2), Tier::Memory));
    advance(Duration::from_secs(2)).await;
    assert_eq!(world.ask(2).await, Some(2), "not used 2 s later");
}

#[tokio::test(start_paused = true)]
async fn what_was_held_before_changes_were_told_needs_no_load_unless_it_was_told() {
    let world = World::new();
    world.record.put(beacon(1, 1));
    world.record.put(beacon(2, 1));
    assert_eq!((world.ask(1).await, world.ask(2).await), (Some(1), Some(1)));
    advance(Duration::from_secs(60)).await;
    world.record.put(beacon(2, 2));
    world.directory.changed(&[id(2)]);
    world.directory.followed(true);
    assert_eq!(world.ask_at_once(1), (Some(1), Tier::Memory));
    assert_eq!(world.ask(2).await, Some(2));
    assert_eq!(world.record.asks.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_shared_cache_is_used_but_confirmed_and_not_written_while_changes_are_not_told() {
    let world = World::new();
    world.record.put(beacon(1, 2));
    world.record.put(beacon(2, 1));
    world.cache.put(beacon(1, 1));
    assert_eq!((world.ask(1).await, world.ask(2).await), (Some(1), Some(1)));
    world.idle().await;
    assert_eq!(world.ask_at_once(1), (Some(2), Tier::Memory));
    assert_eq!((world.cache.version(2), world.cache.keeps.calls()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_the_shared_cache_said_is_confirmed_once_beside_its_use() {
    let world = World::new();
    world.directory.followed(true);
    world.record.put(beacon(1, 1));
    world.cache.put(beacon(1, 1));
    assert_eq!(world.ask(1).await, Some(1));
    world.idle().await;
    assert_eq!(world.record.asks.calls(), 0, "trusted");
    for _ in 0..10 {
        advance(Duration::from_secs(301)).await;
        assert_eq!(world.ask_at_once(1), (Some(1), Tier::Memory));
        world.idle().await;
    }
    assert_eq!(world.record.asks.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_shared_cache_that_hangs_costs_one_wait_and_is_passed_over() {
    let world = World::new();
    for number in 1..=20 {
        world.record.put(beacon(number, 1));
    }
    world.cache.asks.shut();
    let before = Instant::now();
    for number in 1..=20 {
        assert_eq!(world.ask(number).await, Some(1));
    }
    assert_eq!(before.elapsed(), Duration::from_millis(200));
    let counts = world.directory.counts();
    assert_eq!((counts.shared_cache_failures, counts.shared_cache_failing), (1, true));
    world.cache.asks.open();
    advance(Duration::from_secs(1)).await;
    world.cache.put(beacon(21, 1));
    assert_eq!(world.ask(21).await, Some(1));
    assert!(!world.directory.counts().shared_cache_failing);
}

#[tokio::test(start_paused = true)]
async fn the_shared_cache_answers_for_keys_not_in_memory_while_the_record_fails() {
    let world = World::new();
    world.cache.put(beacon(1, 1));
    world.record.down.store(true, Ordering::Relaxed);
    assert_eq!(world.ask(9).await, None, "the first to find it gone");
    assert_eq!(world.ask(1).await, Some(1));
    for _ in 0..100 {
        assert_eq!(world.ask(8).await, None);
    }
    assert_eq!(world.cache.asks.calls(), 3, "one for each beacon");
    world.record.down.store(false, Ordering::Relaxed);
    world.record.put(beacon(8, 1));
    advance(Duration::from_secs(1)).await;
    assert_eq!(world.ask(8).await, None, "asked beside, not waited for");
    world.idle().await;
    assert_eq!(world.ask(8).await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_the_shared_cache_behind_a_record_that_hangs() {
    let world = World::new();
    world.record.asks.shut();
    assert_eq!(world.ask(1).await, None);
    for _ in 0..100 {
        advance(Duration::from_millis(100)).await;
        let before = Instant::now();
        assert_eq!(world.ask(1).await, None);
        assert_eq!(before.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn an_ageing_entry_does_not_storm_a_record_that_fails() {
    let world = World::new();
    world.record.put(beacon(1, 1));
    assert_eq!(world.ask(1).await, Some(1));
    world.record.down.store(true, Ordering::Relaxed);
    advance(Duration::from_secs(2)).await;
    for _ in 0..100 {
        assert_eq!(world.ask_at_once(1).0, Some(1));
        world.idle().await;
    }
    assert_eq!(world.record.asks.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_cold_start_with_every_store_down_serves_what_was_on_the_disk() {
    let world = World::new();
    world.record.down.store(true, Ordering::Relaxed);
    world.cache.down.store(true, Ordering::Relaxed);
    world.directory.preload((1..=3).map(|number| (id(number), beacon(number, 1)))).await;
    for number in 1..=3 {
        assert_eq!(world.ask(number).await, Some(1));
    }
    assert_eq!(world.ask(4).await, None);
    let mut known: Vec<_> = world.directory.known().iter().map(|beacon| beacon.id).collect();
    known.sort_unstable();
    assert_eq!(known, [id(1), id(2), id(3)]);
    assert_eq!(world.directory.counts().served_expired, 3);
}

#[tokio::test(start_paused = true)]
async fn what_was_on_the_disk_is_loaded_before_it_is_used_and_gives_way_only_to_newer_rows() {
    let world = World::new();
    world.directory.followed(true);
    world.directory.preload((1..=3).map(|number| (id(number), beacon(number, 5)))).await;
    world.record.put(beacon(1, 6));
    world.record.put(beacon(2, 5));
    world.cache.put(beacon(2, 4));
    world.cache.put(beacon(3, 6));
    assert_eq!((world.ask(1).await, world.ask(3).await), (Some(6), Some(6)));
    assert_eq!(world.ask(2).await, Some(5));
    assert_eq!(world.record.asks.calls(), 2, "the older row in the shared cache does not count");
    world.directory.preload([(id(1), beacon(1, 1))]).await;
    assert_eq!(world.ask_at_once(1), (Some(6), Tier::Memory), "what is held already stays");
}
