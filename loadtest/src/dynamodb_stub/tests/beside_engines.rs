//! The same requests to this endpoint, to dynoxide and to Amazon's DynamoDB Local: they are answered the same.
//!
//! Where the two differ it is dynoxide that was made after the service: Local has words of its own, keeps numbers as they
//! were written, and takes a number where a text must be.

use std::env;

use serde_json::{Value, json};

use super::scene::{Answer, Question, Scene};

const TIME: &str = "2026-05-01T12:00:00.000000Z";

/// What is compared of two answers.
#[derive(Clone, Copy, PartialEq)]
enum Same {
    /// Status, error and, beside dynoxide, message.
    Message,
    /// Status and error: the words differ.
    Error,
    /// Status and what is told.
    Body,
    /// The same, beside dynoxide alone.
    BodyOfDynoxide,
}

const DYNOXIDE: &str = "dynoxide";

struct Step {
    operation: &'static str,
    body: String,
    same: Same,
}

fn step(same: Same, operation: &'static str, body: &Value) -> Step {
    Step { operation, body: body.to_string(), same }
}

/// The engines there are, by name.
fn engines() -> Vec<(&'static str, String)> {
    let engine = |name, variable| {
        let url = env::var(variable).ok().filter(|value: &String| !value.is_empty());
        if url.is_none() {
            println!("SKIPPED beside {name}: {variable} is not set");
        }
        url.map(|url| (name, url))
    };
    let engines =
        [(DYNOXIDE, "BEACOND_DYNAMODB_ENDPOINT"), ("DynamoDB Local", "BEACOND_DYNAMODB_LOCAL_ENDPOINT")];
    engines.into_iter().filter_map(|(name, variable)| engine(name, variable)).collect()
}

fn ask(url: &str, step: &Step) -> Answer {
    Question::new(step.operation, step.body.clone()).ask(url)
}

fn told(answer: &Answer, same: Same, engine: &str) -> Value {
    let is_dynoxide = engine == DYNOXIDE;
    if same == Same::BodyOfDynoxide && !is_dynoxide {
        return Value::Null;
    }
    let message = if same == Same::Message && is_dynoxide { answer.message() } else { String::new() };
    let has_body = matches!(same, Same::Body | Same::BodyOfDynoxide) && answer.status == 200;
    let body = if has_body { answer.json() } else { Value::Null };
    json!({ "status": answer.status, "error": answer.error(), "message": message, "body": body })
}

fn item(customer: &str, at: &str) -> Value {
    json!({
        "CustomerID": { "S": customer }, "DetectedAt": { "S": at }, "Location": { "S": "Table 1" },
        "Confidence": { "N": "0.8807971" }, "BeaconID": { "S": "0db9ba02-25ee-562c-9dee-7afcb156cfba" },
        "ExpiresAt": { "N": "1809172800" },
    })
}

fn with(mut item: Value, name: &str, value: Value) -> Value {
    item[name] = value;
    item
}

fn without(mut item: Value, name: &str) -> Value {
    item.as_object_mut().unwrap().remove(name);
    item
}

fn batch(table: &str, items: &[Value]) -> Value {
    let puts: Vec<_> = items.iter().map(|item| json!({ "PutRequest": { "Item": item } })).collect();
    json!({ "RequestItems": { table: puts } })
}

fn make_table(table: &str) -> Value {
    let key = |name: &str, role: &str| json!({ "AttributeName": name, "KeyType": role });
    let text = |name: &str| json!({ "AttributeName": name, "AttributeType": "S" });
    let units = json!({ "ReadCapacityUnits": 10, "WriteCapacityUnits": 10 });
    json!({
        "TableName": table,
        "AttributeDefinitions": [text("CustomerID"), text("DetectedAt")],
        "KeySchema": [key("CustomerID", "HASH"), key("DetectedAt", "RANGE")],
        "GlobalSecondaryIndexes": [{
            "IndexName": "DetectedAtIndex", "KeySchema": [key("DetectedAt", "HASH")],
            "Projection": { "ProjectionType": "INCLUDE", "NonKeyAttributes": ["Location"] },
            "ProvisionedThroughput": units,
        }],
        "ProvisionedThroughput": units,
    })
}

