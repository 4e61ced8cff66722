//! The figures of a run by their names, as objectives and comparisons ask for them.

use std::fmt;
use std::str::FromStr;

use super::number;
use crate::figures::{bytes, count, microseconds, rounded};
use crate::measurement::{Latency, Measurement, metric};

/// One number of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Of a latency, by the names of [`metric`].
    Latency { name: String, statistic: Statistic },
    /// Sightings of which less is better, or identities.
    Part(Part),
    /// Sightings acknowledged in the measured window, each second.
    Rate,
    /// Cores that the daemon kept busy, on average over the measured window.
    DaemonCores,
    /// The most memory that the daemon was seen to take.
    DaemonMemory,
}

/// What is asked of a latency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Statistic {
    P50,
    P90,
    P99,
    P999,
    P9999,
    Max,
    Mean,
    Count,
}

/// A count that is a part of a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Lost,
    Wrong,
    Undecided,
    UndecidedLeft,
    DeadLettered,
    SampledMissing,
}

/// What a figure counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Microseconds,
    Number,
    PerSecond,
    Percent,
    Cores,
    Bytes,
}

/// Which way is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    Lower,
    Higher,
}

/// Latencies that can be asked for, beside the daemon's stages.
const LATENCIES: [&str; 12] = [
    metric::ACK,
    metric::ACK_UNCORRECTED,
    metric::LAG,
    metric::STORED,
    metric::STORED_RECORD,
    metric::STORED_EVENTS,
    metric::READ,
    metric::READ_CACHE,
    metric::READ_RECORD,
    metric::CONNECT,
    metric::BACKLOG,
    "daemon.STAGE",
];

const OTHERS: [(&str, Figure); 9] = [
    ("lost", Figure::Part(Part::Lost)),
    ("wrong", Figure::Part(Part::Wrong)),
    ("undecided", Figure::Part(Part::Undecided)),
    ("undecided_left", Figure::Part(Part::UndecidedLeft)),
    ("dead_lettered", Figure::Part(Part::DeadLettered)),
    ("sampled.missing", Figure::Part(Part::SampledMissing)),
    ("rate", Figure::Rate),
    ("daemon_cores", Figure::DaemonCores),
    ("daemon_memory", Figure::DaemonMemory),
];

impl Statistic {
    pub(crate) const ALL: [(&str, Self); 8] = [
        ("p50", Self::P50),
        ("p90", Self::P90),
        ("p99", Self::P99),
        ("p99.9", Self::P999),
        ("p99.99", Self::P9999),
        ("max", Self::Max),
        ("mean", Self::Mean),
        ("count", Self::Count),
    ];

    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, statistic)| *statistic == self).map_or("", |(name, _)| name)
    }

    /// The share of what is shorter, where it is a percentile.
    pub(crate) const fn quantile(self) -> Option<f64> {
        match self {
            Self::P50 => Some(0.5),
            Self::P90 => Some(0.9),
            Self::P99 => Some(0.99),
            Self::P999 => Some(0.999),
            Self::P9999 => Some(0.9999),
            Self::Max | Self::Mean | Self::Count => None,
        }
    }

    pub(crate) fn of(self, latency: &Latency) -> f64 {
        let value = match self {
            Self::P50 => latency.p50,
            Self::P90 => latency.p90,
            Self::P99 => latency.p99,
            Self::P999 => latency.p999,
            Self::P9999 => latency.p9999,
            Self::Max => latency.max,
            Self::Mean => return latency.mean,
            Self::Count => latency.count,
        };
        value as f64
    }
}

impl FromStr for Figure {
    /// One line that says what is allowed.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((_, figure)) = OTHERS.iter().find(|(name, _)| *name == text) {
            return Ok(figure.clone());
        }
        let statistics = || Statistic::ALL.map(|(name, _)| name).join(", ");
        // Those of the longest name first, as `p99.9` has a point in it.
        let mut parts = Statistic::ALL.iter().filter_map(|&(name, statistic)| {
            let latency = text.strip_suffix(name)?.strip_suffix('.')?;
            Some((latency, statistic))
        });
        let known = |name: &str| {
            let stage = name.strip_prefix(metric::DAEMON);
            LATENCIES.contains(&name) && stage != Some("STAGE")
                || stage.is_some_and(|stage| {
                    !stage.is_empty() && stage.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
                })
        };
        match parts.next() {
            Some((name, statistic)) if known(name) => Ok(Self::Latency { name: name.to_owned(), statistic }),
            Some((name, _)) => Err(unknown(name)),
            None => {
                let latency = LATENCIES.iter().find(|name| {
                    text.strip_prefix(**name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                });
                Err(match latency {
                    Some(latency) => format!("{latency} needs one of .{}", statistics()),
                    None => unknown(text),
                })
            }
        }
    }
}

fn unknown(name: &str) -> String {
    let others = OTHERS.iter().map(|(name, _)| *name);
    let near = LATENCIES.into_iter().chain(others.clone());
    let near = near.map(|known| (strsim::damerau_levenshtein(known, name), known)).min();
    let meant = near.filter(|(distance, _)| *distance <= 2).map(|(_, near)| format!("; is {near} meant?"));
    format!(
        "there is no {name:?}{}; figures are {}, and of {} each of .{}",
        meant.unwrap_or_default(),
        others.collect::<Vec<_>>().join(", "),
        LATENCIES.join(", "),
        Statistic::ALL.map(|(name, _)| name).join(", "),
    )
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latency { name, statistic } => write!(f, "{name}.{}", statistic.name()),
            other => {
                let name = OTHERS.iter().find(|(_, figure)| figure == other).map_or("", |(name, _)| name);
                f.write_str(name)
            }
        }
    }
}

