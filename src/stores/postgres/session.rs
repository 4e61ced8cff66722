//! A connection with the task that drives it.

use std::future::poll_fn;
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::{AsyncMessage, Client, Notification};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::connect::{Connector, Link};
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
        Self::open_listening(connector, tasks, statement_timeout, |_| {}).await
    }

    /// As [`Self::open`]; `receive` is called with every notification, and must not wait.
    pub(super) async fn open_listening(
        connector: &Connector,
        tasks: &TaskGroup,
        statement_timeout: Duration,
        receive: impl FnMut(Notification) + Send + 'static,
    ) -> Result<Self, StoreError> {
        let (client, link) = connector.connect().await?;
        let ended = CancellationToken::new();
        let driver = ended.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = driver.cancelled() => {}
                () = drive(link, receive) => {}
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

async fn drive(mut link: Link, mut receive: impl FnMut(Notification)) {
    while let Some(message) = poll_fn(|context| link.poll_message(context)).await {
        match message {
            Ok(AsyncMessage::Notification(notification)) => receive(notification),
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(error = words(&error), "a connection to PostgreSQL has ended");
                break;
            }
        }
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