/// Everything that can be wrong with a table's requests.
fn table_steps(table: &str) -> Vec<Step> {
    let named = json!({ "TableName": table });
    let ttl = |enabled: bool, name: &str| json!({ "TableName": table, "TimeToLiveSpecification": { "Enabled": enabled, "AttributeName": name } });
    vec![
        step(Same::Message, "DescribeTable", &named),
        step(Same::Error, "DescribeTable", &json!({})),
        step(Same::Error, "DescribeTable", &json!({ "TableName": "x" })),
        step(Same::Error, "CreateTable", &with(make_table(table), "KeySchema", json!([]))),
        step(Same::Error, "CreateTable", &with(make_table(table), "AttributeDefinitions", json!([]))),
        step(Same::Error, "CreateTable", &make_table(table)),
        step(Same::Error, "CreateTable", &make_table(table)),
        step(Same::Body, "DescribeTimeToLive", &named),
        step(Same::Error, "UpdateTimeToLive", &ttl(true, "ExpiresAt")),
        step(Same::Body, "DescribeTimeToLive", &named),
        step(Same::Error, "UpdateTimeToLive", &ttl(true, "Other")),
    ]
}

/// Everything that can be wrong with a write.
fn write_steps(table: &str) -> Vec<Step> {
    let good = item("c", TIME);
    let one = |item: Value| batch(table, &[item]);
    let number = |text: &str| one(with(item("c", TIME), "Confidence", json!({ "N": text })));
    let many: Vec<_> = (0..26).map(|place| item(&format!("c{place}"), TIME)).collect();
    let put = |item: Value| json!({ "TableName": table, "Item": item });
    let large = with(good.clone(), "Padding", json!({ "S": "x".repeat(410_000) }));
    let delete = |key: Value| json!({ "RequestItems": { table: [{ "DeleteRequest": { "Key": key } }] } });
    let key = json!({ "CustomerID": { "S": "c" }, "DetectedAt": { "S": TIME } });
    vec![
        step(Same::Body, "BatchWriteItem", &batch(table, &many[..25])),
        step(Same::Error, "BatchWriteItem", &batch(table, &many)),
        step(Same::Error, "BatchWriteItem", &batch(table, &[])),
        step(Same::Error, "BatchWriteItem", &json!({ "RequestItems": {} })),
        step(Same::Error, "BatchWriteItem", &json!({})),
        step(Same::Message, "BatchWriteItem", &batch("NoSuchTable", &many[..1])),
        step(Same::Message, "BatchWriteItem", &batch(table, &[good.clone(), good.clone()])),
        step(Same::Error, "BatchWriteItem", &one(without(good.clone(), "DetectedAt"))),
        step(Same::Error, "BatchWriteItem", &one(without(good.clone(), "CustomerID"))),
        step(Same::Message, "BatchWriteItem", &one(with(good.clone(), "DetectedAt", json!({ "N": "1" })))),
        step(Same::Error, "BatchWriteItem", &one(with(good.clone(), "CustomerID", json!({ "S": "" })))),
        step(
            Same::Error,
            "BatchWriteItem",
            &one(with(good.clone(), "CustomerID", json!({ "S": "x".repeat(2_049) }))),
        ),
        step(
            Same::Error,
            "BatchWriteItem",
            &one(with(good.clone(), "DetectedAt", json!({ "S": "x".repeat(1_025) }))),
        ),
        step(Same::Body, "BatchWriteItem", &one(with(good.clone(), "Location", json!({ "S": "" })))),
        step(Same::Error, "BatchWriteItem", &one(with(good.clone(), "Location", json!({})))),
        step(
            Same::Error,
            "BatchWriteItem",
            &one(with(good.clone(), "Location", json!({ "S": "a", "N": "1" }))),
        ),
        step(Same::BodyOfDynoxide, "BatchWriteItem", &one(with(good.clone(), "Location", json!({ "S": 5 })))),
        step(Same::Error, "BatchWriteItem", &one(with(good.clone(), "Location", json!({ "SS": [] })))),
        step(
            Same::Error,
            "BatchWriteItem",
            &one(with(good.clone(), "Location", json!({ "SS": ["a", "a"] }))),
        ),
        step(Same::Message, "BatchWriteItem", &number("abc")),
        step(Same::Error, "BatchWriteItem", &number("")),
        step(Same::Message, "BatchWriteItem", &number("1e126")),
        step(Same::Message, "BatchWriteItem", &number("1e-131")),
        step(Same::Message, "BatchWriteItem", &number("123456789012345678901234567890123456789")),
        step(Same::Body, "BatchWriteItem", &number("12345678901234567890123456789012345678")),
        step(Same::Message, "BatchWriteItem", &one(large.clone())),
        step(Same::Error, "BatchWriteItem", &json!({ "RequestItems": { table: [{}] } })),
        step(Same::Body, "BatchWriteItem", &delete(key.clone())),
        step(Same::Message, "BatchWriteItem", &delete(json!({ "CustomerID": { "S": "c" } }))),
        step(Same::Message, "BatchWriteItem", &delete(good.clone())),
        step(Same::Body, "PutItem", &put(good.clone())),
        step(Same::Message, "PutItem", &put(without(good.clone(), "CustomerID"))),
        step(Same::Message, "PutItem", &put(with(good.clone(), "CustomerID", json!({ "N": "1" })))),
        step(Same::Message, "PutItem", &put(with(good.clone(), "DetectedAt", json!({ "S": "" })))),
        step(Same::Error, "PutItem", &put(large)),
        step(
            Same::Message,
            "PutItem",
            &with(put(good), "ConditionExpression", json!("attribute_not_exists(CustomerID)")),
        ),
        step(Same::Body, "DeleteItem", &json!({ "TableName": table, "Key": key })),
    ]
}

