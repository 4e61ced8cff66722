//! Admission: from a frame of claims to outcomes, and a block of what must be stored.

use std::sync::Arc;

use tokio::sync::SemaphorePermit;
use tokio::time::{Duration, timeout};

use super::answer::{
    Admitted, AdmittedPreferences, Answer, PendingAnswer, PendingPreferences, PreferencesAnswer,
};
use super::batch::BatchLimits;
use super::core::{Core, Effect, State};
use super::directory::{Directory, DirectorySettings};
use super::judge::{BeaconVerdict, Rules};
use super::ledger::Ledger;
use crate::domain::beacon::{Beacon, BeaconId};
use crate::domain::clock::{ClockReading, TimeLimits};
use crate::domain::confidence::{Confidence, ConfidenceCurve, ConfidenceSettings};
use crate::domain::customer::CustomerId;
use crate::domain::gateway::{Gateway, GatewayId};
use crate::domain::identity::CustomerIdentity;
use crate::domain::outcome::{InvalidField, Outcome, OutcomeCounts, UndecidedReason};
use crate::domain::preference::PreferenceChange;
use crate::domain::sighting::{BeaconClaim, ClaimedSighting};
use crate::domain::time::Timestamp;
use crate::domain::window::{
    CustomerHasher, CustomerKey, DuplicateWindow, SPACING_US, Standing, WindowLimits,
};
use crate::ports::{Block, StoredIdentity, SystemOfRecord};
use crate::tasks::TaskGroup;

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
    /// Rows queued for the writer at most; at least as many as a frame has sightings.
    pub queue_rows: usize,
    /// When the writer sends a batch.
    pub batch: BatchLimits,
    /// How long a question to the system of record may take.
    pub question_timeout: Duration,
    /// How long registrations are good.
    pub directory: DirectorySettings,
}

/// The pipeline: shared by all sessions.
#[derive(Debug)]
pub struct Pipeline {
    pub(super) core: Core,
    rules: Rules,
    hasher: CustomerHasher,
    beacons: Arc<Directory<BeaconId, Beacon>>,
    gateways: Arc<Directory<GatewayId, Gateway>>,
    record: Arc<dyn SystemOfRecord>,
    question_timeout: Duration,
}

/// Admits the frames of one session, in the order it is given them.
#[derive(Debug)]
pub struct Admitter {
    pipeline: Arc<Pipeline>,
    verdicts: Vec<BeaconVerdict>,
    judged: Vec<Judged>,
}

/// A sighting on its way through the rules.
#[derive(Debug)]
enum Judged {
    Final(Outcome),
    Candidate(Candidate),
}

/// A sighting for the duplicate window.
#[derive(Debug)]
struct Candidate {
    customer: CustomerKey,
    confidence: Confidence,
    /// It is late, memory was clear, and the system of record was asked about it.
    asked: bool,
}

/// What the system of record said about the late sightings of a frame.
enum LateAnswer {
    NotAsked,
    /// Identities near them, ordered by customer.
    Near(Vec<(CustomerKey, Timestamp, BeaconId)>),
    CannotBeAsked,
}

/// What deciding a frame has come to so far.
#[derive(Default)]
struct Decided {
    answer: Answer,
    leaning: Vec<(u16, Outcome)>,
    leaning_counts: OutcomeCounts,
    redelivered: u32,
    leaning_redelivered: u32,
    identities: Vec<CustomerIdentity>,
}

