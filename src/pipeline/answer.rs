//! What a frame's sender is told, and when.

use std::time::Instant;

use tokio::sync::oneshot;

use crate::domain::outcome::{InvalidField, Outcome, OutcomeCounts, UndecidedReason};

/// The outcomes of one sightings frame.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// How many sightings had each outcome.
    pub counts: OutcomeCounts,
    /// Every sighting `invalid` to `forbidden` or `undecided`, by its index in the frame, ascending.
    pub exceptions: Vec<(u16, Outcome)>,
    /// Of those identified, how many a store refused: they are dead letters there.
    pub dead_lettered: u32,
    /// When it became final.
    pub final_at: Option<Instant>,
}

/// A frame that was decided.
#[derive(Debug)]
pub enum Admitted {
    /// Its answer may leave now.
    Final(Answer),
    /// Its answer leans on something that is not as durable yet as the session's level asks.
    Pending(PendingAnswer),
}

/// An answer that waits for durability.
#[derive(Debug)]
pub struct PendingAnswer {
    /// What it is if all becomes durable.
    pub(super) answer: Answer,
    /// The sightings that lean on what is not durable yet, ascending by index.
    pub(super) leaning: Vec<(u16, Outcome)>,
    pub(super) settled: oneshot::Receiver<Settled>,
}

/// What became of what an answer waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    /// It is as durable as the session's level asks, but for so many rows of the frame itself that are dead letters.
    Durable {
        dead_lettered: u32,
        at: Instant,
    },
    Undone,
}

impl PendingAnswer {
    /// Waits until the answer is final. What was undone is `undecided`; there is none when the daemon stops before it can
    /// say that all is stored: the frame stays unanswered. Dropping the future before it ends loses nothing; once it has
    /// ended it must not be asked again.
    pub async fn settled(&mut self) -> Option<Answer> {
        let settled = (&mut self.settled).await.ok()?;
        let answer = std::mem::take(&mut self.answer);
        Some(match settled {
            Settled::Durable { dead_lettered, at } => Answer { dead_lettered, final_at: Some(at), ..answer },
            Settled::Undone => undone(answer, &self.leaning),
        })
    }
}

fn undone(mut answer: Answer, leaning: &[(u16, Outcome)]) -> Answer {
    let undecided = Outcome::Undecided(UndecidedReason::Store);
    for &(index, outcome) in leaning {
        answer.counts.remove(outcome);
        answer.counts.add(undecided);
        answer.exceptions.push((index, undecided));
    }
    answer.exceptions.sort_unstable_by_key(|&(index, _)| index);
    answer
}

/// What became of a preferences frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreferencesAnswer {
    /// Durable.
    Accepted,
    /// Durable as a dead letter: the system of record refuses it.
    DeadLettered,
    /// A field breaks its rule.
    Invalid(InvalidField),
    /// Not an acknowledgement: send it again.
    Undecided(UndecidedReason),
}

/// A preferences frame that was taken in.
#[derive(Debug)]
pub enum AdmittedPreferences {
    /// Its answer may leave now.
    Final(PreferencesAnswer),
    /// It waits for durability.
    Pending(PendingPreferences),
}

/// A preferences answer that waits for durability.
#[derive(Debug)]
pub struct PendingPreferences {
    pub(super) settled: oneshot::Receiver<Settled>,
}

impl PendingPreferences {
    /// Waits until the answer is final, as [`PendingAnswer::settled`] does.
    pub async fn settled(&mut self) -> Option<PreferencesAnswer> {
        let settled = (&mut self.settled).await.ok()?;
        Some(match settled {
            Settled::Durable { dead_lettered: 0, .. } => PreferencesAnswer::Accepted,
            Settled::Durable { .. } => PreferencesAnswer::DeadLettered,
            Settled::Undone => PreferencesAnswer::Undecided(UndecidedReason::Store),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undone_sightings_become_undecided_in_index_order_and_no_other() {
        let mut answer = Answer::default();
        for outcome in [Outcome::Identified, Outcome::TooOld, Outcome::Duplicate, Outcome::LowConfidence] {
            answer.counts.add(outcome);
        }
        answer.exceptions.push((1, Outcome::TooOld));
        let undone = undone(answer, &[(0, Outcome::Identified), (2, Outcome::Duplicate)]);
        let undecided = Outcome::Undecided(UndecidedReason::Store);
        assert_eq!(undone.exceptions, [(0, undecided), (1, Outcome::TooOld), (2, undecided)]);
        assert_eq!(undone.counts.of(undecided), 2);
        assert_eq!(undone.counts.of(Outcome::LowConfidence), 1);
        assert_eq!(undone.counts.total(), 4);
    }
}
