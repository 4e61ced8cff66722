//! What all gateways of a run share: its times, its scenario, and where they note what they see.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::evidence_thread::EvidenceSender;
use super::recorder::Recorder;
use super::samples::SampleDesk;
use crate::scenario::Scenario;

/// When a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    /// Nothing that is due later is sent.
    pub(crate) at: Instant,
    /// No answer is awaited any longer.
    pub(crate) drained: Instant,
    /// Whether it ends before its time: then what is behind schedule is not sent any more either.
    pub(crate) is_early: bool,
}

/// A run under way.
#[derive(Debug)]
pub(crate) struct Course {
    pub(crate) scenario: Arc<Scenario>,
    /// The run's begin by the two clocks.
    pub(crate) began: Instant,
    pub(crate) began_at_us: i64,
    pub(crate) end: watch::Receiver<End>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) evidence: Option<EvidenceSender>,
    pub(crate) samples: Option<SampleDesk>,
    /// What went wrong last, in words.
    trouble: Mutex<Option<String>>,
}

impl Course {
    pub(crate) fn new(
        scenario: Arc<Scenario>,
        began: Instant,
        began_at_us: i64,
        end: watch::Receiver<End>,
        recorder: Arc<Recorder>,
    ) -> Self {
        let trouble = Mutex::default();
        Self { scenario, began, began_at_us, end, recorder, evidence: None, samples: None, trouble }
    }

    /// Whether what is due then counts for the result.
    pub(crate) fn is_measured(&self, due: Instant) -> bool {
        let load = &self.scenario.load;
        (self.began + load.warm_up.0..self.began + load.duration.0).contains(&due)
    }

    /// A moment of the run, in microseconds since its begin.
    pub(crate) fn us_at(&self, moment: Instant) -> i64 {
        i64::try_from(moment.saturating_duration_since(self.began).as_micros()).unwrap_or(i64::MAX)
    }

    /// The moment so many microseconds after the begin; the begin for what is before it.
    pub(crate) fn moment(&self, us: i64) -> Instant {
        self.began + Duration::from_micros(u64::try_from(us).unwrap_or(0))
    }

    /// From now on the order of decisions is not known.
    pub(crate) fn blur(&self) {
        if let Some(evidence) = &self.evidence {
            evidence.blur();
        }
    }

    /// Whether the order in which each customer's sightings were decided is known.
    pub(crate) fn is_exact(&self) -> bool {
        let by_one_gateway = self.scenario.population.guests <= 0.0;
        let in_order = self.scenario.sessions.in_flight == 1;
        by_one_gateway && in_order && self.evidence.as_ref().is_some_and(|evidence| !evidence.is_blurred())
    }

    /// How often a gateway had to wait for the evidence's file.
    pub(crate) fn evidence_waits(&self) -> u64 {
        self.evidence.as_ref().map_or(0, EvidenceSender::waits)
    }

    pub(crate) fn trouble(&self, what: String) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(what);
    }

    pub(crate) fn last_trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
