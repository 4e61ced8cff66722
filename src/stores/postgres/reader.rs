//! Answers the pipeline's questions over a pool of connections.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bb8::{ManageConnection, Pool, RunError};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Row, Statement};

use super::connect::{ConnectError, Connector, PostgresSettings};
use super::failure::{store_error, unavailable};
use super::rows::{self, SELECT_BEACON, SELECT_BEACONS_AFTER, SELECT_GATEWAY, Time};
use super::session::Session;
use crate::domain::beacon::{Beacon, BeaconId};
use crate::domain::customer::CustomerId;
use crate::domain::gateway::{Gateway, GatewayId};
use crate::domain::identity::CustomerIdentity;
use crate::domain::time::Timestamp;
use crate::domain::window::SPACING_US;
use crate::ports::{BeaconPage, PortFuture, StoreError, SystemOfRecord};
use crate::tasks::TaskGroup;

/// One lookup in the unique index a range, whatever the planner thinks of the tables' sizes: OFFSET 0 keeps it from
/// joining in another order.
const SELECT_NEAR: &str =
    "SELECT asked.place, stored.id, stored.beacon_id, stored.detected_at, stored.location,
        stored.confidence
    FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[])
        WITH ORDINALITY AS asked (customer_id, after, before, place)
    CROSS JOIN LATERAL (
        SELECT id, beacon_id, detected_at, location, confidence FROM customer_identities AS identity
        WHERE identity.customer_id = asked.customer_id
        AND identity.detected_at > asked.after AND identity.detected_at < asked.before
        ORDER BY identity.detected_at OFFSET 0) AS stored";

/// Answered from the end of `idx_customer_identities_detected_at`, newest partition first.
const SELECT_NEWEST: &str = "SELECT detected_at FROM customer_identities ORDER BY detected_at DESC LIMIT 1";

/// Ends when every transaction of a writer that had begun has ended, each of which holds this lock with others: also one
/// whose daemon was killed in its commit.
const WAIT_FOR_WRITERS: &str = "SELECT pg_advisory_xact_lock(1650683492)";

/// How many questions are asked at once, and how long each may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostgresReaderSettings {
    /// Connections held at most.
    pub connections: NonZeroU32,
    /// Questions taken on at most, asked or waiting for a connection; one more is [`StoreError::Unavailable`] at once.
    pub questions: usize,
    /// How long a question may take, the wait for a connection included. Under the two seconds in which a store must
    /// answer.
    pub question_timeout: Duration,
}

/// The system of record in PostgreSQL.
///
/// Connects when it is first asked. Each answer is read by a statement that begins after its question was asked, so it
/// reflects all that was committed then.
pub struct PostgresRecord {
    pool: Pool<Sessions>,
    last_failure: LastFailure,
    places: Semaphore,
    settings: PostgresReaderSettings,
}

impl fmt::Debug for PostgresRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresRecord").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl PostgresRecord {
    /// Connects to nothing yet. Must be called on the runtime that will ask; its connections are driven by tasks of
    /// `tasks`, which end with it.
    ///
    /// # Errors
    /// [`ConnectError`] when the URL or its certificates cannot be used.
    pub fn new(
        postgres: &PostgresSettings,
        settings: PostgresReaderSettings,
        tasks: TaskGroup,
    ) -> Result<Self, ConnectError> {
        let connector = Connector::new(postgres)?;
        let last_failure = LastFailure::default();
        let sessions = Sessions {
            connector,
            tasks,
            question_timeout: settings.question_timeout,
            last_failure: last_failure.clone(),
        };
        let pool = Pool::builder()
            .max_size(settings.connections.get())
            .connection_timeout(settings.question_timeout)
            .build_unchecked(sessions);
        Ok(Self { pool, last_failure, places: Semaphore::new(settings.questions), settings })
    }

    /// Asks within the time a question may take.
    async fn ask<T>(
        &self,
        question: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let Ok(_place) = self.places.try_acquire() else {
            return Err(unavailable("too many questions are waiting".to_owned()));
        };
        timeout(self.settings.question_timeout, question)
            .await
            .unwrap_or_else(|_| Err(unavailable(self.last_failure.or("no answer in time"))))
    }

    async fn rows(&self, question: Question, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        let mut asker = self.pool.get().await.map_err(|error| match error {
            RunError::User(error) => error,
            RunError::TimedOut => unavailable(self.last_failure.or("no connection in time")),
        })?;
        // What fails or is given up is not used again: it may be cut, hang, or hold statements of an older schema.
        asker.in_use = true;
        let rows = asker.ask(question, values).await.map_err(|error| store_error(&error))?;
        asker.in_use = false;
        Ok(rows)
    }
}

