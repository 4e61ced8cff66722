//! A system of record and a shared cache that do as they are told, and a directory in front of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use tokio::sync::Semaphore;
use tokio::time::Duration;
use tokio_util::sync::CancellationToken;

use super::super::{Directory, DirectorySettings, Known, Tier, TierSettings};
use crate::domain::beacon::{Beacon, BeaconId, BeaconStatus};
use crate::domain::customer::CustomerId;
use crate::domain::gateway::{Gateway, GatewayId};
use crate::domain::identity::CustomerIdentity;
use crate::domain::time::Timestamp;
use crate::ports::{BeaconCache, BeaconPage, PortFuture, StoreError, SystemOfRecord};
use crate::tasks::TaskGroup;

pub(super) fn id(number: u8) -> BeaconId {
    BeaconId::from_bytes([number; 16])
}

/// Told from its other versions by `minor`, which is its version too.
pub(super) fn beacon(number: u8, version: u16) -> Beacon {
    Beacon {
        id: id(number),
        store_id: "store".parse().unwrap(),
        major: 1,
        minor: version,
        location: None,
        location_type: None,
        status: BeaconStatus::Active,
        updated_at: Timestamp::from_micros(i64::from(version)),
    }
}

/// The version answered; 0 for a beacon that is not registered, nothing where that cannot be said.
pub(super) fn version(known: &Known<Beacon>) -> Option<u16> {
    match known {
        Known::Is(beacon) => Some(beacon.minor),
        Known::Not => Some(0),
        Known::CannotSay => None,
    }
}

/// What one kind of call goes through: counted, and held while the gate is shut.
#[derive(Debug)]
pub(super) struct Gate {
    calls: AtomicU64,
    open: Semaphore,
}

/// More calls than any test makes.
const OPEN: usize = 1_000_000;

impl Gate {
    fn new() -> Self {
        Self { calls: AtomicU64::new(0), open: Semaphore::new(OPEN) }
    }

    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    pub(super) fn shut(&self) {
        self.open.forget_permits(usize::MAX);
    }

    pub(super) fn open(&self) {
        self.open.add_permits(OPEN);
    }

    pub(super) fn let_one_pass(&self) {
        self.open.add_permits(1);
    }

    async fn pass(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.open.acquire().await.unwrap().forget();
    }
}

pub(super) type Rows = Mutex<HashMap<BeaconId, Beacon>>;

/// Reads a row when it is asked, and answers when its gate lets it: what is held is old by then, if the row changed.
#[derive(Debug)]
pub(super) struct ScriptedRecord {
    pub(super) rows: Rows,
    pub(super) down: AtomicBool,
    pub(super) asks: Gate,
    pub(super) pages: Gate,
}

/// Rows of a page, whatever was asked for.
pub(super) const PAGE: usize = 50;

impl ScriptedRecord {
    pub(super) fn put(&self, beacon: Beacon) {
        self.rows.lock().unwrap().insert(beacon.id, beacon);
    }
}

impl SystemOfRecord for ScriptedRecord {
    fn beacon(&self, id: BeaconId) -> PortFuture<'_, Result<Option<Beacon>, StoreError>> {
        Box::pin(async move {
            let row = self.rows.lock().unwrap().get(&id).cloned();
            self.asks.pass().await;
            up(&self.down)?;
            Ok(row)
        })
    }

    fn beacons(
        &self,
        after: Option<BeaconId>,
        _at_most: u32,
    ) -> PortFuture<'_, Result<BeaconPage, StoreError>> {
        Box::pin(async move {
            let mut beacons: Vec<_> = self.rows.lock().unwrap().values().cloned().collect();
            beacons.retain(|beacon| after.is_none_or(|after| beacon.id > after));
            beacons.sort_unstable_by_key(|beacon| beacon.id);
            let next_after = beacons.get(PAGE).map(|_| beacons[PAGE - 1].id);
            beacons.truncate(PAGE);
            self.pages.pass().await;
            up(&self.down)?;
            Ok(BeaconPage { beacons, next_after })
        })
    }

    fn gateway(&self, _id: GatewayId) -> PortFuture<'_, Result<Option<Gateway>, StoreError>> {
        Box::pin(async { Ok(None) })
    }

    fn identities_near(
        &self,
        _asked: Vec<(CustomerId, Timestamp)>,
    ) -> PortFuture<'_, Result<Vec<CustomerIdentity>, StoreError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn newest_identity(&self) -> PortFuture<'_, Result<Option<Timestamp>, StoreError>> {
        Box::pin(async { Ok(None) })
    }
}

