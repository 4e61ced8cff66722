//! Answers the pipeline's questions on threads of its own, so that no session waits for a disk.

use std::fmt;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use rusqlite::{Connection, OptionalExtension, Params, Row, params};
use tokio::sync::oneshot;

use super::failure::{store_error, unavailable};
use super::open::{FILE_NAME, OpenError, open_for_reading};
use super::rows::{self, SELECT_BEACON, SELECT_GATEWAY};
use crate::domain::beacon::{Beacon, BeaconId};
use crate::domain::customer::CustomerId;
use crate::domain::gateway::{Gateway, GatewayId};
use crate::domain::identity::CustomerIdentity;
use crate::domain::time::Timestamp;
use crate::domain::window::SPACING_US;
use crate::ports::{PortFuture, StoreError, SystemOfRecord};

/// One lookup a pair, all in one transaction: once warm, a join with `json_each` took 1.2 to 1.4 times as long.
const SELECT_NEAR: &str = "SELECT beacon_id, detected_at, location, confidence FROM customer_identities
    WHERE customer_id = ?1 AND detected_at > ?2 AND detected_at < ?3 ORDER BY detected_at";

const SELECT_NEWEST: &str = "SELECT detected_at FROM customer_identities ORDER BY detected_at DESC LIMIT 1";

/// How many questions are answered at once, and how many may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqliteReaderSettings {
    /// Threads, each with a connection of its own; at least 1.
    pub threads: usize,
    /// Questions that may wait for a thread; one more is [`StoreError::Unavailable`] at once.
    pub queue: usize,
}

impl Default for SqliteReaderSettings {
    fn default() -> Self {
        Self { threads: 2, queue: 256 }
    }
}

/// The system of record of the embedded store.
///
/// Each answer is read after its question was taken up, so it reflects all that was committed when it was asked.
/// Dropping the reader ends its threads after what they are at, and waits for them.
pub struct SqliteReader {
    /// None only while it is being dropped.
    questions: Option<Sender<Question>>,
    threads: Vec<JoinHandle<()>>,
}

impl fmt::Debug for SqliteReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteReader").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

impl SqliteReader {
    /// Opens the file in `data_dir`, which a [`super::SqliteWriter`] or [`super::SqliteAdmin`] has made, with the
    /// default settings.
    ///
    /// # Errors
    /// [`OpenError`]: the file cannot be reached, is not ours, or its schema is not this version's.
    pub fn open(data_dir: &Path) -> Result<Self, OpenError> {
        Self::open_with(data_dir, SqliteReaderSettings::default())
    }

    /// As [`Self::open`], with settings.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(data_dir: &Path, settings: SqliteReaderSettings) -> Result<Self, OpenError> {
        let (questions, waiting) = bounded(settings.queue);
        let mut reader = Self { questions: Some(questions), threads: Vec::new() };
        for index in 0..settings.threads.max(1) {
            let answerer =
                Answerer { data_dir: data_dir.to_owned(), connection: Some(open_for_reading(data_dir)?) };
            let waiting = waiting.clone();
            let thread = std::thread::Builder::new()
                .name(format!("sqlite-read-{index}"))
                .spawn(move || answerer.run(&waiting))
                .map_err(|error| OpenError::Unreachable {
                    path: data_dir.join(FILE_NAME),
                    reason: format!("its thread cannot be started: {error}"),
                })?;
            reader.threads.push(thread);
        }
        Ok(reader)
    }

    /// Ends the threads after what they are at, and waits for them, as dropping does.
    pub fn close(self) {
        drop(self);
    }

    fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(Answer<T>) -> Question,
    ) -> PortFuture<'_, Result<T, StoreError>> {
        let (answer, answered) = oneshot::channel();
        let asked = match &self.questions {
            Some(questions) => questions.try_send(question(answer)).map_err(|error| match error {
                TrySendError::Full(_) => "too many questions are waiting",
                TrySendError::Disconnected(_) => "its threads have ended",
            }),
            None => Err("it is closed"),
        };
        Box::pin(async move {
            asked.map_err(|reason| unavailable(reason.to_owned()))?;
            answered
                .await
                .unwrap_or_else(|_| Err(unavailable("the thread that was asked has ended".to_owned())))
        })
    }
}

impl Drop for SqliteReader {
    fn drop(&mut self) {
        self.questions = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the embedded store's reader panicked");
            }
        }
    }
}

