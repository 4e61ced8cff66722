//! What a client tells its caller, and what it adds up.

use std::time::Duration;

use tokio::time::Instant;

use super::config::Target;
use super::error::Disconnect;
use crate::{Exception, OUTCOME_CODES, RecordStatus, RefusalCode, Welcome};

/// Something that happened to a gateway's session or to one of its frames.
#[derive(Debug, Clone)]
pub enum Event {
    /// A session began.
    Connected {
        /// With which daemon.
        target: Target,
        /// What the daemon granted.
        welcome: Welcome,
        /// Whether there was one before.
        resumed: bool,
    },
    /// A frame has its result.
    Answered(Answer),
    /// The daemon refused a frame or the session; what can be done about it is being done.
    Refused {
        /// The frame it is about, 0 for none in particular.
        sequence: u64,
        /// Why.
        code: RefusalCode,
        /// The same for people.
        text: String,
        /// How long the daemon asks to wait.
        retry_after: Duration,
    },
    /// The daemon knows other frames by the numbers of this boot epoch: what has no answer is sent in a new one.
    EpochBegun {
        /// The new one.
        boot_epoch: u64,
    },
    /// The daemon is stopping: nothing new is sent, answers are awaited for so long.
    Draining {
        /// How long.
        deadline: Duration,
    },
    /// The session ended or could not begin; the client connects again.
    Disconnected {
        /// Why.
        cause: Disconnect,
    },
}

/// The result of one frame.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The frame's sequence, in the epoch it was answered in.
    pub sequence: u64,
    /// What the caller gave with the frame; a frame of undecided sightings keeps the tag of the first, and so does each
    /// part of one that a later session would not take whole.
    pub tag: u64,
    /// Sightings in the frame, 0 for preferences.
    pub sighting_count: u16,
    /// What the record says.
    pub status: RecordStatus,
    /// Sightings by outcome code; all zero unless the status is `Decided`.
    pub counts: [u16; OUTCOME_CODES],
    /// Identified, but lying in a store's dead letters.
    pub dead_lettered: u16,
    /// Every sighting whose outcome is listed, in index order.
    pub exceptions: Vec<Exception>,
    /// Sightings the client will send again in a new frame.
    pub to_be_resent: u16,
    /// When the frame was first sent.
    pub sent_at: Instant,
    /// When its record came.
    pub answered_at: Instant,
    /// How often it was sent.
    pub transmissions: u32,
}

/// What a client did from its first connection to its end.
///
/// With nothing lost: `sightings_sent` = the sum of `counts` for codes 1 to 10 + `repeat_sightings` +
/// `undecided_given_up` + `unanswered_sightings`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Frames taken from the caller.
    pub frames_sent: u64,
    /// Sightings taken from the caller.
    pub sightings_sent: u64,
    /// Sightings by outcome code as answered; `undecided` once for each time.
    pub counts: [u64; OUTCOME_CODES],
    /// Identified, but lying in a store's dead letters.
    pub dead_lettered: u64,
    /// Sightings in frames known to be durable whose counts were lost with an earlier session.
    pub repeat_sightings: u64,
    /// Preferences accepted, or known to be durable.
    pub preferences_accepted: u64,
    /// Preferences the model does not allow.
    pub preferences_invalid: u64,
    /// Undecided sightings put into new frames.
    pub undecided_resent: u64,
    /// Undecided sightings that were not, by setting.
    pub undecided_given_up: u64,
    /// Transmissions beyond the first of each frame.
    pub repeats_sent: u64,
    /// Refusals received.
    pub refusals: u64,
    /// Sessions begun.
    pub sessions: u64,
    /// Datagrams received that were no frame of the session.
    pub datagrams_dropped: u64,
    /// Events other than answers that were dropped because nobody read.
    pub events_dropped: u64,
    /// Frames without a result at the end.
    pub unanswered_frames: u64,
    /// Their sightings.
    pub unanswered_sightings: u64,
}

impl Summary {
    /// Sightings with a final outcome.
    #[must_use]
    pub fn decided(&self) -> u64 {
        self.counts.iter().skip(1).sum()
    }

    /// Takes the result of a frame into account.
    pub(super) fn add(&mut self, answer: &Answer) {
        for (sum, count) in self.counts.iter_mut().zip(answer.counts) {
            *sum += u64::from(count);
        }
        self.dead_lettered += u64::from(answer.dead_lettered);
        match answer.status {
            RecordStatus::Decided => {
                self.undecided_resent += u64::from(answer.to_be_resent);
                let undecided = answer.counts.first().copied().unwrap_or(0);
                self.undecided_given_up += u64::from(undecided.saturating_sub(answer.to_be_resent));
            }
            RecordStatus::Repeat if answer.sighting_count > 0 => {
                self.repeat_sightings += u64::from(answer.sighting_count);
            }
            RecordStatus::Repeat | RecordStatus::PreferencesAccepted => self.preferences_accepted += 1,
            RecordStatus::PreferencesInvalid => self.preferences_invalid += 1,
            RecordStatus::PreferencesUndecided => {}
        }
    }
}
