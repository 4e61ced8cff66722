//! From what checks came to, to a verdict on every rule.

use serde::Serialize;

use super::check::{Held, Stop};
use super::rules::{RULES, Rule, Side};

/// What is known of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub(super) enum Verdict {
    /// Every check of it passed.
    Kept { checks: Vec<&'static str> },
    /// What was seen, and in which check.
    Broken { seen: Vec<Breach> },
    /// Why.
    NotTried { why: String },
}

/// A breach of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Breach {
    pub(super) check: &'static str,
    pub(super) seen: String,
}

/// A rule and what is known of it.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) rule: Rule,
    pub(super) verdict: Verdict,
}

/// How many rules are what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Tally {
    pub(super) kept: usize,
    pub(super) broken: usize,
    pub(super) not_tried: usize,
    /// Of those not tried.
    pub(super) bind_the_other_side: usize,
}

/// The verdict on every rule; `untried` says why a rule that no check is about is not tried.
pub(super) fn judge(side: Side, held: &[Held], untried: impl Fn(u8) -> &'static str) -> Vec<Judged> {
    RULES.into_iter().map(|rule| Judged { rule, verdict: verdict(side, rule, held, &untried) }).collect()
}

fn verdict(side: Side, rule: Rule, held: &[Held], untried: impl Fn(u8) -> &'static str) -> Verdict {
    let number = rule.number;
    let mut seen: Vec<Breach> = Vec::new();
    let mut checks = Vec::new();
    let mut whys = Vec::new();
    for held in held {
        let about = held.rules.contains(&number);
        let unsaid = held.unsaid.iter().find(|(rule, _)| *rule == number);
        match (&held.outcome, unsaid) {
            (Err(Stop::Broken { rule, seen: what }), _) if *rule == number => {
                seen.push(Breach { check: held.check, seen: what.clone() });
            }
            (_, Some((_, why))) => whys.push(why.clone()),
            (Ok(()), None) if about => checks.push(held.check),
            (Err(Stop::Broken { rule, .. }), None) if about => {
                whys.push(format!("\"{}\" ended with a breach of R{rule}", held.check));
            }
            (Err(Stop::NotTried(why)), None) if about => whys.push(format!("\"{}\": {why}", held.check)),
            _ => {}
        }
    }
    if !seen.is_empty() {
        return Verdict::Broken { seen };
    }
    if !checks.is_empty() {
        return Verdict::Kept { checks };
    }
    if !rule.parties.include(side) {
        let other = if side == Side::Gateway { Side::Daemon } else { Side::Gateway };
        return Verdict::NotTried { why: format!("binds the {}", other.word()) };
    }
    Verdict::NotTried { why: whys.into_iter().next().unwrap_or_else(|| untried(number).to_owned()) }
}

/// Counts the verdicts.
pub(super) fn tally(judged: &[Judged], side: Side) -> Tally {
    let mut tally = Tally::default();
    for Judged { rule, verdict } in judged {
        match verdict {
            Verdict::Kept { .. } => tally.kept += 1,
            Verdict::Broken { .. } => tally.broken += 1,
            Verdict::NotTried { .. } => {
                tally.not_tried += 1;
                tally.bind_the_other_side += usize::from(!rule.parties.include(side));
            }
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::super::check::{broken, not_tried};
    use super::*;

    fn held(check: &'static str, rules: &'static [u8], outcome: super::super::check::Outcome) -> Held {
        Held { check, rules, outcome, unsaid: Vec::new() }
    }

    fn of(judged: &[Judged], number: u8) -> &Verdict {
        &judged[usize::from(number) - 1].verdict
    }

    #[test]
    fn a_rule_is_kept_when_a_check_of_it_passed_and_none_saw_it_broken() {
        let held = [
            held("first", &[1, 2], Ok(())),
            held("second", &[2, 4], Err(broken(4, "it took trailing bytes"))),
            held("third", &[4, 15], Ok(())),
            held("fourth", &[20], Err(not_tried("it takes too long"))),
        ];
        let judged = judge(Side::Daemon, &held, |_| "nobody can see it");
        assert_eq!(*of(&judged, 1), Verdict::Kept { checks: vec!["first"] });
        assert_eq!(*of(&judged, 2), Verdict::Kept { checks: vec!["first"] });
        let breach = Breach { check: "second", seen: "it took trailing bytes".to_owned() };
        assert_eq!(*of(&judged, 4), Verdict::Broken { seen: vec![breach] });
        assert_eq!(*of(&judged, 15), Verdict::Kept { checks: vec!["third"] });
        let why = |number| match of(&judged, number) {
            Verdict::NotTried { why } => why.as_str(),
            other => panic!("{other:?}"),
        };
        assert_eq!(why(20), "\"fourth\": it takes too long");
        assert_eq!(why(28), "nobody can see it");
        assert_eq!(why(13), "binds the gateway");
        let tally = tally(&judged, Side::Daemon);
        assert_eq!((tally.kept, tally.broken, tally.not_tried), (3, 1, 65));
    }
}
