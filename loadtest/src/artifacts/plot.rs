//! Plots as inline SVG. Colours are classes of the page's style, so that one drawing serves light, dark and print.

mod heat;
mod scale;
mod spectrum;
mod time;

use std::fmt::Write as _;

pub(super) use self::heat::Heat;
pub(super) use self::scale::Scale;
pub(super) use self::spectrum::{Goal, Spectrum};
pub(super) use self::time::{Layer, Shape, TimePlot};
use super::html::Text;

/// Room for the labels of the axes.
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 26.0;

/// A line has at most so many points, whatever the run's length.
const MOST_POINTS: usize = 1_200;

/// The area that is drawn in, in the SVG's units: pixels where the page is as wide as it may be.
#[derive(Debug, Clone, Copy)]
struct Frame {
    width: f64,
    height: f64,
}

impl Frame {
    const WIDE: Self = Self { width: 1_096.0, height: 330.0 };
    const HALF: Self = Self { width: 534.0, height: 220.0 };

    fn x(&self, part: f64) -> f64 {
        LEFT + part.clamp(0.0, 1.0) * (self.width - LEFT - RIGHT)
    }

    fn y(&self, part: f64) -> f64 {
        self.bottom() - part.clamp(0.0, 1.0) * (self.bottom() - TOP)
    }

    fn bottom(&self) -> f64 {
        self.height - BOTTOM
    }

    fn right(&self) -> f64 {
        self.width - RIGHT
    }
}

/// A drawing that grows.
struct Drawing {
    frame: Frame,
    svg: String,
}

impl Drawing {
    fn new(frame: Frame, label: &str) -> Self {
        let Frame { width, height } = frame;
        let label = Text(label);
        let svg = format!(r#"<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}">"#);
        Self { frame, svg }
    }

    /// Lines across at the ticks, with their labels at the left.
    fn y_axis(&mut self, scale: &Scale, label: impl Fn(f64) -> String) {
        for value in scale.ticks(5) {
            let y = self.frame.y(scale.part(value));
            let (right, text_x, text_y) = (self.frame.right(), LEFT - 8.0, y + 4.0);
            let label = label(value);
            let label = Text(&label);
            self.add(format_args!(
                r#"<path class="grid" d="M{LEFT} {y:.1}H{right}"/><text class="tick end" x="{text_x}" y="{text_y:.1}">{label}</text>"#
            ));
        }
    }

    /// Small strokes below, with their labels.
    fn x_axis(&mut self, ticks: impl IntoIterator<Item = (f64, String)>) {
        let (bottom, right) = (self.frame.bottom(), self.frame.right());
        self.add(format_args!(r#"<path class="base" d="M{LEFT} {bottom}H{right}"/>"#));
        for (part, label) in ticks {
            let (x, end, text_y) = (self.frame.x(part), bottom + 4.0, bottom + 18.0);
            let label = Text(&label);
            self.add(format_args!(
                r#"<path class="base" d="M{x:.1} {bottom}V{end}"/><text class="tick middle" x="{x:.1}" y="{text_y}">{label}</text>"#
            ));
        }
    }

    /// A path through points in the SVG's units, broken where there are none.
    fn line(&mut self, class: &str, points: impl IntoIterator<Item = Option<(f64, f64)>>) {
        let mut path = String::new();
        let (mut number, mut is_open, mut alone) = (0_usize, false, false);
        for point in points {
            let Some((x, y)) = point else {
                close(&mut path, alone);
                (is_open, alone) = (false, false);
                continue;
            };
            let command = if is_open { 'L' } else { 'M' };
            let _ = write!(path, "{command}{x:.1} {y:.1}");
            (is_open, alone) = (true, !is_open);
            number += 1;
        }
        close(&mut path, alone);
        if number > 0 {
            self.add(format_args!(r#"<path class="mark line {class}" data-points="{number}" d="{path}"/>"#));
        }
    }

    /// The area between an upper line and a lower one.
    fn area(&mut self, class: &str, upper: &[(f64, f64)], lower: &[(f64, f64)]) {
        if upper.is_empty() {
            return;
        }
        let mut path = String::new();
        for (at, (x, y)) in upper.iter().chain(lower.iter().rev()).enumerate() {
            let command = if at == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{command}{x:.1} {y:.1}");
        }
        let number = upper.len();
        self.add(format_args!(r#"<path class="mark area {class}" data-points="{number}" d="{path}Z"/>"#));
    }

    /// A limit that is not to be crossed.
    fn limit(&mut self, y: f64, label: &str) {
        let (right, text_x, text_y) = (self.frame.right(), self.frame.right() - 6.0, y - 5.0);
        let label = Text(label);
        self.add(format_args!(
            r#"<path class="limit" d="M{LEFT} {y:.1}H{right}"/><text class="tick end strong" x="{text_x}" y="{text_y:.1}">{label}</text>"#
        ));
    }

    /// A column that tells its values where the pointer rests.
    fn column(&mut self, from: f64, to: f64, words: &str) {
        let (height, width) = (self.frame.bottom() - TOP, to - from);
        let words = Text(words);
        self.add(format_args!(
            r#"<rect class="hover" x="{from:.1}" y="{TOP}" width="{width:.1}" height="{height}"><title>{words}</title></rect>"#
        ));
    }

    fn add(&mut self, words: std::fmt::Arguments<'_>) {
        // Text grows without failing.
        let _ = self.svg.write_fmt(words);
    }

    fn finish(self) -> String {
        self.svg + "</svg>"
    }
}

/// A point with no neighbour is a dot: round ends make it one.
fn close(path: &mut String, alone: bool) {
    if alone {
        path.push_str("h.1");
    }
}

/// An entry of a legend: the class that colours it, and its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) class: String,
    pub(super) words: String,
}

/// A line in the making: where on its axis, and the value there, if any.
pub(super) type Line = Vec<(f64, Option<f64>)>;

/// A plot with its legend; none where there is nothing to draw.
#[derive(Debug, Clone)]
pub(super) struct Plotted {
    pub(super) svg: String,
    pub(super) legend: Vec<Key>,
}
