//! Configuration: the defaults, a file over them, and the settings of each part made from both.
//!
//! The defaults have one home, `config/default.toml`, which is also what `beacond config default` prints.

mod contradictions;
mod stores;
mod values;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread::available_parallelism;
use std::time::Duration;

use figment::Figment;
use figment::error::Kind;
use figment::providers::{Format, Toml};
use figment::value::{Dict, Value};
use serde::Deserialize;

pub use self::stores::{PostgresRecordSettings, RecordSettings, StoreSettings};
use self::values::{Address, Dbm, LogLevel, Milliseconds, Number, ScaleDbm};
use crate::domain::clock::TimeLimits;
use crate::domain::confidence::ConfidenceSettings;
use crate::domain::frame;
use crate::domain::time::MICROS_PER_SECOND;
use crate::journal::JournalSettings;
use crate::listen::{ListenSettings, SessionLimits};
use crate::pipeline::{BatchLimits, DirectorySettings, PipelineSettings, TierSettings};

/// The default configuration, every key with a comment.
pub const DEFAULT_TOML: &str = include_str!("config/default.toml");

/// What the daemon runs with: every value within its bounds.
#[derive(Debug, Clone, Deserialize, PartialEq)]
pub struct Config {
    data_dir: PathBuf,
    listen: Listen,
    sessions: Sessions,
    rules: Rules,
    pipeline: Pipeline,
    journal: Journal,
    directory: Directory,
    stores: stores::Stores,
    postgres: stores::Postgres,
    redis: stores::Redis,
    dynamodb: stores::DynamoDb,
    dead_letters: stores::DeadLetters,
    log: Log,
    #[serde(skip)]
    insecure_dev: bool,
    /// Every key with its value as it would stand in the file.
    #[serde(skip)]
    values: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize, PartialEq)]
struct Log {
    level: LogLevel,
}

#[derive(Debug, Clone, Deserialize, PartialEq)]
struct Listen {
    tcp: Address,
    udp: Address,
    admin: Address,
}

#[derive(Debug, Clone, Deserialize, PartialEq)]
struct Sessions {
    ack_level: AckLevel,
    max_tcp: Number<1, 1_000_000>,
    tcp_window_frames: Number<1, 4_096>,
    max_udp: Number<1, 1_000_000>,
    udp_window_frames: Number<1, 64>,
    udp_sockets: Number<0, 256>,
    udp_receive_buffer_bytes: Number<4_096, 1_073_741_824>,
    max_datagram_bytes: Number<576, 65_507>,
    hello_timeout_ms: Milliseconds<100, 600_000>,
    idle_timeout_ms: Milliseconds<1_000, 86_400_000>,
    frame_timeout_ms: Milliseconds<100, 600_000>,
    write_timeout_ms: Milliseconds<100, 600_000>,
    drain_deadline_ms: Milliseconds<0, 600_000>,
}

/// What an answer promises to gateways that do not ask for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum AckLevel {
    Journal,
    Stored,
}

#[derive(Debug, Clone, Deserialize, PartialEq)]
struct Journal {
    // At least a few of the largest entries.
    segment_bytes: Number<4_194_304, 4_294_967_296>,
    max_bytes: Number<16_777_216, 1_125_899_906_842_624>,
    frames_remembered: Number<0, 100_000_000>,
}

#[derive(Debug, Clone, Deserialize, PartialEq)]
struct Rules {
    max_ahead_s: Number<0, 86_400>,
    max_age_s: Number<60, 31_536_000>,
    horizon_s: Number<60, 86_400>,
    entrance_midpoint_dbm: Dbm,
    table_midpoint_dbm: Dbm,
    counter_midpoint_dbm: Dbm,
    scale_dbm: ScaleDbm,
}

#[derive(Debug, Clone, Deserialize, PartialEq)]
struct Pipeline {
    window_entries: Number<1_000, 2_000_000_000>,
    // At least what one frame can make.
    queue_rows: Number<4_096, 10_000_000>,
    batch_rows: Number<1, 1_000_000>,
    batch_bytes: Number<4_096, 1_073_741_824>,
    batch_age_ms: Milliseconds<0, 1_000>,
    question_timeout_ms: Milliseconds<10, 10_000>,
}

