//! Makes the document of a run out of what was noted.

use std::collections::BTreeMap;

use anyhow::Context;
use beacon_protocol::{OUTCOME_CODES, OutcomeCode};

use super::engine::{Ended, Served};
use super::histograms::{Histograms, Metric};
use super::recorder::Tally;
use crate::measurement::{Counts, Latency, VerdictKind, Window};
use crate::scenario::Scenario;

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
    }
}

fn by_label(counts: &[u64; OUTCOME_CODES]) -> BTreeMap<String, u64> {
    let codes = OutcomeCode::ALL.into_iter();
    let counts = codes.map(|code| (code.label().to_owned(), counts[usize::from(code.byte())]));
    counts.filter(|(_, count)| *count > 0).collect()
}

/// The times by their names.
///
/// # Errors
/// For want of memory.
pub(crate) fn latencies(measured: &Histograms) -> anyhow::Result<BTreeMap<String, Latency>> {
    let latencies = measured.all().map(|(metric, histogram)| {
        let latency = Latency::of(histogram).context("cannot write a histogram")?;
        Ok((metric.name().to_owned(), latency))
    });
    latencies.collect()
}

/// Which part of the run the figures are of.
pub(crate) fn window(scenario: &Scenario, ran_s: f64, served: &Served) -> Window {
    let warm_up_s = scenario.load.warm_up.as_secs_f64().min(ran_s);
    Window { warm_up_s, measured_s: ran_s - warm_up_s, drained_s: served.drained.as_secs_f64() }
}

/// Why a run proves nothing, a line each; nothing if it does.
pub(crate) fn invalid_because(
    scenario: &Scenario,
    tally: &Tally,
    measured: &Histograms,
    served: &Served,
    evidence_waits: u64,
) -> Vec<String> {
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
    if evidence_waits > 0 {
        because.push(format!(
            "{evidence_waits} times a gateway waited for the evidence's file: the disk does not keep up, --no-evidence does \
             without"
        ));
    }
    let answers = measured.of(Metric::Ack).map_or(0, |histogram| histogram.len());
    if answers < FEWEST_ANSWERS && tally.lost == 0 {
        because.push("nothing was measured: no frame was due and answered after the warm-up".to_owned());
    }
    if matches!(served.ended, Ended::Interrupted | Ended::AtOnce) {
        because.push("it was interrupted".to_owned());
    }
    because
}

/// Invalid outweighs all, but for a failure that was seen before an interruption.
pub(crate) fn kind(invalid_because: &[String], all_hold: bool, ended: Ended) -> VerdictKind {
    let is_proven = matches!(ended, Ended::Interrupted) && invalid_because.len() == 1 && !all_hold;
    match (invalid_because.is_empty() || is_proven, all_hold) {
        (false, _) => VerdictKind::Invalid,
        (true, true) => VerdictKind::Pass,
        (true, false) => VerdictKind::Fail,
    }
}
