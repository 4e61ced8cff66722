//! Redis: the cache that daemons share. Outside every promise: it may be gone, hang, refuse or forget at any time.
//!
//! Two connections, so that a lookup never waits behind a pipeline of customers. A task holds them up; while they are
//! down every call fails at once, and none is queued.

mod beacons;
mod check;
mod customers;
mod health;
mod links;
mod scripts;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::{Client, ConnectionAddr, RedisError};
use tokio_util::sync::CancellationToken;

pub use self::beacons::RedisBeaconCache;
pub use self::check::check;
pub use self::customers::{CUSTOMER_CACHED_FOR, RedisLatestIdentities};
pub use self::health::{RedisCounts, RedisHealth};
use self::links::Links;
use crate::tasks::TaskGroup;

const STORE: &str = "Redis";

/// Where Redis is, and what it is allowed to cost.
#[derive(Clone)]
pub struct RedisSettings {
    /// `redis://[user:password@]host[:port][/database]`, `rediss://` for TLS, or `redis+unix:///path?db=0`.
    pub url: String,
    /// How long a connection, and one answer, may take. What takes longer is given up, and so is its connection.
    pub timeout: Duration,
    /// Identities that wait to be written at most; what comes beyond is dropped and counted.
    pub customers_queued: usize,
    /// Customers written in one round trip at most.
    pub customers_batch_rows: usize,
}

impl RedisSettings {
    /// Where the server is, without its password: for logs and for `beacond check`.
    ///
    /// # Errors
    /// [`RedisUrlError`] when the URL is not one of Redis.
    pub fn address(&self) -> Result<String, RedisUrlError> {
        self.client().map(|client| address(&client))
    }

    fn client(&self) -> Result<Client, RedisUrlError> {
        // The driver's own words may repeat parts of the URL, and with them the password.
        let client = Client::open(self.url.as_str()).map_err(|_| RedisUrlError::Unreadable)?;
        match client.get_connection_info().addr() {
            ConnectionAddr::TcpTls { insecure: true, .. } => Err(RedisUrlError::Insecure),
            _ => Ok(client),
        }
    }
}

impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSettings")
            .field("address", &self.address())
            .field("timeout", &self.timeout)
            .field("customers_queued", &self.customers_queued)
            .field("customers_batch_rows", &self.customers_batch_rows)
            .finish()
    }
}

/// A URL that cannot be used. It is not repeated: a password may be in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RedisUrlError {
    /// Not a URL of Redis.
    #[error("the URL of Redis is not of the form redis://[user:password@]host[:port][/database]")]
    Unreadable,
    /// TLS without checking who answers.
    #[error("the URL of Redis asks for TLS without certificates being checked, which is not supported")]
    Insecure,
}

/// The adapter: both caches over the same two connections.
#[derive(Debug)]
pub struct Redis {
    /// `beacon:<beacon_id>`.
    pub beacons: Arc<RedisBeaconCache>,
    /// `customer:<customer_id>`.
    pub customers: Arc<RedisLatestIdentities>,
    /// How it is doing.
    pub health: Arc<RedisHealth>,
}

impl Redis {
    /// Starts the tasks that connect and that write customers, on the current runtime. Does not wait for the server.
    ///
    /// Once `stop` is cancelled, what is queued is written within a bound, and the tasks end.
    ///
    /// # Errors
    /// [`RedisUrlError`].
    pub fn start(
        settings: &RedisSettings,
        tasks: &TaskGroup,
        stop: &CancellationToken,
    ) -> Result<Self, RedisUrlError> {
        let health = Arc::new(RedisHealth::new());
        let links = Arc::new(Links::new(settings, Arc::clone(&health))?);
        tasks.spawn(Arc::clone(&links).hold(stop.clone()));
        let customers = RedisLatestIdentities::start(settings, &links, tasks, stop.clone());
        let beacons = RedisBeaconCache::new(links);
        Ok(Self { beacons: Arc::new(beacons), customers: Arc::new(customers), health })
    }
}

fn address(client: &Client) -> String {
    let information = client.get_connection_info();
    let scheme = match information.addr() {
        ConnectionAddr::TcpTls { .. } => "rediss",
        ConnectionAddr::Unix(_) => "redis+unix",
        _ => "redis",
    };
    format!("{scheme}://{}, database {}", information.addr(), information.redis_settings().db())
}

/// What the driver or the server said, without what it was given: that may be a CustomerID.
fn reason(error: &RedisError) -> String {
    let said = error.to_string();
    match said.find(", with args") {
        Some(end) => said[..end].to_owned(),
        None => said,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> RedisSettings {
        RedisSettings {
            url: url.to_owned(),
            timeout: Duration::from_millis(500),
            customers_queued: 10,
            customers_batch_rows: 10,
        }
    }

    #[test]
    fn no_password_is_shown() {
        let good = settings("rediss://user:secret@cache.example:6380/2");
        assert_eq!(good.address().unwrap(), "rediss://cache.example:6380, database 2");
        for url in [&good.url, "http://user:secret@host", "redis://user:secret@host/x", "secret"] {
            let settings = settings(url);
            let shown = format!("{settings:?} {:?}", settings.address().map_err(|error| error.to_string()));
            assert!(!shown.contains("secret") && !shown.contains("user:s"), "{shown}");
        }
    }

    #[test]
    fn a_url_that_turns_certificates_off_is_refused() {
        assert_eq!(settings("rediss://host/#insecure").address(), Err(RedisUrlError::Insecure));
    }

    #[test]
    fn what_the_server_was_given_is_not_repeated() {
        let error = RedisError::from((
            redis::ErrorKind::Extension,
            "ERR",
            "unknown command 'EVALSHA', with args beginning with: 'abc' '1' 'customer:alice'".to_owned(),
        ));
        assert!(!reason(&error).contains("alice"));
        assert!(reason(&error).contains("EVALSHA"));
    }
}
