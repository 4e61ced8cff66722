//! How fast the journal fills for a store that does not keep up, by what the last minute saw.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::pipeline::Progress;

/// How far back the rate is taken from.
const OVER: Duration = Duration::from_secs(60);

/// What a rate must at least be taken over.
const AT_LEAST: Duration = Duration::from_secs(4);

/// One look at the journal.
#[derive(Debug, Clone)]
pub(super) struct Look {
    pub(super) at: Instant,
    /// Bytes written since the start.
    pub(super) written: u64,
    pub(super) progress: Progress,
}

/// Looks of the last minute.
#[derive(Debug, Default)]
pub(super) struct Growth {
    looks: VecDeque<Look>,
}

impl Growth {
    /// Takes note of a look, and forgets those that are too old.
    pub(super) fn note(&mut self, look: Look) {
        while self.looks.front().is_some_and(|first| first.at + OVER < look.at) {
            self.looks.pop_front();
        }
        self.looks.push_back(look);
    }

    /// How long until `room` bytes are written, at the rate since the first look, for a store whose backlog has grown
    /// since. `None` where it has not: nothing fills.
    pub(super) fn full_in(&self, store: &str, now: &Look, room: u64) -> Option<Duration> {
        let first = self.looks.front()?;
        let passed = now.at.saturating_duration_since(first.at);
        let backlog = |look: &Look| look.progress.backlog_of(store);
        if passed < AT_LEAST || backlog(now)? <= backlog(first)? {
            return None;
        }
        let written = now.written.checked_sub(first.written).filter(|written| *written > 0)?;
        Duration::try_from_secs_f64(passed.as_secs_f64() * room as f64 / written as f64).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(begun: Instant, seconds: u64, written: u64, next: u64, durable: u64) -> Look {
        let stores = vec![("record".to_owned(), next)];
        let at = begun + Duration::from_secs(seconds);
        Look { at, written, progress: Progress { durable_before: durable, stores, absent: Vec::new() } }
    }

    #[test]
    fn a_backlog_that_grows_fills_the_room_at_the_rate_of_the_last_minute() {
        let begun = Instant::now();
        let mut growth = Growth::default();
        growth.note(look(begun, 0, 0, 1, 1));
        let now = look(begun, 10, 1_000, 1, 101);
        assert_eq!(growth.full_in("record", &now, 6_000), Some(Duration::from_secs(60)));
        assert_eq!(growth.full_in("events", &now, 6_000), None);
        // Twice as fast in the last minute as before.
        growth.note(look(begun, 30, 3_000, 1, 301));
        growth.note(look(begun, 90, 15_000, 1, 1_501));
        let now = look(begun, 90, 15_000, 1, 1_501);
        assert_eq!(growth.full_in("record", &now, 200), Some(Duration::from_secs(1)));
        assert_eq!(growth.full_in("record", &now, 0), Some(Duration::ZERO));
    }

    #[test]
    fn there_is_no_estimate_where_nothing_fills() {
        let begun = Instant::now();
        let mut growth = Growth::default();
        assert_eq!(growth.full_in("record", &look(begun, 10, 1, 1, 9), 1), None, "nothing to compare with");
        growth.note(look(begun, 0, 100, 1, 51));
        assert_eq!(growth.full_in("record", &look(begun, 1, 200, 1, 101), 1), None, "too short a time");
        assert_eq!(growth.full_in("record", &look(begun, 10, 900, 60, 101), 1), None, "it catches up");
        assert_eq!(growth.full_in("record", &look(begun, 10, 100, 1, 101), 1), None, "nothing is written");
    }
}
