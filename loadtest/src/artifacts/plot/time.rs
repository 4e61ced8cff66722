//! Plots over the time of a run: lines, areas, areas on top of each other.

use super::scale::{seconds_step, seconds_text};
use super::{Drawing, Frame, Key, MOST_POINTS, Plotted, Scale};

/// Columns that tell their values.
const MOST_COLUMNS: usize = 120;

/// What is plotted.
pub(in super::super) struct TimePlot<'a> {
    /// For who cannot see it.
    pub(in super::super) label: &'a str,
    /// Ends of the points' intervals, in seconds.
    pub(in super::super) times: &'a [f64],
    pub(in super::super) layers: Vec<Layer>,
    pub(in super::super) has_decades: bool,
    /// A value in words.
    pub(in super::super) show: fn(f64) -> String,
    pub(in super::super) limit: Option<(f64, String)>,
    /// Begin and end of what is measured, in seconds; the rest is shaded.
    pub(in super::super) measured: (f64, f64),
}

/// One quantity over time.
pub(in super::super) struct Layer {
    pub(in super::super) class: String,
    pub(in super::super) words: String,
    pub(in super::super) shape: Shape,
    pub(in super::super) values: Vec<Option<f64>>,
}

/// How a layer is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Shape {
    Line,
    /// From the axis up to the line.
    Filled,
    /// On top of the layers before it that are stacked too.
    Stacked,
}

impl TimePlot<'_> {
    pub(in super::super) fn draw(&self) -> Option<Plotted> {
        let layers: Vec<&Layer> =
            self.layers.iter().filter(|layer| layer.values.iter().any(Option::is_some)).collect();
        let end_s = self.times.last().copied().filter(|end_s| *end_s > 0.0)?;
        if layers.is_empty() {
            return None;
        }
        let bin = self.times.len().div_ceil(MOST_POINTS).max(1);
        let times: Vec<f64> = self.times.chunks(bin).filter_map(|bin| bin.last().copied()).collect();
        let one = |values| binned(values, self.has_decades);
        let drawn: Vec<Vec<Option<f64>>> =
            layers.iter().map(|layer| layer.values.chunks(bin).map(one).collect()).collect();
        let tops = stacked(&layers, &drawn);
        let highest = tops.iter().flatten().copied().chain(self.limit.iter().map(|(limit, _)| Some(*limit)));
        let scale = if self.has_decades {
            Scale::decades(highest.flatten())
        } else {
            Scale::linear(highest.flatten())
        };
        let mut drawing = Drawing::new(Frame::HALF, self.label);
        drawing.phases(self.measured, end_s);
        drawing.y_axis(&scale, self.show);
        drawing.time_axis(end_s);
        let frame = drawing.frame;
        let place = |at: usize, value: f64| {
            let x = frame.x(times.get(at).copied().unwrap_or(end_s) / end_s);
            (x, frame.y(scale.part(value)))
        };
        let mut below: Option<&Vec<Option<f64>>> = None;
        for (layer, top) in layers.iter().zip(&tops) {
            let points = || top.iter().enumerate().map(|(at, value)| value.map(|value| place(at, value)));
            if layer.shape != Shape::Line {
                let floor =
                    |at: usize| below.and_then(|below| below.get(at).copied().flatten()).unwrap_or(0.0);
                let present: Vec<(usize, f64)> =
                    top.iter().enumerate().filter_map(|(at, value)| Some((at, (*value)?))).collect();
                for run in present.chunk_by(|(at, _), (next, _)| at + 1 == *next) {
                    let upper: Vec<(f64, f64)> = run.iter().map(|(at, value)| place(*at, *value)).collect();
                    let lower: Vec<(f64, f64)> = run.iter().map(|(at, _)| place(*at, floor(*at))).collect();
                    drawing.area(&layer.class, &upper, &lower);
                }
            }
            if layer.shape == Shape::Stacked {
                below = Some(top);
            } else {
                drawing.line(&layer.class, points());
            }
        }
        if let Some((limit, words)) = &self.limit {
            drawing.limit(frame.y(scale.part(*limit)), words);
        }
        self.columns(&mut drawing, &layers, end_s);
        let legend = layers
            .iter()
            .map(|layer| Key { class: layer.class.clone(), words: layer.words.clone() })
            .collect();
        Some(Plotted { svg: drawing.finish(), legend })
    }

    fn columns(&self, drawing: &mut Drawing, layers: &[&Layer], end_s: f64) {
        let bin = self.times.len().div_ceil(MOST_COLUMNS).max(1);
        let mut from_s = 0.0;
        for (number, times) in self.times.chunks(bin).enumerate() {
            let Some(&to_s) = times.last() else { continue };
            let mut words = seconds_text(to_s, end_s);
            for layer in layers {
                let value = layer.values.chunks(bin).nth(number);
                let value = value.and_then(|values| binned(values, self.has_decades));
                let value = value.map_or_else(|| "-".to_owned(), self.show);
                words.push_str(&format!("\n{}: {value}", layer.words));
            }
            drawing.column(drawing.frame.x(from_s / end_s), drawing.frame.x(to_s / end_s), &words);
            from_s = to_s;
        }
    }
}

/// What stands for several values: the highest where decades are shown, which is latencies, else the mean.
fn binned(values: &[Option<f64>], has_decades: bool) -> Option<f64> {
    let present = || values.iter().copied().flatten();
    let number = present().count();
    let highest = present().max_by(f64::total_cmp)?;
    Some(if has_decades { highest } else { present().sum::<f64>() / number as f64 })
}

/// The upper line of each layer.
fn stacked(layers: &[&Layer], values: &[Vec<Option<f64>>]) -> Vec<Vec<Option<f64>>> {
    let mut sums: Vec<f64> = Vec::new();
    let mut tops = Vec::with_capacity(values.len());
    for (layer, values) in layers.iter().zip(values) {
        if layer.shape != Shape::Stacked {
            tops.push(values.clone());
            continue;
        }
        sums.resize(values.len(), 0.0);
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += value.unwrap_or(0.0);
        }
        tops.push(sums.iter().zip(values).map(|(sum, value)| value.map(|_| *sum)).collect());
    }
    tops
}

impl Drawing {
    /// Shades what is not measured.
    pub(super) fn phases(&mut self, (from_s, to_s): (f64, f64), end_s: f64) {
        let parts = [(0.0, from_s.min(end_s), "warm-up"), (to_s, end_s, "")];
        for (from_s, to_s, words) in parts.into_iter().filter(|(from_s, to_s, _)| to_s - from_s > end_s / 1e3)
        {
            let (from, to) = (self.frame.x(from_s / end_s), self.frame.x(to_s / end_s));
            let (top, width, height) = (super::TOP, to - from, self.frame.bottom() - super::TOP);
            self.add(format_args!(
                r#"<rect class="phase" x="{from:.1}" y="{top}" width="{width:.1}" height="{height}"/>"#
            ));
            if width > 60.0 && !words.is_empty() {
                let (x, y) = (from + 6.0, top + 13.0);
                self.add(format_args!(r#"<text class="tick" x="{x:.1}" y="{y}">{words}</text>"#));
            }
        }
    }

    pub(super) fn time_axis(&mut self, end_s: f64) {
        let step_s = seconds_step(end_s);
        let mut ticks = Vec::new();
        let mut at_s = 0.0;
        while at_s <= end_s * 1.000_1 {
            ticks.push((at_s / end_s, seconds_text(at_s, end_s)));
            at_s += step_s;
        }
        self.x_axis(ticks);
    }
}
