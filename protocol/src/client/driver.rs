//! The task behind a gateway's client: sessions one after another until everything is answered.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::backoff::{Backoff, Jitter};
use super::config::GatewayConfig;
use super::ending::{Next, SessionEnd};
use super::error::{ClientError, Disconnect};
use super::event::{Event, Summary};
use super::frame::{FrameLimits, OutgoingFrame};
use super::handshake::{Attempt, Failure, open_session};
use super::outbox::Outbox;
use super::session::say_goodbye;
use super::targets::Targets;
use super::undecided::UndecidedQueue;
use crate::Welcome;

/// What a caller hands to the task.
#[derive(Debug)]
pub(super) enum Command {
    /// A frame to be numbered, sent and answered.
    Frame { frame: OutgoingFrame, tag: u64 },
    /// A gateway status, encoded; sent once, not answered.
    Status(Vec<u8>),
}

/// What both sides of the channels look at.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Why the task ended, if not because all was done.
    pub(super) failure: OnceLock<ClientError>,
}

/// The task's side of the channels.
#[derive(Debug)]
pub(super) struct Channels {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) events: mpsc::Sender<Event>,
    /// When to stop waiting for answers, once the caller has said so.
    pub(super) deadline: watch::Receiver<Option<Instant>>,
    pub(super) limits: watch::Sender<Option<FrameLimits>>,
    pub(super) shared: Arc<Shared>,
}

/// State that outlives sessions.
#[derive(Debug)]
pub(super) struct Driver {
    pub(super) config: GatewayConfig,
    pub(super) channels: Channels,
    boot_epoch: u64,
    pub(super) outbox: Outbox,
    /// What the session takes, or the last one did.
    limits: Option<FrameLimits>,
    /// Something in the outbox is larger than that.
    outgrown: bool,
    pub(super) undecided: UndecidedQueue,
    pub(super) unread: VecDeque<Event>,
    /// How the gateway fares, if not sent yet; a newer one takes its place.
    pub(super) status: Option<Vec<u8>>,
    pub(super) summary: Summary,
    pub(super) jitter: Jitter,
    pub(super) reconnect: Backoff,
    pub(super) targets: Targets,
    /// No more frames will come from the caller.
    pub(super) commands_ended: bool,
}

impl Driver {
    pub(super) fn new(config: GatewayConfig, channels: Channels, seed: u64) -> Self {
        let reconnect = Backoff::new(config.reconnect_backoff);
        let targets = Targets::new(config.target, &config.other_targets);
        Self {
            boot_epoch: config.boot_epoch,
            config,
            targets,
            channels,
            outbox: Outbox::new(),
            limits: None,
            outgrown: false,
            undecided: UndecidedQueue::default(),
            unread: VecDeque::new(),
            status: None,
            summary: Summary::default(),
            jitter: Jitter::new(seed),
            reconnect,
            commands_ended: false,
        }
    }

    /// Runs until everything is answered, the deadline is over, nobody reads events any more, or something fatal.
    /// `connected` hears of the first session.
    pub(super) async fn run(mut self, connected: oneshot::Sender<Result<Welcome, ClientError>>) -> Summary {
        let first_deadline = Instant::now().checked_add(self.config.connect_deadline);
        let mut connected = Some(connected);
        let failure = loop {
            let attempt = self.attempt(connected.is_some());
            let first_unacked = self.outbox.first_unacked();
            let opened = tokio::select! {
                opened = open_session(&self.config, attempt, first_unacked, &mut self.jitter) => opened,
                () = moment_over(first_deadline), if connected.is_some() => {
                    Err(Failure::Again(Disconnect::Silent, Duration::ZERO))
                }
                () = self.channels.abandoned() => break None,
            };
            let end = match opened {
                Ok((mut link, welcome)) => match self.lost_numbering(&welcome) {
                    Some(cause) => {
                        // As a courtesy: over UDP the daemon would keep the session for a while.
                        let _ = say_goodbye(&mut link);
                        self.begin_epoch().map_or_else(SessionEnd::Fatal, |()| cause.into())
                    }
                    None => {
                        if let Some(connected) = connected.take()
                            && connected.send(Ok(welcome)).is_err()
                        {
                            break None;
                        }
                        self.converse(link, attempt.target, welcome).await
                    }
                },
                Err(Failure::Fatal(failure)) => SessionEnd::Fatal(failure),
                Err(Failure::Again(cause, retry_after)) => {
                    self.note_refused_hello(&cause, retry_after);
                    SessionEnd::Lost { cause, retry_after, next: Next::Backoff }
                }
            };
            match end {
                SessionEnd::Done => break None,
                SessionEnd::Fatal(failure) => break Some(failure),
                SessionEnd::Lost { cause, retry_after, next } => {
                    let asked = retry_after.max(cause.least_wait());
                    let resume_at = self.turn(next, asked);
                    if connected.is_some() && first_deadline.is_some_and(|deadline| resume_at >= deadline) {
                        break Some(ClientError::Unreachable { target: attempt.target, cause });
                    }
                    if connected.is_none() {
                        self.tell(Event::Disconnected { cause });
                    }
                    if self.pause_until(resume_at).await.is_break() {
                        break None;
                    }
                }
            }
        };
        self.end(failure, connected).await
    }

