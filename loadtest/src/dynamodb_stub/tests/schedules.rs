//! Throttled, left unprocessed, late.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::scene::{Answer, Scene, no_schedules};
use crate::dynamodb_stub::schedule::Schedules;

fn puts(call: usize, items: usize) -> Value {
    let put = |place| {
        json!({ "PutRequest": { "Item": {
            "CustomerID": { "S": format!("c{call}-{place}") },
            "DetectedAt": { "S": "2026-05-01T12:00:00.000000Z" },
            "Confidence": { "N": "0.88" },
        }}})
    };
    json!({ "RequestItems": { "CustomerEvents": (0..items).map(put).collect::<Vec<_>>() } })
}

fn held(scene: &Scene) -> u64 {
    scene.summary().held["CustomerEvents"]
}

#[test]
fn calls_are_throttled_as_a_whole() {
    let scene = Scene::with(Schedules { throttle: vec!["50%".parse().unwrap()], ..no_schedules() }, 1_000);
    let answers: Vec<Answer> = (0..40).map(|call| scene.ask("BatchWriteItem", &puts(call, 5))).collect();
    let throttled =
        answers.iter().filter(|answer| answer.error() == "ProvisionedThroughputExceededException");
    let throttled = throttled.inspect(|answer| assert_eq!(answer.status, 400)).count();
    assert!((10..30).contains(&throttled), "{throttled}");
    assert_eq!(held(&scene), 5 * (40 - throttled as u64));
    assert_eq!(scene.summary().throttled, throttled as u64);
    assert!(scene.summary().refused.is_empty(), "the schedule refuses nothing");
}

#[test]
fn what_is_left_comes_back_as_it_was_asked_and_the_rest_is_there() {
    let scene = Scene::with(Schedules { unprocessed: vec!["30%".parse().unwrap()], ..no_schedules() }, 1_000);
    let asked = puts(0, 25);
    let answer = scene.ask("BatchWriteItem", &asked).json();
    let left = answer["UnprocessedItems"]["CustomerEvents"].as_array().unwrap();
    assert!((1..20).contains(&left.len()), "{answer}");
    let asked = asked["RequestItems"]["CustomerEvents"].as_array().unwrap();
    assert!(left.iter().all(|request| asked.contains(request)), "{answer}");
    assert_eq!((held(&scene), scene.summary().unprocessed), (25 - left.len() as u64, left.len() as u64));
    for request in left {
        let key = &request["PutRequest"]["Item"];
        let key = json!({ "CustomerID": key["CustomerID"], "DetectedAt": key["DetectedAt"] });
        let fetched = scene.ask("GetItem", &json!({ "TableName": "CustomerEvents", "Key": key }));
        assert_eq!(fetched.json(), json!({}));
    }
}

#[test]
fn deletes_that_are_left_come_back_as_deletes() {
    let scene = Scene::with(Schedules { unprocessed: vec!["99%".parse().unwrap()], ..no_schedules() }, 1_000);
    let delete = |place| {
        let key = json!({ "CustomerID": { "S": format!("c{place}") }, "DetectedAt": { "S": "x" } });
        json!({ "DeleteRequest": { "Key": key } })
    };
    let asked: Vec<_> = (0..25).map(delete).collect();
    // One of a hundred calls of 25 is not throttled as a whole or left as a whole; look for one.
    let left = (0..100).find_map(|_| {
        let answer =
            scene.ask("BatchWriteItem", &json!({ "RequestItems": { "CustomerEvents": asked } })).json();
        answer["UnprocessedItems"]["CustomerEvents"].as_array().cloned()
    });
    assert!(left.unwrap().iter().all(|request| asked.contains(request)));
}

#[test]
fn an_answer_is_as_late_as_was_asked_and_holds_nobody_else_up() {
    let late = Duration::from_secs(1);
    let scene = Scene::with(Schedules { delay: vec!["1s".parse().unwrap()], ..no_schedules() }, 1_000);
    let began = Instant::now();
    std::thread::scope(|threads| {
        for call in 0..8 {
            let scene = &scene;
            threads.spawn(move || assert_eq!(scene.ask("BatchWriteItem", &puts(call, 5)).status, 200));
        }
        scene.ask("ListTables", &json!({}));
        assert!(began.elapsed() < late, "only what is about items is late");
    });
    let took = began.elapsed();
    assert!(late <= took && took < 7 * late, "{took:?}");
}
