//! Dead letters taken back: what passes the window again is stored, what does not stays, and the ledger shows it.

use std::time::Duration;

use beacond::domain::customer::CustomerId;
use beacond::domain::outcome::Outcome;
use beacond::domain::preference::PreferenceChange;
use beacond::pipeline::{RefusedLetter, Replayed, StoreLedger};
use beacond::ports::Block;

use crate::scripted::{NOW, SECOND, World, start, start_over, start_with_events};
use crate::{answer, balanced, strong};

/// Has the record refuse this customer once, and returns the letter of it.
async fn refused(world: &World, customer: &str, seconds: i64) -> RefusedLetter {
    world.writer.refuse(customer);
    assert_eq!(answer(world, &[strong(customer, seconds)]).await.dead_lettered, 1);
    world.writer.take_all();
    world.dead_letters.refused().pop().unwrap()
}

async fn stored(world: &World, of: impl Fn(&World) -> StoreLedger) -> StoreLedger {
    while of(world).waiting > 0 {
        tokio::task::yield_now().await;
    }
    of(world)
}

fn record(world: &World) -> StoreLedger {
    balanced(world).system_of_record
}

fn events(world: &World) -> StoreLedger {
    balanced(world).events.unwrap()
}

#[tokio::test]
async fn a_letter_taken_back_is_stored_once_however_often_it_is_taken_back() {
    let world = start(|_| {});
    let letter = refused(&world, "alice", 0).await;
    assert_eq!(world.stored(), []);
    for times in 1..=3 {
        assert_eq!(world.pipeline.replay(std::slice::from_ref(&letter)).await, [Replayed::Journaled]);
        let ledger = stored(&world, record).await;
        assert_eq!((ledger.new, ledger.dead_lettered, ledger.replayed, ledger.stored), (1, 1, times, times));
        assert_eq!(world.stored(), [("alice".to_owned(), NOW)]);
    }
    assert_eq!(answer(&world, &[strong("alice", 30)]).await.counts.of(Outcome::Duplicate), 1);
}

#[tokio::test]
async fn a_letter_near_another_identity_stays_whether_memory_or_the_record_has_it() {
    for hours in [0, 2] {
        let world = start(|_| {});
        let at = -hours * 3_600;
        let other = start(|_| {});
        let letter = refused(&other, "alice", at).await;
        if hours == 0 {
            answer(&world, &[strong("alice", at + 59)]).await;
        } else {
            world.record.store("alice", NOW.plus_micros((at + 59) * SECOND));
        }
        assert_eq!(world.pipeline.replay(std::slice::from_ref(&letter)).await, [Replayed::Duplicate]);
        assert_eq!((world.record.questions() > 0, record(&world).replayed), (hours > 0, 0));
    }
}

#[tokio::test]
async fn a_letter_that_memory_does_not_know_is_accepted_anew_and_stands_in_the_window() {
    for hours in [0, 2] {
        let world = start(|_| {});
        let at = -hours * 3_600;
        let letter = refused(&start(|_| {}), "alice", at).await;
        let twice = [letter.clone(), RefusedLetter { block: moved(&letter.block, 30), ..letter }];
        assert_eq!(world.pipeline.replay(&twice).await, [Replayed::Journaled, Replayed::Duplicate]);
        assert_eq!(answer(&world, &[strong("alice", at + 59)]).await.counts.of(Outcome::Duplicate), 1);
        let again = answer(&world, &[strong("alice", at)]).await;
        assert_eq!(again.counts.of(Outcome::Identified), 1);
        let ledger = stored(&world, record).await;
        assert_eq!((ledger.new, ledger.replayed, ledger.stored), (0, 1, 1));
        assert_eq!(world.stored(), [("alice".to_owned(), NOW.plus_micros(at * SECOND))]);
    }
}

/// The same row at another time.
fn moved(block: &Block, seconds: i64) -> Block {
    let mut block = block.clone();
    block.identities[0].detected_at = block.identities[0].detected_at.plus_micros(seconds * SECOND);
    block
}

#[tokio::test]
async fn a_late_letter_stays_while_the_record_cannot_be_asked() {
    let world = start(|_| {});
    let late = refused(&start(|_| {}), "alice", -7_200).await;
    let fresh = refused(&start(|_| {}), "bob", 0).await;
    world.record.break_down();
    assert_eq!(world.pipeline.replay(&[late, fresh]).await, [Replayed::Undecided, Replayed::Journaled]);
}

