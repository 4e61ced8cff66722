//! Throttling, unprocessed items, broken answers: every item arrives, attempts end, calls in flight fall and rise.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use beacond::ports::{BatchWriter, Block, Delivery, WriteError};
use beacond::stores::dynamodb::{DynamoDbSettings, DynamoDbWriter};

use crate::front::{Front, Key, Turn};
use crate::scene::{Scene, on_each_engine, visits};

const THROTTLED: Turn = Turn::Throttle("ProvisionedThroughputExceededException");

fn through(scene: &Scene, front: &Front) -> DynamoDbSettings {
    DynamoDbSettings { endpoint: Some(front.endpoint()), ..scene.settings.clone() }
}

fn on_each_front(test: impl Fn(&Scene, &Front)) {
    on_each_engine(|scene| test(scene, &Front::start(scene.settings.endpoint.as_ref().unwrap())));
}

fn keys(batch: &[Arc<Block>]) -> HashSet<Key> {
    let identities = batch.iter().flat_map(|block| &block.identities);
    identities.map(|it| (it.customer_id.as_str().to_owned(), it.detected_at.to_string())).collect()
}

fn counts(keys: impl IntoIterator<Item = Key>) -> HashMap<Key, usize> {
    let mut counts = HashMap::new();
    for key in keys {
        *counts.entry(key).or_default() += 1;
    }
    counts
}

#[test]
fn every_item_arrives_exactly_once_while_calls_are_throttled_and_items_come_back() {
    on_each_front(|scene, front| {
        front.follow(|asked| match asked.number % 7 {
            1 => THROTTLED,
            2 => Turn::Leave(asked.keys.len() / 2),
            3 => Turn::Leave(asked.keys.len()),
            4 => Turn::Break,
            5 => Turn::Throttle("ThrottlingException"),
            _ => Turn::Pass,
        });
        let batch = visits(1_000);
        let settings = DynamoDbSettings { attempts: 40, ..through(scene, front) };
        let mut writer = DynamoDbWriter::new(settings).unwrap();
        writer.write(&batch, Delivery::First).unwrap();
        assert_eq!(scene.events().into_keys().collect::<HashSet<_>>(), keys(&batch));
        let passed = counts(front.passed());
        assert_eq!(passed.len(), 1_000);
        assert!(passed.values().all(|count| *count == 1), "an item was written twice");
        let health = writer.health();
        assert_eq!(health.stored_items(), 1_000);
        assert!(health.throttled_calls() > 0 && health.unprocessed_items() > 0 && health.failed_calls() > 0);
        for asked in front.asked() {
            assert!(asked.keys.len() <= 25);
            assert_eq!(asked.keys.iter().collect::<HashSet<_>>().len(), asked.keys.len());
        }
    });
}

#[test]
fn calls_in_flight_fall_while_the_store_pushes_back_and_rise_again() {
    on_each_front(|scene, front| {
        let mut writer = DynamoDbWriter::new(through(scene, front)).unwrap();
        let health = Arc::clone(writer.health());
        let limits = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&limits);
        front.follow(move |asked| {
            seen.lock().unwrap().push((health.call_limit(), health.calls_in_flight()));
            if (100..130).contains(&asked.number) { THROTTLED } else { Turn::Late(Duration::from_millis(3)) }
        });
        let batch = visits(10_000);
        writer.write(&batch, Delivery::First).unwrap();
        assert_eq!(scene.events().len(), 10_000);
        let limits = limits.lock().unwrap();
        let most = |range: &[(u64, u64)]| range.iter().map(|(limit, _)| *limit).max().unwrap();
        let least = |range: &[(u64, u64)]| range.iter().map(|(limit, _)| *limit).min().unwrap();
        assert_eq!(limits[0].0, 4);
        let (before, during, after) = (most(&limits[..100]), least(&limits[100..150]), most(&limits[150..]));
        assert!(before >= 8, "it rose to {before} only");
        assert!(during <= before / 2, "from {before} it fell to {during} only");
        assert!(after >= during + 4, "from {during} it rose to {after} only");
        assert!(limits.iter().all(|(limit, in_flight)| in_flight <= limit || *in_flight <= before));
        assert_eq!(writer.health().call_limit(), writer.health().call_limit().clamp(1, 16));
    });
}

#[test]
fn a_number_of_calls_set_by_hand_is_kept() {
    on_each_front(|scene, front| {
        front.follow(|asked| if asked.number % 3 == 0 { THROTTLED } else { Turn::Pass });
        let settings = DynamoDbSettings { calls_in_flight: Some(3), attempts: 40, ..through(scene, front) };
        let mut writer = DynamoDbWriter::new(settings).unwrap();
        writer.write(&visits(500), Delivery::First).unwrap();
        assert_eq!(writer.health().call_limit(), 3);
        assert_eq!(scene.events().len(), 500);
    });
}

