//! What the demo shows while it runs: a line that moves on a terminal, one line a second elsewhere.

use std::io::{self, Write};
use std::time::Duration;

use beacon_protocol::OutcomeCode;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::figures::{count, microseconds};
use crate::record::Record;

/// The seconds of a demo.
#[derive(Debug)]
pub(crate) struct Live {
    /// Only on a terminal.
    bar: Option<ProgressBar>,
}

impl Live {
    pub(crate) fn begin(lasts: Duration, on_terminal: bool, out: &mut impl Write) -> io::Result<Self> {
        if !on_terminal {
            let [time, sightings, identities, p50, p99] =
                ["time", "sightings/s", "identities/s", "p50 to ack", "p99 to ack"];
            writeln!(out, "  {time:>5} {sightings:>13} {identities:>14} {p50:>12} {p99:>12}")?;
            return Ok(Self { bar: None });
        }
        let bar = ProgressBar::with_draw_target(Some(lasts.as_secs()), ProgressDrawTarget::stdout());
        let style = ProgressStyle::with_template("  {bar:12.green} {pos:>3} s  {msg}");
        Ok(Self { bar: Some(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))) })
    }

    /// Shows the last second.
    pub(crate) fn show(&self, second: u64, recent: &Record, out: &mut impl Write) -> io::Result<()> {
        let latency = recent.latency();
        let sightings = count(recent.acked());
        let identities = count(recent.outcomes.of(OutcomeCode::Identified));
        let [p50, p99] = [latency.p50, latency.p99].map(microseconds);
        match &self.bar {
            Some(bar) => {
                bar.set_message(format!(
                    "{sightings:>8} sightings/s {identities:>8} identities/s  ack p50 {p50} p99 {p99}"
                ));
                bar.set_position(second);
                Ok(())
            }
            None => {
                writeln!(out, "  {second:>3} s {sightings:>13} {identities:>14} {p50:>12} {p99:>12}")?;
                out.flush()
            }
        }
    }

    /// Leaves the last line standing.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }
}
