//! Makes the document of a run out of what was noted.

use std::collections::BTreeMap;

use anyhow::Context;
use beacon_protocol::{OUTCOME_CODES, OutcomeCode};

use super::daemon::DaemonSeen;
use super::engine::{Ended, Served};
use super::histograms::{Histograms, Metric};
use super::recorder::Tally;
use super::watch::Watched;
use crate::measurement::{
    Counts, FORMAT, HeatMap, Latency, Measurement, Series, Stamp, Verdict, VerdictKind, Window,
};
use crate::scenario::Scenario;
use crate::slo::{self, Objective};

/// Everything that was noted.
#[derive(Debug)]
pub(crate) struct Noted {
    /// From the begin to the end.
    pub(crate) ran_s: f64,
    /// Times of the measured window.
    pub(crate) measured: Histograms,
    pub(crate) tally: Tally,
    pub(crate) served: Served,
    pub(crate) watched: Watched,
    pub(crate) daemon: Option<DaemonSeen>,
    /// How often a gateway had to wait for the evidence's file.
    pub(crate) evidence_waits: u64,
    /// What went wrong last.
    pub(crate) trouble: Option<String>,
}

impl Noted {
    /// The document, verdict included.
    ///
    /// # Errors
    /// When a histogram cannot be written.
    pub(crate) fn measurement(
        self,
        scenario: &Scenario,
        objectives: &[Objective],
        stamp: Stamp,
        series: Series,
        heat: HeatMap,
    ) -> anyhow::Result<Measurement> {
        let warm_up_s = scenario.load.warm_up.as_secs_f64().min(self.ran_s);
        let mut measurement = Measurement {
            format: FORMAT,
            verdict: Verdict::default(),
            stamp,
            window: Window {
                warm_up_s,
                measured_s: self.ran_s - warm_up_s,
                drained_s: self.served.drained.as_secs_f64(),
            },
            counts: Counts {
                sampled: self.watched.sampled.clone(),
                reads: self.watched.reads.clone(),
                ..counts(&self.tally)
            },
            latencies: self.latencies()?,
            series,
            heat,
        };
        let judged = slo::judge(objectives, &measurement);
        let mut because = self.invalid_because(scenario);
        let answers = self.measured.of(Metric::Ack).map_or(0, |histogram| histogram.len());
        let nothing_is_missed = judged.iter().all(|judged| judged.holds);
        if answers < FEWEST_ANSWERS && nothing_is_missed {
            because.push("nothing was measured: no frame was due and answered after the warm-up".to_owned());
        }
        if judged.is_empty() {
            because.push("no objective was judged".to_owned());
        }
        let mut verdict = Verdict::of(judged, because, self.caveats());
        let has_failed = verdict.objectives.iter().any(|judged| judged.measured.is_some() && !judged.holds);
        // A failure that was seen before somebody ended the run is one.
        if has_failed && verdict.invalid_because == [INTERRUPTED] {
            verdict.kind = VerdictKind::Fail;
        }
        if self.served.ended == Ended::Aborted && verdict.kind == VerdictKind::Pass {
            verdict.kind = VerdictKind::Fail;
        }
        measurement.verdict = verdict;
        Ok(measurement)
    }

    /// The times by their names, the daemon's own included.
    fn latencies(&self) -> anyhow::Result<BTreeMap<String, Latency>> {
        let own = self.measured.all().map(|(metric, histogram)| (metric.name().to_owned(), histogram));
        let stages = self.daemon.iter().filter_map(|daemon| daemon.stages.as_ref()).flatten();
        let stages = stages.map(|(name, histogram)| (name.clone(), histogram));
        own.chain(stages)
            .map(|(name, histogram)| Ok((name, Latency::of(histogram).context("cannot write a histogram")?)))
            .collect()
    }

    /// Why a run proves nothing, a line each; nothing if it does.
    fn invalid_because(&self, scenario: &Scenario) -> Vec<String> {
        let Self { tally, served, evidence_waits, .. } = self;
        let mut because = Vec::new();
        let limit = scenario.verdict.lag_limit;
        let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        let late = share(tally.frames_late, tally.frames_scheduled);
        if late > scenario.verdict.lag_share {
            because.push(format!(
                "the generator made {:.1}% of its frames more than {limit} late (allowed: {:.1}%)",
                late * 100.0,
                scenario.verdict.lag_share * 100.0
            ));
        }
        let timekeeping = served.timekeeping;
        let late = share(timekeeping.late, timekeeping.ticks);
        if late > scenario.verdict.lag_share {
            because.push(format!(
            "the generator's own clockwork was more than {limit} late in {:.1}% of the time, up to {:.0} ms: it got no \
             processor",
            late * 100.0,
            timekeeping.latest.as_secs_f64() * 1e3
        ));
        }
        if *evidence_waits > 0 {
            because.push(format!(
            "{evidence_waits} times a gateway waited for the evidence's file: the disk does not keep up, --no-evidence does \
             without"
        ));
        }
        if served.ended == Ended::InTime && tally.sent != tally.acked + tally.lost + tally.undecided_left {
            because.push(format!(
                "the load tester's own books do not balance: {} sent, {} acknowledged, {} lost, {} undecided",
                tally.sent, tally.acked, tally.lost, tally.undecided_left
            ));
        }
        if matches!(served.ended, Ended::Interrupted | Ended::AtOnce) {
            because.push(INTERRUPTED.to_owned());
        }
        because
    }

    fn caveats(&self) -> Vec<String> {
        let mut caveats = Vec::new();
        match self.served.ended {
            Ended::InTime => {}
            Ended::Interrupted | Ended::AtOnce => caveats.push(INTERRUPTED.to_owned()),
            Ended::Aborted => {
                caveats.push("it was ended early: an objective could not be met any more".to_owned());
            }
        }
        let beyond = self.measured.beyond();
        if beyond > 0 {
            caveats.push(format!("{beyond} times were longer than an hour and are in no histogram"));
        }
        caveats.extend(self.trouble.as_ref().map(|trouble| format!("last trouble: {trouble}")));
        caveats.extend(self.watched.caveats.iter().cloned());
        caveats.extend(self.daemon.iter().filter_map(|daemon| daemon.trouble.clone()));
        caveats
    }
}

/// What a run that somebody ended says of itself.
const INTERRUPTED: &str = "it was interrupted";
/// Fewer answers in the measured window prove nothing.
const FEWEST_ANSWERS: u64 = 1;

/// The counts as the document tells them.
pub(crate) fn counts(tally: &Tally) -> Counts {
    Counts {
        sent: tally.sent,
        sent_measured: tally.sent_measured,
        acked: tally.acked,
        acked_measured: tally.acked_measured,
        lost: tally.lost,
        wrong: tally.wrong,
        wrong_examples: tally.wrong_examples.clone(),
        undecided: tally.undecided(),
        undecided_left: tally.undecided_left,
        repeated: tally.repeated,
        dead_lettered: tally.dead_lettered,
        frames: tally.frames,
        retransmissions: tally.retransmissions,
        sessions: tally.sessions,
        sessions_lost: tally.sessions_lost,
        outcomes: by_label(&tally.outcomes),
        meant: by_label(&tally.meant),
        sampled: BTreeMap::new(),
        reads: BTreeMap::new(),
    }
}

fn by_label(counts: &[u64; OUTCOME_CODES]) -> BTreeMap<String, u64> {
    let codes = OutcomeCode::ALL.into_iter();
    let counts = codes.map(|code| (code.label().to_owned(), counts[usize::from(code.byte())]));
    counts.filter(|(_, count)| *count > 0).collect()
}
