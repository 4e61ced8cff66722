//! The directory against a scripted store, on a clock that stands still.

mod fill;
mod model;
mod notices;
mod scripted;
mod tiers;

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use futures_util::{FutureExt, StreamExt};
use tokio::sync::Semaphore;

use super::*;

/// A scripted store: values by key, and a gate that holds every load until it is given a permit.
#[derive(Debug)]
struct Scripted {
    values: Mutex<Option<HashMap<u32, u32>>>,
    bad_key: Mutex<Option<u32>>,
    gate: Semaphore,
    loads: AtomicU64,
}

fn directory(values: Option<HashMap<u32, u32>>) -> (Arc<Scripted>, Arc<Directory<u32, u32>>) {
    let store = Arc::new(Scripted {
        values: Mutex::new(values),
        bad_key: Mutex::new(None),
        gate: Semaphore::new(Semaphore::MAX_PERMITS),
        loads: AtomicU64::new(0),
    });
    let asked = Arc::clone(&store);
    let load: Load<u32, u32> = Box::new(move |key| {
        let asked = Arc::clone(&asked);
        Box::pin(async move {
            asked.loads.fetch_add(1, Ordering::Relaxed);
            asked.gate.acquire().await.unwrap().forget();
            if *asked.bad_key.lock().unwrap() == Some(key) {
                return Err(StoreError::BadRow { store: "scripted", reason: "bad".into() });
            }
            let values = asked.values.lock().unwrap();
            let unavailable = StoreError::Unavailable { store: "scripted", reason: "down".into() };
            values.as_ref().map(|values| values.get(&key).copied()).ok_or(unavailable)
        })
    });
    let refreshes = TaskGroup::new("refreshes");
    (store, Directory::new(DirectorySettings::default(), refreshes, load))
}

async fn seconds(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

async fn refreshes_end(directory: &Directory<u32, u32>) {
    while !directory.tasks.is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn many_who_wait_for_one_key_cost_one_load() {
    let (store, directory) = directory(Some(HashMap::from([(1, 10)])));
    store.gate.forget_permits(usize::MAX);
    let resolve = || async { matches!(directory.resolve(&1).await, Known::Is(value) if *value == 10) };
    let mut waiting: futures_util::stream::FuturesUnordered<_> = (0..50).map(|_| resolve()).collect();
    let mut answers = Vec::new();
    assert!(waiting.next().now_or_never().is_none());
    store.gate.add_permits(50);
    while let Some(answer) = waiting.next().await {
        answers.push(answer);
    }
    assert_eq!(answers, [true; 50]);
    assert_eq!(store.loads.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_change_is_seen_within_five_seconds_without_a_wait() {
    let (store, directory) = directory(Some(HashMap::from([(1, 10)])));
    directory.resolve(&1).await;
    store.values.lock().unwrap().as_mut().unwrap().insert(1, 11);
    seconds(3).await;
    assert!(matches!(directory.resolve(&1).await, Known::Is(value) if *value == 10), "served while loading");
    refreshes_end(&directory).await;
    assert!(matches!(directory.resolve(&1).await, Known::Is(value) if *value == 11));
}

#[tokio::test(start_paused = true)]
async fn an_ageing_entry_is_loaded_once_however_often_it_is_asked_for_meanwhile() {
    let (store, directory) = directory(Some(HashMap::from([(1, 10)])));
    directory.resolve(&1).await;
    store.gate.forget_permits(usize::MAX);
    seconds(3).await;
    for _ in 0..50 {
        assert!(matches!(directory.resolve(&1).await, Known::Is(_)));
        // Lets the load beside begin, and hang in the store.
        tokio::task::yield_now().await;
    }
    assert_eq!(directory.tasks.len(), 1);
    store.gate.add_permits(1);
    refreshes_end(&directory).await;
    assert_eq!(store.loads.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn an_idle_entry_is_never_served_older_than_its_limit() {
    let (store, directory) = directory(Some(HashMap::from([(1, 10)])));
    directory.resolve(&1).await;
    store.values.lock().unwrap().as_mut().unwrap().insert(1, 11);
    seconds(4).await;
    assert!(matches!(directory.resolve(&1).await, Known::Is(value) if *value == 11));
}

#[tokio::test(start_paused = true)]
async fn a_key_registered_now_is_known_within_two_seconds() {
    let (store, directory) = directory(Some(HashMap::new()));
    assert!(matches!(directory.resolve(&1).await, Known::Not));
    store.values.lock().unwrap().as_mut().unwrap().insert(1, 10);
    seconds(2).await;
    assert!(matches!(directory.resolve(&1).await, Known::Is(_)));
}

#[tokio::test(start_paused = true)]
async fn what_is_known_serves_while_the_store_is_gone_and_unknown_keys_cannot_be_said() {
    let (store, directory) = directory(Some(HashMap::from([(1, 10)])));
    directory.resolve(&1).await;
    let values = store.values.lock().unwrap().take();
    seconds(60).await;
    assert!(matches!(directory.resolve(&1).await, Known::Is(value) if *value == 10));
    assert!(matches!(directory.resolve(&2).await, Known::CannotSay));
    let mut values = values.unwrap();
    values.insert(1, 11);
    *store.values.lock().unwrap() = Some(values);
    seconds(2).await;
    assert!(matches!(directory.resolve(&2).await, Known::CannotSay), "asked beside, not waited for");
    refreshes_end(&directory).await;
    assert!(matches!(directory.resolve(&2).await, Known::Not));
    assert!(matches!(directory.resolve(&1).await, Known::Is(value) if *value == 11), "not served again");
}

#[tokio::test(start_paused = true)]
async fn one_row_that_breaks_the_model_says_nothing_of_others() {
    let (store, directory) = directory(Some(HashMap::from([(1, 10)])));
    *store.bad_key.lock().unwrap() = Some(2);
    assert!(matches!(directory.resolve(&2).await, Known::CannotSay));
    assert!(matches!(directory.resolve(&1).await, Known::Is(_)), "never seen, and loaded all the same");
}

#[tokio::test(start_paused = true)]
async fn those_who_come_while_a_load_takes_its_time_share_it() {
    let (store, directory) = directory(Some(HashMap::from([(1, 10)])));
    store.gate.forget_permits(usize::MAX);
    let mut first = Box::pin(directory.resolve(&1));
    assert!((&mut first).now_or_never().is_none());
    seconds(1).await;
    let mut second = Box::pin(directory.resolve(&1));
    assert!((&mut second).now_or_never().is_none());
    store.gate.add_permits(2);
    assert!(matches!(first.await, Known::Is(_)));
    assert!(matches!(second.await, Known::Is(_)));
    assert_eq!(store.loads.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_frames_keys_share_one_deadline() {
    let (store, directory) = directory(Some(HashMap::new()));
    store.gate.forget_permits(usize::MAX);
    let before = Instant::now();
    let deadline = directory.deadline();
    for key in 0..255 {
        assert!(matches!(directory.resolve_until(&key, deadline).await.0, Known::CannotSay));
    }
    assert_eq!(before.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn only_the_first_waits_for_a_store_that_hangs() {
    let (store, directory) = directory(Some(HashMap::new()));
    store.gate.forget_permits(usize::MAX);
    let before = Instant::now();
    assert!(matches!(directory.resolve(&1).await, Known::CannotSay));
    assert_eq!(before.elapsed(), Duration::from_secs(2));
    let before = Instant::now();
    for key in 1..100 {
        assert!(matches!(directory.resolve(&key).await, Known::CannotSay));
    }
    assert_eq!(before.elapsed(), Duration::ZERO);
}
