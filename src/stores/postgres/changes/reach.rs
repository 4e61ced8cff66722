//! How far back a poll must look, so that it misses no change, however late its transaction commits.
//!
//! A change carries the time at which its row was written, and is seen when its transaction commits. So a poll also
//! asks which transactions hold the table's lock for writing. The lock is taken before a row is written and let go after
//! the commit can be seen; hence of two polls in a row, a transaction that holds the lock at the second and did not at
//! the first wrote nothing that carries a time before the first.

use std::collections::HashMap;

use crate::domain::time::{MICROS_PER_SECOND, Timestamp};

/// Looked back further than needed: the server's clock may be set back by this much between two polls, and no change is
/// missed.
const OVERLAP_US: i64 = 10 * MICROS_PER_SECOND;

/// What a poll found before it read what has changed.
#[derive(Debug, Clone)]
pub(super) struct Glance {
    /// The server's clock, before it looked for writers.
    pub(super) at: Timestamp,
    /// Transactions that hold the lock for writing, by virtual transaction id.
    pub(super) writers: Vec<String>,
    /// The oldest transaction that was running: what older ones wrote is seen by this poll.
    pub(super) oldest_running: i64,
}

/// Where the next poll begins.
#[derive(Debug, Default)]
pub(super) struct Reach {
    last: Option<Done>,
}

#[derive(Debug)]
struct Done {
    at: Timestamp,
    /// Everything that carries an earlier time has been told.
    told_before: Timestamp,
    /// For each transaction that was writing, a time before which nothing of it lies.
    writers: HashMap<String, Timestamp>,
    oldest_running: i64,
}

/// What a poll asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ask {
    /// Changes that carry this time or a later one,
    pub(super) from: Timestamp,
    /// made by this transaction or a later one; by any, if none.
    pub(super) since: Option<i64>,
}

impl Reach {
    /// What to ask for after this glance; `before_first` is where the first poll begins.
    pub(super) fn ask(&self, glance: &Glance, before_first: Timestamp) -> Ask {
        match &self.last {
            None => Ask { from: before_first, since: None },
            Some(done) => Ask {
                from: done.told_before.min(glance.at).plus_micros(-OVERLAP_US),
                since: Some(done.oldest_running),
            },
        }
    }

    /// Everything asked for has been told.
    pub(super) fn told(&mut self, glance: Glance, ask: Ask) {
        let since_last = self.last.as_ref().map_or(ask.from, |done| done.at);
        let writers: HashMap<String, Timestamp> = glance
            .writers
            .into_iter()
            .map(|writer| {
                let known = self.last.as_ref().and_then(|done| done.writers.get(&writer).copied());
                // A prepared transaction has no process; it wrote under another id before it was prepared.
                let first = if writer.starts_with("-1/") { ask.from } else { since_last };
                (writer, known.unwrap_or(first))
            })
            .collect();
        let told_before = writers.values().copied().fold(glance.at, Timestamp::min);
        self.last = Some(Done { at: glance.at, told_before, writers, oldest_running: glance.oldest_running });
    }

    /// Where a poll over another connection begins: ids of transactions mean nothing there.
    pub(super) fn into_start(self) -> Option<Timestamp> {
        self.last.map(|done| done.told_before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * MICROS_PER_SECOND)
    }

    fn glance(seconds: i64, writers: &[&str]) -> Glance {
        Glance {
            at: at(seconds),
            writers: writers.iter().map(ToString::to_string).collect(),
            oldest_running: seconds,
        }
    }

    /// Polls and tells; where it began.
    fn poll(reach: &mut Reach, glance: Glance) -> Timestamp {
        let ask = reach.ask(&glance, at(0));
        reach.told(glance, ask);
        ask.from
    }

    #[test]
    fn polls_begin_at_the_one_before_them_less_the_overlap() {
        let mut reach = Reach::default();
        assert_eq!(reach.ask(&glance(100, &[]), at(0)), Ask { from: at(0), since: None });
        poll(&mut reach, glance(100, &[]));
        assert_eq!(reach.ask(&glance(102, &[]), at(0)), Ask { from: at(90), since: Some(100) });
    }

    #[test]
    fn a_writer_that_does_not_end_is_reached_back_to_and_later_ones_are_not() {
        let mut reach = Reach::default();
        poll(&mut reach, glance(100, &[]));
        poll(&mut reach, glance(102, &["3/7"]));
        for seconds in (104..200).step_by(2) {
            assert_eq!(poll(&mut reach, glance(seconds, &["3/7", &format!("4/{seconds}")])), at(90));
        }
        assert_eq!(poll(&mut reach, glance(200, &["4/200"])), at(90));
        assert_eq!(poll(&mut reach, glance(202, &[])), at(188));
        assert_eq!(poll(&mut reach, glance(204, &[])), at(192));
    }

    #[test]
    fn a_writer_met_by_the_first_poll_may_have_written_at_any_time() {
        let mut reach = Reach::default();
        poll(&mut reach, glance(100, &["3/7"]));
        assert_eq!(poll(&mut reach, glance(102, &["3/7"])), at(-10));
        assert_eq!(reach.into_start(), Some(at(0)));
    }

    #[test]
    fn a_prepared_transaction_is_reached_back_to_as_under_its_first_id() {
        let mut reach = Reach::default();
        poll(&mut reach, glance(100, &[]));
        poll(&mut reach, glance(110, &["3/7"]));
        poll(&mut reach, glance(120, &["-1/99"]));
        assert!(poll(&mut reach, glance(130, &["-1/99"])) <= at(100));
    }

    #[test]
    fn a_clock_that_was_set_back_is_followed() {
        let mut reach = Reach::default();
        poll(&mut reach, glance(10_000, &[]));
        assert_eq!(poll(&mut reach, glance(5_000, &[])), at(4_990));
        assert_eq!(poll(&mut reach, glance(5_002, &[])), at(4_990));
    }
}
