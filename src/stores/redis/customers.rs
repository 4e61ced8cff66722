//! The latest identity of each customer: `customer:<customer_id>`, a hash that only moves forward.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use redis::{ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::RedisSettings;
use super::health::{RedisHealth, count};
use super::links::{Lane, Links};
use super::scripts::MOVE_CUSTOMER;
use crate::domain::customer::CustomerId;
use crate::domain::identity::CustomerIdentity;
use crate::ports::{Block, LatestIdentities};
use crate::tasks::TaskGroup;

/// How long a hash lives after the write of it, however old the identity is: readers have `detected_at`.
pub const CUSTOMER_CACHED_FOR: Duration = Duration::from_secs(60 * 60);

/// Blocks gathered for one look at who is the newest, at most.
const BLOCKS_AT_ONCE: usize = 256;

/// How long writing what is queued may go on after the stop.
const DRAINED_WITHIN: Duration = Duration::from_secs(2);

/// Customers in Redis: the fields `location` (absent if the place has no name), `confidence` (the shortest text that
/// reads back as the same f32) and `detected_at`.
///
/// An identity that is older than the hash, or the same, leaves it as it is, TTL included.
#[derive(Debug)]
pub struct RedisLatestIdentities {
    queue: mpsc::Sender<Queued>,
    places: Arc<Semaphore>,
    health: Arc<RedisHealth>,
}

/// A block, and the places it takes until it is written.
#[derive(Debug)]
struct Queued {
    block: Arc<Block>,
    _places: OwnedSemaphorePermit,
}

impl RedisLatestIdentities {
    pub(super) fn start(
        settings: &RedisSettings,
        links: &Arc<Links>,
        tasks: &TaskGroup,
        stop: CancellationToken,
    ) -> Self {
        let places = settings.customers_queued.clamp(1, Semaphore::MAX_PERMITS);
        // A block takes one place at least, so places run out before the channel does.
        let (queue, queued) = mpsc::channel(places);
        let writer = Writer {
            queued,
            links: Arc::clone(links),
            batch_rows: settings.customers_batch_rows.max(1),
            confidence: String::new(),
        };
        tasks.spawn(writer.run(stop));
        Self { queue, places: Arc::new(Semaphore::new(places)), health: Arc::clone(&links.health) }
    }

    fn offer(&self, block: &Arc<Block>) -> bool {
        if !self.health.is_up() {
            return false;
        }
        let Ok(places) = u32::try_from(block.places()) else { return false };
        let Ok(places) = Arc::clone(&self.places).try_acquire_many_owned(places) else { return false };
        let offered = self.queue.try_send(Queued { block: Arc::clone(block), _places: places });
        !matches!(offered, Err(TrySendError::Full(_) | TrySendError::Closed(_)))
    }
}

impl LatestIdentities for RedisLatestIdentities {
    fn stored(&self, blocks: &[Arc<Block>]) {
        for block in blocks.iter().filter(|block| !block.identities.is_empty()) {
            if !self.offer(block) {
                count(&self.health.counters.customers_dropped, block.identities.len());
            }
        }
    }
}

/// The task's side of the queue.
struct Writer {
    queued: mpsc::Receiver<Queued>,
    links: Arc<Links>,
    batch_rows: usize,
    /// Reused for the text of a confidence.
    confidence: String,
}

impl Writer {
    async fn run(mut self, stop: CancellationToken) {
        let mut blocks = Vec::with_capacity(BLOCKS_AT_ONCE);
        while let Some(1..) =
            stop.run_until_cancelled(self.queued.recv_many(&mut blocks, BLOCKS_AT_ONCE)).await
        {
            self.write(&blocks).await;
            blocks.clear();
        }
        self.queued.close();
        let until = Instant::now() + DRAINED_WITHIN;
        // Closed: ends when it is empty.
        while self.queued.recv_many(&mut blocks, BLOCKS_AT_ONCE).await > 0 {
            if Instant::now() < until {
                self.write(&blocks).await;
            } else {
                self.dropped(blocks.iter().map(|queued| queued.block.identities.len()).sum());
            }
            blocks.clear();
        }
    }

