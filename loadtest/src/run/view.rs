//! The live view of a run on a terminal. What is drawn follows from what is shown alone, so that a test can draw it too.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Gauge, Paragraph, Row, Sparkline, Table};

use super::histograms::Metric;
use super::live::Moment;
use crate::figures;
use crate::slo;

/// Seconds that the plots go back: more than any terminal is wide.
const HISTORY: usize = 512;
/// Metrics that have a line, where something was measured of them.
const SHOWN: [Metric; 8] = [
    Metric::Ack,
    Metric::AckUncorrected,
    Metric::Backlog,
    Metric::Stored,
    Metric::Read,
    Metric::Lag,
    Metric::StoredRecord,
    Metric::StoredEvents,
];

/// What plots remember.
#[derive(Debug, Default)]
pub(crate) struct History {
    sent: VecDeque<u64>,
    acked: VecDeque<u64>,
    ack_p99_us: VecDeque<u64>,
    sent_before: u64,
    acked_before: u64,
}

impl History {
    /// Adds a second.
    pub(crate) fn add(&mut self, moment: &Moment<'_>) {
        let tally = moment.tally;
        let p99 = moment.interval.of(Metric::Ack).map_or(0, |histogram| histogram.value_at_quantile(0.99));
        let values = [
            (&mut self.sent, tally.sent - self.sent_before),
            (&mut self.acked, tally.acked - self.acked_before),
            (&mut self.ack_p99_us, p99),
        ];
        for (history, value) in values {
            if history.len() == HISTORY {
                history.pop_front();
            }
            history.push_back(value);
        }
        (self.sent_before, self.acked_before) = (tally.sent, tally.acked);
    }
}

/// What does not change while a run goes on.
#[derive(Debug, Clone)]
pub(crate) struct Title {
    pub(crate) scenario: String,
    pub(crate) duration: Duration,
    pub(crate) warm_up: Duration,
}

/// Draws a second.
pub(crate) fn draw(frame: &mut Frame<'_>, title: &Title, history: &History, moment: &Moment<'_>) {
    let objectives = u16::try_from(moment.judged.len()).unwrap_or(u16::MAX);
    let measured = SHOWN.iter().filter(|metric| moment.so_far.latencies.contains_key(metric.name())).count();
    let lines = u16::try_from(measured).unwrap_or(u16::MAX);
    let [progress, plots, latencies, judged, counts] = Layout::vertical([
        Constraint::Length(3),
        Constraint::Min(4),
        Constraint::Length(lines.saturating_add(4)),
        Constraint::Length(objectives.saturating_add(2)),
        Constraint::Length(4),
    ])
    .areas(frame.area());
    draw_progress(frame, progress, title, moment);
    let [rates, times] =
        Layout::horizontal([Constraint::Percentage(50), Constraint::Percentage(50)]).areas(plots);
    let acked = figures::count(history.acked.back().copied().unwrap_or(0));
    let sent = figures::count(history.sent.back().copied().unwrap_or(0));
    plot(frame, rates, &format!(" sent {sent}/s, acked {acked}/s "), &history.acked, Color::Green);
    let p99 = figures::microseconds(history.ack_p99_us.back().copied().unwrap_or(0));
    plot(frame, times, &format!(" ack p99 {p99} "), &history.ack_p99_us, Color::Yellow);
    draw_latencies(frame, latencies, moment);
    draw_objectives(frame, judged, moment);
    draw_counts(frame, counts, moment);
}

fn draw_progress(frame: &mut Frame<'_>, area: Rect, title: &Title, moment: &Moment<'_>) {
    let whole = title.duration.as_secs_f64();
    let part = (moment.second as f64 / whole).clamp(0.0, 1.0);
    let phase = match moment.second {
        second if second < title.warm_up.as_secs() => "warm-up",
        second if second <= title.duration.as_secs() => "measuring",
        _ => "waiting for answers",
    };
    let label = format!("{} of {whole:.0} s, {phase}", moment.second);
    let gauge = Gauge::default()
        .block(Block::bordered().title(format!(" loadtest run {} ", title.scenario)))
        .gauge_style(Style::new().fg(Color::Blue))
        .ratio(part)
        .label(label);
    frame.render_widget(gauge, area);
}

fn plot(frame: &mut Frame<'_>, area: Rect, title: &str, values: &VecDeque<u64>, colour: Color) {
    let width = usize::from(area.width.saturating_sub(2));
    let shown: Vec<u64> = values.iter().skip(values.len().saturating_sub(width)).copied().collect();
    let block = Block::bordered().title(title.to_owned());
    frame.render_widget(Sparkline::default().block(block).data(shown).style(Style::new().fg(colour)), area);
}

