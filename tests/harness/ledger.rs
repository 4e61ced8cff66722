//! What the daemon counts, read as JSON, with the equations of conservation computed from it anew.

use std::collections::BTreeMap;

use serde_json::Value;

/// Names of the outcomes, in the order of their codes.
pub(crate) const OUTCOMES: [&str; 11] = [
    "undecided",
    "invalid",
    "clock_skew",
    "too_old",
    "unknown_beacon",
    "beacon_mismatch",
    "beacon_inactive",
    "forbidden",
    "low_confidence",
    "duplicate",
    "identified",
];

/// One reading of the ledger and of the listeners' counters.
#[derive(Debug, Clone)]
pub(crate) struct Stats(Value);

impl Stats {
    #[track_caller]
    pub(crate) fn parse(json: &str) -> Self {
        Self(serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}")))
    }

    /// A number of the ledger.
    #[track_caller]
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.at(&["ledger", name])
    }

    /// Sightings with this outcome; undecided ones were returned.
    #[track_caller]
    pub(crate) fn outcome(&self, name: &str) -> u64 {
        let code = OUTCOMES.iter().position(|outcome| *outcome == name).unwrap();
        self.ledger()["outcomes"][code].as_u64().unwrap_or_else(|| panic!("no outcome {name} in {}", self.0))
    }

    /// Sightings by outcome, those that never came left out.
    pub(crate) fn outcomes(&self) -> BTreeMap<String, u64> {
        let count = |name: &&str| ((*name).to_owned(), self.outcome(name));
        OUTCOMES.iter().map(count).filter(|(_, count)| *count > 0).collect()
    }

    /// A number of the system of record's line.
    #[track_caller]
    pub(crate) fn store(&self, name: &str) -> u64 {
        self.at(&["ledger", "system_of_record", name])
    }

    /// A number of the events' line.
    #[track_caller]
    pub(crate) fn events(&self, name: &str) -> u64 {
        self.at(&["ledger", "events", name])
    }

    /// What keeps the writer of the system of record from going on; empty when nothing does.
    pub(crate) fn writer_trouble(&self) -> &str {
        self.0["writers"][0]["trouble"]["kind"].as_str().unwrap_or_default()
    }

    /// Whether every change of a beacon is told in time.
    pub(crate) fn follows_beacons(&self) -> bool {
        self.0["beacons"]["followed"].as_bool().unwrap_or(false)
    }

    /// What keeps this store's writer from going on, in its kind's word and for how many seconds.
    pub(crate) fn trouble_of(&self, store: &str) -> Option<(&str, u64)> {
        let trouble = &self.writer(store)["trouble"];
        Some((trouble["kind"].as_str()?, trouble["seconds"].as_u64()?))
    }

    /// A number of a writer's.
    #[track_caller]
    pub(crate) fn writer_number(&self, store: &str, name: &str) -> u64 {
        let writer = self.writer(store);
        writer[name].as_u64().unwrap_or_else(|| panic!("no {name} in {writer}"))
    }

    #[track_caller]
    fn writer(&self, store: &str) -> &Value {
        let writers = self.0["writers"].as_array().into_iter().flatten();
        let mut of_store = writers.filter(|writer| writer["store"] == store);
        of_store.next().unwrap_or_else(|| panic!("no writer of {store} in {}", self.0))
    }

    /// Whether nothing waits for a store.
    pub(crate) fn is_all_stored(&self) -> bool {
        ["system_of_record", "events"].iter().all(|store| match &self.ledger()[store] {
            Value::Null => true,
            ledger => ledger["waiting"] == 0,
        })
    }

    /// A number of the preferences' line.
    #[track_caller]
    pub(crate) fn preferences(&self, name: &str) -> u64 {
        self.at(&["ledger", "preferences", name])
    }

    /// A number of the listeners'.
    #[track_caller]
    pub(crate) fn listener(&self, name: &str) -> u64 {
        self.at(&["listeners", name])
    }

    /// How often another configuration was `applied` or `refused`.
    #[track_caller]
    pub(crate) fn reloads(&self, result: &str) -> u64 {
        self.at(&[&format!("reloads_{result}")])
    }

    /// Refusals with this code.
    pub(crate) fn refusals(&self, code: &str) -> u64 {
        self.0["listeners"]["refusals"][code].as_u64().unwrap_or(0)
    }

    /// Fails if an equation of conservation does not hold.
    #[track_caller]
    pub(crate) fn assert_balanced(&self) {
        let outcomes: u64 = OUTCOMES.iter().map(|name| self.outcome(name)).sum();
        assert_eq!(self.number("received"), outcomes + self.number("in_progress"), "{self:?}");
        let identified = self.number("identified_new") + self.number("identified_redelivered");
        assert_eq!(self.outcome("identified"), identified, "{self:?}");
        for store in ["system_of_record", "events"] {
            if self.ledger()[store].is_null() {
                continue;
            }
            let term = |name: &str| self.at(&["ledger", store, name]);
            let came = ["waiting_at_start", "new", "replayed"].map(term);
            let went = ["stored", "waiting", "dead_lettered", "erased", "lost_to_corruption"].map(term);
            assert_eq!(came.iter().sum::<u64>(), went.iter().sum::<u64>(), "{self:?}");
        }
        let preferences =
            ["in_progress", "accepted", "invalid", "undecided"].map(|name| self.preferences(name));
        assert_eq!(self.preferences("received"), preferences.iter().sum::<u64>(), "{self:?}");
    }

    fn ledger(&self) -> &Value {
        &self.0["ledger"]
    }

    #[track_caller]
    fn at(&self, path: &[&str]) -> u64 {
        let value = path.iter().fold(&self.0, |value, name| &value[*name]);
        value.as_u64().unwrap_or_else(|| panic!("no {path:?} in {}", self.0))
    }
}
