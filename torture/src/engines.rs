//! The stores under torture, and what stands before each: an engine that can be stopped, and a proxy.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::Context;
use beacon_stack::{DynamoDb, DynamoDbEngine, Postgres, Redis};

use crate::front::{Front, Mood};
use crate::proxy::{Mode, TcpProxy};

/// A store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Postgres,
    Redis,
    DynamoDb,
}

impl Engine {
    pub(crate) const ALL: [Self; 3] = [Self::Postgres, Self::Redis, Self::DynamoDb];
}

/// All three, and the ways to them.
#[derive(Debug)]
pub(crate) struct Engines {
    postgres: Postgres,
    redis: Redis,
    dynamodb: DynamoDb,
    postgres_proxy: TcpProxy,
    redis_proxy: TcpProxy,
    dynamodb_proxy: TcpProxy,
    dynamodb_front: Front,
    suspended: Vec<Engine>,
}

impl Engines {
    /// Starts them, each in a directory of its own.
    ///
    /// # Errors
    /// When one does not start.
    pub(crate) async fn start(directory: &Path, seed: u64) -> anyhow::Result<Self> {
        let postgres = Postgres::start(&directory.join("postgres"))?;
        let redis = Redis::start(&directory.join("redis"))?;
        let dynamodb = DynamoDb::start_on_disk(&directory.join("dynamodb"), &DynamoDbEngine::dynoxide()?)?;
        let dynamodb_front = Front::start(address_of(&dynamodb.endpoint())?, seed).await?;
        Ok(Self {
            postgres_proxy: TcpProxy::start((Ipv4Addr::LOCALHOST, postgres.port()).into()).await?,
            redis_proxy: TcpProxy::start(address_of(&redis.url())?).await?,
            dynamodb_proxy: TcpProxy::start(dynamodb_front.address()).await?,
            postgres,
            redis,
            dynamodb,
            dynamodb_front,
            suspended: Vec::new(),
        })
    }

    /// The superuser's way to a database, not through the proxy.
    pub(crate) fn postgres_url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.postgres.port())
    }

    /// The way to DynamoDB, not through the proxy.
    pub(crate) fn dynamodb_endpoint(&self) -> String {
        self.dynamodb.endpoint()
    }

    /// The variables by which a daemon finds them, through the proxies.
    pub(crate) fn environment(&self, database: &str) -> Vec<(String, String)> {
        let postgres = format!("postgres://postgres@{}/{database}", self.postgres_proxy.address());
        let variables = [
            ("BEACOND_POSTGRES_URL", postgres),
            ("BEACOND_REDIS_URL", format!("redis://{}", self.redis_proxy.address())),
            ("BEACOND_DYNAMODB_ENDPOINT", format!("http://{}", self.dynamodb_proxy.address())),
        ];
        variables.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// Ends it as a crash does; one that is away already stays so.
    ///
    /// # Errors
    /// When it does not end.
    pub(crate) fn kill(&mut self, engine: Engine) -> anyhow::Result<()> {
        self.suspended.retain(|suspended| *suspended != engine);
        match engine {
            _ if !self.runs(engine) => Ok(()),
            Engine::Postgres => self.postgres.stop_immediately(),
            Engine::Redis => self.redis.kill(),
            Engine::DynamoDb => self.dynamodb.kill(),
        }
    }

    /// Starts it, if it is away.
    ///
    /// # Errors
    /// When it does not come up.
    pub(crate) fn start_again(&mut self, engine: Engine) -> anyhow::Result<()> {
        match engine {
            _ if self.runs(engine) => Ok(()),
            Engine::Postgres => self.postgres.start_again(),
            Engine::Redis => self.redis.start_again(),
            Engine::DynamoDb => self.dynamodb.start_again(),
        }
    }

    /// Stops it in its tracks, if it runs.
    ///
    /// # Errors
    /// When it does not stand still.
    pub(crate) fn suspend(&mut self, engine: Engine) -> anyhow::Result<()> {
        if !self.runs(engine) {
            return Ok(());
        }
        self.suspended.push(engine);
        match engine {
            Engine::Postgres => self.postgres.suspend(),
            Engine::Redis => self.redis.suspend(),
            Engine::DynamoDb => self.dynamodb.suspend(),
        }
    }

    /// Lets it go on, if it was suspended.
    ///
    /// # Errors
    /// When it has ended.
    pub(crate) fn resume(&mut self, engine: Engine) -> anyhow::Result<()> {
        if !self.suspended.contains(&engine) {
            return Ok(());
        }
        self.suspended.retain(|suspended| *suspended != engine);
        match engine {
            Engine::Postgres => self.postgres.resume(),
            Engine::Redis => self.redis.resume(),
            Engine::DynamoDb => self.dynamodb.resume(),
        }
    }

    /// The proxy before it.
    pub(crate) const fn way_to(&self, engine: Engine) -> &TcpProxy {
        match engine {
            Engine::Postgres => &self.postgres_proxy,
            Engine::Redis => &self.redis_proxy,
            Engine::DynamoDb => &self.dynamodb_proxy,
        }
    }

    /// What the front before DynamoDB does.
    pub(crate) fn set_front(&self, mood: Mood) {
        self.dynamodb_front.set(mood);
    }

    /// Everything runs and every way is clear.
    ///
    /// # Errors
    /// When an engine does not come up.
    pub(crate) fn mend(&mut self) -> anyhow::Result<()> {
        self.set_front(Mood::default());
        for engine in Engine::ALL {
            self.way_to(engine).set(Mode::Pass);
            self.resume(engine)?;
            self.start_again(engine)?;
        }
        Ok(())
    }

    fn runs(&self, engine: Engine) -> bool {
        let pid = match engine {
            Engine::Postgres => self.postgres.pid(),
            Engine::Redis => self.redis.pid(),
            Engine::DynamoDb => self.dynamodb.pid(),
        };
        pid.is_some()
    }
}

fn address_of(url: &str) -> anyhow::Result<SocketAddr> {
    let (_, address) = url.split_once("://").with_context(|| url.to_owned())?;
    address.parse().with_context(|| url.to_owned())
}
