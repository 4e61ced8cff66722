//! `loadtest compare`: whether a run is worse than an earlier one, beyond what is noise.

mod differences;

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context;
use clap::Args;

use self::differences::differences;
use crate::artifacts;
use crate::ending::{Ending, Failure};
use crate::measurement::{Measurement, VerdictKind, metric};
use crate::slo::{Better, Figure};

const EXIT_CODES: &str = "\
Exit codes: 0 nothing is worse beyond noise, 1 something is, 3 one of the runs is invalid, 64 wrong arguments,
65 a file that is no report of a run";

/// What is compared unless figures are named: what people feel, and what it costs. Maxima and rarer percentiles are of
/// too few answers to be the same twice.
const USUAL: [&str; 15] = [
    "ack.p50",
    "ack.p99",
    "ack.p99.9",
    "stored.p50",
    "stored.p99",
    "read.p50",
    "read.p99",
    "backlog.p99",
    "rate",
    "lost",
    "wrong",
    "undecided",
    "sampled.missing",
    "daemon_cores",
    "daemon_memory",
];

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct CompareArguments {
    /// The report.json of the earlier run.
    #[arg(value_name = "BASELINE")]
    baseline: PathBuf,
    /// The report.json of the new one.
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// Differences up to this share of the baseline are noise.
    #[arg(long, value_name = "SHARE", default_value = "5%")]
    noise: Noise,
    /// Compare these figures, such as ack.p99, instead of the usual ones; a figure that the new run lacks is worse.
    #[arg(long, value_name = "FIGURE", value_delimiter = ',')]
    metric: Vec<Figure>,
}

/// A share of the baseline: `5%`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Noise(f64);

impl FromStr for Noise {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let percent = text.trim().strip_suffix('%').and_then(|number| number.trim_end().parse::<f64>().ok());
        match percent {
            Some(percent) if (0.0..=1_000.0).contains(&percent) => Ok(Self(percent / 100.0)),
            _ => Err("a share such as 5% is wanted".to_owned()),
        }
    }
}

/// How a figure came out beside the earlier run's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Better,
    WithinNoise,
    Worse,
    /// In one of the runs; worse only where it was asked for.
    NotMeasured,
}

/// One figure of both runs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    figure: Figure,
    baseline: Option<f64>,
    new: Option<f64>,
    change: Change,
}

/// Two runs, side by side.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Comparison {
    rows: Vec<Row>,
    /// What the runs do not have in common, a line each: figures may differ because of it.
    differences: Vec<String>,
    noise: Noise,
    /// Whether the figures were asked for by name.
    are_asked: bool,
}

/// Compares two files.
pub(crate) fn run(arguments: &CompareArguments, out: &mut impl Write) -> Result<Ending, Failure> {
    let (baseline, new) = (read(&arguments.baseline)?, read(&arguments.new)?);
    let comparison = Comparison::of(&baseline, &new, &arguments.metric, arguments.noise);
    write!(out, "{comparison}").context("cannot print")?;
    for (path, measurement) in [(&arguments.baseline, &baseline), (&arguments.new, &new)] {
        if measurement.verdict.kind == VerdictKind::Invalid {
            let because = measurement.verdict.invalid_because.join("; ");
            eprintln!("loadtest: {} proves nothing: {because}", path.display());
            return Ok(Ending::Invalid);
        }
    }
    Ok(if comparison.is_worse() { Ending::Bad } else { Ending::Good })
}

/// Reads a report.
///
/// # Errors
/// When it is none, with its name.
pub(crate) fn read(path: &Path) -> Result<Measurement, Failure> {
    artifacts::read(path).map_err(|reason| Failure::File { file: path.display().to_string(), reason })
}

impl Comparison {
    /// Compares the figures named, or the usual ones that at least one of the runs has.
    pub(crate) fn of(baseline: &Measurement, new: &Measurement, asked: &[Figure], noise: Noise) -> Self {
        let usual: Vec<Figure>;
        let figures = if asked.is_empty() {
            usual = USUAL.iter().filter_map(|name| name.parse().ok()).collect();
            &usual
        } else {
            asked
        };
        let row = |figure: &Figure| {
            let (before, after) = (figure.read(baseline), figure.read(new));
            let right_to = right_to(figure, baseline).max(right_to(figure, new));
            let change = match (before, after) {
                (Some(before), Some(after)) => change(figure.better(), before, after, noise, right_to),
                _ => Change::NotMeasured,
            };
            Row { figure: figure.clone(), baseline: before, new: after, change }
        };
        let are_asked = !asked.is_empty();
        let is_there = |row: &Row| are_asked || row.baseline.is_some() || row.new.is_some();
        Self {
            rows: figures.iter().map(row).filter(is_there).collect(),
            differences: differences(baseline, new),
            noise,
            are_asked,
        }
    }

    /// Whether something is worse beyond noise, or was asked for and is not there.
    pub(crate) fn is_worse(&self) -> bool {
        self.worse().next().is_some()
    }

    fn worse(&self) -> impl Iterator<Item = &Row> {
        let counts_as_worse = |change| match change {
            Change::Worse => true,
            Change::NotMeasured => self.are_asked,
            Change::Better | Change::WithinNoise => false,
        };
        self.rows.iter().filter(move |row| counts_as_worse(row.change))
    }
}

/// What a figure is right to: smaller differences say nothing.
fn right_to(figure: &Figure, measurement: &Measurement) -> f64 {
    let Figure::Latency { name, .. } = figure else { return 0.0 };
    let us = if name.starts_with(metric::STORED) {
        measurement.stamp.look_every_us
    } else {
        measurement.stamp.timer_step_us
    };
    us as f64
}

