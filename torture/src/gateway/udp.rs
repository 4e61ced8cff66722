//! A gateway's session over UDP: what is not answered is repeated.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use beacon_protocol::{DATAGRAM_HEADER_BYTES, DatagramHeader, MAX_FRAME_BYTES, Message, decode_datagram};
use tokio::net::UdpSocket;
use tokio::time::{interval, timeout};

use super::Gateway;
use super::session::{Heard, Liveness, WELCOME_WITHIN, Work, encoded, heard};

/// Between two hellos.
const HELLO_EVERY: Duration = Duration::from_millis(250);

/// A frame without a record is repeated after this, and after twice the wait each time. A gateway of the world measures.
const FIRST_REPEAT: Duration = Duration::from_millis(200);
const LONGEST_REPEAT: Duration = Duration::from_millis(800);

/// What a sealed datagram will need one day.
const SEAL_BYTES: usize = 16;

/// Sightings that fit into a datagram of any path.
const SIGHTINGS: usize = 30;

/// A socket and the session it has.
struct Datagrams {
    socket: UdpSocket,
    session: u64,
    packet_number: u64,
    buffer: Vec<u8>,
}

impl Datagrams {
    async fn open(daemon: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        socket.connect(daemon).await?;
        Ok(Self { socket, session: 0, packet_number: 0, buffer: vec![0; MAX_FRAME_BYTES] })
    }

    async fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        self.packet_number += 1;
        let mut datagram = vec![0; DATAGRAM_HEADER_BYTES];
        let header = DatagramHeader { session: self.session, packet_number: self.packet_number };
        header.encode(&mut datagram).map_err(io::Error::other)?;
        datagram.extend(frame);
        self.socket.send(&datagram).await.map(drop)
    }

    /// Waits for a datagram of this session, and acts on its message; unsound ones are dropped, but there are none.
    async fn receive(&mut self) -> io::Result<usize> {
        self.socket.recv(&mut self.buffer).await
    }

    fn message(&self, length: usize) -> io::Result<Option<(u64, Message<'_>)>> {
        let datagram = self.buffer.get(..length).unwrap_or_default();
        let (header, frame) = decode_datagram(datagram, MAX_FRAME_BYTES).map_err(io::Error::other)?;
        let message = Message::decode(frame).map_err(io::Error::other)?;
        let is_ours = header.session == self.session || self.session == 0;
        Ok(is_ours.then_some((header.session, message)))
    }

    /// Says hello until it is welcome; returns the longest datagram.
    async fn greet(&mut self, gateway: &mut Gateway, work: &Work) -> io::Result<usize> {
        let first_unacked = gateway.numbering.resume();
        let (hello, client_random) = gateway.hello(first_unacked);
        let mut hellos = interval(HELLO_EVERY);
        loop {
            let length = tokio::select! {
                received = self.receive() => received?,
                _ = hellos.tick() => {
                    self.send(&hello).await?;
                    continue;
                }
            };
            match self.message(length)? {
                Some((session, Message::Welcome(welcome)))
                    if gateway.is_welcome(&welcome, &client_random, work) =>
                {
                    self.session = session;
                    return Ok(usize::from(welcome.max_datagram_bytes));
                }
                Some((_, Message::Refusal(refusal))) => return Err(io::Error::other(refusal.code.label())),
                _ => {}
            }
        }
    }
}

/// One session.
pub(super) async fn session(gateway: &mut Gateway, daemon: SocketAddr, work: &mut Work) -> io::Result<()> {
    let mut datagrams = Datagrams::open(daemon).await?;
    let longest = timeout(WELCOME_WITHIN, datagrams.greet(gateway, work)).await??;
    let max_bytes = longest.saturating_sub(DATAGRAM_HEADER_BYTES + SEAL_BYTES);
    let mut liveness = Liveness::begin();
    let mut ticks = interval(work.hearing.load.every);
    let mut draining = false;
    loop {
        if work.conduct.has_ended() || (!work.hears() && gateway.numbering.is_done()) {
            return Ok(());
        }
        let received = tokio::select! {
            received = datagrams.receive() => Some(received?),
            _ = ticks.tick() => None,
        };
        if let Some(length) = received {
            liveness.heard();
            let meant = match datagrams.message(length)? {
                Some((_, message)) => heard(&mut gateway.numbering, &mut gateway.random, &message, work),
                None => Heard::Done,
            };
            match meant {
                Heard::Done => {}
                Heard::Ping(pong) => datagrams.send(&encoded(|buffer| pong.encode(buffer))).await?,
                Heard::Draining => draining = true,
                Heard::Busy { sequence, after } => {
                    if let Some(frame) = gateway.numbering.frames.get_mut(&sequence) {
                        frame.due = Some(Instant::now() + after);
                    }
                }
                Heard::Over => return Ok(()),
            }
            continue;
        }
        if liveness.is_silent() {
            return Ok(());
        }
        if let Some(ping) = liveness.ping() {
            datagrams.send(&ping).await?;
        }
        if draining {
            continue;
        }
        hear_more(gateway, max_bytes, work);
        send_due(gateway, &mut datagrams).await?;
    }
}

/// Makes a frame of what was undecided and has waited, else of what was heard.
fn hear_more(gateway: &mut Gateway, max_bytes: usize, work: &mut Work) {
    if !gateway.numbering.has_room() {
        return;
    }
    let (sightings, tries) = match gateway.numbering.take_due(SIGHTINGS) {
        Some(due) => due,
        None if work.hears() => (work.hearing.batch(SIGHTINGS), 0),
        None => return,
    };
    gateway.numbering.make(&sightings, max_bytes, tries, work);
}

/// Sends what was never sent in this session, or long ago without an answer.
async fn send_due(gateway: &mut Gateway, datagrams: &mut Datagrams) -> io::Result<()> {
    let now = Instant::now();
    for frame in gateway.numbering.frames.values_mut() {
        if frame.answered_here || frame.due.is_some_and(|due| due > now) {
            continue;
        }
        let wait = match frame.sent_at {
            None => {
                frame.sessions += 1;
                FIRST_REPEAT
            }
            Some(sent_at) => (sent_at.elapsed() * 2).clamp(FIRST_REPEAT, LONGEST_REPEAT),
        };
        frame.sent_at = Some(now);
        frame.due = Some(now + wait);
        datagrams.send(&frame.bytes).await?;
    }
    Ok(())
}