impl Pipeline {
    pub(super) fn new(
        settings: &PipelineSettings,
        core_of: impl FnOnce(DuplicateWindow) -> Core,
        record: Arc<dyn SystemOfRecord>,
        secret: [u8; 16],
        refreshes: TaskGroup,
    ) -> Self {
        let limits =
            WindowLimits::new(settings.horizon_us, settings.time.max_ahead_us, settings.window_entries);
        let (beacons, gateways) = (Arc::clone(&record), Arc::clone(&record));
        Self {
            core: core_of(DuplicateWindow::new(limits)),
            rules: Rules { time: settings.time, curve: ConfidenceCurve::new(&settings.confidence) },
            hasher: CustomerHasher::new(secret),
            beacons: Directory::new(
                settings.directory,
                refreshes.clone(),
                Box::new(move |id| {
                    let record = Arc::clone(&beacons);
                    Box::pin(async move { record.beacon(id).await })
                }),
            ),
            gateways: Directory::new(
                settings.directory,
                refreshes,
                Box::new(move |id| {
                    let record = Arc::clone(&gateways);
                    Box::pin(async move { record.gateway(id).await })
                }),
            ),
            record,
            question_timeout: settings.question_timeout,
        }
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

    /// Sightings detected before `instant` are asked about at the system of record, whatever their age: identities
    /// near them may have been stored before this start.
    pub fn unknown_before(&self, instant: Timestamp) {
        self.core.lock().window.unknown_before(instant);
    }

    /// Takes no more; what was accepted is still stored. Frames that come all the same are undecided.
    pub fn close(&self) {
        self.core.close();
    }

    async fn late_answer(&self, asked: Vec<(CustomerId, Timestamp)>) -> LateAnswer {
        match timeout(self.question_timeout, self.record.identities_near(asked)).await {
            Ok(Ok(near)) => {
                let keyed = |stored: StoredIdentity| {
                    (
                        self.hasher.key(stored.customer_id.as_str().as_bytes()),
                        stored.detected_at,
                        stored.beacon_id,
                    )
                };
                let mut near: Vec<_> = near.into_iter().map(keyed).collect();
                near.sort_unstable_by_key(|&(customer, detected_at, _)| (customer, detected_at));
                LateAnswer::Near(near)
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "late sightings are undecided");
                LateAnswer::CannotBeAsked
            }
            Err(_) => LateAnswer::CannotBeAsked,
        }
    }

    /// Room in the queue for as many rows as a frame could make. Waiting here is what stops a session's reading.
    async fn room(&self, rows: usize) -> Option<SemaphorePermit<'_>> {
        if rows == 0 {
            return None;
        }
        let rows = u32::try_from(rows).unwrap_or(u32::MAX);
        self.core.room.acquire_many(rows).await.ok()
    }
}

impl Admitter {
    /// An admitter for one session.
    #[must_use]
    pub const fn new(pipeline: Arc<Pipeline>) -> Self {
        Self { pipeline, verdicts: Vec::new(), judged: Vec::new() }
    }

