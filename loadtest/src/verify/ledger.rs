//! Promise (v): the daemon's own ledger, with its equations computed anew, held against what gateways were answered.

use beacon_protocol::{OUTCOME_CODES, OutcomeCode};
use serde::Deserialize;
use serde_json::Value;

use super::findings::{Finding, Tally};
use crate::figures::count;

/// Where the page is.
pub(super) const PATH: &str = "/api/v1/ledger";

/// What the daemon says of itself.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Reading {
    pub(super) uptime_s: u64,
    imbalance: Option<Value>,
    ledger: Ledger,
}

#[derive(Debug, Clone, Deserialize)]
struct Ledger {
    received: u64,
    in_progress: u64,
    outcomes: [u64; OUTCOME_CODES],
    identified_new: u64,
    identified_redelivered: u64,
    preferences: Preferences,
    system_of_record: Store,
    events: Option<Store>,
}

#[derive(Debug, Clone, Deserialize)]
struct Preferences {
    received: u64,
    in_progress: u64,
    accepted: u64,
    invalid: u64,
    undecided: u64,
}

#[derive(Debug, Clone, Deserialize)]
struct Store {
    waiting_at_start: u64,
    new: u64,
    replayed: u64,
    stored: u64,
    waiting: u64,
    dead_lettered: u64,
    erased: u64,
    lost_to_corruption: u64,
}

impl Reading {
    /// # Errors
    /// When the page is no ledger.
    pub(super) fn parse(page: &str) -> Result<Self, String> {
        serde_json::from_str(page).map_err(|error| format!("its ledger cannot be read: {error}"))
    }

    /// Whether nothing waits for a decision or for a store.
    pub(super) fn is_at_rest(&self) -> bool {
        self.waiting() == 0
    }

    /// What waits for a decision or for a store.
    pub(super) fn waiting(&self) -> u64 {
        self.ledger.in_progress + self.stores().map(|(_, store)| store.waiting).sum::<u64>()
    }

    /// What of it is not in a store, and why, in words.
    pub(super) fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        for (name, store) in self.stores() {
            for (number, what) in [
                (store.waiting, "still wait for"),
                (store.dead_lettered, "are dead letters of"),
                (store.lost_to_corruption, "were lost to corruption of the journal for"),
            ] {
                if number > 0 {
                    remarks.push(format!("{} identities {what} the {name}", count(number)));
                }
            }
        }
        remarks
    }

    /// The equations, and the counts if the ledger is as old as the run: what gateways were told, by outcome code.
    pub(super) fn findings(&self, answered: &[u64; OUTCOME_CODES], covers_the_run: bool) -> Vec<Finding> {
        let mut sums = Tally::default();
        for (name, one, other_name, other) in self.equations() {
            sums.examined += 1;
            if one != other {
                sums.breach(|| format!("{name} {} is not {other_name} {}", count(one), count(other)));
            }
        }
        sums.examined += 1;
        if let Some(imbalance) = &self.imbalance {
            sums.breach(|| format!("the daemon itself says: {imbalance}"));
        }
        let mut findings = vec![Finding::new("v", None, "the daemon's ledger balances", sums)];
        if covers_the_run {
            let mut counts = Tally::default();
            for (code, (told, counted)) in
                OutcomeCode::ALL.into_iter().zip(answered.iter().zip(&self.ledger.outcomes))
            {
                counts.examined += 1;
                if counted < told {
                    let (label, told, counted) = (code.label(), count(*told), count(*counted));
                    counts.breach(|| format!("{label}: gateways were told {told}, the ledger has {counted}"));
                }
            }
            let what = "the ledger counts no less of any outcome than gateways were told";
            findings.push(Finding::new("v", None, what, counts));
        }
        findings
    }

    fn stores(&self) -> impl Iterator<Item = (&'static str, &Store)> {
        let events = self.ledger.events.as_ref().map(|events| ("store of events", events));
        std::iter::once(("system of record", &self.ledger.system_of_record)).chain(events)
    }

    fn equations(&self) -> Vec<(&'static str, u64, &'static str, u64)> {
        let Ledger { received, in_progress, outcomes, identified_new, identified_redelivered, .. } =
            self.ledger;
        let identified = outcomes[usize::from(OutcomeCode::Identified.byte())];
        let decided = outcomes.iter().sum::<u64>() + in_progress;
        let told = identified_new + identified_redelivered;
        let mut equations = vec![
            ("received", received, "outcomes + in progress", decided),
            ("identified", identified, "new + redelivered", told),
        ];
        for (name, store) in self.stores() {
            let came = store.waiting_at_start + store.new + store.replayed;
            let left = store.dead_lettered + store.erased + store.lost_to_corruption;
            let went = store.stored + store.waiting + left;
            equations.push((name, came, "stored + waiting + dead-lettered + erased + lost", went));
        }
        let Preferences { received, in_progress, accepted, invalid, undecided } = self.ledger.preferences;
        let went = in_progress + accepted + invalid + undecided;
        equations.push(("preferences received", received, "their outcomes", went));
        equations
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn even() -> Value {
        let store = json!({
            "waiting_at_start": 1, "new": 5, "replayed": 0, "stored": 4, "waiting": 2, "dead_lettered": 0, "erased": 0,
            "lost_to_corruption": 0
        });
        json!({ "uptime_s": 7, "imbalance": null, "ledger": {
            "received": 9, "in_progress": 1, "outcomes": [1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 6], "identified_new": 5,
            "identified_redelivered": 1, "system_of_record": store, "events": store,
            "preferences": {"received": 3, "in_progress": 1, "accepted": 2, "invalid": 0, "undecided": 0}
        }})
    }

    fn broken(page: &Value, answered: &[u64; OUTCOME_CODES]) -> usize {
        let reading = Reading::parse(&page.to_string()).unwrap();
        reading.findings(answered, true).iter().filter(|finding| !finding.holds).count()
    }

    #[test]
    fn every_equation_is_computed_anew() {
        assert_eq!(broken(&even(), &[0; OUTCOME_CODES]), 0);
        for (path, value) in [
            ("/ledger/received", json!(10)),
            ("/ledger/in_progress", json!(0)),
            ("/ledger/outcomes/9", json!(2)),
            ("/ledger/identified_redelivered", json!(0)),
            ("/ledger/system_of_record/stored", json!(5)),
            ("/ledger/events/waiting_at_start", json!(0)),
            ("/ledger/events/lost_to_corruption", json!(1)),
            ("/ledger/preferences/accepted", json!(1)),
            ("/imbalance", json!("received 1 != 2")),
        ] {
            let mut page = even();
            *page.pointer_mut(path).unwrap() = value;
            assert_eq!(broken(&page, &[0; OUTCOME_CODES]), 1, "{path}");
        }
        assert!(Reading::parse("{}").is_err());
    }

    #[test]
    fn what_gateways_were_told_is_counted() {
        let mut answered = [0; OUTCOME_CODES];
        answered[10] = 6;
        assert_eq!(broken(&even(), &answered), 0);
        answered[10] = 7;
        assert_eq!(broken(&even(), &answered), 1);
    }

    #[test]
    fn at_rest_is_when_nothing_waits_and_a_store_of_events_need_not_be() {
        let mut page = even();
        let parse = |page: &Value| Reading::parse(&page.to_string()).unwrap();
        assert_eq!((parse(&page).is_at_rest(), parse(&page).waiting()), (false, 5));
        page["ledger"]["in_progress"] = json!(0);
        page["ledger"]["system_of_record"]["waiting"] = json!(0);
        page["ledger"]["events"] = json!(null);
        assert!(parse(&page).is_at_rest());
    }
}
