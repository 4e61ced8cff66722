//! A connection with the task that drives it.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::connect::Connector;
use super::failure::{unavailable, words};
use crate::ports::StoreError;
use crate::tasks::TaskGroup;

/// An open connection. Dropping it closes the socket at once, also when an answer is outstanding: a server that hangs
/// keeps nothing here.
#[derive(Debug)]
pub(super) struct Session {
    /// What questions are asked of.
    pub(super) client: Client,
    _driver: DropGuard,
}

impl Session {
    /// Connects, and drives the connection on a task of `tasks`. The server ends every statement that takes longer than
    /// `statement_timeout`, so that what is given up here is given up there.
    pub(super) async fn open(
        connector: &Connector,
        tasks: &TaskGroup,
        statement_timeout: Duration,
    ) -> Result<Self, StoreError> {
        let (client, connection) = connector.connect().await?;
        let ended = CancellationToken::new();
        let driver = ended.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = driver.cancelled() => {}
                outcome = connection => if let Err(error) = outcome {
                    tracing::debug!(error = words(&error), "a connection to PostgreSQL has ended");
                }
            }
        });
        let session = Self { client, _driver: ended.drop_guard() };
        session.limit(statement_timeout).await?;
        Ok(session)
    }

    async fn limit(&self, statement_timeout: Duration) -> Result<(), StoreError> {
        let set = format!("SET statement_timeout = {}", statement_timeout.as_millis());
        bounded(statement_timeout, self.client.batch_execute(&set)).await
    }
}

/// The outcome of a statement, or that none came in time.
pub(super) async fn bounded<T>(
    longest: Duration,
    statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, StoreError> {
    match timeout(longest, statement).await {
        Ok(outcome) => outcome.map_err(|error| unavailable(words(&error))),
        Err(_) => Err(unavailable(format!("no answer within {} ms", longest.as_millis()))),
    }
}
