//! Frames without a result, by sequence: what is sent, repeated and released. Pure: time is an argument.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::error::ClientError;
use super::event::Answer;
use super::frame::{FrameLimits, OutgoingFrame};
use super::pending::{FIRST_SLOW_REPEAT, Pending, Progress, Undecided};
use super::rtt::RoundTrip;
use crate::{Ack, ResultRecordRef};

/// The frames between the lowest without a record in this session and the highest numbered.
#[derive(Debug)]
pub(super) struct Outbox {
    frames: VecDeque<Pending>,
    first_sequence: u64,
    /// First frame that was not sent in this session.
    next_to_send: u64,
    window: usize,
    /// Frames sent in this session whose record did not come in it.
    in_flight: usize,
    /// Frames to keep in flight; shrinks when repeats were needed, grows with answers.
    congestion: usize,
    answers_since_growth: usize,
    /// When frames last ran out: what left before and runs out later is of the same loss.
    backed_off_at: Option<Instant>,
    round_trip: RoundTrip,
    next_due: Option<Instant>,
    unfinished: usize,
}

impl Outbox {
    pub(super) const fn new() -> Self {
        Self {
            frames: VecDeque::new(),
            first_sequence: 1,
            next_to_send: 1,
            window: 1,
            in_flight: 0,
            congestion: 1,
            answers_since_growth: 0,
            backed_off_at: None,
            round_trip: RoundTrip::new(),
            next_due: None,
            unfinished: 0,
        }
    }

    /// Frames kept, those included that have a record but wait for a lower one.
    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    /// Frames without a record.
    pub(super) const fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// Frames sent in this session without a record.
    pub(super) fn on_their_way(&self) -> usize {
        self.frames
            .iter()
            .filter(|pending| !pending.finished && pending.progress != Progress::Waiting)
            .count()
    }

    /// Sightings in frames without a record.
    pub(super) fn unfinished_sightings(&self) -> u64 {
        let unfinished = self.frames.iter().filter(|pending| !pending.finished);
        unfinished.map(|pending| u64::from(pending.frame.sighting_count())).sum()
    }

    /// The sequence the next frame will get.
    pub(super) fn next_sequence(&self) -> u64 {
        self.first_sequence + as_sequence(self.frames.len())
    }

    /// Takes a frame and numbers it.
    pub(super) fn push(&mut self, mut frame: OutgoingFrame, tag: u64, undecided_times: u32, now: Instant) {
        frame.number(self.next_sequence());
        self.unfinished += 1;
        self.frames.push_back(Pending::new(frame, tag, undecided_times, now));
    }

    /// Whether a frame kept is larger than the limits, one that is to be sent again for its number only included.
    pub(super) fn exceeds(&self, limits: FrameLimits) -> bool {
        self.frames.iter().any(|pending| !limits.admit(&pending.frame))
    }

    /// Divides what has no record into frames within the limits, for a new epoch: the session is over.
    ///
    /// # Errors
    /// The first that cannot be divided; it is kept as it is.
    pub(super) fn divide(&mut self, limits: FrameLimits, now: Instant) -> Result<(), ClientError> {
        let mut result = Ok(());
        for pending in std::mem::take(&mut self.frames).into_iter().filter(|pending| !pending.finished) {
            if limits.admit(&pending.frame) {
                self.frames.push_back(pending);
                continue;
            }
            let Pending { frame, tag, undecided_times, .. } = pending;
            let parts = frame.divided(limits).unwrap_or_else(|whole| {
                result = result.clone().and(Err(limits.exceeded_by(&whole)));
                vec![whole]
            });
            self.frames.extend(parts.into_iter().map(|part| Pending::new(part, tag, undecided_times, now)));
        }
        self.unfinished = self.frames.len();
        result
    }

    /// Numbers what has no record from 1: a new epoch begins. The session is over.
    pub(super) fn renumber(&mut self) {
        self.frames.retain(|pending| !pending.finished);
        for (pending, sequence) in self.frames.iter_mut().zip(1..) {
            pending.frame.number(sequence);
        }
        self.first_sequence = 1;
        self.next_to_send = 1;
    }

