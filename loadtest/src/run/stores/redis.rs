//! Redis, read beside the daemon.

use std::collections::HashMap;
use std::fmt;

use redis::AsyncCommands;
use redis::aio::ConnectionManager;

use super::{causes, customer_text};

/// A connection that is made again when it is lost.
pub(crate) struct Redis {
    connection: ConnectionManager,
}

impl Redis {
    pub(super) async fn connect(url: &str) -> Result<Self, String> {
        let client = redis::Client::open(url).map_err(causes)?;
        Ok(Self { connection: client.get_connection_manager().await.map_err(causes)? })
    }

    pub(super) async fn version(&mut self) -> Result<String, String> {
        let text = redis::cmd("INFO").arg("server").query_async(&mut self.connection).await;
        let text: String = text.map_err(causes)?;
        let version = text.lines().find_map(|line| line.strip_prefix("redis_version:"));
        Ok(version.unwrap_or_default().trim().to_owned())
    }

    /// Reads a customer's latest identity; whether there is one.
    pub(super) async fn latest(&mut self, customer: u32) -> Result<bool, String> {
        let key = format!("customer:{}", customer_text(customer));
        let hash: HashMap<String, String> = self.connection.hgetall(key).await.map_err(causes)?;
        Ok(!hash.is_empty())
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").finish_non_exhaustive()
    }
}
