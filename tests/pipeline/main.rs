//! The pipeline between scripted ports: what is answered, stored and counted when a store holds, fails or lies.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests stop at what they do not expect")]

mod journaling;
mod replaying;
mod scripted;
mod storing;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use beacond::domain::clock::ClockReading;
use beacond::domain::frame::AckLevel;
use beacond::domain::gateway::{Gateway, GatewayStatus, StoreScope};
use beacond::domain::outcome::{InvalidField, Outcome, UndecidedReason};
use beacond::domain::preference::PreferenceChange;
use beacond::domain::sighting::{BeaconClaim, ClaimedSighting};
use beacond::domain::time::Timestamp;
use beacond::pipeline::{
    Admitted, AdmittedPreferences, Admitter, Answer, FrameClaim, PreferencesAnswer, Received,
};
use futures_util::FutureExt;
use scripted::{BEACON, NOW, SECOND, Script, World, beacon_claim, start, start_unknowing};

pub(crate) const UNDECIDED: Outcome = Outcome::Undecided(UndecidedReason::Store);

fn gateway() -> Gateway {
    Gateway { id: "g".parse().unwrap(), stores: StoreScope::Every, status: GatewayStatus::Active }
}

fn strong(customer_id: &str, seconds: i64) -> ClaimedSighting<'_> {
    ClaimedSighting {
        beacon_index: 0,
        rssi_dbm: -50,
        detected_at: NOW.plus_micros(seconds * SECOND),
        customer_id: customer_id.as_bytes(),
    }
}

/// A frame that was never sent before.
fn next_frame() -> FrameClaim {
    static SENT: AtomicU64 = AtomicU64::new(0);
    let sequence = SENT.fetch_add(1, Ordering::Relaxed) + 1;
    FrameClaim { boot_epoch: 1, sequence, checksum: 7, answered_up_to: 0 }
}

