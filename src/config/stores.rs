//! The sections of the stores: which there are, and how each is reached.

use std::fmt;

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use serde::Deserialize;

use super::values::{Milliseconds, Number};
use super::{Config, ConfigError};
use crate::stores::dynamodb::DynamoDbSettings;
use crate::stores::postgres::{
    FollowSettings, ForeignKeys, PostgresReaderSettings, PostgresSettings, PostgresWriterSettings,
};
use crate::stores::redis::RedisSettings;

/// Environment variables that go before the keys of the same meaning, so that secrets need no file.
pub(super) const POSTGRES_URL: &str = "BEACOND_POSTGRES_URL";
pub(super) const REDIS_URL: &str = "BEACOND_REDIS_URL";
pub(super) const DYNAMODB_ENDPOINT: &str = "BEACOND_DYNAMODB_ENDPOINT";

/// Which store is what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct Stores {
    pub(super) record: RecordStore,
    pub(super) cache: CacheStore,
    pub(super) events: EventsStore,
}

/// The system of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RecordStore {
    /// One file in the data directory.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

/// The cache that daemons share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum CacheStore {
    None,
    Redis,
}

/// The store of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum EventsStore {
    None,
    DynamoDb,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Postgres {
    pub(super) url: Secret,
    pub(super) url_file: String,
    pub(super) writer_connections: Number<1, 64>,
    pub(super) reader_connections: Number<1, 256>,
    pub(super) foreign_keys: ForeignKeyCheck,
    pub(super) connect_timeout_ms: Milliseconds<100, 60_000>,
    pub(super) write_timeout_ms: Milliseconds<100, 600_000>,
}

/// How the references of a batch are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ForeignKeyCheck {
    Batch,
    Row,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Redis {
    pub(super) url: Secret,
    pub(super) url_file: String,
    pub(super) timeout_ms: Milliseconds<10, 1_500>,
    pub(super) customers_queued: Number<1, 10_000_000>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct DynamoDb {
    pub(super) table: String,
    pub(super) endpoint: String,
    pub(super) suffixes: Number<1, 1_000>,
    pub(super) calls_in_flight: Number<0, 1_000>,
    pub(super) max_calls_in_flight: Number<1, 1_000>,
    pub(super) call_timeout_ms: Milliseconds<100, 60_000>,
    pub(super) write_timeout_ms: Milliseconds<100, 600_000>,
    pub(super) batch_rows: Number<1, 100_000>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct DeadLetters {
    pub(super) max_bytes: Number<65_536, 1_099_511_627_776>,
}

/// Text that is not shown: a URL may hold a password.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "\"\"" } else { "\"...\"" })
    }
}

impl Secret {
    /// The URL of a store: of the environment, else the key's, else the file's.
    ///
    /// # Errors
    /// When there is none, or its file cannot be read.
    pub(super) fn resolved(
        &self,
        section: &str,
        variable: &str,
        url_file: &str,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        if let Some(url) = environment(variable).filter(|url| !url.is_empty()) {
            return Ok(Self(url));
        }
        if !self.0.is_empty() {
            return Ok(self.clone());
        }
        if url_file.is_empty() {
            let reason = format!("{section}.url, {section}.url_file or {variable} must say where it is");
            return Err(ConfigError::File { file: format!("section {section}"), reason });
        }
        let text = std::fs::read_to_string(url_file)
            .map_err(|error| ConfigError::File { file: url_file.to_owned(), reason: error.to_string() })?;
        Ok(Self(text.trim().to_owned()))
    }
}

/// How every store is reached, with what must be known for it.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// The system of record.
    pub record: RecordSettings,
    /// The cache that daemons share.
    pub cache: Option<RedisSettings>,
    /// The store of events.
    pub events: Option<DynamoDbSettings>,
    /// The bound of the dead letters' file.
    pub dead_letters_max_bytes: u64,
}

/// How the system of record is reached.
#[derive(Debug, Clone)]
pub enum RecordSettings {
    /// A file in the data directory.
    Sqlite,
    /// A server.
    Postgres(Box<PostgresRecordSettings>),
}

/// How PostgreSQL is written to, asked, and followed.
#[derive(Debug, Clone)]
pub struct PostgresRecordSettings {
    /// Where it is.
    pub server: PostgresSettings,
    /// How it is written to.
    pub writer: PostgresWriterSettings,
    /// How it is asked.
    pub reader: PostgresReaderSettings,
    /// How changes of beacons are heard of.
    pub follow: FollowSettings,
}

/// Questions to PostgreSQL that are asked or wait for a connection at most: as many as loads beside use and sessions
/// that wait can bring together before waiting longer would not help them.
const QUESTIONS_AT_MOST: usize = 4_096;

/// How often changes of beacons are looked for, and how long that may take: together under the three seconds in which
/// caches must be told that they are not told.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
const POLL_TIMEOUT: Duration = Duration::from_millis(900);

/// Customers written into Redis in one round trip at most.
const CUSTOMERS_BATCH_ROWS: usize = 1_000;

/// How often an event is sent within one call of the writer; then its backoff goes on.
const ATTEMPTS: u32 = 5;