#[tokio::test]
async fn what_was_taken_back_and_not_stored_is_known_and_counted_by_the_next_start() {
    let world = start_with_events(|_| {});
    let mut letters = vec![refused(&world, "alice", 0).await];
    stored(&world, events).await;
    letters.push(refused(&start(|_| {}), "bob", 0).await);
    world.writer.fail_every(1);
    assert_eq!(world.pipeline.replay(&letters).await, [Replayed::Journaled; 2]);
    let (home, rows, ledger, left) = world.stop(Duration::from_secs(60));
    assert_eq!((ledger.system_of_record.waiting, left.identities, ledger.imbalance()), (2, 2, None));
    let world = start_over(rows, home, true, |_| {});
    assert_eq!(answer(&world, &[strong("bob", 59)]).await.counts.of(Outcome::Duplicate), 1);
    let ledger = stored(&world, record).await;
    assert_eq!((ledger.waiting_at_start, ledger.stored, ledger.new), (2, 2, 0));
    let ledger = stored(&world, events).await;
    assert_eq!((ledger.waiting_at_start, ledger.stored), (0, 0), "they were for the record alone");
    assert_eq!(world.stored(), [("alice".to_owned(), NOW), ("bob".to_owned(), NOW)]);
}

#[tokio::test]
async fn an_event_is_taken_back_if_its_identity_is_known() {
    let world = start_with_events(|_| {});
    world.events.refuse("alice");
    assert_eq!(answer(&world, &[strong("alice", 0)]).await.dead_lettered, 1);
    world.events.take_all();
    let known = world.dead_letters.refused().pop().unwrap();
    assert_eq!(known.store, "events");
    world.record.store("carol", NOW.plus_micros(-7_200 * SECOND));
    let of = |block: &Block, customer: &str, seconds: i64| {
        let mut block = moved(block, seconds);
        block.identities[0].customer_id = CustomerId::from_bytes(customer.as_bytes()).unwrap();
        RefusedLetter { store: "events".to_owned(), block }
    };
    let recorded = of(&known.block, "carol", -7_200);
    let unknown = [of(&known.block, "carol", -7_199), of(&known.block, "bob", 0)];
    let elsewhere = RefusedLetter { store: "postgres".to_owned(), ..known.clone() };
    let letters = [known, recorded, unknown[0].clone(), unknown[1].clone(), elsewhere];
    assert_eq!(
        world.pipeline.replay(&letters).await,
        [
            Replayed::Journaled,
            Replayed::Journaled,
            Replayed::Unrecorded,
            Replayed::Unrecorded,
            Replayed::Unconfigured
        ]
    );
    let ledger = stored(&world, events).await;
    assert_eq!((ledger.replayed, ledger.stored, ledger.dead_lettered), (2, 2, 1));
    assert_eq!(record(&world).replayed, 0);
    let mut rows = world.events_stored();
    rows.sort();
    assert_eq!(rows, [("alice".to_owned(), NOW), ("carol".to_owned(), NOW.plus_micros(-7_200 * SECOND))]);
}

#[tokio::test]
async fn preferences_are_taken_back_as_they_are() {
    let world = start(|_| {});
    let change = PreferenceChange::from_claim(b"alice", NOW, [(&b"k"[..], &b"v"[..])].into_iter()).unwrap();
    let block = Block { preferences: vec![change], ..Block::default() };
    let letter = RefusedLetter { store: "record".to_owned(), block };
    let attempts = world.writer.attempts().len();
    assert_eq!(world.pipeline.replay(&[letter]).await, [Replayed::Journaled]);
    while world.writer.attempts().len() == attempts {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.writer.attempts()[attempts].0, 1);
    balanced(&world);
}

#[tokio::test]
async fn a_row_refused_again_is_a_letter_again_and_a_stopping_pipeline_takes_none_back() {
    let world = start(|_| {});
    let letter = refused(&world, "alice", 0).await;
    world.writer.refuse("alice");
    assert_eq!(world.pipeline.replay(std::slice::from_ref(&letter)).await, [Replayed::Journaled]);
    let ledger = stored(&world, record).await;
    assert_eq!((ledger.replayed, ledger.dead_lettered, ledger.stored), (1, 2, 0));
    assert_eq!(world.dead_letters.letters().len(), 2);
    world.pipeline.close();
    assert_eq!(world.pipeline.replay(&[letter]).await, [Replayed::Undecided]);
    balanced(&world);
}
