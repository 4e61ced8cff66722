//! Every page but the metrics: status, shape, and what is answered to odd requests.

use std::time::Duration;

use base64::Engine as _;
use beacond::latency::Stage;
use beacond::ops::Reason;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use serde_json::Value;

use crate::client::Operators;

#[test]
fn process_that_answers_is_live() {
    let operators = Operators::start(Vec::new());
    let reply = operators.get("/live");
    assert_eq!((reply.status, reply.body.as_str()), (200, "live\n"));
}

#[test]
fn ready_is_a_word_until_there_is_a_reason_and_then_a_line_each() {
    let operators = Operators::start(Vec::new());
    let reply = operators.get("/ready");
    assert_eq!((reply.status, reply.body.as_str()), (200, "ready\n"));
    *operators.reasons.lock().unwrap() = vec![
        Reason { code: "record_trouble", words: "postgres is gone\nfor long".into() },
        Reason { code: "stopping", words: "told to stop".into() },
    ];
    let reply = operators.get("/ready");
    let lines = "record_trouble: postgres is gone for long\nstopping: told to stop\n";
    assert_eq!((reply.status, reply.body.as_str()), (503, lines));
    assert_eq!(operators.get("/live").status, 200, "live is another question");
    operators.reasons.lock().unwrap().clear();
    assert_eq!(operators.get("/ready").status, 200);
}

#[test]
fn ready_is_json_for_whoever_accepts_it() {
    let operators = Operators::start(Vec::new());
    let ask = || {
        let head =
            "GET /ready HTTP/1.1\r\nHost: b\r\nAccept: Application/JSON;q=0.9\r\nConnection: close\r\n\r\n";
        let reply = operators.ask(head);
        (reply.status, serde_json::from_str::<Value>(&reply.body).unwrap())
    };
    assert_eq!(ask(), (200, serde_json::json!({ "ready": true, "reasons": [] })));
    operators.reasons.lock().unwrap().push(Reason { code: "stopping", words: "told \"so\"".into() });
    let reasons = serde_json::json!([{ "code": "stopping", "words": "told \"so\"" }]);
    assert_eq!(ask(), (503, serde_json::json!({ "ready": false, "reasons": reasons })));
}

#[test]
fn ledger_is_the_report_as_json() {
    let operators = Operators::start(Vec::new());
    let reply = operators.get("/api/v1/ledger");
    assert_eq!((reply.status, reply.body.as_str()), (200, r#"["the","report"]"#));
    assert_eq!(reply.header("content-type"), Some("application/json"));
}

#[test]
fn every_stage_is_told_with_its_histogram() {
    let operators = Operators::start(Vec::new());
    for millis in 1..=1_000 {
        operators.latencies.record(Stage::RecordWrite, Duration::from_millis(millis), 2);
    }
    let reply = operators.get("/api/v1/histograms");
    let stages: serde_json::Map<String, Value> = serde_json::from_str(&reply.body).unwrap();
    assert_eq!(stages.len(), Stage::ALL.len());
    let write = &stages["record_write"];
    assert_eq!((&write["counted"], &write["count"]), (&"identity".into(), &2_000.into()));
    assert_eq!((&write["sum_us"], &write["max_us"]), (&1_001_000_000.into(), &1_000_000.into()));
    for (name, exact) in [("p50_us", 500_000), ("p90_us", 900_000), ("p99_us", 990_000), ("p999_us", 999_000)]
    {
        let told = write[name].as_u64().unwrap();
        assert!(told >= exact && told <= exact + exact / 100, "{name} is {told}");
    }
    let hdr = base64::engine::general_purpose::STANDARD.decode(write["hdr"].as_str().unwrap()).unwrap();
    let histogram: Histogram<u64> = Deserializer::new().deserialize(&mut hdr.as_slice()).unwrap();
    assert_eq!(histogram.len(), 2_000);
    assert_eq!(stages["decode"]["count"], 0);
}

#[test]
fn head_is_answered_without_a_body() {
    let operators = Operators::start(Vec::new());
    for (path, status) in [("/live", 200), ("/ready", 200), ("/metrics", 200), ("/nowhere", 404)] {
        let reply = operators.ask(&format!("HEAD {path} HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n"));
        assert_eq!((reply.status, reply.body.as_str()), (status, ""), "{path}");
        assert!(reply.header("content-length").is_some(), "{path}");
    }
}

#[test]
fn connection_is_kept_for_the_next_request() {
    let operators = Operators::start(Vec::new());
    let reply = operators.ask(
        "GET /live HTTP/1.1\r\nHost: b\r\n\r\nGET /ready HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n",
    );
    assert!(
        reply.body.starts_with("live\nHTTP/1.1 200 OK") && reply.body.ends_with("ready\n"),
        "{}",
        reply.body
    );
}

#[test]
fn unknown_path_is_told_which_are_known() {
    let operators = Operators::start(Vec::new());
    for path in ["/", "/api/v2/ledger", "/live/", "/%00"] {
        let reply = operators.get(path);
        assert_eq!(reply.status, 404, "{path}");
        assert!(reply.body.contains("/api/v1/histograms"), "{path}");
    }
}

#[test]
fn nothing_can_be_written_through_the_pages() {
    let operators = Operators::start(Vec::new());
    for method in ["POST", "PUT", "DELETE"] {
        for path in ["/live", "/ready", "/metrics", "/api/v1/ledger", "/api/v1/histograms"] {
            let head = format!(
                "{method} {path} HTTP/1.1\r\nHost: b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            assert_eq!(operators.ask(&head).status, 405, "{method} {path}");
        }
    }
}
