//! Stores that hang, end and come back under a running daemon: nothing is lost, nothing is there twice, and what can go
//! on does.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::harness::daemon::Daemon;
use crate::harness::wait_until;
use crate::model::tables::Tables;
use crate::model::{Beacon, Model};
use crate::scene::{Reporter, table};
use crate::stack::{FullStack, Wanted};

/// A store that cannot be asked is given up on after two seconds; then some, for a busy machine.
const BOUNDED: Duration = Duration::from_secs(6);

/// For how long a store is away in a test, by the daemon's own watch.
const AWAY_S: u64 = 3;

/// Frames that tell that sightings flow.
const FLOWING_FRAMES: u64 = 30;

/// Strong sightings in a frame while they flow, each of the next beacon.
const FLOWING_SIGHTINGS: usize = 4;

/// A PostgreSQL that hangs is given up on before a test is.
const SHORT_WRITES: &str = "[postgres]\nwrite_timeout_ms = 1000\n";

/// Lets sightings of these beacons flow while `act` acts, and returns what the model makes of them. Every one must be
/// identified, in a bounded time.
fn while_sightings_flow(daemon: &Daemon, beacons: &[Beacon], act: impl FnOnce(&Flow)) -> Model {
    let flow = Flow { frames: AtomicU64::new(0), over: AtomicBool::new(false) };
    std::thread::scope(|scope| {
        let flowing = scope.spawn(|| {
            let mut reporter = Reporter::open(daemon, beacons);
            let mut next = beacons.iter().cycle();
            while !flow.over.load(Ordering::Relaxed) {
                let of_frame = next.by_ref().take(FLOWING_SIGHTINGS);
                let frame: Vec<_> = of_frame.map(|beacon| reporter.strong(beacon)).collect();
                let started = Instant::now();
                assert_eq!(reporter.ask(&frame), [("identified", 4)]);
                assert!(started.elapsed() < BOUNDED, "{:?}", started.elapsed());
                flow.frames.fetch_add(1, Ordering::Relaxed);
            }
            reporter.model
        });
        let ended = Ended(&flow);
        act(&flow);
        drop(ended);
        flowing.join().unwrap()
    })
}

/// How far sightings have flown.
struct Flow {
    frames: AtomicU64,
    over: AtomicBool,
}

impl Flow {
    /// Waits until some more were answered.
    #[track_caller]
    fn goes_on(&self) {
        let enough = self.frames.load(Ordering::Relaxed) + FLOWING_FRAMES;
        let went_on = wait_until(|| (self.frames.load(Ordering::Relaxed) >= enough).then_some(()));
        assert_eq!(went_on, Ok(()), "sightings do not flow");
    }
}

/// Ends the flow also when the test fails.
struct Ended<'f>(&'f Flow);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
    }
}

#[track_caller]
fn assert_ready(daemon: &Daemon, status: u16) -> String {
    let page = wait_until(|| Some(daemon.page("/ready")).filter(|page| page.0 == status));
    assert_eq!(daemon.page("/live").0, 200);
    page.unwrap_or_else(|_| panic!("never {status}: {:?}", daemon.page("/ready"))).1
}

#[test]
fn sightings_flow_with_none_undecided_while_redis_is_emptied_hangs_and_is_gone() {
    // So many that all along some are heard for the first time.
    let beacons: Vec<Beacon> = (1..2_000).map(table).collect();
    let mut stack = FullStack::with_beacons(&beacons);
    let daemon = stack.serve();
    let model = while_sightings_flow(&daemon, &beacons, |flow| {
        flow.goes_on();
        stack.redis.cli(&["FLUSHALL"]);
        flow.goes_on();
        stack.redis.engine.suspend().unwrap();
        flow.goes_on();
        stack.redis.engine.resume().unwrap();
        flow.goes_on();
        stack.redis.engine.kill().unwrap();
        flow.goes_on();
        assert_ready(&daemon, 200);
        stack.redis.engine.start_again().unwrap();
        let cached = wait_until(|| (stack.redis.cli(&["DBSIZE"]).trim() != "0").then_some(()));
        assert_eq!(cached, Ok(()), "Redis is used again");
        flow.goes_on();
    });
    assert_eq!(daemon.stats().outcome("undecided"), 0);
    Tables::expected(&model).assert_found(&stack.tables(), "with and without Redis");
    daemon.stop();
}

#[test]
fn sightings_flow_while_every_session_with_postgresql_is_cut_again_and_again() {
    let stack = FullStack::with_beacons(&[table(1)]);
    let daemon = stack.serve();
    let model = while_sightings_flow(&daemon, &[table(1)], |flow| {
        for _ in 0..5 {
            flow.goes_on();
            stack.database.cut_sessions();
        }
        flow.goes_on();
    });
    stack.assert_holds(&model, "cut again and again");
    assert_eq!(daemon.stats().writer_number("postgres", "dead_rows"), 0);
    daemon.stop();
}

#[test]
fn while_postgresql_is_gone_or_hangs_known_beacons_go_on_and_all_is_stored_when_it_is_back() {
    let mut stack = FullStack::wanted(
        Wanted { own_postgres: true, toml: SHORT_WRITES, ..Wanted::default() },
        &[table(1), table(2), table(3)],
    );
    let daemon = stack.serve();
    let mut reporter = Reporter::open(&daemon, &[table(1), table(2), table(3)]);
    let frame = [reporter.strong(&table(1))];
    assert_eq!(reporter.ask(&frame), [("identified", 1)]);

    stack.database.engine.as_mut().unwrap().stop_immediately().unwrap();
    let taken = assert_goes_on_without_postgresql(&daemon, &mut reporter, 97);
    let reasons = assert_ready(&daemon, 503);
    assert!(reasons.contains("postgres"), "{reasons}");
    stack.database.engine.as_mut().unwrap().start_again().unwrap();
    assert_all_is_stored(&stack, &daemon, &mut reporter, &taken, 2);

    stack.database.engine.as_ref().unwrap().suspend().unwrap();
    let taken = assert_goes_on_without_postgresql(&daemon, &mut reporter, 98);
    stack.database.engine.as_ref().unwrap().resume().unwrap();
    assert_all_is_stored(&stack, &daemon, &mut reporter, &taken, 3);
    daemon.stop();
}

