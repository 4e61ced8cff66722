//! A Redis of a test's own, read by redis-cli.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use beacon_stack::redis_server;

use crate::harness::home::finished;
use crate::harness::wait_until;
use crate::model::tables::{Bits, Tables};

/// Seconds a customer's hash lives, and a beacon's.
const CUSTOMER_TTL_S: i64 = 60 * 60;
const BEACON_TTL_S: i64 = 24 * 60 * 60;

/// How old a hash may be when a test looks at it.
const LOOKED_AT_WITHIN_S: i64 = 120;

/// Key, TTL and the fields of every hash whose key fits, a line of JSON each.
const HASHES: &str = "local lines = {}
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
  table.insert(lines, cjson.encode({key, redis.call('TTL', key), redis.call('HGETALL', key)}))
end
return lines";

/// A server in memory, killed at the end.
#[derive(Debug)]
pub(crate) struct Redis {
    pub(crate) engine: beacon_stack::Redis,
}

/// The fields of a hash, by name.
pub(crate) type Hash = BTreeMap<String, String>;

impl Redis {
    pub(crate) fn start(directory: &Path) -> Self {
        Self { engine: beacon_stack::Redis::start(directory).unwrap() }
    }

    pub(crate) fn url(&self) -> String {
        self.engine.url()
    }

    /// What redis-cli prints.
    #[track_caller]
    pub(crate) fn cli(&self, arguments: &[&str]) -> String {
        let url = self.url();
        let mut command = Command::new(redis_cli());
        command.args(["-u", &url, "-e"]).args(arguments).stdin(Stdio::null());
        finished(&mut command).succeeded().stdout
    }

    /// The hash of a beacon; empty if there is none.
    pub(crate) fn beacon(&self, id: uuid::Uuid) -> Hash {
        let key = format!("beacon:{id}");
        let hashes = self.hashes(&key, BEACON_TTL_S);
        hashes.into_iter().find(|(found, _)| *found == key).map(|(_, hash)| hash).unwrap_or_default()
    }

    /// Waits until there is a hash for every customer, and each is of the newest identity.
    #[track_caller]
    pub(crate) fn assert_customers(&self, tables: &Tables) {
        let expected: BTreeMap<String, Hash> = newest(tables);
        // They are written beside the answers, not before.
        let held = wait_until(|| {
            let held = self.hashes("customer:*", CUSTOMER_TTL_S);
            (held == expected).then_some(())
        });
        if held.is_err() {
            let found = self.hashes("customer:*", CUSTOMER_TTL_S);
            assert_eq!(found.len(), expected.len(), "customers in Redis");
            for (key, hash) in &expected {
                assert_eq!(found.get(key), Some(hash), "{key}");
            }
        }
    }

    /// All hashes whose keys fit. None may live longer than that kind does, or be about to go.
    #[track_caller]
    fn hashes(&self, pattern: &str, ttl_s: i64) -> BTreeMap<String, Hash> {
        let mut hashes = BTreeMap::new();
        for line in self.cli(&["EVAL", HASHES, "0", pattern]).lines().filter(|line| !line.is_empty()) {
            let (key, left_s, fields): (String, i64, Vec<String>) = serde_json::from_str(line).unwrap();
            assert!((ttl_s - LOOKED_AT_WITHIN_S..=ttl_s).contains(&left_s), "{key} lives for {left_s} s");
            let pairs = fields.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone()));
            hashes.insert(key, pairs.collect());
        }
        hashes
    }
}

/// The hash of each customer, by its key: that of the newest identity.
fn newest(tables: &Tables) -> BTreeMap<String, Hash> {
    let mut newest = BTreeMap::new();
    // Sorted by customer and time: the last one stays.
    for identity in &tables.identities {
        let mut hash = Hash::from([
            ("confidence".to_owned(), identity.confidence.shortest_text()),
            ("detected_at".to_owned(), identity.detected_at.clone()),
        ]);
        if let Some(location) = &identity.location {
            hash.insert("location".to_owned(), location.clone());
        }
        newest.insert(format!("customer:{}", identity.customer_id), hash);
    }
    newest
}

/// Beside the server, or where the path has it.
fn redis_cli() -> PathBuf {
    let beside = redis_server().unwrap().with_file_name("redis-cli");
    if beside.is_file() { beside } else { PathBuf::from("redis-cli") }
}

#[test]
fn newest_identity_makes_the_hash() {
    let row = |detected_at: &str, location: Option<&str>| crate::model::tables::IdentityRow {
        customer_id: "alice".to_owned(),
        detected_at: detected_at.to_owned(),
        beacon_id: String::new(),
        location: location.map(str::to_owned),
        confidence: Bits::of(0.9),
    };
    let identities =
        vec![row("2026-01-02T00:00:00.000000Z", Some("Bar")), row("2026-01-01T00:00:00.000000Z", None)];
    let tables = Tables { identities, ..Tables::default() }.sorted();
    let hash = [("confidence", "0.9"), ("detected_at", "2026-01-02T00:00:00.000000Z"), ("location", "Bar")];
    let hash = hash.map(|(field, value)| (field.to_owned(), value.to_owned()));
    assert_eq!(newest(&tables), [("customer:alice".to_owned(), Hash::from(hash))].into());
}
