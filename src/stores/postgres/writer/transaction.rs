//! One part of a batch in one transaction.

use std::collections::BTreeMap;

use futures_util::SinkExt;
use tokio_postgres::{CopyInSink, Statement};

use super::ForeignKeys;
use super::failure::Failure;
use super::lane::Lane;
use super::part::{Part, PartCustomer};
use crate::domain::time::Timestamp;
use crate::domain::window::SPACING_US;
use crate::stores::postgres::copy::{COLUMNS, encode, pieces};
use crate::stores::postgres::rows::Time;

/// How identities get into their table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// By COPY: a row that is there already makes the whole transaction fail.
    Direct,
    /// By COPY into a staging table and a merge, which leaves rows that are there as they are.
    Merge,
}

/// The lock is what a start waits for (see `reader.rs`): nothing of a writer that was killed in its commit is missed.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
    SELECT pg_advisory_xact_lock_shared(1650683492)";

/// Without row triggers, so without foreign keys, until the end of the transaction; then the lock that who deletes or
/// renames a beacon must take alone. What is looked up in statements after this one stays so until the commit.
const BEGIN_WITHOUT_ROW_CHECKS: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
    SET LOCAL session_replication_role = replica;
    SELECT pg_advisory_xact_lock_shared(1650683492)";

/// Customers that are known and were seen before all that the batch can be too near to: nearly all, most of the time. A
/// plain UPDATE takes a tenth less than an upsert, which locks each row before it changes it.
pub(super) const MOVE_KNOWN: &str = "UPDATE customers SET last_seen = seen.last
    FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[]) WITH ORDINALITY AS seen (id, last, before, place)
    WHERE customer_id = seen.id AND last_seen <= seen.before
    RETURNING seen.place";

/// Customers that are not known, or not as the statement before wants them. The row of a customer that is known is
/// locked, also by an update that does not take place, so that it cannot be deleted before the commit.
pub(super) const INSERT_OR_LOCK: &str = "INSERT INTO customers AS held (customer_id, last_seen)
    SELECT id, last FROM unnest($1::text[], $2::timestamptz[]) AS seen (id, last)
    ON CONFLICT (customer_id) DO UPDATE SET last_seen = held.last_seen WHERE false
    RETURNING customer_id";

/// Known customers about whom late rows come.
pub(super) const MOVE_LATE: &str = "UPDATE customers SET last_seen = seen.last
    FROM unnest($1::text[], $2::timestamptz[]) AS seen (id, last)
    WHERE customer_id = seen.id AND last_seen < seen.last";

pub(super) const MISSING_BEACONS: &str = "SELECT id FROM unnest($1::text[]) AS asked (id)
    WHERE NOT EXISTS (SELECT FROM beacons WHERE beacon_id = asked.id) LIMIT 1";

/// Rows of the batch that another of their customer lies near to.
pub(super) const NEAR: &str = "SELECT own.id
    FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[]) AS asked (id, at, after, before)
    JOIN customer_identities own ON own.customer_id = asked.id AND own.detected_at = asked.at
    WHERE EXISTS (
        SELECT FROM customer_identities other
        WHERE other.customer_id = asked.id AND other.detected_at <> asked.at
        AND other.detected_at > asked.after AND other.detected_at < asked.before)";

/// Past this share of new customers, three of four, the next batch does not look for known ones first: that costs a new one
/// 5 us of 40, and saves a known one about as much and the question what is near to it.
const MOSTLY: (usize, usize) = (3, 4);

const MAKE_STAGING: &str = "CREATE TEMP TABLE IF NOT EXISTS beacond_staging (
    customer_id text, beacon_id text, location text, confidence real, detected_at timestamptz) ON COMMIT DELETE ROWS";

const UPSERT_PREFERENCE_CHANGES: &str =
    "INSERT INTO preference_changes AS held (customer_id, key, updated_at)
    SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[])
    ON CONFLICT (customer_id, key) DO UPDATE SET updated_at = excluded.updated_at
    WHERE excluded.updated_at > held.updated_at
    RETURNING customer_id, key";

const MERGE_PREFERENCES: &str = "UPDATE customers
    SET preferences = coalesce(preferences, '{}') || newer.pairs::jsonb
    FROM unnest($1::text[], $2::text[]) AS newer (id, pairs) WHERE customer_id = newer.id";

