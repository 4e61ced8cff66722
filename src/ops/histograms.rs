//! `/api/v1/histograms`: times by stage as JSON.

use serde::ser::Error as _;
use serde::{Serialize, Serializer};

use crate::latency::{Latencies, Percentiles, Stage, StageReading};

/// Every stage under its name, in the order of the way.
pub(super) fn by_stage(latencies: &Latencies) -> impl Serialize + use<> {
    ByStage(Stage::ALL.map(|stage| (stage, latencies.read(stage))))
}

struct ByStage<const N: usize>([(Stage, StageReading); N]);

#[derive(Serialize)]
struct StagePage {
    counted: &'static str,
    count: u64,
    sum_us: u128,
    p50_us: u64,
    p90_us: u64,
    p99_us: u64,
    p999_us: u64,
    p9999_us: u64,
    max_us: u64,
    /// The histogram of microseconds itself: HdrHistogram V2, deflated, in base64.
    hdr: String,
}

impl<const N: usize> Serialize for ByStage<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pages: Result<Vec<_>, _> =
            self.0.iter().map(|(stage, reading)| Ok((stage.name(), page(*stage, reading)?))).collect();
        serializer.collect_map(pages.map_err(|error: HdrError| S::Error::custom(error))?)
    }
}

type HdrError = hdrhistogram::serialization::V2DeflateSerializeError;

fn page(stage: Stage, reading: &StageReading) -> Result<StagePage, HdrError> {
    let Percentiles { p50_us, p90_us, p99_us, p999_us, p9999_us, max_us } = reading.percentiles;
    Ok(StagePage {
        counted: stage.counted(),
        count: reading.count,
        sum_us: reading.sum_ns / 1_000,
        p50_us,
        p90_us,
        p99_us,
        p999_us,
        p9999_us,
        max_us,
        hdr: reading.hdr_base64()?,
    })
}
