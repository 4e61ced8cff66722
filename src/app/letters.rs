//! Carries out what operators order about dead letters, beside the daemon's work.

use std::collections::HashSet;
use std::fmt::Display;
use std::io;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::spawn_blocking;

use super::stores::Background;
use crate::domain::time::Timestamp;
use crate::ops::{LetterOrders, OrderError, PurgeAnswer, PurgeOrder, ReplayAnswer, ReplayOrder};
use crate::pipeline::{Pipeline, RefusedLetter, Replayed};
use crate::ports::{Clock, PortFuture};
use crate::stores::dead_letters::DeadLetterFile;

/// Letters taken back for one order, and bytes of the file: done with in a second or two, and little memory.
const REPLAYED_AT_ONCE: usize = 2_048;
const REPLAYED_BYTES: u64 = 4 << 20;

/// The dead letters, and the pipeline that takes them back.
#[derive(Debug, Clone)]
pub(super) struct LetterDesk {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) letters: Arc<DeadLetterFile>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) background: Background,
    pub(super) runtime: Handle,
    /// One order at a time: two would take the same letters back.
    one_order: Arc<Semaphore>,
}

impl LetterDesk {
    pub(super) fn new(
        pipeline: Arc<Pipeline>,
        letters: Arc<DeadLetterFile>,
        clock: Arc<dyn Clock>,
        background: Background,
        runtime: Handle,
    ) -> Self {
        Self { pipeline, letters, clock, background, runtime, one_order: Arc::new(Semaphore::new(1)) }
    }

    /// Runs an order among the daemon's own tasks, to its end even if nobody waits for the answer.
    async fn carry_out<T: Send + 'static>(
        &self,
        order: impl Future<Output = Result<T, OrderError>> + Send + 'static,
    ) -> Result<T, OrderError> {
        let place = Arc::clone(&self.one_order).try_acquire_owned().map_err(|_| OrderError::Busy)?;
        let (answer, answered) = oneshot::channel();
        let stop = self.background.stop.clone();
        {
            let _inside = self.runtime.enter();
            self.background.tasks.spawn(async move {
                if let Some(done) = stop.run_until_cancelled(order).await {
                    // Whoever gave the order may be gone.
                    let _ = answer.send(done);
                }
                drop(place);
            });
        }
        answered.await.unwrap_or_else(|_| Err(OrderError::Failed("the daemon stops".to_owned())))
    }

    async fn take_back(self, order: ReplayOrder, until: Timestamp) -> Result<ReplayAnswer, OrderError> {
        let count = order.limit.unwrap_or(usize::MAX).min(REPLAYED_AT_ONCE);
        let letters = Arc::clone(&self.letters);
        let (found, more) = on_the_disk(move || {
            let wanted = |letter: &crate::stores::dead_letters::KeptLetter| {
                letter.at < until && order.store.as_ref().is_none_or(|store| *store == letter.store)
            };
            letters.oldest(wanted, order.skip, count, REPLAYED_BYTES)
        })
        .await?;
        let (ids, rows): (Vec<_>, Vec<_>) = found
            .into_iter()
            .map(|letter| (letter.id, RefusedLetter { store: letter.store, block: letter.block }))
            .unzip();
        let replayed = self.pipeline.replay(&rows).await;
        let mut answer = ReplayAnswer { until: until.to_string(), more, ..ReplayAnswer::default() };
        let mut done = HashSet::new();
        for (id, replayed) in ids.into_iter().zip(replayed) {
            *match replayed {
                Replayed::Journaled => {
                    done.insert(id);
                    &mut answer.replayed
                }
                Replayed::Duplicate => &mut answer.duplicates,
                Replayed::Unrecorded => &mut answer.unrecorded,
                Replayed::Unconfigured => &mut answer.unconfigured,
                Replayed::Undecided => &mut answer.undecided,
            } += 1;
        }
        if !done.is_empty() {
            let letters = self.letters;
            on_the_disk(move || {
                letters.remove(|letter| letter.is_ok_and(|letter| done.contains(&letter.id)))
            })
            .await?;
        }
        tracing::info!(
            replayed = answer.replayed,
            duplicates = answer.duplicates,
            unrecorded = answer.unrecorded,
            unconfigured = answer.unconfigured,
            undecided = answer.undecided,
            "dead letters were taken back"
        );
        Ok(answer)
    }

    async fn take_out(
        self,
        store: Option<String>,
        before: Option<Timestamp>,
    ) -> Result<PurgeAnswer, OrderError> {
        let letters = self.letters;
        let removed = on_the_disk(move || letters.purge(store.as_deref(), before)).await?;
        tracing::info!(purged = removed.letters, damaged = removed.damaged, "dead letters were purged");
        Ok(PurgeAnswer { purged: removed.letters, damaged: removed.damaged })
    }
}

impl LetterOrders for LetterDesk {
    fn replay(&self, order: ReplayOrder) -> PortFuture<'_, Result<ReplayAnswer, OrderError>> {
        let until = time(order.until.as_deref());
        Box::pin(async move {
            // Up to now: what is refused again meanwhile is a letter of its own, for another order.
            let until = until?.unwrap_or_else(|| self.clock.read().now);
            self.carry_out(self.clone().take_back(order, until)).await
        })
    }

    fn purge(&self, order: PurgeOrder) -> PortFuture<'_, Result<PurgeAnswer, OrderError>> {
        let before = time(order.before.as_deref());
        Box::pin(async move { self.carry_out(self.clone().take_out(order.store, before?)).await })
    }
}

fn time(text: Option<&str>) -> Result<Option<Timestamp>, OrderError> {
    text.map(Timestamp::from_text).transpose().map_err(|error| OrderError::Wrong(error.to_string()))
}

async fn on_the_disk<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, OrderError> {
    let failed = |error: &dyn Display| OrderError::Failed(format!("the dead letters: {error}"));
    match spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| failed(&error)),
        Err(error) => Err(failed(&error)),
    }
}