#[derive(Debug, Clone, Deserialize, PartialEq)]
struct Directory {
    max_entries: Number<1_000, 100_000_000>,
    // Twice the age must stay under the five seconds within which a change is seen; and the age after the three in which
    // it is noticed that changes are not told.
    fresh_for_ms: Milliseconds<100, 2_000>,
    // Twice the age must stay within the two seconds that a negative answer may live.
    absent_fresh_for_ms: Milliseconds<100, 1_000>,
    snapshot_every_s: Number<10, 86_400>,
}

/// A configuration that cannot be used: which file, key and value, and what is allowed.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read, or is not TOML.
    #[error("{file}: {reason}")]
    File {
        /// Its path.
        file: String,
        /// What is wrong with it, on one line.
        reason: String,
    },
    /// A key that does not exist.
    #[error("{file}: there is no key {key}; allowed are {allowed}")]
    UnknownKey {
        /// The file it stands in.
        file: String,
        /// The key, with its section.
        key: String,
        /// The keys there are.
        allowed: String,
    },
    /// A value outside what is allowed.
    #[error("{file}: {key} = {value} is not allowed; it takes {allowed}")]
    Value {
        /// The file it stands in.
        file: String,
        /// The key, with its section.
        key: String,
        /// The value found.
        value: String,
        /// What the key takes.
        allowed: String,
    },
    /// Two values that cannot both be meant.
    #[error("{file}: {first} and {second} contradict each other: {why}")]
    Contradiction {
        /// The file they stand in.
        file: String,
        /// A key with its value.
        first: String,
        /// The other.
        second: String,
        /// What would come of them.
        why: &'static str,
    },
    /// Listening where `--insecure-dev` must not.
    #[error("--insecure-dev listens on loopback only, not on {address} ({key})")]
    NotLoopback {
        /// The key of the address.
        key: &'static str,
        /// The address.
        address: SocketAddr,
    },
}

impl Config {
    /// The defaults.
    ///
    /// # Errors
    /// Never: a test reads them.
    pub fn defaults() -> Result<Self, ConfigError> {
        Self::extract(&Figment::from(Toml::string(DEFAULT_TOML)), "defaults")
    }