#[test]
fn attempts_end_and_what_is_left_is_an_error_and_then_alone_sent_again() {
    on_each_front(|scene, front| {
        let unlucky = |key: &Key| key.0 == "customer-24";
        front.follow(
            move |asked| if asked.keys.last().is_some_and(unlucky) { Turn::Leave(1) } else { Turn::Pass },
        );
        let settings = DynamoDbSettings { attempts: 3, ..through(scene, front) };
        let mut writer = DynamoDbWriter::new(settings).unwrap();
        let batch = visits(25);
        let error = writer.write(&batch, Delivery::First).unwrap_err();
        let WriteError::Unavailable(reason) = &error else { panic!("{error:?}") };
        assert!(!reason.contains("customer-"), "{reason}");
        assert_eq!(scene.events().len(), 24);
        let asked: Vec<_> = front.asked().iter().map(|asked| asked.keys.len()).collect();
        assert_eq!(asked, [25, 1, 1]);
        front.follow(|_| Turn::Pass);
        writer.write(&batch, Delivery::Again).unwrap();
        assert_eq!(front.asked().last().unwrap().keys.len(), 1, "what is stored is not sent again");
        assert_eq!(scene.events().len(), 25);
    });
}

#[test]
fn a_store_that_throttles_everything_is_not_asked_for_ever() {
    on_each_front(|scene, front| {
        for error in ["ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException"]
        {
            let before = front.asked().len();
            front.follow(move |_| Turn::Throttle(error));
            let settings = DynamoDbSettings { attempts: 3, ..through(scene, front) };
            let mut writer = DynamoDbWriter::new(settings).unwrap();
            let result = writer.write(&visits(200), Delivery::First);
            assert!(matches!(result, Err(WriteError::Unavailable(_))), "{result:?}");
            let sent = counts(front.asked()[before..].iter().flat_map(|asked| asked.keys.clone()));
            assert!(sent.values().all(|count| *count <= 3));
            assert_eq!(writer.health().call_limit(), 1);
        }
        assert_eq!(scene.events().len(), 0);
    });
}

#[test]
fn answers_that_are_cut_off_after_the_write_make_no_second_item() {
    on_each_front(|scene, front| {
        front.follow(|asked| if asked.number % 2 == 0 { Turn::CutAfterWrite } else { Turn::Pass });
        let settings = DynamoDbSettings { attempts: 40, ..through(scene, front) };
        let mut writer = DynamoDbWriter::new(settings).unwrap();
        let batch = visits(200);
        writer.write(&batch, Delivery::First).unwrap();
        assert_eq!(scene.events().into_keys().collect::<HashSet<_>>(), keys(&batch));
        assert!(front.passed().len() > 200, "something was sent twice");
    });
}

#[test]
fn a_store_that_never_answers_is_an_error_within_the_time_allowed() {
    on_each_front(|scene, front| {
        front.follow(|_| Turn::Hang);
        let settings = DynamoDbSettings {
            call_timeout: Duration::from_millis(200),
            write_timeout: Duration::from_millis(100),
            attempts: 1_000,
            ..through(scene, front)
        };
        let mut writer = DynamoDbWriter::new(settings).unwrap();
        let began_at = Instant::now();
        let result = writer.write(&visits(200), Delivery::First);
        assert!(matches!(result, Err(WriteError::Unavailable(_))), "{result:?}");
        assert!(began_at.elapsed() < Duration::from_secs(20), "{:?}", began_at.elapsed());
        assert_eq!(writer.health().calls_in_flight(), 0);
        front.follow(|_| Turn::Pass);
        let settings = DynamoDbSettings { call_timeout: Duration::from_secs(10), ..through(scene, front) };
        DynamoDbWriter::new(settings).unwrap().write(&visits(200), Delivery::Again).unwrap();
        assert_eq!(scene.events().len(), 200);
    });
}

#[test]
fn a_write_goes_on_from_where_the_last_one_ran_out_of_time() {
    on_each_front(|scene, front| {
        // A table that takes one item a call, and a write that has time for a few calls.
        front.follow(|asked| Turn::Leave(asked.keys.len() - 1));
        let settings = DynamoDbSettings {
            write_timeout: Duration::from_millis(300),
            attempts: 1_000,
            ..through(scene, front)
        };
        let mut writer = DynamoDbWriter::new(settings).unwrap();
        let batch = visits(60);
        let mut delivery = Delivery::First;
        let mut writes = 1;
        while let Err(error) = writer.write(&batch, delivery) {
            assert!(matches!(error, WriteError::Unavailable(_)), "{error}");
            delivery = Delivery::Again;
            writes += 1;
            assert!(writes < 200, "it does not come to an end");
        }
        assert!(writes > 1, "the table was too fast for this test");
        assert_eq!(scene.events().len(), 60);
        assert!(counts(front.passed()).values().all(|count| *count == 1));
    });
}
