//! What a pipeline stands on.

use std::sync::Arc;

use crate::latency::Latencies;
use crate::ports::{BatchWriter, BeaconCache, Clock, DeadLetters, LatestIdentities, SystemOfRecord};
use crate::tasks::TaskGroup;

/// The ports of a pipeline.
#[derive(Debug)]
pub struct PipelinePorts {
    /// Answers questions.
    pub record: Arc<dyn SystemOfRecord>,
    /// A cache of beacons between memory and the system of record.
    pub beacon_cache: Option<Arc<dyn BeaconCache>>,
    /// Writes into the system of record, and what that store is called.
    pub record_writer: (&'static str, Box<dyn BatchWriter>),
    /// Writes the events, and what that store is called.
    pub events_writer: Option<(&'static str, Box<dyn BatchWriter>)>,
    /// Hears of what the system of record has.
    pub latest: Option<Arc<dyn LatestIdentities>>,
    /// Takes what a store refuses.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// Where times go.
    pub latencies: Arc<Latencies>,
    /// Loads of registrations beside their use.
    pub refreshes: TaskGroup,
}