impl SystemOfRecord for PostgresRecord {
    fn beacon(&self, id: BeaconId) -> PortFuture<'_, Result<Option<Beacon>, StoreError>> {
        Box::pin(self.ask(async move {
            let mut buffer = [0; 36];
            let rows = self.rows(Question::Beacon, &[&id.write_text(&mut buffer)]).await?;
            rows.first().map(rows::beacon).transpose()
        }))
    }

    fn beacons(
        &self,
        after: Option<BeaconId>,
        at_most: u32,
    ) -> PortFuture<'_, Result<BeaconPage, StoreError>> {
        Box::pin(self.ask(async move {
            let mut buffer = [0; 36];
            // Before every id.
            let after = after.as_ref().map_or("", |after| after.write_text(&mut buffer));
            let rows = self.rows(Question::BeaconsAfter, &[&after, &i64::from(at_most)]).await?;
            let beacons: Vec<Beacon> = rows.iter().filter_map(rows::canonical_beacon).collect();
            let is_last = u32::try_from(rows.len()).is_ok_and(|rows| rows < at_most);
            // A row without an id that can be read is in the next page too, if it is at the end of this one.
            let next_after = beacons.last().map(|beacon| beacon.id).filter(|_| !is_last);
            Ok(BeaconPage { beacons, next_after })
        }))
    }

    fn gateway(&self, id: GatewayId) -> PortFuture<'_, Result<Option<Gateway>, StoreError>> {
        Box::pin(self.ask(async move {
            let rows = self.rows(Question::Gateway, &[&id.as_str()]).await?;
            rows.first().map(rows::gateway).transpose()
        }))
    }

    /// No identity comes twice, also when several of the times asked are near it.
    fn identities_near(
        &self,
        asked: Vec<(CustomerId, Timestamp)>,
    ) -> PortFuture<'_, Result<Vec<CustomerIdentity>, StoreError>> {
        Box::pin(self.ask(async move {
            let ranges = ranges(asked);
            let customers: Vec<&str> = ranges.iter().map(|range| range.customer_id.as_str()).collect();
            let after: Vec<Time> = ranges.iter().map(|range| Time(range.after)).collect();
            let before: Vec<Time> = ranges.iter().map(|range| Time(range.before)).collect();
            let found = self.rows(Question::Near, &[&customers, &after, &before]).await?;
            found.iter().map(|row| near(row, &ranges)).collect()
        }))
    }

    fn newest_identity(&self) -> PortFuture<'_, Result<Option<Timestamp>, StoreError>> {
        Box::pin(self.ask(async move {
            self.rows(Question::Settled, &[]).await?;
            let rows = self.rows(Question::Newest, &[]).await?;
            rows.first().map(|row| rows::time(row, 0, "customer_identities.detected_at")).transpose()
        }))
    }
}

/// Times of one customer, the ends excluded.
#[derive(Debug, PartialEq)]
struct Range {
    customer_id: CustomerId,
    after: Timestamp,
    before: Timestamp,
}

/// The times under 60 s from those asked, as ranges that do not overlap.
fn ranges(mut asked: Vec<(CustomerId, Timestamp)>) -> Vec<Range> {
    asked.sort_unstable();
    let mut ranges: Vec<Range> = Vec::with_capacity(asked.len());
    for (customer_id, time) in asked {
        let (after, before) = (time.plus_micros(-SPACING_US), time.plus_micros(SPACING_US));
        match ranges.last_mut() {
            Some(last) if last.customer_id == customer_id && after < last.before => last.before = before,
            _ => ranges.push(Range { customer_id, after, before }),
        }
    }
    ranges
}

