//! What was checked, how many of it hold, and the first few that do not.

use std::io::{self, Write};

use serde::Serialize;

use crate::figures::count;

/// Breaches of one check that are worth printing.
pub(super) const SHOWN: usize = 5;

/// A check while it is made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) examined: u64,
    pub(super) broken: u64,
    pub(super) examples: Vec<String>,
}

impl Tally {
    /// Counts a breach, and puts down the first few.
    pub(super) fn breach(&mut self, what: impl FnOnce() -> String) {
        self.broken += 1;
        if self.examples.len() < SHOWN {
            self.examples.push(what());
        }
    }

    /// Adds what another has counted.
    pub(super) fn add(&mut self, other: Self) {
        self.examined += other.examined;
        self.broken += other.broken;
        let room = SHOWN.saturating_sub(self.examples.len());
        self.examples.extend(other.examples.into_iter().take(room));
    }
}

/// A check that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// `answers`, `i` to `v`, or `exact`.
    pub(super) check: &'static str,
    /// Where, if in a store.
    pub(super) store: Option<String>,
    /// What should hold.
    pub(super) what: String,
    pub(super) holds: bool,
    pub(super) examined: u64,
    pub(super) broken: u64,
    /// The first of those that do not hold.
    pub(super) examples: Vec<String>,
}

impl Finding {
    pub(super) fn new(check: &'static str, store: Option<&str>, what: &str, tally: Tally) -> Self {
        let Tally { examined, broken, examples } = tally;
        Self {
            check,
            store: store.map(str::to_owned),
            what: what.to_owned(),
            holds: broken == 0,
            examined,
            broken,
            examples,
        }
    }

    /// For people.
    pub(super) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let verdict = if self.holds { "ok" } else { "FAIL" };
        let store = self.store.as_ref().map_or_else(String::new, |store| format!("{store}: "));
        let (held, of) = (count(self.examined.saturating_sub(self.broken)), count(self.examined));
        writeln!(out, "  {verdict:<4}  {:<7}  {store}{}: {held} of {of}", self.check, self.what)?;
        for example in &self.examples {
            writeln!(out, "                 {example}")?;
        }
        let more = self.broken.saturating_sub(self.examples.len() as u64);
        if more > 0 && !self.holds {
            writeln!(out, "                 and {} more", count(more))?;
        }
        Ok(())
    }
}
