//! Deciding a frame against the duplicate window, in index order and under the lock.

use std::time::{Duration, Instant};

use super::answer::{Admitted, Answer, PendingAnswer};
use super::core::{EnqueueTimes, State};
use super::judge::BeaconVerdict;
use super::waiting::{Effect, Waits};
use crate::domain::beacon::Beacon;
use crate::domain::block::Block;
use crate::domain::confidence::Confidence;
use crate::domain::customer::CustomerId;
use crate::domain::frame::{AckLevel, FrameId, FrameMark};
use crate::domain::gateway::GatewayId;
use crate::domain::identity::CustomerIdentity;
use crate::domain::outcome::{Outcome, OutcomeCounts, UndecidedReason};
use crate::domain::sighting::ClaimedSighting;
use crate::domain::time::Timestamp;
use crate::domain::window::{CustomerKey, Position, SPACING_US, Standing};
use crate::journal::EntryKind;

/// A sighting on its way through the rules.
#[derive(Debug)]
pub(super) enum Judged {
    Final(Outcome),
    Candidate(Candidate),
}

/// A sighting for the duplicate window.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) customer: CustomerKey,
    pub(super) confidence: Confidence,
    /// It is late, memory was clear, and the system of record was asked about it.
    pub(super) asked: bool,
}

/// What the system of record said about the late sightings of a frame.
#[derive(Debug)]
pub(super) enum LateAnswer {
    NotAsked,
    /// Identities near them, ordered by customer.
    Near(Vec<(CustomerKey, CustomerIdentity)>),
    CannotBeAsked,
}

/// A question about late sightings under way.
#[derive(Debug)]
pub(super) struct LateQuestion {
    asked_at: tokio::time::Instant,
    /// The position of what was accepted first since.
    next_position: Position,
}

impl LateQuestion {
    /// Asked now.
    pub(super) fn new(state: &State) -> Self {
        Self { asked_at: tokio::time::Instant::now(), next_position: state.window.next_position() }
    }

    /// What its answer is worth now: it may not know of what was accepted since, which must be in the window still; and
    /// it was given in time.
    pub(super) fn worth(&self, answer: LateAnswer, state: &State, timeout: Duration) -> LateAnswer {
        let stale = self.asked_at.elapsed() > timeout || state.window.first_position() > self.next_position;
        if stale { LateAnswer::CannotBeAsked } else { answer }
    }
}

impl LateAnswer {
    pub(super) fn near(mut identities: Vec<(CustomerKey, CustomerIdentity)>) -> Self {
        identities.sort_unstable_by_key(|(customer, identity)| (*customer, identity.detected_at));
        Self::Near(identities)
    }
}

/// The times of a decision.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// When it was told which sightings are late, so that no sighting falls between having been fresh and not having
    /// been asked about. The window knows by itself what has left it since.
    pub(super) fresh_at: Timestamp,
    /// The moment of the decision.
    pub(super) accepted_at: Timestamp,
    /// The same for measuring.
    pub(super) decided_at: Instant,
    /// When the frame was received.
    pub(super) received_at: Instant,
}

impl Times {
    pub(super) fn new(fresh_at: Timestamp, accepted_at: Timestamp, received_at: Instant) -> Self {
        Self { fresh_at, accepted_at, decided_at: Instant::now(), received_at }
    }
}

/// A sequenced frame, as its session knows it.
#[derive(Debug, Clone, Copy)]
pub struct FrameClaim {
    /// The numbering it belongs to.
    pub boot_epoch: u64,
    /// Its number in it.
    pub sequence: u64,
    /// Its identity checksum.
    pub checksum: u32,
    /// Up to here all frames of its numbering have been answered in its session.
    pub answered_up_to: u64,
}

/// A frame, its gateway and what its answer is to promise.
#[derive(Debug, Clone, Copy)]
pub(super) struct FrameOf<'f> {
    pub(super) gateway: &'f GatewayId,
    pub(super) claim: FrameClaim,
    pub(super) level: AckLevel,
}

impl FrameOf<'_> {
    pub(super) fn mark(&self, complete: bool) -> FrameMark {
        let FrameClaim { boot_epoch, sequence, checksum, answered_up_to } = self.claim;
        let id = FrameId { gateway: self.gateway.clone(), boot_epoch, sequence, checksum };
        FrameMark { id, complete, level: self.level, answered_up_to }
    }
}

