//! What the model says must come of what a daemon was sent.

use crate::harness::daemon::Daemon;
use crate::harness::replay::Report;
use crate::model::{Model, Outcome, Sighting, totals};

/// What `loadtest` calls itself.
pub(crate) const GATEWAY: &str = "loadtest";

/// What a daemon was sent, and what must come of it.
pub(crate) struct Expectation {
    pub(crate) sent: u64,
    pub(crate) model: Model,
    pub(crate) outcomes: Vec<Outcome>,
}

impl Expectation {
    pub(crate) fn of(mut model: Model, sightings: &[Sighting], now_us: i64) -> Self {
        let outcomes = model.decide_all(GATEWAY, sightings, now_us);
        Self { sent: u64::try_from(sightings.len()).unwrap(), model, outcomes }
    }

    /// Adds what the same sightings make of the customers of a clone.
    pub(crate) fn add_clone(&mut self, sightings: &[Sighting], now_us: i64, clone: u32) {
        let mut sightings = sightings.to_vec();
        for sighting in &mut sightings {
            sighting.customer_id.extend(format!("~{clone}").into_bytes());
        }
        let more = self.model.decide_all(GATEWAY, &sightings, now_us);
        self.sent += u64::try_from(more.len()).unwrap();
        self.outcomes.extend(more);
    }

    pub(crate) fn report(&self) -> Report {
        Report { sent: self.sent, acked: self.sent, outcomes: totals(&self.outcomes), repeated: 0 }
    }

    pub(crate) fn identities(&self) -> u64 {
        u64::try_from(self.model.identities().count()).unwrap()
    }

    /// The daemon counted what was expected, once, and nothing is left to do.
    #[track_caller]
    pub(crate) fn assert_counted(&self, daemon: &Daemon) {
        let stats = daemon.stats();
        assert_eq!(stats.outcomes(), totals(&self.outcomes));
        assert_eq!(stats.number("received"), self.sent);
        assert_eq!(stats.number("identified_new"), self.identities());
        assert_eq!((stats.store("stored"), stats.store("waiting")), (self.identities(), 0));
    }
}
