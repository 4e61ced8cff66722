//! What a round does: its faults and their actions by time, drawn by the seed.

use crate::fault::{Action, Fault};
use crate::random::Random;

/// How long gateways hear sightings in a round, in milliseconds.
const LOAD_MS: std::ops::Range<u64> = 2_500..4_000;

/// Faults of a round at most.
const MOST_FAULTS: u64 = 4;

/// A round.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) load_ms: u64,
    pub(crate) faults: Vec<Fault>,
    /// In order of time, in milliseconds from the begin.
    pub(crate) actions: Vec<(u64, Action)>,
}

impl Plan {
    /// Draws one of these faults.
    pub(crate) fn draw(from: &[Fault], random: &mut Random) -> Self {
        let load_ms = random.within(LOAD_MS);
        let mut faults: Vec<Fault> = Vec::new();
        for _ in 0..random.within(1..MOST_FAULTS + 1) {
            let fault = from[random.index(from.len())];
            if !faults.contains(&fault) {
                faults.push(fault);
            }
        }
        let mut actions: Vec<(u64, Action)> =
            faults.iter().flat_map(|fault| fault.actions(load_ms, random)).collect();
        // Stable: what a fault does at one time it does in its order.
        actions.sort_by_key(|(at_ms, _)| *at_ms);
        Self { load_ms, faults, actions }
    }
}

/// A defect that is built into the daemon of the torture, and the faults that show it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mutant {
    pub(crate) name: &'static str,
    faults: &'static [Fault],
}

/// All of them.
pub(crate) const MUTANTS: [Mutant; 6] = [
    Mutant { name: "ack-before-sync", faults: &[Fault::PowerLoss] },
    Mutant { name: "cursor-before-commit", faults: &[Fault::Blackout, Fault::PostgresCrash, Fault::Killed] },
    Mutant { name: "unprocessed-ignored", faults: &[Fault::Unprocessed] },
    Mutant { name: "window-not-rebuilt", faults: &[Fault::Blackout, Fault::Killed] },
    Mutant { name: "lean-on-failed-sync", faults: &[Fault::SyncFails] },
    Mutant { name: "repeat-by-sequence", faults: &[Fault::Killed, Fault::GatewaysCut] },
];

/// The faults that rounds are drawn from: those of a mutant, those whose names contain one of these words, or all.
pub(crate) fn faults(mutant: Option<Mutant>, only: &[String], has_volume: bool) -> Vec<Fault> {
    let all = mutant.map_or(Fault::ALL.as_slice(), |mutant| mutant.faults);
    let is_named = |fault: &Fault| only.is_empty() || only.iter().any(|words| fault.name().contains(words));
    let is_possible = |fault: &Fault| has_volume || !fault.needs_volume();
    all.iter().copied().filter(|fault| is_named(fault) && is_possible(fault)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seed_repeats_a_plan() {
        let plan = |seed| format!("{:?}", Plan::draw(&Fault::ALL, &mut Random::new(seed)));
        assert_eq!(plan(3), plan(3));
        assert_ne!(plan(3), plan(4));
    }

    #[test]
    fn actions_are_in_order_and_within_the_round() {
        for seed in 0..500 {
            let plan = Plan::draw(&Fault::ALL, &mut Random::new(seed));
            assert!(!plan.faults.is_empty());
            assert!(plan.actions.is_sorted_by_key(|(at_ms, _)| *at_ms), "{plan:?}");
            assert!(plan.actions.iter().all(|(at_ms, _)| *at_ms <= plan.load_ms), "{plan:?}");
        }
    }
}
