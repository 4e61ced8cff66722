//! The result of a run as a document: what `run` writes as JSON, and what reports, `compare`, `merge` and `plan` read.

#[cfg(test)]
pub(crate) mod sample;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The version of this document.
pub(crate) const FORMAT: u32 = 1;

/// Everything that is known of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measurement {
    pub(crate) format: u32,
    pub(crate) verdict: Verdict,
    pub(crate) stamp: Stamp,
    pub(crate) window: Window,
    pub(crate) counts: Counts,
    /// By the names of [`metric`].
    pub(crate) latencies: BTreeMap<String, Latency>,
    pub(crate) series: Series,
    pub(crate) heat: HeatMap,
}

/// What came out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Verdict {
    pub(crate) kind: VerdictKind,
    pub(crate) objectives: Vec<Judged>,
    /// Why the run proves nothing, a line each; empty unless the verdict is `invalid`.
    pub(crate) invalid_because: Vec<String>,
    /// What a reader should know beside: an interrupted run, a stub in place of a store, samples that were left out.
    pub(crate) caveats: Vec<String>,
}

/// In the order of what weighs more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum VerdictKind {
    Pass,
    Fail,
    /// The generator was not able to keep its schedule, or too little was measured.
    #[default]
    Invalid,
}

/// An objective and whether it was met.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Judged {
    /// As it was written.
    pub(crate) objective: String,
    /// In the unit of the objective: microseconds, percent, or a plain number. None: nothing was measured.
    pub(crate) measured: Option<f64>,
    pub(crate) holds: bool,
}

/// What was run, where, and when.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    /// The load tester's version.
    pub(crate) version: String,
    /// The git revision it was built from, with `+` behind it where files were changed; empty where it is not known.
    pub(crate) revision: String,
    /// The daemon's version, where its admin page was asked.
    pub(crate) daemon_version: String,
    /// RFC 3339, UTC.
    pub(crate) began_at: String,
    pub(crate) host: Host,
    pub(crate) targets: Vec<String>,
    /// What sightings went to: `PostgreSQL 15.18`, `SQLite 3.50`, `dynoxide`, `dynamodb-stub`; by the part they play
    /// (`record`, `cache`, `events`). What was not asked is `not asked`.
    pub(crate) stores: BTreeMap<String, String>,
    pub(crate) ack_level: String,
    /// The scenario as it ran, in TOML.
    pub(crate) scenario: String,
    pub(crate) scenario_name: String,
    pub(crate) scale: f64,
    pub(crate) seed: u64,
    /// Of every frame's bytes, times counted from the run's begin: the same seed and scenario, the same fingerprint.
    pub(crate) fingerprint: String,
    /// Parts that this is of: `1/1`, `2/4`, or all that were merged.
    pub(crate) shards: Vec<String>,
    /// The finest step that the generator's timer was seen to take.
    pub(crate) timer_step_us: u64,
    /// How far apart looks into the stores were, which the times to `stored` are right to.
    pub(crate) look_every_us: u64,
}

/// The machine the generator ran on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Host {
    pub(crate) processor: String,
    pub(crate) cores: u32,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
    pub(crate) open_files_limit: u64,
}

/// Which part of the run the figures are of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Window {
    /// Left out, from the run's begin.
    pub(crate) warm_up_s: f64,
    /// Measured, after the warm-up, until the last frame was due.
    pub(crate) measured_s: f64,
    /// Then answers were awaited for so long.
    pub(crate) drained_s: f64,
}

/// Sightings, of the whole run unless said. `sent` = `acked` + `lost` + `undecided_left`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    /// In the measured window.
    pub(crate) sent_measured: u64,
    /// Those with a final outcome.
    pub(crate) acked: u64,
    /// In the measured window.
    pub(crate) acked_measured: u64,
    /// Those that no answer came for.
    pub(crate) lost: u64,
    /// Those answered otherwise than the rules say.
    pub(crate) wrong: u64,
    /// The first of them, in words.
    pub(crate) wrong_examples: Vec<String>,
    /// How often one was answered `undecided`; it was sent again.
    pub(crate) undecided: u64,
    /// Still `undecided` at the end.
    pub(crate) undecided_left: u64,
    /// Acknowledged as repeats of frames whose first answer was lost.
    pub(crate) repeated: u64,
    /// Identified, but in a store's dead letters.
    pub(crate) dead_lettered: u64,
    pub(crate) frames: u64,
    /// Transmissions beyond each frame's first.
    pub(crate) retransmissions: u64,
    pub(crate) sessions: u64,
    pub(crate) sessions_lost: u64,
    /// By outcome code's label, as answered.
    pub(crate) outcomes: BTreeMap<String, u64>,
    /// By outcome code's label, as the generator meant it; `identified` is all eligible ones.
    pub(crate) meant: BTreeMap<String, u64>,
    /// Sampled identities, and those of them that were not found in time, by store.
    pub(crate) sampled: BTreeMap<String, Sampled>,
    /// Reads that found an identity and those that found none, by the name of their latency.
    #[serde(default)]
    pub(crate) reads: BTreeMap<String, Sampled>,
}

/// Identities that were looked for in a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sampled {
    pub(crate) found: u64,
    pub(crate) missing: u64,
}

