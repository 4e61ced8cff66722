//! What runs beside the pipeline for its registrations and its past.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::StartError;
use super::stores::Background;
use crate::backoff::Backoff;
use crate::config::PostgresRecordSettings;
use crate::domain::beacon::BeaconId;
use crate::domain::gateway::GatewayId;
use crate::pipeline::Pipeline;
use crate::ports::{Clock, SystemOfRecord};
use crate::stores::StartCheck;
use crate::stores::postgres::{BeaconChangesTask, TableCare, check_at_start};
use crate::stores::snapshot::{self, Snapshot};

/// How long a start waits for what was stored before it; then it goes on without, and asks again.
const PAST_TIMEOUT: Duration = Duration::from_secs(2);

/// Waits between questions about the past.
const PAST_FIRST_WAIT: Duration = Duration::from_millis(250);
const PAST_LONGEST_WAIT: Duration = Duration::from_secs(2);

/// How long a start waits until it is told what changed before it, and how often it looks.
const FOLLOWED_TIMEOUT: Duration = Duration::from_secs(3);
const FOLLOWED_LOOK: Duration = Duration::from_millis(5);

/// How long a start waits until beacons are in memory: a million take three to eight seconds.
const FILLED_TIMEOUT: Duration = Duration::from_secs(10);

/// Beacons that are kept once more at a stop, at most: it does not wait for millions of them.
const KEPT_AT_STOP: u64 = 200_000;

/// How often a PostgreSQL that was not there at the start is looked at until it is right.
const CHECK_EVERY: Duration = Duration::from_secs(5);

/// How often a system of record that could not be asked is tried though nobody wants anything of it.
const TRY_AGAIN_EVERY: Duration = Duration::from_secs(1);

/// What the companions of a pipeline need.
#[derive(Debug, Clone)]
pub(super) struct Companions {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) record: Arc<dyn SystemOfRecord>,
    pub(super) clock: Arc<dyn Clock>,
    /// Where changes are told, if they are.
    pub(super) postgres: Option<PostgresRecordSettings>,
    /// Where to say what is wrong with PostgreSQL, if that is still to be seen.
    pub(super) unchecked: Option<Arc<Mutex<Vec<String>>>>,
    pub(super) snapshot: PathBuf,
    pub(super) snapshot_every: Duration,
}

impl Companions {
    /// Does what comes before the first session, and starts the rest as tasks.
    pub(super) fn start(&self, runtime: &Runtime, background: &Background) -> Result<(), StartError> {
        let _inside = runtime.enter();
        runtime.block_on(async {
            self.load_snapshot().await;
            // A journal that is whole knows all that fresh sightings could conflict with.
            if self.pipeline.is_past_unknown() {
                self.ask_about_the_past(background).await;
            }
        });
        let (tasks, stop) = (&background.tasks, &background.stop);
        // Cancelled when all beacons are in memory.
        let filled = CancellationToken::new();
        tasks.spawn(Arc::clone(self.pipeline.beacons()).settle_owed(stop.clone()));
        if let Some(postgres) = &self.postgres {
            let wrong = |error| StartError::wrong("postgres", &error);
            let changes = Arc::clone(self.pipeline.beacons());
            let follow = BeaconChangesTask::new(&postgres.server, postgres.follow, changes).map_err(wrong)?;
            tasks.spawn(follow.run(tasks.clone(), stop.clone()));
            let beacons = Arc::clone(self.pipeline.beacons());
            tasks.spawn(beacons.fill(Arc::clone(&self.record), filled.clone(), stop.clone()));
            if let Some(wrong) = &self.unchecked {
                tasks.spawn(check_later(postgres.clone(), Arc::clone(wrong), background.clone()));
            }
            let care = TableCare::new(&postgres.server).map_err(wrong)?;
            tasks.spawn(care.run(tasks.clone(), stop.clone()));
            // A shared cache may hold what changed while nobody followed: it is not asked before that is known.
            if self.unchecked.is_none() && runtime.block_on(self.followed()) {
                runtime.block_on(in_memory(&filled));
            }
        }
        tasks.spawn(try_again(Arc::clone(&self.pipeline), stop.clone()));
        let (companions, stopped) = (self.clone(), stop.clone());
        tasks.spawn(async move {
            // The first one as soon as there is something to keep.
            let first = filled.run_until_cancelled(sleep(companions.snapshot_every));
            let mut waited = stopped.run_until_cancelled(first).await.is_some();
            while waited {
                companions.keep_snapshot().await;
                waited = stopped.run_until_cancelled(sleep(companions.snapshot_every)).await.is_some();
            }
            if companions.pipeline.beacons().counts().entries <= KEPT_AT_STOP {
                companions.keep_snapshot().await;
            }
        });
        Ok(())
    }