    /// The next attempt. Until there is a first session every daemon gets its part of the time set for that.
    fn attempt(&self, is_first: bool) -> Attempt {
        let count = self.targets.count();
        let part = self.config.connect_deadline / count;
        Attempt {
            target: self.targets.current(),
            boot_epoch: self.boot_epoch,
            timeout: if is_first {
                self.config.attempt_timeout.min(part)
            } else {
                self.config.attempt_timeout
            },
            has_others: count > 1,
        }
    }

    /// Chooses where to go after a session that was lost or never opened, and returns when. The daemon just left is not
    /// met before the wait it `asked` for.
    fn turn(&mut self, next: Next, asked: Duration) -> Instant {
        let now = Instant::now();
        let wait = match next {
            Next::SameAtOnce => return now,
            Next::ElsewhereAtOnce | Next::Backoff => self.reconnect.next(&mut self.jitter),
        };
        if next == Next::ElsewhereAtOnce {
            self.targets.leave(now, wait.max(asked));
            self.targets.turn(now)
        } else {
            self.targets.leave(now, asked);
            self.targets.turn(now + wait)
        }
    }

    /// A hello was refused, but not for good: the caller is told as of any refusal.
    fn note_refused_hello(&mut self, cause: &Disconnect, retry_after: Duration) {
        if let Disconnect::Refused { code, text } = cause {
            self.summary.refusals += 1;
            self.tell(Event::Refused { sequence: 0, code: *code, text: text.clone(), retry_after });
        }
    }

    /// Whether a frame can be taken from the caller: everything that is kept is bounded.
    pub(super) fn room_for_frames(&self) -> usize {
        let in_flight = self.config.max_in_flight_frames.max(1);
        let crowded = self.undecided.bytes() >= self.config.max_undecided_bytes
            || self.is_unread()
            || self.commands_ended;
        if crowded { 0 } else { in_flight.saturating_sub(self.outbox.len()) }
    }

    /// Whether undecided sightings may go out again: each try makes another answer to be read.
    pub(super) fn room_for_undecided(&self) -> bool {
        self.outbox.len() < self.config.max_in_flight_frames.max(1) && !self.is_unread()
    }

    /// Keeps an event for the caller. Answers are as many as the frames; anything else is counted and dropped when
    /// the caller does not read.
    pub(super) fn tell(&mut self, event: Event) {
        if self.is_unread() && !matches!(event, Event::Answered(_)) {
            self.summary.events_dropped += 1;
        } else {
            self.unread.push_back(event);
        }
    }

    /// Whether so many events wait that nothing may be begun that makes more.
    fn is_unread(&self) -> bool {
        self.unread.len() >= self.config.max_in_flight_frames.max(1)
    }

    pub(super) fn take(&mut self, command: Command, now: Instant) {
        match command {
            Command::Frame { frame, tag } => {
                self.summary.frames_sent += 1;
                self.summary.sightings_sent += u64::from(frame.sighting_count());
                self.keep(frame, tag, 0, now);
            }
            Command::Status(bytes) => self.status = Some(bytes),
        }
    }

    /// Numbers a frame, to be sent when it is its turn; one made for an earlier session's limits is divided first.
    pub(super) fn keep(&mut self, frame: OutgoingFrame, tag: u64, undecided_times: u32, now: Instant) {
        let parts = match self.limits {
            Some(limits) if !limits.admit(&frame) => frame.divided(limits).unwrap_or_else(|whole| {
                self.outgrown = true;
                vec![whole]
            }),
            _ => return self.outbox.push(frame, tag, undecided_times, now),
        };
        parts.into_iter().for_each(|part| self.outbox.push(part, tag, undecided_times, now));
    }

    /// From now on frames keep to these limits, those of earlier sessions too.
    pub(super) fn keep_within(&mut self, limits: FrameLimits) {
        self.limits = Some(limits);
        self.outgrown = self.outbox.exceeds(limits);
        self.channels.limits.send_replace(Some(limits));
    }