    /// The defaults with a file over them.
    ///
    /// # Errors
    /// What in the file cannot be used.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::File { file: file.clone(), reason: error.to_string() })?;
        Self::from_toml(&text, &file)
    }

    /// The defaults with the text of a file over them.
    ///
    /// # Errors
    /// As [`Self::from_file`]; `file` is what messages call it.
    pub fn from_toml(text: &str, file: &str) -> Result<Self, ConfigError> {
        let not_toml = |error: figment::Error| ConfigError::File {
            file: file.to_owned(),
            reason: error.to_string().split_whitespace().collect::<Vec<_>>().join(" "),
        };
        let given: Dict = Figment::from(Toml::string(text)).extract().map_err(not_toml)?;
        let defaults: Dict = Figment::from(Toml::string(DEFAULT_TOML)).extract().map_err(not_toml)?;
        refuse_unknown_keys(&given, &defaults, "", file)?;
        let merged = Figment::from(Toml::string(DEFAULT_TOML)).merge(Toml::string(text));
        Self::extract(&merged, file)
    }

    /// The embedded store in `data_dir` for a trial: ports of the system's choice on loopback, any gateway taken.
    ///
    /// # Errors
    /// Never: a test reads the defaults.
    pub fn embedded(data_dir: PathBuf) -> Result<Self, ConfigError> {
        let mut config = Self::defaults()?;
        let any_port = Address(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        config.listen = Listen { tcp: any_port, udp: any_port, admin: any_port };
        config.data_dir = data_dir;
        config.insecure_dev = true;
        Ok(config)
    }

    /// Puts what was said on the command line over it.
    ///
    /// # Errors
    /// When `--insecure-dev` would listen elsewhere than on loopback.
    pub fn with_overrides(mut self, overrides: Overrides) -> Result<Self, ConfigError> {
        self.data_dir = overrides.data_dir.unwrap_or(self.data_dir);
        self.listen.tcp = overrides.tcp.map_or(self.listen.tcp, Address);
        self.listen.udp = overrides.udp.map_or(self.listen.udp, Address);
        self.listen.admin = overrides.admin.map_or(self.listen.admin, Address);
        self.insecure_dev = overrides.insecure_dev;
        if self.insecure_dev {
            for (key, address) in [
                ("listen.tcp", self.listen.tcp),
                ("listen.udp", self.listen.udp),
                ("listen.admin", self.listen.admin),
            ] {
                if !address.0.ip().is_loopback() {
                    return Err(ConfigError::NotLoopback { key, address: address.0 });
                }
            }
        }
        Ok(self)
    }

    /// Where the daemon keeps its files.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Where operators ask.
    #[must_use]
    pub const fn admin(&self) -> SocketAddr {
        self.listen.admin.0
    }

    /// Whether any gateway is taken.
    #[must_use]
    pub const fn insecure_dev(&self) -> bool {
        self.insecure_dev
    }

    /// Keys whose values differ from those of `before`, in their order.
    #[must_use]
    pub fn changed_from(&self, before: &BTreeMap<String, String>) -> Vec<String> {
        let changed = self.values.iter().filter(|(key, value)| before.get(*key) != Some(value));
        changed.map(|(key, _)| key.clone()).collect()
    }

    /// Every key with its value as it would stand in the file.
    #[must_use]
    pub const fn values(&self) -> &BTreeMap<String, String> {
        &self.values
    }

    /// The settings of the listeners.
    #[must_use]
    pub fn listen(&self) -> ListenSettings {
        let sessions = &self.sessions;
        let processors = available_parallelism().map_or(1, usize::from);
        ListenSettings {
            tcp: self.listen.tcp.0,
            udp: self.listen.udp.0,
            insecure_dev: self.insecure_dev,
            udp_sockets: match sessions.udp_sockets.to_usize() {
                0 => processors,
                sockets => sockets,
            },
            udp_receive_buffer_bytes: sessions.udp_receive_buffer_bytes.to_usize(),
            max_datagram_bytes: sessions.max_datagram_bytes.to_u16(),
            limits: self.session_limits(),
        }
    }

    /// The limits of sessions that may change while the daemon runs.
    #[must_use]
    pub fn session_limits(&self) -> SessionLimits {
        let sessions = &self.sessions;
        SessionLimits {
            ack_level: match sessions.ack_level {
                AckLevel::Journal => frame::AckLevel::Journal,
                AckLevel::Stored => frame::AckLevel::Stored,
            },
            max_tcp_sessions: sessions.max_tcp.to_usize(),
            max_udp_sessions: sessions.max_udp.to_usize(),
            tcp_window_frames: sessions.tcp_window_frames.to_u32(),
            udp_window_frames: sessions.udp_window_frames.to_u32(),
            hello_timeout: sessions.hello_timeout_ms.duration(),
            idle_timeout: sessions.idle_timeout_ms.duration(),
            frame_timeout: sessions.frame_timeout_ms.duration(),
            write_timeout: sessions.write_timeout_ms.duration(),
            drain_deadline: sessions.drain_deadline_ms.duration(),
        }
    }

    /// The rules that may change while the daemon runs.
    #[must_use]
    pub fn rules(&self) -> (TimeLimits, ConfidenceSettings) {
        let rules = &self.rules;
        let time = TimeLimits {
            max_ahead_us: rules.max_ahead_s.to_i64() * MICROS_PER_SECOND,
            max_age_us: rules.max_age_s.to_i64() * MICROS_PER_SECOND,
        };
        let confidence = ConfidenceSettings {
            entrance_midpoint_dbm: rules.entrance_midpoint_dbm.0,
            table_midpoint_dbm: rules.table_midpoint_dbm.0,
            counter_midpoint_dbm: rules.counter_midpoint_dbm.0,
            scale_dbm: rules.scale_dbm.0,
        };
        (time, confidence)
    }

    /// What is logged, where the environment does not say.
    #[must_use]
    pub fn log_level(&self) -> &str {
        self.log.level.as_str()
    }

    /// The settings of the pipeline.
    #[must_use]
    pub fn pipeline(&self) -> PipelineSettings {
        let (rules, pipeline) = (&self.rules, &self.pipeline);
        let (time, confidence) = self.rules();
        let question_timeout = pipeline.question_timeout_ms.duration();
        let batch = BatchLimits {
            rows: pipeline.batch_rows.to_usize(),
            bytes: pipeline.batch_bytes.to_usize(),
            age: pipeline.batch_age_ms.duration(),
        };
        PipelineSettings {
            time,
            confidence,
            horizon_us: rules.horizon_s.to_i64() * MICROS_PER_SECOND,
            window_entries: pipeline.window_entries.to_usize(),
            queue_rows: pipeline.queue_rows.to_usize(),
            frames_remembered: self.journal.frames_remembered.to_usize(),
            journal: self.journal(),
            batch,
            events_batch: BatchLimits { rows: self.dynamodb.batch_rows.to_usize(), ..batch },
            question_timeout,
            tiers: TierSettings {
                cache_timeout: self.redis.timeout_ms.duration(),
                ..TierSettings::default()
            },
            directory: DirectorySettings {
                max_entries: self.directory.max_entries.to_u64(),
                fresh_for: self.directory.fresh_for_ms.duration(),
                absent_fresh_for: self.directory.absent_fresh_for_ms.duration(),
                load_timeout: question_timeout,
                retry_after: Duration::from_secs(1),
            },
        }
    }

    /// The settings of the journal.
    #[must_use]
    pub fn journal(&self) -> JournalSettings {
        JournalSettings {
            directory: self.data_dir.join("journal"),
            segment_bytes: self.journal.segment_bytes.to_u64(),
            max_bytes: self.journal.max_bytes.to_u64(),
        }
    }

    /// How often registrations are kept in the data directory.
    #[must_use]
    pub const fn snapshot_every(&self) -> Duration {
        Duration::from_secs(self.directory.snapshot_every_s.to_u64())
    }

    /// How the stores are reached; addresses of the environment go before those of the file.
    ///
    /// # Errors
    /// When a store is to be used and nothing says where it is.
    pub fn stores(&self) -> Result<StoreSettings, ConfigError> {
        let environment = |name: &str| std::env::var(name).ok();
        stores::settings(self, self.pipeline.question_timeout_ms.duration(), environment)
    }

    fn extract(figment: &Figment, file: &str) -> Result<Self, ConfigError> {
        let mut config: Self = figment.extract().map_err(|error| refused(figment, &error, file))?;
        let all: Dict = figment.extract().map_err(|error| refused(figment, &error, file))?;
        note_values(&all, "", &mut config.values);
        config.clear_of_contradictions(file)?;
        Ok(config)
    }
}

