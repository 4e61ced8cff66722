//! Identities that are looked for in the stores until they are there: the second end of what is measured.
//!
//! Gateways offer sightings that were answered and are certain to be identified. Some are taken, evenly over time. A thread
//! for each store asks for them, with a connection of its own, and so disturbs nobody else's times.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::histograms::Metric;
use super::recorder::Recorder;
use super::stores::Eye;
use crate::measurement::Sampled;
use crate::scenario::Sample;

/// Samples that a thread looks for at once; more are left out.
const MAX_OUTSTANDING: usize = 16_384;
/// What was found after a long time is known to be there to this part of that time: it is not looked for as often.
const COARSENESS: u32 = 20;

/// An identity to be found.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) customer: u32,
    /// Its time, in UTC microseconds.
    pub(crate) detected_at_us: i64,
    /// When its frame was due.
    pub(crate) due: Instant,
    pub(crate) acked: Instant,
    pub(crate) is_measured: bool,
    /// Stores that it was not found in yet.
    unseen: AtomicU8,
    /// It did not come to some store in time.
    is_missing: AtomicBool,
}

/// Where gateways offer samples.
#[derive(Debug)]
pub(crate) struct SampleDesk {
    threads: Vec<mpsc::Sender<Arc<Wanted>>>,
    began: Instant,
    every_us: u64,
    /// When the next one is taken, in microseconds since the begin.
    next_us: AtomicU64,
    left_out: Arc<AtomicU64>,
}

/// A sighting that was answered, and opens a visit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Offer {
    pub(crate) customer: u32,
    pub(crate) detected_at_us: i64,
    pub(crate) due: Instant,
    pub(crate) acked: Instant,
    pub(crate) is_measured: bool,
}

