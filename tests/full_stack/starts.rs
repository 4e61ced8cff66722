//! Starts while stores are down: the daemon serves, says what is missing, and works when it comes.

use crate::harness::daemon::Daemon;
use crate::harness::frames;
use crate::harness::reply::Reply;
use crate::harness::{PATIENCE, wait_until};
use crate::scene::{GATEWAY, Reporter, table};
use crate::stack::{FullStack, Wanted};

/// Ends every store at once.
fn stop(stack: &mut FullStack) {
    stack.database.engine.as_mut().unwrap().stop_immediately().unwrap();
    stack.redis.engine.kill().unwrap();
    stack.events.engine.as_mut().unwrap().kill().unwrap();
}

fn start_again(stack: &mut FullStack) {
    stack.database.engine.as_mut().unwrap().start_again().unwrap();
    stack.redis.engine.start_again().unwrap();
    stack.events.engine.as_mut().unwrap().start_again().unwrap();
}

/// Reports until everything is identified and the daemon asks for more.
#[track_caller]
fn assert_works_soon(daemon: &Daemon, reporter: &mut Reporter) {
    let works = wait_until(|| {
        let frame = [reporter.strong(&table(1)), reporter.strong(&table(2))];
        let outcomes = reporter.ask(&frame);
        let expected = |(outcome, _): &(&str, u16)| ["undecided", "identified"].contains(outcome);
        assert!(outcomes.iter().all(expected), "{outcomes:?}");
        (outcomes == [("identified", 2)] && daemon.page("/ready").0 == 200).then_some(())
    });
    assert_eq!(works, Ok(()), "{:?} {:?}", daemon.page("/ready"), daemon.stats());
}

#[test]
fn a_start_with_every_store_down_serves_what_it_knows_and_the_rest_when_they_are_there() {
    let beacons = [table(1), table(2)];
    let wanted = Wanted { own_postgres: true, own_dynamodb: true, ack_level: "journal", ..Wanted::default() };
    let mut stack = FullStack::wanted(wanted, &beacons);
    stack.home.import_gateways(&[(GATEWAY, &["ours"], "active")]);
    stop(&mut stack);

    // The first start ever: nothing is known.
    let daemon = stack.home.serve_with(&[]);
    for store in ["postgres", "dynamodb"] {
        assert!(
            daemon.stderr.wait_for_line(store, PATIENCE),
            "{store} is not named: {}",
            daemon.stderr.text()
        );
    }
    let refused = daemon.connect().greet(&frames::hello(GATEWAY)).refusal();
    assert!(refused.retry_after_ms > 0, "it is not told to come again: {refused:?}");
    let (status, reasons) = daemon.page("/ready");
    assert_eq!((status, reasons.contains("past_unknown")), (503, true), "{reasons}");
    assert_eq!(daemon.page("/live").0, 200);
    start_again(&mut stack);
    let welcomed = wait_until(|| match daemon.connect().greet(&frames::hello(GATEWAY)) {
        Reply::Welcome(_) => Some(()),
        _ => None,
    });
    assert_eq!(welcomed, Ok(()));
    let mut reporter = Reporter::open(&daemon, &beacons);
    assert_works_soon(&daemon, &mut reporter);
    daemon.stop();

    // What it knew then it knows now.
    stop(&mut stack);
    let daemon = stack.home.serve_with(&[]);
    reporter.reopen_at_its_level(&daemon);
    let frame = [reporter.weak(&table(1)), reporter.weak(&table(2))];
    assert_eq!(reporter.ask(&frame), [("low_confidence", 2)]);
    // The journal knows whom nobody was identified near; whether a beacon is registered only the stores know.
    let frame = [reporter.strong(&table(1))];
    assert_eq!(reporter.ask(&frame), [("identified", 1)]);
    let frame = [reporter.strong(&table(99))];
    assert_eq!(reporter.ask(&frame), [("undecided", 1)]);
    start_again(&mut stack);
    assert_works_soon(&daemon, &mut reporter);
    daemon.all_stored();
    let expected = crate::model::tables::Tables::expected(&reporter.model);
    expected.assert_found(&stack.tables(), "every store is back");
    daemon.stop();
}
