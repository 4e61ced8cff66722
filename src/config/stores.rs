//! The sections of the stores: which there are, and how each is reached.

use std::fmt;

use serde::Deserialize;

use super::ConfigError;
use super::values::{Milliseconds, Number};

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
pub enum RecordStore {
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

    pub(super) fn expose(&self) -> &str {
        &self.0
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
    Postgres(PostgresRecordSettings),
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
