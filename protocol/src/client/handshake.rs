//! Hello and welcome: how a session is opened.

use std::io;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::backoff::{Backoff, Jitter};
use super::config::{GatewayConfig, Target};
use super::error::{ClientError, Disconnect};
use super::link::Link;
use super::reaction::{Reaction, reaction};
use crate::{Hello, MAX_FRAME_BYTES, Message, Refusal, RefusalCode, Welcome};

/// The version of the protocol this client speaks.
const PROTOCOL_VERSION: u8 = 1;
/// How long one hello is repeated on UDP before another attempt begins with fresh random bytes, where there is no other
/// daemon to try.
const UDP_ATTEMPT: Duration = Duration::from_secs(120);

/// Why an attempt made no session.
#[derive(Debug)]
pub(super) enum Failure {
    /// Trying again does not help.
    Fatal(ClientError),
    /// Trying again may, not before so long.
    Again(Disconnect, Duration),
}

impl From<Disconnect> for Failure {
    fn from(cause: Disconnect) -> Self {
        Self::Again(cause, Duration::ZERO)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Disconnect::from(error).into()
    }
}

/// Where a session is to be opened, and how long each step may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    pub(super) target: Target,
    pub(super) boot_epoch: u64,
    pub(super) timeout: Duration,
    /// There are other daemons to try.
    pub(super) has_others: bool,
}

/// Opens a connection and a session in it.
pub(super) async fn open_session(
    config: &GatewayConfig,
    attempt: Attempt,
    first_unacked: u64,
    jitter: &mut Jitter,
) -> Result<(Link, Welcome), Failure> {
    let opened =
        tokio::time::timeout(attempt.timeout, Link::open(attempt.target, config.local_address)).await;
    let mut link = opened.map_err(|_| Disconnect::Silent)??;
    let mut client_random = [0; 32];
    getrandom::fill(&mut client_random)
        .map_err(|error| Failure::Fatal(ClientError::System(error.to_string())))?;
    let mut hello = vec![0; MAX_FRAME_BYTES];
    let length = Hello {
        min_version: PROTOCOL_VERSION,
        max_version: PROTOCOL_VERSION,
        ack_level: config.ack_level,
        boot_epoch: attempt.boot_epoch,
        first_unacked,
        client_random,
        gateway_id: &config.gateway_id,
        auth_method: 0,
        auth: &[],
    }
    .encode(&mut hello)
    .map_err(|error| Failure::Fatal(error.into()))?;
    hello.truncate(length);

    let limit = if link.is_udp() && !attempt.has_others { UDP_ATTEMPT } else { attempt.timeout };
    let backoff = Backoff::new(config.hello_backoff);
    let Attempt { boot_epoch, has_others, .. } = attempt;
    let mut greeting = Greeting { config, boot_epoch, client_random, has_others, limit, backoff };
    let welcome = greeting.exchange(&mut link, &hello, jitter).await?;
    link.enter_session(welcome.session);
    check_welcome(&welcome, config).map_err(Failure::Fatal)?;
    Ok((link, welcome))
}

struct Greeting<'c> {
    config: &'c GatewayConfig,
    boot_epoch: u64,
    client_random: [u8; 32],
    has_others: bool,
    limit: Duration,
    backoff: Backoff,
}

