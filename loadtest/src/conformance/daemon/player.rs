//! A gateway that does what a check says, and looks closely at all that the daemon sends.

use std::collections::{BTreeMap, HashSet};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use beacon_protocol::{
    DATAGRAM_HEADER_BYTES, DEFAULT_MAX_DATAGRAM_BYTES, DatagramHeader, HEADER_BYTES, Hello, Kind,
    MAX_FRAME_BYTES, Message, Pong, RefusalCode, Welcome, deframe_whole, sequence_of,
};

use super::super::bytes;
use super::super::check::{Outcome, Stop, broken, hold, not_tried};
use super::super::message::{Record, Refused, Said};
use super::super::wire::{Heard, Stream, receive_datagram, rule_of};
use super::records::{self, Sent};
use super::scene::Scene;

/// A gateway's end of a conversation.
#[derive(Debug)]
pub(super) struct Player {
    lane: Lane,
    patience: Duration,
    /// What datagrams carry; the welcome's.
    pub(super) session: u64,
    pub(super) packet_number: u64,
    /// What the last datagram heard carried.
    pub(super) heard_session: u64,
    heard_numbers: HashSet<u64>,
    max_datagram_bytes: usize,
    last_sent_bytes: usize,
    sent: BTreeMap<u64, Sent>,
    /// Records that came with one that was waited for.
    ahead: Vec<Record>,
    /// Answers no ping.
    pub(super) is_silent: bool,
}

#[derive(Debug)]
enum Lane {
    Tcp(Stream),
    Udp(UdpSocket),
}

impl Player {
    /// Connects; nothing is said yet.
    pub(super) fn connect(scene: &Scene) -> Result<Self, Stop> {
        let lane = if scene.over_udp {
            let any: SocketAddr =
                if scene.address.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
            let socket =
                UdpSocket::bind(any).and_then(|socket| socket.connect(scene.address).map(|()| socket));
            Lane::Udp(socket.map_err(|error| not_tried(format!("no socket: {error}")))?)
        } else {
            let stream = TcpStream::connect_timeout(&scene.address, scene.patience).and_then(Stream::new);
            Lane::Tcp(stream.map_err(|error| not_tried(format!("cannot connect: {error}")))?)
        };
        Ok(Self {
            lane,
            patience: scene.patience,
            session: 0,
            packet_number: 0,
            heard_session: 0,
            heard_numbers: HashSet::new(),
            max_datagram_bytes: DEFAULT_MAX_DATAGRAM_BYTES,
            last_sent_bytes: 0,
            sent: BTreeMap::new(),
            ahead: Vec::new(),
            is_silent: false,
        })
    }

    /// Connects, says a hello and is welcomed.
    pub(super) fn open(scene: &Scene) -> Result<(Self, Welcome), Stop> {
        let mut player = Self::connect(scene)?;
        let welcome = player.greet(&scene.hello())?;
        Ok((player, welcome))
    }

    /// Says a hello that must be welcomed.
    pub(super) fn greet(&mut self, hello: &Hello<'_>) -> Result<Welcome, Stop> {
        self.session = 0;
        self.send(&bytes::encoded(|buffer| hello.encode(buffer))?)?;
        match self.next(32, "a welcome")? {
            Said::Welcome(welcome) => {
                self.enter(&welcome);
                Ok(welcome)
            }
            Said::Refusal(Refused {
                code: RefusalCode::UnknownGateway | RefusalCode::GatewayDisabled,
                text,
                ..
            }) => Err(not_tried(format!(
                "the gateway is not welcome ({text}): register it, or name one with --gateway"
            ))),
            Said::Refusal(Refused {
                code: RefusalCode::TooManySessions | RefusalCode::Busy, text, ..
            }) => Err(not_tried(format!("the daemon has no room for another session ({text})"))),
            other => Err(broken(32, format!("a sound hello was answered with {}", other.in_words()))),
        }
    }

