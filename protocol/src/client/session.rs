//! One session: from its welcome until it is lost, left or done.

use std::ops::ControlFlow;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::config::Target;
use super::driver::{Channels, Driver, deadline_over};
use super::ending::{Next, SessionEnd};
use super::error::{ClientError, Disconnect};
use super::event::Event;
use super::frame::FrameLimits;
use super::link::Link;
use super::liveness::{Liveness, Pulse};
use super::reaction::{Reaction, reaction};
use crate::{Ack, Goodbye, GoodbyeReason, Message, Ping, Pong, Refusal, RefusalCode, Welcome};

/// Reads at a stretch before frames are sent again: a daemon that never stops talking is not listened to only.
const READS_AT_A_STRETCH: usize = 16;
/// How often a draining daemon is asked over UDP, where no end of stream says that it has nothing more to say.
const DRAIN_PING: Duration = Duration::from_secs(1);
/// Room for the largest frame that carries no data.
const SMALL_FRAME_BYTES: usize = 64;

/// What belongs to one session only.
struct Session {
    link: Link,
    liveness: Liveness,
    /// When the daemon's drain is over, once it said goodbye.
    draining_until: Option<Instant>,
    /// A record came: the session was of use.
    useful: bool,
    pings: u64,
}

impl Session {
    /// However a daemon that said goodbye goes, the session ended by that; one that was of use is no failed attempt.
    fn ended(&self, end: SessionEnd) -> SessionEnd {
        match end {
            SessionEnd::Lost { retry_after, .. } if self.draining_until.is_some() => {
                let next = if self.useful { Next::ElsewhereAtOnce } else { Next::Backoff };
                SessionEnd::Lost { cause: Disconnect::Draining, retry_after, next }
            }
            end => end,
        }
    }
}

impl Driver {
    /// Speaks with the daemon until the session ends.
    pub(super) async fn converse(&mut self, link: Link, target: Target, welcome: Welcome) -> SessionEnd {
        let now = Instant::now();
        let idle_timeout = Duration::from_millis(u64::from(welcome.idle_timeout_ms));
        self.outbox.begin_session(welcome.window_frames);
        self.keep_within(FrameLimits::of(&welcome, link.is_udp()));
        self.tell(Event::Connected { target, welcome, resumed: self.summary.sessions > 0 });
        self.summary.sessions += 1;
        let liveness = Liveness::new(now, idle_timeout, self.config.pong_timeout);
        let mut session = Session { link, liveness, draining_until: None, useful: false, pings: 0 };
        loop {
            match self.step(&mut session).await {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => {
                    // The daemon may be gone already; it is told as a courtesy.
                    let _ = say_goodbye(&mut session.link);
                    return SessionEnd::Done;
                }
                Err(end) => {
                    if session.draining_until.is_none() && end.leaves_open(session.link.is_udp()) {
                        let _ = say_goodbye(&mut session.link);
                    }
                    return session.ended(end);
                }
            }
        }
    }

