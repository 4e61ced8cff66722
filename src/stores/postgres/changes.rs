//! Tells of beacons that changed in PostgreSQL: at once by NOTIFY, and by a poll that misses nothing.

mod poll;
mod reach;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::{self, Receiver};
use tokio::time::{Instant, timeout_at};
use tokio_postgres::Notification;
use tokio_postgres::types::{ToSql, Type};
use tokio_util::sync::CancellationToken;

use self::poll::poll;
use self::reach::Reach;
use super::connect::{ConnectError, Connector, PostgresSettings};
use super::failure::unavailable;
use super::session::{Session, bounded};
use crate::backoff::Backoff;
use crate::domain::beacon::BeaconId;
use crate::domain::time::Timestamp;
use crate::ports::{BeaconChanges, StoreError};
use crate::tasks::TaskGroup;

/// The channel of the trigger on `beacons`; its payloads are ids.
const CHANNEL: &str = "beacond_beacons";

/// Notices that may wait. What comes beyond is dropped, and a poll made at once: it finds all that they told of.
const NOTICES_AT_MOST: usize = 4096;

/// Beacons told of in one call at most.
const PAGE: usize = 1000;

/// How often changes are looked for. The sum of both is the longest that a change can go unnoticed without being said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowSettings {
    /// From one poll to the next.
    pub poll_interval: Duration,
    /// How long a poll, and the proof that notices arrive, may take before changes no longer count as followed.
    pub poll_timeout: Duration,
}

/// Follows the changes of beacons over a connection of its own.
///
/// Everything a poll finds is told, so changes are told within an interval also where notices do not arrive, as behind
/// a pooler. They count as followed only while notices arrive: each poll sends one to itself and waits for it.
#[derive(Debug)]
pub struct BeaconChangesTask {
    connector: Connector,
    settings: FollowSettings,
    changes: Arc<dyn BeaconChanges>,
}

impl BeaconChangesTask {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// [`ConnectError`] when the URL or its certificates cannot be used.
    pub fn new(
        postgres: &PostgresSettings,
        settings: FollowSettings,
        changes: Arc<dyn BeaconChanges>,
    ) -> Result<Self, ConnectError> {
        Ok(Self { connector: Connector::new(postgres)?, settings, changes })
    }

    /// Follows until `cancel`, and connects again for as long. Its connection is driven by a task of `tasks`.
    pub async fn run(self, tasks: TaskGroup, cancel: CancellationToken) {
        let told =
            Told { changes: self.changes, followed: AtomicBool::new(false), down: AtomicBool::new(false) };
        let mut follower = Follower {
            told: &told,
            settings: self.settings,
            reach: Reach::default(),
            start: None,
            backoff: Backoff::new(Duration::from_millis(200), Duration::from_secs(5)),
        };
        loop {
            let lost = tokio::select! {
                () = cancel.cancelled() => break,
                lost = follower.follow(&self.connector, &tasks) => lost,
            };
            if let Err(error) = lost {
                told.not_followed(&error.to_string());
            }
            // Over another connection ids of transactions mean nothing: it looks back further.
            follower.start = std::mem::take(&mut follower.reach).into_start().or(follower.start);
            let wait = follower.backoff.wait();
            tokio::select! {
                () = cancel.cancelled() => break,
                () = tokio::time::sleep(wait) => {}
            }
        }
        told.stop();
    }
}

/// What a notification says.
#[derive(Debug)]
enum Notice {
    Changed(BeaconId),
    Heartbeat(u64),
}

struct Follower<'t> {
    told: &'t Told,
    settings: FollowSettings,
    reach: Reach,
    /// Everything that carries an earlier time was told over connections before this one.
    start: Option<Timestamp>,
    backoff: Backoff,
}