    /// Takes the session of a welcome.
    pub(super) fn enter(&mut self, welcome: &Welcome) {
        self.session = welcome.session;
        self.max_datagram_bytes = welcome.max_datagram_bytes.into();
    }

    /// Sends a frame, over UDP in a datagram of the session.
    pub(super) fn send(&mut self, frame: &[u8]) -> Outcome {
        self.note(frame);
        if matches!(self.lane, Lane::Udp(_)) {
            self.packet_number += 1;
            let datagram = bytes::datagram(self.session, self.packet_number, frame);
            return self.send_bytes(&datagram);
        }
        self.send_bytes(frame)
    }

    /// Remembers a sequenced frame that is sent, to hold its record against.
    pub(super) fn note(&mut self, frame: &[u8]) {
        if let Ok(sequence) = sequence_of(frame) {
            let sent = self.sent.entry(sequence).or_insert_with(|| Sent::of(frame));
            sent.transmissions += 1;
        }
    }

    /// Sends bytes as they are: a part of the stream, or a datagram.
    pub(super) fn send_bytes(&mut self, bytes: &[u8]) -> Outcome {
        self.last_sent_bytes = bytes.len();
        // What a peer makes of it is heard when it is listened to, a closed connection too.
        match &mut self.lane {
            Lane::Tcp(stream) => {
                stream.send(bytes);
            }
            Lane::Udp(socket) => {
                let sent = socket.send(bytes);
                if let Err(error) = sent
                    && error.kind() != std::io::ErrorKind::ConnectionRefused
                {
                    return Err(not_tried(format!("a datagram of {} bytes: {error}", bytes.len())));
                }
            }
        }
        Ok(())
    }

    /// Ends the sending half of a connection.
    pub(super) fn end_sending(&self) {
        if let Lane::Tcp(stream) = &self.lane {
            stream.end_sending();
        }
    }

    /// What the daemon says next within the patience; `rule` is broken when that is nothing.
    pub(super) fn next(&mut self, rule: u8, wanted: &str) -> Result<Said, Stop> {
        self.next_before(self.soon(), rule, wanted)
    }

    /// When the patience ends: to be asked once for all that may be said before what is awaited.
    fn soon(&self) -> Instant {
        Instant::now() + self.patience
    }

    fn next_before(&mut self, until: Instant, rule: u8, wanted: &str) -> Result<Said, Stop> {
        match self.next_until(until)? {
            Heard::Bytes(said) => Ok(said),
            Heard::Ended => Err(broken(rule, format!("the connection was closed; {wanted} was due"))),
            Heard::Silence | Heard::Unsound(_) => {
                Err(broken(rule, format!("nothing came within {:?}; {wanted} was due", self.patience)))
            }
        }
    }

    /// What the daemon says next until a moment, its form checked; its pings are answered.
    pub(super) fn next_until(&mut self, until: Instant) -> Result<Heard<Said>, Stop> {
        loop {
            let frame = match self.frame_until(until)? {
                Heard::Bytes(frame) => frame,
                Heard::Ended => return Ok(Heard::Ended),
                Heard::Silence => return Ok(Heard::Silence),
                Heard::Unsound(error) => {
                    return Err(broken(rule_of(&error, false), format!("it sent an unsound frame: {error}")));
                }
            };
            let unsound = |error: beacon_protocol::DecodeError| {
                broken(rule_of(&error, false), format!("it sent an unsound frame: {error}"))
            };
            let raw = deframe_whole(&frame, MAX_FRAME_BYTES).map_err(unsound)?;
            let said = Said::of(&Message::decode(raw).map_err(unsound)?);
            self.look_at(&said, frame.len())?;
            if let Said::Ping(ping) = said {
                if self.is_silent {
                    continue;
                }
                self.send(&bytes::encoded(|buffer| Pong { token: ping.token, time_us: 0 }.encode(buffer))?)?;
                continue;
            }
            return Ok(Heard::Bytes(said));
        }
    }

