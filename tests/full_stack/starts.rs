//! Starts while stores are down: the daemon serves, says what is missing, and works when it comes.

use crate::harness::daemon::Daemon;
use crate::harness::{PATIENCE, wait_until};
use crate::scene::{Reporter, table};
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

/// Reports until everything is identified.
#[track_caller]
fn assert_works_soon(daemon: &Daemon, reporter: &mut Reporter) {
    let works = wait_until(|| {
        let frame = [reporter.strong(&table(1)), reporter.strong(&table(2))];
        let outcomes = reporter.ask(&frame);
        assert!(
            outcomes.iter().all(|(outcome, _)| ["undecided", "identified"].contains(outcome)),
            "{outcomes:?}"
        );
        (outcomes == [("identified", 2)]).then_some(())
    });
    assert_eq!(works, Ok(()), "{:?}", daemon.stats());
    let ready = wait_until(|| (daemon.page("/ready").0 == 200).then_some(()));
    assert_eq!(ready, Ok(()), "{:?}", daemon.page("/ready"));
}

#[test]
fn a_start_with_every_store_down_serves_what_it_knows_and_the_rest_when_they_are_there() {
    let beacons = [table(1), table(2)];
    let wanted = Wanted { own_postgres: true, own_dynamodb: true, ..Wanted::default() };
    let mut stack = FullStack::wanted(wanted, &beacons);
    stop(&mut stack);

    // The first start ever: nothing is known.
    let daemon = stack.serve();
    for store in ["postgres", "dynamodb"] {
        assert!(
            daemon.stderr.wait_for_line(store, PATIENCE),
            "{store} is not named: {}",
            daemon.stderr.text()
        );
    }
    let mut reporter = Reporter::open(&daemon, &beacons);
    let frame = [reporter.strong(&table(1)), reporter.weak(&table(2)), reporter.strong(&table(99))];
    assert_eq!(reporter.ask(&frame), [("undecided", 3)]);
    let (status, reasons) = daemon.page("/ready");
    assert_eq!((status, reasons.contains("postgres")), (503, true), "{reasons}");
    assert_eq!(daemon.page("/live").0, 200);
    start_again(&mut stack);
    assert_works_soon(&daemon, &mut reporter);
    daemon.stop();

    // What it knew then it knows now.
    stop(&mut stack);
    let daemon = stack.serve();
    reporter.reopen(&daemon);
    let frame = [reporter.weak(&table(1)), reporter.weak(&table(2))];
    assert_eq!(reporter.ask(&frame), [("low_confidence", 2)]);
    // What is stored near these cannot be asked.
    let frame = [reporter.strong(&table(1)), reporter.strong(&table(99))];
    assert_eq!(reporter.ask(&frame), [("undecided", 2)]);
    start_again(&mut stack);
    assert_works_soon(&daemon, &mut reporter);
    let expected = crate::model::tables::Tables::expected(&reporter.model);
    expected.assert_found(&stack.tables(), "every store is back");
    daemon.stop();
}
