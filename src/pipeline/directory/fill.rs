//! Filling memory at a start with every beacon that the system of record has, so that sightings do not wait for one
//! question a beacon each.

use std::sync::Arc;

use moka::ops::compute::{CompResult, Op};
use tokio::time::{Duration, Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Directory;
use super::entry::{Entry, Source, Value};
use super::generations::Stamps;
use crate::backoff::Backoff;
use crate::domain::beacon::{Beacon, BeaconId};
use crate::ports::{BeaconPage, SystemOfRecord};

/// Beacons asked for at once: a question of milliseconds, between which others are answered.
const PAGE: u32 = 2_000;

/// Beacons put in place without letting others run.
const BREATHER_EVERY: usize = 64;

/// The waits between attempts to have a page.
const PAGE_AGAIN_FIRST: Duration = Duration::from_millis(100);
const PAGE_AGAIN_LONGEST: Duration = Duration::from_secs(5);

impl Directory<BeaconId, Beacon> {
    /// Takes every beacon into memory, up to what it may hold, and again whenever all are to be asked about anew; to be
    /// run by one task, until `stop`. Begins as soon as changes are told: from there on a copy is good for a day, and
    /// before it would be for two seconds. Where changes are never told it does nothing. Cancels `filled` when memory has
    /// been filled for the first time.
    pub async fn fill(
        self: Arc<Self>,
        record: Arc<dyn SystemOfRecord>,
        filled: CancellationToken,
        stop: CancellationToken,
    ) {
        let fill = async {
            loop {
                self.following.begun().await;
                let started = Instant::now();
                let beacons = self.fill_from(&*record).await;
                let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                tracing::info!(beacons, took_ms, "beacons are in memory");
                filled.cancel();
                self.asked_anew.notified().await;
            }
        };
        stop.run_until_cancelled(fill).await;
    }

    /// How many it took.
    async fn fill_from(&self, record: &dyn SystemOfRecord) -> u64 {
        let (mut taken, mut after) = (0, None);
        loop {
            let (page, stamps, asked_at) = self.page(record, after).await;
            for (place, beacon) in page.beacons.into_iter().enumerate() {
                if taken == self.settings.max_entries {
                    return taken;
                }
                taken += u64::from(self.put_if_newer(beacon, &stamps, asked_at).await);
                if place % BREATHER_EVERY == 0 {
                    tokio::task::yield_now().await;
                }
            }
            match page.next_after {
                Some(last) => after = Some(last),
                None => return taken,
            }
        }
    }

    /// The next page, however long the system of record cannot be asked.
    async fn page(
        &self,
        record: &dyn SystemOfRecord,
        after: Option<BeaconId>,
    ) -> (BeaconPage, Stamps, Instant) {
        let mut backoff = Backoff::new(PAGE_AGAIN_FIRST, PAGE_AGAIN_LONGEST);
        loop {
            // Before the question: a notice from here on shows in them.
            let (stamps, asked_at) = (self.generations.stamps(), Instant::now());
            match timeout(self.settings.load_timeout, record.beacons(after, PAGE)).await {
                Ok(Ok(page)) => return (page, stamps, asked_at),
                Ok(Err(error)) => tracing::debug!(%error, "beacons are not in memory yet"),
                Err(_) => tracing::debug!("beacons are not in memory yet: no answer in time"),
            }
            sleep(backoff.wait()).await;
        }
    }

    /// Holds what the system of record said, unless a notice came since or it has been asked for this beacon later.
    async fn put_if_newer(&self, beacon: Beacon, stamps: &Stamps, asked_at: Instant) -> bool {
        let id = beacon.id;
        let stamp = self.generations.stamp_of(stamps, &id);
        let put = |held: Option<moka::Entry<BeaconId, Arc<Entry<Beacon>>>>| {
            let overtaken = held.is_some_and(|held| {
                let held = held.value();
                held.source == Source::Record
                    && held.asked_at >= asked_at
                    && self.generations.is_current(held.stamp)
            });
            let op = if overtaken || !self.generations.is_current(stamp) {
                Op::Nop
            } else {
                let value = Value::Is(Arc::new(beacon));
                Op::Put(Arc::new(Entry::new(value, Source::Record, stamp, asked_at)))
            };
            std::future::ready(op)
        };
        let put = self.entries.entry(id).and_compute_with(put).await;
        matches!(put, CompResult::Inserted(_) | CompResult::ReplacedWith(_))
    }
}
