//! What a person does with the table: make it, and see whether it is right.

use aws_sdk_dynamodb::Client;
use tokio::runtime::Runtime;

use super::DynamoDbSettings;
use super::connection::{connect, runtime};
use super::failure::{Failure, FailureKind};
use super::record::{self, Recorded, SuffixTrouble, WrongSuffixes};
use super::table::{self, TimeToLive};
use crate::stores::{CheckLine, StartCheck};

/// Makes and checks the table. It blocks the calling thread.
#[derive(Debug)]
pub struct DynamoDbAdmin {
    settings: DynamoDbSettings,
    runtime: Runtime,
}

/// Why the table was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DynamoDbAdminError {
    /// Not reached, not in time, or throttled.
    #[error("DynamoDB cannot be asked: {0}")]
    Unavailable(String),
    /// Rights, credentials, region, or a table by that name that is another.
    #[error("{0}")]
    Misconfigured(String),
    /// Another N is recorded in the table.
    #[error(transparent)]
    WrongSuffixes(#[from] WrongSuffixes),
}

impl From<Failure> for DynamoDbAdminError {
    fn from(failure: Failure) -> Self {
        match failure.kind {
            FailureKind::Throttled | FailureKind::Unavailable => Self::Unavailable(failure.reason),
            FailureKind::Rejected | FailureKind::Misconfigured => Self::Misconfigured(failure.reason),
        }
    }
}

impl From<SuffixTrouble> for DynamoDbAdminError {
    fn from(trouble: SuffixTrouble) -> Self {
        match trouble {
            SuffixTrouble::Wrong(wrong) => Self::WrongSuffixes(wrong),
            other => other.into_failure().into(),
        }
    }
}

/// A line whose trouble still knows whether asking failed.
type Found = (&'static str, Result<String, Failure>);

impl DynamoDbAdmin {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// When the thread cannot have a runtime.
    pub fn new(settings: DynamoDbSettings) -> std::io::Result<Self> {
        Ok(Self { settings, runtime: runtime()? })
    }

    /// Makes what is missing: the table with its index, its TTL, the record of N. What is there stays as it is. Answers
    /// what was done, a line each; waits for a new table, five minutes at most.
    ///
    /// # Errors
    /// [`DynamoDbAdminError`]; what was made until then stays, and the next call goes on from there.
    pub fn create(&self) -> Result<Vec<String>, DynamoDbAdminError> {
        self.runtime.block_on(async {
            let client = connect(&self.settings).await?;
            let name = &self.settings.table;
            let mut done = Vec::new();
            if table::make(&client, name).await? {
                done.push(format!("table {name} with {} made", table::INDEX));
            }
            match table::time_to_live(&client, name).await? {
                TimeToLive::On => {}
                TimeToLive::Off => {
                    table::expire_items(&client, name).await?;
                    done.push("TTL turned on".into());
                }
                TimeToLive::Other(_) | TimeToLive::NotTold(_) => done.push("TTL left as it is".into()),
            }
            record::settle(&client, &self.settings).await?;
            Ok(done)
        })
    }

    /// Looks at everything and changes nothing: reachable, table, index, TTL, N of the suffix.
    #[must_use]
    pub fn check(&self) -> Vec<CheckLine> {
        let found = self.runtime.block_on(self.found(false));
        let shown = |(part, found): Found| CheckLine { part, found: found.map_err(|failure| failure.reason) };
        found.into_iter().map(shown).collect()
    }

    /// The same for a daemon that starts, which also records N in a table that has no record yet.
    #[must_use]
    pub fn start_check(&self) -> StartCheck {
        let found = self.runtime.block_on(self.found(true));
        let mut unreachable = None;
        let mut wrong = Vec::new();
        for (part, failure) in found.into_iter().filter_map(|(part, found)| Some((part, found.err()?))) {
            let shown = format!("{part}: {}", failure.reason);
            match failure.kind {
                FailureKind::Throttled | FailureKind::Unavailable => unreachable = Some(shown),
                FailureKind::Rejected | FailureKind::Misconfigured => wrong.push(shown),
            }
        }
        match unreachable {
            _ if !wrong.is_empty() => StartCheck::Wrong(wrong),
            Some(shown) => StartCheck::Unreachable(shown),
            None => StartCheck::Right,
        }
    }

    async fn found(&self, records: bool) -> Vec<Found> {
        let name = &self.settings.table;
        let looked = async {
            let client = connect(&self.settings).await?;
            let described = table::describe(&client, name).await?;
            Ok((client, described))
        };
        let (client, described) = match looked.await {
            Ok(looked) => looked,
            Err(failure) => return vec![("reachable", Err(failure))],
        };
        let mut found: Vec<Found> = vec![("reachable", Ok("yes".into()))];
        let Some(described) = described else {
            let missing = format!("{name} does not exist: `beacond migrate --create-dynamodb` makes it");
            found.push(("table", Err(Failure::misconfigured(missing))));
            return found;
        };
        let table = table::table_line(&described);
        let has_keys = table.is_ok();
        found.push(("table", table.map(|line| format!("{name}: {line}")).map_err(Failure::misconfigured)));
        found.push(("index", table::index_line(&described).map_err(Failure::misconfigured)));
        found.push(("TTL", self.time_to_live_line(&client).await));
        if has_keys {
            found.push(("suffixes", self.suffixes_line(&client, records).await));
        }
        found
    }

    async fn time_to_live_line(&self, client: &Client) -> Result<String, Failure> {
        match table::time_to_live(client, &self.settings.table).await? {
            TimeToLive::On => Ok("on, by ExpiresAt".into()),
            TimeToLive::NotTold(reason) => Ok(format!("cannot be checked here: {reason}")),
            TimeToLive::Off => Err(Failure::misconfigured("off: events would be kept for ever")),
            TimeToLive::Other(name) => Err(Failure::misconfigured(format!("by {name}, not by ExpiresAt"))),
        }
    }

    async fn suffixes_line(&self, client: &Client, records: bool) -> Result<String, Failure> {
        let configured = self.settings.suffixes;
        if records {
            record::settle(client, &self.settings).await.map_err(SuffixTrouble::into_failure)?;
        }
        match record::recorded(client, &self.settings).await? {
            Recorded::Suffixes(recorded) if recorded == configured => Ok(format!("N = {recorded}")),
            Recorded::Suffixes(recorded) => {
                Err(SuffixTrouble::Wrong(WrongSuffixes { recorded, configured }).into_failure())
            }
            Recorded::Unknown if configured.get() > 1 => {
                Err(SuffixTrouble::Unknown(configured).into_failure())
            }
            Recorded::Unknown | Recorded::Empty => {
                Ok(format!("none recorded yet: the first start records N = {configured}"))
            }
        }
    }
}