    fn frame_until(&mut self, until: Instant) -> Result<Heard<Vec<u8>>, Stop> {
        let socket = match &mut self.lane {
            Lane::Tcp(stream) => return Ok(stream.next(until)),
            Lane::Udp(socket) => socket,
        };
        let Some((datagram, _)) = receive_datagram(socket, until) else { return Ok(Heard::Silence) };
        let limit = self.max_datagram_bytes;
        hold(9, datagram.len() <= limit, || {
            format!("it sent a datagram of {} bytes, {limit} are agreed", datagram.len())
        })?;
        let (header, frame) = DatagramHeader::decode(&datagram).map_err(|error| {
            broken(rule_of(&error, true), format!("it sent an unsound datagram: {error}"))
        })?;
        deframe_whole(frame, MAX_FRAME_BYTES).map_err(|error| {
            broken(rule_of(&error, true), format!("it sent an unsound datagram: {error}"))
        })?;
        self.look_at_header(header, frame)?;
        Ok(Heard::Bytes(frame.to_vec()))
    }

    /// A session's datagrams carry its number, and no packet number twice.
    fn look_at_header(&mut self, header: DatagramHeader, frame: &[u8]) -> Outcome {
        let kind = frame.get(3).copied().and_then(Kind::from_byte);
        let DatagramHeader { session, packet_number } = header;
        self.heard_session = session;
        if kind == Some(Kind::Refusal) {
            let (length, answered) = (DATAGRAM_HEADER_BYTES + frame.len(), self.last_sent_bytes);
            return hold(27, length <= 3 * answered, || {
                format!("a refusal of {length} bytes answers a datagram of {answered}")
            });
        }
        if kind == Some(Kind::Welcome) {
            if let Ok(Message::Welcome(welcome)) =
                deframe_whole(frame, MAX_FRAME_BYTES).and_then(Message::decode)
            {
                hold(10, session == welcome.session, || {
                    format!("the welcome of session {} came in a datagram of {session}", welcome.session)
                })?;
                if welcome.session != self.session {
                    self.heard_numbers.clear();
                }
            }
        } else {
            hold(10, session == self.session, || {
                format!("a datagram of session {session} came in session {}", self.session)
            })?;
        }
        hold(5, self.heard_numbers.insert(packet_number), || {
            format!("packet number {packet_number} came twice in a session")
        })
    }

    fn look_at(&mut self, said: &Said, frame_bytes: usize) -> Outcome {
        match said {
            Said::Ack(ack) => {
                hold(18, frame_bytes <= 4_096 || ack.records.len() <= 1, || {
                    format!("an ack of {} records is {frame_bytes} bytes long", ack.records.len())
                })?;
                hold(15, ack.received == 0 || matches!(self.lane, Lane::Udp(_)), || {
                    format!("the bitmap of an ack on TCP is {:#x}", ack.received)
                })?;
                ack.records.iter().try_for_each(|record| records::look_at(record, &mut self.sent))
            }
            Said::Foreign(kind) => {
                Err(broken(11, format!("it sent a frame of kind {kind:#04x}, which is a gateway's")))
            }
            _ => Ok(()),
        }
    }

    /// Sends a frame and returns its record.
    pub(super) fn ask(&mut self, rule: u8, frame: &[u8]) -> Result<Record, Stop> {
        self.send(frame)?;
        self.record(rule, sequence_of(frame).unwrap_or_default())
    }

    /// The record of a frame, whatever else is said before.
    pub(super) fn record(&mut self, rule: u8, sequence: u64) -> Result<Record, Stop> {
        let until = self.soon();
        loop {
            if let Some(place) = self.ahead.iter().position(|record| record.sequence == sequence) {
                return Ok(self.ahead.swap_remove(place));
            }
            match self.next_before(until, rule, &format!("the record of frame {sequence}"))? {
                Said::Ack(ack) => self.ahead.extend(ack.records),
                Said::Refusal(refused) => return Err(unexpected(rule, &refused, "a record was due")),
                _ => {}
            }
        }
    }

