//! What verifying came to, for people and for programs.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::findings::Finding;
use super::held::Held;
use super::proof::Unequal;
use super::sent::Sent;
use super::survey::{Figures, Survey};
use super::time;
use crate::figures::count;

/// Sightings of a frame that are worth naming.
const SIGHTINGS_SHOWN: usize = 3;

/// Its fields are the keys of the JSON.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) holds: bool,
    /// UTC.
    began_at: String,
    evidence: Figures,
    stores: Vec<StoreFigures>,
    findings: Vec<Finding>,
    /// What was not checked, and what a reader should know beside.
    remarks: Vec<String>,
}

/// A store in figures.
#[derive(Debug, Serialize)]
pub(super) struct StoreFigures {
    store: String,
    /// Identities at times and of customers of the run.
    identities: u64,
    /// Of the minute before and after.
    near: u64,
    of_others: u64,
}

impl StoreFigures {
    pub(super) fn new(store: &str, held: &Held) -> Self {
        let identities = held.of_run().count() as u64;
        let near = held.rows.len() as u64 - identities;
        Self { store: store.to_owned(), identities, near, of_others: held.of_others }
    }
}

impl Outcome {
    pub(super) fn new(
        survey: &Survey,
        stores: Vec<StoreFigures>,
        findings: Vec<Finding>,
        remarks: Vec<String>,
    ) -> Self {
        Self {
            holds: findings.iter().all(|finding| finding.holds),
            began_at: time::text(survey.began_at_us),
            evidence: survey.figures.clone(),
            stores,
            findings,
            remarks,
        }
    }

    /// The checks and the verdict.
    pub(super) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(
            out,
            "\nChecked against what was sent and answered; stores are read by clients of their own"
        )?;
        for finding in &self.findings {
            finding.print(out)?;
        }
        for remark in &self.remarks {
            writeln!(out, "  note  {remark}")?;
        }
        let held = self.findings.iter().filter(|finding| finding.holds).count();
        let verdict = if self.holds { "PASS" } else { "FAIL" };
        writeln!(out, "\n{verdict}: {held} of {} checks hold", self.findings.len())
    }

    /// As JSON.
    pub(super) fn write(&self, file: &Path) -> io::Result<()> {
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        std::fs::write(file, json)
    }
}

/// What the evidence tells of.
pub(super) fn print_survey(out: &mut impl Write, survey: &Survey) -> io::Result<()> {
    let Figures { frames, sightings, eligible, acked, identified, .. } = &survey.figures;
    writeln!(out, "The run that began at {}", time::text(survey.began_at_us))?;
    writeln!(out, "  sent             {:>14} sightings in {} frames", count(*sightings), count(*frames))?;
    writeln!(out, "  eligible         {:>14}, {} of them acknowledged", count(*eligible), count(*acked))?;
    writeln!(out, "  identified       {:>14}, as gateways were answered", count(*identified))?;
    let Figures { frames_unanswered, frames_repeated, undecided, sightings_unanswered, .. } = &survey.figures;
    if *frames_unanswered > 0 {
        let (sightings, frames) = (count(*sightings_unanswered), count(*frames_unanswered));
        writeln!(
            out,
            "  unanswered       {sightings:>14} sightings in {frames} frames: they may be stored or not"
        )?;
    }
    if *frames_repeated > 0 {
        writeln!(
            out,
            "  repeated         {:>14} frames, whose first answer was lost",
            count(*frames_repeated)
        )?;
    }
    if *undecided > 0 {
        writeln!(out, "  undecided        {:>14} times; such sightings were sent again", count(*undecided))?;
    }
    Ok(())
}

/// What a store holds.
pub(super) fn print_store(out: &mut impl Write, name: &str, held: &Held, took: Duration) -> io::Result<()> {
    let StoreFigures { identities, near, of_others, .. } = StoreFigures::new(name, held);
    let beside = match (near, of_others) {
        (0, 0) => String::new(),
        (0, others) => format!(", {} of others", count(others)),
        (near, others) => format!(", {} of the minute around it, {} of others", count(near), count(others)),
    };
    let seconds = took.as_secs_f64();
    writeln!(
        out,
        "  {name:<15}  {:>14} identities of the run{beside}; read in {seconds:.1} s",
        count(identities)
    )
}

/// A frame that a store has another number of identities of than was answered.
pub(super) fn unequal(survey: &Survey, unequal: Unequal, sent: &[Sent], held: &Held) -> String {
    let Some(frame) = survey.frames.get(unequal.frame as usize) else { return String::new() };
    let counted = || sent.iter().filter(|one| one.is_counted());
    let is_stored = |one: &Sent| held.rows.binary_search_by_key(&one.key(), |row| row.key()).is_ok();
    let (name, identified, stored) = (survey.names.frame(frame), frame.identified, unequal.stored);
    let mut text =
        format!("{name}: {identified} of {} answered identified, {stored} stored", counted().count());
    let too_many = stored > identified;
    let which = counted().filter(|one| is_stored(one) == too_many);
    let named: Vec<String> = which
        .take(SIGHTINGS_SHOWN)
        .map(|one| format!("{}: {}", one.index, survey.names.moment(one.customer, one.at_us, one.beacon)))
        .collect();
    if !named.is_empty() {
        text.push_str(if too_many { "; stored is sighting " } else { "; not stored is sighting " });
        text.push_str(&named.join("; "));
    }
    text
}
