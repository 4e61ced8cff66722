//! Percentile curves: every percentile of several latencies, the rarer the further right.

use hdrhistogram::Histogram;

use super::{Drawing, Frame, Key, Plotted, Scale};

/// Points of a curve from one halving of what is left to the next.
const TICKS_PER_HALF_DISTANCE: u32 = 8;
/// Percentiles that are marked.
const MARKED: [(f64, &str); 6] =
    [(0.5, "50%"), (0.9, "90%"), (0.99, "99%"), (0.999, "99.9%"), (0.9999, "99.99%"), (0.99999, "99.999%")];

/// What is plotted.
pub(in super::super) struct Spectrum<'a> {
    pub(in super::super) label: &'a str,
    pub(in super::super) curves: Vec<(Key, Histogram<u64>)>,
    pub(in super::super) goals: Vec<Goal>,
    pub(in super::super) show: fn(f64) -> String,
}

/// A limit at one percentile.
pub(in super::super) struct Goal {
    pub(in super::super) quantile: f64,
    pub(in super::super) us: f64,
    pub(in super::super) holds: bool,
    pub(in super::super) words: String,
}

impl Spectrum<'_> {
    pub(in super::super) fn draw(&self) -> Option<Plotted> {
        let curves = self.curves.iter().filter(|(_, histogram)| !histogram.is_empty());
        let curves: Vec<_> = curves.map(|(key, histogram)| (key, points(histogram), histogram)).collect();
        let values = curves.iter().flat_map(|(_, points, _)| points.iter().map(|(_, us)| *us));
        let scale = Scale::decades(values.chain(self.goals.iter().map(|goal| goal.us)));
        let furthest = curves.iter().flat_map(|(_, points, _)| points.last()).map(|(nines, _)| *nines);
        let furthest = furthest.max_by(f64::total_cmp)?.max(1.0);
        let mut drawing = Drawing::new(Frame::WIDE, self.label);
        let frame = drawing.frame;
        drawing.y_axis(&scale, self.show);
        let marked = || MARKED.into_iter().filter(|(quantile, _)| nines(*quantile) <= furthest);
        drawing.x_axis(marked().map(|(quantile, words)| (nines(quantile) / furthest, words.to_owned())));
        for (quantile, _) in marked() {
            let (x, top, bottom) = (frame.x(nines(quantile) / furthest), super::TOP, frame.bottom());
            drawing.add(format_args!(r#"<path class="grid" d="M{x:.1} {top}V{bottom}"/>"#));
        }
        let place = |nines: f64, us: f64| (frame.x(nines / furthest), frame.y(scale.part(us)));
        for (key, points, _) in &curves {
            drawing.line(&key.class, points.iter().map(|(nines, us)| Some(place(*nines, *us))));
        }
        for (key, _, histogram) in &curves {
            for (quantile, words) in marked().filter(|(quantile, _)| is_known(histogram, *quantile)) {
                let us = histogram.value_at_quantile(quantile) as f64;
                let ((x, y), show) = (place(nines(quantile), us), (self.show)(us));
                let (class, name) = (&key.class, super::Text(&key.words));
                drawing.add(format_args!(
                    r#"<circle class="dot {class}" cx="{x:.1}" cy="{y:.1}" r="3.5"><title>{name} {words}: {show}</title></circle>"#
                ));
            }
        }
        for Goal { quantile, us, holds, words } in &self.goals {
            let (x, y) = place(nines(*quantile).min(furthest), *us);
            let (from, to, up, words) = (x - 22.0, x + 22.0, y - 7.0, super::Text(words));
            let class = if *holds { "held" } else { "missed" };
            drawing.add(format_args!(
                r#"<path class="goal {class}" d="M{from:.1} {y:.1}H{to:.1}M{x:.1} {y:.1}V{up:.1}"><title>{words}</title></path>"#
            ));
        }
        let legend = curves.iter().map(|(key, _, _)| (*key).clone()).collect();
        Some(Plotted { svg: drawing.finish(), legend })
    }
}

/// How rare what is above a quantile is, in powers of ten.
fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile).log10()
}

/// Whether enough was recorded for a value to be above that quantile.
fn is_known(histogram: &Histogram<u64>, quantile: f64) -> bool {
    nines(quantile) <= (histogram.len() as f64).log10() + 1e-9
}

/// The curve up to what was recorded: the longest of a thousand is at 99.9%.
fn points(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    let furthest = (histogram.len() as f64).log10();
    histogram
        .iter_quantiles(TICKS_PER_HALF_DISTANCE)
        .map(|step| (nines(step.quantile_iterated_to()).min(furthest), step.value_iterated_to() as f64))
        .collect()
}
