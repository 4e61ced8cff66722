//! The times of a run by what they are of, in histograms of constant size.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::measurement::metric;

/// The longest time a histogram tells, in microseconds. What is longer is counted apart and named, never cut to it.
const LONGEST_US: u64 = 3_600_000_000;
/// Times are right to a part in a thousand.
const SIGNIFICANT_DIGITS: u8 = 3;

/// What a time is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Metric {
    Ack,
    AckUncorrected,
    Lag,
    Stored,
    StoredRecord,
    StoredEvents,
    Read,
    ReadCache,
    ReadRecord,
    Connect,
    Backlog,
}

impl Metric {
    pub(crate) const ALL: [Self; 11] = [
        Self::Ack,
        Self::AckUncorrected,
        Self::Lag,
        Self::Stored,
        Self::StoredRecord,
        Self::StoredEvents,
        Self::Read,
        Self::ReadCache,
        Self::ReadRecord,
        Self::Connect,
        Self::Backlog,
    ];

    /// As reports and objectives call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ack => metric::ACK,
            Self::AckUncorrected => metric::ACK_UNCORRECTED,
            Self::Lag => metric::LAG,
            Self::Stored => metric::STORED,
            Self::StoredRecord => metric::STORED_RECORD,
            Self::StoredEvents => metric::STORED_EVENTS,
            Self::Read => metric::READ,
            Self::ReadCache => metric::READ_CACHE,
            Self::ReadRecord => metric::READ_RECORD,
            Self::Connect => metric::CONNECT,
            Self::Backlog => metric::BACKLOG,
        }
    }
}

/// A histogram for each metric that something was noted of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Histograms {
    by_metric: [Option<Box<Histogram<u64>>>; Metric::ALL.len()],
    /// Times longer than an hour, which are in no histogram.
    beyond: u64,
}

impl Histograms {
    pub(crate) fn record(&mut self, metric: Metric, time: Duration) {
        let microseconds = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let histogram = self.by_metric[metric as usize].get_or_insert_with(|| Box::new(empty()));
        if histogram.record(microseconds).is_err() {
            self.beyond += 1;
        }
    }

    /// None if nothing was noted.
    pub(crate) fn of(&self, metric: Metric) -> Option<&Histogram<u64>> {
        self.by_metric[metric as usize].as_deref().filter(|histogram| !histogram.is_empty())
    }

    /// Each metric that something was noted of.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Metric, &Histogram<u64>)> {
        Metric::ALL.into_iter().filter_map(|metric| Some((metric, self.of(metric)?)))
    }

    pub(crate) const fn beyond(&self) -> u64 {
        self.beyond
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.beyond += other.beyond;
        for (metric, histogram) in other.all() {
            let into = self.by_metric[metric as usize].get_or_insert_with(|| Box::new(empty()));
            let added = into.add(histogram);
            debug_assert!(added.is_ok(), "all have the same bounds");
        }
    }

    /// Moves everything to `into` and leaves nothing here; keeps the memory.
    pub(crate) fn drain_into(&mut self, into: &mut Self) {
        into.add(self);
        self.clear();
    }

    pub(crate) fn clear(&mut self) {
        self.beyond = 0;
        for histogram in self.by_metric.iter_mut().flatten() {
            if !histogram.is_empty() {
                histogram.reset();
            }
        }
    }
}

fn empty() -> Histogram<u64> {
    #[expect(clippy::expect_used, reason = "the bounds are constants that the histogram allows")]
    Histogram::new_with_bounds(1, LONGEST_US, SIGNIFICANT_DIGITS).expect("lawful bounds")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_longer_than_an_hour_is_counted_apart() {
        let mut histograms = Histograms::default();
        histograms.record(Metric::Ack, Duration::from_micros(1_500));
        histograms.record(Metric::Ack, Duration::from_hours(2));
        assert_eq!(histograms.of(Metric::Ack).unwrap().len(), 1);
        assert_eq!((histograms.of(Metric::Ack).unwrap().max(), histograms.beyond()), (1_500, 1));
        assert!(histograms.of(Metric::Lag).is_none());
    }

    #[test]
    fn what_is_drained_is_elsewhere() {
        let (mut from, mut into) = (Histograms::default(), Histograms::default());
        for time in [1, 2, 3] {
            from.record(Metric::Read, Duration::from_millis(time));
            from.drain_into(&mut into);
        }
        assert_eq!((from.all().count(), into.of(Metric::Read).unwrap().len()), (0, 3));
    }
}
