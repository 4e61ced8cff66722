//! What is shown while a run goes on: a line every few seconds.

use std::fmt;
use std::io::{self, Write};

use super::course::Course;
use super::histograms::{Histograms, Metric};
use super::recorder::Tally;
use super::timeline::Vitals;
use crate::figures;

/// Seconds between lines.
const LINE_EVERY: u64 = 5;

/// What there is to show.
#[derive(Debug)]
pub(crate) struct Moment<'m> {
    pub(crate) second: u64,
    pub(crate) tally: &'m Tally,
    pub(crate) interval: &'m Histograms,
    pub(crate) vitals: Vitals,
    /// Those that are not done.
    pub(crate) gateways: usize,
}

/// Where it is shown.
pub(crate) struct Live<'o> {
    out: &'o mut dyn Write,
    quiet: bool,
    acked_before: u64,
    sent_before: u64,
}

impl<'o> Live<'o> {
    pub(crate) fn new(out: &'o mut dyn Write, quiet: bool) -> Self {
        Self { out, quiet, acked_before: 0, sent_before: 0 }
    }

    /// Shows a second.
    ///
    /// # Errors
    /// When it cannot be printed.
    pub(crate) fn show(&mut self, course: &Course, moment: &Moment<'_>) -> io::Result<()> {
        if self.quiet || !moment.second.is_multiple_of(LINE_EVERY) {
            return Ok(());
        }
        let Moment { second, tally, interval, .. } = moment;
        let every = LINE_EVERY as f64;
        let sent = figures::rate(tally.sent - self.sent_before, every);
        let acked = figures::rate(tally.acked - self.acked_before, every);
        (self.sent_before, self.acked_before) = (tally.sent, tally.acked);
        let quantile = |metric, quantile| {
            interval.of(metric).map_or_else(
                || "-".to_owned(),
                |histogram| figures::microseconds(histogram.value_at_quantile(quantile)),
            )
        };
        let duration = course.scenario.load.duration.0.as_secs();
        let (p50, p99, lag) =
            (quantile(Metric::Ack, 0.5), quantile(Metric::Ack, 0.99), quantile(Metric::Lag, 0.99));
        let in_flight = figures::count(tally.in_flight());
        writeln!(
            self.out,
            "{second:>5}/{duration} s  sent {sent:>11}  acked {acked:>11}  ack p50 {p50:>8} p99 {p99:>8}  lag p99 {lag:>8}  in flight {in_flight}"
        )?;
        self.out.flush()
    }
}

impl fmt::Debug for Live<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").finish_non_exhaustive()
    }
}