/// A frame decided, and the places that it keeps in the queue.
#[derive(Debug)]
pub(super) struct DecidedFrame {
    pub(super) admitted: Admitted,
    pub(super) places: usize,
}

/// What deciding a frame has come to so far.
struct Decided<'f> {
    frame: FrameOf<'f>,
    answer: Answer,
    leaning: Vec<(u16, Outcome)>,
    leaning_counts: OutcomeCounts,
    redelivered: u32,
    leaning_redelivered: u32,
    identities: Vec<CustomerIdentity>,
}

/// One candidate with its place in the frame.
#[derive(Clone, Copy)]
struct Placed<'f, 'c> {
    index: u16,
    candidate: &'c Candidate,
    sighting: &'c ClaimedSighting<'f>,
    beacon: &'c Beacon,
}

/// The registered beacon of a sighting that passed the rules.
pub(super) fn beacon_of<'v>(
    verdicts: &'v [BeaconVerdict],
    sighting: &ClaimedSighting<'_>,
) -> Option<&'v Beacon> {
    match verdicts.get(usize::from(sighting.beacon_index)) {
        Some(BeaconVerdict::Registered { beacon, .. }) => Some(beacon),
        Some(BeaconVerdict::Refused(_)) | None => None,
    }
}

/// Decides a frame. Its block is queued before anybody can lean on it.
pub(super) fn decide<'s, 'f: 's>(
    state: &mut State,
    frame: FrameOf<'_>,
    times: Times,
    verdicts: &[BeaconVerdict],
    sightings: impl Iterator<Item = (&'s Judged, &'s ClaimedSighting<'f>)> + Clone,
    late: &LateAnswer,
) -> DecidedFrame {
    for (judged, sighting) in sightings.clone() {
        if let Judged::Candidate(candidate) = judged {
            state.window.read_ahead(candidate.customer, sighting.detected_at);
        }
    }
    let mut decided = Decided::new(frame);
    for (index, (judged, sighting)) in (0u16..).zip(sightings) {
        match (judged, beacon_of(verdicts, sighting)) {
            (Judged::Candidate(candidate), Some(beacon)) => {
                decided.candidate(state, times, Placed { index, candidate, sighting, beacon }, late);
            }
            (Judged::Final(outcome), _) => decided.note(index, *outcome),
            // Only registered beacons make candidates.
            (Judged::Candidate(_), None) => decided.note(index, Outcome::UnknownBeacon),
        }
    }
    state.ledger.frames += 1;
    state.ledger.received += decided.answer.counts.total();
    decided.settle_or_wait(state, times)
}

impl<'f> Decided<'f> {
    fn new(frame: FrameOf<'f>) -> Self {
        Self {
            frame,
            answer: Answer::default(),
            leaning: Vec::new(),
            leaning_counts: OutcomeCounts::default(),
            redelivered: 0,
            leaning_redelivered: 0,
            identities: Vec::new(),
        }
    }

    fn candidate(&mut self, state: &mut State, times: Times, placed: Placed<'_, '_>, late: &LateAnswer) {
        let Placed { index, candidate, sighting, beacon } = placed;
        let (outcome, leant_on) =
            match state.window.check(candidate.customer, sighting.detected_at, &beacon.id) {
                Standing::Redelivery(position) => (Outcome::Identified, position),
                Standing::Duplicate(position) => (Outcome::Duplicate, position),
                Standing::Clear => {
                    return match late_outcome(state, times.fresh_at, placed, late) {
                        Late::Clear => self.accept(state, times.accepted_at, placed),
                        Late::Refused(outcome) => self.note(index, outcome),
                        Late::Redelivered => self.redelivered(state, index),
                    };
                }
            };
        let redelivered = u32::from(outcome == Outcome::Identified);
        self.redelivered += redelivered;
        self.note(index, outcome);
        // A duplicate promises no more than that the other one is durable.
        let level = if outcome == Outcome::Identified { self.frame.level } else { AckLevel::Journal };
        if state.must_wait_for(leant_on, level) {
            self.leaning_redelivered += redelivered;
            self.lean(index, outcome);
        }
    }

