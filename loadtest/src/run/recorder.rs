//! Where a run notes what it does and sees. Each gateway has one of a few shards, so that they do not wait for each other.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use beacon_protocol::{OUTCOME_CODES, OutcomeCode};

use super::histograms::{Histograms, Metric};
use super::judge::Judgement;

/// Examples of wrong answers that are kept, each shard.
const MAX_EXAMPLES: usize = 5;

/// Counts since the run's begin, of sightings unless said.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub(crate) sent: u64,
    pub(crate) sent_measured: u64,
    pub(crate) meant: [u64; OUTCOME_CODES],
    pub(crate) acked: u64,
    pub(crate) acked_measured: u64,
    /// As answered, `undecided` once for each time.
    pub(crate) outcomes: [u64; OUTCOME_CODES],
    pub(crate) wrong: u64,
    pub(crate) wrong_examples: Vec<String>,
    pub(crate) repeated: u64,
    pub(crate) dead_lettered: u64,
    pub(crate) lost: u64,
    pub(crate) undecided_left: u64,
    /// Frames handed over, those of undecided sightings included.
    pub(crate) frames: u64,
    pub(crate) frames_answered: u64,
    /// Frames of the measured window with a schedule, and those of them that were made too late.
    pub(crate) frames_scheduled: u64,
    pub(crate) frames_late: u64,
    pub(crate) retransmissions: u64,
    pub(crate) sessions: u64,
    pub(crate) sessions_lost: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        let sums = [
            (&mut self.sent, other.sent),
            (&mut self.sent_measured, other.sent_measured),
            (&mut self.acked, other.acked),
            (&mut self.acked_measured, other.acked_measured),
            (&mut self.wrong, other.wrong),
            (&mut self.repeated, other.repeated),
            (&mut self.dead_lettered, other.dead_lettered),
            (&mut self.lost, other.lost),
            (&mut self.undecided_left, other.undecided_left),
            (&mut self.frames, other.frames),
            (&mut self.frames_answered, other.frames_answered),
            (&mut self.frames_scheduled, other.frames_scheduled),
            (&mut self.frames_late, other.frames_late),
            (&mut self.retransmissions, other.retransmissions),
            (&mut self.sessions, other.sessions),
            (&mut self.sessions_lost, other.sessions_lost),
        ];
        for (sum, value) in sums {
            *sum += value;
        }
        add_each(&mut self.meant, &other.meant);
        add_each(&mut self.outcomes, &other.outcomes);
        let room = MAX_EXAMPLES.saturating_sub(self.wrong_examples.len());
        self.wrong_examples.extend(other.wrong_examples.iter().take(room).cloned());
    }

    /// Frames on their way.
    pub(crate) const fn in_flight(&self) -> u64 {
        self.frames.saturating_sub(self.frames_answered)
    }

    pub(crate) const fn undecided(&self) -> u64 {
        self.outcomes[OutcomeCode::Undecided as usize]
    }

    /// Takes a frame's answer into account; `measured` says whether it came in the measured window.
    pub(crate) fn answered(&mut self, judgement: &Judgement, measured: bool) {
        self.frames_answered += 1;
        add_each(&mut self.outcomes, &judgement.outcomes);
        let acked = judgement.acked();
        self.acked += acked;
        if measured {
            self.acked_measured += acked;
        }
        self.repeated += judgement.repeated;
        self.dead_lettered += judgement.dead_lettered;
        self.wrong += judgement.wrong;
        if let Some(example) = &judgement.example
            && self.wrong_examples.len() < MAX_EXAMPLES
        {
            self.wrong_examples.push(example.clone());
        }
    }
}

fn add_each(sums: &mut [u64; OUTCOME_CODES], values: &[u64; OUTCOME_CODES]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += value;
    }
}

/// One part of the notes.
#[derive(Debug, Default)]
pub(crate) struct Shard {
    /// Since the run's begin.
    pub(crate) tally: Tally,
    /// Since the last look.
    interval: Histograms,
    /// Of the measured window.
    measured: Histograms,
}

impl Shard {
    /// Notes a time, which counts for the result only if it is of the measured window.
    pub(crate) fn record(&mut self, metric: Metric, time: Duration, measured: bool) {
        self.interval.record(metric, time);
        if measured {
            self.measured.record(metric, time);
        }
    }
}

/// All of the notes.
#[derive(Debug)]
pub(crate) struct Recorder {
    shards: Vec<Mutex<Shard>>,
}

impl Recorder {
    /// In so many shards, one at the least.
    pub(crate) fn new(shards: usize) -> Self {
        Self { shards: (0..shards.max(1)).map(|_| Mutex::default()).collect() }
    }

    /// The shard of a gateway, or of whoever notes something.
    pub(crate) fn shard(&self, number: u32) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[number as usize % self.shards.len()];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what was noted since the last look to `interval`; returns the counts since the begin.
    pub(crate) fn look(&self, interval: &mut Histograms) -> Tally {
        let mut tally = Tally::default();
        for number in 0..self.shards.len() {
            let mut shard = self.shard(u32::try_from(number).unwrap_or(0));
            shard.interval.drain_into(interval);
            tally.add(&shard.tally);
        }
        tally
    }

    /// The times of the measured window so far.
    pub(crate) fn measured(&self) -> Histograms {
        let mut all = Histograms::default();
        for number in 0..self.shards.len() {
            all.add(&self.shard(u32::try_from(number).unwrap_or(0)).measured);
        }
        all
    }
}
