//! The table of events in DynamoDB, read by Scans side by side, strongly consistent.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{Builder, StalledStreamProtectionConfig};
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::types::AttributeValue;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::held::{Held, Sieve, Told};
use super::time;
use crate::ending::one_line;

/// Parts that a table is read in at once.
const SEGMENTS: i32 = 8;

/// A throttled Scan is tried again so often, ever later.
const ATTEMPTS: u32 = 10;

const CREDENTIALS_AT_MOST: Duration = Duration::from_secs(10);

/// Key of the item in which the daemon keeps the number of suffixes: no customer's id begins with a control character.
const RECORD: (&str, &str) = ("\u{1}beacond", "suffixes");

type Item = HashMap<String, AttributeValue>;

/// The items of a table that could matter.
pub(super) async fn events(table: &str, endpoint: Option<&str>, sieve: &Arc<Sieve>) -> Result<Held, String> {
    let client = connect(endpoint).await?;
    let suffixes = suffixes(&client, table).await?;
    // A page is a megabyte at most; one waits for each part that is read.
    let (pages, mut read) = mpsc::channel::<Held>(1);
    let mut segments = JoinSet::new();
    for segment in 0..SEGMENTS {
        let (client, table, pages) = (client.clone(), table.to_owned(), pages.clone());
        let sieve = Arc::clone(sieve);
        segments.spawn(async move { scan(&client, &table, segment, suffixes, &sieve, &pages).await });
    }
    drop(pages);
    let mut held = Held::default();
    while let Some(page) = read.recv().await {
        held.add(page);
    }
    while let Some(ended) = segments.join_next().await {
        ended.map_err(|error| error.to_string())??;
    }
    Ok(held)
}

async fn connect(endpoint: Option<&str>) -> Result<Client, String> {
    let loaded = aws_config::defaults(aws_config::BehaviorVersion::latest()).load();
    let shared = tokio::time::timeout(CREDENTIALS_AT_MOST, loaded)
        .await
        .map_err(|_| "region and credentials could not be found out in time")?;
    if shared.region().is_none() {
        return Err("no AWS region: set AWS_REGION, or a region in the profile".to_owned());
    }
    let mut config = Builder::from(&shared)
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Some(endpoint) = endpoint {
        config = config.endpoint_url(endpoint);
    }
    Ok(Client::from_conf(config.build()))
}

/// How many suffixes the table's keys have; 1 is none.
async fn suffixes(client: &Client, table: &str) -> Result<u32, String> {
    let (customer_id, detected_at) = RECORD;
    let asked = client
        .get_item()
        .table_name(table)
        .key("CustomerID", AttributeValue::S(customer_id.to_owned()))
        .key("DetectedAt", AttributeValue::S(detected_at.to_owned()))
        .consistent_read(true);
    let item = asked.send().await.map_err(|error| words(&error))?.item;
    let Some(item) = item else { return Ok(1) };
    let recorded = item.get("Suffixes").and_then(|value| value.as_n().ok()?.parse().ok());
    recorded.ok_or_else(|| "the table's record of its suffixes is no number".to_owned())
}

async fn scan(
    client: &Client,
    table: &str,
    segment: i32,
    suffixes: u32,
    sieve: &Sieve,
    pages: &mpsc::Sender<Held>,
) -> Result<(), String> {
    let mut from: Option<Item> = None;
    loop {
        let scan = client.scan().table_name(table).consistent_read(true);
        let scan = scan.segment(segment).total_segments(SEGMENTS).set_exclusive_start_key(from.take());
        let page = scan.send().await.map_err(|error| words(&error))?;
        let mut held = Held::default();
        for item in page.items() {
            take(item, suffixes, sieve, &mut held);
        }
        from = page.last_evaluated_key;
        // Nobody reads any more: another part failed, and says why.
        if pages.send(held).await.is_err() || from.is_none() {
            return Ok(());
        }
    }
}

fn take(item: &Item, suffixes: u32, sieve: &Sieve, held: &mut Held) {
    let (key, detected_at) = (text(item, "CustomerID"), text(item, "DetectedAt"));
    if (key, detected_at) == RECORD {
        return;
    }
    let confidence = item.get("Confidence").and_then(|number| number.as_n().ok()?.parse::<f32>().ok());
    let told = Told {
        customer_id: without_suffix(key, suffixes),
        at_us: time::micros(detected_at),
        beacon_id: text(item, "BeaconID"),
        location: item.get("Location").and_then(|value| value.as_s().ok()).map(String::as_str),
        confidence: confidence.unwrap_or(f32::NAN),
    };
    let is_ours = suffixes > 1 && sieve.customer(told.customer_id).is_some();
    if is_ours && key != partition_key(told.customer_id, detected_at, suffixes) {
        held.tell_strange(|| format!("an item at {detected_at} with another suffix than its key gives"));
        return;
    }
    held.take(sieve, &told);
}

fn without_suffix(key: &str, suffixes: u32) -> &str {
    if suffixes > 1 { key.rsplit_once('-').map_or(key, |(customer_id, _)| customer_id) } else { key }
}

/// The CustomerID, and with more than one suffix a hyphen and CRC-32C of the CustomerID, a zero byte and the time's text,
/// modulo their number.
pub(super) fn partition_key(customer_id: &str, detected_at: &str, suffixes: u32) -> String {
    if suffixes == 1 {
        return customer_id.to_owned();
    }
    let hash = crc32c::crc32c_append(crc32c::crc32c(customer_id.as_bytes()), b"\0");
    let suffix = crc32c::crc32c_append(hash, detected_at.as_bytes()) % suffixes;
    format!("{customer_id}-{suffix}")
}

fn text<'i>(item: &'i Item, name: &str) -> &'i str {
    item.get(name).and_then(|value| value.as_s().ok()).map_or("", String::as_str)
}

fn words<E: std::error::Error + 'static, R: std::fmt::Debug + 'static>(error: &SdkError<E, R>) -> String {
    one_line(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_is_what_the_key_gives() {
        // Computed bit by bit elsewhere: CRC-32C of "cust123", 0, the text is 2,424,103,053.
        let of = |suffixes| partition_key("cust123", "2026-05-01T12:00:00.000000Z", suffixes);
        assert_eq!([of(1), of(4), of(100)], ["cust123", "cust123-1", "cust123-53"]);
        assert_eq!(without_suffix("cust-1-3", 4), "cust-1");
        assert_eq!(without_suffix("cust-1", 1), "cust-1");
    }
}