/// Names of latencies. The daemon's own are `daemon.` and the name of its stage.
pub(crate) mod metric {
    /// A frame's intended time to its answer.
    pub(crate) const ACK: &str = "ack";
    /// A frame's actual first transmission to its answer: what a stall hides from.
    pub(crate) const ACK_UNCORRECTED: &str = "ack_uncorrected";
    /// How much later than intended the generator made a frame, the target not being the reason.
    pub(crate) const LAG: &str = "lag";
    /// A frame's intended time to its sampled identity being found in the slowest store.
    pub(crate) const STORED: &str = "stored";
    /// The same in the system of record alone.
    pub(crate) const STORED_RECORD: &str = "stored.record";
    /// The same in the store of events alone.
    pub(crate) const STORED_EVENTS: &str = "stored.events";
    /// Reading a customer's latest identity, from whichever store.
    pub(crate) const READ: &str = "read";
    pub(crate) const READ_CACHE: &str = "read.cache";
    pub(crate) const READ_RECORD: &str = "read.record";
    /// From connecting to the welcome.
    pub(crate) const CONNECT: &str = "connect";
    /// Frames of what was heard offline: the gateway's return to the answer.
    pub(crate) const BACKLOG: &str = "backlog";
    /// What the daemon says of itself begins so.
    pub(crate) const DAEMON: &str = "daemon.";
}

/// A histogram and what people ask of it, in microseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) count: u64,
    pub(crate) mean: f64,
    pub(crate) p50: u64,
    pub(crate) p90: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    pub(crate) p9999: u64,
    pub(crate) max: u64,
    /// The histogram itself: HdrHistogram V2, deflated, in base64.
    pub(crate) hdr: String,
}

/// How it went over time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Series {
    /// Seconds between points.
    pub(crate) every_s: f64,
    pub(crate) points: Vec<Point>,
}

/// An interval of the run. What was not to be had is absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point {
    /// Its end, in seconds after the run's begin.
    pub(crate) at_s: f64,
    pub(crate) sent: u64,
    pub(crate) acked: u64,
    /// By outcome code, `undecided` first.
    pub(crate) outcomes: [u64; 11],
    /// Frames on their way at its end.
    pub(crate) in_flight: u64,
    pub(crate) ack_p50_us: Option<u64>,
    pub(crate) ack_p99_us: Option<u64>,
    pub(crate) ack_max_us: Option<u64>,
    pub(crate) lag_p99_us: Option<u64>,
    pub(crate) lag_max_us: Option<u64>,
    pub(crate) stored_p99_us: Option<u64>,
    /// Cores kept busy.
    pub(crate) generator_cores: Option<f64>,
    pub(crate) daemon_cores: Option<f64>,
    pub(crate) daemon_memory_bytes: Option<u64>,
    /// Identities waiting for the store.
    pub(crate) waiting_record: Option<u64>,
    pub(crate) waiting_events: Option<u64>,
}

/// How many answers took how long, over time; of corrected times.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct HeatMap {
    /// Seconds between columns.
    pub(crate) every_s: f64,
    /// Upper bounds of the rows in microseconds, ascending; what is longer is in the last.
    pub(crate) rows_us: Vec<u64>,
    /// Of each column, the answers by row.
    pub(crate) columns: Vec<Vec<u64>>,
}

impl Measurement {
    /// The points of the measured window.
    pub(crate) fn measured_points(&self) -> impl Iterator<Item = &Point> {
        // A point belongs where most of it lies.
        let from = self.window.warm_up_s + self.series.every_s / 2.0;
        let to = from + self.window.measured_s;
        self.series.points.iter().filter(move |point| (from..to).contains(&point.at_s))
    }
}

/// Puts a histogram of microseconds into the document.
impl Latency {
    /// # Errors
    /// Never but for want of memory: the bounds are those of [`crate::record`].
    pub(crate) fn of(
        histogram: &hdrhistogram::Histogram<u64>,
    ) -> Result<Self, hdrhistogram::serialization::V2DeflateSerializeError> {
        use base64::Engine as _;
        use hdrhistogram::serialization::{Serializer as _, V2DeflateSerializer};

        let mut bytes = Vec::new();
        V2DeflateSerializer::new().serialize(histogram, &mut bytes)?;
        let hdr = base64::engine::general_purpose::STANDARD.encode(bytes);
        Ok(Self { hdr, ..Self::in_short(histogram) })
    }

    /// What people ask of it, without the histogram: for what is judged while a run goes on.
    pub(crate) fn in_short(histogram: &hdrhistogram::Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        Self {
            count: histogram.len(),
            mean: histogram.mean(),
            p50: at(0.50),
            p90: at(0.90),
            p99: at(0.99),
            p999: at(0.999),
            p9999: at(0.9999),
            max: histogram.max(),
            hdr: String::new(),
        }
    }

    /// The histogram of a document.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn histogram(&self) -> Result<hdrhistogram::Histogram<u64>, String> {
        histogram_of(&self.hdr)
    }
}

/// A histogram as documents write it: HdrHistogram V2, deflated, in base64.
///
/// # Errors
/// When it is none.
pub(crate) fn histogram_of(hdr: &str) -> Result<hdrhistogram::Histogram<u64>, String> {
    use base64::Engine as _;

    let bytes = base64::engine::general_purpose::STANDARD.decode(hdr).map_err(|error| error.to_string())?;
    hdrhistogram::serialization::Deserializer::new()
        .deserialize(&mut bytes.as_slice())
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_comes_back_whole() {
        let mut histogram = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 3_600_000_000, 3).unwrap();
        for value in [1, 500, 1_400_000] {
            histogram.record(value).unwrap();
        }
        let latency = Latency::of(&histogram).unwrap();
        assert_eq!((latency.count, latency.p50), (3, 500));
        assert_eq!(latency.histogram().unwrap(), histogram);
    }
}
