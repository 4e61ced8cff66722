//! One frame without a result: what is known of it, and how its record is read.

use std::time::Duration;

use tokio::time::Instant;

use super::error::ClientError;
use super::event::Answer;
use super::frame::OutgoingFrame;
use crate::{OutcomeCode, RecordStatus, ResultRecordRef};

/// A frame the daemon has is asked about this rarely, in case only its ack was lost.
pub(super) const FIRST_SLOW_REPEAT: Duration = Duration::from_secs(2);
/// And at the longest so rarely.
const SLOWEST_REPEAT: Duration = Duration::from_secs(10);

/// What is known of a frame in this session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Not sent in this session.
    Waiting,
    /// Sent, nothing heard of it.
    Sent,
    /// The daemon had no room for it and said when to come back.
    Held,
    /// The daemon has it; the next repeat but one comes after so long.
    Received(Duration),
    /// It was answered, but its record did not come.
    Answered,
    /// Its record came in this session.
    Settled,
}

#[derive(Debug)]
pub(super) struct Pending {
    pub(super) frame: OutgoingFrame,
    pub(super) tag: u64,
    /// How often its sightings were answered undecided before.
    pub(super) undecided_times: u32,
    pub(super) progress: Progress,
    /// Its record came, in this session or an earlier one.
    pub(super) finished: bool,
    pub(super) first_sent: Option<Instant>,
    pub(super) last_sent: Instant,
    pub(super) transmissions: u32,
    pub(super) sent_in_session: u32,
    pub(super) due: Instant,
}

/// A frame to send again because it was undecided, in part or (preferences) as a whole.
#[derive(Debug)]
pub(super) struct Undecided {
    pub(super) frame: OutgoingFrame,
    pub(super) tag: u64,
    pub(super) times: u32,
}

impl Progress {
    /// How long until the next repeat of a frame repeated now.
    pub(super) fn wait_after_repeat(&mut self, timeout: Duration, base_timeout: Duration) -> Duration {
        match self {
            Self::Received(wait) => {
                *wait = (*wait * 2).min(SLOWEST_REPEAT);
                *wait
            }
            Self::Answered => base_timeout,
            Self::Held => {
                *self = Self::Sent;
                timeout
            }
            Self::Waiting | Self::Sent | Self::Settled => timeout,
        }
    }
}

impl Pending {
    pub(super) const fn new(frame: OutgoingFrame, tag: u64, undecided_times: u32, now: Instant) -> Self {
        Self {
            frame,
            tag,
            undecided_times,
            progress: Progress::Waiting,
            finished: false,
            first_sent: None,
            last_sent: now,
            transmissions: 0,
            sent_in_session: 0,
            due: now,
        }
    }

    pub(super) fn transmitted(&mut self, now: Instant, due: Instant) {
        self.first_sent.get_or_insert(now);
        self.last_sent = now;
        self.transmissions += 1;
        self.sent_in_session += 1;
        self.due = due;
    }

    pub(super) fn finish(
        &mut self,
        record: &ResultRecordRef<'_>,
        resend_undecided: bool,
        now: Instant,
    ) -> Result<(Answer, Option<Undecided>), ClientError> {
        let mismatch = Err(ClientError::RecordMismatch { sequence: record.sequence });
        let exceptions: Vec<_> = record.exceptions().collect();
        let sum: u64 = record.counts.iter().map(|count| u64::from(*count)).sum();
        let undecided_count =
            exceptions.iter().filter(|exception| exception.code == OutcomeCode::Undecided).count();
        let fits = match record.status {
            RecordStatus::Decided => {
                sum == u64::from(self.frame.sighting_count()) && !self.frame.is_preferences() && {
                    record.counts.first().copied().map(usize::from) == Some(undecided_count)
                }
            }
            RecordStatus::Repeat => sum == 0,
            RecordStatus::PreferencesAccepted
            | RecordStatus::PreferencesInvalid
            | RecordStatus::PreferencesUndecided => sum == 0 && self.frame.is_preferences(),
        };
        if !fits {
            return mismatch;
        }
        let again = match record.status {
            RecordStatus::Decided if resend_undecided && undecided_count > 0 => {
                match self.frame.undecided(&exceptions) {
                    None => return mismatch,
                    frame => frame,
                }
            }
            RecordStatus::PreferencesUndecided if resend_undecided => Some(self.frame.clone()),
            _ => None,
        };
        self.finished = true;
        let again = again.map(|frame| Undecided { frame, tag: self.tag, times: self.undecided_times + 1 });
        let answer = Answer {
            sequence: record.sequence,
            tag: self.tag,
            sighting_count: self.frame.sighting_count(),
            status: record.status,
            counts: record.counts,
            dead_lettered: record.dead_lettered,
            exceptions,
            to_be_resent: again.as_ref().map_or(0, |again| again.frame.sighting_count()),
            sent_at: self.first_sent.unwrap_or(now),
            answered_at: now,
            transmissions: self.transmissions,
        };
        Ok((answer, again))
    }
}
