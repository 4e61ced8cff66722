//! What the journal is for: answers before the stores, and everything known again after a start without them.

use std::sync::Arc;
use std::time::Duration;

use beacond::domain::frame::{AckLevel, FrameId};
use beacond::domain::outcome::Outcome;
use beacond::pipeline::{Admitted, FrameStanding};
use futures_util::FutureExt;

use crate::scripted::{NOW, World, start, start_over, start_unknowing, start_with_events};
use crate::{UNDECIDED, admit_at, balanced, gateway, next_frame, pending, strong};

async fn answered(world: &World, sightings: &[beacond::domain::sighting::ClaimedSighting<'_>]) -> [u32; 2] {
    let answer = match admit_at(world, AckLevel::Journal, sightings).await {
        Admitted::Final(answer) => answer,
        Admitted::Pending(mut pending) => pending.settled().await.unwrap(),
    };
    [Outcome::Identified, Outcome::Duplicate].map(|outcome| answer.counts.of(outcome))
}

#[tokio::test]
async fn at_level_journal_nothing_waits_for_a_store() {
    let world = start_with_events(|_| {});
    world.writer.fail_every(1);
    world.events.fail_every(1);
    assert_eq!(answered(&world, &[strong("alice", 0), strong("bob", 0), strong("alice", 59)]).await, [2, 1]);
    assert!(matches!(admit_at(&world, AckLevel::Journal, &[strong("alice", 0)]).await, Admitted::Final(_)));
    let ledger = balanced(&world);
    assert_eq!((ledger.in_progress, ledger.identified_new, ledger.identified_redelivered), (0, 2, 1));
    assert_eq!((ledger.system_of_record.waiting, ledger.events.unwrap().waiting), (2, 2));
    world.writer.fail_every(0);
    world.events.fail_every(0);
    while balanced(&world).stores().any(|store| store.waiting > 0) {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.stored().len(), 2);
    assert_eq!(world.events_stored(), world.stored());
}

#[tokio::test]
async fn no_answer_that_leans_on_a_pending_identity_leaves_before_it_is_durable() {
    let world = start(|_| {});
    let held = world.hold_journal();
    let mut first = pending(admit_at(&world, AckLevel::Journal, &[strong("alice", 0)]).await);
    let mut again = pending(admit_at(&world, AckLevel::Journal, &[strong("alice", 0)]).await);
    let mut near = pending(admit_at(&world, AckLevel::Journal, &[strong("alice", 59)]).await);
    let journal = Arc::clone(world.threads.journal());
    while journal.failed_attempts() < 2 {
        tokio::task::yield_now().await;
    }
    for waiting in [&mut first, &mut again, &mut near] {
        assert!(waiting.settled().now_or_never().is_none());
    }
    let ledger = balanced(&world);
    assert_eq!((ledger.received, ledger.in_progress, ledger.decided()), (3, 3, 0));
    assert_eq!(world.stored(), [], "no store has what is not durable");
    held.release();
    assert_eq!(first.settled().await.unwrap().counts.of(Outcome::Identified), 1);
    assert_eq!(again.settled().await.unwrap().counts.of(Outcome::Identified), 1);
    assert_eq!(near.settled().await.unwrap().counts.of(Outcome::Duplicate), 1);
    assert!(journal.trouble().is_none());
    balanced(&world);
}

#[tokio::test]
async fn what_the_journal_could_not_take_before_a_stop_is_undone_and_said_to_be() {
    let world = start_with_events(|_| {});
    let held = world.hold_journal();
    let weak = beacond::domain::sighting::ClaimedSighting { rssi_dbm: -90, ..strong("alice", 0) };
    let mut first = pending(admit_at(&world, AckLevel::Journal, &[weak, strong("alice", 0)]).await);
    let mut near = pending(admit_at(&world, AckLevel::Stored, &[strong("alice", 1), strong("bob", 0)]).await);
    let (home, _, ledger, left) = world.stop(Duration::from_secs(60));
    assert!(left.undone && left.identities == 0);
    let first = first.settled().await.unwrap();
    assert_eq!(first.exceptions, [(1, UNDECIDED)]);
    assert_eq!(first.counts.of(Outcome::LowConfidence), 1);
    assert_eq!(near.settled().await.unwrap().exceptions, [(0, UNDECIDED), (1, UNDECIDED)]);
    assert_eq!((ledger.imbalance(), ledger.undecided(), ledger.in_progress), (None, 3, 0));
    assert_eq!((ledger.system_of_record.new, ledger.events.unwrap().new), (0, 0));
    held.release();
    drop(home);
}

#[tokio::test]
async fn a_start_without_stores_knows_what_was_accepted() {
    let world = start_with_events(|_| {});
    world.writer.fail_every(1);
    world.events.fail_every(1);
    assert_eq!(answered(&world, &[strong("alice", 0), strong("bob", -30)]).await, [2, 0]);
    let (home, record, _, left) = world.stop(Duration::ZERO);
    assert_eq!(left.identities, 2);
    record.break_down();
    let world = start_unknowing(record, home, true, |_| {});
    assert!(!world.pipeline.is_past_unknown());
    world.writer.fail_every(1);
    world.events.fail_every(1);
    let again = [strong("alice", 0), strong("bob", 20), strong("bob", 30), strong("carol", 0)];
    assert_eq!(answered(&world, &again).await, [3, 1]);
    let ledger = balanced(&world);
    assert_eq!((ledger.identified_new, ledger.identified_redelivered), (2, 1));
    assert_eq!((ledger.system_of_record.waiting_at_start, ledger.system_of_record.new), (2, 2));
}

#[tokio::test]
async fn frames_are_known_after_a_start_if_nothing_in_them_was_undecided() {
    let world = start(|_| {});
    world.writer.fail_every(1);
    let admit = async |world: &World, claim, sightings: &[beacond::domain::sighting::ClaimedSighting<'_>]| {
        let mut admitter = beacond::pipeline::Admitter::new(Arc::clone(&world.pipeline), AckLevel::Journal);
        let claims = [crate::scripted::beacon_claim(crate::scripted::BEACON)];
        let received = world.clock.received_now();
        pending(admitter.sightings(&gateway(), claim, &received, &claims, sightings).await)
            .settled()
            .await
            .unwrap();
    };
    let (whole, partly) = (next_frame(), next_frame());
    admit(&world, whole, &[strong("alice", 0)]).await;
    world.record.break_down();
    admit(&world, partly, &[strong("bob", 0), strong("late", -3_600)]).await;
    let id = |claim: beacond::pipeline::FrameClaim| FrameId {
        gateway: gateway().id,
        boot_epoch: claim.boot_epoch,
        sequence: claim.sequence,
        checksum: claim.checksum,
    };
    let stored = world.pipeline.frame_standing(&id(whole), AckLevel::Stored);
    assert_eq!(stored, FrameStanding::New, "no store has it");
    let (home, record, ..) = world.stop(Duration::ZERO);
    let world = start_over(record, home, false, |_| {});
    let standing = |id: &FrameId, level| world.pipeline.frame_standing(id, level);
    assert_eq!(standing(&id(whole), AckLevel::Journal), FrameStanding::Durable);
    assert_eq!(standing(&id(partly), AckLevel::Journal), FrameStanding::New);
    let other = FrameId { checksum: 8, ..id(whole) };
    assert_eq!(standing(&other, AckLevel::Journal), FrameStanding::Reused);
    while standing(&id(whole), AckLevel::Stored) != FrameStanding::Durable {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_store_that_lags_behind_memory_reads_the_journal() {
    let world = start_with_events(|settings| {
        settings.queue_rows = 16;
        settings.batch.rows = 8;
    });
    let held = world.events.hold();
    for number in 0..200 {
        assert_eq!(answered(&world, &[strong(&format!("c{number}"), 0)]).await, [1, 0]);
    }
    while balanced(&world).system_of_record.waiting > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.stored().len(), 200, "the other store goes on");
    held.release(crate::scripted::Script::Unavailable);
    while balanced(&world).events.unwrap().waiting > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.events_stored(), world.stored());
}

#[tokio::test]
async fn a_new_store_begins_where_the_journal_is_and_one_left_out_keeps_its_place() {
    let world = start_with_events(|_| {});
    world.events.fail_every(1);
    assert_eq!(answered(&world, &[strong("alice", 0)]).await, [1, 0]);
    let (home, record, ..) = world.stop(Duration::from_secs(60));
    let world = start_over(record, home, false, |_| {});
    assert_eq!(answered(&world, &[strong("bob", 0)]).await, [1, 0]);
    let (home, record, ..) = world.stop(Duration::from_secs(60));
    let world = start_over(record, home, true, |_| {});
    while balanced(&world).events.unwrap().waiting > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.events_stored(), [("alice".to_owned(), NOW), ("bob".to_owned(), NOW)]);
}
