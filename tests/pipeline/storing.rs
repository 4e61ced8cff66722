//! What becomes of accepted identities when a store is slow, gone, in doubt, or refuses a row.

use std::sync::Arc;
use std::time::Duration;

use beacond::domain::frame::AckLevel;
use beacond::domain::outcome::Outcome;
use beacond::domain::preference::PreferenceChange;
use beacond::pipeline::{Admitted, AdmittedPreferences, Ledger, Left, PreferencesAnswer, Trouble};
use beacond::ports::{BeaconChanges, Delivery};
use futures_util::FutureExt;

use crate::scripted::{BEACON, NOW, SECOND, Script, World, start, start_over, start_with_events};
use crate::{admit, admit_at, admit_preferences, answer, balanced, pending, strong};

#[tokio::test]
async fn a_write_that_fails_is_done_again_and_answered_when_it_is_done() {
    for script in [Script::Unavailable, Script::UnavailableAfterWriting, Script::Misconfigured] {
        let world = start(|_| {});
        let held = world.writer.hold();
        let mut first = pending(admit(&world, &[strong("alice", 0), strong("bob", 0)]).await);
        let mut near = pending(admit(&world, &[strong("alice", 1)]).await);
        held.release(script);
        assert_eq!(first.settled().await.unwrap().counts.of(Outcome::Identified), 2);
        assert_eq!(near.settled().await.unwrap().counts.of(Outcome::Duplicate), 1);
        assert_eq!(world.stored(), [("alice".to_owned(), NOW), ("bob".to_owned(), NOW)]);
        assert_eq!(world.writer.attempts(), [(2, Delivery::First), (2, Delivery::Again)]);
        let health = world.threads.record();
        assert_eq!((health.failed_attempts(), health.trouble().is_none()), (1, true));
        assert_eq!(balanced(&world).identified_new, 2);
    }
}

#[tokio::test]
async fn while_a_store_fails_decisions_go_on_and_its_trouble_is_shown() {
    let world = start(|_| {});
    world.writer.fail_every(1);
    let held = world.writer.hold();
    let mut first = pending(admit(&world, &[strong("alice", 0)]).await);
    held.release(Script::Misconfigured);
    let weak = beacond::domain::sighting::ClaimedSighting { rssi_dbm: -90, ..strong("bob", 0) };
    assert_eq!(answer(&world, &[weak]).await.counts.of(Outcome::LowConfidence), 1);
    let mut again = pending(admit(&world, &[strong("alice", 0)]).await);
    assert!(again.settled().now_or_never().is_none(), "it leans on what is not stored");
    world.writer.fail_every(0);
    assert_eq!(first.settled().await.unwrap().counts.of(Outcome::Identified), 1);
    balanced(&world);
}

#[tokio::test]
async fn what_a_failing_store_lacks_at_a_stop_is_not_claimed_and_stored_by_the_next_start() {
    let world = start_with_events(|_| {});
    world.writer.fail_every(1);
    let weak = beacond::domain::sighting::ClaimedSighting { rssi_dbm: -90, ..strong("alice", 0) };
    let mut first = pending(admit(&world, &[weak, strong("alice", 0)]).await);
    let mut durable = pending(admit_at(&world, AckLevel::Journal, &[strong("bob", 0)]).await);
    assert_eq!(durable.settled().await.unwrap().counts.of(Outcome::Identified), 1);
    while balanced(&world).events.unwrap().stored < 2 {
        tokio::task::yield_now().await;
    }
    let (home, record, ledger, left) = world.stop(Duration::from_secs(60));
    assert_eq!((left.identities, left.undone), (2, false));
    assert_eq!(first.settled().await, None, "no answer is no promise");
    assert_eq!((ledger.imbalance(), ledger.system_of_record.waiting), (None, 2));
    let world = start_over(record, home, true, |_| {});
    while balanced(&world).system_of_record.waiting > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.stored(), [("alice".to_owned(), NOW), ("bob".to_owned(), NOW)]);
    assert_eq!(world.events_stored(), [], "they were given to it before");
    assert_eq!(world.writer.attempts(), [(2, Delivery::Again)]);
    let Ledger { system_of_record: record, events, .. } = balanced(&world);
    assert_eq!((record.waiting_at_start, record.new, record.stored), (2, 0, 2));
    assert_eq!(events.unwrap().waiting_at_start, 0);
}