impl Follower<'_> {
    /// Follows over one connection, until it fails.
    async fn follow(&mut self, connector: &Connector, tasks: &TaskGroup) -> Result<(), StoreError> {
        let (sender, mut notices) = mpsc::channel(NOTICES_AT_MOST);
        let dropped = Arc::new(AtomicBool::new(false));
        let mine = format!("beacond_heartbeat_{:016x}", random());
        let receive = {
            let (dropped, mine) = (Arc::clone(&dropped), mine.clone());
            move |notification: Notification| {
                if let Some(notice) = notice(&notification, &mine)
                    && sender.try_send(notice).is_err()
                {
                    dropped.store(true, Ordering::Relaxed);
                }
            }
        };
        let session = Session::open_listening(connector, tasks, self.settings.poll_timeout, receive).await?;
        let listen = format!("LISTEN {CHANNEL}; LISTEN {mine}");
        loop {
            let next = Instant::now() + self.settings.poll_interval;
            let deadline = Instant::now() + self.settings.poll_timeout;
            // Said again each time: a pooler may have another server's connection by now.
            bounded(self.settings.poll_timeout, session.client.batch_execute(&listen)).await?;
            let told = self.told;
            let proven = {
                let mut round = std::pin::pin!(self.round(&session, &mine, &mut notices));
                match timeout_at(deadline, &mut round).await {
                    Ok(proven) => proven?,
                    Err(_) => {
                        told.not_followed("changes of beacons take long to read");
                        round.await?
                    }
                }
            };
            self.backoff.reset();
            if proven {
                told.followed();
            } else {
                told.not_followed("its notifications do not arrive, only what is polled is known");
            }
            self.hear(&mut notices, &dropped, next).await?;
        }
    }

    /// Tells what has changed, and whether notices arrive.
    async fn round(
        &mut self,
        session: &Session,
        mine: &str,
        notices: &mut Receiver<Notice>,
    ) -> Result<bool, StoreError> {
        poll(&session.client, self.settings.poll_timeout, &mut self.reach, self.start, self.told).await?;
        self.beats(session, mine, notices).await
    }

    /// Sends a notice on a channel of its own and waits for it.
    async fn beats(
        &self,
        session: &Session,
        mine: &str,
        notices: &mut Receiver<Notice>,
    ) -> Result<bool, StoreError> {
        const NOTIFY: &str = "SELECT pg_notify($1, $2)";
        let deadline = Instant::now() + self.settings.poll_timeout;
        let nonce = random();
        // Those that wait must not be in its way.
        self.tell_waiting(notices);
        let payload = nonce.to_string();
        let values: [(&(dyn ToSql + Sync), Type); 2] = [(&mine, Type::TEXT), (&payload, Type::TEXT)];
        bounded(self.settings.poll_timeout, session.client.query_typed(NOTIFY, &values)).await?;
        loop {
            match timeout_at(deadline, notices.recv()).await {
                Ok(Some(Notice::Heartbeat(heard))) if heard == nonce => return Ok(true),
                Ok(Some(Notice::Heartbeat(_))) => {}
                Ok(Some(Notice::Changed(id))) => self.told.changed(&[id]),
                Ok(None) => return Err(unavailable("the connection was closed".to_owned())),
                Err(_) => return Ok(false),
            }
        }
    }

    /// Tells of notices as they come, until the next poll is due or one was dropped.
    async fn hear(
        &self,
        notices: &mut Receiver<Notice>,
        dropped: &AtomicBool,
        next_poll: Instant,
    ) -> Result<(), StoreError> {
        while !dropped.swap(false, Ordering::Relaxed) {
            let mut heard = Vec::new();
            match timeout_at(next_poll, notices.recv_many(&mut heard, PAGE)).await {
                Ok(0) => return Err(unavailable("the connection was closed".to_owned())),
                Ok(_) => self.tell(heard),
                Err(_) => break,
            }
        }
        Ok(())
    }

    fn tell_waiting(&self, notices: &mut Receiver<Notice>) {
        let mut waiting = Vec::new();
        while let Ok(notice) = notices.try_recv() {
            waiting.push(notice);
            if waiting.len() == PAGE {
                self.tell(std::mem::take(&mut waiting));
            }
        }
        self.tell(waiting);
    }

    fn tell(&self, notices: Vec<Notice>) {
        let mut ids: Vec<BeaconId> = notices
            .into_iter()
            .filter_map(|notice| match notice {
                Notice::Changed(id) => Some(id),
                Notice::Heartbeat(_) => None,
            })
            .collect();
        ids.sort_unstable();
        ids.dedup();
        self.told.changed(&ids);
    }
}

/// What the listener has been told, and the log.
#[derive(Debug)]
struct Told {
    changes: Arc<dyn BeaconChanges>,
    followed: AtomicBool,
    /// That changes are not followed has been logged, and not since that they are.
    down: AtomicBool,
}

impl Told {
    fn changed(&self, ids: &[BeaconId]) {
        if !ids.is_empty() {
            self.changes.changed(ids);
        }
    }

    fn followed(&self) {
        if !self.followed.swap(true, Ordering::Relaxed) {
            self.changes.followed(true);
            self.down.store(false, Ordering::Relaxed);
            tracing::info!("changes of beacons are told by PostgreSQL");
        }
    }

    fn not_followed(&self, reason: &str) {
        self.stop();
        if !self.down.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                reason,
                "changes of beacons are not told by PostgreSQL: they are looked up more often"
            );
        }
    }

    fn stop(&self) {
        if self.followed.swap(false, Ordering::Relaxed) {
            self.changes.followed(false);
        }
    }
}

/// What a notification says; nothing if its payload is none of ours, since anybody may notify.
fn notice(notification: &Notification, mine: &str) -> Option<Notice> {
    if notification.channel() == mine {
        return notification.payload().parse().ok().map(Notice::Heartbeat);
    }
    notification.payload().parse().ok().map(Notice::Changed)
}

/// A number that no other session draws. If the system has no random numbers, a heartbeat of another daemon may be
/// taken for one's own, which proves the same.
fn random() -> u64 {
    getrandom::u64().unwrap_or_default()
}
