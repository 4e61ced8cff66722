//! Objectives: what a run must show, whether it did, and the verdict that follows.

mod figure;

use std::fmt;
use std::str::FromStr;

use self::figure::Unit;
pub(crate) use self::figure::{Better, Figure};
use crate::measurement::{Judged, Measurement, Verdict, VerdictKind};

/// Something a run must show: `ack.p99<100ms`, `lost==0`, `undecided<0.1%`, `rate>=90000/s`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Objective {
    text: String,
    figure: Figure,
    /// Of what there could have been, in percent.
    is_share: bool,
    relation: Relation,
    /// In the unit of the figure, or in percent.
    limit: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Below,
    AtMost,
    Equal,
    AtLeast,
    Above,
}

/// Why a text is no objective; one line that says what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ObjectiveError {
    #[error(
        "{text:?} is no objective: FIGURE, one of < <= == >= >, and a limit are wanted, as in ack.p99<100ms, \
         lost==0, undecided<0.1% or rate>=90000/s"
    )]
    NoRelation { text: String },
    #[error("{text:?} is no objective: {reason}")]
    Figure { text: String, reason: String },
    #[error("{text:?} is no objective: its limit must be {wanted}")]
    Limit { text: String, wanted: &'static str },
}

impl FromStr for Objective {
    type Err = ObjectiveError;

