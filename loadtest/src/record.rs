//! What sessions experienced: how much they sent, what became of it, and how long the answers took.

use std::ops::AddAssign;
use std::time::Duration;

use beacon_protocol::{OUTCOME_CODES, OutcomeCode};
use hdrhistogram::Histogram;
use serde::Serialize;
use serde::ser::SerializeMap;

/// Longest time to an answer that is told apart: what takes longer counts as this.
const LONGEST_ACK_US: u64 = 3_600_000_000;

/// Latencies are right to a part in a thousand.
const SIGNIFICANT_DIGITS: u8 = 3;

/// Counts and latencies since the last time they were taken, or since the start.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// Sightings sent, each once however often it was sent again.
    pub(crate) sent: u64,
    /// Result records received.
    pub(crate) frames: u64,
    /// Sightings by outcome.
    pub(crate) outcomes: Outcomes,
    /// Sightings acknowledged as repeats of what was durable already: their outcomes were told in an earlier
    /// session.
    pub(crate) repeated: u64,
    ack_us: Histogram<u64>,
}

impl Record {
    pub(crate) fn new() -> Self {
        #[expect(clippy::expect_used, reason = "the bounds are constants that the histogram allows")]
        let ack_us =
            Histogram::new_with_bounds(1, LONGEST_ACK_US, SIGNIFICANT_DIGITS).expect("lawful bounds");
        Self { sent: 0, frames: 0, outcomes: Outcomes::default(), repeated: 0, ack_us }
    }

    /// Counts one frame's answer, `latency` after the frame was first sent.
    pub(crate) fn answered(&mut self, counts: &[u16; OUTCOME_CODES], latency: Duration) {
        self.frames += 1;
        for (total, &count) in self.outcomes.0.iter_mut().zip(counts) {
            *total += u64::from(count);
        }
        let latency_us = u64::try_from(latency.as_micros()).unwrap_or(LONGEST_ACK_US);
        self.ack_us.saturating_record(latency_us.clamp(1, LONGEST_ACK_US));
    }

    /// Sightings that are acknowledged.
    pub(crate) fn acked(&self) -> u64 {
        self.outcomes.decided() + self.repeated
    }

    /// Time from a frame's first transmission to its answer.
    pub(crate) fn latency(&self) -> Latency {
        Latency {
            p50: self.ack_us.value_at_quantile(0.50),
            p99: self.ack_us.value_at_quantile(0.99),
            p999: self.ack_us.value_at_quantile(0.999),
            max: self.ack_us.max(),
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.sent = 0;
        self.frames = 0;
        self.outcomes = Outcomes::default();
        self.repeated = 0;
        self.ack_us.reset();
    }
}

impl AddAssign<&Self> for Record {
    fn add_assign(&mut self, other: &Self) {
        self.sent += other.sent;
        self.frames += other.frames;
        self.repeated += other.repeated;
        for (total, count) in self.outcomes.0.iter_mut().zip(other.outcomes.0) {
            *total += count;
        }
        #[expect(clippy::expect_used, reason = "all records have the same bounds")]
        self.ack_us.add(&other.ack_us).expect("same bounds");
    }
}

/// Percentiles of the time to an answer, in microseconds; zeros when there was none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    pub(crate) max: u64,
}

/// Sightings by outcome code; the first, `undecided`, counts how often a sighting came back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Outcomes(pub(crate) [u64; OUTCOME_CODES]);

impl Outcomes {
    pub(crate) fn of(&self, code: OutcomeCode) -> u64 {
        self.0[usize::from(code.byte())]
    }

    /// Those with a final outcome.
    pub(crate) fn decided(&self) -> u64 {
        self.iter().filter(|(code, _)| code.is_final()).map(|(_, count)| count).sum()
    }

    /// In the order of the codes.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (OutcomeCode, u64)> {
        OutcomeCode::ALL.into_iter().map(|code| (code, self.of(code)))
    }
}

impl Serialize for Outcomes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(OUTCOME_CODES))?;
        for (code, count) in self.iter().rev() {
            map.serialize_entry(code.label(), &count)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undecided_is_counted_but_acknowledges_nothing() {
        let mut record = Record::new();
        record.answered(&[2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3], Duration::from_micros(500));
        assert_eq!((record.acked(), record.frames), (4, 1));
        assert_eq!(record.outcomes.of(OutcomeCode::Undecided), 2);
    }

    #[test]
    fn sums_hold_the_latencies_of_both() {
        let (mut one, mut other) = (Record::new(), Record::new());
        one.answered(&[0; OUTCOME_CODES], Duration::from_micros(100));
        other.answered(&[0; OUTCOME_CODES], Duration::from_hours(2));
        one += &other;
        let latency = one.latency();
        assert_eq!(latency.p50, 100);
        assert!(latency.max.abs_diff(LONGEST_ACK_US) <= LONGEST_ACK_US / 1_000, "{latency:?}");
        one.clear();
        assert_eq!(one.latency(), Latency { p50: 0, p99: 0, p999: 0, max: 0 });
    }

    #[test]
    fn json_names_every_outcome() {
        let json = serde_json::to_value(Outcomes::default()).unwrap();
        assert_eq!(json.as_object().unwrap().len(), 11);
        assert_eq!(json["identified"], 0);
        assert_eq!(json["undecided"], 0);
    }
}
