//! The interval log: a histogram a second and tag, in HdrHistogram's own text format, for its tools.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, IntervalLogWriterError, Tag};

/// What other tools look for above the intervals.
const LEGEND: &str = r#""StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram""#;

/// Writes intervals as they come; each tag is a latency's name.
pub(crate) struct IntervalLog {
    file: BufWriter<File>,
    serializer: V2DeflateSerializer,
}

impl IntervalLog {
    /// Begins a file; what was there is gone. `began_at_us` is the run's begin in UTC microseconds, from which
    /// intervals count.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn create(path: &Path, began_at_us: i64) -> io::Result<Self> {
        let mut file = BufWriter::new(File::create(path)?);
        let mut serializer = V2DeflateSerializer::new();
        let began_at = UNIX_EPOCH + Duration::from_micros(u64::try_from(began_at_us).unwrap_or_default());
        IntervalLogWriterBuilder::new()
            .add_comment("[Histogram log format version 1.3]")
            .add_comment("Values and maxima are microseconds; seconds count from the run's begin.")
            .with_start_time(began_at)
            .with_base_time(began_at)
            .begin_log_with(&mut file, &mut serializer)?;
        writeln!(file, "{LEGEND}")?;
        Ok(Self { file, serializer })
    }

    /// Adds an interval of `tag` that began `start` after the run did. A tag has no comma, space or line break.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(
        &mut self,
        tag: &str,
        start: Duration,
        duration: Duration,
        histogram: &Histogram<u64>,
    ) -> io::Result<()> {
        let tag = Tag::new(tag).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("{tag:?} is no tag of an interval log"))
        })?;
        // Without headers this writes nothing but the interval.
        let mut log = IntervalLogWriterBuilder::new().begin_log_with(&mut self.file, &mut self.serializer)?;
        log.write_histogram(histogram, start, duration, Some(tag)).map_err(|error| match error {
            IntervalLogWriterError::IoError(error) => error,
            error @ IntervalLogWriterError::SerializeError(_) => io::Error::other(error.to_string()),
        })
    }

    /// The file, with what is written so far in it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn into_file(self) -> io::Result<File> {
        self.file.into_inner().map_err(io::IntoInnerError::into_error)
    }

    /// Hands what was written to the system, so that the file can be read while the run goes on.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl std::fmt::Debug for IntervalLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IntervalLog").field("file", &self.file).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::{Command, Stdio};

    use base64::Engine as _;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;
    use crate::measurement::sample;

    const BEGAN_AT_US: i64 = 1_795_000_000_250_000;

    /// Three seconds of two tags; values differ by second.
    fn histograms() -> Vec<(&'static str, u64, Histogram<u64>)> {
        let of = |tag, second: u64, factor: u64| {
            (tag, second, sample::histogram((1..=1_000).map(|value| value * factor * (second + 1))))
        };
        (0..3).flat_map(|second| [of("ack", second, 10), of("stored.record", second, 900)]).collect()
    }

    fn written(path: &Path) {
        let mut log = IntervalLog::create(path, BEGAN_AT_US).unwrap();
        for (tag, second, histogram) in histograms() {
            log.write(tag, Duration::from_secs(second), Duration::from_secs(1), &histogram).unwrap();
        }
        assert!(log.write("a tag", Duration::ZERO, Duration::ZERO, &sample::histogram([])).is_err());
        log.flush().unwrap();
    }

    #[test]
    fn the_crate_reads_back_what_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("intervals.hlog");
        written(&path);
        let content = std::fs::read(&path).unwrap();
        let entries: Vec<LogEntry<'_>> = IntervalLogIterator::new(&content).map(Result::unwrap).collect();
        let began_at = Duration::from_micros(1_795_000_000_250_000);
        assert_eq!(entries[..2], [LogEntry::StartTime(began_at), LogEntry::BaseTime(began_at)]);
        let expected = histograms();
        assert_eq!(entries.len() - 2, expected.len());
        for (entry, (tag, second, histogram)) in entries[2..].iter().zip(expected) {
            let LogEntry::Interval(interval) = entry else { panic!("{entry:?}") };
            assert_eq!(interval.tag().unwrap().as_str(), tag);
            assert_eq!(interval.start_timestamp(), Duration::from_secs(second));
            let bytes =
                base64::engine::general_purpose::STANDARD.decode(interval.encoded_histogram()).unwrap();
            let read: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
            assert_eq!(read, histogram);
        }
    }

    /// A line for each tag: all its intervals added, as the reader of another language has them.
    const READ: &str = "import sys
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
tags = {}
reader = HistogramLogReader(sys.argv[1], HdrHistogram(1, 3600000000, 3))
while True:
    histogram = reader.get_next_interval_histogram()
    if histogram is None: break
    begin = histogram.get_start_time_stamp()
    total, begins = tags.setdefault(histogram.get_tag(), (HdrHistogram(1, 3600000000, 3), []))
    total.add(histogram)
    begins.append(int(begin))
for tag, (total, begins) in tags.items():
    values = [total.get_value_at_percentile(p) for p in (50, 90, 99, 99.9, 100)]
    print(tag, total.get_total_count(), *values, *begins)";

    #[test]
    fn the_reader_of_another_language_finds_the_same_percentiles() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("intervals.hlog");
        written(&path);
        let Some(python) = python_with_hdrhistogram() else {
            println!(
                "SKIPPED: there is no python3, or it cannot install hdrhistogram, to read the interval log with"
            );
            return;
        };
        let output = Command::new(python).args(["-c", READ]).arg(&path).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let read = String::from_utf8(output.stdout).unwrap();
        let mut expected = String::new();
        for tag in ["ack", "stored.record"] {
            let mut total = sample::histogram([]);
            for (_, _, histogram) in histograms().iter().filter(|(of, _, _)| *of == tag) {
                total.add(histogram).unwrap();
            }
            let values = [0.5, 0.9, 0.99, 0.999, 1.0].map(|at| total.value_at_quantile(at).to_string());
            let begins = [0, 1_000, 2_000].map(|ms| (1_795_000_000_250_i64 + ms).to_string());
            expected += &format!("{tag} 3000 {} {}\n", values.join(" "), begins.join(" "));
        }
        assert_eq!(read, expected);
    }

    /// A Python of the build's own that has PyPI's hdrhistogram; none where there is no Python or no PyPI.
    fn python_with_hdrhistogram() -> Option<PathBuf> {
        // target/PROFILE/deps/this-test
        let binary = std::env::current_exe().ok()?;
        let environment = binary.ancestors().nth(3)?.join("tmp/python-hdrhistogram");
        let python = environment.join("bin/python3");
        let succeeds = |command: &mut Command| {
            let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        let has_it = || succeeds(Command::new(&python).args(["-c", "import hdrh.log"]));
        if !has_it() {
            let install = ["-m", "pip", "install", "--quiet", "hdrhistogram==0.10.8"];
            let made = succeeds(Command::new("python3").args(["-m", "venv"]).arg(&environment))
                && succeeds(Command::new(&python).args(install));
            if !made {
                return None;
            }
        }
        has_it().then_some(python)
    }
}