/// Reads, of what is there and of what cannot be.
fn read_steps(table: &str) -> Vec<Step> {
    let items: Vec<_> =
        (0..20).map(|second| item("q", &TIME.replace("00.000", &format!("{second:02}.000")))).collect();
    let typed = with(
        with(
            item("typed", "suffixes"),
            "All",
            json!({ "M": { "l": { "L": [{ "BOOL": true }, { "NULL": true }] }, "b": { "B": "AAEC" } } }),
        ),
        "Numbers",
        json!({ "L": [{ "N": "1.50" }, { "N": "-0" }, { "N": "1e3" }, { "N": "0.00012" }, { "N": "007" }] }),
    );
    let query = |condition: &str, values: Value, more: Value| {
        let mut query = json!({
            "TableName": table, "KeyConditionExpression": condition, "ExpressionAttributeValues": values,
        });
        query.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        query
    };
    let id = || json!({ ":id": { "S": "q" } });
    let two =
        |one: &str, other: &str| json!({ ":id": { "S": "q" }, ":a": { "S": one }, ":b": { "S": other } });
    let one = |text: &str| json!({ ":id": { "S": "q" }, ":a": { "S": text } });
    let (early, late) = ("2026-05-01T12:00:03.000000Z", "2026-05-01T12:00:09.000000Z");
    let key =
        |customer: &str, at: &str| json!({ "CustomerID": { "S": customer }, "DetectedAt": { "S": at } });
    let get = |key: Value| json!({ "TableName": table, "Key": key });
    vec![
        step(Same::Body, "BatchWriteItem", &batch(table, &items)),
        step(Same::Body, "PutItem", &json!({ "TableName": table, "Item": typed })),
        step(Same::BodyOfDynoxide, "GetItem", &get(key("typed", "suffixes"))),
        step(Same::Body, "GetItem", &get(key("q", TIME))),
        step(Same::Body, "GetItem", &get(key("nobody", TIME))),
        step(Same::Message, "GetItem", &get(json!({ "CustomerID": { "S": "q" } }))),
        step(
            Same::Message,
            "GetItem",
            &get(json!({ "CustomerID": { "N": "1" }, "DetectedAt": { "S": TIME } })),
        ),
        step(Same::Body, "Query", &query("CustomerID = :id", id(), json!({ "ConsistentRead": true }))),
        step(Same::Body, "Query", &query("CustomerID = :id", id(), json!({ "Select": "COUNT" }))),
        step(Same::Body, "Query", &query("CustomerID = :id", id(), json!({ "Limit": 20 }))),
        step(
            Same::Body,
            "Query",
            &query("CustomerID = :id", id(), json!({ "Limit": 5, "ScanIndexForward": false })),
        ),
        step(
            Same::Body,
            "Query",
            &query("CustomerID = :id", id(), json!({ "Limit": 5, "ExclusiveStartKey": key("q", early) })),
        ),
        step(
            Same::Body,
            "Query",
            &query("CustomerID = :id AND DetectedAt BETWEEN :a AND :b", two(early, late), json!({})),
        ),
        step(Same::Body, "Query", &query("CustomerID = :id AND DetectedAt > :a", one(early), json!({}))),
        step(Same::Body, "Query", &query("CustomerID = :id AND DetectedAt <= :a", one(early), json!({}))),
        step(
            Same::Body,
            "Query",
            &query("CustomerID = :id AND begins_with(DetectedAt, :a)", one("2026-05-01T12:00:1"), json!({})),
        ),
        step(Same::Body, "Query", &query("CustomerID = :id", json!({ ":id": { "S": "nobody" } }), json!({}))),
        step(
            Same::Body,
            "Query",
            &query(
                "DetectedAt = :a",
                json!({ ":a": { "S": early } }),
                json!({ "IndexName": "DetectedAtIndex" }),
            ),
        ),
        step(Same::Error, "Query", &query("DetectedAt = :a", json!({ ":a": { "S": early } }), json!({}))),
        step(
            Same::Error,
            "Query",
            &query("CustomerID = :id AND DetectedAt BETWEEN :a AND :b", two(late, early), json!({})),
        ),
        step(Same::Error, "Query", &query("CustomerID > :id", id(), json!({}))),
        step(Same::Error, "Query", &query("CustomerID = :id", one("x"), json!({}))),
        step(Same::Error, "Query", &query("CustomerID = :no", id(), json!({}))),
        step(Same::Error, "Query", &query("CustomerID ==", id(), json!({}))),
        step(Same::Error, "Query", &query("CustomerID = :id", id(), json!({ "Limit": 0 }))),
        step(
            Same::Error,
            "Query",
            &query("CustomerID = :id", id(), json!({ "ExclusiveStartKey": key("other", early) })),
        ),
        step(Same::Error, "Query", &query("CustomerID = :id", id(), json!({ "ExclusiveStartKey": {} }))),
        step(Same::Error, "Query", &query("CustomerID = :id", id(), json!({ "IndexName": "NoIndex" }))),
        step(
            Same::Error,
            "Query",
            &query(
                "DetectedAt = :id",
                id(),
                json!({ "IndexName": "DetectedAtIndex", "ConsistentRead": true }),
            ),
        ),
        step(Same::Error, "Query", &json!({ "TableName": table })),
        step(Same::Error, "Scan", &json!({ "TableName": table, "Segment": 1 })),
        step(Same::Error, "Scan", &json!({ "TableName": table, "Segment": 2, "TotalSegments": 2 })),
        step(Same::Body, "Scan", &json!({ "TableName": table, "Select": "COUNT" })),
    ]
}

#[test]
fn requests_right_and_wrong_are_answered_as_engines_answer_them() {
    let scene = Scene::start();
    let table = format!("StubCompared-{}", std::process::id());
    let steps: Vec<Step> =
        table_steps(&table).into_iter().chain(write_steps(&table)).chain(read_steps(&table)).collect();
    let here: Vec<Answer> = steps.iter().map(|step| ask(&scene.url, step)).collect();
    let mut differences = Vec::new();
    for (engine, url) in engines() {
        for (step, here) in steps.iter().zip(&here) {
            let there = ask(&url, step);
            if told(here, step.same, engine) != told(&there, step.same, engine) {
                let body: String = step.body.chars().take(300).collect();
                differences.push(format!(
                    "{} {body}\n  here:  {} {}\n  {engine}: {} {}",
                    step.operation,
                    here.status,
                    String::from_utf8_lossy(&here.body),
                    there.status,
                    String::from_utf8_lossy(&there.body)
                ));
            }
        }
        Question::new("DeleteTable", json!({ "TableName": table }).to_string()).ask(&url);
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}