impl Figure {
    /// In its unit; none where it was not measured.
    pub(crate) fn read(&self, measurement: &Measurement) -> Option<f64> {
        let window = &measurement.window;
        match self {
            Self::Latency { name, statistic } => {
                let latency = measurement.latencies.get(name).filter(|latency| latency.count > 0)?;
                Some(statistic.of(latency))
            }
            Self::Part(part) => part.of(measurement).map(|(part, _)| part as f64),
            Self::Rate => (window.measured_s > 0.0)
                .then(|| measurement.counts.acked_measured as f64 / window.measured_s),
            Self::DaemonCores => {
                let cores: Vec<f64> =
                    measurement.measured_points().filter_map(|point| point.daemon_cores).collect();
                (!cores.is_empty()).then(|| cores.iter().sum::<f64>() / cores.len() as f64)
            }
            Self::DaemonMemory => {
                let points = measurement.series.points.iter();
                points.filter_map(|point| point.daemon_memory_bytes).max().map(|bytes| bytes as f64)
            }
        }
    }

    /// The share of what there could have been; none where that was nothing.
    pub(crate) fn percent(&self, measurement: &Measurement) -> Option<f64> {
        let Self::Part(part) = self else { return None };
        let (part, whole) = part.of(measurement)?;
        (whole > 0).then(|| part as f64 / whole as f64 * 100.0)
    }

    /// Whether it can be asked for as a share.
    pub(crate) const fn is_part(&self) -> bool {
        matches!(self, Self::Part(_))
    }

    pub(crate) const fn unit(&self) -> Unit {
        match self {
            Self::Latency { statistic: Statistic::Count, .. } | Self::Part(_) => Unit::Number,
            Self::Latency { .. } => Unit::Microseconds,
            Self::Rate => Unit::PerSecond,
            Self::DaemonCores => Unit::Cores,
            Self::DaemonMemory => Unit::Bytes,
        }
    }

    pub(crate) const fn better(&self) -> Better {
        match self {
            Self::Rate | Self::Latency { statistic: Statistic::Count, .. } => Better::Higher,
            _ => Better::Lower,
        }
    }
}

impl Part {
    /// The part and the whole; none where nobody looked.
    fn of(self, measurement: &Measurement) -> Option<(u64, u64)> {
        let counts = &measurement.counts;
        let part = match self {
            Self::Lost => counts.lost,
            Self::Wrong => counts.wrong,
            Self::Undecided => counts.undecided,
            Self::UndecidedLeft => counts.undecided_left,
            // Only acks of level `stored` tell.
            Self::DeadLettered if measurement.stamp.ack_level != "stored" => return None,
            Self::DeadLettered => counts.dead_lettered,
            Self::SampledMissing => {
                if counts.sampled.values().any(|sampled| sampled.found + sampled.missing == 0) {
                    return None;
                }
                let missing = counts.sampled.values().map(|sampled| sampled.missing).sum();
                let found: u64 = counts.sampled.values().map(|sampled| sampled.found).sum();
                return (found + missing > 0).then_some((missing, found + missing));
            }
        };
        (counts.sent > 0).then_some((part, counts.sent))
    }
}

impl Unit {
    /// What a limit in it looks like.
    pub(super) const fn wanted(self) -> &'static str {
        match self {
            Self::Microseconds => "a time such as 100ms (us, ms, s, m)",
            Self::Number => "a number such as 1000",
            Self::PerSecond => "a rate such as 90000/s",
            Self::Percent => "a share such as 0.1%",
            Self::Cores => "a number of cores such as 1.5",
            Self::Bytes => "a size such as 512MB (kB, MB, GB)",
        }
    }

    /// A limit in it.
    pub(super) fn parse(self, text: &str) -> Option<f64> {
        let with = |units: &[(&str, f64)]| {
            // `ms` before `s`: the longest that fits.
            let fitting = units.iter().filter(|(unit, _)| text.ends_with(unit));
            let (unit, factor) = fitting.max_by_key(|(unit, _)| unit.len())?;
            number(text.strip_suffix(unit)?).map(|number| number * factor)
        };
        match self {
            Self::Microseconds => {
                with(&[("us", 1.0), ("µs", 1.0), ("ms", 1e3), ("s", 1e6), ("m", 60e6), ("h", 3_600e6)])
            }
            Self::Bytes => with(&[("kB", 1e3), ("MB", 1e6), ("GB", 1e9)]),
            Self::PerSecond => number(text.strip_suffix("/s").unwrap_or(text)),
            Self::Percent => number(text.strip_suffix('%')?),
            Self::Number | Self::Cores => number(text),
        }
    }

    /// For people.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::Microseconds => microseconds(rounded(value)),
            Self::Number => count(rounded(value)),
            Self::PerSecond => format!("{}/s", count(rounded(value))),
            Self::Percent => format!("{value:.3}%"),
            Self::Cores => format!("{value:.2} cores"),
            Self::Bytes => bytes(rounded(value)),
        }
    }
}