/// Reads when it is asked, and writes when its gates let it.
#[derive(Debug)]
pub(super) struct ScriptedCache {
    pub(super) rows: Rows,
    pub(super) down: AtomicBool,
    pub(super) asks: Gate,
    pub(super) keeps: Gate,
    pub(super) forgets: Gate,
}

impl ScriptedCache {
    pub(super) fn put(&self, beacon: Beacon) {
        self.rows.lock().unwrap().insert(beacon.id, beacon);
    }

    /// The version held; 0 for none.
    pub(super) fn version(&self, number: u8) -> u16 {
        self.rows.lock().unwrap().get(&id(number)).map_or(0, |beacon| beacon.minor)
    }
}

/// As the port has it: never over the same or a newer version.
pub(super) fn keep_newer(rows: &Rows, beacon: &Beacon) {
    let mut rows = rows.lock().unwrap();
    if rows.get(&beacon.id).is_none_or(|held| held.updated_at < beacon.updated_at) {
        rows.insert(beacon.id, beacon.clone());
    }
}

impl BeaconCache for ScriptedCache {
    fn beacon(&self, id: BeaconId) -> PortFuture<'_, Result<Option<Beacon>, StoreError>> {
        Box::pin(async move {
            let row = self.rows.lock().unwrap().get(&id).cloned();
            self.asks.pass().await;
            up(&self.down)?;
            Ok(row)
        })
    }

    fn keep(&self, beacon: Arc<Beacon>) -> PortFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            self.keeps.pass().await;
            up(&self.down)?;
            keep_newer(&self.rows, &beacon);
            Ok(())
        })
    }

    fn forget(&self, ids: Vec<BeaconId>) -> PortFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            self.forgets.pass().await;
            up(&self.down)?;
            self.rows.lock().unwrap().retain(|id, _| !ids.contains(id));
            Ok(())
        })
    }
}

fn up(down: &AtomicBool) -> Result<(), StoreError> {
    match down.load(Ordering::Relaxed) {
        true => Err(StoreError::Unavailable { store: "scripted", reason: "down".into() }),
        false => Ok(()),
    }
}

pub(super) struct World {
    pub(super) record: Arc<ScriptedRecord>,
    pub(super) cache: Arc<ScriptedCache>,
    pub(super) directory: Arc<Directory<BeaconId, Beacon>>,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with_tiers(TierSettings::default())
    }

    pub(super) fn with_tiers(tiers: TierSettings) -> Self {
        Self::with(DirectorySettings::default(), tiers)
    }

    pub(super) fn with(settings: DirectorySettings, tiers: TierSettings) -> Self {
        let record = Arc::new(ScriptedRecord {
            rows: Mutex::default(),
            down: AtomicBool::new(false),
            asks: Gate::new(),
            pages: Gate::new(),
        });
        let cache = Arc::new(ScriptedCache {
            rows: Mutex::default(),
            down: AtomicBool::new(false),
            asks: Gate::new(),
            keeps: Gate::new(),
            forgets: Gate::new(),
        });
        let directory = Directory::of_beacons(
            settings,
            tiers,
            TaskGroup::new("directory"),
            Arc::clone(&record) as Arc<dyn SystemOfRecord>,
            Some(Arc::clone(&cache) as Arc<dyn BeaconCache>),
        );
        TaskGroup::new("settle").spawn(Arc::clone(&directory).settle_owed(CancellationToken::new()));
        Self { record, cache, directory }
    }

    pub(super) async fn ask(&self, number: u8) -> Option<u16> {
        version(&self.directory.resolve(&id(number)).await)
    }

    /// What is answered, which has to be at once, and how far the question went.
    pub(super) fn ask_at_once(&self, number: u8) -> (Option<u16>, Tier) {
        let id = id(number);
        let asked = self.directory.resolve_until(&id, self.directory.deadline());
        let (known, tier) = asked.now_or_never().expect("an answer without a wait");
        (version(&known), tier)
    }

    /// Until no load and no write to the shared cache is under way beside.
    pub(super) async fn idle(&self) {
        while !self.directory.tasks.is_empty() {
            tokio::task::yield_now().await;
        }
    }

    /// Until the shared cache owes nothing.
    pub(super) async fn settled(&self) {
        while self.directory.counts().owed > 0 || !self.directory.tasks.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