/// What the command line says over the configuration.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Another data directory.
    pub data_dir: Option<PathBuf>,
    /// Another address for TCP.
    pub tcp: Option<SocketAddr>,
    /// Another address for UDP.
    pub udp: Option<SocketAddr>,
    /// Another address for operators.
    pub admin: Option<SocketAddr>,
    /// Take any gateway, on loopback.
    pub insecure_dev: bool,
}

/// Something that changes with a text and does not show it.
fn digest_of(text: &str) -> String {
    static KEYS: OnceLock<RandomState> = OnceLock::new();
    format!("digest {:016x}", KEYS.get_or_init(RandomState::new).hash_one(text))
}

/// Every key below a section with its value.
fn note_values(section: &Dict, name: &str, values: &mut BTreeMap<String, String>) {
    for (key, value) in section {
        let key = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
        match value {
            Value::Dict(_, inner) => note_values(inner, &key, values),
            value => {
                let shown = values::shown(value);
                // An address may hold a password.
                let shown = if key.ends_with("url") { digest_of(&shown) } else { shown };
                values.insert(key, shown);
            }
        }
    }
}

fn refuse_unknown_keys(given: &Dict, known: &Dict, section: &str, file: &str) -> Result<(), ConfigError> {
    for (name, value) in given {
        let key = if section.is_empty() { name.clone() } else { format!("{section}.{name}") };
        match (known.get(name), value) {
            (None, _) => {
                let allowed = known.keys().cloned().collect::<Vec<_>>().join(", ");
                return Err(ConfigError::UnknownKey { file: file.to_owned(), key, allowed });
            }
            (Some(Value::Dict(_, known)), Value::Dict(_, given)) => {
                refuse_unknown_keys(given, known, &key, file)?
            }
            (Some(_), _) => {}
        }
    }
    Ok(())
}