    /// Registrations of the last run, as a start without any store needs them. They are asked about before they are used
    /// while a store can be asked.
    async fn load_snapshot(&self) {
        let path = self.snapshot.clone();
        let read = tokio::task::spawn_blocking(move || snapshot::read(&path)).await;
        match read {
            Ok(Ok(Some(Snapshot { beacons, gateways, .. }))) => {
                tracing::debug!(
                    beacons = beacons.len(),
                    gateways = gateways.len(),
                    "registrations of the last run"
                );
                let beacons = beacons.into_iter().map(|beacon| (beacon.id, beacon));
                self.pipeline.beacons().preload(beacons).await;
                let gateways = gateways.into_iter().map(|gateway| (gateway.id.clone(), gateway));
                self.pipeline.gateways().preload(gateways).await;
            }
            Ok(Ok(None)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "starting without the registrations of the last run"),
            Err(error) => tracing::error!(%error, "the registrations of the last run were not read"),
        }
    }

    /// Waits until every change of the last day has been told, and returns whether it has.
    async fn followed(&self) -> bool {
        let told = async {
            while !self.pipeline.beacons().counts().followed {
                sleep(FOLLOWED_LOOK).await;
            }
        };
        let is_told = timeout(FOLLOWED_TIMEOUT, told).await.is_ok();
        if !is_told {
            tracing::warn!("changes of beacons are not told yet: they are looked up again and again");
        }
        is_told
    }

    async fn keep_snapshot(&self) {
        let (path, now) = (self.snapshot.clone(), self.clock.read().now);
        let pipeline = Arc::clone(&self.pipeline);
        let written = tokio::task::spawn_blocking(move || {
            let (beacons, gateways) = (pipeline.beacons().known(), pipeline.gateways().known());
            if beacons.is_empty() && gateways.is_empty() {
                return Ok(());
            }
            let beacons = beacons.iter().map(|beacon| &**beacon);
            snapshot::write(&path, beacons, gateways.iter().map(|gateway| &**gateway), now).map(drop)
        });
        match written.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "registrations are not kept for the next start"),
            Err(error) => tracing::error!(%error, "registrations are not kept for the next start"),
        }
    }

    /// The journal is new, or damaged: the duplicate window may lack what is stored. Until it is known what was stored last,
    /// sightings are undecided.
    async fn ask_about_the_past(&self, background: &Background) {
        match timeout(PAST_TIMEOUT, self.record.newest_identity()).await {
            Ok(Ok(newest)) => return self.pipeline.past_known(newest),
            Ok(Err(error)) => tracing::warn!(%error, "what was stored before is not known yet"),
            Err(_) => tracing::warn!("what was stored before is not known yet: no answer in time"),
        }
        let (pipeline, record) = (Arc::clone(&self.pipeline), Arc::clone(&self.record));
        let stop = background.stop.clone();
        background.tasks.spawn(async move {
            let mut backoff = Backoff::new(PAST_FIRST_WAIT, PAST_LONGEST_WAIT);
            while stop.run_until_cancelled(sleep(backoff.wait())).await.is_some() {
                match timeout(PAST_TIMEOUT, record.newest_identity()).await {
                    Ok(Ok(newest)) => {
                        tracing::info!(
                            "what was stored before is known: fresh sightings are decided in memory"
                        );
                        return pipeline.past_known(newest);
                    }
                    Ok(Err(error)) => tracing::debug!(%error, "what was stored before is not known yet"),
                    Err(_) => {}
                }
            }
        });
    }
}

/// Waits until beacons are in memory: gateways that return all at once would ask about each of them.
async fn in_memory(filled: &CancellationToken) {
    if timeout(FILLED_TIMEOUT, filled.cancelled()).await.is_err() {
        tracing::warn!("beacons are not in memory yet: those that are missing are looked up one by one");
    }
}

/// Has a system of record that could not be asked tried again though no gateway asks for anything: who follows `/ready`
/// sends none until it says that it can.
async fn try_again(pipeline: Arc<Pipeline>, stop: CancellationToken) {
    let nobodys_beacon = BeaconId::from_bytes([0; 16]);
    let nobodys_gateway: Option<GatewayId> = "-".parse().ok();
    while stop.run_until_cancelled(sleep(TRY_AGAIN_EVERY)).await.is_some() {
        pipeline.beacons().try_again(&nobodys_beacon);
        if let Some(gateway) = &nobodys_gateway {
            pipeline.gateways().try_again(gateway);
        }
    }
}

/// Sees whether a PostgreSQL that was not there at the start is as it must be, once it is, and until it is.
async fn check_later(
    postgres: PostgresRecordSettings,
    wrong: Arc<Mutex<Vec<String>>>,
    background: Background,
) {
    let checked = async {
        loop {
            sleep(CHECK_EVERY).await;
            let found = match check_at_start(&postgres.server, &background.tasks).await {
                StartCheck::Right => Vec::new(),
                StartCheck::Unreachable(_) => continue,
                StartCheck::Wrong(lines) => lines,
            };
            let right = found.is_empty();
            let before =
                std::mem::replace(&mut *wrong.lock().unwrap_or_else(PoisonError::into_inner), found.clone());
            if !right && before != found {
                tracing::error!(
                    wrong = found.join("; "),
                    "PostgreSQL is not as it must be: somebody must mend it"
                );
            }
            if right {
                return;
            }
        }
    };
    background.stop.run_until_cancelled(checked).await;
}