#[tokio::test]
async fn one_row_refused_of_many_costs_itself_only() {
    let world = start(|_| {});
    let bad = ["c300", "c301", "c777"];
    for customer in bad {
        world.writer.refuse(customer);
    }
    let held = world.writer.hold();
    let ids: Vec<String> = (0..1_000).map(|number| format!("c{number}")).collect();
    let mut waiting = Vec::new();
    for frame in ids.chunks(50) {
        let frame: Vec<_> = frame.iter().map(|id| strong(id, 0)).collect();
        waiting.push(pending(admit(&world, &frame).await));
    }
    held.release(Script::Commit);
    let mut dead_lettered = Vec::new();
    for mut frame in waiting {
        let answer = frame.settled().await.unwrap();
        assert_eq!(answer.counts.of(Outcome::Identified), 50);
        dead_lettered.push(answer.dead_lettered);
    }
    assert_eq!(dead_lettered.iter().sum::<u32>(), 3);
    assert_eq!((dead_lettered[6], dead_lettered[15]), (2, 1));
    assert_eq!(world.dead_letters.letters(), bad.map(|customer| ("record", customer.to_owned())));
    assert_eq!(world.stored().len(), 997);
    let ledger = balanced(&world).system_of_record;
    assert_eq!((ledger.new, ledger.stored, ledger.dead_lettered), (1_000, 997, 3));
    // Each costs about 2 log2(1000) attempts.
    assert!(world.writer.attempts().len() <= 3 * 22, "{}", world.writer.attempts().len());
    assert_eq!(world.threads.record().dead_rows(), 3);
}

#[tokio::test]
async fn one_bad_row_of_ten_thousand_costs_two_attempts_a_halving() {
    let world = start(|settings| {
        settings.queue_rows = 20_000;
        settings.batch.rows = 10_000;
        settings.batch.age = Duration::from_secs(60);
    });
    world.writer.refuse("c7777");
    let ids: Vec<String> = (0..10_000).map(|number| format!("c{number}")).collect();
    let mut waiting = Vec::new();
    for frame in ids.chunks(100) {
        let frame: Vec<_> = frame.iter().map(|id| strong(id, 0)).collect();
        waiting.push(pending(admit(&world, &frame).await));
    }
    for mut frame in waiting {
        assert_eq!(frame.settled().await.unwrap().counts.of(Outcome::Identified), 100);
    }
    assert_eq!(world.dead_letters.letters(), [("record", "c7777".to_owned())]);
    assert_eq!(world.stored().len(), 9_999);
    let extra = world.writer.attempts().len() - 1;
    assert!(extra <= 2 * 14, "{extra} attempts beside the first");
}

#[tokio::test]
async fn a_refused_row_that_cannot_be_kept_is_waited_for() {
    let world = start(|_| {});
    world.writer.refuse("bad");
    world.dead_letters.set_full(true);
    let mut frame = pending(admit(&world, &[strong("bad", 0), strong("good", 0)]).await);
    let health = Arc::clone(world.threads.record());
    while !health.trouble().is_some_and(|(trouble, ..)| trouble == Trouble::DeadLetters) {
        tokio::task::yield_now().await;
    }
    assert!(frame.settled().now_or_never().is_none());
    world.dead_letters.set_full(false);
    assert_eq!(frame.settled().await.unwrap().dead_lettered, 1);
    assert_eq!(world.stored(), [("good".to_owned(), NOW)]);
    balanced(&world);
}

#[tokio::test]
async fn an_answer_waits_for_the_events_and_so_does_what_leans_on_it() {
    let world = start_with_events(|_| {});
    let held = world.events.hold();
    let mut first = pending(admit(&world, &[strong("alice", 0)]).await);
    while world.latest.heard().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(balanced(&world).system_of_record.stored, 1);
    assert_eq!(world.latest.heard(), ["alice"], "the cache hears of it without waiting for the events");
    let mut again = pending(admit(&world, &[strong("alice", 0)]).await);
    let near = answer(&world, &[strong("alice", 1)]).await;
    assert_eq!(near.counts.of(Outcome::Duplicate), 1, "the other one is durable");
    assert!(first.settled().now_or_never().is_none(), "its event is not stored");
    let waiting = balanced(&world).events.unwrap();
    assert_eq!((waiting.new, waiting.waiting, waiting.stored), (1, 1, 0));
    held.release(Script::UnavailableAfterWriting);
    assert_eq!(first.settled().await.unwrap().counts.of(Outcome::Identified), 1);
    assert_eq!(again.settled().await.unwrap().counts.of(Outcome::Identified), 1);
    assert_eq!(world.events_stored(), [("alice".to_owned(), NOW)]);
    let stored = balanced(&world).events.unwrap();
    assert_eq!((stored.new, stored.waiting, stored.stored), (1, 0, 1));
    assert!(matches!(admit(&world, &[strong("alice", 2)]).await, Admitted::Final(_)));
}