    /// The hello's first unacked: the lowest sequence without a record from any session.
    pub(super) fn first_unacked(&mut self) -> u64 {
        while self.frames.front().is_some_and(|pending| pending.finished) {
            self.pop();
        }
        self.first_sequence
    }

    /// A session begins: everything from the first unacked on is sent again.
    pub(super) fn begin_session(&mut self, window_frames: u32) {
        self.next_to_send = self.first_unacked();
        self.window = usize::try_from(window_frames).unwrap_or(usize::MAX);
        self.in_flight = 0;
        self.congestion = self.window;
        self.answers_since_growth = 0;
        self.backed_off_at = None;
        self.round_trip = RoundTrip::new();
        self.next_due = None;
        for pending in &mut self.frames {
            pending.progress = Progress::Waiting;
            pending.sent_in_session = 0;
        }
    }

    /// The next frame to be sent for the first time in this session, if the window lets it.
    pub(super) fn next_unsent(&mut self, now: Instant) -> Option<&[u8]> {
        let index = self.index_of(self.next_to_send)?;
        if index >= self.window || self.in_flight >= self.congestion {
            return None;
        }
        Some(self.frames.get_mut(index)?.frame.bytes_at(now))
    }

    /// What [`next_unsent`](Self::next_unsent) gave has left; `repeats` says whether the transport may lose it.
    /// Returns whether it had left before, in another session.
    pub(super) fn sent(&mut self, now: Instant, repeats: bool) -> bool {
        let timeout = self.round_trip.timeout();
        let Some(pending) = self.index_of(self.next_to_send).and_then(|index| self.frames.get_mut(index))
        else {
            return false;
        };
        self.next_to_send += 1;
        self.in_flight += 1;
        let again = pending.transmissions > 0;
        pending.transmitted(now, now + timeout);
        pending.progress = Progress::Sent;
        if repeats {
            self.next_due = Some(self.next_due.map_or(pending.due, |due| due.min(pending.due)));
        }
        again
    }

    /// When to look for repeats.
    pub(super) const fn next_due(&self) -> Option<Instant> {
        self.next_due
    }

    /// Sends again what is due, by `send`, until that says there is no room; returns how many.
    pub(super) fn repeat_due(&mut self, now: Instant, mut send: impl FnMut(&[u8]) -> bool) -> u64 {
        if self.next_due.is_none_or(|due| now < due) {
            return 0;
        }
        let sent_to = self.index_of(self.next_to_send).unwrap_or(self.frames.len());
        let (mut repeated, mut expired) = (0, false);
        let mut next_due = None;
        let base_timeout = self.round_trip.timeout();
        let mut timeout = base_timeout;
        for pending in self.frames.iter_mut().take(sent_to) {
            if pending.progress == Progress::Settled {
                continue;
            }
            if pending.due <= now {
                let in_flight_then = self.backed_off_at.is_some_and(|then| pending.last_sent < then);
                if pending.progress == Progress::Sent && !expired && !in_flight_then {
                    // Once for all that were in flight together, as with the one timer of RFC 6298.
                    expired = true;
                    self.round_trip.back_off();
                    timeout = self.round_trip.timeout();
                }
                if send(pending.frame.bytes_at(now)) {
                    repeated += 1;
                    let wait = pending.progress.wait_after_repeat(timeout, base_timeout);
                    pending.transmitted(now, now + wait);
                }
            }
            next_due = Some(next_due.map_or(pending.due, |due: Instant| due.min(pending.due)));
        }
        if expired {
            self.backed_off_at = Some(now);
            self.congestion = (self.congestion / 2).max(1);
            self.answers_since_growth = 0;
        }
        self.next_due = next_due;
        repeated
    }

