//! Deciding a frame against the duplicate window, in index order and under the lock.

use super::answer::{Admitted, Answer, PendingAnswer};
use super::core::{Effect, State};
use super::judge::BeaconVerdict;
use crate::domain::beacon::{Beacon, BeaconId};
use crate::domain::confidence::Confidence;
use crate::domain::customer::CustomerId;
use crate::domain::identity::CustomerIdentity;
use crate::domain::outcome::{Outcome, OutcomeCounts, UndecidedReason};
use crate::domain::sighting::ClaimedSighting;
use crate::domain::time::Timestamp;
use crate::domain::window::{CustomerKey, SPACING_US, Standing};
use crate::ports::Block;

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
    Near(Vec<(CustomerKey, Timestamp, BeaconId)>),
    CannotBeAsked,
}

impl LateAnswer {
    pub(super) fn near(mut identities: Vec<(CustomerKey, Timestamp, BeaconId)>) -> Self {
        identities.sort_unstable_by_key(|&(customer, detected_at, _)| (customer, detected_at));
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
    times: Times,
    verdicts: &[BeaconVerdict],
    sightings: impl Iterator<Item = (&'s Judged, &'s ClaimedSighting<'f>)> + Clone,
    late: &LateAnswer,
) -> Admitted {
    for (judged, sighting) in sightings.clone() {
        if let Judged::Candidate(candidate) = judged {
            state.window.read_ahead(candidate.customer, sighting.detected_at);
        }
    }
    let mut decided = Decided::default();
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
    decided.settle_or_wait(state)
}

impl Decided {
    fn candidate(&mut self, state: &mut State, times: Times, placed: Placed<'_, '_>, late: &LateAnswer) {
        let Placed { index, candidate, sighting, beacon } = placed;
        let (outcome, leant_on) =
            match state.window.check(candidate.customer, sighting.detected_at, &beacon.id) {
                Standing::Redelivery(position) => (Outcome::Identified, position),
                Standing::Duplicate(position) => (Outcome::Duplicate, position),
                Standing::Clear => {
                    return match late_outcome(state, times.fresh_at, placed, late) {
                        None => self.accept(state, times.accepted_at, placed),
                        Some(outcome) => {
                            self.redelivered += u32::from(outcome == Outcome::Identified);
                            self.note(index, outcome);
                        }
                    };
                }
            };
        let redelivered = u32::from(outcome == Outcome::Identified);
        self.redelivered += redelivered;
        self.note(index, outcome);
        if state.window.is_pending(leant_on) {
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
        if state.window.accept(candidate.customer, detected_at, &beacon.id, accepted_at).is_err() {
            return self.note(index, Outcome::Undecided(UndecidedReason::WindowFull));
        }
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

    fn settle_or_wait(self, state: &mut State) -> Admitted {
        if self.leaning.is_empty() {
            state.ledger.settle(&self.answer.counts, self.redelivered);
            return Admitted::Final(self.answer);
        }
        if !self.identities.is_empty() {
            let last_position = state.window.last_position();
            state.enqueue(Block { identities: self.identities, ..Block::default() }, last_position);
        }
        state.ledger.in_progress += self.answer.counts.total();
        let settled = state.wait(Effect::Sightings {
            counts: self.answer.counts,
            redelivered: self.redelivered,
            leaning: self.leaning_counts,
            leaning_redelivered: self.leaning_redelivered,
        });
        Admitted::Pending(PendingAnswer { answer: self.answer, leaning: self.leaning, settled })
    }
}

/// What the system of record has to say of a sighting that memory is clear about; nothing if it may be accepted.
fn late_outcome(
    state: &State,
    fresh_at: Timestamp,
    placed: Placed<'_, '_>,
    late: &LateAnswer,
) -> Option<Outcome> {
    let Placed { candidate, sighting, beacon, .. } = placed;
    let detected_at = sighting.detected_at;
    let near = match late {
        _ if !candidate.asked && state.window.is_fresh(detected_at, fresh_at) => return None,
        LateAnswer::Near(near) if candidate.asked => near,
        // It could not be asked; or memory decided it when it could have been, and has been undone since.
        _ => return Some(Outcome::Undecided(UndecidedReason::Store)),
    };
    let from = near.partition_point(|&(customer, ..)| customer < candidate.customer);
    let mut conflicts = near[from..]
        .iter()
        .take_while(|&&(customer, ..)| customer == candidate.customer)
        .filter(|&&(_, stored_at, _)| stored_at.micros_since(detected_at).saturating_abs() < SPACING_US)
        .peekable();
    if conflicts.peek().is_none() {
        let full = !state.window.late_has_room();
        return full.then_some(Outcome::Undecided(UndecidedReason::WindowFull));
    }
    let redelivered = conflicts
        .any(|&(_, stored_at, stored_beacon)| stored_at == detected_at && stored_beacon == beacon.id);
    Some(if redelivered { Outcome::Identified } else { Outcome::Duplicate })
}