#[tokio::test]
async fn a_dead_store_of_events_does_not_stop_the_system_of_record() {
    let world = start_with_events(|_| {});
    world.events.fail_every(1);
    let mut waiting = Vec::new();
    for number in 0..50 {
        let id = format!("c{number}");
        waiting.push(pending(admit(&world, &[strong(&id, 0)]).await));
    }
    while balanced(&world).system_of_record.stored < 50 {
        tokio::task::yield_now().await;
    }
    world.events.fail_every(0);
    for mut frame in waiting {
        assert_eq!(frame.settled().await.unwrap().counts.of(Outcome::Identified), 1);
    }
    assert_eq!(world.events_stored().len(), 50);
    balanced(&world);
}

#[tokio::test]
async fn what_one_store_refuses_the_other_gets_and_the_cache_does_not_hear_of() {
    let world = start_with_events(|_| {});
    world.writer.refuse("bad");
    let mut frame = pending(admit(&world, &[strong("good", 0), strong("bad", 0)]).await);
    let answer = frame.settled().await.unwrap();
    assert_eq!((answer.counts.of(Outcome::Identified), answer.dead_lettered), (2, 1));
    assert_eq!(world.stored(), [("good".to_owned(), NOW)]);
    assert_eq!(world.events_stored(), [("good".to_owned(), NOW), ("bad".to_owned(), NOW)]);
    while world.latest.heard().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.latest.heard(), ["good"]);
    let Ledger { system_of_record: record, events, .. } = balanced(&world);
    assert_eq!((record.new, record.stored, record.dead_lettered), (2, 1, 1));
    assert_eq!((events.unwrap().new, events.unwrap().stored), (2, 2));
    // The row is finished: nothing waits for it.
    assert!(matches!(admit(&world, &[strong("bad", 1)]).await, Admitted::Final(_)));
}

#[tokio::test]
async fn a_refused_preference_is_named_in_its_answer() {
    let world = start(|_| {});
    world.writer.refuse("alice");
    let change = PreferenceChange::from_claim(b"alice", NOW, std::iter::empty());
    let AdmittedPreferences::Pending(mut preferences) =
        admit_preferences(&world, &world.clock.received_now(), change).await
    else {
        panic!("final before the commit");
    };
    assert_eq!(preferences.settled().await.unwrap(), PreferencesAnswer::DeadLettered);
    let ledger = balanced(&world).preferences;
    assert_eq!((ledger.accepted, ledger.dead_lettered), (1, 1));
}

#[tokio::test]
async fn identities_on_their_way_are_counted_as_waiting() {
    let world = start(|_| {});
    let held = world.writer.hold();
    let mut first = pending(admit(&world, &[strong("alice", 0), strong("bob", 0)]).await);
    let record = balanced(&world).system_of_record;
    assert_eq!((record.new, record.waiting, record.stored), (2, 2, 0));
    held.release(Script::Commit);
    first.settled().await.unwrap();
    let record = balanced(&world).system_of_record;
    assert_eq!((record.new, record.waiting, record.stored), (2, 0, 2));
}

#[tokio::test]
async fn a_frame_that_waited_long_for_room_is_judged_by_what_is_registered_then() {
    let world = start(|settings| settings.queue_rows = 1);
    let held = world.hold_journal();
    let mut fills = pending(admit(&world, &[strong("alice", 0)]).await);
    let next = [strong("bob", 0)];
    let mut waiting = Box::pin(admit(&world, &next));
    assert!((&mut waiting).now_or_never().is_none(), "no room");
    world.record.retire_beacon();
    world.pipeline.beacons().changed(&[BEACON]);
    tokio::time::pause();
    tokio::time::advance(Duration::from_millis(600)).await;
    tokio::time::resume();
    held.release();
    fills.settled().await.unwrap();
    let Admitted::Final(answer) = waiting.await else { panic!("nothing to wait for") };
    assert_eq!(answer.exceptions, [(0, Outcome::BeaconInactive)]);
    balanced(&world);
}

#[tokio::test]
async fn a_store_that_is_slow_is_given_no_further_batch_once_stopping_has_taken_its_time() {
    let world = start(|settings| settings.batch.rows = 1);
    let held = world.writer.hold();
    let mut first = pending(admit(&world, &[strong("alice", 0)]).await);
    let mut second = pending(admit(&world, &[strong("bob", 0)]).await);
    while world.writer.attempts().is_empty() {
        tokio::task::yield_now().await;
    }
    let World { pipeline, mut threads, .. } = world;
    pipeline.close();
    threads.hurry(std::time::Instant::now());
    held.release(Script::Commit);
    let left = threads.join(std::time::Instant::now() + Duration::from_secs(60));
    assert_eq!(left, Left { identities: 1, entries: 1, undone: false });
    assert_eq!(first.settled().await.unwrap().counts.of(Outcome::Identified), 1);
    assert_eq!(second.settled().await, None);
    assert_eq!(pipeline.ledger().imbalance(), None);
}

