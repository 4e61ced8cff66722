//! A world of scripted ports: a clock that stands still, a record that can break down, a writer that can be held.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use beacond::domain::beacon::{Beacon, BeaconId, BeaconStatus};
use beacond::domain::clock::{ClockReading, TimeLimits};
use beacond::domain::confidence::{Confidence, ConfidenceSettings};
use beacond::domain::customer::CustomerId;
use beacond::domain::gateway::{Gateway, GatewayId};
use beacond::domain::identity::CustomerIdentity;
use beacond::domain::sighting::BeaconClaim;
use beacond::domain::time::Timestamp;
use beacond::journal::JournalSettings;
use beacond::latency::Latencies;
use beacond::pipeline::{
    BatchLimits, DirectorySettings, Ledger, Left, Pipeline, PipelinePorts, PipelineSettings, Received,
    RefusedLetter, TierSettings, WriterThreads,
};
use beacond::ports::{
    BatchWriter, Block, Clock, DeadLetter, DeadLetters, Delivery, LatestIdentities, PortFuture, StoreError,
    SystemOfRecord, WriteError,
};
use beacond::tasks::TaskGroup;
use crossbeam_channel::{Receiver, Sender, bounded};
use tempfile::TempDir;
use tokio::sync::oneshot;

/// The one registered beacon.
pub(super) const BEACON: BeaconId = BeaconId::from_bytes([7; 16]);

/// Microseconds in a second.
pub(super) const SECOND: i64 = 1_000_000;

/// Where the clock stands.
pub(super) const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

/// The pipeline and what it stands on.
pub(super) struct World {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) clock: StandingClock,
    pub(super) record: Arc<ScriptedRecord>,
    pub(super) writer: Arc<WriterScript>,
    pub(super) events: Arc<WriterScript>,
    pub(super) latest: Arc<ScriptedLatest>,
    pub(super) dead_letters: Arc<ScriptedDeadLetters>,
    pub(super) threads: WriterThreads,
    pub(super) home: Arc<Home>,
}

impl World {
    /// What is in the system of record, in the order written.
    pub(super) fn stored(&self) -> Vec<(String, Timestamp)> {
        named(&self.record.rows.lock().unwrap())
    }

    /// Has a file stand where the directory of the journal is to be.
    pub(super) fn hold_journal(&self) -> HeldJournal {
        let path = self.home.journal();
        let _ = std::fs::remove_dir(&path);
        std::fs::write(&path, "").unwrap();
        HeldJournal(path)
    }

    /// Stops as the daemon does, at this moment, and answers what it left.
    pub(super) fn stop(self, within: Duration) -> (Arc<Home>, Arc<ScriptedRecord>, Ledger, Left) {
        let Self { pipeline, mut threads, home, record, .. } = self;
        pipeline.close();
        let deadline = std::time::Instant::now() + within;
        threads.hurry(deadline);
        let left = threads.join(deadline);
        (home, record, pipeline.ledger(), left)
    }

    /// What is in the store of events, in the order written.
    pub(super) fn events_stored(&self) -> Vec<(String, Timestamp)> {
        named(&self.events.rows.lock().unwrap())
    }
}

fn named(rows: &[CustomerIdentity]) -> Vec<(String, Timestamp)> {
    rows.iter().map(|row| (row.customer_id.as_str().to_owned(), row.detected_at)).collect()
}

/// Starts a pipeline without events; `adjust` changes its settings before.
pub(super) fn start(adjust: impl FnOnce(&mut PipelineSettings)) -> World {
    start_over(Arc::default(), new_home(), false, adjust)
}

/// Starts a pipeline that stores events too.
pub(super) fn start_with_events(adjust: impl FnOnce(&mut PipelineSettings)) -> World {
    start_over(Arc::default(), new_home(), true, adjust)
}

fn new_home() -> Arc<Home> {
    Arc::default()
}

/// A data directory.
#[derive(Debug)]
pub(super) struct Home(TempDir);

