//! How a server opens sessions: a hello is awaited, held to the rules, and welcomed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use beacon_protocol::{AckLevel, MAX_FRAME_BYTES, Message, Welcome, deframe_whole};

use super::super::bytes;
use super::super::check::{Outcome, Stop, broken, hold, not_tried};
use super::super::wire::{Heard, rule_of};
use super::lane::Lane;
use super::process::Process;
use super::server::{Server, Session};
use crate::clock::now_us;

/// How long a second connection is waited for.
const SECOND_CONNECTION: Duration = Duration::from_millis(100);

/// What a gateway said hello with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Greeting {
    pub(super) versions: (u8, u8),
    pub(super) ack_level: Option<AckLevel>,
    pub(super) boot_epoch: u64,
    pub(super) first_unacked: u64,
    pub(super) client_random: [u8; 32],
    pub(super) frame: Vec<u8>,
    pub(super) packet_number: u64,
    pub(super) heard_at: Instant,
}

impl Server {
    /// Waits for the gateway to connect and say hello.
    pub(super) fn greeting(&mut self) -> Result<Greeting, Stop> {
        let until = self.soon();
        self.greeting_until(until)?.ok_or_else(|| self.nobody())
    }

    fn nobody(&mut self) -> Stop {
        let ended = self.process.as_mut().and_then(Process::ended);
        not_tried(ended.unwrap_or_else(|| format!("no hello came within {:?}", self.patience)))
    }

    /// The same until a moment; `None` when nobody came.
    pub(super) fn greeting_until(&mut self, until: Instant) -> Result<Option<Greeting>, Stop> {
        self.session = None;
        if !self.lane.is_udp() {
            self.lane.close();
            if !self.lane.accept(until) {
                return Ok(None);
            }
        }
        loop {
            let (bytes, from) = match self.lane.receive(until) {
                Heard::Bytes(received) => received,
                Heard::Silence => return Ok(None),
                Heard::Ended => return Err(broken(31, "the gateway connected and closed without a hello")),
                Heard::Unsound(error) => {
                    return Err(broken(
                        rule_of(&error, false),
                        format!("what came for a hello is unsound: {error}"),
                    ));
                }
            };
            let (packet_number, frame) = if self.lane.is_udp() {
                let (header, frame) = self.datagram(&bytes)?;
                if header.session != 0 {
                    // Of the session before.
                    continue;
                }
                if let (Lane::Udp { peer, .. }, Some(from)) = (&mut self.lane, from) {
                    *peer = Some(from);
                }
                (header.packet_number, frame)
            } else {
                (0, bytes)
            };
            return self.read_hello(packet_number, frame).map(Some);
        }
    }

    fn read_hello(&mut self, packet_number: u64, frame: Vec<u8>) -> Result<Greeting, Stop> {
        let unsound = |error| broken(rule_of(&error, false), format!("the hello is unsound: {error}"));
        let raw = deframe_whole(&frame, MAX_FRAME_BYTES).map_err(unsound)?;
        let Message::Hello(hello) = Message::decode(raw).map_err(unsound)? else {
            return Err(broken(31, format!("a frame of kind {:#04x} came before the hello", raw.kind())));
        };
        self.last_heard_at = Instant::now();
        self.greeted = true;
        let greeting = Greeting {
            versions: (hello.min_version, hello.max_version),
            ack_level: hello.ack_level,
            boot_epoch: hello.boot_epoch,
            first_unacked: hello.first_unacked,
            client_random: hello.client_random,
            packet_number,
            heard_at: self.last_heard_at,
            frame: frame.clone(),
        };
        self.epoch = greeting.boot_epoch;
        let left = std::mem::take(&mut self.left);
        if let Some(numbering) = self.numberings.get_mut(&greeting.boot_epoch) {
            let right = numbering.first_unacked();
            let unheard = left && greeting.first_unacked < right;
            if unheard {
                numbering.unanswered_from(greeting.first_unacked);
            }
            hold(49, unheard || greeting.first_unacked == right, || {
                format!(
                    "a resumed session begins at first_unacked {}, {right} is the lowest without a record",
                    greeting.first_unacked
                )
            })?;
        }
        Ok(greeting)
    }

    /// The usual welcome for a hello: a window of four frames and the limits of the format.
    pub(super) fn terms(&mut self, greeting: &Greeting) -> Welcome {
        self.last_session = self.last_session.wrapping_add(1).max(1);
        let mut client_random_echo = [0; 8];
        client_random_echo.copy_from_slice(&greeting.client_random[..8]);
        let mut server_random = [0; 32];
        fastrand::fill(&mut server_random);
        Welcome {
            version: 1,
            ack_level: AckLevel::Stored,
            session: self.last_session,
            boot_epoch: greeting.boot_epoch,
            last_acked: 0,
            client_random_echo,
            window_frames: 4,
            max_frame_bytes: 65_536,
            max_datagram_bytes: 1_200,
            max_sightings: 4_096,
            idle_timeout_ms: 30_000,
            server_time_us: now_us(),
            server_random,
        }
    }

    /// Sends a welcome, and holds the gateway to it.
    pub(super) fn welcome(&mut self, greeting: &Greeting, terms: Welcome) -> Outcome {
        self.packet_number = 0;
        self.session = Some(Session {
            terms,
            first_unacked: greeting.first_unacked,
            next_sequence: greeting.first_unacked,
            seen: BTreeSet::new(),
            recorded: BTreeSet::new(),
            quiet: None,
            left_at: None,
        });
        self.numberings.entry(greeting.boot_epoch).or_default();
        self.last_session = terms.session;
        self.send(&bytes::encoded(|buffer| terms.encode(buffer))?);
        Ok(())
    }

    /// Waits for a hello and welcomes it as usual, with changes.
    pub(super) fn open(&mut self, change: impl FnOnce(&mut Welcome)) -> Result<Greeting, Stop> {
        let greeting = self.greeting()?;
        let mut terms = self.terms(&greeting);
        change(&mut terms);
        self.welcome(&greeting, terms)?;
        Ok(greeting)
    }

    /// Sends a welcome that opens nothing.
    pub(super) fn send_unsolicited(&mut self, terms: &Welcome) -> Outcome {
        let frame = bytes::encoded(|buffer| terms.encode(buffer))?;
        if self.lane.is_udp() {
            self.packet_number += 1;
            self.lane.send(&bytes::datagram(terms.session, self.packet_number, &frame));
        } else {
            self.lane.send(&frame);
        }
        Ok(())
    }

    /// The epoch of a session that is opened beside this one.
    pub(super) fn second_epoch(&self) -> Option<u64> {
        let until = Instant::now() + SECOND_CONNECTION;
        let Heard::Bytes(frame) = self.lane.another(until)?.next(until) else { return None };
        match deframe_whole(&frame, MAX_FRAME_BYTES).and_then(Message::decode) {
            Ok(Message::Hello(hello)) => Some(hello.boot_epoch),
            _ => None,
        }
    }
}
