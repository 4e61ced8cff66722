//! The interval logs of several generators as one, in the order of time.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hdrhistogram::serialization::interval_log::{IntervalLogHistogram, IntervalLogIterator, LogEntry};

use crate::artifacts::IntervalLog;

/// Merges logs of runs that began at these times, in UTC microseconds. Intervals stay as they are, several of a tag at
/// the same time: tools add them up.
///
/// # Errors
/// When a log cannot be read or the whole not be written.
pub(super) fn merge(logs: &[PathBuf], begins_us: &[i64], into: &Path) -> io::Result<()> {
    let first_us = begins_us.iter().copied().min().unwrap_or_default();
    let contents = logs.iter().map(std::fs::read).collect::<io::Result<Vec<Vec<u8>>>>()?;
    let mut intervals: Vec<(Duration, IntervalLogHistogram<'_>)> = Vec::new();
    for ((content, begin_us), path) in contents.iter().zip(begins_us).zip(logs) {
        let offset = Duration::from_micros(begin_us.abs_diff(first_us));
        for entry in IntervalLogIterator::new(content) {
            let broken =
                |error| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error:?}", path.display()));
            if let LogEntry::Interval(interval) = entry.map_err(broken)? {
                intervals.push((interval.start_timestamp() + offset, interval));
            }
        }
    }
    intervals.sort_by_key(|(start, _)| *start);
    let mut file = BufWriter::new(IntervalLog::create(into, first_us)?.into_file()?);
    for (start, interval) in intervals {
        if let Some(tag) = interval.tag() {
            write!(file, "Tag={},", tag.as_str())?;
        }
        let (start_s, duration_s) = (start.as_secs_f64(), interval.duration().as_secs_f64());
        writeln!(
            file,
            "{start_s:.3},{duration_s:.3},{:.3},{}",
            interval.max(),
            interval.encoded_histogram()
        )?;
    }
    file.into_inner().map_err(io::IntoInnerError::into_error).map(drop)
}
