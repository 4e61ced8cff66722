//! Admission: from a frame of claims to outcomes, and a block of what must be stored.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use tokio::sync::SemaphorePermit;
use tokio::time::{Duration, timeout};

use super::answer::{Admitted, AdmittedPreferences, PendingPreferences, PreferencesAnswer};
use super::batch::BatchLimits;
use super::core::{Core, EnqueueTimes, State};
use super::decide::{
    Candidate, FrameClaim, FrameOf, Judged, LateAnswer, LateQuestion, Times, beacon_of, decide,
};
use super::directory::{Directory, DirectorySettings, Tier, TierSettings};
use super::frames::Recorded;
use super::judge::{BeaconVerdict, Rules};
use super::ledger::Ledger;
use super::ports::PipelinePorts;
use super::progress::Progress;
use super::waiting::{Effect, Waits};
use crate::domain::beacon::{Beacon, BeaconId};
use crate::domain::block::Block;
use crate::domain::clock::{ClockReading, TimeLimits};
use crate::domain::confidence::ConfidenceSettings;
use crate::domain::customer::CustomerId;
use crate::domain::frame::{AckLevel, FrameId};
use crate::domain::gateway::{Gateway, GatewayId};
use crate::domain::identity::CustomerIdentity;
use crate::domain::outcome::{InvalidField, Outcome, UndecidedReason};
use crate::domain::preference::PreferenceChange;
use crate::domain::sighting::{BeaconClaim, ClaimedSighting};
use crate::domain::time::Timestamp;
use crate::domain::window::{CustomerHasher, SPACING_US, Standing};
use crate::journal::{EntryKind, JournalSettings};
use crate::latency::{Latencies, Stage};
use crate::ports::{Clock, SystemOfRecord};

/// What a session keeps for its next frame at most: the largest frames are rare, sessions are many.
const KEPT_SIGHTINGS: usize = 256;

/// A wait for room from which on a frame is judged anew: well within the five seconds in which a change is to be seen.
const LONG_WAIT: Duration = Duration::from_millis(500);

/// The constants of admission.
#[derive(Debug, Clone)]
pub struct PipelineSettings {
    /// How far from now a sighting may lie.
    pub time: TimeLimits,
    /// How confidence follows from RSSI.
    pub confidence: ConfidenceSettings,
    /// How old a sighting is decided in memory alone, in microseconds.
    pub horizon_us: i64,
    /// Identities kept in the duplicate window at most.
    pub window_entries: usize,
    /// Rows queued for the journal at most, and those held in memory for the stores; at least as many as a frame has
    /// sightings.
    pub queue_rows: usize,
    /// Frames remembered at most, to tell repeats of later sessions.
    pub frames_remembered: usize,
    /// The journal.
    pub journal: JournalSettings,
    /// When a batch for the system of record is written.
    pub batch: BatchLimits,
    /// When a batch of events is written.
    pub events_batch: BatchLimits,
    /// How long a question to the system of record may take.
    pub question_timeout: Duration,
    /// How long registrations are good.
    pub directory: DirectorySettings,
    /// What beacons have beside.
    pub tiers: TierSettings,
}

/// The pipeline: shared by all sessions.
#[derive(Debug)]
pub struct Pipeline {
    pub(super) core: Core,
    rules: RwLock<Arc<Rules>>,
    pub(super) hasher: CustomerHasher,
    beacons: Arc<Directory<BeaconId, Beacon>>,
    gateways: Arc<Directory<GatewayId, Gateway>>,
    pub(super) record: Arc<dyn SystemOfRecord>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) latencies: Arc<Latencies>,
    pub(super) question_timeout: Duration,
}

/// Whether a frame that is new to its session was decided in an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameStanding {
    /// It is to be decided, perhaps again.
    New,
    /// All it brought is as durable as the level asks.
    Durable,
    /// Its number belongs to another frame.
    Reused,
}

/// When a frame was received, by both kinds of clock.
#[derive(Debug, Clone, Copy)]
pub struct Received {
    /// What its sightings are judged by.
    pub clock: ClockReading,
    /// What its stages are measured from.
    pub at: Instant,
}

impl Received {
    /// Received now.
    #[must_use]
    pub fn now(clock: &dyn Clock) -> Self {
        Self { clock: clock.read(), at: Instant::now() }
    }
}

/// Admits the frames of one session, in the order it is given them.
#[derive(Debug)]
pub struct Admitter {
    pipeline: Arc<Pipeline>,
    level: AckLevel,
    verdicts: Vec<BeaconVerdict>,
    judged: Vec<Judged>,
}

