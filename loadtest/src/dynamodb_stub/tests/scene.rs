//! An endpoint for a test, and clients: the SDK's, and one that sends whatever it is told.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread::JoinHandle;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Credentials, Region};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::dynamodb_stub::counts::Summary;
use crate::dynamodb_stub::http::Endpoint;
use crate::dynamodb_stub::schedule::Schedules;
use crate::dynamodb_stub::server::serve;
use crate::dynamodb_stub::stub::Stub;
use crate::dynamodb_stub::table::{Definition, Table};

/// A running endpoint with the model's table; dropped, it is gone.
pub(super) struct Scene {
    pub(super) url: String,
    endpoint: Arc<Endpoint>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

pub(super) fn no_schedules() -> Schedules {
    Schedules { seed: 1, throttle: vec![], unprocessed: vec![], delay: vec![], delay_p99: None }
}

impl Scene {
    pub(super) fn start() -> Self {
        Self::with(no_schedules(), 1_000_000)
    }

    pub(super) fn with(schedules: Schedules, max_items: u64) -> Self {
        let stub = Stub::new(schedules, max_items);
        stub.tables.add(Table::new("CustomerEvents".into(), Definition::of_the_model(), 0)).unwrap();
        let endpoint = Arc::new(Endpoint::new(stub));
        let stop = CancellationToken::new();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (served, stopped) = (Arc::clone(&endpoint), stop.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                serve(TcpListener::from_std(listener).unwrap(), served, stopped).await;
            });
        });
        Self { url, endpoint, stop, thread: Some(thread) }
    }

    pub(super) fn client(&self) -> Client {
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
            .retry_config(RetryConfig::disabled())
            .endpoint_url(&self.url);
        Client::from_conf(config.build())
    }

    pub(super) fn summary(&self) -> Summary {
        self.endpoint.stub.counts.summary(&self.endpoint.stub.tables)
    }

    pub(super) fn ask(&self, operation: &str, body: &Value) -> Answer {
        Question::new(operation, body.to_string()).ask(&self.url)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The name of the error; empty where there is none.
    pub(super) fn error(&self) -> String {
        let json = self.json();
        let name = json["__type"].as_str().unwrap_or_default();
        name.rsplit('#').next().unwrap_or_default().to_owned()
    }

    pub(super) fn message(&self) -> String {
        let json = self.json();
        json["message"].as_str().or(json["Message"].as_str()).unwrap_or_default().to_owned()
    }
}

/// A request as bytes, right or wrong.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) line: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

impl Question {
    pub(super) fn new(operation: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let authorization = "AWS4-HMAC-SHA256 Credential=test/20260501/eu-west-1/dynamodb/aws4_request, \
                             SignedHeaders=host;x-amz-date;x-amz-target, Signature=00";
        let headers = vec![
            ("host", "localhost".to_owned()),
            ("connection", "close".to_owned()),
            ("content-type", "application/x-amz-json-1.0".to_owned()),
            ("x-amz-date", "20260501T120000Z".to_owned()),
            ("x-amz-target", format!("DynamoDB_20120810.{operation}")),
            ("authorization", authorization.to_owned()),
            ("content-length", body.len().to_string()),
        ];
        Self { line: "POST / HTTP/1.1".into(), headers, body }
    }

    pub(super) fn without(mut self, header: &str) -> Self {
        self.headers.retain(|(name, _)| *name != header);
        self
    }

    pub(super) fn with(self, header: &'static str, value: &str) -> Self {
        let mut question = self.without(header);
        question.headers.push((header, value.to_owned()));
        question
    }

    pub(super) fn ask(&self, url: &str) -> Answer {
        let mut stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
        let headers: String =
            self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        stream.write_all(format!("{}\r\n{headers}\r\n", self.line).as_bytes()).unwrap();
        // It may have been refused by its head.
        let _ = stream.write_all(&self.body);
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer") + 4;
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        assert!(!head.contains("chunked"), "{head}");
        Answer { status, head, body: bytes.split_off(end) }
    }
}