    fn accept(&mut self, state: &mut State, accepted_at: Timestamp, placed: Placed<'_, '_>) {
        let Placed { index, candidate, sighting, beacon } = placed;
        let detected_at = sighting.detected_at;
        let Ok(customer_id) = CustomerId::from_bytes(sighting.customer_id) else { return };
        if state.is_closing() {
            return self.note(index, Outcome::Undecided(UndecidedReason::Store));
        }
        let position = state.window.next_position();
        let accept =
            |state: &mut State| state.window.accept(candidate.customer, detected_at, &beacon.id, accepted_at);
        if accept(state).is_err() && !(state.expire_of_the_future(accepted_at) && accept(state).is_ok()) {
            return self.note(index, Outcome::Undecided(UndecidedReason::WindowFull));
        }
        state.numbering.starts(position, state.next_identity + self.identities.len() as u64);
        self.identities.push(CustomerIdentity {
            customer_id,
            beacon_id: beacon.id,
            location: beacon.location.clone(),
            confidence: candidate.confidence,
            detected_at,
        });
        self.note(index, Outcome::Identified);
        self.lean(index, Outcome::Identified);
    }

    /// The identity is in the system of record and no longer in the window. Its event may still wait.
    fn redelivered(&mut self, state: &State, index: u16) {
        self.redelivered += 1;
        self.note(index, Outcome::Identified);
        if self.frame.level == AckLevel::Stored && state.has_backlog() {
            self.leaning_redelivered += 1;
            self.lean(index, Outcome::Identified);
        }
    }

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

    fn settle_or_wait(self, state: &mut State, times: Times) -> DecidedFrame {
        let Times { accepted_at, received_at, decided_at, .. } = times;
        if self.leaning.is_empty() {
            state.ledger.settle(&self.answer.counts, self.redelivered);
            let answer = Answer { final_at: Some(decided_at), ..self.answer };
            return DecidedFrame { admitted: Admitted::Final(answer), places: 0 };
        }
        let own = !self.identities.is_empty();
        // What waits takes a place even if it brings nothing: the frames that wait are bounded by them.
        let places = self.identities.len().max(1);
        if own {
            let complete = self.answer.counts.undecided() == 0;
            let block = Block { identities: self.identities, ..Block::default() };
            let times = EnqueueTimes { accepted_at, received_at, decided_at };
            state.enqueue(block, EntryKind::Frame(self.frame.mark(complete)), times);
        }
        state.ledger.in_progress += self.answer.counts.total();
        let effect = Effect::Sightings {
            counts: self.answer.counts,
            redelivered: self.redelivered,
            leaning: self.leaning_counts,
            leaning_redelivered: self.leaning_redelivered,
        };
        // Duplicates alone wait for no store.
        let level = match self.leaning_counts.of(Outcome::Identified) {
            0 => AckLevel::Journal,
            _ => self.frame.level,
        };
        let waits = Waits { level, own, places, record_only: false };
        let (settled, places) = state.wait(effect, waits);
        let pending = PendingAnswer { answer: self.answer, leaning: self.leaning, settled };
        DecidedFrame { admitted: Admitted::Pending(pending), places }
    }
}

/// What the system of record has to say of a sighting that memory is clear about.
enum Late {
    /// Nothing: it may be accepted.
    Clear,
    Refused(Outcome),
    /// It has the sighting's own identity.
    Redelivered,
}

fn late_outcome(state: &State, fresh_at: Timestamp, placed: Placed<'_, '_>, late: &LateAnswer) -> Late {
    let Placed { candidate, sighting, beacon, .. } = placed;
    let detected_at = sighting.detected_at;
    let near = match late {
        // A commit of the daemon before may still be on its way, where nobody sees it.
        _ if !state.past_known => return Late::Refused(Outcome::Undecided(UndecidedReason::Store)),
        _ if !candidate.asked && state.is_fresh(detected_at, fresh_at) => return Late::Clear,
        LateAnswer::Near(near) if candidate.asked => near,
        // It could not be asked; or memory decided it when it could have been, and has been undone since.
        _ => return Late::Refused(Outcome::Undecided(UndecidedReason::Store)),
    };
    let from = near.partition_point(|(customer, _)| *customer < candidate.customer);
    let mut conflicts = near[from..]
        .iter()
        .take_while(|(customer, _)| *customer == candidate.customer)
        .map(|(_, identity)| identity)
        .filter(|identity| identity.detected_at.micros_since(detected_at).saturating_abs() < SPACING_US)
        .peekable();
    if conflicts.peek().is_none() {
        return if state.window.late_has_room() {
            Late::Clear
        } else {
            Late::Refused(Outcome::Undecided(UndecidedReason::WindowFull))
        };
    }
    match conflicts.any(|identity| identity.detected_at == detected_at && identity.beacon_id == beacon.id) {
        true => Late::Redelivered,
        false => Late::Refused(Outcome::Duplicate),
    }
}
