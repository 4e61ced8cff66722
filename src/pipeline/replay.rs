//! Dead letters taken back: each passes the window again before the journal has it for the store that refused it.

use std::time::Instant;

use tokio::sync::{SemaphorePermit, oneshot};

use super::admit::Pipeline;
use super::answer::Settled;
use super::core::{EnqueueTimes, State};
use super::decide::{LateAnswer, LateQuestion};
use super::waiting::{Effect, Waits};
use crate::domain::block::Block;
use crate::domain::frame::AckLevel;
use crate::domain::identity::CustomerIdentity;
use crate::domain::window::{CustomerKey, SPACING_US, Standing};
use crate::journal::EntryKind;

/// A row to be taken back.
#[derive(Debug, Clone, PartialEq)]
pub struct RefusedLetter {
    /// The store that refused it.
    pub store: String,
    /// The one row in it.
    pub block: Block,
}

/// What became of a row that was to be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replayed {
    /// It is in the journal for its store, as any new row: the letter has done its service.
    Journaled,
    /// Another identity of its customer is within a minute of it.
    Duplicate,
    /// It is the event of an identity that the system of record does not have.
    Unrecorded,
    /// Its store is not configured.
    Unconfigured,
    /// Nothing was decided: the system of record cannot be asked, the window is full, or the daemon stops.
    Undecided,
}

/// What a row is waiting for.
enum Begun {
    Decided(Replayed),
    Journal(oneshot::Receiver<Settled>),
}

/// What deciding a row comes to under the lock.
enum Verdict {
    Journal {
        /// Its identity stands in the window anew.
        accepted: bool,
    },
    /// Memory alone does not tell.
    Ask,
    Stays(Replayed),
}

impl Pipeline {
    /// Decides rows that stores refused, in their order, and journals what is to be written again; what became of each,
    /// once the journal has all of them. Waits for room, so that whoever calls takes no more than his share.
    ///
    /// A row journaled whose letter is not removed may be taken back again: stores take a row twice as once.
    pub async fn replay(&self, letters: &[RefusedLetter]) -> Vec<Replayed> {
        let mut begun = Vec::with_capacity(letters.len());
        for letter in letters {
            begun.push(self.begin_replay(letter).await);
        }
        let mut replayed = Vec::with_capacity(begun.len());
        for begun in begun {
            replayed.push(match begun {
                Begun::Decided(replayed) => replayed,
                Begun::Journal(settled) => match settled.await {
                    Ok(Settled::Durable { .. }) => Replayed::Journaled,
                    Ok(Settled::Undone) | Err(_) => Replayed::Undecided,
                },
            });
        }
        replayed
    }

    async fn begin_replay(&self, letter: &RefusedLetter) -> Begun {
        let identity = letter.block.identities.first();
        let key = |identity: &CustomerIdentity| self.hasher.key(identity.customer_id.as_str().as_bytes());
        let of = identity.map(|identity| (key(identity), identity));
        let question = match self.decide_replay(letter, of, None).await {
            Ok(begun) => return begun,
            Err(question) => question,
        };
        let asked = of.map(|(_, identity)| (identity.customer_id.clone(), identity.detected_at));
        let answer = self.late_answer(asked.into_iter().collect()).await;
        let begun = self.decide_replay(letter, of, Some((question, answer))).await;
        begun.unwrap_or(Begun::Decided(Replayed::Undecided))
    }

    /// The question, where the system of record must be asked first.
    async fn decide_replay(
        &self,
        letter: &RefusedLetter,
        of: Option<(CustomerKey, &CustomerIdentity)>,
        asked: Option<(LateQuestion, LateAnswer)>,
    ) -> Result<Begun, LateQuestion> {
        let undecided = Ok(Begun::Decided(Replayed::Undecided));
        let Some(room) = self.room(letter.block.places()).await else { return undecided };
        let mut state = self.core.lock();
        if state.is_closing() {
            return undecided;
        }
        let now = self.clock.read().now;
        let late = asked.map_or(LateAnswer::NotAsked, |(question, answer)| {
            question.worth(answer, &state, self.question_timeout)
        });
        let verdict = match of {
            _ if !state.has_store(&letter.store) => Verdict::Stays(Replayed::Unconfigured),
            // Preferences have no window: a key changes only for a newer one.
            None => Verdict::Journal { accepted: false },
            Some((customer, identity)) if letter.store == state.record.name => {
                let fresh = state.is_fresh(identity.detected_at, now);
                let verdict = of_record(&state, customer, identity, fresh, &late);
                if matches!(verdict, Verdict::Journal { accepted: true }) {
                    let position = state.window.next_position();
                    let next_identity = state.next_identity;
                    state.window.restore(customer, identity.detected_at, &identity.beacon_id, now);
                    state.numbering.starts(position, next_identity);
                }
                verdict
            }
            Some((customer, identity)) => of_event(&state, customer, identity, &late),
        };
        match verdict {
            Verdict::Ask => Err(LateQuestion::new(&state)),
            Verdict::Stays(replayed) => Ok(Begun::Decided(replayed)),
            Verdict::Journal { accepted } => {
                let times = EnqueueTimes {
                    accepted_at: now,
                    received_at: Instant::now(),
                    decided_at: Instant::now(),
                };
                let kind = EntryKind::Replay { store: letter.store.clone(), accepted };
                state.enqueue(letter.block.clone(), kind, times);
                Ok(Begun::Journal(wait(&mut state, room)))
            }
        }
    }
}

