//! N, the number of suffixes, as the table itself remembers it.
//!
//! It is one item: its CustomerID begins with a control character, which no customer's does, and its DetectedAt is no
//! time. Written once, on the condition that it is not there, so that of two daemons with different N one is refused.

use std::num::NonZeroU16;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;

use super::DynamoDbSettings;
use super::failure::Failure;
use super::item::{CUSTOMER_ID, DETECTED_AT};

const RECORD_CUSTOMER_ID: &str = "\u{1}beacond";
const RECORD_DETECTED_AT: &str = "suffixes";
const SUFFIXES: &str = "Suffixes";

/// The table was filled with another N than is configured: a redelivery would make a second item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the table's keys have N = {recorded}, configured are {configured}: N is fixed for a table")]
pub struct WrongSuffixes {
    /// What the table was filled with.
    pub recorded: NonZeroU16,
    /// What the settings say.
    pub configured: NonZeroU16,
}

/// What a table says of N.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recorded {
    /// This.
    Suffixes(NonZeroU16),
    /// Nothing, and it has no items.
    Empty,
    /// Nothing, though it has items.
    Unknown,
}

/// Why a table may not be written with the N configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SuffixTrouble {
    /// It has another.
    Wrong(WrongSuffixes),
    /// It has items of somebody who did not say with which N, and N over 1 is configured.
    Unknown(NonZeroU16),
    /// It cannot be found out.
    Failed(Failure),
}

impl From<Failure> for SuffixTrouble {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl SuffixTrouble {
    /// The failure it is to a writer.
    pub(super) fn into_failure(self) -> Failure {
        match self {
            Self::Failed(failure) => failure,
            Self::Wrong(wrong) => Failure::misconfigured(wrong.to_string()),
            Self::Unknown(configured) => Failure::misconfigured(unknown(configured)),
        }
    }
}

/// What to say of a table with items and without a record.
pub(super) fn unknown(configured: NonZeroU16) -> String {
    format!(
        "the table has items and no record of their N, configured are {configured}: only N = 1 can be taken over"
    )
}

/// What the table says, without changing it.
pub(super) async fn recorded(client: &Client, settings: &DynamoDbSettings) -> Result<Recorded, Failure> {
    let item = client
        .get_item()
        .table_name(&settings.table)
        .key(CUSTOMER_ID, AttributeValue::S(RECORD_CUSTOMER_ID.into()))
        .key(DETECTED_AT, AttributeValue::S(RECORD_DETECTED_AT.into()))
        .consistent_read(true)
        .send()
        .await
        .map_err(|error| Failure::of(&error))?
        .item;
    if let Some(item) = item {
        let recorded = item.get(SUFFIXES).and_then(|value| value.as_n().ok()?.parse().ok());
        let unreadable = || Failure::misconfigured("the table's record of N is no number from 1 to 65535");
        return recorded.map(Recorded::Suffixes).ok_or_else(unreadable);
    }
    let scan = client.scan().table_name(&settings.table).limit(1).consistent_read(true);
    let found = scan.send().await.map_err(|error| Failure::of(&error))?;
    Ok(if found.items().is_empty() { Recorded::Empty } else { Recorded::Unknown })
}

/// Whether the table may be written with the N configured, which is recorded if nothing is.
pub(super) async fn settle(client: &Client, settings: &DynamoDbSettings) -> Result<(), SuffixTrouble> {
    let configured = settings.suffixes;
    // Once more when somebody else recorded it in between.
    for _ in 0..2 {
        match recorded(client, settings).await? {
            Recorded::Suffixes(recorded) if recorded == configured => return Ok(()),
            Recorded::Suffixes(recorded) => {
                return Err(SuffixTrouble::Wrong(WrongSuffixes { recorded, configured }));
            }
            Recorded::Unknown if configured.get() > 1 => return Err(SuffixTrouble::Unknown(configured)),
            Recorded::Unknown | Recorded::Empty => {
                if record(client, settings).await? {
                    return Ok(());
                }
            }
        }
    }
    Err(Failure::unavailable("the table's record of N changes while it is read").into())
}

/// Records N; tells whether nobody was faster.
async fn record(client: &Client, settings: &DynamoDbSettings) -> Result<bool, Failure> {
    let put = client
        .put_item()
        .table_name(&settings.table)
        .item(CUSTOMER_ID, AttributeValue::S(RECORD_CUSTOMER_ID.into()))
        .item(DETECTED_AT, AttributeValue::S(RECORD_DETECTED_AT.into()))
        .item(SUFFIXES, AttributeValue::N(settings.suffixes.to_string()))
        .condition_expression("attribute_not_exists(#key)")
        .expression_attribute_names("#key", CUSTOMER_ID);
    match put.send().await.map_err(|error| Failure::of(&error)) {
        Ok(_) => Ok(true),
        Err(failure) if failure.is("ConditionalCheckFailedException") => Ok(false),
        Err(failure) => Err(failure),
    }
}
