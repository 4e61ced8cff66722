//! Two daemons, one shared cache and one system of record, with calls of any length, against the one obvious rule:
//! no answer is older than what a notice before the question announced.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tokio::task::JoinSet;
use tokio::time::{Duration, sleep};
use tokio_util::sync::CancellationToken;

use super::super::{Directory, DirectorySettings, TierSettings};
use super::scripted::{Rows, beacon, id, keep_newer, version};
use crate::domain::beacon::{Beacon, BeaconId};
use crate::domain::customer::CustomerId;
use crate::domain::gateway::{Gateway, GatewayId};
use crate::domain::identity::CustomerIdentity;
use crate::domain::time::Timestamp;
use crate::ports::{BeaconCache, BeaconChanges, PortFuture, StoreError, SystemOfRecord};
use crate::tasks::TaskGroup;

const BEACONS: u8 = 2;
const DAEMONS: usize = 2;

/// Longest parts of calls: a question read and answered, a write done and confirmed, each within its timeout; a notice.
const RECORD_MS: u64 = 150;
const CACHE_MS: u64 = 90;
const NOTICE_MS: u64 = 3_000;

#[derive(Debug, Clone)]
enum Step {
    /// A row changes or goes; each daemon hears of it in its time.
    Change {
        number: u8,
        gone: bool,
    },
    Ask {
        daemon: usize,
        number: u8,
    },
    /// Memory has no room for it.
    Evict {
        daemon: usize,
        number: u8,
    },
    CacheDown(bool),
    /// A daemon is no longer told in time for a while. What it missed is told at the end of it.
    Unfollowed {
        daemon: usize,
        for_ms: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..BEACONS, prop::bool::weighted(0.2)).prop_map(|(number, gone)| Step::Change { number, gone }),
        12 => (0..DAEMONS, 0..BEACONS).prop_map(|(daemon, number)| Step::Ask { daemon, number }),
        12 => (0..DAEMONS, 0..BEACONS).prop_map(|(daemon, number)| Step::Evict { daemon, number }),
        1 => any::<bool>().prop_map(Step::CacheDown),
        1 => (0..DAEMONS, 1_000..20_000u64).prop_map(|(daemon, for_ms)| Step::Unfollowed { daemon, for_ms }),
    ]
}

/// Waits before a step: mostly as short as a call, now and then past every age.
fn wait_ms() -> impl Strategy<Value = u64> {
    prop_oneof![32 => 0..60u64, 8 => 60..1_000u64, 1 => 1_000..20_000u64]
}

/// Both stores. Every call reads or writes at some moment within its length.
#[derive(Debug)]
struct Stores {
    record: Rows,
    cache: Rows,
    cache_down: Mutex<bool>,
    random: Mutex<u64>,
}