    /// Divides frames that the session does not take, if there are any: the numbers are others then, and so the epoch.
    pub(super) fn divide_outgrown(&mut self, now: Instant) -> Result<(), SessionEnd> {
        let Some(limits) = self.limits.filter(|_| self.outgrown) else { return Ok(()) };
        self.outbox.divide(limits, now).map_err(SessionEnd::Fatal)?;
        self.begin_epoch().map_err(SessionEnd::Fatal)?;
        let FrameLimits { max_frame_bytes, max_sightings } = limits;
        Err(Disconnect::SmallerLimits { max_frame_bytes, max_sightings }.into())
    }

    /// Moves events to the caller as far as there is room.
    pub(super) fn deliver_events(&mut self) {
        while let Some(event) = self.unread.pop_front() {
            match self.channels.events.try_send(event) {
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
                Err(mpsc::error::TrySendError::Full(event)) => {
                    self.unread.push_front(event);
                    break;
                }
            }
        }
    }

    /// Whether the caller has handed over its last frame and every one is answered.
    pub(super) fn all_done(&self) -> bool {
        self.commands_ended && self.outbox.unfinished() == 0 && self.undecided.is_empty()
    }

    fn lost_numbering(&self, welcome: &Welcome) -> Option<Disconnect> {
        let (last_acked, next) = (welcome.last_acked, self.outbox.next_sequence());
        (last_acked >= next).then_some(Disconnect::NumberingLost { last_acked, next })
    }

    /// Puts what has no record into an epoch that nobody has used.
    pub(super) fn begin_epoch(&mut self) -> Result<(), ClientError> {
        let boot_epoch = getrandom::u64().map_err(|error| ClientError::System(error.to_string()))?;
        self.boot_epoch = boot_epoch;
        self.outbox.renumber();
        self.tell(Event::EpochBegun { boot_epoch });
        Ok(())
    }

    /// Waits between sessions; breaks when nothing is left to come back for.
    async fn pause_until(&mut self, resume_at: Instant) -> ControlFlow<()> {
        loop {
            self.deliver_events();
            let unread = !self.unread.is_empty();
            if self.all_done() {
                return ControlFlow::Break(());
            }
            let room = self.room_for_frames();
            let Channels { commands, events, deadline, .. } = &mut self.channels;
            let command = tokio::select! {
                () = sleep_until(resume_at) => return ControlFlow::Continue(()),
                () = deadline_over(deadline) => return ControlFlow::Break(()),
                () = events.closed() => return ControlFlow::Break(()),
                command = commands.recv(), if room > 0 => command,
                _ = events.reserve(), if unread => continue,
            };
            match command {
                Some(command) => self.take(command, Instant::now()),
                None => self.commands_ended = true,
            }
        }
    }

    async fn end(
        mut self,
        failure: Option<ClientError>,
        connected: Option<oneshot::Sender<Result<Welcome, ClientError>>>,
    ) -> Summary {
        self.summary.unanswered_frames += u64::try_from(self.outbox.unfinished()).unwrap_or(u64::MAX);
        self.summary.unanswered_sightings += self.outbox.unfinished_sightings();
        for waiting in self.undecided.drain() {
            self.summary.unanswered_frames += 1;
            self.summary.unanswered_sightings += u64::from(waiting.frame.sighting_count());
        }
        if let Some(failure) = failure {
            if let Some(connected) = connected {
                // A caller that stopped waiting for its first session needs no reason.
                let _ = connected.send(Err(failure.clone()));
            }
            // Only this task sets it, and only here.
            let _ = self.channels.shared.failure.set(failure);
        }
        self.channels.commands.close();
        while let Ok(command) = self.channels.commands.try_recv() {
            if let Command::Frame { frame, .. } = command {
                self.summary.frames_sent += 1;
                self.summary.sightings_sent += u64::from(frame.sighting_count());
                self.summary.unanswered_frames += 1;
                self.summary.unanswered_sightings += u64::from(frame.sighting_count());
            }
        }
        while let Some(event) = self.unread.pop_front() {
            if self.channels.events.send(event).await.is_err() {
                break;
            }
        }
        self.summary
    }
}

impl Channels {
    /// The caller has dropped its side, or does not want to wait longer.
    async fn abandoned(&mut self) {
        tokio::select! {
            () = self.events.closed() => {}
            () = deadline_over(&mut self.deadline) => {}
        }
    }
}

/// Waits until the moment, if there is one.
async fn moment_over(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Waits until the caller's deadline, if it ever sets one.
pub(super) async fn deadline_over(deadline: &mut watch::Receiver<Option<Instant>>) {
    loop {
        let moment = *deadline.borrow_and_update();
        if let Some(moment) = moment {
            return sleep_until(moment).await;
        }
        if deadline.changed().await.is_err() {
            // The caller's side is gone, and with it the events' other end, which is waited for elsewhere.
            return std::future::pending().await;
        }
    }
}

#[cfg(test)]
mod tests;
