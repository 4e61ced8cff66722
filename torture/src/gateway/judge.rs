//! What a record says of its frame, held against what must become of each sighting.

use std::collections::BTreeMap;

use beacon_protocol::{OutcomeCode, RecordStatus, ResultRecordRef};

use super::numbering::Frame;
use super::session::Work;
use crate::evidence::{Answer, Verdict};
use crate::sighting::Sighting;

/// What a record says of a frame: for the evidence, and which sightings are to be sent again. None if it is a breach.
pub(super) fn judge(
    name: String,
    frame: &Frame,
    record: &ResultRecordRef<'_>,
    work: &mut Work,
) -> Option<(Answer, Vec<Sighting>)> {
    let breach = |work: &mut Work, what: &str| {
        work.conduct.breach(format!("{name}: {what}; {record:?}"));
        None
    };
    let outcome = |work: &Work, sighting: &Sighting| work.hearing.outcome(sighting);
    let identified_by_rule =
        |work: &Work, sighting: &&Sighting| outcome(work, sighting) == OutcomeCode::Identified;
    match record.status {
        RecordStatus::Repeat if frame.sessions < 2 => {
            breach(work, "a repeat, and it was sent in one session only")
        }
        RecordStatus::Repeat => {
            work.evidence.repeats += 1;
            let acked = frame
                .sightings
                .iter()
                .filter(|sighting| identified_by_rule(work, sighting))
                .copied()
                .collect();
            Some((Answer { frame: name, verdict: Verdict::Repeat, acked }, Vec::new()))
        }
        RecordStatus::Decided => {
            let count = |code: OutcomeCode| record.counts[usize::from(code.byte())];
            let all: usize = record.counts.iter().map(|count| usize::from(*count)).sum();
            if all != frame.sightings.len() {
                return breach(work, "its counts do not add up");
            }
            let mut listed: BTreeMap<usize, OutcomeCode> = BTreeMap::new();
            listed
                .extend(record.exceptions().map(|exception| (usize::from(exception.index), exception.code)));
            let (mut undecided, mut acked, mut low) = (Vec::new(), Vec::new(), 0);
            for (index, sighting) in frame.sightings.iter().enumerate() {
                let by_rule = outcome(work, sighting);
                match listed.get(&index) {
                    Some(OutcomeCode::Undecided) => undecided.push(*sighting),
                    Some(code) if *code == by_rule => {}
                    None if by_rule == OutcomeCode::Identified => acked.push(*sighting),
                    None if by_rule == OutcomeCode::LowConfidence => low += 1,
                    found => {
                        let what = format!("{sighting:?} is {by_rule:?} and was answered {found:?}");
                        return breach(work, &what);
                    }
                }
            }
            let (identified, duplicates) = (count(OutcomeCode::Identified), count(OutcomeCode::Duplicate));
            let is_right = count(OutcomeCode::LowConfidence) == low
                && usize::from(identified) + usize::from(duplicates) == acked.len()
                && record.dead_lettered == 0;
            if !is_right {
                return breach(
                    work,
                    &format!("of its sightings {low} are weak and {} eligible", acked.len()),
                );
            }
            work.evidence.identified += u64::from(identified);
            Some((Answer { frame: name, verdict: Verdict::Decided { identified }, acked }, undecided))
        }
        _ => breach(work, "a status that is not of sightings"),
    }
}
