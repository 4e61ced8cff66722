//! How a run went over time: points for plots and a heat map, at most so many however long it lasts.

use std::time::Duration;

use beacon_protocol::OUTCOME_CODES;

use super::histograms::{Histograms, Metric};
use super::recorder::Tally;
use crate::measurement::{HeatMap, Point, Series};

/// Points of a run at most.
const MAX_POINTS: u64 = 1_200;
/// Rows of the heat map for each factor of ten, from [`HEAT_BEGIN_US`] over [`HEAT_DECADES`].
const HEAT_ROWS_A_DECADE: u32 = 8;
const HEAT_BEGIN_US: f64 = 10.0;
const HEAT_DECADES: u32 = 7;

/// What is known of an interval beside the notes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Vitals {
    pub(crate) generator_cores: Option<f64>,
    pub(crate) daemon_cores: Option<f64>,
    pub(crate) daemon_memory_bytes: Option<u64>,
    pub(crate) waiting_record: Option<u64>,
    pub(crate) waiting_events: Option<u64>,
}

/// The points so far.
#[derive(Debug)]
pub(crate) struct Timeline {
    seconds_a_point: u64,
    seconds: u64,
    /// Of the point in the making.
    gathered: Histograms,
    vitals: Vec<Vitals>,
    before: Tally,
    series: Series,
    heat: HeatMap,
}

impl Timeline {
    /// For a run of at most so long.
    pub(crate) fn new(longest: Duration) -> Self {
        let seconds_a_point = longest.as_secs().div_ceil(MAX_POINTS).max(1);
        let rows = HEAT_ROWS_A_DECADE * HEAT_DECADES;
        let bound = |row: u32| {
            let bound = HEAT_BEGIN_US * 10_f64.powf(f64::from(row) / f64::from(HEAT_ROWS_A_DECADE));
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "10 to 1e8")]
            let bound = bound.round() as u64;
            bound
        };
        let every_s = seconds_a_point as f64;
        Self {
            seconds_a_point,
            seconds: 0,
            gathered: Histograms::default(),
            vitals: Vec::new(),
            before: Tally::default(),
            series: Series { every_s, points: Vec::new() },
            heat: HeatMap { every_s, rows_us: (0..=rows).map(bound).collect(), columns: Vec::new() },
        }
    }

    /// Adds a second: what was noted in it, and the counts at its end.
    pub(crate) fn second(&mut self, interval: &Histograms, tally: &Tally, vitals: Vitals) {
        self.seconds += 1;
        self.gathered.add(interval);
        self.vitals.push(vitals);
        if self.seconds.is_multiple_of(self.seconds_a_point) {
            self.end_point(tally);
        }
    }

    /// The last point, whole or not, and everything before it.
    pub(crate) fn finish(mut self, tally: &Tally) -> (Series, HeatMap) {
        if !self.vitals.is_empty() {
            self.end_point(tally);
        }
        (self.series, self.heat)
    }

    fn end_point(&mut self, tally: &Tally) {
        let quantile = |metric, quantile| {
            self.gathered.of(metric).map(|histogram| histogram.value_at_quantile(quantile))
        };
        let largest = |metric| self.gathered.of(metric).map(hdrhistogram::Histogram::max);
        let before = &self.before;
        let mut outcomes = [0; OUTCOME_CODES];
        for (outcome, (now, then)) in outcomes.iter_mut().zip(tally.outcomes.iter().zip(before.outcomes)) {
            *outcome = now - then;
        }
        let vitals = self.vitals.last().copied().unwrap_or_default();
        self.series.points.push(Point {
            at_s: self.seconds as f64,
            sent: tally.sent - before.sent,
            acked: tally.acked - before.acked,
            outcomes,
            in_flight: tally.in_flight(),
            ack_p50_us: quantile(Metric::Ack, 0.50),
            ack_p99_us: quantile(Metric::Ack, 0.99),
            ack_max_us: largest(Metric::Ack),
            lag_p99_us: quantile(Metric::Lag, 0.99),
            lag_max_us: largest(Metric::Lag),
            stored_p99_us: quantile(Metric::Stored, 0.99),
            generator_cores: mean(self.vitals.iter().filter_map(|vitals| vitals.generator_cores)),
            daemon_cores: mean(self.vitals.iter().filter_map(|vitals| vitals.daemon_cores)),
            daemon_memory_bytes: vitals.daemon_memory_bytes,
            waiting_record: vitals.waiting_record,
            waiting_events: vitals.waiting_events,
        });
        self.heat.columns.push(column(&self.heat.rows_us, &self.gathered));
        self.gathered.clear();
        self.vitals.clear();
        self.before = tally.clone();
    }
}

/// Answers by row.
fn column(rows_us: &[u64], gathered: &Histograms) -> Vec<u64> {
    let mut column = vec![0; rows_us.len()];
    let Some(histogram) = gathered.of(Metric::Ack) else { return column };
    for value in histogram.iter_recorded() {
        let row = rows_us.partition_point(|bound| *bound < value.value_iterated_to());
        if let Some(cell) = column.get_mut(row.min(rows_us.len() - 1)) {
            *cell += value.count_since_last_iteration();
        }
    }
    column
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(timeline: &mut Timeline, count: u64) -> Tally {
        let mut tally = Tally::default();
        for second in 1..=count {
            let mut interval = Histograms::default();
            interval.record(Metric::Ack, Duration::from_millis(second));
            tally.sent += 10;
            tally.acked += 9;
            timeline.second(&interval, &tally, Vitals { generator_cores: Some(0.5), ..Vitals::default() });
        }
        tally
    }

    #[test]
    fn a_long_run_has_as_many_points_as_a_plot_has_room_for_and_they_add_up() {
        let mut timeline = Timeline::new(Duration::from_secs(3_000));
        let tally = seconds(&mut timeline, 3_000);
        let (series, heat) = timeline.finish(&tally);
        assert_eq!((series.points.len(), heat.columns.len(), series.every_s), (1_000, 1_000, 3.0));
        assert_eq!(series.points.iter().map(|point| point.acked).sum::<u64>(), tally.acked);
        assert_eq!(heat.columns.iter().flatten().sum::<u64>(), 3_000);
        let last = series.points.last().unwrap();
        assert_eq!((last.at_s, last.generator_cores), (3_000.0, Some(0.5)));
        assert!(last.ack_max_us.unwrap().abs_diff(3_000_000) < 3_000);
    }

    #[test]
    fn a_last_second_that_makes_no_whole_point_is_in_the_last_one() {
        let mut timeline = Timeline::new(Duration::from_secs(2_400));
        let tally = seconds(&mut timeline, 5);
        let (series, _) = timeline.finish(&tally);
        let sent: Vec<_> = series.points.iter().map(|point| point.sent).collect();
        assert_eq!(sent, [20, 20, 10]);
    }

    #[test]
    fn what_is_longer_than_the_map_is_in_its_last_row() {
        let mut interval = Histograms::default();
        interval.record(Metric::Ack, Duration::from_secs(1_000));
        interval.record(Metric::Ack, Duration::from_micros(1));
        let mut timeline = Timeline::new(Duration::from_secs(10));
        timeline.second(&interval, &Tally::default(), Vitals::default());
        let (_, heat) = timeline.finish(&Tally::default());
        assert_eq!((heat.rows_us.first(), heat.rows_us.last()), (Some(&10), Some(&100_000_000)));
        let column = &heat.columns[0];
        assert_eq!((column.first(), column.last()), (Some(&1), Some(&1)));
    }
}
