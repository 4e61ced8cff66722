//! The plots of a run.

use std::fmt::Write as _;
use std::io;

use beacon_protocol::OutcomeCode;

use super::{Text, time};
use crate::artifacts::plot::{Goal, Heat, Key, Layer, Plotted, Shape, Spectrum, TimePlot};
use crate::artifacts::words;
use crate::figures::{bytes, count, rounded};
use crate::measurement::{Judged, Measurement, Point, metric};
use crate::scenario::Scenario;
use crate::slo::{Figure, Objective};

/// Latencies with a percentile curve, and their classes of colour.
const CURVES: [(&str, &str); 5] = [
    (metric::ACK, "c-blue"),
    (metric::ACK_UNCORRECTED, "c-blue dashed"),
    (metric::STORED, "c-orange"),
    (metric::READ, "c-green"),
    (metric::LAG, "c-grey dashed"),
];

/// Every plot, those of the whole width first.
///
/// # Errors
/// When a histogram of the document cannot be read.
pub(super) fn all(measurement: &Measurement) -> io::Result<String> {
    let times: Vec<f64> = measurement.series.points.iter().map(|point| point.at_s).collect();
    let plots = Plots { measurement, times: &times };
    let mut page = String::new();
    page.push_str("<section id=\"plots\"><h2>Over the percentiles</h2>\n");
    let curves = plots.spectrum()?;
    figure(&mut page, "percentiles", "Latency by percentile", "a bar is an objective's limit", curves);
    page.push_str("<h2>Over time</h2>\n");
    figure(
        &mut page,
        "heat",
        "Time to ack",
        "corrected; where a column is blank, nothing was answered",
        plots.heat(),
    );
    page.push_str("<div class=\"plots\">\n");
    let halves = [
        ("throughput", "Throughput", "sightings/s", plots.throughput()),
        ("outcomes", "Outcomes", "sightings/s", plots.outcomes()),
        ("stored", "Time to stored", "p99 of the sampled identities", plots.stored()),
        ("lag", "Generator's lag", "how late frames were made", plots.lag()),
        ("cores", "Processor", "cores kept busy", plots.cores()),
        ("memory", "Memory of the daemon", "resident", plots.memory()),
        ("waiting", "Waiting for a store", "identities", plots.waiting()),
        ("in-flight", "On their way", "frames without an answer", plots.in_flight()),
    ];
    for (id, title, note, plotted) in halves {
        figure(&mut page, id, title, note, plotted);
    }
    page.push_str("</div></section>\n");
    Ok(page)
}

