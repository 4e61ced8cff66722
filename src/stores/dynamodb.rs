//! DynamoDB: one event an identity, written by BatchWriteItem, kept for a year.

mod admin;
mod call_limit;
mod connection;
mod failure;
mod health;
mod item;
mod plan;
mod record;
mod round;
mod suffix;
mod table;
mod writer;

use std::num::NonZeroU16;
use std::time::Duration;

pub use self::admin::{DynamoDbAdmin, DynamoDbAdminError};
pub use self::health::DynamoDbHealth;
pub use self::record::WrongSuffixes;
pub use self::table::INDEX;
pub use self::writer::DynamoDbWriter;

/// Where the events are, and how hard they are pushed. Credentials and region come from the chain that every AWS tool
/// uses: environment, profile files, web identity, the container's or machine's role.
#[derive(Debug, Clone)]
pub struct DynamoDbSettings {
    /// The table, `CustomerEvents` in the model.
    pub table: String,
    /// Another endpoint than the region's, as emulators and private links need it.
    pub endpoint: Option<String>,
    /// N: over how many partition keys a customer's events are spread; 1 is no suffix. Fixed for a table.
    pub suffixes: NonZeroU16,
    /// Calls in flight, when they are not to be found out.
    pub calls_in_flight: Option<usize>,
    /// Calls in flight are found out between one and this.
    pub max_calls_in_flight: usize,
    /// How long one call may take. The wait for credentials that must be fetched comes on top of it.
    pub call_timeout: Duration,
    /// How often an item is sent before it goes back to the pipeline, which goes on with it.
    pub attempts: u32,
    /// How long a batch is worked on before what is left of it goes back to the pipeline in the same way.
    pub write_timeout: Duration,
}