impl Stores {
    /// Evenly under `bound` (splitmix64).
    fn random(&self, bound: u64) -> u64 {
        let mut random = self.random.lock().unwrap();
        *random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*random ^ (*random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    async fn passes(&self, bound_ms: u64) {
        sleep(Duration::from_millis(self.random(bound_ms))).await;
    }

    /// A write that fails is done all the same, or not.
    async fn write(&self, change: impl FnOnce(&Rows)) -> Result<(), StoreError> {
        self.passes(CACHE_MS).await;
        let down = *self.cache_down.lock().unwrap();
        if !down || self.random(2) == 0 {
            change(&self.cache);
        }
        self.passes(CACHE_MS).await;
        if down { Err(StoreError::Unavailable { store: "cache", reason: "down".into() }) } else { Ok(()) }
    }
}

impl SystemOfRecord for Stores {
    fn beacon(&self, id: BeaconId) -> PortFuture<'_, Result<Option<Beacon>, StoreError>> {
        Box::pin(async move {
            self.passes(RECORD_MS).await;
            let row = self.record.lock().unwrap().get(&id).cloned();
            self.passes(RECORD_MS).await;
            Ok(row)
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

impl BeaconCache for Stores {
    fn beacon(&self, id: BeaconId) -> PortFuture<'_, Result<Option<Beacon>, StoreError>> {
        Box::pin(async move {
            self.passes(CACHE_MS).await;
            let row = self.cache.lock().unwrap().get(&id).cloned();
            self.passes(CACHE_MS).await;
            match *self.cache_down.lock().unwrap() {
                true => Err(StoreError::Unavailable { store: "cache", reason: "down".into() }),
                false => Ok(row),
            }
        })
    }

    fn keep(&self, beacon: Arc<Beacon>) -> PortFuture<'_, Result<(), StoreError>> {
        Box::pin(self.write(move |rows| keep_newer(rows, &beacon)))
    }

    fn forget(&self, ids: Vec<BeaconId>) -> PortFuture<'_, Result<(), StoreError>> {
        Box::pin(self.write(move |rows| rows.lock().unwrap().retain(|id, _| !ids.contains(id))))
    }
}

/// What is known of the changes: versions count up over all rows, a row that is gone counts as a version too.
#[derive(Default)]
struct Told {
    /// The latest version that each daemon was told of a beacon.
    floors: HashMap<(usize, u8), u16>,
    /// The versions that were a deletion.
    gone: HashMap<u16, u8>,
    /// Told late: what a daemon that is not followed has missed.
    missed: HashMap<usize, Vec<(u8, u16)>>,
}

struct Daemon {
    directory: Arc<Directory<BeaconId, Beacon>>,
    followed: Mutex<bool>,
}

struct Model {
    stores: Arc<Stores>,
    daemons: Vec<Daemon>,
    told: Mutex<Told>,
}

impl Model {
    fn new(seed: u64) -> Arc<Self> {
        let stores = Arc::new(Stores {
            record: Rows::default(),
            cache: Rows::default(),
            cache_down: Mutex::new(false),
            random: Mutex::new(seed),
        });
        let daemons = (0..DAEMONS).map(|_| {
            let directory = Directory::of_beacons(
                DirectorySettings::default(),
                TierSettings::default(),
                TaskGroup::new("directory"),
                Arc::clone(&stores) as Arc<dyn SystemOfRecord>,
                Some(Arc::clone(&stores) as Arc<dyn BeaconCache>),
            );
            TaskGroup::new("settle").spawn(Arc::clone(&directory).settle_owed(CancellationToken::new()));
            directory.followed(true);
            Daemon { directory, followed: Mutex::new(true) }
        });
        let daemons = daemons.collect();
        Arc::new(Self { stores, daemons, told: Mutex::default() })
    }

    /// Takes version `version` of a beacon into the record, and tells every daemon in its time.
    fn change(self: &Arc<Self>, number: u8, version: u16, gone: bool, tasks: &mut JoinSet<()>) {
        {
            let mut rows = self.stores.record.lock().unwrap();
            match gone {
                true => drop(rows.remove(&id(number))),
                false => drop(rows.insert(id(number), beacon(number, version))),
            }
        }
        if gone {
            self.told.lock().unwrap().gone.insert(version, number);
        }
        for daemon in 0..DAEMONS {
            let model = Arc::clone(self);
            tasks.spawn(async move {
                // Mostly at once.
                let longest_ms = if model.stores.random(4) == 0 { NOTICE_MS } else { CACHE_MS };
                model.stores.passes(longest_ms).await;
                if *model.daemons[daemon].followed.lock().unwrap() {
                    model.tell(daemon, number, version);
                } else {
                    model.told.lock().unwrap().missed.entry(daemon).or_default().push((number, version));
                }
            });
        }
    }

    fn tell(&self, daemon: usize, number: u8, version: u16) {
        self.daemons[daemon].directory.changed(&[id(number)]);
        let mut told = self.told.lock().unwrap();
        let floor = told.floors.entry((daemon, number)).or_default();
        *floor = version.max(*floor);
    }

    async fn ask(self: Arc<Self>, daemon: usize, number: u8) {
        let floor = self.told.lock().unwrap().floors.get(&(daemon, number)).copied().unwrap_or(0);
        let known = self.daemons[daemon].directory.resolve(&id(number)).await;
        let told = self.told.lock().unwrap();
        match version(&known) {
            // Every beacon was unregistered at first.
            Some(0) => {
                let gone_since = told.gone.iter().any(|(version, gone)| *gone == number && *version >= floor);
                assert!(floor == 0 || gone_since, "not registered, though told of version {floor}");
            }
            Some(version) => assert!(version >= floor, "version {version} after the notice of {floor}"),
            None => {}
        }
    }

    async fn unfollowed(self: Arc<Self>, daemon: usize, for_ms: u64) {
        let this = &self.daemons[daemon];
        if !std::mem::replace(&mut *this.followed.lock().unwrap(), false) {
            return;
        }
        this.directory.followed(false);
        sleep(Duration::from_millis(for_ms)).await;
        *this.followed.lock().unwrap() = true;
        let missed = self.told.lock().unwrap().missed.remove(&daemon).unwrap_or_default();
        for (number, version) in missed {
            self.tell(daemon, number, version);
        }
        // Those on their way yet are told by themselves, as late as they would have been.
        this.directory.followed(true);
    }

    /// Once everything was told, memory and the record say the same, and the shared cache nothing else.
    async fn rests(&self) {
        *self.stores.cache_down.lock().unwrap() = false;
        sleep(Duration::from_secs(60)).await;
        for number in 0..BEACONS {
            let row = self.stores.record.lock().unwrap().get(&id(number)).map_or(0, |beacon| beacon.minor);
            for daemon in &self.daemons {
                assert_eq!(version(&daemon.directory.resolve(&id(number)).await), Some(row));
            }
            let cached = self.stores.cache.lock().unwrap().get(&id(number)).map(|beacon| beacon.minor);
            assert!(cached.is_none_or(|cached| cached == row), "{cached:?} is cached, {row} in the record");
        }
        sleep(Duration::from_secs(5)).await;
        assert!(self.daemons.iter().all(|daemon| daemon.directory.counts().owed == 0));
    }
}

async fn run(seed: u64, steps: Vec<(u64, Step)>) {
    let model = Model::new(seed);
    let mut tasks = JoinSet::new();
    for (version, (wait_ms, step)) in (1..).zip(steps) {
        sleep(Duration::from_millis(wait_ms)).await;
        match step {
            Step::Change { number, gone } => model.change(number, version, gone, &mut tasks),
            Step::Ask { daemon, number } => drop(tasks.spawn(Arc::clone(&model).ask(daemon, number))),
            Step::Evict { daemon, number } => {
                model.daemons[daemon].directory.entries.invalidate(&id(number)).await;
            }
            Step::CacheDown(down) => *model.stores.cache_down.lock().unwrap() = down,
            Step::Unfollowed { daemon, for_ms } => {
                tasks.spawn(Arc::clone(&model).unfollowed(daemon, for_ms));
            }
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    model.rests().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever overlaps: an answer is at least as new as what its daemon had been told when it was asked, and nobody
    /// is left with an old row.
    #[test]
    fn no_answer_is_older_than_what_a_notice_before_it_announced(
        seed in any::<u64>(),
        steps in prop::collection::vec((wait_ms(), step()), 1..200),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(run(seed, steps));
    }
}
