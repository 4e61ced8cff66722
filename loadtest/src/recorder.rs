//! The one place where all sessions of a run note what they send and what they are answered.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use beacon_protocol::RecordStatus;
use beacon_protocol::client::Answer;
use tokio::time::Instant;

use crate::record::Record;

/// Shared by the sessions of a run.
#[derive(Debug)]
pub(crate) struct Recorder {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    since_start: Record,
    since_looked: Record,
    /// Sightings sent and not acknowledged.
    waiting: u64,
    /// When one of them was last acknowledged, or began to wait alone.
    progress_at: Instant,
    trouble: Option<String>,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                since_start: Record::new(),
                since_looked: Record::new(),
                waiting: 0,
                progress_at: Instant::now(),
                trouble: None,
            }),
        }
    }

    /// Notes a frame that is about to be sent.
    pub(crate) fn sending(&self, sightings: u64) {
        let mut state = self.state();
        if state.waiting == 0 {
            state.progress_at = Instant::now();
        }
        state.waiting += sightings;
        state.since_start.sent += sightings;
        state.since_looked.sent += sightings;
    }

    /// Notes a frame's result; returns how many sightings it acknowledges.
    pub(crate) fn answered(&self, answer: &Answer) -> u64 {
        let state = &mut *self.state();
        let acked_before = state.since_start.acked();
        for record in [&mut state.since_start, &mut state.since_looked] {
            record.answered(&answer.counts, answer.answered_at - answer.sent_at);
            if answer.status == RecordStatus::Repeat {
                record.repeated += u64::from(answer.sighting_count);
            }
        }
        let acked = state.since_start.acked() - acked_before;
        state.waiting = state.waiting.saturating_sub(acked);
        if acked > 0 {
            state.progress_at = answer.answered_at;
        }
        acked
    }

    /// Notes what went wrong, to be told if it did not come right again.
    pub(crate) fn trouble(&self, what: String) {
        self.state().trouble = Some(what);
    }

    /// What went wrong last.
    pub(crate) fn last_trouble(&self) -> Option<String> {
        self.state().trouble.clone()
    }

    /// Everything since the start.
    pub(crate) fn since_start(&self) -> Record {
        self.state().since_start.clone()
    }

    /// Adds what was noted since the last look to nothing: `into` is overwritten.
    pub(crate) fn look(&self, into: &mut Record) {
        let state = &mut *self.state();
        into.clear();
        *into += &state.since_looked;
        state.since_looked.clear();
    }

    /// Returns when sightings have waited for so long and not one of them was acknowledged.
    pub(crate) async fn stalled(&self, patience: Duration) {
        loop {
            let (waiting, progress_at) = {
                let state = self.state();
                (state.waiting, state.progress_at)
            };
            let now = Instant::now();
            let since = if waiting > 0 { progress_at } else { now };
            let gives_up_at = since + patience;
            if gives_up_at <= now {
                return;
            }
            tokio::time::sleep_until(gives_up_at).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use beacon_protocol::OUTCOME_CODES;

    fn answer(counts: [u16; OUTCOME_CODES], status: RecordStatus) -> Answer {
        let now = Instant::now();
        Answer {
            sequence: 1,
            tag: 0,
            sighting_count: 4,
            status,
            counts,
            dead_lettered: 0,
            exceptions: Vec::new(),
            to_be_resent: counts[0],
            sent_at: now,
            answered_at: now,
            transmissions: 1,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_stalls_when_the_same_sightings_stay_undecided() {
        let patience = Duration::from_secs(30);
        let recorder = Recorder::new();
        recorder.sending(4);
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(recorder.answered(&answer([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3], RecordStatus::Decided)), 3);
        let progress_at = Instant::now();
        tokio::time::advance(Duration::from_secs(20)).await;
        recorder.answered(&answer([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], RecordStatus::Decided));
        recorder.stalled(patience).await;
        assert_eq!(progress_at.elapsed().as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_waits_for_nothing_does_not_stall() {
        let recorder = Recorder::new();
        recorder.sending(4);
        assert_eq!(recorder.answered(&answer([0; OUTCOME_CODES], RecordStatus::Repeat)), 4);
        let stalled = recorder.stalled(Duration::from_secs(1));
        assert!(tokio::time::timeout(Duration::from_hours(1), stalled).await.is_err());
    }

    #[test]
    fn a_look_shows_what_is_new_only() {
        let recorder = Recorder::new();
        let mut recent = Record::new();
        recorder.sending(4);
        recorder.look(&mut recent);
        recorder.sending(3);
        recorder.look(&mut recent);
        assert_eq!((recent.sent, recorder.since_start().sent), (3, 7));
    }
}
