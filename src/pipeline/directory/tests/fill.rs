//! Memory filled at a start: what it answers then, and what it does not put over what is newer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::{Duration, advance, sleep};
use tokio_util::sync::CancellationToken;

use super::super::{DirectorySettings, Tier, TierSettings};
use super::scripted::{World, beacon, id};
use crate::ports::{BeaconChanges, SystemOfRecord};
use crate::tasks::TaskGroup;

impl World {
    /// Fills memory, from beginning to end.
    async fn fill(&self) {
        let stop = CancellationToken::new();
        let record = Arc::clone(&self.record) as Arc<dyn SystemOfRecord>;
        // It stops as soon as it is filled.
        Arc::clone(&self.directory).fill(record, stop.clone(), stop).await;
    }

    /// Until as many pages have been asked for.
    async fn pages_asked(&self, pages: u64) {
        while self.record.pages.calls() < pages {
            sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_beacon_is_answered_from_memory_and_no_store_is_asked() {
    let world = World::new();
    for number in 1..=200 {
        world.record.put(beacon(number, 1));
    }
    world.directory.followed(true);
    world.fill().await;
    for number in 1..=200 {
        assert_eq!(world.ask_at_once(number), (Some(1), Tier::Memory));
    }
    advance(Duration::from_secs(23 * 60 * 60)).await;
    assert_eq!(world.ask_at_once(200), (Some(1), Tier::Memory));
    assert_eq!((world.record.asks.calls(), world.cache.asks.calls(), world.cache.keeps.calls()), (0, 0, 0));
    assert!(world.record.pages.calls() > 2, "in pages");
}

#[tokio::test(start_paused = true)]
async fn what_is_to_be_asked_about_anew_is_filled_again() {
    let world = World::new();
    world.record.put(beacon(1, 1));
    world.directory.followed(true);
    let (filled, stop) = (CancellationToken::new(), CancellationToken::new());
    let record = Arc::clone(&world.record) as Arc<dyn SystemOfRecord>;
    TaskGroup::new("fill").spawn(Arc::clone(&world.directory).fill(record, filled.clone(), stop.clone()));
    filled.cancelled().await;
    world.record.put(beacon(1, 2));
    world.directory.ask_anew();
    world.pages_asked(2).await;
    // Time passes when nothing is left to do.
    sleep(Duration::from_millis(10)).await;
    assert_eq!(world.ask_at_once(1), (Some(2), Tier::Memory));
    assert_eq!(world.record.asks.calls(), 0);
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn it_begins_when_changes_are_told() {
    let world = World::new();
    world.record.put(beacon(1, 1));
    let told = async {
        advance(Duration::from_secs(60)).await;
        assert_eq!(world.record.pages.calls(), 0);
        world.directory.followed(true);
    };
    tokio::join!(world.fill(), told);
    assert_eq!(world.ask_at_once(1), (Some(1), Tier::Memory));
}

#[tokio::test(start_paused = true)]
async fn a_beacon_that_changes_while_its_page_is_read_is_not_taken_from_it() {
    let world = World::new();
    world.record.put(beacon(1, 1));
    world.record.put(beacon(2, 1));
    world.directory.followed(true);
    world.record.pages.shut();
    let change = async {
        world.pages_asked(1).await;
        world.record.put(beacon(1, 2));
        world.directory.changed(&[id(1)]);
        world.record.pages.open();
    };
    tokio::join!(world.fill(), change);
    assert_eq!(world.ask(1).await, Some(2));
    assert_eq!(world.ask_at_once(2), (Some(1), Tier::Memory));
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_for_after_its_page_stays() {
    let world = World::new();
    world.record.put(beacon(1, 1));
    world.directory.followed(true);
    world.record.pages.shut();
    let ask = async {
        world.pages_asked(1).await;
        advance(Duration::from_millis(1)).await;
        // Not told yet: the question is newer than the page all the same.
        world.record.put(beacon(1, 2));
        assert_eq!(world.ask(1).await, Some(2));
        world.record.pages.open();
    };
    tokio::join!(world.fill(), ask);
    assert_eq!(world.ask_at_once(1), (Some(2), Tier::Memory));
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_the_last_run_and_what_the_shared_cache_said_are_replaced() {
    let world = World::new();
    world.record.put(beacon(1, 2));
    world.record.put(beacon(2, 2));
    world.cache.put(beacon(2, 2));
    world.directory.preload([(id(1), beacon(1, 1))]).await;
    world.directory.followed(true);
    assert_eq!(world.ask(2).await, Some(2));
    world.fill().await;
    assert_eq!(world.ask_at_once(1), (Some(2), Tier::Memory));
    advance(TierSettings::default().confirm_shared_after * 3).await;
    assert_eq!(world.ask_at_once(2), (Some(2), Tier::Memory));
    assert_eq!(world.record.asks.calls(), 0, "nothing is left to confirm");
}

#[tokio::test(start_paused = true)]
async fn a_system_of_record_that_cannot_be_asked_is_asked_again_where_it_ended() {
    let world = World::new();
    for number in 1..=200 {
        world.record.put(beacon(number, 1));
    }
    world.directory.followed(true);
    world.record.pages.shut();
    world.record.pages.let_one_pass();
    let outage = async {
        world.pages_asked(2).await;
        world.record.down.store(true, Ordering::Relaxed);
        world.record.pages.open();
        world.pages_asked(5).await;
        world.record.down.store(false, Ordering::Relaxed);
    };
    tokio::join!(world.fill(), outage);
    for number in 1..=200 {
        assert_eq!(world.ask_at_once(number), (Some(1), Tier::Memory));
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_is_read_than_memory_may_hold() {
    let settings = DirectorySettings { max_entries: 64, ..DirectorySettings::default() };
    let world = World::with(settings, TierSettings::default());
    for number in 1..=200 {
        world.record.put(beacon(number, 1));
    }
    world.directory.followed(true);
    world.fill().await;
    assert_eq!(world.record.pages.calls(), 2, "one of 50, and the one with the 64th");
}
