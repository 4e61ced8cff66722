//! All engines together, and the variables by which tests find them.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::{self, ScopedJoinHandle};

use anyhow::anyhow;

use crate::dynamodb::{DynamoDb, DynamoDbEngine};
use crate::postgres::Postgres;
use crate::process::{LeftRunning, Lifetime};
use crate::programs::{postgres_binaries, redis_server};
use crate::redis::Redis;

/// The variables' names.
pub mod variables {
    /// The superuser's URL of a private PostgreSQL.
    pub const POSTGRES_URL: &str = "BEACOND_POSTGRES_URL";
    /// The directory of PostgreSQL's programs.
    pub const POSTGRES_BINARIES: &str = "BEACOND_POSTGRES_BIN";
    /// The URL of a private Redis.
    pub const REDIS_URL: &str = "BEACOND_REDIS_URL";
    /// The file of the Redis server's program.
    pub const REDIS_SERVER: &str = "BEACOND_REDIS_SERVER";
    /// Where dynoxide listens.
    pub const DYNAMODB_ENDPOINT: &str = "BEACOND_DYNAMODB_ENDPOINT";
    /// The file of dynoxide's program.
    pub const DYNAMODB_ENGINE: &str = "BEACOND_DYNAMODB_ENGINE";
    /// Where Amazon's DynamoDB Local listens; not set where there is no Java.
    pub const DYNAMODB_LOCAL_ENDPOINT: &str = "BEACOND_DYNAMODB_LOCAL_ENDPOINT";
    /// The directory of Amazon's DynamoDB Local; not set where there is no Java.
    pub const DYNAMODB_LOCAL: &str = "BEACOND_DYNAMODB_LOCAL";

    /// What AWS's clients ask for before they speak to any endpoint; the engines take whatever it is.
    pub const AWS: [(&str, &str); 4] = [
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
}

/// One engine of each kind. Dropped, they are gone.
#[derive(Debug)]
pub struct Stack {
    postgres: Postgres,
    redis: Redis,
    dynamodb: DynamoDb,
    dynamodb_local: Option<DynamoDb>,
    environment: Vec<(String, String)>,
    /// Last, and so dropped last: the engines have emptied it then.
    _directory: Emptied,
}

impl Stack {
    /// Starts them side by side, each in a directory of its own in `directory`.
    ///
    /// # Errors
    /// When one of them does not start; the others are gone then.
    pub fn start(
        directory: &Path,
        dynoxide: &Path,
        dynamodb_local: Option<&Path>,
        lifetime: Lifetime,
    ) -> anyhow::Result<Self> {
        let engine = DynamoDbEngine::Dynoxide(dynoxide.to_owned());
        let local = dynamodb_local.map(|home| DynamoDbEngine::Local(home.to_owned()));
        let start_local = |engine| DynamoDb::start_for(&directory.join("dynamodb-local"), engine, lifetime);
        let (postgres, redis, dynamodb, started_local) = thread::scope(|scope| {
            let postgres = scope.spawn(|| Postgres::start_for(&directory.join("postgres"), lifetime));
            let redis = scope.spawn(|| Redis::start_for(&directory.join("redis"), lifetime));
            let dynamodb =
                scope.spawn(|| DynamoDb::start_for(&directory.join("dynamodb"), &engine, lifetime));
            let local = scope.spawn(|| local.as_ref().map(start_local).transpose());
            (joined(postgres), joined(redis), joined(dynamodb), joined(local))
        });
        let mut stack = Self {
            postgres: postgres?,
            redis: redis?,
            dynamodb: dynamodb?,
            dynamodb_local: started_local?,
            environment: Vec::new(),
            _directory: Emptied(directory.to_owned()),
        };
        stack.environment = stack.describe(dynoxide, dynamodb_local)?;
        Ok(stack)
    }

    /// Names and values of the variables: where the engines are, and with what to start others.
    pub fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// Lets all run on; what is returned is all there is to stop them with.
    ///
    /// # Errors
    /// When one of them has ended.
    pub fn leave_running(self) -> anyhow::Result<Vec<LeftRunning>> {
        let mut left =
            vec![self.postgres.leave_running()?, self.redis.leave_running()?, self.dynamodb.leave_running()?];
        if let Some(local) = self.dynamodb_local {
            left.push(local.leave_running()?);
        }
        Ok(left)
    }

    fn describe(&self, dynoxide: &Path, local: Option<&Path>) -> anyhow::Result<Vec<(String, String)>> {
        let text = |path: &Path| path.display().to_string();
        let mut described = vec![
            (variables::POSTGRES_URL, self.postgres.url()),
            (variables::POSTGRES_BINARIES, text(&postgres_binaries()?)),
            (variables::REDIS_URL, self.redis.url()),
            (variables::REDIS_SERVER, text(&redis_server()?)),
            (variables::DYNAMODB_ENDPOINT, self.dynamodb.endpoint()),
            (variables::DYNAMODB_ENGINE, text(dynoxide)),
        ];
        if let (Some(engine), Some(home)) = (&self.dynamodb_local, local) {
            described.push((variables::DYNAMODB_LOCAL_ENDPOINT, engine.endpoint()));
            described.push((variables::DYNAMODB_LOCAL, text(home)));
        }
        described.extend(variables::AWS.map(|(name, value)| (name, value.to_owned())));
        Ok(described.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

fn joined<T>(started: ScopedJoinHandle<'_, anyhow::Result<T>>) -> anyhow::Result<T> {
    started.join().map_err(|_| anyhow!("an engine's start panicked"))?
}

/// A directory that goes if nothing is in it any more.
#[derive(Debug)]
struct Emptied(PathBuf);

impl Drop for Emptied {
    fn drop(&mut self) {
        let _removed = fs::remove_dir(&self.0);
    }
}
