//! PostgreSQL, read by COPY in its binary form.

use std::error::Error;

use futures_util::TryStreamExt;
use tokio_postgres::binary_copy::BinaryCopyOutStream;
use tokio_postgres::types::{FromSql, Type};

use super::held::{Held, Sieve, Told};
use crate::postgres::{Link, connect, words};

/// PostgreSQL counts from 2000.
const YEAR_2000_US: i64 = 946_684_800_000_000;

/// The rows of `customer_identities` that could matter.
pub(super) async fn identities(url: &str, sieve: &Sieve) -> Result<Held, String> {
    let asked = sieve.asked();
    let copy = format!(
        "COPY (SELECT customer_id, detected_at, beacon_id, location, confidence FROM customer_identities
               WHERE detected_at BETWEEN {} AND {}) TO STDOUT (FORMAT binary)",
        timestamp(*asked.start()),
        timestamp(*asked.end()),
    );
    let types = [Type::TEXT, Type::TIMESTAMPTZ, Type::TEXT, Type::TEXT, Type::FLOAT4];
    let link = connect(url).await?;
    let mut rows = std::pin::pin!(copied(&link, &copy, &types).await?);
    let mut held = Held::default();
    while let Some(row) = rows.try_next().await.map_err(|error| words(&error))? {
        let told = Told {
            customer_id: row.try_get(0).map_err(|error| words(&error))?,
            at_us: row
                .try_get::<Option<Micros>>(1)
                .map_err(|error| words(&error))?
                .map(|Micros(at_us)| at_us),
            beacon_id: row.try_get(2).map_err(|error| words(&error))?,
            location: row.try_get(3).map_err(|error| words(&error))?,
            confidence: row.try_get(4).map_err(|error| words(&error))?,
        };
        held.take(sieve, &told);
    }
    Ok(held)
}

/// Every customer's id, and when it was last seen.
pub(super) async fn last_seen(url: &str, mut visit: impl FnMut(&str, Option<i64>)) -> Result<(), String> {
    let copy = "COPY (SELECT customer_id, last_seen FROM customers) TO STDOUT (FORMAT binary)";
    let link = connect(url).await?;
    let mut rows = std::pin::pin!(copied(&link, copy, &[Type::TEXT, Type::TIMESTAMPTZ]).await?);
    while let Some(row) = rows.try_next().await.map_err(|error| words(&error))? {
        let at_us = row.try_get::<Option<Micros>>(1).map_err(|error| words(&error))?;
        visit(row.try_get(0).map_err(|error| words(&error))?, at_us.map(|Micros(at_us)| at_us));
    }
    Ok(())
}

async fn copied(link: &Link, copy: &str, types: &[Type]) -> Result<BinaryCopyOutStream, String> {
    let stream = link.client.copy_out(copy).await.map_err(|error| words(&error))?;
    Ok(BinaryCopyOutStream::new(stream, types))
}

/// A time as SQL has it, to the microsecond.
fn timestamp(at_us: i64) -> String {
    format!("TIMESTAMPTZ '1970-01-01 00:00:00Z' + {at_us} * INTERVAL '1 microsecond'")
}

/// A TIMESTAMPTZ as microseconds since 1970; the driver itself has no number for it.
struct Micros(i64);

impl<'a> FromSql<'a> for Micros {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(i64::from_be_bytes(raw.try_into()?).saturating_add(YEAR_2000_US)))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TIMESTAMPTZ
    }
}