fn near(row: &Row, ranges: &[Range]) -> Result<CustomerIdentity, StoreError> {
    let place: i64 = rows::value(row, 0, "place")?;
    let range = usize::try_from(place - 1).ok().and_then(|place| ranges.get(place));
    let range = range.ok_or_else(|| unavailable("it answered what was not asked".to_owned()))?;
    rows::identity(row, 1, &range.customer_id)
}

/// What the pool makes.
struct Sessions {
    connector: Connector,
    tasks: TaskGroup,
    question_timeout: Duration,
    last_failure: LastFailure,
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
enum Question {
    Beacon,
    BeaconsAfter,
    Gateway,
    Near,
    Newest,
    Settled,
}

impl Question {
    const fn statement(self) -> (&'static str, &'static [Type]) {
        const TIMES: Type = Type::TIMESTAMPTZ_ARRAY;
        match self {
            Self::Beacon => (SELECT_BEACON, &[Type::TEXT]),
            Self::BeaconsAfter => (SELECT_BEACONS_AFTER, &[Type::TEXT, Type::INT8]),
            Self::Gateway => (SELECT_GATEWAY, &[Type::TEXT]),
            Self::Near => (SELECT_NEAR, &[Type::TEXT_ARRAY, TIMES, TIMES]),
            Self::Newest => (SELECT_NEWEST, &[]),
            Self::Settled => (WAIT_FOR_WRITERS, &[]),
        }
    }
}

/// A connection, with the questions prepared that were asked on it: one whose table is locked is not in the way of the
/// others.
struct Asker {
    session: Session,
    prepared: [Option<Statement>; 6],
    /// A question was asked and its answer not read, or it failed.
    in_use: bool,
}

impl Asker {
    async fn ask(
        &mut self,
        question: Question,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let client = &self.session.client;
        let prepared = &mut self.prepared[question as usize];
        let statement = match prepared {
            Some(statement) => statement,
            None => {
                let (sql, types) = question.statement();
                prepared.insert(client.prepare_typed(sql, types).await?)
            }
        };
        client.query(statement, values).await
    }
}

impl Sessions {
    async fn open(&self) -> Result<Asker, StoreError> {
        let session = Session::open(&self.connector, &self.tasks, self.question_timeout).await?;
        Ok(Asker { session, prepared: [const { None }; 6], in_use: false })
    }
}

impl ManageConnection for Sessions {
    type Connection = Asker;
    type Error = StoreError;

    async fn connect(&self) -> Result<Asker, StoreError> {
        let opened = timeout(self.question_timeout, self.open()).await;
        let opened = opened.unwrap_or_else(|_| Err(unavailable("no connection in time".to_owned())));
        self.last_failure.note(opened.as_ref().err());
        opened
    }

    /// Without a round trip before each question: one that fails is asked again by those who ask.
    async fn is_valid(&self, asker: &mut Asker) -> Result<(), StoreError> {
        if self.has_broken(asker) {
            return Err(unavailable("the connection was closed".to_owned()));
        }
        Ok(())
    }

    fn has_broken(&self, asker: &mut Asker) -> bool {
        asker.in_use || asker.session.client.is_closed()
    }
}

/// Why no connection could be made, for those who waited for one.
#[derive(Debug, Clone, Default)]
struct LastFailure(Arc<Mutex<Option<String>>>);

impl LastFailure {
    fn note(&self, failure: Option<&StoreError>) {
        let reason = failure.map(|error| match error {
            StoreError::Unavailable { reason, .. } | StoreError::BadRow { reason, .. } => reason.clone(),
        });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    fn or(&self, otherwise: &str) -> String {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        last.unwrap_or_else(|| otherwise.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_asked_near_each_other_become_one_range_and_touching_ends_stay_apart() {
        let customer = |id: &str| CustomerId::from_bytes(id.as_bytes()).unwrap();
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let asked = vec![
            (customer("b"), at(1_000)),
            (customer("a"), at(1_119)),
            (customer("a"), at(1_000)),
            (customer("a"), at(1_239)),
        ];
        let range = |id: &str, after, before| Range {
            customer_id: customer(id),
            after: at(after),
            before: at(before),
        };
        assert_eq!(ranges(asked), [range("a", 940, 1_179), range("a", 1_179, 1_299), range("b", 940, 1_060)]);
    }
}