impl Default for Home {
    fn default() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

impl Home {
    fn journal(&self) -> PathBuf {
        self.0.path().join("journal")
    }
}

/// Keeps a journal that was never written to from being written to, until released.
pub(super) struct HeldJournal(PathBuf);

impl HeldJournal {
    pub(super) fn release(self) {
        std::fs::remove_file(self.0).unwrap();
    }
}

/// Starts a pipeline on a record that may have rows and a journal that may have entries. What was stored before the
/// journal began is nothing.
pub(super) fn start_over(
    record: Arc<ScriptedRecord>,
    home: Arc<Home>,
    with_events: bool,
    adjust: impl FnOnce(&mut PipelineSettings),
) -> World {
    let world = start_unknowing(record, home, with_events, adjust);
    if world.pipeline.is_past_unknown() {
        world.pipeline.past_known(None);
    }
    world
}

/// Starts a pipeline that has not been told what was stored before.
pub(super) fn start_unknowing(
    record: Arc<ScriptedRecord>,
    home: Arc<Home>,
    with_events: bool,
    adjust: impl FnOnce(&mut PipelineSettings),
) -> World {
    let batch = BatchLimits { rows: 1_000, bytes: 1 << 20, age: Duration::ZERO };
    let mut settings = PipelineSettings {
        time: TimeLimits::default(),
        confidence: ConfidenceSettings::default(),
        horizon_us: 900 * SECOND,
        window_entries: 100_000,
        queue_rows: 4_096,
        frames_remembered: 10_000,
        journal: JournalSettings { directory: home.journal(), segment_bytes: 4 << 20, max_bytes: 64 << 20 },
        batch,
        events_batch: batch,
        question_timeout: Duration::from_secs(2),
        directory: DirectorySettings::default(),
        tiers: TierSettings::default(),
    };
    adjust(&mut settings);
    let writer = Arc::new(WriterScript { rows: Arc::clone(&record.rows), ..WriterScript::default() });
    let events = Arc::new(WriterScript::default());
    let (latest, dead_letters) =
        (Arc::new(ScriptedLatest::default()), Arc::new(ScriptedDeadLetters::default()));
    let clock = StandingClock;
    let scripted = |script: &Arc<WriterScript>| -> Box<dyn BatchWriter> {
        Box::new(ScriptedWriter { script: Arc::clone(script) })
    };
    let ports = PipelinePorts {
        record: Arc::<ScriptedRecord>::clone(&record),
        beacon_cache: None,
        record_writer: ("record", scripted(&writer)),
        events_writer: with_events.then(|| ("events", scripted(&events))),
        latest: Some(Arc::<ScriptedLatest>::clone(&latest)),
        dead_letters: Arc::<ScriptedDeadLetters>::clone(&dead_letters),
        clock: Arc::new(clock),
        latencies: Arc::new(Latencies::new()),
        refreshes: TaskGroup::new("refreshes"),
    };
    let (pipeline, threads) = Pipeline::start(&settings, ports, [1; 16]).unwrap();
    World { pipeline, clock, record, writer, events, latest, dead_letters, threads, home }
}

pub(super) fn beacon_claim(id: BeaconId) -> BeaconClaim {
    BeaconClaim { id, major: 1, minor: 2 }
}

/// A clock that stands at [`NOW`].
#[derive(Debug, Clone, Copy)]
pub(super) struct StandingClock;

impl StandingClock {
    pub(super) fn received_now(self) -> Received {
        Received::now(&self)
    }
}

impl Clock for StandingClock {
    fn read(&self) -> ClockReading {
        ClockReading::agreed(NOW)
    }
}

/// A system of record in memory.
#[derive(Debug, Default)]
pub(super) struct ScriptedRecord {
    rows: Arc<Mutex<Vec<CustomerIdentity>>>,
    questions: AtomicU64,
    beacon_inactive: AtomicBool,
    state: Mutex<RecordState>,
    held: Mutex<Option<oneshot::Receiver<()>>>,
}

/// Holds the record's next answer until released.
pub(super) struct HeldAnswer(oneshot::Sender<()>);

impl HeldAnswer {
    pub(super) fn release(self) {
        self.0.send(()).unwrap();
    }
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum RecordState {
    #[default]
    Answers,
    Down,
    Hangs,
}

impl ScriptedRecord {
    /// Stores an identity at [`BEACON`] behind the pipeline's back.
    pub(super) fn store(&self, customer_id: &str, detected_at: Timestamp) {
        let customer_id = CustomerId::from_bytes(customer_id.as_bytes()).unwrap();
        self.rows.lock().unwrap().push(CustomerIdentity {
            customer_id,
            beacon_id: BEACON,
            location: None,
            confidence: Confidence::from_stored(0.9).unwrap(),
            detected_at,
        });
    }

