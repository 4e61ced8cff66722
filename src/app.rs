//! The composition root: builds every part of the daemon, runs them, and stops them in order.

mod companions;
mod growth;
mod letters;
mod metrics;
mod readiness;
mod reload;
mod report;
mod stores;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use self::companions::Companions;
use self::letters::LetterDesk;
use self::reload::ReloadCounts;
pub use self::reload::{Reloaded, Reloader};
use self::report::Observer;
pub use self::report::Report;
use self::stores::{Background, Stores};
use crate::clock::SystemClock;
use crate::config::{Config, ConfigError};
use crate::data_dir::{self, DataDir, DataDirError, Disk, Holder};
use crate::journal::OpenError;
use crate::latency::Latencies;
use crate::listen::{BindError, ListenSettings, Listeners, LiveLimits};
use crate::ops::{AdminSources, AdminThread, Reason, Sample};
use crate::pipeline::{Ledger, Left, Pipeline, PipelineError, PipelinePorts, WriterThreads};
use crate::ports::Clock;
use crate::stores::dead_letters::DeadLetterFile;
use crate::stores::snapshot::SNAPSHOT_FILE;
use crate::stores::sqlite;
use crate::tasks::TaskGroup;

/// How long the stores are given after the last session has ended, however long that took.
const STORING_AT_LEAST: Duration = Duration::from_millis(500);

/// How long what is under way at the deadline of a stop may take to end. It is left alone then: what it writes is
/// written again by the next start.
const ENDING: Duration = Duration::from_millis(500);

/// How often the journal's size is looked at.
const GROWTH_EVERY: Duration = Duration::from_secs(2);

/// How often a data directory is tried that could not be told where the daemon can be asked.
const ANNOUNCED_EVERY: Duration = Duration::from_secs(1);

/// A daemon with everything opened and bound, serving nothing yet.
#[derive(Debug)]
pub struct Daemon {
    runtime: Runtime,
    listeners: Listeners,
    settings: ListenSettings,
    limits: Arc<LiveLimits>,
    pipeline: Arc<Pipeline>,
    writers: WriterThreads,
    clock: Arc<dyn Clock>,
    admin: AdminThread,
    observer: Observer,
    /// Cancelled when the daemon has been told to stop: it is not ready from then on.
    stopping: CancellationToken,
    addresses: Addresses,
    refreshes: TaskGroup,
    background: Background,
    insecure_dev: bool,
    data_dir: Arc<DataDir>,
    reloader: Reloader,
}

/// Where a daemon listens: what `--ready-file` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Addresses {
    /// Gateways over TCP.
    pub tcp: SocketAddr,
    /// Gateways over UDP.
    pub udp: SocketAddr,
    /// Operators.
    pub admin: SocketAddr,
}

/// How a daemon ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything accepted is in every store.
    Stored,
    /// Some of it waits in the journal for the next start. Nothing that was acknowledged is lost.
    Waiting,
}

