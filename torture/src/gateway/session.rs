//! What sessions over TCP and UDP have in common: the welcome, and what is made of the daemon's frames.

use std::sync::Arc;
use std::time::{Duration, Instant};

use beacon_protocol::{Goodbye, Hello, Message, Ping, Pong, RefusalCode, Welcome};

use super::hearing::Hearing;
use super::numbering::Numbering;
use super::{Conduct, Gateway};
use crate::evidence::Evidence;
use crate::random::Random;

/// How long an answer to a hello is waited for.
pub(super) const WELCOME_WITHIN: Duration = Duration::from_secs(2);

/// Between two pings.
const PING_EVERY: Duration = Duration::from_millis(300);

/// A daemon that is silent for so long in spite of pings is left. A gateway of the world waits for the idle timeout.
const SILENT_FOR: Duration = Duration::from_millis(1_200);

/// What the parts of a gateway work on in a round.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) hearing: Hearing,
    pub(super) conduct: Arc<Conduct>,
    pub(super) evidence: Evidence,
}

impl Work {
    pub(super) fn hears(&self) -> bool {
        self.conduct.hears()
    }
}

/// What a frame of the daemon's means to the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nothing more.
    Done,
    /// Wants this pong.
    Ping(Pong),
    /// The daemon stops: nothing is sent any more.
    Draining,
    /// A frame is to be sent again after so long.
    Busy { sequence: u64, after: Duration },
    /// It is over.
    Over,
}

/// When it pings, and when it gives the daemon up.
#[derive(Debug)]
pub(super) struct Liveness {
    heard_at: Instant,
    pinged_at: Instant,
}

impl Liveness {
    pub(super) fn begin() -> Self {
        let now = Instant::now();
        Self { heard_at: now, pinged_at: now }
    }

    pub(super) fn heard(&mut self) {
        self.heard_at = Instant::now();
    }

    pub(super) fn is_silent(&self) -> bool {
        self.heard_at.elapsed() > SILENT_FOR
    }

    /// A ping's frame, if one is due.
    pub(super) fn ping(&mut self) -> Option<Vec<u8>> {
        if self.pinged_at.elapsed() < PING_EVERY {
            return None;
        }
        self.pinged_at = Instant::now();
        Some(encoded(|buffer| Ping { token: 1, time_us: 0 }.encode(buffer)))
    }
}

impl Gateway {
    /// A hello that begins at this sequence, and its random bytes.
    pub(super) fn hello(&mut self, first_unacked: u64) -> (Vec<u8>, [u8; 32]) {
        let client_random = self.random.bytes();
        let hello = Hello {
            min_version: 1,
            max_version: 1,
            ack_level: Some(self.identity.level),
            boot_epoch: self.numbering.epoch,
            first_unacked,
            client_random,
            gateway_id: &self.identity.name,
            auth_method: 0,
            auth: &[],
        };
        (encoded(|buffer| hello.encode(buffer)), client_random)
    }

    /// Whether this welcome is for that hello; one that is and promises too little is a breach.
    pub(super) fn is_welcome(&self, welcome: &Welcome, client_random: &[u8; 32], work: &Work) -> bool {
        if welcome.boot_epoch != self.numbering.epoch
            || !client_random.starts_with(&welcome.client_random_echo)
        {
            return false;
        }
        let name = &self.identity.name;
        if welcome.ack_level.byte() < self.identity.level.byte() {
            work.conduct
                .breach(format!("{name}: granted {:?} for {:?}", welcome.ack_level, self.identity.level));
        }
        if welcome.last_acked >= self.numbering.next {
            let (last, next) = (welcome.last_acked, self.numbering.next);
            work.conduct.breach(format!("{name}: last acked is {last}, and {next} was never sent"));
        }
        true
    }
}

/// What is made of a message.
pub(super) fn heard(
    numbering: &mut Numbering,
    random: &mut Random,
    message: &Message<'_>,
    work: &mut Work,
) -> Heard {
    match message {
        Message::Ack(ack) => {
            for record in ack.records() {
                numbering.answered(&record, random, work);
            }
            Heard::Done
        }
        Message::Ping(ping) => Heard::Ping(Pong { token: ping.token, time_us: 0 }),
        Message::Goodbye(Goodbye { .. }) => Heard::Draining,
        Message::Refusal(refusal) => match refusal.code {
            RefusalCode::Busy => {
                let after = Duration::from_millis(u64::from(refusal.retry_after_ms).clamp(50, 500));
                Heard::Busy { sequence: refusal.sequence, after }
            }
            RefusalCode::UnknownSession
            | RefusalCode::Draining
            | RefusalCode::TooManySessions
            | RefusalCode::TimedOut => Heard::Over,
            code => {
                work.conduct.breach(format!("an honest frame was refused as {}: {refusal:?}", code.label()));
                Heard::Over
            }
        },
        Message::Welcome(_) | Message::Pong(_) | Message::Skipped(_) => Heard::Done,
        other => {
            work.conduct.breach(format!("a daemon does not send {other:?}"));
            Heard::Over
        }
    }
}

/// A frame of a few bytes.
pub(super) fn encoded<E>(encode: impl FnOnce(&mut [u8]) -> Result<usize, E>) -> Vec<u8> {
    let mut buffer = vec![0; 1_024];
    // A ping, pong or hello of these names always fits.
    let length = encode(&mut buffer).unwrap_or(0);
    buffer.truncate(length);
    buffer
}
