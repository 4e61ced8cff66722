//! Promise (v): the daemon's own ledger, read as JSON, with the equations computed from it anew.

use serde_json::Value;

/// The store's names in the ledger.
pub(crate) const STORES: [&str; 2] = ["system_of_record", "events"];

/// One reading.
#[derive(Debug, Clone)]
pub(crate) struct Reading(Value);

impl Reading {
    /// Of the page's text.
    ///
    /// # Errors
    /// When it is no JSON.
    pub(crate) fn parse(text: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(text).map(Self)
    }

    /// The equation of conservation that does not hold, if there is one, or a term that is not there.
    pub(crate) fn imbalance(&self) -> Option<String> {
        match self.equations() {
            Ok(()) if self.0["imbalance"].is_null() => None,
            Ok(()) => Some(format!("the daemon itself says: {}", self.0["imbalance"])),
            Err(unequal) => Some(unequal),
        }
    }

    /// Whether nothing waits for a decision or for a store.
    pub(crate) fn is_at_rest(&self) -> bool {
        let waiting = |store: &&str| self.store(store, "waiting").ok();
        self.number("in_progress") == Ok(0) && STORES.iter().all(|store| waiting(store) == Some(0))
    }

    /// A number of a store's line.
    ///
    /// # Errors
    /// When it is not there.
    pub(crate) fn store(&self, store: &str, name: &str) -> Result<u64, String> {
        number(&self.0["ledger"][store], name)
    }

    /// Kind and reason of what keeps writers from going on, in words.
    pub(crate) fn troubles(&self) -> String {
        let writers = self.0["writers"].as_array().into_iter().flatten();
        let troubles = writers.filter(|writer| !writer["trouble"].is_null());
        troubles
            .map(|writer| format!("{}: {}", writer["store"], writer["trouble"]))
            .collect::<Vec<_>>()
            .join("; ")
    }

    fn number(&self, name: &str) -> Result<u64, String> {
        number(&self.0["ledger"], name)
    }

    fn equations(&self) -> Result<(), String> {
        let ledger = &self.0["ledger"];
        let outcomes: Vec<u64> =
            ledger["outcomes"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
        let (Some(identified), 11) = (outcomes.last(), outcomes.len()) else {
            return Err(format!("no outcomes in {ledger}"));
        };
        let all: u64 = outcomes.iter().sum();
        equal(
            "received",
            self.number("received")?,
            "outcomes + in progress",
            all + self.number("in_progress")?,
        )?;
        let told = self.number("identified_new")? + self.number("identified_redelivered")?;
        equal("identified", *identified, "new + redelivered", told)?;
        for store in STORES {
            let sum =
                |names: &[&str]| names.iter().map(|name| self.store(store, name)).sum::<Result<u64, _>>();
            let came = sum(&["waiting_at_start", "new", "replayed"])?;
            let went = sum(&["stored", "waiting", "dead_lettered", "erased", "lost_to_corruption"])?;
            equal(store, came, "stored + waiting + dead-lettered + erased + lost", went)?;
        }
        let preferences = &ledger["preferences"];
        let went = ["in_progress", "accepted", "invalid", "undecided"].map(|name| number(preferences, name));
        let went = went.into_iter().sum::<Result<u64, _>>()?;
        equal("preferences", number(preferences, "received")?, "their outcomes", went)
    }
}

fn number(value: &Value, name: &str) -> Result<u64, String> {
    value[name].as_u64().ok_or_else(|| format!("no {name} in {value}"))
}

fn equal(name: &str, one: u64, other_name: &str, other: u64) -> Result<(), String> {
    if one == other { Ok(()) } else { Err(format!("{name} {one} is not {other_name} {other}")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn even() -> Value {
        let store = json!({
            "waiting_at_start": 1, "new": 5, "replayed": 0, "stored": 4, "waiting": 2, "dead_lettered": 0, "erased": 0,
            "lost_to_corruption": 0
        });
        json!({ "imbalance": null, "ledger": {
            "received": 9, "in_progress": 1, "outcomes": [1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 6], "identified_new": 5,
            "identified_redelivered": 1, "system_of_record": store, "events": store,
            "preferences": {"received": 3, "in_progress": 1, "accepted": 2, "invalid": 0, "undecided": 0}
        }})
    }

    #[test]
    fn every_equation_is_computed_anew() {
        assert_eq!(Reading(even()).imbalance(), None);
        for (path, value) in [
            ("/ledger/received", json!(10)),
            ("/ledger/in_progress", json!(0)),
            ("/ledger/outcomes/9", json!(2)),
            ("/ledger/identified_redelivered", json!(0)),
            ("/ledger/system_of_record/stored", json!(5)),
            ("/ledger/events/waiting_at_start", json!(0)),
            ("/ledger/events/lost_to_corruption", json!(1)),
            ("/ledger/preferences/accepted", json!(1)),
            ("/ledger/events", json!(null)),
            ("/imbalance", json!("received 1 != 2")),
        ] {
            let mut broken = even();
            *broken.pointer_mut(path).unwrap() = value;
            assert!(Reading(broken).imbalance().is_some(), "{path}");
        }
    }

    #[test]
    fn at_rest_is_when_nothing_waits() {
        let mut rest = even();
        assert!(!Reading(rest.clone()).is_at_rest());
        for (path, value) in [
            ("/ledger/in_progress", 0),
            ("/ledger/system_of_record/waiting", 0),
            ("/ledger/events/waiting", 0),
        ] {
            *rest.pointer_mut(path).unwrap() = json!(value);
        }
        assert!(Reading(rest).is_at_rest());
    }
}
