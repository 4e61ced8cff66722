//! A request over HTTP, and its answer: the service's JSON protocol.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, SERVER,
};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until, timeout};

use super::SERVER_NAME;
use super::refusal::{Refusal, RefusalKind};
use super::signature;
use super::stub::{Operation, Stub};

/// Bytes of a request, as the service has it.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// Bytes of all requests that are being read: what is more waits.
const ALL_BODIES_BYTES: usize = 16 * MAX_BODY_BYTES;

/// How long a client may take to send a request's body.
const BODY_WITHIN: Duration = Duration::from_secs(30);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const CRC32: HeaderName = HeaderName::from_static("x-amz-crc32");
const JSON: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.0");

/// The endpoint as connections have it.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) stub: Stub,
    bodies: Semaphore,
    requests: std::sync::atomic::AtomicU64,
}

impl Endpoint {
    pub(super) fn new(stub: Stub) -> Self {
        Self {
            stub,
            bodies: Semaphore::new(ALL_BODIES_BYTES),
            requests: std::sync::atomic::AtomicU64::new(0),
        }
    }

    /// Answers a request: always, and never with an error of the connection.
    pub(super) async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let arrived = Instant::now();
        if request.method() == Method::GET {
            return self.answer_get(request.uri().path());
        }
        self.stub.counts.request();
        let (answer, delay) = match self.read(request).await {
            Ok((operation, body)) => (self.stub.answer(operation, &body).await, self.stub.delay(operation)),
            Err(refusal) => (Err(refusal), Duration::ZERO),
        };
        if !delay.is_zero() {
            sleep_until(arrived + delay).await;
        }
        match answer {
            Ok(body) => self.response(StatusCode::OK, body.into()),
            Err(refusal) => {
                if self.stub.counts.refused(&refusal) && refusal.kind == RefusalKind::Full {
                    eprintln!("loadtest: writes are refused from now on: {}", refusal.message);
                }
                let status = StatusCode::from_u16(refusal.kind.status()).unwrap_or(StatusCode::BAD_REQUEST);
                self.response(status, refusal.body().into())
            }
        }
    }

    /// The service's own health page, and the counters of this one.
    fn answer_get(&self, path: &str) -> Response<Full<Bytes>> {
        match path {
            "/" => self.response(StatusCode::OK, Bytes::from_static(b"healthy: loadtest dynamodb-stub\n")),
            "/summary" => {
                let summary = self.stub.counts.summary(&self.stub.tables);
                self.response(StatusCode::OK, serde_json::to_vec(&summary).unwrap_or_default().into())
            }
            _ => self.response(StatusCode::NOT_FOUND, Bytes::from_static(b"<UnknownOperationException/>\n")),
        }
    }

    /// Which operation, and its body: read when it is known to be within bounds.
    async fn read(&self, request: Request<Incoming>) -> Result<(Operation, String), Refusal> {
        let unknown = || Refusal::new(RefusalKind::UnknownOperation, "");
        if request.method() != Method::POST {
            return Err(unknown());
        }
        let target = text(request.headers(), &HeaderName::from_static("x-amz-target"));
        let operation = target.and_then(Operation::of_target).ok_or_else(unknown)?;
        let has_date = request.headers().contains_key("x-amz-date") || request.headers().contains_key(DATE);
        signature::check(text(request.headers(), &AUTHORIZATION), has_date)?;
        let announced = text(request.headers(), &CONTENT_LENGTH).and_then(|length| length.parse().ok());
        let bytes = announced.unwrap_or(MAX_BODY_BYTES);
        if bytes > MAX_BODY_BYTES {
            return Err(too_large());
        }
        let _place = self.place(bytes).await;
        let body = timeout(BODY_WITHIN, whole(request.into_body(), bytes)).await;
        let body = body.map_err(|_| Refusal::new(RefusalKind::Unreadable, "the body took too long"))??;
        let text = String::from_utf8(body).map_err(|_| Refusal::new(RefusalKind::Serialization, ""))?;
        Ok((operation, text))
    }

    /// Room for a body.
    async fn place(&self, bytes: usize) -> Option<SemaphorePermit<'_>> {
        self.bodies.acquire_many(u32::try_from(bytes).unwrap_or(u32::MAX)).await.ok()
    }

    fn response(&self, status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
        let number = self.requests.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let checksum = crc32fast::hash(&body);
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(SERVER, HeaderValue::from_static(SERVER_NAME));
        headers.insert(CONTENT_TYPE, JSON);
        headers.insert(CRC32, HeaderValue::from(checksum));
        // As long as the service's, and found again in a client's log.
        if let Ok(id) = HeaderValue::try_from(format!("STUB{number:048}")) {
            headers.insert(REQUEST_ID, id);
        }
        response
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

fn too_large() -> Refusal {
    Refusal::new(RefusalKind::TooLarge, "Request size limit of 16 MB exceeded")
}

async fn whole(body: Incoming, at_most: usize) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::with_capacity(body.size_hint().lower().min(at_most as u64).try_into().unwrap_or(0));
    let mut body = Limited::new(body, at_most);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                return too_large();
            }
            Refusal::new(RefusalKind::Unreadable, "the body ended too early")
        })?;
        if let Ok(data) = frame.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}