fn figure(page: &mut String, id: &str, title: &str, note: &str, plotted: Option<Plotted>) {
    let _ = write!(page, r#"<figure id="figure-{id}"><figcaption><b>{title}</b> <span>{note}</span>"#);
    let Some(Plotted { svg, legend }) = plotted else {
        page.push_str("</figcaption><p class=\"absent\">not measured</p></figure>\n");
        return;
    };
    page.push_str("<span class=\"legend\">");
    for Key { class, words } in legend {
        let _ = write!(page, r#"<span><i class="key {class}"></i>{}</span>"#, Text(&words));
    }
    let _ = writeln!(page, "</span></figcaption>{svg}</figure>");
}

struct Plots<'m> {
    measurement: &'m Measurement,
    times: &'m [f64],
}

impl Plots<'_> {
    fn spectrum(&self) -> io::Result<Option<Plotted>> {
        let mut curves = Vec::new();
        for (name, class) in CURVES {
            let Some(latency) = self.measurement.latencies.get(name) else { continue };
            let histogram =
                latency.histogram().map_err(|reason| io::Error::new(io::ErrorKind::InvalidData, reason))?;
            curves.push((key(class, words::latency(name)), histogram));
        }
        let mut goals: Vec<Goal> = Vec::new();
        for judged in &self.measurement.verdict.objectives {
            let Some((quantile, us)) = goal(judged) else { continue };
            let words = format!("{}: {}", judged.objective, if judged.holds { "holds" } else { "missed" });
            match goals.iter_mut().find(|goal| (goal.quantile, goal.us) == (quantile, us)) {
                Some(goal) => {
                    goal.holds &= judged.holds;
                    goal.words = format!("{}\n{words}", goal.words);
                }
                None => goals.push(Goal { quantile, us, holds: judged.holds, words }),
            }
        }
        Ok(Spectrum { label: "Latency by percentile", curves, goals, show: axis_time }.draw())
    }

    fn heat(&self) -> Option<Plotted> {
        let line = |of: fn(&Point) -> Option<u64>| {
            let points = self.measurement.series.points.iter();
            // In the middle of what it is of, as the map's columns are.
            let half_s = self.measurement.series.every_s / 2.0;
            points.map(|point| (point.at_s - half_s, of(point).map(|us| us as f64))).collect()
        };
        let lines = vec![
            (key("c-heatline", "p99"), line(|point| point.ack_p99_us)),
            (key("c-heatline dashed", "p50"), line(|point| point.ack_p50_us)),
        ];
        let label = "Answers by time to ack, over the time of the run";
        let map = &self.measurement.heat;
        Heat { label, map, lines, show: axis_time, measured: self.measured() }.draw()
    }

    fn throughput(&self) -> Option<Plotted> {
        let sent = self.layer("c-grey", "sent", Shape::Line, per_second(|point| point.sent));
        let acked = self.layer("c-blue", "acknowledged", Shape::Filled, per_second(|point| point.acked));
        self.plot("Sightings sent and acknowledged each second", vec![acked, sent], axis_count).draw()
    }

    fn outcomes(&self) -> Option<Plotted> {
        let points = &self.measurement.series.points;
        let of = |point: &Point, code: OutcomeCode| {
            point.outcomes.get(usize::from(code.byte())).copied().unwrap_or_default()
        };
        let total: u64 = points.iter().flat_map(|point| point.outcomes).sum();
        let own = |code: OutcomeCode| {
            let sum: u64 = points.iter().map(|point| of(point, code)).sum();
            sum > 0 && (sum * 100 >= total || code == OutcomeCode::Undecided)
        };
        // The usual ones at the bottom; those too few to see are one layer.
        let (own, few): (Vec<OutcomeCode>, Vec<OutcomeCode>) =
            OutcomeCode::ALL.into_iter().rev().partition(|code| own(*code));
        let layer = |code: &OutcomeCode| {
            let values = per_second(|point| of(point, *code));
            self.layer(&format!("o-{}", code.label()), code.label(), Shape::Stacked, values)
        };
        let mut layers: Vec<Layer> = own.iter().map(layer).collect();
        let others = |point: &Point| few.iter().map(|code| of(point, *code)).sum();
        if points.iter().any(|point| others(point) > 0) {
            let above = own.iter().filter(|code| **code != OutcomeCode::Undecided).count();
            layers.insert(above, self.layer("o-others", "others", Shape::Stacked, per_second(others)));
        }
        self.plot("Outcomes each second", layers, axis_count).draw()
    }

    fn stored(&self) -> Option<Plotted> {
        let stored =
            self.layer("c-orange", "p99", Shape::Line, |point, _| point.stored_p99_us.map(|us| us as f64));
        let mut plot = self.plot("Time until identities are in every store", vec![stored], axis_time);
        plot.has_decades = true;
        plot.draw()
    }

    fn lag(&self) -> Option<Plotted> {
        let p99 = self.layer("c-blue", "p99", Shape::Line, |point, _| point.lag_p99_us.map(|us| us as f64));
        let max =
            self.layer("c-grey", "longest", Shape::Line, |point, _| point.lag_max_us.map(|us| us as f64));
        let mut plot = self.plot("How late the generator was", vec![max, p99], axis_time);
        plot.has_decades = true;
        let scenario = toml::from_str::<Scenario>(&self.measurement.stamp.scenario);
        plot.limit = scenario.ok().map(|scenario| {
            let limit_us = scenario.verdict.lag_limit.as_us() as f64;
            (limit_us, format!("late beyond {}", axis_time(limit_us)))
        });
        plot.draw()
    }

    fn cores(&self) -> Option<Plotted> {
        let daemon = self.layer("c-orange", "daemon", Shape::Line, |point, _| point.daemon_cores);
        let generator = self.layer("c-blue", "generator", Shape::Line, |point, _| point.generator_cores);
        let mut plot = self.plot("Cores kept busy", vec![daemon, generator], |cores| format!("{cores:.2}"));
        let cores = self.measurement.stamp.host.cores;
        plot.limit = (cores > 0).then(|| (f64::from(cores), format!("the machine's {cores}")));
        plot.draw()
    }

    fn memory(&self) -> Option<Plotted> {
        let memory = |point: &Point, _| point.daemon_memory_bytes.map(|bytes| bytes as f64);
        let memory = self.layer("c-purple", "daemon", Shape::Filled, memory);
        self.plot("Resident memory of the daemon", vec![memory], |size| bytes(rounded(size))).draw()
    }

    fn waiting(&self) -> Option<Plotted> {
        let record = |point: &Point, _| point.waiting_record.map(|waiting| waiting as f64);
        let events = |point: &Point, _| point.waiting_events.map(|waiting| waiting as f64);
        let layers = vec![
            self.layer("c-orange", "system of record", Shape::Line, record),
            self.layer("c-green", "store of events", Shape::Line, events),
        ];
        self.plot("Identities waiting for a store", layers, axis_count).draw()
    }

    fn in_flight(&self) -> Option<Plotted> {
        let in_flight =
            self.layer("c-blue", "frames", Shape::Filled, |point, _| Some(point.in_flight as f64));
        self.plot("Frames without an answer", vec![in_flight], axis_count).draw()
    }

    fn layer(
        &self,
        class: &str,
        words: &str,
        shape: Shape,
        of: impl Fn(&Point, f64) -> Option<f64>,
    ) -> Layer {
        let every_s = self.measurement.series.every_s;
        let values = self.measurement.series.points.iter().map(|point| of(point, every_s));
        Layer { class: class.to_owned(), words: words.to_owned(), shape, values: values.collect() }
    }

    fn plot<'a>(&'a self, label: &'a str, layers: Vec<Layer>, show: fn(f64) -> String) -> TimePlot<'a> {
        let (times, measured) = (self.times, self.measured());
        TimePlot { label, times, layers, has_decades: false, show, limit: None, measured }
    }

    fn measured(&self) -> (f64, f64) {
        let window = &self.measurement.window;
        (window.warm_up_s, window.warm_up_s + window.measured_s)
    }
}