fn wait(state: &mut State, mut room: SemaphorePermit<'_>) -> oneshot::Receiver<Settled> {
    let waits = Waits { level: AckLevel::Journal, own: true, places: room.num_permits(), record_only: false };
    let (settled, places) = state.wait(Effect::Replay, waits);
    if let Some(taken) = room.split(places) {
        taken.forget();
    }
    settled
}

/// An identity that the system of record refused. Where the window still has it, it stands there anew as well: its first
/// place may be given up before the row is stored, and another identity would be accepted beside it.
fn of_record(
    state: &State,
    customer: CustomerKey,
    identity: &CustomerIdentity,
    fresh: bool,
    late: &LateAnswer,
) -> Verdict {
    let accepted = match state.window.late_has_room() {
        true => Verdict::Journal { accepted: true },
        false => Verdict::Stays(Replayed::Undecided),
    };
    match state.window.check(customer, identity.detected_at, &identity.beacon_id) {
        Standing::Redelivery(_) => return accepted,
        Standing::Duplicate(_) => return Verdict::Stays(Replayed::Duplicate),
        Standing::Clear if fresh => return accepted,
        Standing::Clear => {}
    }
    match (recorded(customer, identity, late), late) {
        (_, LateAnswer::NotAsked) => Verdict::Ask,
        // A commit of the daemon before may still be on its way, where nobody sees it.
        _ if !state.past_known => Verdict::Stays(Replayed::Undecided),
        (None, _) => Verdict::Stays(Replayed::Undecided),
        (Some(Recorded::Nothing), _) => accepted,
        (Some(Recorded::Other), _) => Verdict::Stays(Replayed::Duplicate),
        // It was taken back before, and the letter not removed.
        (Some(Recorded::Same), _) => Verdict::Journal { accepted: false },
    }
}

/// An event that its store refused: it is one only if its identity was accepted and is known.
fn of_event(state: &State, customer: CustomerKey, identity: &CustomerIdentity, late: &LateAnswer) -> Verdict {
    let standing = state.window.check(customer, identity.detected_at, &identity.beacon_id);
    match (recorded(customer, identity, late), late) {
        _ if matches!(standing, Standing::Redelivery(_)) => Verdict::Journal { accepted: false },
        (_, LateAnswer::NotAsked) => Verdict::Ask,
        (None, _) => Verdict::Stays(Replayed::Undecided),
        (Some(Recorded::Same), _) => Verdict::Journal { accepted: false },
        (Some(Recorded::Nothing | Recorded::Other), _) => Verdict::Stays(Replayed::Unrecorded),
    }
}

/// What the system of record has within a minute of an identity.
enum Recorded {
    Nothing,
    /// The identity itself.
    Same,
    Other,
}

/// `None` where it was not asked or gave no answer.
fn recorded(customer: CustomerKey, identity: &CustomerIdentity, late: &LateAnswer) -> Option<Recorded> {
    let LateAnswer::Near(near) = late else { return None };
    let is_near = |stored: &CustomerIdentity| {
        stored.detected_at.micros_since(identity.detected_at).saturating_abs() < SPACING_US
    };
    let mut conflicts = near
        .iter()
        .filter(|(of, stored)| *of == customer && is_near(stored))
        .map(|(_, stored)| stored)
        .peekable();
    if conflicts.peek().is_none() {
        return Some(Recorded::Nothing);
    }
    let same = |stored: &CustomerIdentity| {
        stored.detected_at == identity.detected_at && stored.beacon_id == identity.beacon_id
    };
    Some(if conflicts.any(same) { Recorded::Same } else { Recorded::Other })
}
