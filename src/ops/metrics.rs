//! `/metrics`: the classic text format of Prometheus.

use std::collections::BTreeMap;

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{TEXT_FORMAT, TextEncoder};

use crate::latency::{EDGES, Latencies, Stage, StageReading};

/// The content type of what [`rendered`] writes.
pub(super) const CLASSIC_TEXT: &str = TEXT_FORMAT;

const STAGES: (&str, &str) = (
    "beacond_stage_duration_seconds",
    "Time of a stage of the way, by stage; a sighting or an identity counts once in each it went through.",
);

const TOTALS: (&str, &str) = (
    "beacond_latency_seconds",
    "Time from a frame received to its answer sent (acked, by sighting), or to its identities stored (record, events, \
     by identity).",
);

/// How a value moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only up, from 0 at start.
    Counter,
    /// Up and down.
    Gauge,
}

/// One value as a scrape sees it. Its labels can only be words of the program: nothing from outside becomes a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// `beacond_<noun>_<unit>`, `_total` behind a counter's.
    pub name: &'static str,
    /// What it counts; the same for every sample of a name, as is its kind.
    pub help: &'static str,
    /// How it moves.
    pub kind: MetricKind,
    /// Names and values, the same names in every sample of a name.
    pub labels: Vec<(&'static str, &'static str)>,
    /// In the unit that the name ends with.
    pub value: f64,
}

impl Sample {
    /// Something counted since start.
    #[must_use]
    pub const fn counter(name: &'static str, help: &'static str, value: f64) -> Self {
        Self { name, help, kind: MetricKind::Counter, labels: Vec::new(), value }
    }

    /// Something as it is now.
    #[must_use]
    pub const fn gauge(name: &'static str, help: &'static str, value: f64) -> Self {
        Self { name, help, kind: MetricKind::Gauge, labels: Vec::new(), value }
    }

    /// With one more label.
    #[must_use]
    pub fn with(mut self, label: &'static str, value: &'static str) -> Self {
        self.labels.push((label, value));
        self
    }
}

/// Samples and histograms as text, families by name.
pub(super) fn rendered(samples: &[Sample], latencies: &Latencies) -> prometheus::Result<String> {
    let mut families = BTreeMap::new();
    for sample in samples {
        let kind = match sample.kind {
            MetricKind::Counter => MetricType::COUNTER,
            MetricKind::Gauge => MetricType::GAUGE,
        };
        family(&mut families, (sample.name, sample.help), kind).push(metric(sample));
    }
    for stage in Stage::ALL {
        let (names, label) = placed(stage);
        let metric = histogram(&latencies.read(stage), label);
        family(&mut families, names, MetricType::HISTOGRAM).push(metric);
    }
    let families: Vec<MetricFamily> = families.into_values().map(Family::into).collect();
    TextEncoder::new().encode_to_string(&families)
}

struct Family {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    metrics: Vec<Metric>,
}

impl From<Family> for MetricFamily {
    fn from(family: Family) -> Self {
        let mut written = Self::default();
        written.set_name(family.name.to_owned());
        written.set_help(family.help.to_owned());
        written.set_field_type(family.kind);
        written.set_metric(family.metrics);
        written
    }
}

fn family<'f>(
    families: &'f mut BTreeMap<&'static str, Family>,
    (name, help): (&'static str, &'static str),
    kind: MetricType,
) -> &'f mut Vec<Metric> {
    &mut families.entry(name).or_insert(Family { name, help, kind, metrics: Vec::new() }).metrics
}

fn metric(sample: &Sample) -> Metric {
    let mut metric =
        Metric::from_label(sample.labels.iter().map(|&(name, value)| pair(name, value)).collect());
    match sample.kind {
        MetricKind::Counter => {
            let mut counter = Counter::default();
            counter.set_value(sample.value);
            metric.set_counter(counter);
        }
        MetricKind::Gauge => {
            let mut gauge = Gauge::default();
            gauge.set_value(sample.value);
            metric.set_gauge(gauge);
        }
    }
    metric
}

/// The family of a stage, and its label there. Totals are apart from what sums to them, so that a sum over stages
/// counts nothing twice.
const fn placed(stage: Stage) -> ((&'static str, &'static str), (&'static str, &'static str)) {
    match stage {
        Stage::ReceivedToAcked => (TOTALS, ("to", "acked")),
        Stage::ReceivedToRecord => (TOTALS, ("to", "record")),
        Stage::ReceivedToEvents => (TOTALS, ("to", "events")),
        Stage::Decode
        | Stage::AdmitMemory
        | Stage::AdmitCache
        | Stage::AdmitRecord
        | Stage::Answer
        | Stage::JournalQueue
        | Stage::JournalWrite
        | Stage::RecordQueue
        | Stage::RecordWrite
        | Stage::EventsQueue
        | Stage::EventsWrite => (STAGES, ("stage", stage.name())),
    }
}

fn histogram(reading: &StageReading, (label, value): (&str, &str)) -> Metric {
    let buckets = EDGES.into_iter().zip(reading.within).map(|(edge, within)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(edge.as_secs_f64());
        bucket.set_cumulative_count(within);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(reading.count);
    histogram.set_sample_sum(reading.sum_ns as f64 / 1e9);
    let mut metric = Metric::from_label(vec![pair(label, value)]);
    metric.set_histogram(histogram);
    metric
}

fn pair(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}