    async fn write(&mut self, blocks: &[Queued]) {
        let newest = newest(blocks.iter().flat_map(|queued| &queued.block.identities));
        let offered: usize = blocks.iter().map(|queued| queued.block.identities.len()).sum();
        count(&self.links.health.counters.customers_superseded, offered - newest.len());
        for rows in newest.chunks(self.batch_rows) {
            match self.links.customers() {
                Ok(lane) => self.write_batch(lane, rows).await,
                Err(_) => self.dropped(rows.len()),
            }
        }
    }

    async fn write_batch(&mut self, mut lane: Lane, rows: &[&CustomerIdentity]) {
        let pipeline = self.pipeline(rows);
        let mut answers: RedisResult<Vec<RedisResult<u8>>> = pipeline.query_async(&mut lane.connection).await;
        if answers.as_ref().is_ok_and(|answers| answers.iter().any(is_script_gone)) {
            // Somebody flushed the scripts. Rows that did get through are not moved again.
            answers = match MOVE_CUSTOMER.load_async(&mut lane.connection).await {
                Ok(_) => pipeline.query_async(&mut lane.connection).await,
                Err(error) => Err(error),
            };
        }
        match answers {
            Ok(answers) => self.written(&lane, &answers),
            Err(error) => {
                count(&self.links.health.counters.customers_failed, rows.len());
                self.links.failed(&lane, &error);
            }
        }
    }

    fn written(&self, lane: &Lane, answers: &[RedisResult<u8>]) {
        let written = answers.iter().filter(|answer| matches!(answer, Ok(1..))).count();
        let superseded = answers.iter().filter(|answer| matches!(answer, Ok(0))).count();
        let counters = &self.links.health.counters;
        count(&counters.customers_written, written);
        count(&counters.customers_superseded, superseded);
        count(&counters.customers_failed, answers.len() - written - superseded);
        match answers.iter().find_map(|answer| answer.as_ref().err()) {
            Some(error) => drop(self.links.failed(lane, error)),
            None => self.links.health.taken(),
        }
    }

    /// One script call a customer: a call names one key, so that a cluster knows where it belongs.
    fn pipeline(&mut self, rows: &[&CustomerIdentity]) -> Pipeline {
        let mut pipeline = Pipeline::with_capacity(rows.len());
        for identity in rows {
            self.confidence.clear();
            // Writing to a String cannot fail.
            let _ = write!(self.confidence, "{}", identity.confidence.as_f32());
            let command = pipeline
                .cmd("EVALSHA")
                .arg(MOVE_CUSTOMER.get_hash())
                .arg(1)
                .arg(format!("customer:{}", identity.customer_id.as_str()))
                .arg(identity.detected_at.to_text().as_str())
                .arg(CUSTOMER_CACHED_FOR.as_secs())
                .arg(&self.confidence);
            if let Some(location) = &identity.location {
                command.arg(location.as_str());
            }
        }
        pipeline.ignore_errors();
        pipeline
    }

    fn dropped(&self, rows: usize) {
        count(&self.links.health.counters.customers_dropped, rows);
    }
}

/// The newest identity of each customer, in no order.
fn newest<'b>(identities: impl Iterator<Item = &'b CustomerIdentity>) -> Vec<&'b CustomerIdentity> {
    let mut newest: HashMap<&CustomerId, &CustomerIdentity> = HashMap::new();
    for identity in identities {
        newest
            .entry(&identity.customer_id)
            .and_modify(|held| {
                if identity.detected_at > held.detected_at {
                    *held = identity;
                }
            })
            .or_insert(identity);
    }
    newest.into_values().collect()
}

fn is_script_gone(answer: &RedisResult<u8>) -> bool {
    let gone = ErrorKind::Server(ServerErrorKind::NoScript);
    answer.as_ref().err().map(RedisError::kind) == Some(gone)
}