/// A frame to be admitted.
struct Frame<'f> {
    gateway: &'f Gateway,
    claim: FrameClaim,
    received: &'f Received,
    beacons: &'f [BeaconClaim],
    sightings: &'f [ClaimedSighting<'f>],
}

impl Pipeline {
    pub(super) fn new(
        settings: &PipelineSettings,
        core: Core,
        hasher: CustomerHasher,
        ports: &PipelinePorts,
    ) -> Self {
        let gateways = Arc::clone(&ports.record);
        Self {
            core,
            rules: RwLock::new(Arc::new(Rules::new(settings.time, &settings.confidence))),
            hasher,
            beacons: Directory::of_beacons(
                settings.directory,
                settings.tiers,
                ports.refreshes.clone(),
                Arc::clone(&ports.record),
                ports.beacon_cache.clone(),
            ),
            gateways: Directory::new(
                settings.directory,
                ports.refreshes.clone(),
                Box::new(move |id| {
                    let record = Arc::clone(&gateways);
                    Box::pin(async move { record.gateway(id).await })
                }),
            ),
            record: Arc::clone(&ports.record),
            clock: Arc::clone(&ports.clock),
            latencies: Arc::clone(&ports.latencies),
            question_timeout: settings.question_timeout,
        }
    }

    /// Where times go.
    #[must_use]
    pub const fn latencies(&self) -> &Arc<Latencies> {
        &self.latencies
    }

    /// From the next frame on, sightings are judged by these.
    pub fn set_rules(&self, time: TimeLimits, confidence: &ConfidenceSettings) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Rules::new(time, confidence));
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The registered gateways.
    #[must_use]
    pub const fn gateways(&self) -> &Arc<Directory<GatewayId, Gateway>> {
        &self.gateways
    }

    /// The registered beacons.
    #[must_use]
    pub const fn beacons(&self) -> &Arc<Directory<BeaconId, Beacon>> {
        &self.beacons
    }

    /// The ledger, all terms of one moment.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.core.lock().ledger.clone()
    }

    /// Entries in the duplicate window, and the bytes it holds.
    #[must_use]
    pub fn window_size(&self) -> (usize, usize) {
        let state = self.core.lock();
        (state.window.len(), state.window.memory_bytes())
    }

    /// Counts a frame that was recognised as a repeat and answered without being decided again.
    pub fn count_repeated_frame(&self) {
        self.core.lock().ledger.frames_repeated += 1;
    }

    /// Whether a frame that is new to its session was decided in an earlier one, and is as durable as `level` asks.
    #[must_use]
    pub fn frame_standing(&self, id: &FrameId, level: AckLevel) -> FrameStanding {
        let state = self.core.lock();
        match state.frames.standing(id) {
            Recorded::Other => FrameStanding::Reused,
            Recorded::Same { number, complete: true }
                if level == AckLevel::Journal || state.is_stored(number) =>
            {
                FrameStanding::Durable
            }
            Recorded::Same { .. } | Recorded::Unknown => FrameStanding::New,
        }
    }

    /// Up to which number all frames of a gateway's numbering are known to have been answered at this level.
    #[must_use]
    pub fn last_acked(&self, gateway: &GatewayId, boot_epoch: u64, level: AckLevel) -> u64 {
        self.core.lock().frames.last_acked(gateway, boot_epoch, level)
    }

    /// Sightings that could make an identity are all undecided until [`Self::past_known`] is called: nobody has been able
    /// to say what was stored before this start.
    pub fn past_unknown(&self) {
        self.core.lock().past_known = false;
    }

    /// Whether that is so.
    #[must_use]
    pub fn is_past_unknown(&self) -> bool {
        !self.core.lock().past_known
    }

    /// What was stored before this start is known: nothing was detected after `newest`.
    pub fn past_known(&self, newest: Option<Timestamp>) {
        let mut state = self.core.lock();
        if let Some(newest) = newest {
            // The window begins without it: what lies within a minute of what is stored is asked about.
            state.window.unknown_before(newest.plus_micros(SPACING_US));
        }
        state.past_known = true;
    }

    /// Takes no more; what was accepted is still stored. Frames that come all the same are undecided.
    pub fn close(&self) {
        self.core.close();
    }

    /// How far the stores have come with the journal.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.core.progress()
    }

    /// Places taken in the journal's queue, of as many as the settings allow.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.core.queued()
    }

    pub(super) async fn late_answer(&self, asked: Vec<(CustomerId, Timestamp)>) -> LateAnswer {
        match timeout(self.question_timeout, self.record.identities_near(asked)).await {
            Ok(Ok(near)) => {
                let keyed = |stored: CustomerIdentity| {
                    (self.hasher.key(stored.customer_id.as_str().as_bytes()), stored)
                };
                LateAnswer::near(near.into_iter().map(keyed).collect())
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "late sightings are undecided");
                LateAnswer::CannotBeAsked
            }
            Err(_) => LateAnswer::CannotBeAsked,
        }
    }

    /// Room in the queue, after a wait that stops a session's reading; none once the pipeline gives up.
    pub(super) async fn room(&self, places: usize) -> Option<SemaphorePermit<'_>> {
        self.core.room.acquire_many(u32::try_from(places).unwrap_or(u32::MAX)).await.ok()
    }
}

