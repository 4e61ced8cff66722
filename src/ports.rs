//! What the pipeline needs of the world, each as a trait with its contract in words.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::domain::beacon::{Beacon, BeaconId};
use crate::domain::clock::ClockReading;
use crate::domain::customer::CustomerId;
use crate::domain::gateway::{Gateway, GatewayId};
use crate::domain::identity::CustomerIdentity;
use crate::domain::preference::PreferenceChange;
use crate::domain::time::Timestamp;

/// A future of a port's slow path. Fast paths never box.
pub type PortFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The clocks of the system. Nothing else in the daemon reads a clock to decide something.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Reads them; `now` goes back only when a wall clock that was set back has been adopted.
    fn read(&self) -> ClockReading;
}

/// What an identity already stored says about a late sighting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredIdentity {
    /// Whose.
    pub customer_id: CustomerId,
    /// When.
    pub detected_at: Timestamp,
    /// At which beacon.
    pub beacon_id: BeaconId,
}

/// Questions to the one system of record.
///
/// Every answer reflects at least what was committed when the question was asked. An implementation bounds its
/// queue and answers [`StoreError::Unavailable`] rather than make a caller wait for long; callers bound their
/// waiting too. Dropping the future abandons the question, never a resource.
pub trait SystemOfRecord: Send + Sync + fmt::Debug + 'static {
    /// The beacon registered under this id.
    fn beacon(&self, id: BeaconId) -> PortFuture<'_, Result<Option<Beacon>, StoreError>>;

    /// The gateway registered under this id.
    fn gateway(&self, id: GatewayId) -> PortFuture<'_, Result<Option<Gateway>, StoreError>>;

    /// Every stored identity of each asked customer that lies under 60 s from the time asked, on either side.
    /// One question for all sightings of a frame; at most as many pairs as a frame has sightings.
    fn identities_near(
        &self,
        asked: Vec<(CustomerId, Timestamp)>,
    ) -> PortFuture<'_, Result<Vec<StoredIdentity>, StoreError>>;

    /// The latest DetectedAt stored; `None` when nothing is. What is asked about at a start: the duplicate window is
    /// empty then, and only sightings a minute after this time cannot conflict with what is stored.
    fn newest_identity(&self) -> PortFuture<'_, Result<Option<Timestamp>, StoreError>>;
}

/// What one frame brought that must be stored: the unit that is accepted or undone as a whole.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Block {
    /// Identities, in the order decided.
    pub identities: Vec<CustomerIdentity>,
    /// Preferences, in the order received.
    pub preferences: Vec<PreferenceChange>,
}

impl Block {
    /// Rows it makes: the measure of batches.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.identities.len() + self.preferences.len()
    }

    /// Places it takes in a queue: one an identity, and more for preferences, whose size is their sender's choice.
    #[must_use]
    pub fn places(&self) -> usize {
        let of_preferences = self.preferences.iter().map(|change| 1 + pairs_bytes(change) / PLACE_BYTES);
        self.identities.len() + of_preferences.sum::<usize>()
    }

    /// Bytes it takes in memory, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let preferences: usize = self.preferences.iter().map(pairs_bytes).sum();
        self.identities.len() * size_of::<CustomerIdentity>()
            + self.preferences.len() * size_of::<PreferenceChange>()
            + preferences
    }
}

/// Bytes of preferences that take a place of their own in a queue: about an identity's.
const PLACE_BYTES: usize = 128;

fn pairs_bytes(change: &PreferenceChange) -> usize {
    change.pairs.iter().map(|(key, value)| key.len() + value.len() + 2 * size_of::<String>()).sum()
}

/// Writes batches into a store. Owned by one thread, which may block in it.
///
/// A batch is atomic: after an error that says so nothing of it is there. Writes are idempotent: a batch written
/// twice leaves what it left the first time. `Ok` means committed as durably as the store can.
pub trait BatchWriter: Send + fmt::Debug {
    /// Writes all of `batch` or nothing. Returns within a bounded time, also when the store is gone.
    ///
    /// # Errors
    /// [`WriteError::NotCommitted`] when nothing of it was stored, [`WriteError::InDoubt`] when that cannot be
    /// said yet: ask [`Self::was_committed`] until it answers.
    fn write(&mut self, batch: &[Block]) -> Result<(), WriteError>;

    /// Whether a batch whose write ended in doubt was committed, asked on a new connection.
    ///
    /// # Errors
    /// When the store cannot be asked; ask again later.
    fn was_committed(&mut self, batch: &[Block]) -> Result<bool, StoreError>;
}

/// Why a store gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It could not be reached, or not in time.
    #[error("{store} cannot be asked: {reason}")]
    Unavailable {
        /// Which store.
        store: &'static str,
        /// What it or its driver said.
        reason: String,
    },
    /// It answered something that breaks the model.
    #[error("{store} holds a row the model does not allow: {reason}")]
    BadRow {
        /// Which store.
        store: &'static str,
        /// Which rule it breaks.
        reason: String,
    },
}

/// Why a batch was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Nothing of it is stored.
    #[error("not committed: {0}")]
    NotCommitted(#[source] StoreError),
    /// It may be stored or not.
    #[error("commit in doubt: {0}")]
    InDoubt(#[source] StoreError),
}
