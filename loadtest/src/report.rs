//! What a replay tells at its end, to people and to programs.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::figures::{count, microseconds, per_second, percent, rate};
use crate::record::{Latency, Outcomes, Record};

/// The result of a replay; its fields are the keys of the JSON.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Sightings sent.
    sent: u64,
    /// Sightings that have a final outcome.
    acked: u64,
    /// Sightings by outcome; `undecided` counts how often one came back.
    outcomes: Outcomes,
    /// Sightings acknowledged as repeats of frames of an earlier session, without outcomes.
    repeated: u64,
    /// From a frame's first transmission to its result, in microseconds.
    ack_us: Latency,
    /// Results received.
    frames: u64,
    /// From the first frame to the last result.
    seconds: f64,
    /// Acknowledged in that time.
    sightings_per_second: f64,
}

impl Report {
    pub(crate) fn new(record: &Record, elapsed: Duration) -> Self {
        let seconds = elapsed.as_secs_f64();
        Self {
            sent: record.sent,
            acked: record.acked(),
            outcomes: record.outcomes,
            repeated: record.repeated,
            ack_us: record.latency(),
            frames: record.frames,
            seconds,
            sightings_per_second: per_second(record.acked(), seconds),
        }
    }

    /// Sightings that were sent and have no outcome.
    pub(crate) const fn unacked(&self) -> u64 {
        self.sent - self.acked
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let speed = rate(self.acked, self.seconds);
        writeln!(f, "{} sightings sent, {} acknowledged", count(self.sent), count(self.acked))?;
        writeln!(f, "{} frames in {:.2} s, {speed}", count(self.frames), self.seconds)?;
        writeln!(f)?;
        for (code, sightings) in self.outcomes.iter().rev().filter(|(_, sightings)| *sightings > 0) {
            let part = percent(sightings, self.acked);
            writeln!(f, "  {:<16} {:>14} {part:>10}", code.label(), count(sightings))?;
        }
        if self.repeated > 0 {
            writeln!(f, "  {:<16} {:>14}", "repeated", count(self.repeated))?;
        }
        let Latency { p50, p99, p999, max } = self.ack_us;
        let [p50, p99, p999, max] = [p50, p99, p999, max].map(microseconds);
        writeln!(f)?;
        write!(f, "time to ack: p50 {p50}, p99 {p99}, p99.9 {p999}, max {max}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_the_keys_that_scripts_rely_on() {
        let mut record = Record::new();
        record.sent = 3;
        record.answered(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1], Duration::from_micros(700));
        let report = Report::new(&record, Duration::from_secs(2));
        assert_eq!(report.unacked(), 1);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["sent"], 3);
        assert_eq!(json["acked"], 2);
        assert_eq!(json["outcomes"]["identified"], 1);
        assert_eq!(json["outcomes"]["undecided"], 1);
        assert_eq!(json["ack_us"], serde_json::json!({"p50": 700, "p99": 700, "p999": 700, "max": 700}));
        assert_eq!(json["sightings_per_second"], 1.0);
    }
}