/// Frames that are taken while PostgreSQL is away; their answers wait.
const TAKEN_FRAMES: usize = 5;

type Frames = Vec<Vec<crate::model::Sighting>>;

/// What is answered while PostgreSQL is away, and what is taken. Registered tables are in memory; `unheard` is not
/// and was not asked for before.
fn assert_goes_on_without_postgresql(daemon: &Daemon, reporter: &mut Reporter, unheard: u16) -> Frames {
    let frame = [reporter.weak(&table(1))];
    assert_eq!(reporter.ask(&frame), [("low_confidence", 1)]);
    let mut late = reporter.strong(&table(1));
    late.detected_at_us -= 20 * 60 * 1_000_000;
    let started = Instant::now();
    let frame =
        [reporter.strong(&table(unheard)), reporter.strong(&table(99)), reporter.weak(&table(1)), late];
    assert_eq!(reporter.ask(&frame), [("undecided", 3), ("low_confidence", 1)]);
    assert!(started.elapsed() < BOUNDED, "{:?}", started.elapsed());

    let waiting_before = daemon.stats().store("waiting");
    let frame = |reporter: &mut Reporter| (0..4).map(|_| reporter.strong(&table(1))).collect();
    let taken: Frames = (0..TAKEN_FRAMES).map(|_| frame(reporter)).collect();
    taken.iter().for_each(|frame| reporter.send(frame));
    daemon.wait_for_stats("PostgreSQL is away for a while and DynamoDB has everything", |stats| {
        stats.store("waiting") == waiting_before + 20
            && stats.events("waiting") == 0
            && stats
                .trouble_of("postgres")
                .is_some_and(|(kind, seconds)| kind == "unavailable" && seconds >= AWAY_S)
    });
    taken
}

/// What was taken is answered and in every store; what was not decided then is now.
#[track_caller]
fn assert_all_is_stored(
    stack: &FullStack,
    daemon: &Daemon,
    reporter: &mut Reporter,
    taken: &Frames,
    unheard: u16,
) {
    for record in reporter.answers(TAKEN_FRAMES) {
        assert_eq!(record.outcomes(), [("identified", 4)]);
    }
    taken.iter().for_each(|frame| reporter.accept(frame));
    // Nobody asks for anything now: who sends gateways by this page sends none before.
    assert_ready(daemon, 200);
    let decided = wait_until(|| {
        let frame = [reporter.strong(&table(unheard)), reporter.strong(&table(99))];
        let outcomes = reporter.ask(&frame);
        (!outcomes.iter().any(|(outcome, _)| *outcome == "undecided")).then_some(outcomes)
    });
    assert_eq!(decided, Ok(vec![("unknown_beacon", 1), ("identified", 1)]));
    stack.assert_holds(&reporter.model, "PostgreSQL is back");
    let stats = daemon.stats();
    assert_eq!((stats.store("waiting"), stats.events("waiting"), stats.number("in_progress")), (0, 0, 0));
}

#[test]
fn while_dynamodb_is_gone_postgresql_goes_on_and_answers_wait_until_the_events_are_there() {
    let mut stack = FullStack::wanted(Wanted { own_dynamodb: true, ..Wanted::default() }, &[table(1)]);
    let daemon = stack.serve();
    let mut reporter = Reporter::open(&daemon, &[table(1)]);
    let frame = [reporter.strong(&table(1))];
    assert_eq!(reporter.ask(&frame), [("identified", 1)]);

    stack.events.engine.as_mut().unwrap().kill().unwrap();
    let frames: Frames = (0..TAKEN_FRAMES).map(|_| vec![reporter.strong(&table(1))]).collect();
    frames.iter().for_each(|frame| reporter.send(frame));
    let stored = u64::try_from(TAKEN_FRAMES).unwrap() + 1;
    let stats = daemon.wait_for_stats("DynamoDB is away for a while", |stats| {
        stats.store("stored") == stored
            && stats
                .trouble_of("dynamodb")
                .is_some_and(|(kind, seconds)| kind == "unavailable" && seconds >= AWAY_S)
    });
    assert_eq!(stack.database.count("customer_identities"), stored);
    assert_eq!((stats.events("stored"), stats.events("waiting")), (1, stored - 1));
    assert!(assert_ready(&daemon, 503).contains("dynamodb"));
    let said = daemon.stderr.text().matches("cannot be written to").count();
    assert_eq!(said, 1, "said once an outage, not once an attempt: {}", daemon.stderr.text());

    stack.events.engine.as_mut().unwrap().start_again().unwrap();
    for record in reporter.answers(TAKEN_FRAMES) {
        assert_eq!(record.outcomes(), [("identified", 1)]);
    }
    frames.iter().for_each(|frame| reporter.accept(frame));
    stack.assert_holds(&reporter.model, "DynamoDB is back");
    assert_ready(&daemon, 200);
    assert_eq!(daemon.stats().events("stored"), stored);
    daemon.stop();
}