impl SystemOfRecord for SqliteReader {
    fn beacon(&self, id: BeaconId) -> PortFuture<'_, Result<Option<Beacon>, StoreError>> {
        self.ask(|answer| Question::Beacon(id, answer))
    }

    fn gateway(&self, id: GatewayId) -> PortFuture<'_, Result<Option<Gateway>, StoreError>> {
        self.ask(|answer| Question::Gateway(id, answer))
    }

    /// No identity comes twice, also when several of the times asked are near it.
    fn identities_near(
        &self,
        asked: Vec<(CustomerId, Timestamp)>,
    ) -> PortFuture<'_, Result<Vec<CustomerIdentity>, StoreError>> {
        self.ask(|answer| Question::IdentitiesNear(asked, answer))
    }

    fn newest_identity(&self) -> PortFuture<'_, Result<Option<Timestamp>, StoreError>> {
        self.ask(Question::NewestIdentity)
    }
}

type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

#[derive(Debug)]
enum Question {
    Beacon(BeaconId, Answer<Option<Beacon>>),
    Gateway(GatewayId, Answer<Option<Gateway>>),
    IdentitiesNear(Vec<(CustomerId, Timestamp)>, Answer<Vec<CustomerIdentity>>),
    NewestIdentity(Answer<Option<Timestamp>>),
}

/// One thread's side.
struct Answerer {
    data_dir: PathBuf,
    /// None after a failure; opened anew for the next question.
    connection: Option<Connection>,
}

impl Answerer {
    fn run(mut self, waiting: &Receiver<Question>) {
        for question in waiting {
            match question {
                Question::Beacon(id, answer) => self.answer(answer, |connection| beacon(connection, id)),
                Question::Gateway(id, answer) => self.answer(answer, |connection| gateway(connection, &id)),
                Question::IdentitiesNear(asked, answer) => {
                    self.answer(answer, |connection| identities_near(connection, asked));
                }
                Question::NewestIdentity(answer) => self.answer(answer, newest_identity),
            }
        }
    }

    fn answer<T>(&mut self, answer: Answer<T>, read: impl FnOnce(&Connection) -> Result<T, StoreError>) {
        // Whoever asked has given up: no need to read.
        if answer.is_closed() {
            return;
        }
        let result = self.connection().and_then(read);
        if matches!(result, Err(StoreError::Unavailable { .. })) {
            self.connection = None;
        }
        // An error here says that nobody waits any more, which is their right.
        let _ = answer.send(result);
    }

    fn connection(&mut self) -> Result<&Connection, StoreError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => open_for_reading(&self.data_dir).map_err(|error| unavailable(error.to_string()))?,
        };
        Ok(self.connection.insert(connection))
    }
}

fn beacon(connection: &Connection, id: BeaconId) -> Result<Option<Beacon>, StoreError> {
    let mut buffer = [0; 36];
    one(connection, SELECT_BEACON, [id.write_text(&mut buffer)], rows::beacon)
}

fn gateway(connection: &Connection, id: &GatewayId) -> Result<Option<Gateway>, StoreError> {
    one(connection, SELECT_GATEWAY, [id.as_str()], rows::gateway)
}

fn newest_identity(connection: &Connection) -> Result<Option<Timestamp>, StoreError> {
    one(connection, SELECT_NEWEST, [], |row| rows::time(row, 0, "customer_identities.detected_at"))
}

fn one<T>(
    connection: &Connection,
    sql: &str,
    key: impl Params,
    read: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    connection
        .prepare_cached(sql)
        .and_then(|mut select| select.query_row(key, |row| Ok(read(row))).optional())
        .map_err(|error| store_error(&error))?
        .transpose()
}

fn identities_near(
    connection: &Connection,
    mut asked: Vec<(CustomerId, Timestamp)>,
) -> Result<Vec<CustomerIdentity>, StoreError> {
    asked.sort_unstable();
    let explain = |error| store_error(&error);
    let snapshot = connection.unchecked_transaction().map_err(explain)?;
    let mut select = snapshot.prepare_cached(SELECT_NEAR).map_err(explain)?;
    let mut found: Vec<CustomerIdentity> = Vec::new();
    for (customer_id, time) in &asked {
        let after = found
            .last()
            .filter(|last| last.customer_id == *customer_id)
            .map_or(Timestamp::from_micros(i64::MIN), |last| last.detected_at)
            .max(time.plus_micros(-SPACING_US))
            .to_text();
        let before = time.plus_micros(SPACING_US).to_text();
        let mut rows =
            select.query(params![customer_id.as_str(), after.as_str(), before.as_str()]).map_err(explain)?;
        while let Some(row) = rows.next().map_err(explain)? {
            found.push(rows::identity(row, customer_id)?);
        }
    }
    Ok(found)
}
