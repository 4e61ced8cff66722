//! The stores of one test, apart from every other's, and a home whose daemon is told of them.

use crate::events::Events;
use crate::harness::daemon::Daemon;
use crate::harness::home::Home;
use crate::harness::ledger::Stats;
use crate::model::tables::Tables;
use crate::model::{Beacon, Model};
use crate::postgres::Database;
use crate::redis::Redis;

/// What a test wants of its stores.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// A PostgreSQL that it may stop.
    pub(crate) own_postgres: bool,
    /// A DynamoDB that it may stop.
    pub(crate) own_dynamodb: bool,
    /// N of the events' partition keys.
    pub(crate) suffixes: u32,
    /// More of the configuration.
    pub(crate) toml: &'a str,
    /// When sightings are answered. By default when they are stored: most tests read the stores then.
    pub(crate) ack_level: &'a str,
    /// How long a stop may take.
    pub(crate) drain_deadline_ms: u32,
}

impl Default for Wanted<'_> {
    fn default() -> Self {
        Self {
            own_postgres: false,
            own_dynamodb: false,
            suffixes: 1,
            toml: "",
            ack_level: "stored",
            drain_deadline_ms: 10_000,
        }
    }
}

/// A database, a Redis and a table of events, and the home of a daemon on them.
#[derive(Debug)]
pub(crate) struct FullStack {
    pub(crate) home: Home,
    pub(crate) database: Database,
    pub(crate) redis: Redis,
    pub(crate) events: Events,
    /// Where engines of the test's own are; they empty it before it goes.
    _engines: tempfile::TempDir,
}

impl FullStack {
    /// Stores with everything in them that a daemon needs, and these beacons.
    pub(crate) fn with_beacons(beacons: &[Beacon]) -> Self {
        Self::wanted(Wanted::default(), beacons)
    }

    /// The same, of the kind that is wanted.
    pub(crate) fn wanted(wanted: Wanted<'_>, beacons: &[Beacon]) -> Self {
        let stack = Self::bare(wanted);
        stack.migrate();
        stack.home.import_beacons(beacons);
        stack
    }

    /// Stores with nothing in them.
    pub(crate) fn bare(wanted: Wanted<'_>) -> Self {
        let engines = tempfile::tempdir().unwrap();
        let (database, redis, events) = std::thread::scope(|scope| {
            let database = scope.spawn(|| match wanted.own_postgres {
                true => Database::on_own_server(&engines.path().join("postgres")),
                false => Database::on_shared_server(),
            });
            let redis = scope.spawn(|| Redis::start(&engines.path().join("redis")));
            let events = match wanted.own_dynamodb {
                true => Events::on_own_engine(&engines.path().join("dynamodb"), wanted.suffixes),
                false => Events::on_shared_engine(wanted.suffixes),
            };
            (database.join().unwrap(), redis.join().unwrap(), events)
        });
        let toml = config(events.table(), wanted);
        let environment = environment(&database.url(), &redis.url(), events.endpoint());
        let home = Home::configured(Some(&toml), environment);
        Self { home, database, redis, events, _engines: engines }
    }

    /// Brings all stores to what the daemon needs.
    #[track_caller]
    pub(crate) fn migrate(&self) {
        self.home.beacond(&["migrate", "--create-dynamodb"]).succeeded();
    }

    /// Another home on the same stores, whose daemon reaches PostgreSQL by this URL.
    pub(crate) fn home_by(&self, postgres_url: &str) -> Home {
        self.home_with(postgres_url, self.events.suffixes())
    }

    /// The same with another N of the partition keys.
    pub(crate) fn home_with(&self, postgres_url: &str, suffixes: u32) -> Home {
        let toml = config(self.events.table(), Wanted { suffixes, ..Wanted::default() });
        let environment = environment(postgres_url, &self.redis.url(), self.events.endpoint());
        Home::configured(Some(&toml), environment)
    }

    /// The variables by which a daemon finds these stores.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        environment(&self.database.url(), &self.redis.url(), self.events.endpoint())
    }

    /// What is stored, by the clients of PostgreSQL and DynamoDB.
    #[track_caller]
    pub(crate) fn tables(&self) -> Tables {
        Tables { events: self.events.rows(), ..self.database.tables() }
    }

    /// Every store holds what the model accepted, and nothing else.
    #[track_caller]
    pub(crate) fn assert_holds(&self, model: &Model, when: &str) {
        let expected = Tables::expected(model);
        expected.assert_found(&self.tables(), when);
        self.events.assert_index(&expected.events);
        self.redis.assert_customers(&expected);
    }

    /// A daemon that takes every gateway, once it is told of every change of a beacon: until then it caches none.
    pub(crate) fn serve(&self) -> Daemon {
        let daemon = self.home.serve();
        daemon.wait_for_stats("changes are told", Stats::follows_beacons);
        daemon
    }
}

/// A configuration with all three stores.
fn config(table: &str, wanted: Wanted<'_>) -> String {
    let Wanted { suffixes, toml: more, ack_level, drain_deadline_ms, .. } = wanted;
    format!(
        "[sessions]
ack_level = \"{ack_level}\"
drain_deadline_ms = {drain_deadline_ms}

[stores]
record = \"postgres\"
cache = \"redis\"
events = \"dynamodb\"
[dynamodb]
table = \"{table}\"
suffixes = {suffixes}
{more}"
    )
}

fn environment(postgres: &str, redis: &str, dynamodb: &str) -> Vec<(&'static str, String)> {
    vec![
        ("BEACOND_POSTGRES_URL", postgres.to_owned()),
        ("BEACOND_REDIS_URL", redis.to_owned()),
        ("BEACOND_DYNAMODB_ENDPOINT", dynamodb.to_owned()),
    ]
}

/// A variable that `cargo xtask test` sets.
pub(crate) fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("run it by `cargo xtask test`, or set {name}"))
}