fn change(better: Better, before: f64, after: f64, noise: Noise, right_to: f64) -> Change {
    let worse_by = match better {
        Better::Lower => after - before,
        Better::Higher => before - after,
    };
    if worse_by.abs() <= (before.abs() * noise.0).max(right_to) {
        Change::WithinNoise
    } else if worse_by > 0.0 {
        Change::Worse
    } else {
        Change::Better
    }
}

impl Row {
    fn show(&self, value: Option<f64>) -> String {
        value.map_or_else(|| "not measured".to_owned(), |value| self.figure.unit().show(value))
    }

    fn change_text(&self) -> String {
        match (self.baseline, self.new) {
            (Some(before), Some(after)) if before > 0.0 => {
                format!("{:+.1}%", (after - before) / before * 100.0)
            }
            (Some(_), Some(after)) if after > 0.0 => "from 0".to_owned(),
            (Some(_), Some(_)) => "0.0%".to_owned(),
            _ => String::new(),
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for difference in &self.differences {
            writeln!(f, "differs: {difference}")?;
        }
        if !self.differences.is_empty() {
            writeln!(f)?;
        }
        writeln!(f, "{:<18} {:>14} {:>14} {:>9}", "", "baseline", "new", "change")?;
        for row in &self.rows {
            let word = match row.change {
                Change::Better => "better",
                Change::WithinNoise => "within noise",
                Change::Worse => "WORSE",
                Change::NotMeasured => "",
            };
            let line = format!(
                "{:<18} {:>14} {:>14} {:>9}  {word}",
                row.figure.to_string(),
                row.show(row.baseline),
                row.show(row.new),
                row.change_text()
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        let noise = self.noise.0 * 100.0;
        let worse: Vec<String> = self.worse().map(|row| row.figure.to_string()).collect();
        match worse.as_slice() {
            [] => writeln!(f, "\nNothing is worse beyond {noise}%."),
            worse => writeln!(f, "\nWorse beyond {noise}%: {}.", worse.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::sample;

    fn compared(baseline: &Measurement, new: &Measurement, asked: &[&str]) -> Comparison {
        let asked: Vec<Figure> = asked.iter().map(|name| name.parse().unwrap()).collect();
        Comparison::of(baseline, new, &asked, "5%".parse().unwrap())
    }

    fn with_ack(factor: u64) -> Measurement {
        let mut measurement = sample::quiet();
        let ack = sample::latency((1..=1_000).map(|value| value * factor));
        measurement.latencies.insert("ack".to_owned(), ack);
        measurement
    }

    #[test]
    fn a_figure_is_worse_only_beyond_noise_and_in_its_own_direction() {
        let changes = |comparison: &Comparison| -> Vec<Change> {
            comparison.rows.iter().map(|row| row.change).collect()
        };
        let (before, same, slower) = (with_ack(1_000), with_ack(1_040), with_ack(1_100));
        let asked = ["ack.p50", "ack.p99", "rate"];
        assert_eq!(changes(&compared(&before, &same, &asked)), [Change::WithinNoise; 3]);
        let comparison = compared(&before, &slower, &asked);
        assert_eq!(changes(&comparison), [Change::Worse, Change::Worse, Change::WithinNoise]);
        assert!(comparison.is_worse());
        let comparison = compared(&slower, &before, &asked);
        assert_eq!(changes(&comparison), [Change::Better, Change::Better, Change::WithinNoise]);
        assert!(!comparison.is_worse());
        let mut fewer = before.clone();
        fewer.counts.acked_measured = 900;
        fewer.counts.lost = 1;
        let comparison = compared(&before, &fewer, &["rate", "lost"]);
        assert_eq!(changes(&comparison), [Change::Worse; 2]);
        let text = comparison.to_string();
        assert!(text.contains("rate                        100/s           90/s    -10.0%  WORSE"), "{text}");
        assert!(text.ends_with("Worse beyond 5%: rate, lost.\n"), "{text}");
    }

    #[test]
    fn less_than_a_time_is_right_to_is_noise() {
        let (mut before, mut after) = (sample::quiet(), sample::quiet());
        for (measurement, us) in [(&mut before, 20_000), (&mut after, 60_000)] {
            measurement.stamp.look_every_us = 50_000;
            measurement.latencies.insert("stored".to_owned(), sample::latency([us]));
        }
        assert!(!compared(&before, &after, &["stored.p99"]).is_worse());
        after.latencies.insert("stored".to_owned(), sample::latency([80_000]));
        assert!(compared(&before, &after, &["stored.p99"]).is_worse());
    }

    #[test]
    fn what_was_asked_for_and_is_not_there_is_worse_what_was_not_asked_is_left_out() {
        let quiet = sample::quiet();
        assert!(compared(&quiet, &quiet, &["stored.p99"]).is_worse());
        let usual = compared(&quiet, &quiet, &[]);
        assert!(!usual.is_worse());
        let names: Vec<String> = usual.rows.iter().map(|row| row.figure.to_string()).collect();
        assert_eq!(names, ["ack.p50", "ack.p99", "ack.p99.9", "rate", "lost", "wrong", "undecided"]);
        let stalled = sample::stalled();
        assert_eq!(compared(&stalled, &stalled, &[]).rows.len(), USUAL.len() - 1);
    }

    #[test]
    fn noise_is_a_share() {
        assert_eq!("5%".parse(), Ok(Noise(0.05)));
        for text in ["", "much", "-1%", "nan", "5000%", "5", "0.2"] {
            assert!(text.parse::<Noise>().is_err(), "{text}");
        }
    }
}