    /// Retires the one beacon.
    pub(super) fn retire_beacon(&self) {
        self.beacon_inactive.store(true, Ordering::Relaxed);
    }

    pub(super) fn questions(&self) -> u64 {
        self.questions.load(Ordering::Relaxed)
    }

    /// Holds the next answer about late sightings.
    pub(super) fn hold(&self) -> HeldAnswer {
        let (sender, receiver) = oneshot::channel();
        *self.held.lock().unwrap() = Some(receiver);
        HeldAnswer(sender)
    }

    pub(super) fn break_down(&self) {
        *self.state.lock().unwrap() = RecordState::Down;
    }

    pub(super) fn hang(&self) {
        *self.state.lock().unwrap() = RecordState::Hangs;
    }
}

impl SystemOfRecord for ScriptedRecord {
    fn beacon(&self, id: BeaconId) -> PortFuture<'_, Result<Option<Beacon>, StoreError>> {
        let beacon = Beacon {
            id,
            store_id: "s".parse().unwrap(),
            major: 1,
            minor: 2,
            location: None,
            location_type: None,
            status: match self.beacon_inactive.load(Ordering::Relaxed) {
                true => BeaconStatus::Inactive,
                false => BeaconStatus::Active,
            },
            updated_at: NOW,
        };
        Box::pin(async move { Ok((id == BEACON).then_some(beacon)) })
    }

    fn gateway(&self, _: GatewayId) -> PortFuture<'_, Result<Option<Gateway>, StoreError>> {
        Box::pin(async { Ok(None) })
    }

    fn identities_near(
        &self,
        asked: Vec<(CustomerId, Timestamp)>,
    ) -> PortFuture<'_, Result<Vec<CustomerIdentity>, StoreError>> {
        Box::pin(async move {
            self.questions.fetch_add(1, Ordering::Relaxed);
            let state = *self.state.lock().unwrap();
            match state {
                RecordState::Answers => {}
                RecordState::Down => return Err(down()),
                RecordState::Hangs => std::future::pending::<()>().await,
            }
            let held = self.held.lock().unwrap().take();
            if let Some(held) = held {
                held.await.unwrap();
            }
            let rows = self.rows.lock().unwrap();
            let near = |row: &&CustomerIdentity| {
                asked.iter().any(|(id, at)| {
                    *id == row.customer_id && at.micros_since(row.detected_at).abs() < 60 * SECOND
                })
            };
            Ok(rows.iter().filter(near).cloned().collect())
        })
    }

    fn newest_identity(&self) -> PortFuture<'_, Result<Option<Timestamp>, StoreError>> {
        Box::pin(async { Ok(self.rows.lock().unwrap().iter().map(|row| row.detected_at).max()) })
    }
}

/// How a write ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Script {
    Commit,
    Unavailable,
    /// Written, and nobody is told.
    UnavailableAfterWriting,
    Misconfigured,
}

/// What a writer is told to do, and what it has written.
#[derive(Debug, Default)]
pub(super) struct WriterScript {
    rows: Arc<Mutex<Vec<CustomerIdentity>>>,
    held: Mutex<Option<Receiver<Script>>>,
    fail_every: AtomicU64,
    refused: Mutex<HashSet<String>>,
    attempts: Mutex<Vec<(usize, Delivery)>>,
}

/// Holds a writer's next write until released.
pub(super) struct Held(Sender<Script>);

impl Held {
    /// Lets the write end so; the next one ends by itself.
    pub(super) fn release(self, script: Script) {
        self.0.send(script).unwrap();
    }
}

impl WriterScript {
    /// Holds the next write.
    pub(super) fn hold(&self) -> Held {
        let (sender, receiver) = bounded(1);
        *self.held.lock().unwrap() = Some(receiver);
        Held(sender)
    }

    /// Lets every so many-th write fail from now on, in turn before and after its commit; 1 is every one.
    pub(super) fn fail_every(&self, writes: u64) {
        self.fail_every.store(writes, Ordering::Relaxed);
    }

    /// Refuses rows of this customer.
    pub(super) fn refuse(&self, customer_id: &str) {
        self.refused.lock().unwrap().insert(customer_id.to_owned());
    }

    /// Refuses nothing any more.
    pub(super) fn take_all(&self) {
        self.refused.lock().unwrap().clear();
    }

    /// Rows and delivery of every attempt so far.
    pub(super) fn attempts(&self) -> Vec<(usize, Delivery)> {
        self.attempts.lock().unwrap().clone()
    }

