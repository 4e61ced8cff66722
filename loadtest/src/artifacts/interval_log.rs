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
