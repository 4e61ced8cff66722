//! A front before an engine, which throttles, fails, cuts and holds as a test tells it to: no emulator does.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// An item's full key: CustomerID and DetectedAt.
pub(crate) type Key = (String, String);

/// What the front does with a BatchWriteItem call.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Turn {
    /// Hands it on.
    Pass,
    /// Hands it on after a while.
    Late(Duration),
    /// Throttles it as a whole, with this error.
    Throttle(&'static str),
    /// Hands on all but so many of its last items, which come back as unprocessed.
    Leave(usize),
    /// Answers 500 without handing it on.
    Break,
    /// Hands it on and breaks off in the answer.
    CutAfterWrite,
    /// Never answers.
    Hang,
    /// Answers a ValidationException with this message.
    Refuse(&'static str),
}

/// A BatchWriteItem call that has come.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// How many came before.
    pub(crate) number: usize,
    pub(crate) keys: Vec<Key>,
}

type Schedule = Box<dyn FnMut(&Asked) -> Turn + Send>;

/// The front; dropped, it is gone.
pub(crate) struct Front {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    engine: String,
    agent: ureq::Agent,
    schedule: Mutex<Schedule>,
    asked: Mutex<Vec<Asked>>,
    passed: Mutex<Vec<Key>>,
    stop: CancellationToken,
}

impl Front {
    /// A front that passes everything until it is told otherwise.
    pub(crate) fn start(engine: &str) -> Self {
        let stop = CancellationToken::new();
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let shared = Arc::new(Shared {
            engine: engine.to_owned(),
            agent: config.into(),
            schedule: Mutex::new(Box::new(|_| Turn::Pass)),
            asked: Mutex::default(),
            passed: Mutex::default(),
            stop: stop.clone(),
        });
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    served = axum::serve(listener, router) => served.unwrap(),
                    () = stopped.cancelled() => {}
                }
            });
        });
        Self { address, shared, stop, thread: Some(thread) }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it does from now on.
    pub(crate) fn follow(&self, schedule: impl FnMut(&Asked) -> Turn + Send + 'static) {
        *self.shared.schedule.lock().unwrap() = Box::new(schedule);
    }

    /// Every BatchWriteItem call so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// Every item handed on so far, in order; one that was handed on twice is there twice.
    pub(crate) fn passed(&self) -> Vec<Key> {
        self.shared.passed.lock().unwrap().clone()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

async fn answer(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    if !target.ends_with(".BatchWriteItem") {
        return hand_on(&shared, &headers, body.to_vec()).await;
    }
    let mut request: Value = serde_json::from_slice(&body).unwrap();
    let (turn, keys) = decide(&shared, &request);
    match turn {
        Turn::Pass => pass(&shared, &headers, body.to_vec(), &keys).await,
        Turn::Late(wait) => {
            tokio::time::sleep(wait).await;
            pass(&shared, &headers, body.to_vec(), &keys).await
        }
        Turn::Throttle(error) => refusal(StatusCode::BAD_REQUEST, error, "slower, please"),
        Turn::Leave(count) => {
            let left = leave(&mut request, count);
            if count < keys.len() {
                let body = serde_json::to_vec(&request).unwrap();
                pass(&shared, &headers, body, &keys[..keys.len() - count]).await;
            }
            json_answer(StatusCode::OK, &json!({ "UnprocessedItems": left }))
        }
        Turn::Break => refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", "broken"),
        Turn::CutAfterWrite => {
            pass(&shared, &headers, body.to_vec(), &keys).await;
            let cut = futures_util::stream::iter([Err::<Bytes, _>(std::io::Error::other("cut"))]);
            Response::new(Body::from_stream(cut))
        }
        Turn::Hang => {
            shared.stop.cancelled().await;
            refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", "stopped")
        }
        Turn::Refuse(message) => refusal(StatusCode::BAD_REQUEST, "ValidationException", message),
    }
}

/// What is to be done with a call, and the keys in it.
fn decide(shared: &Shared, request: &Value) -> (Turn, Vec<Key>) {
    let tables = request["RequestItems"].as_object().unwrap();
    let text =
        |request: &Value, name: &str| request["PutRequest"]["Item"][name]["S"].as_str().unwrap().to_owned();
    let keys: Vec<_> = tables
        .values()
        .flat_map(|requests| requests.as_array().unwrap())
        .map(|request| (text(request, "CustomerID"), text(request, "DetectedAt")))
        .collect();
    let mut all_asked = shared.asked.lock().unwrap();
    let asked = Asked { number: all_asked.len(), keys: keys.clone() };
    all_asked.push(asked.clone());
    drop(all_asked);
    let turn = (shared.schedule.lock().unwrap())(&asked);
    (turn, keys)
}

/// Takes the last items out of a request.
fn leave(request: &mut Value, count: usize) -> Value {
    let tables = request["RequestItems"].as_object_mut().unwrap();
    let (table, requests) = tables.iter_mut().next().unwrap();
    let requests = requests.as_array_mut().unwrap();
    let left = requests.split_off(requests.len() - count);
    json!({ table: left })
}

async fn pass(shared: &Arc<Shared>, headers: &HeaderMap, body: Vec<u8>, keys: &[Key]) -> Response {
    let response = hand_on(shared, headers, body).await;
    assert_eq!(response.status(), StatusCode::OK, "the engine takes what passes");
    shared.passed.lock().unwrap().extend_from_slice(keys);
    response
}

async fn hand_on(shared: &Arc<Shared>, headers: &HeaderMap, body: Vec<u8>) -> Response {
    let mut request = shared.agent.post(&shared.engine);
    for name in ["x-amz-target", "content-type", "authorization", "x-amz-date"] {
        request = request.header(name, headers[name].to_str().unwrap());
    }
    let send = move || {
        let mut answer = request.send(&body).unwrap();
        (answer.status(), answer.body_mut().read_to_vec().unwrap())
    };
    let (status, body) = tokio::task::spawn_blocking(send).await.unwrap();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
}

fn refusal(status: StatusCode, error: &str, message: &str) -> Response {
    let error = format!("com.amazonaws.dynamodb.v20120810#{error}");
    json_answer(status, &json!({ "__type": error, "message": message }))
}

fn json_answer(status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response
}
