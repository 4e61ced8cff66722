//! The stores that identities come to, asked from outside: not by the daemon's adapters, and over connections of their own.

mod dynamodb;
mod postgres;
mod redis;
mod sqlite;

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::Arc;

use self::dynamodb::DynamoDb;
use self::postgres::Postgres;
use self::redis::Redis;
use super::arguments::RunArguments;
use super::samples::Wanted;
use crate::ending::Failure;
use crate::population::Naming;

/// A customer is not identified twice within a minute: whatever is in the store that near is the identity that was meant.
const MINUTE_US: i64 = 60_000_000;
const NOT_ASKED: &str = "not asked";

/// The stores that a run was told of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stores {
    record: Option<Record>,
    /// Redis's URL.
    cache: Option<String>,
    events: Option<Events>,
}

#[derive(Debug, Clone)]
enum Record {
    Sqlite(PathBuf),
    /// By URL.
    Postgres(String),
}

#[derive(Debug, Clone)]
struct Events {
    table: String,
    endpoint: Option<String>,
    suffixes: NonZeroU16,
}

/// Sees whether identities are in a store.
#[derive(Debug)]
pub(crate) enum Eye {
    Sqlite(rusqlite::Connection),
    Postgres(Box<Postgres>),
    DynamoDb(Box<DynamoDb>),
}

/// Reads latest identities from a store.
#[derive(Debug)]
pub(crate) enum Reading {
    Sqlite(rusqlite::Connection),
    Postgres(Box<Postgres>),
    Redis(Box<Redis>),
}

impl Stores {
    /// Those of the arguments and the environment.
    ///
    /// # Errors
    /// When a file with a URL cannot be read.
    pub(crate) fn of(arguments: &RunArguments) -> Result<Self, Failure> {
        let variable = |name| std::env::var(name).ok().filter(|value: &String| !value.trim().is_empty());
        let url = |file: &Option<PathBuf>, name| match file {
            None => Ok(variable(name)),
            Some(file) => std::fs::read_to_string(file)
                .map(|url| Some(url.trim().to_owned()))
                .map_err(|error| Failure::Usage(format!("{}: {error}", file.display()))),
        };
        let record = match &arguments.sqlite {
            Some(file) => Some(Record::Sqlite(file.clone())),
            None => url(&arguments.postgres_url_file, "BEACOND_POSTGRES_URL")?.map(Record::Postgres),
        };
        let cache = url(&arguments.redis_url_file, "BEACOND_REDIS_URL")?;
        let events = arguments.dynamodb_table.clone().map(|table| Events {
            table,
            endpoint: variable("BEACOND_DYNAMODB_ENDPOINT"),
            suffixes: arguments.dynamodb_suffixes,
        });
        Ok(Self { record, cache, events })
    }

    pub(crate) const fn has_record(&self) -> bool {
        self.record.is_some()
    }

    pub(crate) const fn has_cache(&self) -> bool {
        self.cache.is_some()
    }

    pub(crate) const fn has_events(&self) -> bool {
        self.events.is_some()
    }

    /// What each is, as reports name it.
    ///
    /// # Errors
    /// When one cannot be asked.
    pub(crate) async fn names(&self) -> Result<BTreeMap<String, String>, Failure> {
        let record = match &self.record {
            None => NOT_ASKED.to_owned(),
            Some(Record::Sqlite(path)) => {
                sqlite::open(path).map_err(unavailable(&path.display().to_string()))?;
                format!("SQLite {}", rusqlite::version())
            }
            Some(Record::Postgres(url)) => {
                let postgres = Postgres::connect(url).await.map_err(unavailable("PostgreSQL"))?;
                format!("PostgreSQL {}", postgres.version().await.map_err(unavailable("PostgreSQL"))?)
            }
        };
        let cache = match &self.cache {
            None => NOT_ASKED.to_owned(),
            Some(url) => {
                let mut redis = Redis::connect(url).await.map_err(unavailable("Redis"))?;
                format!("Redis {}", redis.version().await.map_err(unavailable("Redis"))?)
            }
        };
        let events = match &self.events {
            None => NOT_ASKED.to_owned(),
            Some(events) => events.connect().await?.name(events.endpoint.as_deref()),
        };
        let names = [("record", record), ("cache", cache), ("events", events)];
        Ok(names.map(|(part, name)| (part.to_owned(), name)).into())
    }