    /// Decides a sightings frame. Waits only for beacons never seen (bounded by the directory's load timeout), for
    /// the question about late sightings (bounded), and for room in the writer's queue.
    ///
    /// Dropping the future before it ends leaves no trace: nothing was decided, nothing was counted.
    pub async fn sightings(
        &mut self,
        gateway: &Gateway,
        clock: &ClockReading,
        beacons: &[BeaconClaim],
        sightings: &[ClaimedSighting<'_>],
    ) -> Admitted {
        self.resolve(gateway, beacons).await;
        let candidates = self.judge(clock, sightings);
        let pipeline = Arc::clone(&self.pipeline);
        let room = pipeline.room(candidates).await;
        let asked = {
            let mut state = pipeline.core.lock();
            let asked = self.late_questions(&state, clock, sightings);
            if asked.is_empty() {
                return self.decide_within(room, &mut state, clock, sightings, &LateAnswer::NotAsked);
            }
            asked
        };
        // Nobody else's decisions wait for this frame's question.
        drop(room);
        let late = pipeline.late_answer(asked).await;
        let room = pipeline.room(candidates).await;
        self.decide_within(room, &mut pipeline.core.lock(), clock, sightings, &late)
    }

    /// Takes a customer's preferences in.
    pub async fn preferences(
        &self,
        clock: &ClockReading,
        claim: Result<PreferenceChange, InvalidField>,
    ) -> AdmittedPreferences {
        let within_time = |change: PreferenceChange| {
            // A time far ahead would keep every later change out.
            let ahead = self.pipeline.rules.time.judge(change.updated_at, clock) == Some(Outcome::ClockSkew);
            if ahead { Err(InvalidField::UpdatedAt) } else { Ok(change) }
        };
        let change = match claim.and_then(within_time) {
            Ok(change) => change,
            Err(field) => {
                let mut state = self.pipeline.core.lock();
                state.ledger.preferences.received += 1;
                state.ledger.preferences.invalid += 1;
                return AdmittedPreferences::Final(PreferencesAnswer::Invalid(field));
            }
        };
        let room = self.pipeline.room(1).await;
        let mut state = self.pipeline.core.lock();
        state.ledger.preferences.received += 1;
        state.enqueue(Block { preferences: vec![change], ..Block::default() }, None);
        if let Some(room) = room {
            room.forget();
        }
        state.ledger.preferences.in_progress += 1;
        AdmittedPreferences::Pending(PendingPreferences { settled: state.wait(Effect::Preferences) })
    }

    async fn resolve(&mut self, gateway: &Gateway, beacons: &[BeaconClaim]) {
        self.verdicts.clear();
        // One after the other when all are held in memory, which is nearly always; a load that has to be waited for
        // makes the store's failing known, so that no second one is waited for.
        for claim in beacons {
            let known = self.pipeline.beacons.resolve(&claim.id).await;
            self.verdicts.push(BeaconVerdict::new(claim, known, gateway));
        }
    }

    /// Applies rules 1 to 7 to every sighting; answers how many go on to the window.
    fn judge(&mut self, clock: &ClockReading, sightings: &[ClaimedSighting<'_>]) -> usize {
        self.judged.clear();
        let mut candidates = 0;
        for sighting in sightings {
            self.judged.push(match self.pipeline.rules.judge(sighting, clock, &self.verdicts) {
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
        clock: &ClockReading,
        sightings: &[ClaimedSighting<'_>],
    ) -> Vec<(CustomerId, Timestamp)> {
        let mut asked = Vec::new();
        for (judged, sighting) in self.judged.iter_mut().zip(sightings) {
            let Judged::Candidate(candidate) = judged else {
                continue;
            };
            if state.is_fresh(sighting.detected_at, clock) {
                continue;
            }
            let Some(beacon) = beacon_of(&self.verdicts, sighting) else {
                continue;
            };
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
        clock: &ClockReading,
        sightings: &[ClaimedSighting<'_>],
        late: &LateAnswer,
    ) -> Admitted {
        let pending_before = state.window.pending();
        let admitted = self.decide(state, clock, sightings, late);
        let accepted = state.window.pending().saturating_sub(pending_before);
        // What was accepted keeps its room until it is settled; the rest is given back here.
        let accepted = usize::try_from(accepted).unwrap_or(usize::MAX);
        if let Some(taken) = room.and_then(|mut room| room.split(accepted)) {
            taken.forget();
        }
        admitted
    }

    /// Decides the frame in index order, under the lock: its block is queued before anybody can lean on it.
    fn decide(
        &self,
        state: &mut State,
        clock: &ClockReading,
        sightings: &[ClaimedSighting<'_>],
        late: &LateAnswer,
    ) -> Admitted {
        for (judged, sighting) in self.judged.iter().zip(sightings) {
            if let Judged::Candidate(candidate) = judged {
                state.window.read_ahead(candidate.customer, sighting.detected_at);
            }
        }
        let mut decided = Decided::default();
        for ((index, judged), sighting) in (0u16..).zip(&self.judged).zip(sightings) {
            match judged {
                Judged::Final(outcome) => decided.note(index, *outcome),
                Judged::Candidate(candidate) => {
                    self.decide_candidate(state, clock, (index, candidate, sighting), late, &mut decided);
                }
            }
        }
        state.ledger.frames += 1;
        state.ledger.received += decided.answer.counts.total();
        self.settle_or_wait(state, decided)
    }

    fn decide_candidate(
        &self,
        state: &mut State,
        clock: &ClockReading,
        (index, candidate, sighting): (u16, &Candidate, &ClaimedSighting<'_>),
        late: &LateAnswer,
        decided: &mut Decided,
    ) {
        let Some(beacon) = beacon_of(&self.verdicts, sighting) else {
            return;
        };
        let at = sighting.detected_at;
        let (outcome, leant_on) = match state.window.check(candidate.customer, at, &beacon.id) {
            Standing::Redelivery(position) => {
                decided.redelivered += 1;
                (Outcome::Identified, Some(position))
            }
            Standing::Duplicate(position) => (Outcome::Duplicate, Some(position)),
            Standing::Clear => {
                match late_verdict(state, clock, candidate, at, &beacon.id, late) {
                    LateVerdict::Clear => {}
                    LateVerdict::Redelivery => {
                        decided.redelivered += 1;
                        return decided.note(index, Outcome::Identified);
                    }
                    LateVerdict::Refused(outcome) => return decided.note(index, outcome),
                }
                return accept(state, clock, (index, candidate, sighting), beacon, decided);
            }
        };
        decided.note(index, outcome);
        if leant_on.is_some_and(|position| state.window.is_pending(position)) {
            decided.lean(index, outcome);
            decided.leaning_redelivered += u32::from(outcome == Outcome::Identified);
        }
    }

    fn settle_or_wait(&self, state: &mut State, mut decided: Decided) -> Admitted {
        let block = Block { identities: std::mem::take(&mut decided.identities), ..Block::default() };
        if decided.leaning.is_empty() {
            state.ledger.settle(&decided.answer.counts, decided.redelivered);
            return Admitted::Final(decided.answer);
        }
        if !block.identities.is_empty() {
            let last_position = state.window.last_position();
            state.enqueue(block, last_position);
        }
        state.ledger.in_progress += decided.answer.counts.total();
        let settled = state.wait(Effect::Sightings {
            counts: decided.answer.counts,
            redelivered: decided.redelivered,
            leaning: decided.leaning_counts,
            leaning_redelivered: decided.leaning_redelivered,
        });
        Admitted::Pending(PendingAnswer { answer: decided.answer, leaning: decided.leaning, settled })
    }
}

impl Decided {
    fn note(&mut self, index: u16, outcome: Outcome) {
        self.answer.counts.add(outcome);
        if outcome.index() <= Outcome::Forbidden.index() {
            self.answer.exceptions.push((index, outcome));
        }
    }

    fn lean(&mut self, index: u16, outcome: Outcome) {
        self.leaning.push((index, outcome));
        self.leaning_counts.add(outcome);
    }
}

enum LateVerdict {
    Clear,
    Redelivery,
    Refused(Outcome),
}

fn late_verdict(
    state: &State,
    clock: &ClockReading,
    candidate: &Candidate,
    detected_at: Timestamp,
    beacon: &BeaconId,
    late: &LateAnswer,
) -> LateVerdict {
    let near = match late {
        _ if !candidate.asked && state.is_fresh(detected_at, clock) => return LateVerdict::Clear,
        LateAnswer::Near(near) if candidate.asked => near,
        // Not asked though late: memory decided it then, and that entry has been undone since.
        _ => return LateVerdict::Refused(Outcome::Undecided(UndecidedReason::Store)),
    };
    let from = near.partition_point(|&(customer, ..)| customer < candidate.customer);
    let mut conflicts = near[from..]
        .iter()
        .take_while(|&&(customer, ..)| customer == candidate.customer)
        .filter(|&&(_, stored_at, _)| stored_at.micros_since(detected_at).saturating_abs() < SPACING_US)
        .peekable();
    if conflicts.peek().is_none() {
        return state.late_refusal().map_or(LateVerdict::Clear, LateVerdict::Refused);
    }
    if conflicts.any(|&(_, stored_at, stored_beacon)| stored_at == detected_at && stored_beacon == *beacon) {
        return LateVerdict::Redelivery;
    }
    LateVerdict::Refused(Outcome::Duplicate)
}

fn accept(
    state: &mut State,
    clock: &ClockReading,
    (index, candidate, sighting): (u16, &Candidate, &ClaimedSighting<'_>),
    beacon: &Beacon,
    decided: &mut Decided,
) {
    let Ok(customer_id) = CustomerId::from_bytes(sighting.customer_id) else {
        return;
    };
    let at = sighting.detected_at;
    if state.window.accept(candidate.customer, at, &beacon.id, clock.now).is_err() {
        return decided.note(index, Outcome::Undecided(UndecidedReason::WindowFull));
    }
    decided.identities.push(CustomerIdentity {
        customer_id,
        beacon_id: beacon.id,
        location: beacon.location.clone(),
        confidence: candidate.confidence,
        detected_at: at,
    });
    decided.note(index, Outcome::Identified);
    decided.lean(index, Outcome::Identified);
}

fn beacon_of<'v>(verdicts: &'v [BeaconVerdict], sighting: &ClaimedSighting<'_>) -> Option<&'v Beacon> {
    match verdicts.get(usize::from(sighting.beacon_index)) {
        Some(BeaconVerdict::Registered { beacon, .. }) => Some(beacon),
        Some(BeaconVerdict::Refused(_)) | None => None,
    }
}