impl Admitter {
    /// An admitter for one session, whose answers promise what `level` says.
    #[must_use]
    pub const fn new(pipeline: Arc<Pipeline>, level: AckLevel) -> Self {
        Self { pipeline, level, verdicts: Vec::new(), judged: Vec::new() }
    }

    /// Decides a sightings frame. Waits only for beacons never seen and for the question about
    /// late sightings (each bounded), and for room in the journal's queue.
    ///
    /// Dropping the future before it ends leaves no trace: nothing was decided, nothing was counted.
    pub async fn sightings(
        &mut self,
        gateway: &Gateway,
        claim: FrameClaim,
        received: &Received,
        beacons: &[BeaconClaim],
        sightings: &[ClaimedSighting<'_>],
    ) -> Admitted {
        let decoded_at = Instant::now();
        let frame = Frame { gateway, claim, received, beacons, sightings };
        let (admitted, stage, decided_at) = self.admit(&frame).await;
        let latencies = &self.pipeline.latencies;
        let count = sightings.len() as u64;
        latencies.record(Stage::Decode, decoded_at - received.at, count);
        latencies.record(stage, decided_at - decoded_at, count);
        self.judged.clear();
        self.judged.shrink_to(KEPT_SIGHTINGS);
        admitted
    }

    async fn admit(&mut self, frame: &Frame<'_>) -> (Admitted, Stage, Instant) {
        let mut stage = self.resolve(frame).await;
        let mut candidates = self.judge(frame);
        let pipeline = Arc::clone(&self.pipeline);
        let room = self.room_for(&pipeline, frame, &mut candidates, &mut stage).await;
        let (asked, fresh_at, question) = {
            let mut state = pipeline.core.lock();
            // The wait for room may have been long: what is late is told by the time it is over.
            let now = pipeline.clock.read().now;
            let asked = self.late_questions(&state, now, frame.sightings);
            if asked.is_empty() {
                let times = Times::new(now, now, frame.received.at);
                let admitted = self.decide_within(room, &mut state, times, frame, &LateAnswer::NotAsked);
                return (admitted, stage, times.decided_at);
            }
            (asked, now, LateQuestion::new(&state))
        };
        // Nobody else's decisions wait for this frame's question.
        drop(room);
        let answer = pipeline.late_answer(asked).await;
        let room = self.room_for(&pipeline, frame, &mut candidates, &mut stage).await;
        let mut state = pipeline.core.lock();
        let late = question.worth(answer, &state, pipeline.question_timeout);
        let times = Times::new(fresh_at, pipeline.clock.read().now, frame.received.at);
        let admitted = self.decide_within(room, &mut state, times, frame, &late);
        (admitted, stage, times.decided_at)
    }

    /// Room for what the frame may make; none once the pipeline gives up. A wait for it may be as long as an outage, and
    /// what was registered before is not what is decided by: the frame is judged anew, and may need more room then.
    async fn room_for<'p>(
        &mut self,
        pipeline: &'p Pipeline,
        frame: &Frame<'_>,
        candidates: &mut usize,
        stage: &mut Stage,
    ) -> Option<SemaphorePermit<'p>> {
        loop {
            let waiting_since = tokio::time::Instant::now();
            let room = pipeline.room(*candidates).await;
            if waiting_since.elapsed() < LONG_WAIT {
                return room;
            }
            *stage = (*stage).max(self.resolve(frame).await);
            let taken = std::mem::replace(candidates, self.judge(frame));
            if *candidates <= taken || room.is_none() {
                return room;
            }
        }
    }

    /// Takes a customer's preferences in.
    pub async fn preferences(
        &self,
        gateway: &Gateway,
        claim: FrameClaim,
        received: &Received,
        change: Result<PreferenceChange, InvalidField>,
    ) -> AdmittedPreferences {
        let judged = change.map_err(PreferencesAnswer::Invalid).and_then(|change| {
            match self.pipeline.rules().time.judge(change.updated_at, &received.clock) {
                // A time far ahead would keep every later change out.
                Some(Outcome::ClockSkew) => Err(PreferencesAnswer::Invalid(InvalidField::UpdatedAt)),
                Some(Outcome::Undecided(reason)) => Err(PreferencesAnswer::Undecided(reason)),
                _ => Ok(change),
            }
        });
        let change = match judged {
            Ok(change) => change,
            Err(answer) => return self.answered(&mut self.pipeline.core.lock(), answer),
        };
        let block = Block { preferences: vec![change], ..Block::default() };
        let room = self.pipeline.room(block.places()).await;
        let mut state = self.pipeline.core.lock();
        if state.is_closing() {
            return self.answered(&mut state, PreferencesAnswer::Undecided(UndecidedReason::Store));
        }
        let places = block.places();
        let frame = FrameOf { gateway: &gateway.id, claim, level: self.level };
        let accepted_at = self.pipeline.clock.read().now;
        let times = EnqueueTimes { accepted_at, received_at: received.at, decided_at: Instant::now() };
        state.enqueue(block, EntryKind::Frame(frame.mark(true)), times);
        if let Some(room) = room {
            room.forget();
        }
        state.ledger.preferences.received += 1;
        state.ledger.preferences.in_progress += 1;
        let waits = Waits { level: self.level, own: true, places, record_only: true };
        let (settled, _) = state.wait(Effect::Preferences, waits);
        AdmittedPreferences::Pending(PendingPreferences { settled })
    }

    fn answered(&self, state: &mut State, answer: PreferencesAnswer) -> AdmittedPreferences {
        state.ledger.preferences.answered(answer);
        AdmittedPreferences::Final(answer)
    }

    /// Looks the beacons up, and tells the stage that has to account for the time.
    async fn resolve(&mut self, frame: &Frame<'_>) -> Stage {
        self.verdicts.clear();
        let mut slowest = Tier::Memory;
        // One after the other: nearly all are held in memory. All that have to be waited for share one deadline.
        let directory = &self.pipeline.beacons;
        let deadline = directory.deadline();
        for claim in frame.beacons {
            let (known, tier) = directory.resolve_until(&claim.id, deadline).await;
            slowest = slowest.max(tier);
            self.verdicts.push(BeaconVerdict::new(claim, known, frame.gateway));
        }
        match slowest {
            Tier::Memory => Stage::AdmitMemory,
            Tier::SharedCache => Stage::AdmitCache,
            Tier::Record => Stage::AdmitRecord,
        }
    }

    /// Applies rules 1 to 7 to every sighting; answers how many go on to the window.
    fn judge(&mut self, frame: &Frame<'_>) -> usize {
        self.judged.clear();
        let rules = self.pipeline.rules();
        let mut candidates = 0;
        for sighting in frame.sightings {
            self.judged.push(match rules.judge(sighting, &frame.received.clock, &self.verdicts) {
                Err(outcome) => Judged::Final(outcome),
                Ok(confidence) => {
                    candidates += 1;
                    let customer = self.pipeline.hasher.key(sighting.customer_id);
                    Judged::Candidate(Candidate { customer, confidence, asked: false })
                }
            });
        }
        candidates
    }

    /// The late sightings that memory does not decide, and notes that they are asked about.
    fn late_questions(
        &mut self,
        state: &State,
        now: Timestamp,
        sightings: &[ClaimedSighting<'_>],
    ) -> Vec<(CustomerId, Timestamp)> {
        let mut asked = Vec::new();
        for (judged, sighting) in self.judged.iter_mut().zip(sightings) {
            let Judged::Candidate(candidate) = judged else { continue };
            if !state.past_known || state.is_fresh(sighting.detected_at, now) {
                continue;
            }
            let Some(beacon) = beacon_of(&self.verdicts, sighting) else { continue };
            if state.window.check(candidate.customer, sighting.detected_at, &beacon.id) != Standing::Clear {
                continue;
            }
            if let Ok(customer_id) = CustomerId::from_bytes(sighting.customer_id) {
                asked.push((customer_id, sighting.detected_at));
                candidate.asked = true;
            }
        }
        asked
    }

    fn decide_within(
        &self,
        room: Option<SemaphorePermit<'_>>,
        state: &mut State,
        times: Times,
        frame: &Frame<'_>,
        late: &LateAnswer,
    ) -> Admitted {
        let of = FrameOf { gateway: &frame.gateway.id, claim: frame.claim, level: self.level };
        let sightings = self.judged.iter().zip(frame.sightings);
        let decided = decide(state, of, times, &self.verdicts, sightings, late);
        // What is on its way keeps its room until it is durable; the rest is given back here.
        if let Some(taken) = room.and_then(|mut room| room.split(decided.places)) {
            taken.forget();
        }
        decided.admitted
    }
}
