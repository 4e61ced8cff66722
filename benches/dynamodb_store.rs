//! The writer of events beside a bare loop of prepared BatchWriteItem requests with as many calls in flight, into the
//! same engine, in turns.
//!
//! Needs `BEACOND_DYNAMODB_ENDPOINT` and AWS test credentials. Every item of every round is new.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark stops at what it does not expect, and prints its table"
)]

use std::collections::HashMap;
use std::env;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::StalledStreamProtectionConfig;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use beacond::domain::beacon::BeaconId;
use beacond::domain::confidence::Confidence;
use beacond::domain::customer::CustomerId;
use beacond::domain::identity::CustomerIdentity;
use beacond::domain::time::Timestamp;
use beacond::ports::{BatchWriter, Block, Delivery};
use beacond::stores::dynamodb::{DynamoDbAdmin, DynamoDbSettings, DynamoDbWriter};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::runtime::Runtime;

/// Items a round: the daemon's batch.
const ITEMS: usize = 5_000;
/// Rounds that count, of each side; one more before them warms up.
const ROUNDS: usize = 15;
/// Identities of a frame, about: a block each.
const BLOCK_ROWS: usize = 64;
const START_US: i64 = 1_777_636_800_000_000;

fn main() {
    let Ok(endpoint) = env::var("BEACOND_DYNAMODB_ENDPOINT") else {
        panic!(
            "set BEACOND_DYNAMODB_ENDPOINT and AWS test credentials, as `cargo xtask stack env` prints them"
        );
    };
    println!("{ITEMS} items a batch, median of {ROUNDS} rounds, {endpoint}");
    println!("| calls in flight | writer, items/s | bare loop, items/s | median ratio | quartiles |");
    println!("|---|---|---|---|---|");
    for calls in [1, 4, 16] {
        compare(&endpoint, calls);
    }
}

fn compare(endpoint: &str, calls: usize) {
    let settings = |table: &str| DynamoDbSettings {
        table: format!("{table}-{calls}-{}", std::process::id()),
        endpoint: Some(endpoint.to_owned()),
        suffixes: NonZeroU16::MIN,
        calls_in_flight: Some(calls),
        max_calls_in_flight: calls,
        call_timeout: Duration::from_secs(30),
        attempts: 1,
        write_timeout: Duration::from_secs(300),
    };
    let (ours, theirs) = (settings("writer"), settings("bare"));
    for settings in [&ours, &theirs] {
        DynamoDbAdmin::new(settings.clone()).unwrap().create().unwrap();
    }
    let mut writer = DynamoDbWriter::new(ours.clone()).unwrap();
    let bare = Bare::new(endpoint, &theirs.table, calls);
    let mut visits = Visits { made: 0 };
    let mut rounds = Vec::new();
    for round in 0..=ROUNDS {
        let batch = visits.batch();
        let mut write = || {
            let began_at = Instant::now();
            writer.write(&batch, Delivery::First).unwrap();
            began_at.elapsed()
        };
        // Who goes first changes, so that neither always finds the engine as the other left it.
        let pair = if round % 2 == 0 {
            let writer = write();
            (writer, bare.round(&batch))
        } else {
            let bare = bare.round(&batch);
            (write(), bare)
        };
        if round > 0 {
            rounds.push(pair);
        }
    }
    let rate = |took: Duration| ITEMS as f64 / took.as_secs_f64();
    let writer_rate = quantile(rounds.iter().map(|pair| rate(pair.0)).collect(), 2);
    let bare_rate = quantile(rounds.iter().map(|pair| rate(pair.1)).collect(), 2);
    let ratios: Vec<_> = rounds.iter().map(|pair| pair.1.as_secs_f64() / pair.0.as_secs_f64()).collect();
    let [low, middle, high] = [1, 2, 3].map(|quarter| quantile(ratios.clone(), quarter));
    println!("| {calls} | {writer_rate:.0} | {bare_rate:.0} | {middle:.3} | {low:.3} to {high:.3} |");
    for settings in [&ours, &theirs] {
        bare.runtime.block_on(bare.client.delete_table().table_name(&settings.table).send()).unwrap();
    }
}

fn quantile(mut values: Vec<f64>, quarter: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) * quarter / 4]
}

/// What is the least that must be done: requests are built before the clock starts, and nothing is looked at but
/// whether the answer is one.
struct Bare {
    runtime: Runtime,
    client: Client,
    table: String,
    calls: usize,
}

impl Bare {
    fn new(endpoint: &str, table: &str, calls: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let config = aws_config::defaults(aws_config::BehaviorVersion::latest())
            .endpoint_url(endpoint)
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        let client = Client::new(&runtime.block_on(config.load()));
        Self { runtime, client, table: table.to_owned(), calls }
    }

    fn round(&self, batch: &[Arc<Block>]) -> Duration {
        let items: Vec<_> = batch.iter().flat_map(|block| &block.identities).map(put).collect();
        let request = |items: &[WriteRequest]| {
            self.client.batch_write_item().request_items(&self.table, items.to_vec())
        };
        let mut requests: Vec<_> = items.chunks(25).map(request).collect();
        let began_at = Instant::now();
        self.runtime.block_on(async {
            let mut in_flight = FuturesUnordered::new();
            loop {
                while in_flight.len() < self.calls {
                    let Some(request) = requests.pop() else { break };
                    in_flight.push(request.send());
                }
                let Some(answer) = in_flight.next().await else { break };
                answer.unwrap();
            }
        });
        began_at.elapsed()
    }
}

fn put(identity: &CustomerIdentity) -> WriteRequest {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let number = |number: String| AttributeValue::N(number);
    let item = HashMap::from([
        ("CustomerID".to_owned(), text(identity.customer_id.as_str())),
        ("DetectedAt".to_owned(), text(identity.detected_at.to_text().as_str())),
        ("BeaconID".to_owned(), text(&identity.beacon_id.to_string())),
        ("Location".to_owned(), text("Table 12")),
        ("Confidence".to_owned(), number(identity.confidence.as_f32().to_string())),
        ("ExpiresAt".to_owned(), number(identity.event_expires_at_seconds().to_string())),
    ]);
    WriteRequest::builder().put_request(PutRequest::builder().set_item(Some(item)).build().unwrap()).build()
}

/// Identities nobody has seen before: customers in no order, each at a time of its own.
struct Visits {
    made: u64,
}

impl Visits {
    fn batch(&mut self) -> Vec<Arc<Block>> {
        let identities: Vec<_> = (0..ITEMS).map(|_| self.identity()).collect();
        let block = |rows: &[_]| Arc::new(Block { identities: rows.to_vec(), preferences: Vec::new() });
        identities.chunks(BLOCK_ROWS).map(block).collect()
    }

    fn identity(&mut self) -> CustomerIdentity {
        self.made += 1;
        let customer = format!("{:016x}", self.made.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        CustomerIdentity {
            customer_id: CustomerId::from_bytes(customer.as_bytes()).unwrap(),
            beacon_id: BeaconId::from_bytes([0xbe; 16]),
            location: Some("Table 12".parse().unwrap()),
            confidence: Confidence::from_stored(0.880_797).unwrap(),
            detected_at: Timestamp::from_micros(START_US + 1_000 * i64::try_from(self.made).unwrap()),
        }
    }
}
