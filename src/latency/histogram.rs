//! What one thread counts of one stage.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Upper edges of the buckets that are counted exactly; a time on an edge is within it. One is a second, the promise.
pub const EDGES: [Duration; 16] = [
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

/// The longest time told from longer ones; an outage beyond it is in the logs.
pub const LONGEST: Duration = Duration::from_secs(60 * 60);

/// [`LONGEST`] in the unit of the histograms.
const LONGEST_US: u64 = 60 * 60 * 1_000_000;

/// [`EDGES`] in the unit of the sums.
const EDGES_NS: [u64; EDGES.len()] = edges_ns();

/// Two digits: times are told apart to a hundredth, in 27 KB. A third digit costs seven times the memory, and no
/// decision of an operator hangs on it; the edges are exact anyway.
const SIGNIFICANT_DIGITS: u8 = 2;

/// Times of a stage: approximately in an HDR histogram of microseconds, exactly by edge and in sum.
#[derive(Debug)]
pub(super) struct StageHistogram {
    pub(super) histogram: Histogram<u64>,
    /// By the first edge they are within, and those beyond the last.
    pub(super) within: [u64; EDGES.len() + 1],
    pub(super) sum_ns: u128,
    pub(super) longest_ns: u64,
}

impl Default for StageHistogram {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_US, SIGNIFICANT_DIGITS)
            .unwrap_or_else(|_| unreachable!("its bounds are constants that a histogram can have"));
        Self { histogram, within: [0; EDGES.len() + 1], sum_ns: 0, longest_ns: 0 }
    }
}

impl StageHistogram {
    pub(super) fn record(&mut self, took: Duration, count: u64) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).min(LONGEST_US * 1_000);
        self.histogram.saturating_record_n(nanos / 1_000, count);
        self.within[EDGES_NS.partition_point(|&edge| edge < nanos)] += count;
        self.sum_ns += u128::from(nanos) * u128::from(count);
        self.longest_ns = self.longest_ns.max(nanos);
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.histogram
            .add(&other.histogram)
            .unwrap_or_else(|_| unreachable!("all of them have the same bounds"));
        for (within, others) in self.within.iter_mut().zip(other.within) {
            *within += others;
        }
        self.sum_ns += other.sum_ns;
        self.longest_ns = self.longest_ns.max(other.longest_ns);
    }
}

const fn edges_ns() -> [u64; EDGES.len()] {
    let mut nanos = [0; EDGES.len()];
    let mut index = 0;
    while index < EDGES.len() {
        nanos[index] = EDGES[index].as_secs() * 1_000_000_000 + EDGES[index].subsec_nanos() as u64;
        index += 1;
    }
    nanos
}
