//! Reads the daemon's own ledger all along: it must balance at every reading.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::balance::{Reading, STORES};
use crate::gateway::Conduct;
use crate::http;

/// Between two readings.
const EVERY: Duration = Duration::from_millis(40);

/// A daemon that is suspended answers later.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);

/// What the readings of a round came to.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    readings: u64,
    /// Named as lost, by store: the most that any reading said.
    lost: [u64; 2],
    dead_lettered: u64,
    last: Option<Reading>,
}

/// Shared with the one who reads.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watched(Arc<Mutex<Seen>>);

impl Watched {
    pub(crate) fn readings(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).readings
    }

    pub(crate) fn lost(&self) -> [u64; 2] {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).lost
    }

    pub(crate) fn dead_lettered(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).dead_lettered
    }

    /// What kept it from rest when it was read last.
    pub(crate) fn last(&self) -> String {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.last.as_ref().map_or("no reading".into(), |last| format!("{}; {last:?}", last.troubles()))
    }

    fn take(&self, reading: Reading) -> Result<(), String> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let imbalance = reading.imbalance();
        for (most, store) in seen.lost.iter_mut().zip(STORES) {
            *most = (*most).max(reading.store(store, "lost_to_corruption")?);
        }
        for store in STORES {
            seen.dead_lettered = seen.dead_lettered.max(reading.store(store, "dead_lettered")?);
        }
        seen.readings += 1;
        seen.last = Some(reading);
        imbalance.map_or(Ok(()), Err)
    }
}

/// Reads whichever daemon there is, until it is dropped.
pub(crate) async fn watch(
    mut daemon: watch::Receiver<Option<SocketAddr>>,
    watched: Watched,
    conduct: Arc<Conduct>,
) {
    loop {
        let Ok(admin) = daemon.wait_for(Option::is_some).await.map(|admin| *admin) else { return };
        if let Some(admin) = admin
            && let Some(reading) = read(admin).await
            && let Err(breach) = watched.take(reading)
        {
            conduct.breach(format!("v: {breach}"));
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// One reading; none if the daemon is being killed, or too slow for it.
pub(crate) async fn read(admin: SocketAddr) -> Option<Reading> {
    let page = timeout(ANSWERED_WITHIN, http::page(admin, "/api/v1/ledger")).await.ok()?.ok()?;
    (page.status() == Some(200)).then(|| Reading::parse(&page.body).ok()).flatten()
}
