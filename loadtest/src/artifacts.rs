//! What a run leaves in its directory: the document, the report for people, and the histograms for other tools.

mod html;
mod interval_log;
mod markdown;
mod percentile_text;
mod plot;
mod words;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

pub(crate) use self::interval_log::IntervalLog;
pub(crate) use self::words::verdict as verdict_word;
use crate::measurement::{FORMAT, Measurement};

/// The document itself.
pub(crate) const DOCUMENT: &str = "report.json";
/// The page for people.
pub(crate) const PAGE: &str = "report.html";
/// The interval log, where the engine kept one.
pub(crate) const INTERVAL_LOG: &str = "intervals.hlog";
const SUMMARY: &str = "report.md";
const PERCENTILES: &str = "percentiles.txt";

/// Writes every file but the interval log, which is written while the run goes on.
///
/// # Errors
/// When a file cannot be written, or a histogram of the document cannot be read.
pub(crate) fn write_all(directory: &Path, measurement: &Measurement) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    write(&directory.join(DOCUMENT), |file| {
        serde_json::to_writer(&mut *file, measurement)?;
        file.write_all(b"\n")
    })?;
    write(&directory.join(PERCENTILES), |file| percentile_text::write(file, measurement))?;
    write(&directory.join(SUMMARY), |file| file.write_all(markdown::page(measurement).as_bytes()))?;
    write(&directory.join(PAGE), |file| file.write_all(html::page(measurement)?.as_bytes()))
}

/// Reads a document.
///
/// # Errors
/// When it cannot be read, is no report of a run, or one of another version of this tool.
pub(crate) fn read(path: &Path) -> Result<Measurement, String> {
    #[derive(serde::Deserialize)]
    struct Format {
        format: u32,
    }
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let no_report = |error: serde_json::Error| format!("it is no report of a run: {error}");
    let Format { format } = serde_json::from_slice(&bytes).map_err(no_report)?;
    if format != FORMAT {
        return Err(format!("its format {format} is not this tool's, {FORMAT}"));
    }
    serde_json::from_slice(&bytes).map_err(no_report)
}

fn write(path: &Path, body: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    body(&mut file)?;
    file.into_inner().map_err(io::IntoInnerError::into_error).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::sample;

    #[test]
    fn every_file_is_written_and_the_document_is_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().join("not there yet");
        let measurement = sample::stalled();
        write_all(&directory, &measurement).unwrap();
        let read_back = read(&directory.join(DOCUMENT)).unwrap();
        assert_eq!((&read_back.counts, &read_back.heat), (&measurement.counts, &measurement.heat));
        assert_eq!(read_back.latencies["ack"].hdr, measurement.latencies["ack"].hdr);
        assert_eq!(read_back.verdict.kind, measurement.verdict.kind);
        for (name, begin) in
            [(PAGE, "<!doctype html>"), (SUMMARY, "# ten-million"), (PERCENTILES, "# ack, in")]
        {
            assert!(std::fs::read_to_string(directory.join(name)).unwrap().starts_with(begin), "{name}");
        }
    }

    #[test]
    fn a_file_that_is_no_report_is_told_why() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report.json");
        assert!(read(&path).unwrap_err().contains("No such file"));
        std::fs::write(&path, "{\"format\": 99}").unwrap();
        assert_eq!(read(&path).unwrap_err(), "its format 99 is not this tool's, 1");
        std::fs::write(&path, "[]").unwrap();
        assert!(read(&path).unwrap_err().starts_with("it is no report of a run: "));
    }
}