impl Lane {
    /// Writes a part and commits it. Answers the ids of rows that another of their customer lies under 60 s from. After
    /// an error the lane is to be dropped: where its protocol and its transaction stand is not known.
    pub(super) async fn write(&mut self, part: &Part<'_>, way: Way) -> Result<Vec<i64>, Failure> {
        let way = if part.identities.is_empty() { Way::Direct } else { way };
        if way == Way::Merge && self.copy_staging.is_none() {
            self.client.batch_execute(MAKE_STAGING).await?;
            let copy = format!("COPY pg_temp.beacond_staging ({COLUMNS}) FROM STDIN BINARY");
            self.copy_staging = Some(self.client.prepare(&copy).await?);
        }
        match self.foreign_keys {
            ForeignKeys::CheckedByBatch => self.client.batch_execute(BEGIN_WITHOUT_ROW_CHECKS).await?,
            ForeignKeys::CheckedByRow => self.client.batch_execute(BEGIN).await?,
        }
        let in_question = self.write_customers(part).await?;
        let mut near_ids = Vec::new();
        if !part.identities.is_empty() {
            if self.foreign_keys == ForeignKeys::CheckedByBatch {
                self.check_beacons(part).await?;
            }
            self.write_identities(part, way).await?;
            if !in_question.is_empty() {
                near_ids = self.find_near(part, &in_question).await?;
            }
        }
        if !part.preferences.is_empty() {
            self.write_preferences(part).await?;
        }
        self.client.batch_execute("COMMIT").await?;
        Ok(near_ids)
    }

