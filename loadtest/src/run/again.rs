//! Sightings that were answered `undecided`, until they are sent again. Pure; times are arguments.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::population::Heard;

/// The wait before a first try; a store that is away is not helped by asking.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Sightings that a gateway keeps for another try; when they are more, it makes no new frames.
const MAX_SIGHTINGS: usize = 65_536;

/// Sightings of one frame that are to be sent again.
#[derive(Debug)]
pub(crate) struct Again {
    pub(crate) heard: Vec<Heard>,
    /// How often they were undecided.
    pub(crate) times: u32,
    due: Instant,
}

/// Those of one gateway.
#[derive(Debug, Default)]
pub(crate) struct AgainQueue {
    waiting: VecDeque<Again>,
    sightings: usize,
}

impl AgainQueue {
    /// Keeps sightings that were undecided `times` times.
    pub(crate) fn push(&mut self, heard: Vec<Heard>, times: u32, now: Instant) {
        self.sightings += heard.len();
        let again = Again { heard, times, due: now + wait(times) };
        let place = self.waiting.partition_point(|waiting| waiting.due <= again.due);
        self.waiting.insert(place, again);
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.waiting.front().map(|again| again.due)
    }

    /// The next whose time has come.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Again> {
        self.waiting.front().filter(|again| again.due <= now)?;
        let again = self.waiting.pop_front()?;
        self.sightings -= again.heard.len();
        Some(again)
    }

    /// Whether so many wait that nothing new may be made.
    pub(crate) const fn is_full(&self) -> bool {
        self.sightings >= MAX_SIGHTINGS
    }

    pub(crate) const fn sightings(&self) -> usize {
        self.sightings
    }
}

fn wait(times: u32) -> Duration {
    FIRST_WAIT.saturating_mul(1 << times.saturating_sub(1).min(10)).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use beacon_protocol::OutcomeCode;

    use super::*;

    #[test]
    fn waits_double_up_to_ten_seconds_and_the_earliest_is_first() {
        let heard = Heard {
            customer: 0,
            beacon: 0,
            at_us: 0,
            rssi_dbm: 0,
            expected: OutcomeCode::Identified,
            opens_visit: false,
        };
        let begin = Instant::now();
        let mut queue = AgainQueue::default();
        for times in [5, 1, 3] {
            queue.push(vec![heard; 2], times, begin);
        }
        assert_eq!((queue.sightings(), queue.is_full()), (6, false));
        let waits = std::iter::from_fn(|| {
            let due = queue.next_due()?;
            assert!(queue.pop_due(due - Duration::from_millis(1)).is_none());
            Some((queue.pop_due(due)?.times, (due - begin).as_secs()))
        });
        assert_eq!(waits.collect::<Vec<_>>(), [(1, 1), (3, 4), (5, 10)]);
        assert_eq!(queue.sightings(), 0);
    }
}
