//! What the stores hold, read by their own clients and not by the daemon's adapters.

use std::collections::HashMap;

use anyhow::Context;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::{StreamExt, TryStreamExt};
use tokio_postgres::types::ToSql;
use tokio_postgres::{NoTls, Row as PostgresRow};

use crate::check::{Held, Row};
use crate::sighting::{customer_id, customer_of, place_of};

/// Questions to DynamoDB at once.
const IN_FLIGHT: usize = 8;

/// Readers of both stores of an era.
#[derive(Debug)]
pub(crate) struct Readers {
    postgres_url: String,
    dynamodb: Client,
    table: String,
}

impl Readers {
    /// Of this database and this table.
    pub(crate) async fn open(postgres_url: &str, endpoint: &str, table: &str) -> Self {
        let config =
            aws_config::defaults(aws_config::BehaviorVersion::latest()).endpoint_url(endpoint).load().await;
        Self {
            postgres_url: postgres_url.to_owned(),
            dynamodb: Client::new(&config),
            table: table.to_owned(),
        }
    }

    /// What both hold of a round's customers.
    ///
    /// # Errors
    /// When one cannot be read.
    pub(crate) async fn held(&self, round: u32, customers: u32) -> anyhow::Result<[Held; 2]> {
        Ok([
            self.in_postgres(round).await.context("PostgreSQL")?,
            self.in_dynamodb(round, customers).await.context("DynamoDB")?,
        ])
    }

    /// Rows and items in all.
    ///
    /// # Errors
    /// When one cannot be counted.
    pub(crate) async fn count(&self) -> anyhow::Result<[usize; 2]> {
        let counted = self.ask_postgres("SELECT count(*) FROM customer_identities", &[]).await?;
        let rows: i64 = counted.first().map_or(0, |row| row.get(0));
        let mut pages = self.dynamodb.scan().table_name(&self.table).into_paginator().send();
        let mut items = 0;
        while let Some(page) = pages.next().await {
            let found = page?.items.unwrap_or_default();
            items +=
                found.iter().filter(|item| !text(item, "CustomerID").starts_with(char::is_control)).count();
        }
        Ok([usize::try_from(rows)?, items])
    }

    async fn in_postgres(&self, round: u32) -> anyhow::Result<Held> {
        let (first, end) = (customer_id(round, 0), format!("r{round:05}."));
        let sql =
            "SELECT customer_id, (extract(epoch FROM detected_at) * 1000000)::bigint, beacon_id, confidence
                   FROM customer_identities WHERE customer_id >= $1 AND customer_id < $2";
        let mut held = Held { store: "PostgreSQL", ..Held::default() };
        for row in self.ask_postgres(sql, &[&first, &end]).await? {
            let (customer, at_us, beacon): (String, i64, String) = (row.get(0), row.get(1), row.get(2));
            let confidence: f32 = row.get(3);
            held.take(round, &customer, Some(at_us), &beacon, confidence.to_bits());
        }
        Ok(held)
    }

    /// By a connection of its own: the server was stopped since the last question.
    async fn ask_postgres(
        &self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> anyhow::Result<Vec<PostgresRow>> {
        let (client, connection) = tokio_postgres::connect(&self.postgres_url, NoTls).await?;
        let ask = async move { client.query(sql, values).await };
        let (rows, _ended) = tokio::join!(ask, connection);
        Ok(rows?)
    }

    async fn in_dynamodb(&self, round: u32, customers: u32) -> anyhow::Result<Held> {
        let ask = |customer: u32| {
            let id = AttributeValue::S(customer_id(round, customer));
            let query = self.dynamodb.query().table_name(&self.table).consistent_read(true);
            let query =
                query.key_condition_expression("CustomerID = :id").expression_attribute_values(":id", id);
            query.into_paginator().items().send().collect::<Result<Vec<_>, _>>()
        };
        let answers = futures_util::stream::iter((0..customers).map(ask)).buffer_unordered(IN_FLIGHT);
        let items: Vec<Vec<HashMap<String, AttributeValue>>> = answers.try_collect().await?;
        let mut held = Held { store: "DynamoDB", ..Held::default() };
        for item in items.iter().flatten() {
            let confidence =
                item.get("Confidence").and_then(|number| number.as_n().ok()?.parse::<f32>().ok());
            let bits = confidence.map_or(0, f32::to_bits);
            let at_us = micros(text(item, "DetectedAt"));
            held.take(round, text(item, "CustomerID"), at_us, text(item, "BeaconID"), bits);
        }
        Ok(held)
    }
}

impl Held {
    fn take(&mut self, round: u32, customer: &str, at_us: Option<i64>, beacon: &str, confidence_bits: u32) {
        match (customer_of(round, customer), at_us, place_of(beacon)) {
            (Some(customer), Some(at_us), Some(beacon)) => {
                self.rows.push(Row { customer, at_us, beacon, confidence_bits });
            }
            _ => self.strange.push(format!("{customer} at {at_us:?} by {beacon}")),
        }
    }
}

fn text<'i>(item: &'i HashMap<String, AttributeValue>, name: &str) -> &'i str {
    item.get(name).and_then(|value| value.as_s().ok()).map_or("", String::as_str)
}

/// Of `YYYY-MM-DDTHH:MM:SS.ffffffZ`.
fn micros(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (clock, fraction) = time.split_once('.')?;
    let numbers = |text: &str, between| -> Option<[i64; 3]> {
        let found: Vec<i64> = text.split(between).map(str::parse).collect::<Result<_, _>>().ok()?;
        found.try_into().ok()
    };
    let ([year, month, day], [hour, minute, second]) = (numbers(date, '-')?, numbers(clock, ':')?);
    if fraction.len() != 6 {
        return None;
    }
    // Days since 1970, the year taken to begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000 + fraction.parse::<i64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_to_the_microsecond() {
        assert_eq!(micros("1970-01-01T00:00:00.000001Z"), Some(1));
        assert_eq!(micros("2024-02-29T23:59:59.999999Z"), Some(1_709_251_199_999_999));
        assert_eq!(micros("2026-03-01T12:00:00.000000Z"), Some(1_772_366_400_000_000));
        for wrong in ["", "2026-03-01T12:00:00Z", "2026-03-01 12:00:00.000000Z", "2026-03-01T12:00.000000Z"] {
            assert_eq!(micros(wrong), None, "{wrong}");
        }
    }
}