    fn next(&self, attempt: u64) -> Script {
        let held = self.held.lock().unwrap().take();
        if let Some(held) = held {
            return held.recv().unwrap();
        }
        match self.fail_every.load(Ordering::Relaxed) {
            0 => Script::Commit,
            every if !attempt.is_multiple_of(every) => Script::Commit,
            every if (attempt / every).is_multiple_of(2) => Script::Unavailable,
            _ => Script::UnavailableAfterWriting,
        }
    }

    fn commit(&self, identities: &[&CustomerIdentity]) {
        let mut rows = self.rows.lock().unwrap();
        for identity in identities {
            let is_it = |row: &CustomerIdentity| {
                row.customer_id == identity.customer_id && row.detected_at == identity.detected_at
            };
            if !rows.iter().any(is_it) {
                rows.push((*identity).clone());
            }
        }
    }
}

/// Writes as its script says; a row that is there stays one.
#[derive(Debug)]
struct ScriptedWriter {
    script: Arc<WriterScript>,
}

impl BatchWriter for ScriptedWriter {
    fn write(&mut self, batch: &[Arc<Block>], delivery: Delivery) -> Result<(), WriteError> {
        let rows = batch.iter().map(|block| block.rows()).sum();
        let attempt = {
            let mut attempts = self.script.attempts.lock().unwrap();
            attempts.push((rows, delivery));
            attempts.len() as u64
        };
        let script = self.script.next(attempt);
        let identities: Vec<_> = batch.iter().flat_map(|block| &block.identities).collect();
        match script {
            Script::Unavailable => return Err(WriteError::Unavailable("down".into())),
            Script::Misconfigured => return Err(WriteError::Misconfigured("no such table".into())),
            Script::Commit | Script::UnavailableAfterWriting => {}
        }
        let refused = self.script.refused.lock().unwrap();
        let changes = batch.iter().flat_map(|block| &block.preferences);
        let mut customers =
            identities.iter().map(|row| &row.customer_id).chain(changes.map(|row| &row.customer_id));
        if customers.any(|customer| refused.contains(customer.as_str())) {
            return Err(WriteError::Rejected("a row is refused".into()));
        }
        self.script.commit(&identities);
        match script {
            Script::UnavailableAfterWriting => Err(WriteError::Unavailable("cut off".into())),
            _ => Ok(()),
        }
    }
}

/// Hears of what is stored.
#[derive(Debug, Default)]
pub(super) struct ScriptedLatest {
    heard: Mutex<Vec<String>>,
}

impl ScriptedLatest {
    pub(super) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

impl LatestIdentities for ScriptedLatest {
    fn stored(&self, blocks: &[Arc<Block>]) {
        let customers = blocks.iter().flat_map(|block| &block.identities).map(|row| row.customer_id.as_str());
        self.heard.lock().unwrap().extend(customers.map(str::to_owned));
    }
}

/// Keeps dead letters, unless it is full.
#[derive(Debug, Default)]
pub(super) struct ScriptedDeadLetters {
    letters: Mutex<Vec<DeadLetter>>,
    full: AtomicBool,
}

impl ScriptedDeadLetters {
    pub(super) fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    /// Every letter as it is given to the pipeline again.
    pub(super) fn refused(&self) -> Vec<RefusedLetter> {
        let letters = self.letters.lock().unwrap();
        let again = |letter: &DeadLetter| RefusedLetter {
            store: letter.store.to_owned(),
            block: Block::clone(&letter.block),
        };
        letters.iter().map(again).collect()
    }

    /// Store and customer of every letter.
    pub(super) fn letters(&self) -> Vec<(&'static str, String)> {
        let letters = self.letters.lock().unwrap();
        letters
            .iter()
            .map(|letter| (letter.store, letter.block.identities[0].customer_id.as_str().to_owned()))
            .collect()
    }
}

impl DeadLetters for ScriptedDeadLetters {
    fn keep(&self, letter: &DeadLetter) -> Result<(), StoreError> {
        if self.full.load(Ordering::Relaxed) {
            return Err(down());
        }
        assert_eq!(letter.block.rows(), 1);
        self.letters.lock().unwrap().push(letter.clone());
        Ok(())
    }
}

fn down() -> StoreError {
    StoreError::Unavailable { store: "scripted", reason: "down".into() }
}
