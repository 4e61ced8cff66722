//! Stops while a store is dead: in time, with the exit code that says that something waits, and stored once by the next
//! start.

use std::time::{Duration, Instant};

use crate::scene::{Reporter, table};
use crate::stack::{FullStack, Wanted};

/// Much less than the waits between attempts to write into a store that is dead.
const SHORT_DRAIN_MS: u32 = 500;

/// The deadline, and a busy machine.
const SOON: Duration = Duration::from_secs(10);

/// The exit code of a stop that leaves something in the journal.
const WAITING: i32 = 3;

#[track_caller]
fn assert_stops_without(postgres: bool, dynamodb: bool) {
    let wanted = Wanted {
        own_postgres: postgres,
        own_dynamodb: dynamodb,
        drain_deadline_ms: SHORT_DRAIN_MS,
        ..Wanted::default()
    };
    let mut stack = FullStack::wanted(wanted, &[table(1)]);
    let daemon = stack.serve();
    let mut reporter = Reporter::open(&daemon, &[table(1)]);
    let frame = [reporter.strong(&table(1))];
    assert_eq!(reporter.ask(&frame), [("identified", 1)]);

    let dead: Vec<&str> = [(postgres, "postgres"), (dynamodb, "dynamodb")]
        .iter()
        .filter(|dead| dead.0)
        .map(|dead| dead.1)
        .collect();
    if postgres {
        stack.database.engine.as_mut().unwrap().stop_immediately().unwrap();
    }
    if dynamodb {
        stack.events.engine.as_mut().unwrap().kill().unwrap();
    }
    let frame = [reporter.strong(&table(1)), reporter.strong(&table(1))];
    reporter.send(&frame);
    daemon.wait_for_stats("it waits for what is dead", |stats| {
        stats.number("identified_new") == 3
            && dead.iter().all(|store| stats.trouble_of(store).is_some())
            && (postgres || stats.store("waiting") == 0)
            && (dynamodb || stats.events("waiting") == 0)
    });
    let started = Instant::now();
    daemon.signal("TERM");
    assert_eq!(daemon.ended().code(), Some(WAITING), "{dead:?}");
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());

    if postgres {
        stack.database.engine.as_mut().unwrap().start_again().unwrap();
    }
    if dynamodb {
        stack.events.engine.as_mut().unwrap().start_again().unwrap();
    }
    let daemon = stack.serve();
    let stats = daemon.wait_for_stats("the rest is stored", |stats| {
        stats.store("waiting") == 0 && stats.events("waiting") == 0
    });
    let at_start = |dead| if dead { 2 } else { 0 };
    assert_eq!(stats.store("waiting_at_start"), at_start(postgres));
    assert_eq!(stats.events("waiting_at_start"), at_start(dynamodb));
    reporter.accept(&frame);
    stack.assert_holds(&reporter.model, "the next start");
    daemon.stop();
}

#[test]
fn a_stop_while_postgresql_is_dead_is_in_time_and_leaves_its_rows_to_the_next_start() {
    assert_stops_without(true, false);
}

#[test]
fn a_stop_while_dynamodb_is_dead_is_in_time_and_leaves_its_items_to_the_next_start() {
    assert_stops_without(false, true);
}

#[test]
fn a_stop_while_both_are_dead_is_in_time_and_leaves_all_to_the_next_start() {
    assert_stops_without(true, true);
}
