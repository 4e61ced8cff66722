//! A front before DynamoDB that throttles, leaves items unprocessed, breaks and cuts: no emulator does.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::http::{self, Message};
use crate::random::Random;

/// What it does with BatchWriteItem calls, in percent of them; the rest it hands on.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mood {
    /// Throttled as a whole.
    pub(crate) throttled: u64,
    /// Some of their items come back as unprocessed.
    pub(crate) left: u64,
    /// Answered with an error of the server's.
    pub(crate) broken: u64,
    /// Handed on, and the answer is cut off.
    pub(crate) cut: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Pass,
    Throttle,
    Leave,
    Break,
    Cut,
}

/// Stands there until it is dropped.
#[derive(Debug)]
pub(crate) struct Front {
    address: SocketAddr,
    shared: Arc<Shared>,
    _accepting: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    engine: SocketAddr,
    mood: Mutex<Mood>,
    random: Mutex<Random>,
}

impl Front {
    /// On a free port of loopback.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) async fn start(engine: SocketAddr, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared =
            Arc::new(Shared { engine, mood: Mutex::default(), random: Mutex::new(Random::new(seed)) });
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, _accepting: accepting })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn set(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }
}

impl Shared {
    fn turn(&self) -> Turn {
        let Mood { throttled, left, broken, cut } = *self.mood.lock().unwrap_or_else(PoisonError::into_inner);
        let pass = 100_u64.saturating_sub(throttled + left + broken + cut);
        let turns = [
            (pass, Turn::Pass),
            (throttled, Turn::Throttle),
            (left, Turn::Leave),
            (broken, Turn::Break),
            (cut, Turn::Cut),
        ];
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        random.weighted(&turns).unwrap_or(Turn::Pass)
    }

    fn below(&self, length: usize) -> usize {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).index(length)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            // However a connection ends, the client opens another.
            let _ended = serve(stream, &shared).await;
        });
    }
}

async fn serve(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    while let Some(request) = Message::read(&mut stream).await? {
        let is_write =
            request.header("x-amz-target").is_some_and(|target| target.ends_with(".BatchWriteItem"));
        let turn = if is_write { shared.turn() } else { Turn::Pass };
        let answer = match turn {
            Turn::Pass => hand_on(shared, &request, &request.body).await?,
            Turn::Throttle => refusal(400, "ProvisionedThroughputExceededException"),
            Turn::Leave => leave(shared, &request).await?,
            Turn::Break => refusal(500, "InternalServerError"),
            Turn::Cut => {
                hand_on(shared, &request, &request.body).await?;
                return stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n{").await;
            }
        };
        stream.write_all(&answer).await?;
    }
    Ok(())
}

/// Hands on the first few items of a call, and gives back the others.
async fn leave(shared: &Shared, request: &Message) -> io::Result<Vec<u8>> {
    let mut body: Value = serde_json::from_slice(&request.body)?;
    let tables = body["RequestItems"].as_object_mut();
    let Some((table, Value::Array(items))) = tables.and_then(|tables| tables.iter_mut().next()) else {
        return Err(io::Error::other("a BatchWriteItem without items"));
    };
    let left = json!({ table: items.split_off(shared.below(items.len())) });
    if !items.is_empty() {
        let answer = hand_on(shared, request, &serde_json::to_vec(&body)?).await?;
        if !answer.starts_with(b"HTTP/1.1 200 ") {
            return Ok(answer);
        }
    }
    Ok(written(200, &json!({ "UnprocessedItems": left })))
}

async fn hand_on(shared: &Shared, request: &Message, body: &[u8]) -> io::Result<Vec<u8>> {
    let of_connection = ["content-length", "connection", "host"];
    let is_passed = |line: &&String| {
        line.split_once(':')
            .is_none_or(|(name, _)| !of_connection.contains(&name.to_ascii_lowercase().as_str()))
    };
    let mut head: Vec<String> = request.head.iter().filter(is_passed).cloned().collect();
    head.push(format!("Host: {}", shared.engine));
    let answer = http::ask(shared.engine, &head, body).await?;
    let status = answer.status().ok_or_else(|| io::Error::other("an answer without a status"))?;
    Ok(sealed(status, &answer.body))
}

fn refusal(status: u16, error: &str) -> Vec<u8> {
    let error = format!("com.amazonaws.dynamodb.v20120810#{error}");
    written(status, &json!({ "__type": error, "message": "as it was asked to" }))
}

fn written(status: u16, body: &Value) -> Vec<u8> {
    sealed(status, body.to_string().as_bytes())
}

fn sealed(status: u16, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status} Said\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}
