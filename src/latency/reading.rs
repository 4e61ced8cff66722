//! One stage's times as they are read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer as _, V2DeflateSerializeError, V2DeflateSerializer};

use super::histogram::{EDGES, StageHistogram};

/// A stage since start. Two readings of a daemon may be subtracted from each other, all but the percentiles.
#[derive(Debug, Clone)]
pub struct StageReading {
    /// Sightings or identities, as [`Stage::counted`](super::Stage::counted) says.
    pub count: u64,
    /// All their times, in nanoseconds, exactly: neighbouring stages add up.
    pub sum_ns: u128,
    /// How many took at most as long as each of [`EDGES`], exactly.
    pub within: [u64; EDGES.len()],
    /// The shape.
    pub percentiles: Percentiles,
    histogram: Histogram<u64>,
}

/// Times in microseconds under which so many of a hundred stay, to a hundredth of their value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Percentiles {
    /// Half of them.
    pub p50_us: u64,
    /// 90.
    pub p90_us: u64,
    /// 99.
    pub p99_us: u64,
    /// 99.9.
    pub p999_us: u64,
    /// 99.99.
    pub p9999_us: u64,
    /// All, exactly.
    pub max_us: u64,
}

impl StageReading {
    pub(super) fn new(total: StageHistogram) -> Self {
        let StageHistogram { histogram, within, sum_ns, longest_ns } = total;
        let mut count = 0;
        let mut cumulative = [0; EDGES.len()];
        for (upto, new) in cumulative.iter_mut().zip(within) {
            count += new;
            *upto = count;
        }
        count += within[EDGES.len()];
        let max_us = longest_ns / 1_000;
        // A histogram answers the upper end of a cell, which may lie beyond all that is in it.
        let at = |quantile| histogram.value_at_quantile(quantile).min(max_us);
        let percentiles = Percentiles {
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            p9999_us: at(0.999_9),
            max_us,
        };
        Self { count, sum_ns, within: cumulative, percentiles, histogram }
    }

    /// The whole histogram of microseconds, in the form HdrHistogram's tools exchange: V2, deflated, in base64.
    ///
    /// # Errors
    /// When it cannot be written, which memory alone could be the cause of.
    pub fn hdr_base64(&self) -> Result<String, V2DeflateSerializeError> {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new().serialize(&self.histogram, &mut bytes)?;
        Ok(STANDARD.encode(bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hdrhistogram::serialization::Deserializer;
    use proptest::prelude::*;

    use super::*;
    use crate::latency::LONGEST;

    fn reading(times: &[(Duration, u64)]) -> StageReading {
        let mut histogram = StageHistogram::default();
        for &(took, count) in times {
            histogram.record(took, count);
        }
        StageReading::new(histogram)
    }

    #[test]
    fn time_on_an_edge_is_within_it_and_a_nanosecond_more_is_not() {
        for (index, edge) in EDGES.into_iter().enumerate() {
            let on = reading(&[(edge, 5)]);
            assert_eq!(
                (on.within[index], index.checked_sub(1).map(|below| on.within[below])),
                (5, index.checked_sub(1).map(|_| 0))
            );
            let beyond = reading(&[(edge + Duration::from_nanos(1), 5)]);
            assert_eq!((beyond.within[index], beyond.count), (0, 5), "{edge:?}");
        }
    }

    #[test]
    fn edges_ascend_and_one_is_a_second() {
        assert!(EDGES.is_sorted());
        assert!(EDGES.contains(&Duration::from_secs(1)));
        assert_eq!((EDGES[0], EDGES[15]), (Duration::from_micros(100), Duration::from_secs(10)));
    }

    #[test]
    fn longer_than_the_longest_counts_as_the_longest() {
        let reading = reading(&[(Duration::MAX, 2), (Duration::ZERO, 1)]);
        assert_eq!(reading.count, 3);
        assert_eq!(reading.sum_ns, 2 * LONGEST.as_nanos());
        assert_eq!(u128::from(reading.percentiles.max_us), LONGEST.as_micros());
        assert_eq!(u128::from(reading.percentiles.p99_us), LONGEST.as_micros());
        assert_eq!(reading.within, [1; EDGES.len()]);
    }

    #[test]
    fn stage_without_a_record_is_all_zeros() {
        let empty = reading(&[]);
        assert_eq!((empty.count, empty.sum_ns, empty.percentiles), (0, 0, Percentiles::default()));
    }

    #[test]
    fn exchanged_form_is_read_back_by_the_library() {
        let reading = reading(&[(Duration::from_micros(900), 10), (Duration::from_secs(2), 1)]);
        let bytes = STANDARD.decode(reading.hdr_base64().unwrap()).unwrap();
        let back: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
        assert_eq!(back, reading.histogram);
        assert_eq!((back.len(), back.high()), (11, 3_600_000_000));
    }

    proptest! {
        /// Percentiles lie within a hundredth above the value a sorted list gives; the edges and the sum are the list's.
        #[test]
        fn reading_agrees_with_a_sorted_list(times in prop::collection::vec((0_u64..20_000_000_000, 1_u64..100), 1..200)) {
            let times: Vec<_> = times.into_iter().map(|(ns, count)| (Duration::from_nanos(ns), count)).collect();
            let reading = reading(&times);
            let mut sorted: Vec<Duration> = Vec::new();
            for &(took, count) in &times {
                sorted.extend((0..count).map(|_| took));
            }
            sorted.sort_unstable();
            prop_assert_eq!(reading.count, sorted.len() as u64);
            prop_assert_eq!(reading.sum_ns, sorted.iter().map(Duration::as_nanos).sum::<u128>());
            for (edge, within) in EDGES.into_iter().zip(reading.within) {
                prop_assert_eq!(within, sorted.iter().filter(|&&took| took <= edge).count() as u64);
            }
            for (per_mille, told) in [(500, reading.percentiles.p50_us), (990, reading.percentiles.p99_us)] {
                let rank = (sorted.len() * per_mille).div_ceil(1_000);
                let exact = u64::try_from(sorted[rank - 1].as_micros()).unwrap();
                prop_assert!(told >= exact && told <= exact + exact / 100 + 1, "{told} for {exact}");
            }
        }
    }
}
