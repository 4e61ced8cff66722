//! The writer of events: the pipeline's batches into BatchWriteItem calls.

use std::collections::HashSet;
use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use tokio::runtime::Runtime;

use super::DynamoDbSettings;
use super::call_limit::CallLimit;
use super::connection::{connect, runtime};
use super::failure::{Failure, FailureKind};
use super::health::DynamoDbHealth;
use super::plan::{self, EventKey, event_key};
use super::record::{self, SuffixTrouble};
use super::round::{Sending, send_all};
use crate::ports::{BatchWriter, Block, Delivery, WriteError};

/// Writes the events of batches. Its calls run on the thread that writes.
///
/// It connects with its first batch, and anew after it was refused as misconfigured: credentials and table may have been
/// mended meanwhile. Before the first item it makes sure that the table's N is the one configured.
#[derive(Debug)]
pub struct DynamoDbWriter {
    settings: DynamoDbSettings,
    runtime: Runtime,
    /// A client whose table may be written to.
    client: Option<Client>,
    limit: CallLimit,
    health: Arc<DynamoDbHealth>,
    /// What is stored of a batch that was not stored as a whole. A table that takes less than a batch in the time of a
    /// write would otherwise begin with it for ever.
    stored: HashSet<EventKey>,
}

impl DynamoDbWriter {
    /// A writer that has not connected yet.
    ///
    /// # Errors
    /// When it cannot have a runtime.
    pub fn new(settings: DynamoDbSettings) -> std::io::Result<Self> {
        let limit = match settings.calls_in_flight {
            Some(calls) => CallLimit::fixed(calls),
            None => CallLimit::adaptive(settings.max_calls_in_flight),
        };
        let health = Arc::new(DynamoDbHealth::default());
        health.limited_to(limit.calls());
        Ok(Self { settings, runtime: runtime()?, client: None, limit, health, stored: HashSet::new() })
    }

    /// What it shows of its work.
    #[must_use]
    pub const fn health(&self) -> &Arc<DynamoDbHealth> {
        &self.health
    }
}

impl BatchWriter for DynamoDbWriter {
    fn write(&mut self, batch: &[Arc<Block>], delivery: Delivery) -> Result<(), WriteError> {
        if delivery == Delivery::First {
            self.stored.clear();
        }
        let calls = plan::calls(batch, &self.stored)?;
        if calls.is_empty() {
            return Ok(());
        }
        let Self { settings, runtime, client, limit, health, .. } = self;
        let sent = runtime.block_on(async {
            let client = connected(client, settings).await.map_err(not_an_items_fault)?;
            let sending = Sending {
                client,
                table: &settings.table,
                suffixes: settings.suffixes,
                attempts: settings.attempts.max(1),
                sent_for_at_most: settings.write_timeout,
                limit,
                health,
            };
            Ok(send_all(sending, calls).await)
        });
        let sent = sent.map_err(Failure::into_write_error)?;
        let Some(failure) = sent.failure else {
            return Ok(());
        };
        self.stored.extend(sent.stored.into_iter().map(event_key));
        if failure.kind == FailureKind::Misconfigured {
            self.client = None;
        }
        Err(failure.into_write_error())
    }
}

/// What is refused before an item was sent is the table's fault: no item is given up for it.
fn not_an_items_fault(failure: Failure) -> Failure {
    match failure.kind {
        FailureKind::Rejected => Failure { kind: FailureKind::Misconfigured, ..failure },
        _ => failure,
    }
}

async fn connected<'c>(
    client: &'c mut Option<Client>,
    settings: &DynamoDbSettings,
) -> Result<&'c Client, Failure> {
    let ready = match client.take() {
        Some(ready) => ready,
        None => {
            let fresh = connect(settings).await?;
            record::settle(&fresh, settings).await.map_err(SuffixTrouble::into_failure)?;
            fresh
        }
    };
    Ok(client.insert(ready))
}