impl SampleDesk {
    /// Takes samples for these threads; none if none are to be taken.
    pub(crate) fn new(
        threads: Vec<mpsc::Sender<Arc<Wanted>>>,
        sample: &Sample,
        began: Instant,
        left_out: Arc<AtomicU64>,
    ) -> Option<Self> {
        if threads.is_empty() || sample.stored_per_second <= 0.0 {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive, and `as` saturates"
        )]
        let every_us = (1e6 / sample.stored_per_second) as u64;
        Some(Self { threads, began, every_us, next_us: AtomicU64::new(0), left_out })
    }

    /// Whether one is wanted now; if so it is this one, and the next comes a while later.
    pub(crate) fn is_wanted(&self, now: Instant) -> bool {
        let now_us = u64::try_from(now.saturating_duration_since(self.began).as_micros()).unwrap_or(u64::MAX);
        let next_us = self.next_us.load(Ordering::Relaxed);
        // Nothing is saved up for later: after a pause they come as evenly as before.
        let then_us = now_us.max(next_us) + self.every_us;
        now_us >= next_us
            && self.next_us.compare_exchange(next_us, then_us, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Has it looked for.
    pub(crate) fn offer(&self, offer: Offer) {
        let Offer { customer, detected_at_us, due, acked, is_measured } = offer;
        let unseen = AtomicU8::new(u8::try_from(self.threads.len()).unwrap_or(u8::MAX));
        let is_missing = AtomicBool::new(false);
        let wanted = Wanted { customer, detected_at_us, due, acked, is_measured, unseen, is_missing };
        let wanted = Arc::new(wanted);
        for thread in &self.threads {
            if thread.try_send(Arc::clone(&wanted)).is_err() {
                wanted.is_missing.store(true, Ordering::Relaxed);
                self.left_out.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Customers whose identity was found of late: those that reads are of.
#[derive(Debug, Default)]
pub(crate) struct Found {
    customers: Mutex<Vec<u32>>,
}

impl Found {
    const KEPT: usize = 4_096;

    pub(crate) fn note(&self, customer: u32, turn: u64) {
        let mut customers = self.customers.lock().unwrap_or_else(PoisonError::into_inner);
        if customers.len() < Self::KEPT {
            customers.push(customer);
        } else {
            let place = usize::try_from(turn).unwrap_or(0) % Self::KEPT;
            customers[place] = customer;
        }
    }

    /// One of them, another for each number; none if there is none.
    pub(crate) fn pick(&self, number: u64) -> Option<u32> {
        let customers = self.customers.lock().unwrap_or_else(PoisonError::into_inner);
        let place = number.checked_rem(customers.len() as u64)?;
        customers.get(usize::try_from(place).ok()?).copied()
    }
}

/// Looks for samples in one store.
#[derive(Debug)]
pub(crate) struct Looker {
    pub(crate) eye: Eye,
    pub(crate) metric: Metric,
    pub(crate) wanted: mpsc::Receiver<Arc<Wanted>>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) shard: u32,
    pub(crate) look_every: Duration,
    pub(crate) missing_after: Duration,
    /// Where reads find their customers.
    pub(crate) found: Option<Arc<Found>>,
    pub(crate) left_out: Arc<AtomicU64>,
}

/// What a looker saw.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    pub(crate) sampled: Sampled,
    /// Why the store could not be asked, the last time it could not.
    pub(crate) trouble: Option<String>,
}

struct Outstanding {
    wanted: Arc<Wanted>,
    look_at: Instant,
}

impl Looker {
    /// Looks until there is nothing left to be found, and nobody offers more.
    pub(crate) async fn run(mut self) -> Looked {
        let mut looked = Looked::default();
        let mut outstanding: Vec<Outstanding> = Vec::new();
        let mut is_open = true;
        while is_open || !outstanding.is_empty() {
            let next_look = outstanding.iter().map(|outstanding| outstanding.look_at).min();
            // Never asked twice within the time, though it is due for several at different moments.
            is_open = is_open && self.gather(&mut outstanding, next_look, &mut looked).await;
            if !is_open && let Some(next_look) = next_look {
                tokio::time::sleep_until(next_look).await;
            }
            self.look(&mut outstanding, &mut looked).await;
        }
        looked
    }

    /// Takes what is offered until it is time for a look; false once nobody offers more.
    async fn gather(
        &mut self,
        outstanding: &mut Vec<Outstanding>,
        next_look: Option<Instant>,
        looked: &mut Looked,
    ) -> bool {
        let until = next_look.unwrap_or_else(|| Instant::now() + self.look_every);
        loop {
            match timeout_at(until, self.wanted.recv()).await {
                Err(_) => return true,
                Ok(None) => return false,
                Ok(Some(wanted)) if outstanding.len() < MAX_OUTSTANDING => {
                    outstanding.push(Outstanding { wanted, look_at: until });
                }
                Ok(Some(wanted)) => {
                    wanted.is_missing.store(true, Ordering::Relaxed);
                    self.left_out.fetch_add(1, Ordering::Relaxed);
                    looked.trouble = Some("too many identities are waited for at once".to_owned());
                }
            }
        }
    }

    async fn look(&mut self, outstanding: &mut Vec<Outstanding>, looked: &mut Looked) {
        let now = Instant::now();
        let due: Vec<Arc<Wanted>> = outstanding
            .iter()
            .filter(|outstanding| outstanding.look_at <= now)
            .map(|outstanding| Arc::clone(&outstanding.wanted))
            .collect();
        if due.is_empty() {
            return;
        }
        let seen = match self.eye.see(&due).await {
            Ok(seen) => seen,
            Err(error) => {
                looked.trouble = Some(error);
                vec![false; due.len()]
            }
        };
        let now_seen = Instant::now();
        let mut seen = seen.into_iter();
        outstanding.retain_mut(|outstanding| {
            if outstanding.look_at > now {
                return true;
            }
            if seen.next().unwrap_or(false) {
                self.found(&outstanding.wanted, now_seen, looked);
                return false;
            }
            let wanted = &outstanding.wanted;
            if now_seen.saturating_duration_since(wanted.acked) > self.missing_after {
                looked.sampled.missing += 1;
                wanted.is_missing.store(true, Ordering::Relaxed);
                return false;
            }
            let age = now_seen.saturating_duration_since(wanted.due);
            outstanding.look_at = now + self.look_every.max(age / COARSENESS);
            true
        });
    }

    fn found(&self, wanted: &Wanted, now: Instant, looked: &mut Looked) {
        looked.sampled.found += 1;
        if let Some(found) = &self.found {
            found.note(wanted.customer, looked.sampled.found);
        }
        let took = now.saturating_duration_since(wanted.due);
        let mut shard = self.recorder.shard(self.shard);
        shard.record(self.metric, took, wanted.is_measured);
        let is_last = wanted.unseen.fetch_sub(1, Ordering::AcqRel) == 1;
        if is_last && !wanted.is_missing.load(Ordering::Relaxed) {
            shard.record(Metric::Stored, took, wanted.is_measured);
        }
    }
}
