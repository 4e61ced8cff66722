//! What the SDK asks for and gets.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, DeleteRequest, PutRequest, Select, WriteRequest};

use super::scene::{Question, Scene, no_schedules};
use crate::dynamodb_stub::ARN_PREFIX;

type Item = HashMap<String, AttributeValue>;

fn item(customer: &str, at: &str) -> Item {
    let text = |text: &str| AttributeValue::S(text.into());
    Item::from([
        ("CustomerID".to_owned(), text(customer)),
        ("DetectedAt".to_owned(), text(at)),
        ("BeaconID".to_owned(), text("0db9ba02-25ee-562c-9dee-7afcb156cfba")),
        ("Confidence".to_owned(), AttributeValue::N("0.8807971".into())),
        ("ExpiresAt".to_owned(), AttributeValue::N("1809172800".into())),
        ("Location".to_owned(), text("Table \"3\"\n")),
    ])
}

fn key(item: &Item) -> Item {
    item.iter()
        .filter(|(name, _)| ["CustomerID", "DetectedAt"].contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn time(second: usize) -> String {
    format!("2026-05-01T12:{:02}:{:02}.000000Z", second / 60, second % 60)
}

async fn put_all(scene: &Scene, items: &[Item]) {
    let client = scene.client();
    for part in items.chunks(25) {
        let put = |item: &Item| {
            WriteRequest::builder()
                .put_request(PutRequest::builder().set_item(Some(item.clone())).build().unwrap())
                .build()
        };
        let call = client.batch_write_item().request_items("CustomerEvents", part.iter().map(put).collect());
        assert_eq!(call.send().await.unwrap().unprocessed_items, Some(HashMap::new()));
    }
}

#[tokio::test]
async fn items_are_put_fetched_and_deleted() {
    let scene = Scene::start();
    let client = scene.client();
    let (one, other) = (item("c", &time(0)), item("c", &time(1)));
    put_all(&scene, &[one.clone(), other.clone()]).await;
    let fetch = |item: &Item| client.get_item().table_name("CustomerEvents").set_key(Some(key(item))).send();
    assert_eq!(fetch(&one).await.unwrap().item, Some(one.clone()));
    let delete = DeleteRequest::builder().set_key(Some(key(&one))).build().unwrap();
    let requests = vec![WriteRequest::builder().delete_request(delete).build()];
    client.batch_write_item().request_items("CustomerEvents", requests).send().await.unwrap();
    assert_eq!(fetch(&one).await.unwrap().item, None);
    client.delete_item().table_name("CustomerEvents").set_key(Some(key(&other))).send().await.unwrap();
    assert_eq!(fetch(&other).await.unwrap().item, None);

    let put = || client.put_item().table_name("CustomerEvents").set_item(Some(one.clone()));
    put()
        .condition_expression("attribute_not_exists(#key)")
        .expression_attribute_names("#key", "CustomerID")
        .send()
        .await
        .unwrap();
    let again = put().condition_expression("attribute_not_exists(CustomerID)").send().await;
    assert!(again.unwrap_err().into_service_error().is_conditional_check_failed_exception());
    put().send().await.unwrap();
    let summary = scene.summary();
    assert_eq!((summary.items_put, summary.items_deleted, summary.put_again), (4, 2, 1));
    assert_eq!(summary.refused, [("ConditionalCheckFailedException", 1)].into());
}

#[tokio::test]
async fn a_query_reads_a_partition_in_order_and_in_pages() {
    let scene = Scene::start();
    let client = scene.client();
    let items: Vec<Item> = (0..30).map(|second| item("c", &time(second))).collect();
    put_all(&scene, &items).await;
    put_all(&scene, &[item("other", &time(0))]).await;
    let text = |text: &str| AttributeValue::S(text.into());
    let query = |condition: &str| {
        client
            .query()
            .table_name("CustomerEvents")
            .key_condition_expression(condition)
            .expression_attribute_values(":id", text("c"))
            .consistent_read(true)
    };
    assert_eq!(query("CustomerID = :id").send().await.unwrap().items(), items);
    let between = query("CustomerID = :id AND DetectedAt BETWEEN :from AND :to")
        .expression_attribute_values(":from", text(&time(3)))
        .expression_attribute_values(":to", text(&time(5)));
    assert_eq!(between.send().await.unwrap().items(), &items[3..=5]);
    let begins = query("CustomerID = :id AND begins_with(#at, :begin)")
        .expression_attribute_names("#at", "DetectedAt")
        .expression_attribute_values(":begin", text("2026-05-01T12:00:1"));
    assert_eq!(begins.send().await.unwrap().items(), &items[10..20]);
    for (sign, range) in [("=", 7..8), ("<", 0..7), ("<=", 0..8), (">", 8..30), (">=", 7..30)] {
        let found = query(&format!("CustomerID = :id AND DetectedAt {sign} :at"))
            .expression_attribute_values(":at", text(&time(7)));
        assert_eq!(found.send().await.unwrap().items(), &items[range], "{sign}");
    }
    let backwards = query("CustomerID = :id").scan_index_forward(false).limit(7);
    let pages = backwards.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await.unwrap();
    assert_eq!(pages, items.iter().rev().cloned().collect::<Vec<_>>());
    let counted = query("CustomerID = :id").select(Select::Count).send().await.unwrap();
    assert_eq!((counted.count(), counted.items), (30, None));
    let projected =
        query("CustomerID = :id").projection_expression("DetectedAt").limit(1).send().await.unwrap();
    assert_eq!(projected.items(), [Item::from([("DetectedAt".to_owned(), text(&time(0)))])]);
}

#[tokio::test]
async fn the_index_by_time_has_what_it_projects() {
    let scene = Scene::start();
    let items: Vec<Item> = (0..60).map(|number| item(&format!("c{number}"), &time(number % 2))).collect();
    put_all(&scene, &items).await;
    let query = scene
        .client()
        .query()
        .table_name("CustomerEvents")
        .index_name("DetectedAtIndex")
        .key_condition_expression("DetectedAt = :at")
        .expression_attribute_values(":at", AttributeValue::S(time(1)))
        .limit(7);
    let found = query.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await.unwrap();
    assert_eq!(found.len(), 30);
    let names = |item: &Item| -> Vec<String> {
        let mut names: Vec<_> = item.keys().cloned().collect();
        names.sort();
        names
    };
    assert!(found.iter().all(|item| names(item) == ["CustomerID", "DetectedAt", "Location"]), "{found:?}");
}

#[tokio::test]
async fn a_scan_in_segments_and_pages_reads_everything_once() {
    let scene = Scene::start();
    let client = scene.client();
    let items: Vec<Item> =
        (0..1_000).map(|number| item(&format!("c{}", number / 3), &time(number))).collect();
    put_all(&scene, &items).await;
    for (segments, limit) in [(1, 1_000), (1, 333), (7, 17), (200, 5)] {
        let mut found: HashMap<(String, String), Item> = HashMap::new();
        for segment in 0..segments {
            let scan = client
                .scan()
                .table_name("CustomerEvents")
                .segment(segment)
                .total_segments(segments)
                .limit(limit);
            let mut pages = scan.into_paginator().items().send();
            while let Some(item) = pages.next().await {
                let item = item.unwrap();
                let text = |name: &str| item[name].as_s().unwrap().clone();
                assert!(found.insert((text("CustomerID"), text("DetectedAt")), item).is_none());
            }
        }
        assert_eq!(found.len(), 1_000);
        assert!(items.iter().all(|item| found.values().any(|other| other == item)));
    }
    // More than a megabyte is never one page.
    let large: Vec<Item> = (0..6)
        .map(|number| {
            let mut large = item("large", &time(number));
            large.insert("Padding".into(), AttributeValue::S("x".repeat(300_000)));
            large
        })
        .collect();
    put_all(&scene, &large).await;
    let first = client.scan().table_name("CustomerEvents").send().await.unwrap();
    assert!(first.last_evaluated_key.is_some());
}

#[tokio::test]
async fn a_table_says_that_it_is_the_stubs() {
    let scene = Scene::start();
    let client = scene.client();
    let described = client.describe_table().table_name("CustomerEvents").send().await.unwrap().table.unwrap();
    assert_eq!(described.table_arn(), Some(format!("{ARN_PREFIX}CustomerEvents").as_str()));
    let answer = scene.ask("ListTables", &serde_json::json!({}));
    assert!(answer.head.contains("server: loadtest-dynamodb-stub/"), "{}", answer.head);
    assert_eq!(answer.json()["TableNames"], serde_json::json!(["CustomerEvents"]));
    let checksum = format!("x-amz-crc32: {}\r\n", crc32fast::hash(&answer.body));
    assert!(
        answer.head.contains(&checksum) && answer.head.contains("x-amzn-requestid: stub"),
        "{}",
        answer.head
    );
}

#[tokio::test]
async fn a_full_stub_refuses_writes_by_name() {
    let scene = Scene::with(no_schedules(), 30);
    let items: Vec<Item> = (0..30).map(|second| item("c", &time(second))).collect();
    put_all(&scene, &items).await;
    let put = scene
        .client()
        .put_item()
        .table_name("CustomerEvents")
        .set_item(Some(item("d", &time(0))))
        .send()
        .await;
    let error = put.unwrap_err().into_service_error();
    assert_eq!(error.meta().code(), Some("StubFullException"), "{error:?}");
    assert!(error.meta().message().unwrap().contains("--max-items"));
    assert_eq!(scene.summary().held["CustomerEvents"], 30);
}

#[test]
fn what_is_no_request_of_the_protocol_is_refused() {
    let scene = Scene::start();
    let list = || Question::new("ListTables", "{}");
    let ask = |question: Question| {
        let answer = question.ask(&scene.url);
        (answer.status, answer.error())
    };
    let refused = |name: &str| (400, name.to_owned());
    assert_eq!(ask(list()), (200, String::new()));
    assert_eq!(ask(list().without("x-amz-target")), refused("UnknownOperationException"));
    assert_eq!(ask(Question::new("UpdateItem", "{}")), refused("UnknownOperationException"));
    assert_eq!(ask(list().without("authorization")), refused("MissingAuthenticationTokenException"));
    assert_eq!(ask(list().without("x-amz-date")), refused("IncompleteSignatureException"));
    for body in [&b"{"[..], b"", b"[]", b"{\"Limit\":\"one\"}", b"{\"a\":\"\xff\"}"] {
        assert_eq!(ask(Question::new("ListTables", body)), refused("SerializationException"), "{body:?}");
    }
    let huge = list().with("content-length", "16777217");
    assert_eq!(ask(huge), (413, "RequestEntityTooLarge".to_owned()));
    let mut health = list();
    health.line = "GET / HTTP/1.1".into();
    assert_eq!(health.with("content-length", "0").without("x-amz-target").ask(&scene.url).status, 200);
    // What the counters have counted is what was refused.
    assert_eq!(scene.summary().refused.values().sum::<u64>(), 10);
}