/// Why a daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The embedded store.
    #[error(transparent)]
    Store(#[from] sqlite::OpenError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// The configuration of a store.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A store is there and not as it must be: somebody must mend it first.
    #[error("{store} is not as it must be: {}", lines.join("; "))]
    Wrong {
        /// Which store.
        store: &'static str,
        /// What is wrong, a line each.
        lines: Vec<String>,
    },
    /// A listener.
    #[error(transparent)]
    Listen(#[from] BindError),
    /// The operators' address.
    #[error("cannot listen on http://{address} for operators: {source}")]
    Admin {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A thread, a runtime or random numbers.
    #[error("the system does not give what a daemon needs: {0}")]
    System(#[from] io::Error),
}

impl From<PipelineError> for StartError {
    fn from(error: PipelineError) -> Self {
        match error {
            PipelineError::Journal(error) => error.into(),
            PipelineError::Thread(error) => error.into(),
        }
    }
}

impl StartError {
    /// Whether a disk keeps the daemon from starting that somebody may mend: to be waited for.
    #[must_use]
    pub fn is_of_the_disk(&self) -> bool {
        let takes_nothing = |path: &Path| Disk::of(path).is_ok_and(|disk| disk.takes_nothing());
        match self {
            Self::DataDir(DataDirError::Unusable { source, .. })
            | Self::Journal(OpenError::Io { source, .. })
            | Self::System(source) => data_dir::is_of_the_disk(source),
            Self::Store(sqlite::OpenError::DiskFull { .. }) => true,
            Self::Store(sqlite::OpenError::Unreachable { path, .. }) => takes_nothing(path),
            Self::DataDir(DataDirError::InUse { .. })
            | Self::Journal(_)
            | Self::Store(_)
            | Self::Config(_)
            | Self::Wrong { .. }
            | Self::Listen(_)
            | Self::Admin { .. } => false,
        }
    }

    fn wrong(store: &'static str, error: &dyn fmt::Display) -> Self {
        Self::Wrong { store, lines: vec![error.to_string()] }
    }
}

impl Daemon {
    /// Opens the store, binds every address, and starts the writer.
    ///
    /// # Errors
    /// The first thing that cannot be had, in one line.
    pub fn build(config: &Config) -> Result<Self, StartError> {
        let data_dir = DataDir::hold(config.data_dir())?;
        let runtime = Builder::new_multi_thread().thread_name("worker").enable_all().build()?;
        let background = Background::new();
        let stores = Stores::open(config, data_dir.path(), &runtime, &background)?;
        let settings = config.listen();
        let listeners = {
            let _inside = runtime.enter();
            Listeners::bind(&settings)?
        };
        let admin_failed = |source| StartError::Admin { address: config.admin(), source };
        let admin = TcpListener::bind(config.admin()).map_err(admin_failed)?;
        let (tcp, udp) = listeners.addresses();
        let addresses = Addresses { tcp, udp, admin: admin.local_addr().map_err(admin_failed)? };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let refreshes = TaskGroup::new("refreshes");
        let Stores { record, dead_letters, health, postgres, postgres_unchecked, .. } = stores;
        let ports = PipelinePorts {
            record: Arc::clone(&record),
            beacon_cache: stores.beacon_cache,
            record_writer: stores.record_writer,
            events_writer: stores.events_writer,
            latest: stores.latest,
            dead_letters: Arc::<DeadLetterFile>::clone(&dead_letters),
            clock: Arc::clone(&clock),
            latencies: Arc::new(Latencies::new()),
            refreshes: refreshes.clone(),
        };
        let (pipeline, writers) = Pipeline::start(&config.pipeline(), ports, secret()?)?;
        let companions = Companions {
            pipeline: Arc::clone(&pipeline),
            record,
            clock: Arc::clone(&clock),
            postgres,
            unchecked: postgres_unchecked.then(|| Arc::clone(&health.postgres_wrong)),
            snapshot: data_dir.path().join(SNAPSHOT_FILE),
            snapshot_every: config.snapshot_every(),
        };
        companions.start(&runtime, &background)?;
        let reloads = Arc::new(ReloadCounts::default());
        let observer = Observer::new(
            Arc::clone(&clock),
            Arc::clone(&pipeline),
            Arc::clone(listeners.counters()),
            &writers,
            health,
            Arc::clone(&dead_letters),
            Arc::clone(&reloads),
        );
        let limits = Arc::clone(listeners.limits());
        let reloader = Reloader::new(config, Arc::clone(&pipeline), limits, reloads);
        watch_growth(&observer, &runtime, &background);
        let desk = LetterDesk::new(
            Arc::clone(&pipeline),
            dead_letters,
            Arc::clone(&clock),
            background.clone(),
            runtime.handle().clone(),
        );
        let stopping = CancellationToken::new();
        let admin = AdminThread::serve(admin, sources(&observer, pipeline.latencies(), &stopping, desk))?;
        let data_dir = Arc::new(data_dir);
        announce(
            &data_dir,
            Holder { pid: std::process::id(), tcp, udp, admin: addresses.admin },
            &runtime,
            &background,
        );
        Ok(Self {
            runtime,
            limits: Arc::clone(listeners.limits()),
            listeners,
            settings,
            pipeline,
            writers,
            clock,
            admin,
            observer,
            stopping,
            addresses,
            refreshes,
            background,
            insecure_dev: config.insecure_dev(),
            data_dir,
            reloader,
        })
    }

    /// Gives it another configuration, also while it runs elsewhere.
    #[must_use]
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// Where it listens.
    #[must_use]
    pub const fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Reads the ledger, also while the daemon runs elsewhere.
    pub fn ledger_reader(&self) -> impl Fn() -> Ledger + Send + Sync + 'static {
        let observer = self.observer.clone();
        move || observer.ledger()
    }

    /// Serves gateways until `stop`, then says goodbye to them, stores what was accepted, and ends.
    #[must_use]
    pub fn run(mut self, stop: &CancellationToken) -> Exit {
        let Addresses { tcp, udp, admin } = self.addresses;
        tracing::info!(%tcp, %udp, %admin, data_dir = %self.data_dir.path().display(), "beacond serves");
        if self.insecure_dev {
            tracing::warn!("--insecure-dev: any gateway is taken and may report every store");
        }
        let (drained, stopping_since) = self.runtime.block_on(async {
            let serving =
                self.listeners.serve(&self.settings, Arc::clone(&self.pipeline), Arc::clone(&self.clock));
            stop.cancelled().await;
            self.stopping.cancel();
            let stopping_since = Instant::now();
            tracing::info!("stopping: goodbye to every gateway");
            let drained = serving.stop().await;
            let left =
                (stopping_since + self.limits.now().drain_deadline).saturating_duration_since(Instant::now());
            self.refreshes.join(left.max(ENDING)).await;
            (drained, stopping_since)
        });
        self.pipeline.close();
        // The stores have gone on meanwhile; a gateway that took its time takes none of theirs.
        let deadline =
            (stopping_since + self.limits.now().drain_deadline).max(Instant::now() + STORING_AT_LEAST);
        self.writers.hurry(deadline);
        let Left { identities, entries, undone } = self.writers.join(deadline + ENDING);
        self.runtime.block_on(self.background.stop(ENDING));
        // Cut off are only sessions that hear nothing any more; all that was accepted has been settled above.
        self.runtime.shutdown_background();
        self.admin.stop();
        let waits = entries > 0 || identities > 0;
        if waits {
            tracing::warn!(identities, entries, "what is in the journal waits for the next start");
        }
        tracing::info!(drained, undone, "beacond has stopped");
        if waits { Exit::Waiting } else { Exit::Stored }
    }
}

/// Looks at how full the journal is, from time to time.
fn watch_growth(observer: &Observer, runtime: &Runtime, background: &Background) {
    let (observer, stop) = (observer.clone(), background.stop.clone());
    let _inside = runtime.enter();
    background.tasks.spawn(async move {
        observer.look_at_growth();
        while stop.run_until_cancelled(sleep(GROWTH_EVERY)).await.is_some() {
            observer.look_at_growth();
        }
    });
}

/// Says where the daemon can be asked, as soon as the disk takes it: it serves also without.
fn announce(data_dir: &Arc<DataDir>, holder: Holder, runtime: &Runtime, background: &Background) {
    let Err(error) = data_dir.announce(&holder) else { return };
    tracing::warn!(%error, "the data directory does not say where the daemon can be asked");
    let (data_dir, stop) = (Arc::clone(data_dir), background.stop.clone());
    let _inside = runtime.enter();
    background.tasks.spawn(async move {
        while stop.run_until_cancelled(sleep(ANNOUNCED_EVERY)).await.is_some() {
            if data_dir.announce(&holder).is_ok() {
                return;
            }
        }
    });
}

/// What the operators' pages show.
fn sources(
    observer: &Observer,
    latencies: &Arc<Latencies>,
    stopping: &CancellationToken,
    desk: LetterDesk,
) -> AdminSources<
    impl Fn() -> Report + Clone + Send + Sync + use<>,
    impl Fn() -> Vec<Sample> + Clone + Send + Sync + use<>,
    impl Fn() -> Vec<Reason> + Clone + Send + Sync + use<>,
> {
    let (reported, sampled, judged) = (observer.clone(), observer.clone(), observer.clone());
    let stopping = stopping.clone();
    AdminSources {
        report: move || reported.report(),
        metrics: move || metrics::samples(&sampled.report()),
        histograms: Arc::clone(latencies),
        ready: move || readiness::reasons(&judged.report(), stopping.is_cancelled()),
        orders: Arc::new(desk),
    }
}

/// What keys the hash of customer ids in memory: nobody outside can make two ids meet.
fn secret() -> io::Result<[u8; 16]> {
    let mut secret = [0; 16];
    getrandom::fill(&mut secret).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(secret)
}
