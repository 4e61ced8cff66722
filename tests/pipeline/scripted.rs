//! A world of scripted ports: a clock that stands still, a record that can break down, a writer that can be held.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use beacond::domain::beacon::{Beacon, BeaconId, BeaconStatus};
use beacond::domain::clock::{ClockReading, TimeLimits};
use beacond::domain::confidence::ConfidenceSettings;
use beacond::domain::customer::CustomerId;
use beacond::domain::gateway::{Gateway, GatewayId};
use beacond::domain::sighting::BeaconClaim;
use beacond::domain::time::Timestamp;
use beacond::pipeline::{BatchLimits, DirectorySettings, Pipeline, PipelineSettings, WriterThread};
use beacond::ports::{
    BatchWriter, Block, Clock, PortFuture, StoreError, StoredIdentity, SystemOfRecord, WriteError,
};
use beacond::tasks::TaskGroup;
use crossbeam_channel::{Receiver, Sender, bounded};
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
    _thread: WriterThread,
}

impl World {
    /// What is stored, in the order written.
    pub(super) fn stored(&self) -> Vec<(String, Timestamp)> {
        let rows = self.record.rows.lock().unwrap();
        rows.iter().map(|row| (row.customer_id.as_str().to_owned(), row.detected_at)).collect()
    }
}

/// Starts a pipeline; `adjust` changes its settings before.
pub(super) fn start(adjust: impl FnOnce(&mut PipelineSettings)) -> World {
    let mut settings = PipelineSettings {
        time: TimeLimits::default(),
        confidence: ConfidenceSettings::default(),
        horizon_us: 900 * SECOND,
        window_entries: 100_000,
        queue_rows: 4_096,
        batch: BatchLimits { rows: 1_000, bytes: 1 << 20, age: Duration::ZERO },
        question_timeout: Duration::from_secs(2),
        directory: DirectorySettings::default(),
    };
    adjust(&mut settings);
    let record = Arc::new(ScriptedRecord::default());
    let writer = Arc::new(WriterScript::default());
    let scripted = ScriptedWriter { record: Arc::clone(&record), script: Arc::clone(&writer), doubt: None };
    let clock = StandingClock;
    let refreshes = TaskGroup::new("refreshes");
    let asked: Arc<dyn SystemOfRecord> = Arc::<ScriptedRecord>::clone(&record);
    let (pipeline, thread) =
        Pipeline::start(&settings, asked, Box::new(scripted), Arc::new(clock), [1; 16], refreshes).unwrap();
    World { pipeline, clock, record, writer, _thread: thread }
}

pub(super) fn beacon_claim(id: BeaconId) -> BeaconClaim {
    BeaconClaim { id, major: 1, minor: 2 }
}

/// A clock that stands at [`NOW`].
#[derive(Debug, Clone, Copy)]
pub(super) struct StandingClock;

impl StandingClock {
    pub(super) fn read_now(self) -> ClockReading {
        ClockReading::agreed(NOW)
    }
}

impl Clock for StandingClock {
    fn read(&self) -> ClockReading {
        self.read_now()
    }
}

/// A system of record in memory.
#[derive(Debug, Default)]
pub(super) struct ScriptedRecord {
    rows: Mutex<Vec<StoredIdentity>>,
    questions: AtomicU64,
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
        self.rows.lock().unwrap().push(StoredIdentity { customer_id, detected_at, beacon_id: BEACON });
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
            status: BeaconStatus::Active,
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
    ) -> PortFuture<'_, Result<Vec<StoredIdentity>, StoreError>> {
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
            let near = |row: &&StoredIdentity| {
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
    NotCommitted,
    /// In doubt; the store does not answer so many questions, then says this.
    InDoubt {
        unanswered: u32,
        committed: bool,
    },
}

/// What the writer is told to do.
#[derive(Debug, Default)]
pub(super) struct WriterScript {
    held: Mutex<Option<Receiver<Script>>>,
    fail_every: AtomicU64,
    writes: AtomicU64,
}

/// Holds the writer's next write until released.
pub(super) struct Held(Sender<Script>);

impl Held {
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

    /// Lets every so many-th write fail from now on, in turn before, after and in doubt of its commit.
    pub(super) fn fail_every(&self, writes: u64) {
        self.fail_every.store(writes, Ordering::Relaxed);
    }

    fn next(&self) -> Script {
        let held = self.held.lock().unwrap().take();
        if let Some(held) = held {
            return held.recv().unwrap();
        }
        let write = self.writes.fetch_add(1, Ordering::Relaxed) + 1;
        match self.fail_every.load(Ordering::Relaxed) {
            0 => Script::Commit,
            every if !write.is_multiple_of(every) => Script::Commit,
            every => match write / every % 3 {
                0 => Script::NotCommitted,
                1 => Script::InDoubt { unanswered: 0, committed: true },
                _ => Script::InDoubt { unanswered: 1, committed: false },
            },
        }
    }
}

/// Writes into the scripted record, as its script says.
#[derive(Debug)]
struct ScriptedWriter {
    record: Arc<ScriptedRecord>,
    script: Arc<WriterScript>,
    doubt: Option<(u32, bool)>,
}

impl BatchWriter for ScriptedWriter {
    fn write(&mut self, batch: &[Block]) -> Result<(), WriteError> {
        match self.script.next() {
            Script::Commit => {
                self.commit(batch);
                Ok(())
            }
            Script::NotCommitted => Err(WriteError::NotCommitted(down())),
            Script::InDoubt { unanswered, committed } => {
                if committed {
                    self.commit(batch);
                }
                self.doubt = Some((unanswered, committed));
                Err(WriteError::InDoubt(down()))
            }
        }
    }

    fn was_committed(&mut self, _: &[Block]) -> Result<bool, StoreError> {
        let (unanswered, committed) = self.doubt.unwrap();
        if unanswered > 0 {
            self.doubt = Some((unanswered - 1, committed));
            return Err(down());
        }
        Ok(committed)
    }
}

impl ScriptedWriter {
    fn commit(&self, batch: &[Block]) {
        let mut rows = self.record.rows.lock().unwrap();
        for identity in batch.iter().flat_map(|block| &block.identities) {
            rows.push(StoredIdentity {
                customer_id: identity.customer_id.clone(),
                detected_at: identity.detected_at,
                beacon_id: identity.beacon_id,
            });
        }
    }
}

fn down() -> StoreError {
    StoreError::Unavailable { store: "scripted", reason: "down".into() }
}
