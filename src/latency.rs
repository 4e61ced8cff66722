//! How long each stage of a sighting's way takes, as histograms that are read while they are written.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

/// A stage of the way. Neighbours share their timestamps: for one frame, decode, admit, queue, write (of each store on
/// the way) and answer sum to received to acked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// From the frame received to its claims read. Counted a sighting, as the next five are.
    Decode,
    /// To its outcomes, where every beacon was in memory; the waits for room and for late questions are in it.
    AdmitMemory,
    /// The same where at least one beacon came from the shared cache.
    AdmitCache,
    /// The same where at least one beacon was asked of the system of record, or could not be asked.
    AdmitRecord,
    /// From an answer final to it sent.
    Answer,
    /// From the frame received to its answer sent.
    ReceivedToAcked,
    /// From the outcomes to the start of the write into the system of record. Counted an identity, as all below.
    RecordQueue,
    /// The write into the system of record, retries included.
    RecordWrite,
    /// From stored in the system of record to the start of the write of the events.
    EventsQueue,
    /// The write of the events, retries included.
    EventsWrite,
    /// From the frame received to its identities in the system of record.
    ReceivedToRecord,
    /// From the frame received to its events stored.
    ReceivedToEvents,
}

/// How many stages there are.
pub const STAGES: usize = 12;

/// The histograms of all stages since start.
pub struct Latencies {
    stages: [Mutex<Histogram<u64>>; STAGES],
}

impl fmt::Debug for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latencies").finish_non_exhaustive()
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

impl Latencies {
    /// Empty histograms.
    #[must_use]
    pub fn new() -> Self {
        Self { stages: std::array::from_fn(|_| Mutex::new(Histogram::new_from(&template()))) }
    }

    /// Counts `count` sightings or identities that took so long.
    pub fn record(&self, stage: Stage, took: Duration, count: u64) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let mut histogram = self.stages[stage as usize].lock().unwrap_or_else(PoisonError::into_inner);
        histogram.saturating_record_n(micros, count);
    }
}

fn template() -> Histogram<u64> {
    Histogram::new(3).unwrap_or_else(|_| unreachable!("three digits are within its bounds"))
}
