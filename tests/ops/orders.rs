//! Orders about dead letters: who may give them, and what is answered.

use crate::client::{Operators, Reply};

fn order(operators: &Operators, path: &str, headers: &str, body: &str) -> Reply {
    let length = body.len();
    operators.ask(&format!(
        "POST /api/v1/dead-letters/{path} HTTP/1.1\r\nHost: b\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n{headers}\r\n{body}"
    ))
}

const HEADER: &str = "x-beacond: 1\r\n";

#[test]
fn an_order_is_carried_out_and_answered_as_json() {
    let operators = Operators::start(Vec::new());
    let reply = order(&operators, "replay", HEADER, r#"{"skip": 7}"#);
    let answer: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!((reply.status, answer["replayed"].as_u64()), (200, Some(7)), "{}", reply.body);
}

#[test]
fn an_order_that_fails_says_why() {
    let operators = Operators::start(Vec::new());
    assert_eq!(order(&operators, "replay", HEADER, r#"{"store": "busy"}"#).status, 409);
    let reply = order(&operators, "purge", HEADER, r#"{"before": "?"}"#);
    assert_eq!((reply.status, reply.body.as_str()), (400, "not a time"));
    let reply = order(&operators, "purge", HEADER, "{}");
    assert_eq!((reply.status, reply.body.as_str()), (503, "no disk"));
}

#[test]
fn a_web_page_cannot_order_anything() {
    let operators = Operators::start(Vec::new());
    for headers in ["", "x-beacond: 2\r\n", "x-beacond: 1\r\nOrigin: http://elsewhere\r\n"] {
        let reply = order(&operators, "replay", headers, "{}");
        assert_eq!(reply.status, 403, "{headers}: {}", reply.body);
    }
    assert_eq!(operators.get("/api/v1/dead-letters/replay").status, 403);
}

#[test]
fn an_order_that_cannot_be_understood_is_refused() {
    let operators = Operators::start(Vec::new());
    for body in ["", "{", r#"{"stores": "postgres"}"#, r#"{"skip": -1}"#] {
        let status = order(&operators, "replay", HEADER, body).status;
        assert!((400..500).contains(&status), "{body}: {status}");
    }
    let long = format!("{{\"store\": \"{}\"}}", "x".repeat(5_000));
    assert_eq!(order(&operators, "replay", HEADER, &long).status, 413);
}
