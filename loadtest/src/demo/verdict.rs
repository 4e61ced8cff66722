//! What must hold after the demo, and whether it does.

use beacon_protocol::OutcomeCode;
use beacond::pipeline::Ledger;

use super::comparison::Sent;
use super::store::Stored;
use crate::figures::{count, microseconds};
use crate::record::Record;

/// The goal: 99 of 100 frames are answered within this.
const P99_GOAL_US: u64 = 1_000_000;

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) holds: bool,
    /// What should hold, with the figures that say whether it does.
    pub(crate) text: String,
}

/// Everything that is known at the end.
#[derive(Debug)]
pub(crate) struct Evidence {
    /// What the gateways were answered.
    pub(crate) record: Record,
    /// What was sent, and what should have become of it.
    pub(crate) sent: Sent,
    /// How often the ledger was read.
    pub(crate) ledger_readings: u64,
    /// The first equation that did not hold at one of them.
    pub(crate) imbalance: Option<String>,
    /// The daemon's books after it has stopped.
    pub(crate) ledger: Ledger,
    /// What another client finds in the store.
    pub(crate) stored: Stored,
}

impl Evidence {
    /// Every check, in the order of the way of a sighting.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let p99 = self.record.latency().p99;
        let in_time = Finding {
            holds: p99 <= P99_GOAL_US,
            text: format!("p99 to ack is at most {}: {}", microseconds(P99_GOAL_US), microseconds(p99)),
        };
        self.of_answers()
            .into_iter()
            .chain(self.of_ledger())
            .chain(self.of_store())
            .chain([in_time])
            .collect()
    }

    fn of_answers(&self) -> [Finding; 2] {
        let Self { record, sent, .. } = self;
        let answered = |code| match code {
            // Which of several strong sightings identifies is decided by their order of arrival.
            OutcomeCode::Identified => record.outcomes.of(code) + record.outcomes.of(OutcomeCode::Duplicate),
            OutcomeCode::Duplicate | OutcomeCode::Undecided => 0,
            _ => record.outcomes.of(code),
        };
        let expected = |code: OutcomeCode| sent.expected[usize::from(code.byte())];
        let wrong: Vec<_> =
            OutcomeCode::ALL.into_iter().filter(|&code| answered(code) != expected(code)).collect();
        let but = wrong.iter().map(|code| format!(", but not {}", code.label())).collect::<String>();
        [
            of_all("every sighting sent is acknowledged", record.acked(), sent.total()),
            Finding {
                holds: wrong.is_empty(),
                text: format!("every outcome is as frequent as the simulation expects{but}"),
            },
        ]
    }

    fn of_ledger(&self) -> [Finding; 2] {
        let readings = count(self.ledger_readings);
        [
            Finding {
                holds: self.imbalance.is_none(),
                text: match &self.imbalance {
                    None => format!("the ledger's sums hold at each of {readings} readings"),
                    Some(imbalance) => {
                        format!("the ledger's sums hold at each of {readings} readings: {imbalance}")
                    }
                },
            },
            Finding {
                holds: self.ledger.outcomes == self.record.outcomes.0,
                text: "the ledger counts what the gateways were answered".to_owned(),
            },
        ]
    }

    fn of_store(&self) -> [Finding; 6] {
        let stored = &self.stored;
        let eligible = self.sent.eligible.len() as u64;
        let unfounded = stored.never_sent + stored.strangers;
        let (events, with_event) = (stored.events, stored.identities - stored.identities_without_event);
        [
            of_all("every identity answered as new is stored", stored.identities, self.ledger.identified_new),
            of_all(
                "every identity stored was sent, and strong enough",
                stored.identities - unfounded,
                stored.identities,
            ),
            Finding {
                holds: stored.too_near == 0,
                text: format!(
                    "no identity is within 60 s of another of its customer: {}",
                    count(stored.too_near)
                ),
            },
            of_all("every strong sighting has an identity within 60 s", eligible - stored.missing, eligible),
            of_all(
                "every customer's last_seen is the latest identity",
                stored.customers - stored.last_seen_wrong,
                stored.customers,
            ),
            of_all("every event has its identity, and every identity its event", with_event, events),
        ]
    }
}

/// Something that must be so for all of them.
fn of_all(what: &str, part: u64, all: u64) -> Finding {
    Finding { holds: part == all, text: format!("{what}: {} of {}", count(part), count(all)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::comparison::Moment;
    use std::time::Duration;

    /// One sighting, identified and stored.
    fn sound() -> Evidence {
        let mut record = Record::new();
        record.sent = 1;
        record.answered(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], Duration::from_millis(5));
        let mut sent = Sent::default();
        sent.expected[10] = 1;
        sent.eligible.push(Moment { customer: 1, detected_at_us: 1, beacon: 1 });
        let mut ledger = Ledger { received: 1, identified_new: 1, ..Ledger::default() };
        ledger.outcomes[10] = 1;
        Evidence {
            record,
            sent,
            ledger_readings: 3,
            imbalance: None,
            ledger,
            stored: Stored { identities: 1, customers: 1, events: 1, ..Stored::default() },
        }
    }

    fn broken(evidence: &Evidence) -> usize {
        evidence.findings().iter().filter(|finding| !finding.holds).count()
    }

    #[test]
    fn each_lack_is_found() {
        assert_eq!(broken(&sound()), 0);
        let breaks: [fn(&mut Evidence); 12] = [
            |evidence| evidence.sent.expected[10] = 2,
            |evidence| evidence.imbalance = Some("1 != 2".to_owned()),
            |evidence| evidence.ledger.outcomes[9] = 1,
            |evidence| evidence.ledger.identified_new = 2,
            |evidence| evidence.stored.identities = 2,
            |evidence| evidence.stored.strangers = 1,
            |evidence| evidence.stored.never_sent = 1,
            |evidence| evidence.stored.too_near = 1,
            |evidence| evidence.stored.missing = 1,
            |evidence| evidence.stored.last_seen_wrong = 1,
            |evidence| evidence.stored.events = 0,
            |evidence| evidence.record.answered(&[0; 11], Duration::from_millis(1_100)),
        ];
        for (number, spoil) in breaks.into_iter().enumerate() {
            let mut evidence = sound();
            spoil(&mut evidence);
            assert!(broken(&evidence) > 0, "break {number}");
        }
    }
}