    /// An eye on the system of record.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub(crate) async fn eye_on_record(&self) -> Result<Option<Eye>, Failure> {
        Ok(match &self.record {
            None => None,
            Some(Record::Sqlite(path)) => {
                let opened = sqlite::open(path);
                Some(Eye::Sqlite(opened.map_err(unavailable(&path.display().to_string()))?))
            }
            Some(Record::Postgres(url)) => {
                let postgres = Postgres::connect(url).await.map_err(unavailable("PostgreSQL"))?;
                Some(Eye::Postgres(Box::new(postgres)))
            }
        })
    }

    /// An eye on the store of events.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub(crate) async fn eye_on_events(&self) -> Result<Option<Eye>, Failure> {
        match &self.events {
            None => Ok(None),
            Some(events) => Ok(Some(Eye::DynamoDb(Box::new(events.connect().await?)))),
        }
    }

    /// Reads from the cache.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub(crate) async fn reading_of_cache(&self) -> Result<Option<Reading>, Failure> {
        let Some(url) = &self.cache else { return Ok(None) };
        Ok(Some(Reading::Redis(Box::new(Redis::connect(url).await.map_err(unavailable("Redis"))?))))
    }

    /// Reads from the system of record.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub(crate) async fn reading_of_record(&self) -> Result<Option<Reading>, Failure> {
        Ok(self.eye_on_record().await?.and_then(|eye| match eye {
            Eye::Sqlite(connection) => Some(Reading::Sqlite(connection)),
            Eye::Postgres(postgres) => Some(Reading::Postgres(postgres)),
            Eye::DynamoDb(_) => None,
        }))
    }
}

impl Events {
    async fn connect(&self) -> Result<DynamoDb, Failure> {
        let connected = DynamoDb::connect(self.table.clone(), self.endpoint.as_deref(), self.suffixes).await;
        connected.map_err(unavailable("DynamoDB"))
    }
}

impl Eye {
    /// Which of these are there.
    ///
    /// # Errors
    /// Why the store could not be asked.
    pub(crate) async fn see(&mut self, wanted: &[Arc<Wanted>]) -> Result<Vec<bool>, String> {
        match self {
            Self::Sqlite(connection) => sqlite::see(connection, wanted),
            Self::Postgres(postgres) => postgres.see(wanted).await,
            Self::DynamoDb(dynamodb) => dynamodb.see(wanted).await,
        }
    }
}

impl Reading {
    /// Reads a customer's latest identity; whether there is one.
    ///
    /// # Errors
    /// Why the store could not be asked.
    pub(crate) async fn latest(&mut self, customer: u32) -> Result<bool, String> {
        match self {
            Self::Sqlite(connection) => sqlite::latest(connection, customer),
            Self::Postgres(postgres) => postgres.latest(customer).await,
            Self::Redis(redis) => redis.latest(customer).await,
        }
    }
}

fn unavailable(store: &str) -> impl FnOnce(String) -> Failure {
    move |error| Failure::Resources(format!("{store} cannot be asked: {error}"))
}

/// An error and what is behind it, on one line.
fn causes(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text.replace('\n', " ")
}

fn customer_text(customer: u32) -> String {
    String::from_utf8_lossy(&Naming::customer_id(customer)).into_owned()
}

/// As the stores keep it: UTC text of one width.
fn time_text(us: i64) -> String {
    let time = chrono::DateTime::from_timestamp_micros(us).unwrap_or_default();
    time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_text_of_one_width() {
        assert_eq!(time_text(1_777_636_800_000_001), "2026-05-01T12:00:00.000001Z");
        assert_eq!(time_text(1_777_636_800_000_000), "2026-05-01T12:00:00.000000Z");
    }
}
