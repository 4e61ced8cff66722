//! The page that the demo prints at its end.

use std::io::{self, Write};
use std::path::Path;

use beacon_protocol::OutcomeCode;
use beacond::pipeline::Ledger;

use super::verdict::{Evidence, Finding};
use crate::figures::{count, microseconds, percent};

/// Prints all of it.
pub(crate) fn print(
    out: &mut impl Write,
    evidence: &Evidence,
    findings: &[Finding],
    database: &Path,
) -> io::Result<()> {
    outcomes(out, evidence)?;
    ledger(out, &evidence.ledger)?;
    checks(out, findings)?;
    writeln!(out, "\nThe data is yours to look at:")?;
    let question = "SELECT location, count(*) FROM customer_identities GROUP BY 1 ORDER BY 2 DESC LIMIT 5";
    writeln!(out, "  sqlite3 {} \\\n    \"{question}\"", database.display())
}

fn outcomes(out: &mut impl Write, evidence: &Evidence) -> io::Result<()> {
    let record = &evidence.record;
    writeln!(out, "\nWhat became of {} sightings", count(record.sent))?;
    for (code, sightings) in record.outcomes.iter().rev() {
        let (sightings_, part) = (count(sightings), percent(sightings, record.acked()));
        writeln!(out, "  {:<16} {sightings_:>10} {part:>9}   {}", code.label(), meaning(code))?;
    }
    let latency = record.latency();
    let [p50, p99, max] = [latency.p50, latency.p99, latency.max].map(microseconds);
    writeln!(out, "\nFrom a frame's first transmission to its ack, which is after the journal's sync")?;
    writeln!(out, "  p50 {p50}   p99 {p99}   max {max}   ({} frames)", count(record.frames))
}

const fn meaning(code: OutcomeCode) -> &'static str {
    match code {
        OutcomeCode::Undecided => "a store could not be asked in time; sent again",
        OutcomeCode::Invalid => "no customer id, or a signal no radio has",
        OutcomeCode::ClockSkew => "from the future: a gateway's clock is wrong",
        OutcomeCode::TooOld => "from over a week ago",
        OutcomeCode::UnknownBeacon => "a neighbour's beacon",
        OutcomeCode::BeaconMismatch => "a copied UUID: Major or Minor are wrong",
        OutcomeCode::BeaconInactive => "a table out of service",
        OutcomeCode::Forbidden => "another restaurant's beacon",
        OutcomeCode::LowConfidence => "too weak a signal to say who is where",
        OutcomeCode::Duplicate => "identified within a minute of it",
        OutcomeCode::Identified => "a customer at a place, stored",
    }
}

fn ledger(out: &mut impl Write, ledger: &Ledger) -> io::Result<()> {
    let Ledger { received, in_progress, frames, frames_repeated, .. } = ledger;
    let store = &ledger.system_of_record;
    writeln!(out, "\nThe daemon's ledger, read as one snapshot after it stopped")?;
    writeln!(
        out,
        "  received {} = outcomes {} + undecided {} + in progress {}",
        count(*received),
        count(ledger.decided()),
        count(ledger.undecided()),
        count(*in_progress)
    )?;
    writeln!(
        out,
        "  identified {} = new {} + redelivered {}",
        count(ledger.outcomes[usize::from(OutcomeCode::Identified.byte())]),
        count(ledger.identified_new),
        count(ledger.identified_redelivered)
    )?;
    writeln!(
        out,
        "  store: waiting at start {} + new {} + replayed {}",
        count(store.waiting_at_start),
        count(store.new),
        count(store.replayed)
    )?;
    writeln!(
        out,
        "         = stored {} + waiting {} + dead-lettered {} + erased {} + lost to corruption {}",
        count(store.stored),
        count(store.waiting),
        count(store.dead_lettered),
        count(store.erased),
        count(store.lost_to_corruption)
    )?;
    writeln!(out, "  frames {}, and {} repeats recognised", count(*frames), count(*frames_repeated))
}

fn checks(out: &mut impl Write, findings: &[Finding]) -> io::Result<()> {
    writeln!(out, "\nChecked against what was sent; the store is read with a connection of its own")?;
    for Finding { holds, text } in findings {
        writeln!(out, "  {:<4}  {text}", if *holds { "ok" } else { "FAIL" })?;
    }
    Ok(())
}
