//! DynamoDB, or what speaks its language, read beside the daemon.

use std::num::NonZeroU16;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Builder;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::{StreamExt, stream};

use super::{MINUTE_US, customer_text, time_text};
use crate::dynamodb_stub::ARN_PREFIX;
use crate::ending::one_line;
use crate::run::samples::Wanted;

/// Questions at once.
const AT_ONCE: usize = 16;
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
const SEE: &str = "CustomerID = :customer AND DetectedAt BETWEEN :from AND :until";

/// The table.
#[derive(Debug)]
pub(crate) struct DynamoDb {
    client: Client,
    table: String,
    suffixes: NonZeroU16,
    /// Of the table.
    arn: String,
}

impl DynamoDb {
    /// # Errors
    /// When there is no such table, or nobody to ask.
    pub(super) async fn connect(
        table: String,
        endpoint: Option<&str>,
        suffixes: NonZeroU16,
    ) -> Result<Self, String> {
        let shared = aws_config::defaults(BehaviorVersion::latest()).load().await;
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(CALL_TIMEOUT).build();
        let mut config = Builder::from(&shared).timeout_config(timeouts);
        if let Some(endpoint) = endpoint {
            config = config.endpoint_url(endpoint);
        }
        let client = Client::from_conf(config.build());
        let described = client
            .describe_table()
            .table_name(&table)
            .send()
            .await
            .map_err(|error| format!("table {table}: {}", one_line(&error)))?;
        let arn = described.table().and_then(|table| table.table_arn()).unwrap_or_default().to_owned();
        Ok(Self { client, table, suffixes, arn })
    }

    /// As reports name it: what is no DynamoDB says so by the table's ARN.
    pub(super) fn name(&self, endpoint: Option<&str>) -> String {
        match endpoint {
            _ if self.arn.starts_with(ARN_PREFIX) => "dynamodb-stub".to_owned(),
            None => "DynamoDB".to_owned(),
            Some(endpoint) => format!("an emulator of DynamoDB at {endpoint}"),
        }
    }

    /// Which of these are there.
    pub(super) async fn see(&self, wanted: &[impl AsRef<Wanted>]) -> Result<Vec<bool>, String> {
        // As a list, or the stream would borrow from a closure that nobody can name.
        let questions: Vec<_> = wanted.iter().map(|wanted| self.is_there(wanted.as_ref())).collect();
        let answers: Vec<Result<bool, String>> = stream::iter(questions).buffered(AT_ONCE).collect().await;
        answers.into_iter().collect()
    }

    async fn is_there(&self, wanted: &Wanted) -> Result<bool, String> {
        let at_us = wanted.detected_at_us;
        let (from, until) = if self.suffixes.get() == 1 {
            (at_us - MINUTE_US + 1, at_us + MINUTE_US - 1)
        } else {
            // The key follows from the identity's own time.
            (at_us, at_us)
        };
        let key = self.partition_key(&customer_text(wanted.customer), &time_text(at_us));
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression(SEE)
            .expression_attribute_values(":customer", AttributeValue::S(key))
            .expression_attribute_values(":from", AttributeValue::S(time_text(from)))
            .expression_attribute_values(":until", AttributeValue::S(time_text(until)))
            .limit(1)
            .send()
            .await;
        let answer = answer.map_err(|error| one_line(&error))?;
        Ok(answer.count() > 0)
    }

    /// The suffix follows from the event alone: CRC-32C over the id, a zero byte and the time's text.
    fn partition_key(&self, customer: &str, time: &str) -> String {
        if self.suffixes.get() == 1 {
            return customer.to_owned();
        }
        let hash = [b"\0", time.as_bytes()]
            .iter()
            .fold(crc32c::crc32c(customer.as_bytes()), |hash, part| crc32c::crc32c_append(hash, part));
        format!("{customer}-{}", hash % u32::from(self.suffixes.get()))
    }
}