    /// Reads, sends, then waits for the next thing to happen.
    async fn step(&mut self, session: &mut Session) -> Result<ControlFlow<()>, SessionEnd> {
        let now = Instant::now();
        self.read(session, now)?;
        self.send(session, now)?;
        session.link.flush()?;
        self.deliver_events();
        if self.all_done() {
            return Ok(ControlFlow::Break(()));
        }
        if let Some(drained) = session.draining_until
            && (now >= drained || self.outbox.on_their_way() == 0)
        {
            return Err(Disconnect::Draining.into());
        }
        let wake = self.next_wake(session, now)?;
        let room = if session.draining_until.is_some() { 0 } else { self.room_for_frames() };
        let unread = !self.unread.is_empty();
        let mut taken = Vec::new();
        let Channels { commands, events, deadline, .. } = &mut self.channels;
        tokio::select! {
            ready = session.link.ready() => ready?,
            count = commands.recv_many(&mut taken, room), if room > 0 => self.commands_ended = count == 0,
            () = sleep_until(wake) => {}
            () = deadline_over(deadline) => return Ok(ControlFlow::Break(())),
            () = events.closed() => return Ok(ControlFlow::Break(())),
            _ = events.reserve(), if unread => {}
        }
        let now = Instant::now();
        for command in taken {
            self.take(command, now);
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Deals with what has come.
    fn read(&mut self, session: &mut Session, now: Instant) -> Result<(), SessionEnd> {
        for _ in 0..READS_AT_A_STRETCH {
            loop {
                let (taken, consumed) = match session.link.incoming() {
                    Ok(None) => break,
                    Ok(Some(incoming)) if incoming.of_session => {
                        session.liveness.received(now);
                        let taken = self.on_message(incoming.message, session.link.is_udp(), now);
                        (taken, incoming.consumed)
                    }
                    Ok(Some(incoming)) => {
                        self.summary.datagrams_dropped += 1;
                        (Ok(Taken::Nothing), incoming.consumed)
                    }
                    Err(Disconnect::Broken(_)) if session.link.is_udp() => {
                        self.summary.datagrams_dropped += 1;
                        (Ok(Taken::Nothing), 0)
                    }
                    Err(cause) => return Err(cause.into()),
                };
                session.link.consume(consumed);
                self.act(session, taken?, now)?;
            }
            if !session.link.receive()? {
                break;
            }
        }
        Ok(())
    }

    fn on_message(&mut self, message: Message<'_>, on_udp: bool, now: Instant) -> Result<Taken, SessionEnd> {
        match message {
            Message::Ack(ack) => self.on_ack(&ack, on_udp, now),
            Message::Refusal(refusal) => self.on_refusal(&refusal, on_udp, now),
            Message::Ping(ping) => Ok(Taken::Ping(ping)),
            Message::Goodbye(goodbye) => Ok(Taken::Goodbye(goodbye)),
            Message::Welcome(_) | Message::Pong(_) | Message::Skipped(_) => Ok(Taken::Nothing),
            Message::Hello(_)
            | Message::Sightings(_)
            | Message::Preferences(_)
            | Message::GatewayStatus(_)
                if on_udp =>
            {
                self.summary.datagrams_dropped += 1;
                Ok(Taken::Nothing)
            }
            // Only gateways send these; a daemon that does is none.
            Message::Hello(_)
            | Message::Sightings(_)
            | Message::Preferences(_)
            | Message::GatewayStatus(_) => {
                let kind = message.kind();
                Err(Disconnect::Broken(crate::DecodeError::Field {
                    kind,
                    field: crate::Field::Kind,
                    offset: 3,
                })
                .into())
            }
        }
    }

    fn on_ack(&mut self, ack: &Ack<'_>, on_udp: bool, now: Instant) -> Result<Taken, SessionEnd> {
        let mut useful = false;
        for record in ack.records() {
            let news = self.outbox.record(&record, self.config.resend_undecided, now);
            let Some((answer, undecided)) = news.map_err(SessionEnd::Fatal)? else { continue };
            useful = true;
            if let Some(undecided) = undecided {
                let wait = self.config.undecided_backoff.wait(undecided.times.saturating_sub(1));
                let due = now + wait - self.jitter.up_to(wait / 2);
                self.undecided.push(due, undecided);
            }
            self.summary.add(&answer);
            self.tell(Event::Answered(answer));
        }
        if on_udp {
            self.outbox.progress(ack, now);
        }
        Ok(if useful { Taken::Records } else { Taken::Nothing })
    }

    pub(super) fn on_refusal(
        &mut self,
        refusal: &Refusal<'_>,
        on_udp: bool,
        now: Instant,
    ) -> Result<Taken, SessionEnd> {
        let retry_after = Duration::from_millis(u64::from(refusal.retry_after_ms));
        let (sequence, code, text) = (refusal.sequence, refusal.code, refusal.text.to_owned());
        self.summary.refusals += 1;
        // Busy is said a frame at a time; the caller sees the delay in the answers.
        if code != RefusalCode::Busy {
            self.tell(Event::Refused { sequence, code, text: text.clone(), retry_after });
        }
        match reaction(code, on_udp, self.config.when_refused) {
            Reaction::Fatal => Err(SessionEnd::Fatal(ClientError::Refused { code, text })),
            Reaction::Hold if on_udp => {
                self.outbox.busy(sequence, retry_after + self.jitter.up_to(retry_after / 4), now);
                Ok(Taken::Nothing)
            }
            Reaction::Ignore => Ok(Taken::Nothing),
            Reaction::Hold | Reaction::Reconnect | Reaction::Renumber => {
                if code == RefusalCode::SequenceReused {
                    self.begin_epoch().map_err(SessionEnd::Fatal)?;
                }
                let cause = Disconnect::Refused { code, text };
                Ok(Taken::Ended { cause, retry_after, forgotten: code == RefusalCode::UnknownSession })
            }
        }
    }

    fn act(&mut self, session: &mut Session, taken: Taken, now: Instant) -> Result<(), SessionEnd> {
        match taken {
            Taken::Nothing => {}
            Taken::Records => {
                session.useful = true;
                self.reconnect.reset();
                self.targets.forgive();
            }
            Taken::Ping(Ping { token, .. }) => {
                send_small(&mut session.link, |buffer| Pong { token, time_us: 0 }.encode(buffer))?;
                session.liveness.sent(now);
            }
            Taken::Goodbye(goodbye) => {
                let deadline = Duration::from_millis(u64::from(goodbye.deadline_ms));
                if session.draining_until.is_none() {
                    session.draining_until = Some(now + deadline);
                    if session.link.is_udp() {
                        session.liveness.ping_every(DRAIN_PING);
                    }
                    self.tell(Event::Draining { deadline });
                }
            }
            Taken::Ended { cause, retry_after, forgotten } => {
                // A daemon that forgot a session that worked has restarted: it is told at once.
                let at_once = forgotten && session.useful && retry_after.is_zero();
                let next = if at_once { Next::SameAtOnce } else { Next::Backoff };
                return Err(SessionEnd::Lost { cause, retry_after, next });
            }
        }
        Ok(())
    }

    /// Sends what may be sent: undecided sightings again, repeats, then what is new in this session.
    fn send(&mut self, session: &mut Session, now: Instant) -> Result<(), SessionEnd> {
        let Session { link, liveness, draining_until, .. } = session;
        if draining_until.is_some() {
            return Ok(());
        }
        while self.room_for_undecided()
            && let Some(again) = self.undecided.pop_due(now)
        {
            self.keep(again.frame, again.tag, again.times, now);
        }
        self.divide_outgrown(now)?;
        let on_udp = link.is_udp();
        if on_udp && link.has_room() {
            let mut failed = None;
            let repeated = self.outbox.repeat_due(now, |frame| {
                link.send(frame).unwrap_or_else(|error| {
                    failed = Some(error);
                    false
                })
            });
            if let Some(error) = failed {
                return Err(error.into());
            }
            self.summary.repeats_sent += repeated;
        }
        while link.has_room()
            && let Some(frame) = self.outbox.next_unsent(now)
        {
            if !link.send(frame)? {
                break;
            }
            self.summary.repeats_sent += u64::from(self.outbox.sent(now, on_udp));
            liveness.sent(now);
        }
        if link.has_room()
            && let Some(status) = self.status.take()
        {
            link.send(&status)?;
            liveness.sent(now);
        }
        Ok(())
    }

    /// When to look again if nothing happens; pings when it is time to.
    fn next_wake(&mut self, session: &mut Session, now: Instant) -> Result<Instant, SessionEnd> {
        let quiet_until = loop {
            match session.liveness.pulse(now) {
                Pulse::Quiet(moment) => break moment,
                Pulse::Lost => return Err(Disconnect::Silent.into()),
                Pulse::Ping => {
                    session.pings += 1;
                    let token = session.pings;
                    send_small(&mut session.link, |buffer| Ping { token, time_us: 0 }.encode(buffer))?;
                    session.link.flush()?;
                    session.liveness.pinged(now);
                }
            }
        };
        if session.draining_until.is_some() {
            return Ok(session.draining_until.map_or(quiet_until, |drained| drained.min(quiet_until)));
        }
        let undecided = self.undecided.next_due().filter(|_| self.room_for_undecided());
        let repeats = self.outbox.next_due().filter(|_| session.link.is_udp() && session.link.has_room());
        Ok([undecided, repeats].into_iter().flatten().fold(quiet_until, Instant::min))
    }
}

/// What a message asks of the session.
pub(super) enum Taken {
    Nothing,
    Records,
    Ping(Ping),
    Goodbye(Goodbye),
    Ended { cause: Disconnect, retry_after: Duration, forgotten: bool },
}

fn send_small(
    link: &mut Link,
    encode: impl FnOnce(&mut [u8]) -> Result<usize, crate::EncodeError>,
) -> Result<(), SessionEnd> {
    let mut buffer = [0; SMALL_FRAME_BYTES];
    let length = encode(&mut buffer).map_err(|error| SessionEnd::Fatal(error.into()))?;
    link.send(buffer.get(..length).unwrap_or_default())?;
    Ok(())
}

/// Tells the daemon that it may forget the session; on UDP perhaps in vain.
pub(super) fn say_goodbye(link: &mut Link) -> Result<(), SessionEnd> {
    let goodbye = Goodbye { reason: GoodbyeReason::Leaving, deadline_ms: 0 };
    send_small(link, |buffer| goodbye.encode(buffer))?;
    Ok(link.flush()?)
}
