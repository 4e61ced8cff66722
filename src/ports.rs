//! What the pipeline needs of the world, each as a trait with its contract in words.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::beacon::{Beacon, BeaconId};
pub use crate::domain::block::Block;
use crate::domain::clock::ClockReading;
use crate::domain::customer::CustomerId;
use crate::domain::gateway::{Gateway, GatewayId};
use crate::domain::identity::CustomerIdentity;
use crate::domain::time::Timestamp;

/// A future of a port's slow path. Fast paths never box.
pub type PortFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The clocks of the system. Nothing else in the daemon reads a clock to decide something.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Reads them; `now` goes back only when a wall clock that was set back has been adopted.
    fn read(&self) -> ClockReading;
}

/// Questions to the one system of record.
///
/// Every answer reflects at least what was committed when the question was asked. An implementation bounds its
/// queue and answers [`StoreError::Unavailable`] rather than make a caller wait for long; callers bound their
/// waiting too. Dropping the future abandons the question, never a resource.
pub trait SystemOfRecord: Send + Sync + fmt::Debug + 'static {
    /// The beacon registered under this id.
    fn beacon(&self, id: BeaconId) -> PortFuture<'_, Result<Option<Beacon>, StoreError>>;

    /// Beacons in the store's own order of ids, from behind `after` on, `at_most` rows: for who wants them all, page after
    /// page. Asked only where changes are told ([`BeaconChanges`]); a store that tells none has no pages.
    fn beacons(
        &self,
        after: Option<BeaconId>,
        at_most: u32,
    ) -> PortFuture<'_, Result<BeaconPage, StoreError>> {
        let _ = (after, at_most);
        Box::pin(std::future::ready(Ok(BeaconPage::default())))
    }

    /// The gateway registered under this id.
    fn gateway(&self, id: GatewayId) -> PortFuture<'_, Result<Option<Gateway>, StoreError>>;

    /// Every stored identity of each asked customer that lies under 60 s from the time asked, on either side.
    /// One question for all sightings of a frame; at most as many pairs as a frame has sightings.
    fn identities_near(
        &self,
        asked: Vec<(CustomerId, Timestamp)>,
    ) -> PortFuture<'_, Result<Vec<CustomerIdentity>, StoreError>>;

    /// The latest DetectedAt stored; `None` when nothing is. What is asked about at a start: the duplicate window is
    /// empty then, and only sightings a minute after this time cannot conflict with what is stored.
    fn newest_identity(&self) -> PortFuture<'_, Result<Option<Timestamp>, StoreError>>;
}

/// Some of the registered beacons.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BeaconPage {
    /// Those of the page; rows that break the model are left out.
    pub beacons: Vec<Beacon>,
    /// Behind which beacon the next page begins; `None` when this is the last one.
    pub next_after: Option<BeaconId>,
}

/// Whether rows of a batch may be in the store already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The pipeline has not handed them to this store before, but for what gateways sent again.
    First,
    /// A write of them may have been done in part or in full: it failed, or it was cut off.
    Again,
}

/// Writes batches into a store. Owned by one thread, which may block in it.
///
/// Writes are idempotent: a row written twice leaves what it left the first time, and `Ok` means that every row is there
/// as durably as the store can. After an error any part of the batch may be there; the pipeline writes it again, whole
/// or in parts, as [`Delivery::Again`], until it is there or its rows are dead letters.
pub trait BatchWriter: Send + fmt::Debug {
    /// Writes all rows of `batch` that concern this store. Returns within a bounded time, also when the store is gone;
    /// retries of its own are bounded, the pipeline goes on with them.
    ///
    /// # Errors
    /// [`WriteError`], by what is to be done about it.
    fn write(&mut self, batch: &[Arc<Block>], delivery: Delivery) -> Result<(), WriteError>;
}

/// Why a batch, or a part of it, was not written: each kind asks for another thing to be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The store, the way to it, or its resources: the same batch may be written later.
    #[error("{0}")]
    Unavailable(String),
    /// The store refuses something that is in the batch: it is written in parts, and what is refused alone becomes a
    /// dead letter.
    #[error("{0}")]
    Rejected(String),
    /// A schema, a right or credentials: no batch is written until somebody mends it.
    #[error("{0}")]
    Misconfigured(String),
}

/// A cache of beacons that daemons share. Outside every promise: it may lose anything at any time.
pub trait BeaconCache: Send + Sync + fmt::Debug + 'static {
    /// What it holds of a beacon; `None` when it does not know. Bounded in time.
    fn beacon(&self, id: BeaconId) -> PortFuture<'_, Result<Option<Beacon>, StoreError>>;

    /// Keeps a registration, unless a version with the same or a newer `updated_at` is held.
    fn keep(&self, beacon: Arc<Beacon>) -> PortFuture<'_, Result<(), StoreError>>;

    /// Forgets these beacons, whatever version is held.
    fn forget(&self, ids: Vec<BeaconId>) -> PortFuture<'_, Result<(), StoreError>>;
}

/// Who must hear of beacons that changed in the system of record: whatever holds copies of them.
pub trait BeaconChanges: Send + Sync + fmt::Debug + 'static {
    /// These beacons changed or are gone: no copy taken before this call is used after it returns, but while the system
    /// of record cannot be asked.
    fn changed(&self, ids: &[BeaconId]);

    /// Whether every change is being told in time from now on; said again whenever it turns. `true` is said only after
    /// [`Self::changed`] has been called for everything that changed while it was `false`, or before the start, in the
    /// last [`BEACON_CACHED_FOR`].
    fn followed(&self, followed: bool);
}

/// How long a shared cache keeps a beacon.
pub const BEACON_CACHED_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// Where the latest identity of each customer is cached. Outside every promise.
pub trait LatestIdentities: Send + Sync + fmt::Debug + 'static {
    /// These blocks are in the system of record. Never waits: what it has no room for it drops, and counts.
    fn stored(&self, blocks: &[Arc<Block>]);
}

/// A row that a store refused, with its reason.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    /// The store that refused it.
    pub store: &'static str,
    /// What the store said.
    pub reason: String,
    /// When it was given up.
    pub at: Timestamp,
    /// The journal's entry that it came in, and its place among the rows of that: with the store, what tells letters apart.
    pub entry: u64,
    /// That place, from 0.
    pub row: u32,
    /// The one row in it.
    pub block: Arc<Block>,
}

/// Where rows go that a store refuses.
pub trait DeadLetters: Send + Sync + fmt::Debug + 'static {
    /// Keeps a letter; `Ok` means that it is on the disk. May block. Kept twice, it is there once or twice.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the disk or the bound of dead letters does not let it: the writer waits at the row.
    fn keep(&self, letter: &DeadLetter) -> Result<(), StoreError>;
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