fn draw_latencies(frame: &mut Frame<'_>, area: Rect, moment: &Moment<'_>) {
    let head = ["", "now p50", "p99", "max", "overall p50", "p90", "p99", "p99.9", "max"];
    let rows = SHOWN.iter().filter_map(|metric| {
        let overall = moment.so_far.latencies.get(metric.name())?;
        let now = moment.interval.of(*metric);
        let now_at = |quantile| {
            now.map_or_else(|| "-".to_owned(), |now| figures::microseconds(now.value_at_quantile(quantile)))
        };
        let overall = [overall.p50, overall.p90, overall.p99, overall.p999, overall.max];
        let now = [now_at(0.5), now_at(0.99), now_at(1.0)];
        let cells = now.into_iter().chain(overall.map(figures::microseconds));
        Some(Row::new(std::iter::once(metric.name().to_owned()).chain(cells).map(Cell::from)))
    });
    let widths = std::iter::once(Constraint::Length(16)).chain([Constraint::Length(11); 8]);
    let table = Table::new(rows, widths)
        .header(Row::new(head).style(Style::new().add_modifier(Modifier::DIM)))
        .block(Block::bordered().title(" latency "));
    frame.render_widget(table, area);
}

fn draw_objectives(frame: &mut Frame<'_>, area: Rect, moment: &Moment<'_>) {
    let lines = moment.judged.iter().map(|judged| {
        let mark = match (judged.measured, judged.holds) {
            (None, _) => Span::raw("  -   "),
            (Some(_), true) => Span::raw("  ok  ").green(),
            (Some(_), false) => Span::raw(" FAIL ").red().bold(),
        };
        let text = format!("{:<28} {}", judged.objective, slo::measured_text(judged));
        Line::from(vec![mark, Span::raw(text)])
    });
    let lines: Vec<Line<'_>> = lines.collect();
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" objectives so far ")), area);
}

fn draw_counts(frame: &mut Frame<'_>, area: Rect, moment: &Moment<'_>) {
    let Moment { tally, vitals, gateways, .. } = moment;
    let cores =
        |cores: Option<f64>| cores.map_or_else(|| "-".to_owned(), |cores| format!("{cores:.2} cores"));
    let waiting = |waiting: Option<u64>| waiting.map_or_else(|| "-".to_owned(), figures::count);
    let lines = [
        format!(
            "sent {}  acked {}  in flight {} frames  undecided {}  wrong {}  gateways {gateways}",
            figures::count(tally.sent),
            figures::count(tally.acked),
            figures::count(tally.in_flight()),
            figures::count(tally.undecided()),
            figures::count(tally.wrong),
        ),
        format!(
            "generator {}  daemon {}  waiting for record {}, for events {}   Ctrl-C ends, twice at once",
            cores(vitals.generator_cores),
            cores(vitals.daemon_cores),
            waiting(vitals.waiting_record),
            waiting(vitals.waiting_events),
        ),
    ];
    let lines: Vec<Line<'_>> = lines.into_iter().map(Line::from).collect();
    frame.render_widget(Paragraph::new(lines).block(Block::bordered()), area);
}

/// Whether somebody pressed Ctrl-C or q since this was last asked. A terminal in raw mode sends no signal.
///
/// # Errors
/// When the terminal cannot be read.
pub(crate) fn is_left() -> io::Result<bool> {
    let mut is_left = false;
    while event::poll(Duration::ZERO)? {
        if let Event::Key(key) = event::read()?
            && key.kind == KeyEventKind::Press
        {
            let control_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
            is_left |= control_c || key.code == KeyCode::Char('q');
        }
    }
    Ok(is_left)
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::measurement::{Judged, Latency, Measurement};
    use crate::run::histograms::Histograms;
    use crate::run::recorder::Tally;
    use crate::run::timeline::Vitals;

    fn drawn(width: u16, height: u16) -> String {
        let mut interval = Histograms::default();
        interval.record(Metric::Ack, Duration::from_millis(7));
        let mut so_far = Measurement::default();
        so_far.latencies.insert("ack".to_owned(), Latency::in_short(interval.of(Metric::Ack).unwrap()));
        let judged = [Judged { objective: "ack.p99<1s".to_owned(), measured: Some(7_000.0), holds: true }];
        let tally = Tally { sent: 12_345, acked: 12_000, ..Tally::default() };
        let moment = Moment {
            second: 7,
            tally: &tally,
            interval: &interval,
            so_far: &so_far,
            judged: &judged,
            vitals: Vitals { daemon_cores: Some(0.5), ..Vitals::default() },
            gateways: 3,
        };
        let mut history = History::default();
        history.add(&moment);
        let title = Title {
            scenario: "smoke".to_owned(),
            duration: Duration::from_secs(20),
            warm_up: Duration::from_secs(5),
        };
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, &title, &history, &moment)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn everything_of_note_is_on_a_common_screen() {
        let screen = drawn(120, 30);
        for text in [
            "smoke",
            "7 of 20 s, measuring",
            "acked 12,000/s",
            "7.00 ms",
            "ack.p99<1s",
            "sent 12,345",
            "0.50 cores",
        ] {
            assert!(screen.contains(text), "{text}: {screen}");
        }
    }

    #[test]
    fn a_screen_too_small_is_no_failure() {
        for (width, height) in [(1, 1), (20, 5), (200, 3)] {
            drawn(width, height);
        }
    }
}
