//! How long answers took over time, as a heat map: what a percentile's line alone hides.

use std::fmt::Write as _;

use super::scale::seconds_text;
use super::{Drawing, Frame, Key, Line, MOST_POINTS, Plotted, Scale};
use crate::figures::count;
use crate::measurement::HeatMap;

/// More would be narrower than a few pixels.
const MOST_COLUMNS: usize = 240;
/// Shades, by powers of the count.
pub(in super::super) const SHADES: usize = 8;

/// What is plotted.
pub(in super::super) struct Heat<'a> {
    pub(in super::super) label: &'a str,
    pub(in super::super) map: &'a HeatMap,
    /// Times of lines over it, in seconds, with values in microseconds.
    pub(in super::super) lines: Vec<(Key, Line)>,
    pub(in super::super) show: fn(f64) -> String,
    pub(in super::super) measured: (f64, f64),
}

impl Heat<'_> {
    pub(in super::super) fn draw(&self) -> Option<Plotted> {
        let HeatMap { every_s, rows_us, columns } = self.map;
        let bin = columns.len().div_ceil(MOST_COLUMNS).max(1);
        let merged: Vec<Vec<u64>> = columns.chunks(bin).map(|bin| sums(bin, rows_us.len())).collect();
        let most = merged.iter().flatten().copied().max().filter(|most| *most > 0)?;
        let used = |row: &usize| merged.iter().any(|column| column.get(*row).is_some_and(|count| *count > 0));
        let (first, last) = ((0..rows_us.len()).find(used)?, (0..rows_us.len()).rfind(used)?);
        // Rows are bounded above by theirs and below by the one before.
        let floor = |row: usize| match row.checked_sub(1).and_then(|below| rows_us.get(below)) {
            Some(below) => *below as f64,
            None => rows_us.first().map_or(1.0, |above| *above as f64 / 2.0),
        };
        let ceiling = |row: usize| rows_us.get(row).map_or(1.0, |above| *above as f64);
        let scale = Scale::decades([floor(first), ceiling(last)]);
        let end_s = columns.len() as f64 * every_s;
        let mut drawing = Drawing::new(Frame::WIDE, self.label);
        drawing.phases(self.measured, end_s);
        drawing.y_axis(&scale, self.show);
        drawing.time_axis(end_s);
        let frame = drawing.frame;
        let column_s = every_s * bin as f64;
        let x = |column: usize| frame.x((column as f64 * column_s).min(end_s) / end_s);
        let mut shades: [(String, usize); SHADES] = std::array::from_fn(|_| (String::new(), 0));
        for (at, column) in merged.iter().enumerate() {
            for (row, &answers) in column.iter().enumerate().filter(|(_, answers)| **answers > 0) {
                let Some((path, number)) = shades.get_mut(shade(answers, most)) else { continue };
                let (from, to) = (x(at), x(at + 1));
                let (bottom, top) = (frame.y(scale.part(floor(row))), frame.y(scale.part(ceiling(row))));
                let _ = write!(path, "M{from:.1} {top:.1}H{to:.1}V{bottom:.1}H{from:.1}Z");
                *number += 1;
            }
        }
        for (shade, (path, number)) in shades.iter().enumerate().filter(|(_, (_, number))| *number > 0) {
            drawing
                .add(format_args!(r#"<path class="mark heat{shade}" data-points="{number}" d="{path}"/>"#));
        }
        for (key, line) in &self.lines {
            let points = line.chunks(line.len().div_ceil(MOST_POINTS).max(1)).map(|points| {
                let (at_s, _) = points.last()?;
                let us = points.iter().filter_map(|(_, us)| *us).max_by(f64::total_cmp)?;
                Some((frame.x(at_s / end_s), frame.y(scale.part(us))))
            });
            drawing.line(&key.class, points);
        }
        self.columns(&mut drawing, &merged, &x, (column_s, end_s));
        let mut legend: Vec<Key> = self.lines.iter().map(|(key, _)| key.clone()).collect();
        legend.push(Key { class: "ramp".to_owned(), words: format!("1 to {} answers", count(most)) });
        Some(Plotted { svg: drawing.finish(), legend })
    }

    fn columns(
        &self,
        drawing: &mut Drawing,
        merged: &[Vec<u64>],
        x: &impl Fn(usize) -> f64,
        (column_s, end_s): (f64, f64),
    ) {
        for (at, column) in merged.iter().enumerate() {
            let at_s = ((at + 1) as f64 * column_s).min(end_s);
            let longest = column.iter().rposition(|answers| *answers > 0);
            let longest = longest.and_then(|row| self.map.rows_us.get(row));
            let longest = longest.map_or_else(|| "none".to_owned(), |us| (self.show)(*us as f64));
            let answers = count(column.iter().sum());
            let mut words =
                format!("{}\nanswers: {answers}\nlongest: up to {longest}", seconds_text(at_s, end_s));
            for (key, line) in &self.lines {
                let of_column = line
                    .iter()
                    .filter(|(time_s, _)| *time_s > at_s - column_s - 1e-9 && *time_s <= at_s + 1e-9);
                if let Some(value) = of_column.filter_map(|(_, value)| *value).max_by(f64::total_cmp) {
                    words.push_str(&format!("\n{}: {}", key.words, (self.show)(value)));
                }
            }
            drawing.column(x(at), x(at + 1), &words);
        }
    }
}

fn sums(columns: &[Vec<u64>], rows: usize) -> Vec<u64> {
    let mut sum = vec![0; rows];
    for column in columns {
        for (sum, answers) in sum.iter_mut().zip(column) {
            *sum += answers;
        }
    }
    sum
}

/// The darkest for the most; a single answer still shows.
fn shade(answers: u64, most: u64) -> usize {
    let part = (answers as f64).ln_1p() / (most as f64).ln_1p();
    let above = (1..SHADES).filter(|shade| part > *shade as f64 / SHADES as f64);
    above.count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_shows_and_the_most_are_darkest() {
        assert_eq!(
            (shade(1, 1_000_000), shade(1_000_000, 1_000_000), shade(1, 1)),
            (0, SHADES - 1, SHADES - 1)
        );
    }
}
