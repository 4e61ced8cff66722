//! What is shown while a run goes on: a view on a terminal, else a line every few seconds.

use std::fmt;
use std::io::{self, IsTerminal, Write};

use ratatui::DefaultTerminal;

use super::histograms::{Histograms, Metric};
use super::recorder::Tally;
use super::timeline::Vitals;
use super::view::{self, History, Title};
use crate::figures;
use crate::measurement::{Judged, Measurement};
use crate::scenario::Scenario;

/// Seconds between lines.
const LINE_EVERY: u64 = 5;

/// What there is to show.
#[derive(Debug)]
pub(crate) struct Moment<'m> {
    pub(crate) second: u64,
    pub(crate) tally: &'m Tally,
    pub(crate) interval: &'m Histograms,
    /// The result, if the run were over now.
    pub(crate) so_far: &'m Measurement,
    pub(crate) judged: &'m [Judged],
    pub(crate) vitals: Vitals,
    /// Those that are not done.
    pub(crate) gateways: usize,
}

/// Where it is shown.
pub(crate) struct Live<'o> {
    place: Place<'o>,
    title: Title,
    history: History,
    lined: Tally,
}

enum Place<'o> {
    Nowhere,
    Lines(&'o mut dyn Write),
    Screen(Box<DefaultTerminal>),
}

impl<'o> Live<'o> {
    /// On the screen if standard output is one.
    ///
    /// # Errors
    /// When the terminal does not want to.
    pub(crate) fn begin(out: &'o mut dyn Write, scenario: &Scenario, quiet: bool) -> io::Result<Self> {
        let place = if quiet {
            Place::Nowhere
        } else if io::stdout().is_terminal() && io::stdin().is_terminal() {
            // It also sees to it that a panic leaves the terminal as it was.
            Place::Screen(Box::new(ratatui::try_init()?))
        } else {
            Place::Lines(out)
        };
        let title = Title {
            scenario: scenario.name.clone(),
            duration: scenario.load.duration.0,
            warm_up: scenario.load.warm_up.0,
        };
        Ok(Self { place, title, history: History::default(), lined: Tally::default() })
    }

    /// Shows a second.
    ///
    /// # Errors
    /// When it cannot be printed.
    pub(crate) fn show(&mut self, moment: &Moment<'_>) -> io::Result<()> {
        self.history.add(moment);
        match &mut self.place {
            Place::Screen(terminal) => {
                terminal.draw(|frame| view::draw(frame, &self.title, &self.history, moment))?;
            }
            Place::Lines(out) if moment.second.is_multiple_of(LINE_EVERY) => {
                let duration = self.title.duration.as_secs();
                line(*out, duration, &self.lined, moment)?;
                self.lined = moment.tally.clone();
            }
            Place::Lines(_) | Place::Nowhere => {}
        }
        Ok(())
    }

    /// Shows nothing more.
    pub(crate) fn end(&mut self) {
        if matches!(std::mem::replace(&mut self.place, Place::Nowhere), Place::Screen(_)) {
            ratatui::restore();
        }
    }

    /// Whether somebody at the screen wants the run to end.
    ///
    /// # Errors
    /// When the terminal cannot be read.
    pub(crate) fn is_left(&self) -> io::Result<bool> {
        if matches!(self.place, Place::Screen(_)) { view::is_left() } else { Ok(false) }
    }
}

/// However a run ends, the terminal is as it was.
impl Drop for Live<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

fn line(out: &mut dyn Write, duration: u64, before: &Tally, moment: &Moment<'_>) -> io::Result<()> {
    let Moment { second, tally, interval, .. } = moment;
    let every = LINE_EVERY as f64;
    let sent = figures::rate(tally.sent - before.sent, every);
    let acked = figures::rate(tally.acked - before.acked, every);
    let quantile = |metric, quantile| {
        interval.of(metric).map_or_else(
            || "-".to_owned(),
            |histogram| figures::microseconds(histogram.value_at_quantile(quantile)),
        )
    };
    let (p50, p99) = (quantile(Metric::Ack, 0.5), quantile(Metric::Ack, 0.99));
    let (lag, in_flight) = (quantile(Metric::Lag, 0.99), figures::count(tally.in_flight()));
    writeln!(
        out,
        "{second:>5}/{duration} s  sent {sent:>11}  acked {acked:>11}  ack p50 {p50:>8} p99 {p99:>8}  \
         lag p99 {lag:>8}  in flight {in_flight}"
    )?;
    out.flush()
}

impl fmt::Debug for Live<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("title", &self.title).finish_non_exhaustive()
    }
}
