//! Looks at a run each second: for the series, the interval log, the live view, and whether it is worth going on.

use std::io;
use std::time::Duration;

use super::course::Course;
use super::histograms::Histograms;
use super::live::{Live, Moment};
use super::recorder::Tally;
use super::timeline::{Timeline, Vitals};
use crate::measurement::{HeatMap, Series};

/// A look a second.
#[derive(Debug)]
pub(crate) struct Observer<'o> {
    timeline: Timeline,
    interval: Histograms,
    second: u64,
    live: Live<'o>,
}

impl<'o> Observer<'o> {
    /// For a run of at most so long.
    pub(crate) fn new(longest: Duration, live: Live<'o>) -> Self {
        Self { timeline: Timeline::new(longest), interval: Histograms::default(), second: 0, live }
    }

    /// Takes in the second that is over; returns whether an objective cannot be met any more.
    pub(crate) fn second(
        &mut self,
        course: &Course,
        generator_cores: Option<f64>,
        gateways: usize,
    ) -> io::Result<bool> {
        self.second += 1;
        self.interval.clear();
        let tally = course.recorder.look(&mut self.interval);
        let vitals = Vitals { generator_cores, ..Vitals::default() };
        self.timeline.second(&self.interval, &tally, vitals);
        let moment =
            Moment { second: self.second, tally: &tally, interval: &self.interval, vitals, gateways };
        self.live.show(course, &moment)?;
        Ok(false)
    }

    /// Everything over time, and the counts at the end.
    pub(crate) fn finish(mut self, course: &Course) -> (Series, HeatMap, Tally) {
        self.interval.clear();
        let tally = course.recorder.look(&mut self.interval);
        self.timeline.second(&self.interval, &tally, Vitals::default());
        let (series, heat) = self.timeline.finish(&tally);
        (series, heat, tally)
    }
}
