//! Looks at a run each second: for the series, the interval log, the live view, and whether it is worth going on.

use std::io;
use std::time::Duration;

use super::course::Course;
use super::daemon::DaemonView;
use super::histograms::Histograms;
use super::live::{Live, Moment};
use super::recorder::Tally;
use super::result;
use super::timeline::{Timeline, Vitals};
use crate::artifacts::IntervalLog;
use crate::measurement::{HeatMap, Latency, Measurement, Series, Window};
use crate::slo::{self, Objective};

/// The shortest part of a run that is judged while it goes on.
const JUDGED_AFTER_S: f64 = 10.0;

/// What becomes of what is seen.
#[derive(Debug)]
pub(crate) struct Observer<'o> {
    pub(crate) timeline: Timeline,
    pub(crate) log: IntervalLog,
    pub(crate) daemon: Option<DaemonView>,
    pub(crate) objectives: &'o [Objective],
    pub(crate) abort_on_fail: bool,
    pub(crate) live: Live<'o>,
    pub(crate) interval: Histograms,
    pub(crate) second: u64,
}

impl Observer<'_> {
    /// Takes in the second that is over; returns whether an objective cannot be met any more.
    ///
    /// # Errors
    /// When the interval log or the live view cannot be written.
    pub(crate) fn second(
        &mut self,
        course: &Course,
        generator_cores: Option<f64>,
        gateways: usize,
    ) -> io::Result<bool> {
        let tally = self.look(course)?;
        let vitals = self.daemon.as_ref().map(DaemonView::vitals).unwrap_or_default();
        let vitals = Vitals { generator_cores, ..vitals };
        self.timeline.second(&self.interval, &tally, vitals);
        let so_far = self.so_far(course, &tally);
        let judged = slo::judge(self.objectives, &so_far);
        let has_failed = so_far.window.measured_s >= JUDGED_AFTER_S
            && judged.iter().any(|judged| judged.measured.is_some() && !judged.holds);
        let moment = Moment {
            second: self.second,
            tally: &tally,
            interval: &self.interval,
            so_far: &so_far,
            judged: &judged,
            vitals,
            gateways,
        };
        self.live.show(&moment)?;
        Ok(self.abort_on_fail && has_failed)
    }

    /// Takes in what came after the last whole second; returns everything over time, and the counts at the end.
    ///
    /// # Errors
    /// When the interval log cannot be written.
    pub(crate) fn finish(mut self, course: &Course) -> io::Result<(Series, HeatMap, Tally)> {
        let tally = self.look(course)?;
        self.timeline.second(&self.interval, &tally, Vitals::default());
        self.log.flush()?;
        let (series, heat) = self.timeline.finish(&tally);
        Ok((series, heat, tally))
    }

    fn look(&mut self, course: &Course) -> io::Result<Tally> {
        self.interval.clear();
        let tally = course.recorder.look(&mut self.interval);
        let start = Duration::from_secs(self.second);
        for (metric, histogram) in self.interval.all() {
            self.log.write(metric.name(), start, Duration::from_secs(1), histogram)?;
        }
        self.second += 1;
        Ok(tally)
    }

    /// The document as far as objectives are about it, if the run were over now.
    fn so_far(&self, course: &Course, tally: &Tally) -> Measurement {
        let ran_s = (self.second as f64).min(course.scenario.load.duration.as_secs_f64());
        let warm_up_s = course.scenario.load.warm_up.as_secs_f64().min(ran_s);
        let measured = course.recorder.measured();
        let latencies = measured.all();
        let latencies =
            latencies.map(|(metric, histogram)| (metric.name().to_owned(), Latency::in_short(histogram)));
        Measurement {
            window: Window { warm_up_s, measured_s: ran_s - warm_up_s, drained_s: 0.0 },
            counts: result::counts(tally),
            latencies: latencies.collect(),
            ..Measurement::default()
        }
    }
}