    fn from_str(text: &str) -> Result<Self, ObjectiveError> {
        let text = text.trim();
        let (name, relation, limit) =
            Relation::split(text).ok_or_else(|| ObjectiveError::NoRelation { text: text.to_owned() })?;
        let figure: Figure =
            name.parse().map_err(|reason| ObjectiveError::Figure { text: text.to_owned(), reason })?;
        let share = limit.strip_suffix('%').filter(|_| figure.is_part());
        let limit_ = share.map_or_else(|| figure.unit().parse(limit), number);
        let wanted = if figure.is_part() {
            "a number such as 0, or a share such as 0.1%"
        } else {
            figure.unit().wanted()
        };
        let limit = limit_.ok_or_else(|| ObjectiveError::Limit { text: text.to_owned(), wanted })?;
        Ok(Self { text: text.to_owned(), figure, is_share: share.is_some(), relation, limit })
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Relation {
    const ALL: [(&str, Self); 5] = [
        ("<=", Self::AtMost),
        (">=", Self::AtLeast),
        ("==", Self::Equal),
        ("<", Self::Below),
        (">", Self::Above),
    ];

    fn split(text: &str) -> Option<(&str, Self, &str)> {
        let at = text.find(['<', '>', '='])?;
        let (name, rest) = text.split_at(at);
        let (sign, relation) = Self::ALL.into_iter().find(|(sign, _)| rest.starts_with(sign))?;
        let limit = rest.strip_prefix(sign)?;
        Some((name.trim_end(), relation, limit.trim_start()))
    }

    fn holds(self, measured: f64, limit: f64) -> bool {
        match self {
            Self::Below => measured < limit,
            Self::AtMost => measured <= limit,
            Self::Equal => measured.total_cmp(&limit).is_eq(),
            Self::AtLeast => measured >= limit,
            Self::Above => measured > limit,
        }
    }
}

impl Objective {
    /// What was measured, in the unit of the objective: microseconds, percent, or a plain number.
    pub(crate) fn measured(&self, measurement: &Measurement) -> Option<f64> {
        if self.is_share { self.figure.percent(measurement) } else { self.figure.read(measurement) }
    }

    /// What was not measured does not hold.
    pub(crate) fn judge(&self, measurement: &Measurement) -> Judged {
        let measured = self.measured(measurement);
        let holds = measured.is_some_and(|measured| self.relation.holds(measured, self.limit));
        Judged { objective: self.text.clone(), measured, holds }
    }

    /// The figure that it is about.
    pub(crate) const fn figure(&self) -> &Figure {
        &self.figure
    }

    /// The limit, in the unit of [`measured`](Self::measured).
    pub(crate) const fn limit(&self) -> f64 {
        self.limit
    }

    /// Whether the limit is one that less is better than.
    pub(crate) const fn is_ceiling(&self) -> bool {
        matches!(self.relation, Relation::Below | Relation::AtMost)
    }

    /// A measured value for people.
    pub(crate) fn show(&self, measured: f64) -> String {
        if self.is_share { Unit::Percent.show(measured) } else { self.figure.unit().show(measured) }
    }
}

/// Judges every objective.
pub(crate) fn judge(objectives: &[Objective], measurement: &Measurement) -> Vec<Judged> {
    objectives.iter().map(|objective| objective.judge(measurement)).collect()
}

/// What a judged objective measured, for people.
pub(crate) fn measured_text(judged: &Judged) -> String {
    match (judged.measured, judged.objective.parse::<Objective>()) {
        (None, _) => "not measured".to_owned(),
        (Some(measured), Ok(objective)) => objective.show(measured),
        (Some(measured), Err(_)) => measured.to_string(),
    }
}

impl Verdict {
    /// What follows: a run that proves nothing is neither passed nor failed.
    pub(crate) fn of(
        objectives: Vec<Judged>,
        invalid_because: Vec<String>,
        mut caveats: Vec<String>,
    ) -> Self {
        const NONE_SET: &str = "no objective was set";
        if objectives.is_empty() && !caveats.iter().any(|caveat| caveat == NONE_SET) {
            caveats.push(NONE_SET.to_owned());
        }
        let kind = if !invalid_because.is_empty() {
            VerdictKind::Invalid
        } else if objectives.iter().all(|judged| judged.holds) {
            VerdictKind::Pass
        } else {
            VerdictKind::Fail
        };
        Self { kind, objectives, invalid_because, caveats }
    }
}

/// A number as people write it: `90000`, `90_000`, `0.1`.
fn number(text: &str) -> Option<f64> {
    let text = text.trim().replace('_', "");
    let begins_well = text.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    text.parse().ok().filter(|number: &f64| begins_well && number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::sample;

    fn judged(text: &str, measurement: &Measurement) -> Judged {
        text.parse::<Objective>().unwrap().judge(measurement)
    }

    #[test]
    fn objectives_are_judged_in_their_own_units() {
        let mut measurement = sample::quiet();
        let ack = sample::latency([500, 500, 800, 99_000]);
        measurement.latencies =
            [("ack".to_owned(), ack), ("daemon.acked".to_owned(), sample::latency([7]))].into();
        measurement.counts.sent = 2_000;
        measurement.counts.undecided = 1;
        measurement.counts.acked_measured = 900_000;
        measurement.window.measured_s = 10.0;
        for (text, measured, holds) in [
            ("ack.p50<=500us", 500.0, true),
            ("ack.p50<500us", 500.0, false),
            ("ack.p99<100ms", 99_007.0, true),
            ("ack.p99.9 < 0.05s", 99_007.0, false),
            ("ack.max<=1m", 99_007.0, true),
            ("ack.count==4", 4.0, true),
            ("daemon.acked.p99<1s", 7.0, true),
            ("lost==0", 0.0, true),
            ("undecided==0", 1.0, false),
            ("undecided<0.1%", 0.05, true),
            ("undecided<0.05%", 0.05, false),
            ("rate>=90000/s", 90_000.0, true),
            ("rate>90_000", 90_000.0, false),
        ] {
            let expected = Judged { objective: text.to_owned(), measured: Some(measured), holds };
            assert_eq!(judged(text, &measurement), expected);
        }
    }

    #[test]
    fn what_was_not_measured_does_not_hold() {
        let nothing = sample::empty();
        for text in
            ["ack.p99<1h", "lost==0", "rate>=0", "sampled.missing==0", "dead_lettered==0", "undecided<100%"]
        {
            let expected = Judged { objective: text.to_owned(), measured: None, holds: false };
            assert_eq!(judged(text, &nothing), expected);
            assert_eq!(measured_text(&expected), "not measured");
        }
    }

    #[test]
    fn a_text_that_is_no_objective_is_told_what_is_allowed() {
        for (text, part) in [
            ("fast", "as in ack.p99<100ms"),
            ("ack.p99", "one of < <= == >= >"),
            ("ack.p99=1s", "one of < <= == >= >"),
            ("ack.p98<1s", "p50, p90, p99, p99.9, p99.99, max, mean, count"),
            ("acc.p99<1s", "is ack meant?"),
            ("daemon.<1s", "figures are"),
            ("lots==0", "is lost meant?"),
            ("ack.p99<100", "its limit must be a time such as 100ms"),
            ("ack.p99<-1s", "its limit must be a time such as 100ms"),
            ("ack.p99<infs", "its limit must be a time such as 100ms"),
            ("ack.p99<1%", "its limit must be a time such as 100ms"),
            ("lost==few", "a number such as 0, or a share such as 0.1%"),
            ("rate>=1%", "a rate such as 90000/s"),
        ] {
            let error = text.parse::<Objective>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{text:?} is no objective: ")), "{error}");
            assert!(error.contains(part) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn invalid_weighs_more_than_failed_and_failed_more_than_passed() {
        let held = Judged { objective: "lost==0".to_owned(), measured: Some(0.0), holds: true };
        let missed = Judged { holds: false, ..held.clone() };
        let kind = |objectives: &[&Judged], because: &[&str]| {
            let objectives = objectives.iter().map(|&judged| judged.clone()).collect();
            Verdict::of(objectives, because.iter().map(|&text| text.to_owned()).collect(), Vec::new()).kind
        };
        assert_eq!(kind(&[&held], &[]), VerdictKind::Pass);
        assert_eq!(kind(&[&held, &missed], &[]), VerdictKind::Fail);
        assert_eq!(kind(&[&held, &missed], &["late"]), VerdictKind::Invalid);
        let empty = Verdict::of(Vec::new(), Vec::new(), Vec::new());
        assert_eq!((empty.kind, empty.caveats), (VerdictKind::Pass, vec!["no objective was set".to_owned()]));
    }
}
