//! A scripted daemon behind an admin thread, and a client of it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use beacond::latency::Latencies;
use beacond::ops::{
    AdminSources, AdminThread, LetterOrders, OrderError, PurgeAnswer, PurgeOrder, Reason, ReplayAnswer,
    ReplayOrder, Sample,
};
use beacond::ports::PortFuture;

/// Longer than any answer may take; a test that waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Operators {
    pub(crate) address: SocketAddr,
    pub(crate) latencies: Arc<Latencies>,
    pub(crate) reasons: Arc<Mutex<Vec<Reason>>>,
    thread: Option<AdminThread>,
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Operators {
    pub(crate) fn start(samples: Vec<Sample>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let latencies = Arc::new(Latencies::new());
        let reasons = Arc::new(Mutex::new(Vec::new()));
        let ready = Arc::clone(&reasons);
        let sources = AdminSources {
            report: || ["the", "report"],
            metrics: move || samples.clone(),
            histograms: Arc::clone(&latencies),
            ready: move || ready.lock().unwrap().clone(),
            orders: Arc::new(NoLetters),
        };
        let thread = Some(AdminThread::serve(listener, sources).unwrap());
        Self { address, latencies, reasons, thread }
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n"))
    }

    /// Sends a request as it stands, and reads until the other side ends.
    pub(crate) fn ask(&self, request: &str) -> Reply {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no reply: {text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Reply { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    pub(crate) fn stop(mut self) {
        self.thread.take().unwrap().stop();
    }
}

impl Drop for Operators {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.stop();
        }
    }
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// There are no letters; an order for a store `busy` finds another order.
#[derive(Debug)]
struct NoLetters;

impl LetterOrders for NoLetters {
    fn replay(&self, order: ReplayOrder) -> PortFuture<'_, Result<ReplayAnswer, OrderError>> {
        Box::pin(async move {
            match order.store.as_deref() {
                Some("busy") => Err(OrderError::Busy),
                _ => Ok(ReplayAnswer { replayed: order.skip as u64, ..ReplayAnswer::default() }),
            }
        })
    }

    fn purge(&self, order: PurgeOrder) -> PortFuture<'_, Result<PurgeAnswer, OrderError>> {
        Box::pin(async move {
            match order.before {
                Some(_) => Err(OrderError::Wrong("not a time".to_owned())),
                None => Err(OrderError::Failed("no disk".to_owned())),
            }
        })
    }
}