#[tokio::test]
async fn preferences_do_not_wait_for_the_events() {
    let world = start_with_events(|_| {});
    world.events.fail_every(1);
    let mut identity = pending(admit(&world, &[strong("alice", 0)]).await);
    let change = PreferenceChange::from_claim(b"alice", NOW, std::iter::empty());
    let AdmittedPreferences::Pending(mut preferences) =
        admit_preferences(&world, &world.clock.received_now(), change).await
    else {
        panic!("final before the commit");
    };
    assert_eq!(preferences.settled().await.unwrap(), PreferencesAnswer::Accepted);
    assert!(identity.settled().now_or_never().is_none());
    balanced(&world);
}

#[tokio::test]
async fn stopping_while_the_events_fail_claims_nothing_of_them() {
    let world = start_with_events(|_| {});
    world.events.fail_every(1);
    let mut first = pending(admit(&world, &[strong("alice", 0)]).await);
    while balanced(&world).system_of_record.stored == 0 {
        tokio::task::yield_now().await;
    }
    let (home, record, ledger, left) = world.stop(Duration::from_secs(60));
    assert_eq!(first.settled().await, None);
    assert_eq!((ledger.imbalance(), left.identities), (None, 1));
    assert_eq!((ledger.in_progress, ledger.decided(), ledger.events.unwrap().waiting), (0, 1, 1));
    let world = start_over(record, home, true, |_| {});
    while balanced(&world).events.unwrap().waiting > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.events_stored(), world.stored());
}

/// Invariant: however writes end and sessions interleave, every reading of the ledger balances, what was answered
/// `identified` is stored in both stores, and no two stored identities of a customer are within a minute.
#[tokio::test]
async fn many_sessions_over_stores_that_fail_at_random_keep_the_promises() {
    let world = start_with_events(|settings| settings.batch.rows = 16);
    world.writer.fail_every(7);
    world.events.fail_every(5);
    let sessions = (0..8u32).map(|session| {
        let world = &world;
        async move {
            let mut identified = Vec::new();
            let mut state = u64::from(session) + 1;
            for _ in 0..60 {
                let mut draw = |bound: u64| {
                    state =
                        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 33) % bound
                };
                let drawn: Vec<(String, i64)> = (0..4)
                    .map(|_| (format!("c{}", draw(400)), i64::try_from(draw(240)).unwrap() - 240))
                    .collect();
                let frame: Vec<_> = drawn.iter().map(|(id, at)| strong(id, *at)).collect();
                let answer = answer(world, &frame).await;
                balanced(world);
                if answer.counts.of(Outcome::Identified) == 4 {
                    identified.extend(drawn);
                }
            }
            identified
        }
    });
    let identified = futures_util::future::join_all(sessions).await.concat();
    let (stored, events) = (world.stored(), world.events_stored());
    for (id, at) in identified {
        let sent = (id, NOW.plus_micros(at * SECOND));
        assert!(stored.contains(&sent) && events.contains(&sent));
    }
    for (index, (id, at)) in stored.iter().enumerate() {
        for (other, other_at) in &stored[index + 1..] {
            assert!(id != other || at.micros_since(*other_at).abs() >= 60 * SECOND);
        }
    }
    let ledger = balanced(&world);
    assert_eq!((ledger.received, ledger.undecided(), ledger.in_progress), (8 * 60 * 4, 0, 0));
    assert_eq!(ledger.system_of_record.stored, stored.len() as u64);
    assert_eq!(ledger.events.unwrap().stored, stored.len() as u64);
    assert!(
        world.threads.record().failed_attempts() > 0 && !world.dead_letters.letters().iter().any(|_| true)
    );
}

#[tokio::test]
async fn a_store_that_does_not_come_back_is_not_waited_for_past_the_deadline_of_a_stop() {
    let world = start(|_| {});
    let held = world.writer.hold();
    let mut first = pending(admit(&world, &[strong("alice", 0)]).await);
    while world.writer.attempts().is_empty() {
        tokio::task::yield_now().await;
    }
    let (.., ledger, left) = world.stop(Duration::ZERO);
    assert_eq!(left, Left { identities: 1, entries: 1, undone: false });
    assert_eq!((ledger.system_of_record.waiting, ledger.imbalance()), (1, None));
    assert_eq!(first.settled().await, None);
    held.release(Script::Unavailable);
}

#[tokio::test]
async fn preferences_that_wait_at_a_stop_are_told_of_too() {
    let world = start(|_| {});
    world.writer.fail_every(1);
    let change = PreferenceChange::from_claim(b"alice", NOW, [(&b"k"[..], &b"v"[..])].into_iter()).unwrap();
    let admitted = admit_preferences(&world, &world.clock.received_now(), Ok(change)).await;
    assert!(matches!(admitted, AdmittedPreferences::Pending(_)));
    let (.., left) = world.stop(Duration::from_secs(60));
    assert_eq!(left, Left { identities: 0, entries: 1, undone: false });
}