    /// The refusal that is due, of that code; then the connection ends, or the UDP session goes on.
    pub(super) fn refused(&mut self, rule: u8, code: RefusalCode, what: &str) -> Result<Refused, Stop> {
        let refused = self.refusal(rule, code, what)?;
        match &mut self.lane {
            Lane::Tcp(stream) => {
                let ends = stream.ends(Instant::now() + self.patience);
                hold(24, ends, || format!("the connection stays open after {} ({what})", code.label()))?;
            }
            Lane::Udp(_) if self.session != 0 && !code.ends_udp_session() => {
                self.ping(26).map_err(|stop| match stop {
                    Stop::Broken { rule: 26, seen } => {
                        broken(26, format!("after {} ({what}): {seen}", code.label()))
                    }
                    other => other,
                })?;
            }
            Lane::Udp(_) => {}
        }
        Ok(refused)
    }

    /// The refusal alone.
    pub(super) fn refusal(&mut self, rule: u8, code: RefusalCode, what: &str) -> Result<Refused, Stop> {
        let wanted = format!("{} for {what}", code.label());
        let until = self.soon();
        loop {
            let said = self.next_before(until, rule, &wanted).map_err(|stop| match stop {
                // It took what it was to refuse, which was not noted as a frame.
                Stop::Broken { rule: 15, seen } => broken(rule, format!("{seen}; {wanted} was due")),
                other => other,
            })?;
            match said {
                Said::Refusal(refused) if refused.code == code => return Ok(refused),
                Said::Refusal(refused) => {
                    return Err(unexpected(rule, &refused, &format!("{wanted} was due")));
                }
                Said::Ack(_) => {}
                other => return Err(broken(rule, format!("it sent {}; {wanted} was due", other.in_words()))),
            }
        }
    }

    /// A ping must have its pong, whatever else is said before; returns how long it took.
    pub(super) fn ping(&mut self, rule: u8) -> Result<Duration, Stop> {
        let token = fastrand::u64(..);
        let asked_at = Instant::now();
        self.send(&bytes::ping(token)?)?;
        let until = self.soon();
        loop {
            match self.next_before(until, rule, "a pong")? {
                Said::Pong(pong) if pong.token == token => return Ok(asked_at.elapsed()),
                Said::Pong(pong) => {
                    return Err(broken(20, format!("a ping of token {token} got a pong of {}", pong.token)));
                }
                Said::Refusal(refused) => return Err(unexpected(rule, &refused, "a pong was due")),
                _ => {}
            }
        }
    }

    /// The connection ends by itself within the patience, without a refusal.
    pub(super) fn closes(&mut self, rule: u8, after: &str) -> Outcome {
        let until = self.soon();
        loop {
            match self.next_until(until)? {
                Heard::Ended => return Ok(()),
                Heard::Bytes(Said::Refusal(refused)) => {
                    return Err(unexpected(
                        rule,
                        &refused,
                        &format!("after {after} the connection was to end"),
                    ));
                }
                Heard::Bytes(_) => {}
                Heard::Silence | Heard::Unsound(_) => {
                    return Err(broken(rule, format!("the connection stays open after {after}")));
                }
            }
        }
    }

    /// The body's length in front of a sightings frame's customer data; for checks that change it.
    pub(super) const fn body_bytes(frame: &[u8]) -> usize {
        frame.len().saturating_sub(HEADER_BYTES)
    }
}

/// A refusal where something else was due.
pub(super) fn unexpected(rule: u8, refused: &Refused, due: &str) -> Stop {
    broken(rule, format!("it refused with {} ({}); {due}", refused.code.label(), refused.text))
}