fn refused(figment: &Figment, error: &figment::Error, file: &str) -> ConfigError {
    let key = error.path.join(".");
    let allowed = match &error.kind {
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => expected.clone(),
        kind => kind.to_string(),
    };
    let value = figment.find_value(&key).map_or_else(|_| "?".to_owned(), |value| values::shown(&value));
    ConfigError::Value { file: file.to_owned(), key, value, allowed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Config::from_toml(text, "b.toml").unwrap_err().to_string()
    }

    #[test]
    fn the_printed_defaults_are_the_defaults() {
        let defaults = Config::defaults().unwrap();
        assert_eq!(Config::from_toml(DEFAULT_TOML, "b.toml").unwrap(), defaults);
        assert_eq!(Config::from_toml("", "b.toml").unwrap(), defaults);
        assert_eq!(defaults.pipeline().time, TimeLimits::default());
        assert_eq!(defaults.pipeline().confidence, ConfidenceSettings::default());
    }

    #[test]
    fn a_file_changes_only_what_it_names() {
        let config = Config::from_toml("[rules]\nhorizon_s = 60\n", "b.toml").unwrap();
        assert_eq!(config.pipeline().horizon_us, 60_000_000);
        assert_eq!(config.pipeline().queue_rows, Config::defaults().unwrap().pipeline().queue_rows);
    }

    #[test]
    fn an_error_names_file_key_value_and_what_is_allowed() {
        assert_eq!(
            error("[pipeline]\nbatch_rows = 0\n"),
            "b.toml: pipeline.batch_rows = 0 is not allowed; it takes a whole number from 1 to 1000000"
        );
        assert_eq!(
            error("[listen]\ntcp = \"here\"\n"),
            "b.toml: listen.tcp = \"here\" is not allowed; it takes an address such as \"127.0.0.1:7400\""
        );
        assert_eq!(
            error("[rules]\nscale_dbm = 0.0\n"),
            "b.toml: rules.scale_dbm = 0.0 is not allowed; it takes a number of dBm from 0.1 to 100"
        );
        assert!(error("[pipeline]\nbatch_rows = \"many\"\n").contains("a whole number from 1 to 1000000"));
        assert!(error("rules = 1\n").contains("b.toml: rules = 1"));
    }

    #[test]
    fn an_unknown_key_is_named_with_those_there_are() {
        let error = error("[pipeline]\nbatch_row = 1\n");
        assert!(error.starts_with("b.toml: there is no key pipeline.batch_row; allowed are "), "{error}");
        assert!(error.contains("batch_rows"));
    }

    #[test]
    fn what_is_not_toml_is_said_on_one_line() {
        let error = error("[pipeline\n");
        assert!(error.starts_with("b.toml: ") && !error.contains('\n'), "{error}");
    }

    #[test]
    fn insecure_dev_stays_on_loopback() {
        let overrides =
            Overrides { tcp: Some("0.0.0.0:1".parse().unwrap()), insecure_dev: true, ..Overrides::default() };
        let refused = Config::defaults().unwrap().with_overrides(overrides.clone()).unwrap_err();
        assert!(refused.to_string().contains("0.0.0.0:1"));
        let secure = Overrides { insecure_dev: false, ..overrides };
        assert!(Config::defaults().unwrap().with_overrides(secure).is_ok());
    }
}