/// Admits a frame of a session whose answers wait for the stores.
async fn admit(world: &World, sightings: &[ClaimedSighting<'_>]) -> Admitted {
    admit_at(world, AckLevel::Stored, sightings).await
}

async fn admit_at(world: &World, level: AckLevel, sightings: &[ClaimedSighting<'_>]) -> Admitted {
    let claims: [BeaconClaim; 1] = [beacon_claim(BEACON)];
    let mut admitter = Admitter::new(Arc::clone(&world.pipeline), level);
    let received = world.clock.received_now();
    admitter.sightings(&gateway(), next_frame(), &received, &claims, sightings).await
}

/// Admits preferences of a session whose answers wait for the stores.
async fn admit_preferences(
    world: &World,
    received: &Received,
    change: Result<PreferenceChange, InvalidField>,
) -> AdmittedPreferences {
    let admitter = Admitter::new(Arc::clone(&world.pipeline), AckLevel::Stored);
    admitter.preferences(&gateway(), next_frame(), received, change).await
}

async fn answer(world: &World, sightings: &[ClaimedSighting<'_>]) -> Answer {
    match admit(world, sightings).await {
        Admitted::Final(answer) => answer,
        Admitted::Pending(mut pending) => pending.settled().await.unwrap(),
    }
}

fn pending(admitted: Admitted) -> beacond::pipeline::PendingAnswer {
    match admitted {
        Admitted::Pending(pending) => pending,
        Admitted::Final(answer) => panic!("final before the commit: {answer:?}"),
    }
}

fn balanced(world: &World) -> beacond::pipeline::Ledger {
    let ledger = world.pipeline.ledger();
    assert_eq!(ledger.imbalance(), None, "{ledger:?}");
    ledger
}

#[tokio::test]
async fn at_level_stored_no_identity_is_answered_before_its_commit() {
    let world = start(|_| {});
    let held = world.writer.hold();
    let mut first = pending(admit(&world, &[strong("alice", 0)]).await);
    let mut again = pending(admit(&world, &[strong("alice", 0)]).await);
    let mut near = pending(admit(&world, &[strong("alice", 59)]).await);
    assert_eq!(near.settled().await.unwrap().counts.of(Outcome::Duplicate), 1, "the other one is durable");
    let ledger = balanced(&world);
    assert_eq!((ledger.received, ledger.system_of_record.waiting), (3, 1));
    let mut first = Box::pin(first.settled());
    assert!((&mut first).now_or_never().is_none(), "not stored while the writer holds");
    assert!(again.settled().now_or_never().is_none());
    held.release(Script::Commit);
    assert_eq!(first.await.unwrap().counts.of(Outcome::Identified), 1);
    assert_eq!(again.settled().await.unwrap().counts.of(Outcome::Identified), 1);
    let ledger = balanced(&world);
    assert_eq!((ledger.identified_new, ledger.identified_redelivered, ledger.in_progress), (1, 1, 0));
    assert_eq!(world.stored(), [("alice".to_owned(), NOW)]);
    assert!(
        matches!(admit(&world, &[strong("alice", 30)]).await, Admitted::Final(_)),
        "durable: nothing to wait for"
    );
}

#[tokio::test]
async fn late_sightings_of_a_frame_cost_one_question_and_obey_what_is_stored() {
    let world = start(|_| {});
    let late = -3_600;
    world.record.store("alice", NOW.plus_micros(late * SECOND));
    let other_beacon = ClaimedSighting { beacon_index: 0, ..strong("alice", late) };
    let frame = [
        strong("alice", late - 60),
        strong("alice", late - 59),
        other_beacon,
        strong("alice", late + 59),
        strong("alice", late + 60),
        strong("bob", late),
        strong("alice", 0),
    ];
    let answer = answer(&world, &frame).await;
    assert_eq!(world.record.questions(), 1);
    assert_eq!(answer.counts.of(Outcome::Duplicate), 2, "{answer:?}");
    // At -60, redelivered, at +60, bob, and the fresh one.
    assert_eq!(answer.counts.of(Outcome::Identified), 5);
    let ledger = balanced(&world);
    assert_eq!((ledger.identified_new, ledger.identified_redelivered), (4, 1));
}

#[tokio::test]
async fn late_sightings_are_undecided_while_the_store_cannot_be_asked_and_fresh_ones_go_on() {
    let world = start(|_| {});
    world.record.break_down();
    let answer = answer(&world, &[strong("alice", -3_600), strong("alice", 0)]).await;
    assert_eq!(answer.exceptions, [(0, UNDECIDED)]);
    assert_eq!(answer.counts.of(Outcome::Identified), 1);
    balanced(&world);
}

#[tokio::test]
async fn a_question_that_hangs_is_given_up_in_bounded_time() {
    let world = start(|settings| settings.question_timeout = std::time::Duration::from_millis(20));
    world.record.hang();
    let answer = answer(&world, &[strong("alice", -3_600)]).await;
    assert_eq!(answer.exceptions, [(0, UNDECIDED)]);
}

#[tokio::test]
async fn an_answer_about_late_sightings_is_not_believed_after_a_long_wait_for_room() {
    let world = start(|settings| {
        settings.queue_rows = 1;
        settings.question_timeout = std::time::Duration::from_millis(20);
    });
    let held = world.hold_journal();
    let late = [strong("alice", -3_600)];
    let first = world.record.hold();
    let mut asking = Box::pin(admit(&world, &late));
    assert!((&mut asking).now_or_never().is_none(), "the question is held");
    let mut fills = pending(admit(&world, &[strong("bob", 0)]).await);
    first.release();
    assert!((&mut asking).now_or_never().is_none(), "answered, and waiting for room");
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_millis(50)).await;
    tokio::time::resume();
    held.release();
    fills.settled().await.unwrap();
    let Admitted::Final(answer) = asking.await else { panic!("nothing to wait for") };
    assert_eq!(answer.exceptions, [(0, UNDECIDED)]);
    balanced(&world);
}

#[tokio::test]
async fn preferences_of_an_unsure_clock_are_undecided() {
    let world = start(|_| {});
    let now = world.clock.received_now();
    let unsure = ClockReading { wall: NOW.plus_micros(-3_600 * SECOND), ..now.clock };
    let received = Received { clock: unsure, ..now };
    let claim = PreferenceChange::from_claim(b"alice", NOW, std::iter::empty());
    let AdmittedPreferences::Final(answer) = admit_preferences(&world, &received, claim).await else {
        panic!("nothing to wait for")
    };
    assert_eq!(answer, PreferencesAnswer::Undecided(UndecidedReason::Clock));
    balanced(&world);
}

#[tokio::test]
async fn what_was_stored_before_this_start_is_asked_about_however_fresh() {
    let world = start(|_| {});
    world.record.store("alice", NOW);
    world.pipeline.past_known(Some(NOW));
    let answered = answer(&world, &[strong("alice", 0), strong("alice", 59), strong("alice", 60)]).await;
    assert_eq!(answered.counts.of(Outcome::Duplicate), 1);
    assert_eq!(answered.counts.of(Outcome::Identified), 2, "the redelivery, and the one a minute after");
    assert_eq!(balanced(&world).identified_redelivered, 1);
}

#[tokio::test]
async fn past_the_windows_limit_late_sightings_are_undecided_and_past_its_bound_all_new_ones() {
    let world = start(|settings| settings.window_entries = 8);
    let full = Outcome::Undecided(UndecidedReason::WindowFull);
    for customer in ["a", "b", "c", "d", "e", "f", "g"] {
        assert_eq!(answer(&world, &[strong(customer, 0)]).await.counts.of(Outcome::Identified), 1);
    }
    assert_eq!(answer(&world, &[strong("late", -3_600)]).await.exceptions, [(0, full)]);
    assert_eq!(
        answer(&world, &[strong("h", 0)]).await.counts.of(Outcome::Identified),
        1,
        "the eighth is for fresh ones"
    );
    assert_eq!(answer(&world, &[strong("i", 0)]).await.exceptions, [(0, full)]);
    assert_eq!(
        answer(&world, &[strong("a", 1)]).await.counts.of(Outcome::Duplicate),
        1,
        "duplicates are known still"
    );
    balanced(&world);
}

#[tokio::test]
async fn a_full_queue_makes_sessions_wait_and_loses_nothing() {
    let world = start(|settings| settings.queue_rows = 4);
    let held = world.hold_journal();
    let ids: Vec<String> = (0..4).map(|number| format!("c{number}")).collect();
    let frame: Vec<_> = ids.iter().map(|id| strong(id, 0)).collect();
    let mut first = pending(admit(&world, &frame).await);
    let next = [strong("waits", 0)];
    let mut waiting = Box::pin(admit(&world, &next));
    assert!((&mut waiting).now_or_never().is_none(), "no room: the session waits");
    assert_eq!(balanced(&world).received, 4, "nothing of it was decided yet");
    held.release();
    assert_eq!(first.settled().await.unwrap().counts.of(Outcome::Identified), 4);
    assert_eq!(pending(waiting.await).settled().await.unwrap().counts.of(Outcome::Identified), 1);
    assert_eq!(world.stored().len(), 5);
}

#[tokio::test]
async fn giving_up_a_frame_that_waits_leaves_no_trace() {
    let world = start(|settings| settings.queue_rows = 1);
    let held = world.hold_journal();
    let mut first = pending(admit(&world, &[strong("alice", 0)]).await);
    let next = [strong("bob", 0)];
    drop(Box::pin(admit(&world, &next)).now_or_never());
    held.release();
    first.settled().await.unwrap();
    assert_eq!(balanced(&world).received, 1);
    assert_eq!(
        answer(&world, &[strong("bob", 0)]).await.counts.of(Outcome::Identified),
        1,
        "the room came back"
    );
}

#[tokio::test]
async fn everything_accepted_before_the_close_is_stored_and_later_frames_are_undecided() {
    let world = start(|_| {});
    let held = world.writer.hold();
    let mut first = pending(admit(&world, &[strong("alice", 0)]).await);
    world.pipeline.close();
    let mut after = pending(admit(&world, &[strong("bob", 0), strong("alice", 1)]).await);
    held.release(Script::Commit);
    assert_eq!(first.settled().await.unwrap().counts.of(Outcome::Identified), 1);
    let after = after.settled().await.unwrap();
    assert_eq!(after.exceptions, [(0, UNDECIDED)], "bob is new, and nothing new is taken");
    assert_eq!(after.counts.of(Outcome::Duplicate), 1, "alice's identity was still on its way");
    assert_eq!(world.stored(), [("alice".to_owned(), NOW)]);
    balanced(&world);
}

#[tokio::test]
async fn preferences_wait_for_their_commit_and_have_their_own_line() {
    let world = start(|_| {});
    let change =
        |at: Timestamp| PreferenceChange::from_claim(b"alice", at, [(&b"k"[..], &b"v"[..])].into_iter());
    let received = world.clock.received_now();
    let held = world.writer.hold();
    let AdmittedPreferences::Pending(mut waiting) = admit_preferences(&world, &received, change(NOW)).await
    else {
        panic!("final before the commit");
    };
    assert!(waiting.settled().now_or_never().is_none());
    held.release(Script::Commit);
    assert_eq!(waiting.settled().await.unwrap(), PreferencesAnswer::Accepted);
    let ahead = admit_preferences(&world, &received, change(NOW.plus_micros(3_600 * SECOND))).await;
    let AdmittedPreferences::Final(ahead) = ahead else { panic!("a time far ahead is refused at once") };
    assert_eq!(ahead, PreferencesAnswer::Invalid(InvalidField::UpdatedAt));
    let ledger = balanced(&world).preferences;
    assert_eq!((ledger.received, ledger.accepted, ledger.invalid), (2, 1, 1));
}

#[tokio::test]
async fn until_the_past_is_known_nobody_is_identified() {
    let world = start_unknowing(Arc::default(), Arc::default(), false, |_| {});
    world.record.store("alice", NOW);
    let weak = ClaimedSighting { rssi_dbm: -90, ..strong("bob", 0) };
    let answered = answer(&world, &[strong("alice", 1), strong("bob", 0), strong("bob", -3_600), weak]).await;
    assert_eq!(answered.exceptions, [(0, UNDECIDED), (1, UNDECIDED), (2, UNDECIDED)]);
    assert_eq!(answered.counts.of(Outcome::LowConfidence), 1);
    assert_eq!(world.record.questions(), 0, "what is not settled is not asked");
    world.pipeline.past_known(Some(NOW.plus_micros(-SECOND)));
    assert_eq!(answer(&world, &[strong("carol", 59)]).await.counts.of(Outcome::Identified), 1);
    balanced(&world);
}