    /// Makes or locks every customer's row. Answers those, in order, whose identities may be too near to others: not
    /// those seen before, over a minute before the batch, and not those first seen in it. No identity is later than its
    /// customer's `last_seen`, since both are written together.
    async fn write_customers<'b>(&mut self, part: &Part<'b>) -> Result<Vec<&'b str>, Failure> {
        let known: Vec<_> =
            part.customers.iter().filter_map(|customer| Some((customer, customer.first?))).collect();
        let moved = if self.mostly_new { vec![false; known.len()] } else { self.move_known(&known).await? };
        let mut moved = moved.into_iter();
        let mut in_question = Vec::new();
        let mut rest = Vec::new();
        for customer in &part.customers {
            if customer.first.is_some() && moved.next() == Some(true) {
                if customer.near {
                    in_question.push(customer.id);
                }
            } else {
                rest.push(customer);
            }
        }
        let mut new = 0;
        if !rest.is_empty() {
            let (inserted, of_rest) = self.write_rest(&rest).await?;
            new = inserted;
            in_question.extend(of_rest);
            in_question.sort_unstable();
        }
        self.mostly_new = new * MOSTLY.1 > part.customers.len() * MOSTLY.0;
        Ok(in_question)
    }

    /// Moves customers that are known and not late; tells of each whether it was so.
    async fn move_known(&self, asked: &[(&PartCustomer<'_>, Timestamp)]) -> Result<Vec<bool>, Failure> {
        let mut moved = vec![false; asked.len()];
        if asked.is_empty() {
            return Ok(moved);
        }
        let ids: Vec<_> = asked.iter().map(|(customer, _)| customer.id).collect();
        let last: Vec<_> = asked
            .iter()
            .map(|(customer, first)| Time(customer.row.identified_at.unwrap_or(*first)))
            .collect();
        let before: Vec<_> = asked.iter().map(|(_, first)| Time(first.plus_micros(-SPACING_US))).collect();
        for row in self.client.query(&self.statements.move_known, &[&ids, &last, &before]).await? {
            let place: i64 = row.try_get(0)?;
            if let Some(moved) = usize::try_from(place - 1).ok().and_then(|place| moved.get_mut(place)) {
                *moved = true;
            }
        }
        Ok(moved)
    }

    /// The customers that are new, late, or have preferences only. Answers how many are new, and who is in question.
    async fn write_rest<'b>(&self, rest: &[&PartCustomer<'b>]) -> Result<(usize, Vec<&'b str>), Failure> {
        let ids: Vec<_> = rest.iter().map(|customer| customer.id).collect();
        let last: Vec<_> = rest.iter().map(|customer| Time(customer.row.last_seen_if_new)).collect();
        let inserted = self.client.query(&self.statements.insert_or_lock, &[&ids, &last]).await?;
        // By id, since a row's place is not among what RETURNING can tell here.
        let mut inserted_ids = inserted.iter().map(|row| row.try_get(0)).collect::<Result<Vec<&str>, _>>()?;
        inserted_ids.sort_unstable();
        let (new, held): (Vec<&PartCustomer<'b>>, Vec<&PartCustomer<'b>>) =
            rest.iter().partition(|customer| inserted_ids.binary_search(&customer.id).is_ok());
        let (ids, last): (Vec<&'b str>, Vec<Time>) = held
            .into_iter()
            .filter_map(|customer| Some((customer.id, Time(customer.row.identified_at?))))
            .unzip();
        if !ids.is_empty() {
            self.client.execute(&self.statements.move_late, &[&ids, &last]).await?;
        }
        let near = new.iter().filter(|customer| customer.near).map(|customer| customer.id);
        Ok((new.len(), near.chain(ids).collect()))
    }

    async fn check_beacons(&self, part: &Part<'_>) -> Result<(), Failure> {
        let missing = self.client.query_opt(&self.statements.missing_beacons, &[&part.beacons()]).await?;
        match missing {
            Some(row) => Err(Failure::MissingBeacon(row.try_get(0)?)),
            None => Ok(()),
        }
    }

    async fn write_identities(&mut self, part: &Part<'_>, way: Way) -> Result<(), Failure> {
        encode(part.identities.iter().copied(), &mut self.buffer);
        match (way, self.copy_staging.clone()) {
            (Way::Merge, Some(staging)) => {
                self.copy(&staging).await?;
                self.client.execute(MERGE_STAGING, &[]).await?;
                self.status.merged();
            }
            (Way::Merge | Way::Direct, _) => {
                let statement = self.statements.copy.clone();
                self.copy(&statement).await?;
            }
        }
        Ok(())
    }

    async fn copy(&mut self, statement: &Statement) -> Result<(), Failure> {
        let sink: CopyInSink<bytes::Bytes> = self.client.copy_in(statement).await?;
        let mut sink = std::pin::pin!(sink);
        for piece in pieces(&mut self.buffer) {
            sink.send(piece).await?;
        }
        sink.finish().await?;
        Ok(())
    }

    async fn find_near(&self, part: &Part<'_>, in_question: &[&str]) -> Result<Vec<i64>, Failure> {
        let asked = part
            .identities
            .iter()
            .filter(|identity| in_question.binary_search(&identity.customer_id.as_str()).is_ok());
        let (ids, times): (Vec<_>, Vec<Timestamp>) =
            asked.map(|identity| (identity.customer_id.as_str(), identity.detected_at)).unzip();
        let shifted = |by_us: i64| times.iter().map(|at| Time(at.plus_micros(by_us))).collect::<Vec<_>>();
        let (at, after, before) = (shifted(0), shifted(-SPACING_US), shifted(SPACING_US));
        let found = self.client.query(&self.statements.near, &[&ids, &at, &after, &before]).await?;
        Ok(found.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
    }

    /// Each key changes only for a newer one; which are newer is decided by the rows of `preference_changes`.
    async fn write_preferences(&self, part: &Part<'_>) -> Result<(), Failure> {
        let ids: Vec<_> = part.preferences.iter().map(|row| row.customer_id).collect();
        let keys: Vec<_> = part.preferences.iter().map(|row| row.key).collect();
        let times: Vec<_> = part.preferences.iter().map(|row| Time(row.row.updated_at)).collect();
        let newer = self.client.query(UPSERT_PREFERENCE_CHANGES, &[&ids, &keys, &times]).await?;
        let values: BTreeMap<_, _> =
            part.preferences.iter().map(|row| ((row.customer_id, row.key), row.row.value)).collect();
        let mut pairs: BTreeMap<&str, serde_json::Map<String, serde_json::Value>> = BTreeMap::new();
        for row in &newer {
            let (id, key) = (row.try_get(0)?, row.try_get(1)?);
            if let Some(value) = values.get(&(id, key)) {
                pairs.entry(id).or_default().insert(key.to_owned(), (*value).into());
            }
        }
        if pairs.is_empty() {
            return Ok(());
        }
        let (ids, pairs): (Vec<&str>, Vec<String>) =
            pairs.into_iter().map(|(id, pairs)| (id, serde_json::Value::Object(pairs).to_string())).unzip();
        self.client.execute(MERGE_PREFERENCES, &[&ids, &pairs]).await?;
        Ok(())
    }
}

/// Keys are unique in the staging table, which the part's rows went into: nothing is to be chosen among equal ones.
const MERGE_STAGING: &str =
    "INSERT INTO customer_identities (customer_id, beacon_id, location, confidence, detected_at)
    SELECT customer_id, beacon_id, location, confidence, detected_at FROM pg_temp.beacond_staging
    ORDER BY customer_id, detected_at
    ON CONFLICT (customer_id, detected_at) DO NOTHING";
