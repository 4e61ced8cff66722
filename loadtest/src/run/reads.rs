//! Reads customers' latest identities at a steady rate, as applications beside the daemon do.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::histograms::Metric;
use super::recorder::Recorder;
use super::samples::Found;
use super::stores::Reading;
use crate::measurement::Sampled;

/// Reads from one store, in an open loop: a read that is late counts from when it was due.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) reading: Reading,
    pub(crate) metric: Metric,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) shard: u32,
    pub(crate) per_second: f64,
    pub(crate) began: Instant,
    pub(crate) measured_from: Instant,
    pub(crate) found: Arc<Found>,
    pub(crate) stop: CancellationToken,
}

/// What reads gave: those that had an identity, and those that had none.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) hits: Sampled,
    /// Why the store could not be read, the last time it could not.
    pub(crate) trouble: Option<String>,
}

impl Reader {
    /// Reads until it is stopped.
    pub(crate) async fn run(mut self) -> Read {
        let mut read = Read::default();
        let every = Duration::from_secs_f64(1.0 / self.per_second);
        let mut due = self.began;
        let mut number = 0_u64;
        while !self.stop.is_cancelled() {
            due += every;
            number += 1;
            tokio::select! {
                () = sleep_until(due) => {}
                () = self.stop.cancelled() => break,
            }
            // A walk with a stride that is prime to the number of those kept.
            let Some(customer) = self.found.pick(number.wrapping_mul(2_654_435_761)) else { continue };
            match self.reading.latest(customer).await {
                Ok(true) => read.hits.found += 1,
                Ok(false) => read.hits.missing += 1,
                Err(error) => {
                    read.trouble = Some(error);
                    continue;
                }
            }
            let took = due.elapsed();
            let is_measured = due >= self.measured_from;
            let mut shard = self.recorder.shard(self.shard);
            shard.record(self.metric, took, is_measured);
            shard.record(Metric::Read, took, is_measured);
        }
        read
    }
}