/// The settings of the stores that a configuration names; addresses of `environment` go before its own.
pub(super) fn settings(
    config: &Config,
    question_timeout: Duration,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<StoreSettings, ConfigError> {
    let Stores { record, cache, events } = config.stores;
    let record = match record {
        RecordStore::Sqlite => RecordSettings::Sqlite,
        RecordStore::Postgres => {
            RecordSettings::Postgres(Box::new(config.postgres.settings(question_timeout, &environment)?))
        }
    };
    let cache = match cache {
        CacheStore::None => None,
        CacheStore::Redis => Some(config.redis.settings(&environment)?),
    };
    let events = match events {
        EventsStore::None => None,
        EventsStore::DynamoDb => Some(config.dynamodb.settings(&environment)),
    };
    Ok(StoreSettings {
        record,
        cache,
        events,
        dead_letters_max_bytes: config.dead_letters.max_bytes.to_u64(),
    })
}

impl Postgres {
    fn settings(
        &self,
        question_timeout: Duration,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<PostgresRecordSettings, ConfigError> {
        let url = self.url.resolved("postgres", POSTGRES_URL, &self.url_file, environment)?;
        let server = PostgresSettings {
            url: url.0,
            connect_timeout: self.connect_timeout_ms.duration(),
            statement_timeout: question_timeout,
        };
        let writer = PostgresWriterSettings {
            server: server.clone(),
            connections: self.writer_connections.to_usize(),
            write_timeout: self.write_timeout_ms.duration(),
            foreign_keys: match self.foreign_keys {
                ForeignKeyCheck::Batch => ForeignKeys::CheckedByBatch,
                ForeignKeyCheck::Row => ForeignKeys::CheckedByRow,
            },
        };
        let reader = PostgresReaderSettings {
            connections: NonZeroU32::new(self.reader_connections.to_u32()).unwrap_or(NonZeroU32::MIN),
            questions: QUESTIONS_AT_MOST,
            question_timeout,
        };
        let follow = FollowSettings { poll_interval: POLL_INTERVAL, poll_timeout: POLL_TIMEOUT };
        Ok(PostgresRecordSettings { server, writer, reader, follow })
    }
}

impl Redis {
    fn settings(&self, environment: impl Fn(&str) -> Option<String>) -> Result<RedisSettings, ConfigError> {
        let url = self.url.resolved("redis", REDIS_URL, &self.url_file, environment)?;
        Ok(RedisSettings {
            url: url.0,
            timeout: self.timeout_ms.duration(),
            customers_queued: self.customers_queued.to_usize(),
            customers_batch_rows: CUSTOMERS_BATCH_ROWS,
        })
    }
}

impl DynamoDb {
    fn settings(&self, environment: impl Fn(&str) -> Option<String>) -> DynamoDbSettings {
        let given = |endpoint: &String| !endpoint.is_empty();
        DynamoDbSettings {
            table: self.table.clone(),
            endpoint: environment(DYNAMODB_ENDPOINT)
                .filter(given)
                .or(Some(self.endpoint.clone()).filter(given)),
            suffixes: NonZeroU16::new(self.suffixes.to_u16()).unwrap_or(NonZeroU16::MIN),
            calls_in_flight: Some(self.calls_in_flight.to_usize()).filter(|calls| *calls > 0),
            max_calls_in_flight: self.max_calls_in_flight.to_usize(),
            call_timeout: self.call_timeout_ms.duration(),
            write_timeout: self.write_timeout_ms.duration(),
            attempts: ATTEMPTS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = "[stores]\nrecord = \"postgres\"\ncache = \"redis\"\nevents = \"dynamodb\"\n";

    fn settings_of(text: &str, environment: &[(&str, &str)]) -> Result<StoreSettings, ConfigError> {
        let config = Config::from_toml(text, "b.toml").unwrap();
        let found = |name: &str| {
            let pair = environment.iter().find(|(variable, _)| *variable == name);
            pair.map(|(_, value)| (*value).to_owned())
        };
        settings(&config, Duration::from_secs(2), found)
    }

    #[test]
    fn a_variable_alone_switches_no_store() {
        let settings =
            settings_of("", &[(POSTGRES_URL, "postgres://u@h/d"), (REDIS_URL, "redis://h")]).unwrap();
        assert!(matches!(settings.record, RecordSettings::Sqlite));
        assert!(settings.cache.is_none() && settings.events.is_none());
    }

    #[test]
    fn a_store_without_an_address_is_named() {
        let error = settings_of(FULL, &[(REDIS_URL, "redis://h")]).unwrap_err().to_string();
        assert!(error.contains("postgres.url") && error.contains(POSTGRES_URL), "{error}");
        let error =
            settings_of(FULL, &[(POSTGRES_URL, "postgres://h/d"), (REDIS_URL, "")]).unwrap_err().to_string();
        assert!(error.contains("redis.url"), "{error}");
    }

    #[test]
    fn the_environment_goes_before_the_key_and_the_key_before_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "redis://of-file\n").unwrap();
        let key = |url: &str| {
            let path = file.path().display();
            format!("[stores]\ncache = \"redis\"\n[redis]\nurl = \"{url}\"\nurl_file = \"{path}\"\n")
        };
        let url = |text: &str, environment: &[(&str, &str)]| {
            settings_of(text, environment).unwrap().cache.unwrap().url
        };
        assert_eq!(url(&key("redis://of-key"), &[(REDIS_URL, "redis://of-env")]), "redis://of-env");
        assert_eq!(url(&key("redis://of-key"), &[]), "redis://of-key");
        assert_eq!(url(&key(""), &[]), "redis://of-file");
    }

    #[test]
    fn no_url_is_shown() {
        let config = Config::from_toml("[postgres]\nurl = \"postgres://u:hidden@h/d\"\n", "b.toml").unwrap();
        assert!(!format!("{config:?}").contains("hidden"));
        let settings =
            settings_of(FULL, &[(POSTGRES_URL, "postgres://u:hidden@h/d"), (REDIS_URL, "redis://:hidden@h")]);
        assert!(!format!("{:?}", settings.unwrap()).contains("hidden"));
    }
}
