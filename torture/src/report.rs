//! What the torture says: a line a round, a table at the end, and all there is to know of a breach.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::fault::Fault;
use crate::round::Outcome;

/// All rounds so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    rounds: u32,
    by_fault: BTreeMap<Fault, u32>,
    sightings: u64,
    identified: u64,
    stored: usize,
    undecided: u64,
    repeats: u64,
    refused_reuses: u64,
    decided_reuses: u64,
    readings: u64,
    lost: u64,
    took: Duration,
    longest: Duration,
}

impl Tally {
    pub(crate) fn take(&mut self, faults: &[Fault], outcome: &Outcome) {
        self.rounds += 1;
        for fault in faults {
            *self.by_fault.entry(*fault).or_default() += 1;
        }
        let evidence = &outcome.evidence;
        self.sightings += evidence.sightings;
        self.identified += evidence.identified;
        self.stored += outcome.stored;
        self.undecided += evidence.undecided;
        self.repeats += evidence.repeats;
        self.refused_reuses += evidence.refused_reuses;
        self.decided_reuses += evidence.decided_reuses;
        self.readings += outcome.readings;
        self.lost += outcome.lost.iter().max().copied().unwrap_or(0);
        self.took += outcome.took;
        self.longest = self.longest.max(outcome.took);
    }

    /// The table of faults, and the sums.
    pub(crate) fn table(&self) -> String {
        let mut lines = vec![format!("{:<40} rounds", "fault")];
        for fault in Fault::ALL {
            let rounds = self.by_fault.get(&fault).copied().unwrap_or(0);
            lines.push(format!("{:<40} {rounds:6}", fault.name()));
        }
        let (seconds, longest) = (self.took.as_secs_f64(), self.longest.as_secs_f64());
        lines.push(format!("{} rounds in {seconds:.0} s, the longest {longest:.1} s", self.rounds));
        lines.push(format!(
            "{} sightings, {} answered identified, {} identities stored, {} undecided and sent again",
            self.sightings, self.identified, self.stored, self.undecided
        ));
        lines.push(format!(
            "{} repeats told as such; of frames under an old sequence {} refused, {} decided as new",
            self.repeats, self.refused_reuses, self.decided_reuses
        ));
        lines.push(format!(
            "{} readings of the ledger, all in balance; {} identities named as lost to flipped bits",
            self.readings, self.lost
        ));
        lines.join("\n")
    }
}

/// The line of a round.
pub(crate) fn line(number: u32, seed: u64, faults: &[Fault], outcome: &Outcome) -> String {
    let names: Vec<&str> = faults.iter().map(|fault| fault.name()).collect();
    let evidence = &outcome.evidence;
    format!(
        "round {number:4} (seed {seed}): {} sightings, {} identified, {} stored, {:.1} s: {}",
        evidence.sightings,
        evidence.identified,
        outcome.stored,
        outcome.took.as_secs_f64(),
        names.join("; ")
    )
}

/// Breaches, a line each: all, or the first of each rule.
pub(crate) fn breaches(outcome: &Outcome, all: bool) -> String {
    let mut told: Vec<&str> = Vec::new();
    let mut lines = Vec::new();
    for breach in &outcome.breaches {
        if all || !told.contains(&breach.rule) {
            told.push(breach.rule);
            lines.push(format!("  ({}) {}", breach.rule, breach.what));
        }
    }
    lines.join("\n")
}