impl Greeting<'_> {
    async fn exchange(
        &mut self,
        link: &mut Link,
        hello: &[u8],
        jitter: &mut Jitter,
    ) -> Result<Welcome, Failure> {
        let ends = Instant::now() + self.limit;
        let mut repeat_at = ends;
        let mut hello_due = true;
        loop {
            // A socket that was just opened may not take it yet.
            if hello_due && link.send(hello)? {
                hello_due = false;
                if link.is_udp() {
                    repeat_at = Instant::now() + self.backoff.next_varied(jitter);
                }
            }
            link.flush()?;
            // The system tells it when the next datagram is sent.
            if self.has_others && link.is_refused() {
                return Err(io::Error::from(io::ErrorKind::ConnectionRefused).into());
            }
            tokio::select! {
                ready = link.ready() => ready?,
                () = sleep_until(repeat_at.min(ends)) => {
                    if Instant::now() >= ends {
                        return Err(Disconnect::Silent.into());
                    }
                    hello_due = true;
                }
            }
            while link.receive()? {
                while let Some(step) = self.next_step(link)? {
                    match step {
                        Step::Nothing => {}
                        Step::Welcomed(welcome) => return Ok(*welcome),
                        Step::HelloAfter(wait) => repeat_at = repeat_at.max(Instant::now() + wait),
                    }
                }
            }
        }
    }

    fn next_step(&self, link: &mut Link) -> Result<Option<Step>, Failure> {
        let on_udp = link.is_udp();
        let (step, consumed) = match link.incoming() {
            Ok(None) => return Ok(None),
            Err(_) if on_udp => (Step::Nothing, 0),
            Err(cause) => return Err(cause.into()),
            Ok(Some(incoming)) => {
                let step = match incoming.message {
                    Message::Welcome(welcome) if self.is_ours(&welcome) => Step::Welcomed(Box::new(welcome)),
                    Message::Refusal(refusal) if incoming.of_session => self.on_refusal(&refusal, on_udp)?,
                    _ if on_udp => Step::Nothing,
                    Message::Welcome(_) => {
                        return Err(Failure::Fatal(bad_welcome("it echoes another hello")));
                    }
                    _ => Step::Nothing,
                };
                (step, incoming.consumed)
            }
        };
        link.consume(consumed);
        Ok(Some(step))
    }

    fn is_ours(&self, welcome: &Welcome) -> bool {
        welcome.boot_epoch == self.boot_epoch && self.client_random.starts_with(&welcome.client_random_echo)
    }

    fn on_refusal(&self, refusal: &Refusal<'_>, on_udp: bool) -> Result<Step, Failure> {
        let retry_after = Duration::from_millis(u64::from(refusal.retry_after_ms));
        let (code, text) = (refusal.code, refusal.text.to_owned());
        match reaction(code, on_udp, self.config.when_refused) {
            Reaction::Fatal => Err(Failure::Fatal(ClientError::Refused { code, text })),
            Reaction::Hold if on_udp => Ok(Step::HelloAfter(retry_after)),
            Reaction::Ignore => Ok(Step::Nothing),
            // Of one datagram: the hello's timer sees to it.
            Reaction::Reconnect | Reaction::Renumber if on_udp && !code.ends_udp_session() => {
                Ok(Step::Nothing)
            }
            Reaction::Hold | Reaction::Reconnect | Reaction::Renumber => {
                Err(Failure::Again(Disconnect::Refused { code, text }, retry_after))
            }
        }
    }
}

enum Step {
    Nothing,
    Welcomed(Box<Welcome>),
    HelloAfter(Duration),
}

/// The rules of a welcome that the format does not hold.
fn check_welcome(welcome: &Welcome, config: &GatewayConfig) -> Result<(), ClientError> {
    if welcome.version != PROTOCOL_VERSION {
        let text = format!("version {} was not offered", welcome.version);
        return Err(ClientError::Refused { code: RefusalCode::UnsupportedVersion, text });
    }
    let level_kept = config.ack_level.is_none_or(|asked| welcome.ack_level.byte() >= asked.byte());
    let rules = [
        (level_kept, "the level is weaker than asked for"),
        (welcome.session != 0, "session 0"),
        ((1_024..=65_536).contains(&welcome.max_frame_bytes), "max_frame_bytes outside 1024..=65536"),
        ((576..=65_507).contains(&welcome.max_datagram_bytes), "max_datagram_bytes outside 576..=65507"),
        ((1..=4_096).contains(&welcome.max_sightings), "max_sightings outside 1..=4096"),
        (welcome.idle_timeout_ms >= 1_000, "idle_timeout_ms under 1000"),
    ];
    match rules.into_iter().find(|(kept, _)| !kept) {
        Some((_, what)) => Err(bad_welcome(what)),
        None => Ok(()),
    }
}

const fn bad_welcome(what: &'static str) -> ClientError {
    ClientError::BadWelcome { what }
}