/// Percentile and limit of an objective on a latency that has a curve.
fn goal(judged: &Judged) -> Option<(f64, f64)> {
    let objective = judged.objective.parse::<Objective>().ok().filter(Objective::is_ceiling)?;
    let Figure::Latency { name, statistic } = objective.figure() else { return None };
    let has_curve = CURVES.iter().any(|(curve, _)| curve == name);
    statistic.quantile().filter(|_| has_curve).map(|quantile| (quantile, objective.limit()))
}

fn key(class: &str, words: &str) -> Key {
    Key { class: class.to_owned(), words: words.to_owned() }
}

fn per_second(of: impl Fn(&Point) -> u64) -> impl Fn(&Point, f64) -> Option<f64> {
    move |point, every_s| (every_s > 0.0).then(|| of(point) as f64 / every_s)
}

/// A time without digits that an axis does not need.
fn axis_time(us: f64) -> String {
    let text = time(rounded(us));
    let Some((number, unit)) = text.split_once(' ') else { return text };
    let number =
        if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number };
    format!("{number} {unit}")
}

/// `100k` for 100,000.
fn axis_count(value: f64) -> String {
    if value >= 1e6 {
        format!("{}M", short(value / 1e6))
    } else if value >= 1e4 {
        format!("{}k", short(value / 1e3))
    } else {
        count(rounded(value))
    }
}

fn short(value: f64) -> String {
    format!("{value:.1}").trim_end_matches(".0").to_owned()
}