    /// Notes what an ack tells beside its records: which frames have arrived, which were answered.
    pub(super) fn progress(&mut self, ack: &Ack<'_>, now: Instant) {
        let timeout = self.round_trip.timeout();
        let first = self.first_sequence;
        for (pending, sequence) in self.frames.iter_mut().zip(first..self.next_to_send.max(first)) {
            let arrived = ack.has_received(sequence);
            if pending.progress == Progress::Sent && arrived && pending.sent_in_session == 1 {
                self.round_trip.sample(now - pending.last_sent);
            }
            match pending.progress {
                Progress::Sent | Progress::Held | Progress::Received(_) if sequence <= ack.cumulative => {
                    pending.progress = Progress::Answered;
                    pending.due = now + timeout;
                    self.next_due = Some(self.next_due.map_or(pending.due, |due| due.min(pending.due)));
                }
                Progress::Sent | Progress::Held if arrived => {
                    let wait = FIRST_SLOW_REPEAT.max(timeout);
                    pending.progress = Progress::Received(wait);
                    pending.due = now + wait;
                }
                _ => {}
            }
        }
        self.hasten(now);
    }

    /// Timers set while the timeout was longer follow it when a sample has shortened it.
    fn hasten(&mut self, now: Instant) {
        let timeout = self.round_trip.timeout();
        for pending in &mut self.frames {
            let latest = match pending.progress {
                Progress::Sent => pending.last_sent + timeout,
                Progress::Answered => now + timeout,
                _ => continue,
            };
            if latest < pending.due {
                pending.due = latest;
                self.next_due = Some(self.next_due.map_or(latest, |due| due.min(latest)));
            }
        }
    }

    /// The daemon has no room for a frame: it is sent again, not before `retry_after`.
    pub(super) fn busy(&mut self, sequence: u64, retry_after: Duration, now: Instant) {
        let wait = retry_after.max(self.round_trip.timeout());
        let Some(pending) = self.index_of(sequence).and_then(|index| self.frames.get_mut(index)) else {
            return;
        };
        if matches!(pending.progress, Progress::Sent | Progress::Received(_)) {
            pending.progress = Progress::Held;
            pending.due = now + wait;
            self.next_due = Some(self.next_due.map_or(pending.due, |due| due.min(pending.due)));
        }
    }

    /// A record came. Its answer, unless it is known already, and what of the frame is undecided.
    pub(super) fn record(
        &mut self,
        record: &ResultRecordRef<'_>,
        resend_undecided: bool,
        now: Instant,
    ) -> Result<Option<(Answer, Option<Undecided>)>, ClientError> {
        let Some(index) = self.index_of(record.sequence) else { return Ok(None) };
        let Some(pending) = self.frames.get_mut(index) else { return Ok(None) };
        if pending.progress == Progress::Sent && pending.sent_in_session == 1 {
            self.round_trip.sample(now - pending.last_sent);
        }
        if pending.progress != Progress::Settled {
            self.in_flight -= usize::from(pending.progress != Progress::Waiting);
            pending.progress = Progress::Settled;
            self.answers_since_growth += 1;
        }
        let news =
            if pending.finished { None } else { Some(pending.finish(record, resend_undecided, now)?) };
        if news.is_some() {
            self.unfinished -= 1;
        }
        if self.answers_since_growth >= self.congestion {
            self.congestion = self.window.min(self.congestion + 1);
            self.answers_since_growth = 0;
        }
        while self.frames.front().is_some_and(|pending| pending.progress == Progress::Settled) {
            self.pop();
        }
        Ok(news)
    }

    fn pop(&mut self) {
        if self.frames.pop_front().is_some() {
            self.first_sequence += 1;
            self.next_to_send = self.next_to_send.max(self.first_sequence);
        }
    }

    fn index_of(&self, sequence: u64) -> Option<usize> {
        let index = usize::try_from(sequence.checked_sub(self.first_sequence)?).ok()?;
        (index < self.frames.len()).then_some(index)
    }
}

fn as_sequence(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
