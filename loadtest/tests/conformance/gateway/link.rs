//! A gateway's connection or socket.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use beacon_protocol::{DatagramHeader, DecodeError, Deframed, MAX_FRAME_BYTES, deframe, deframe_whole};

const CONNECTING_AT_MOST: Duration = Duration::from_secs(1);

/// What came next.
#[derive(Debug)]
pub(super) enum Heard {
    Frame(Vec<u8>),
    /// What came is no frame; over UDP it comes with what lies behind the datagram's header.
    Unsound(DecodeError, Vec<u8>),
    Silence,
    Ended,
}

/// One of the two.
#[derive(Debug)]
pub(super) enum Link {
    Tcp { stream: TcpStream, input: Vec<u8> },
    Udp { socket: UdpSocket, session: u64, packet_number: u64 },
}

impl Link {
    pub(super) fn connect(server: SocketAddr, over_udp: bool) -> std::io::Result<Self> {
        if over_udp {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.connect(server)?;
            return Ok(Self::Udp { socket, session: 0, packet_number: 0 });
        }
        let stream = TcpStream::connect_timeout(&server, CONNECTING_AT_MOST)?;
        stream.set_nodelay(true)?;
        Ok(Self::Tcp { stream, input: Vec::new() })
    }

    /// Sends a frame; what a peer makes of it is heard when it is listened to.
    pub(super) fn send(&mut self, frame: &[u8]) {
        match self {
            Self::Tcp { stream, .. } => drop(stream.write_all(frame)),
            Self::Udp { socket, session, packet_number } => {
                *packet_number += 1;
                let mut datagram = vec![0; 20];
                let header = DatagramHeader { session: *session, packet_number: *packet_number };
                header.encode(&mut datagram).unwrap();
                datagram.extend(frame);
                drop(socket.send(&datagram));
            }
        }
    }

    /// The next frame; with `any_session` a datagram of another session is taken, too.
    pub(super) fn next(&mut self, until: Instant, any_session: bool) -> Heard {
        match self {
            Self::Tcp { stream, input } => next_of_stream(stream, input, until),
            Self::Udp { socket, session, .. } => {
                next_datagram(socket, (!any_session).then_some(*session), until)
            }
        }
    }
}

fn next_of_stream(stream: &mut TcpStream, input: &mut Vec<u8>, until: Instant) -> Heard {
    let mut part = [0; 4_096];
    loop {
        match deframe(input, MAX_FRAME_BYTES) {
            Ok(Deframed::Frame { consumed, .. }) => return Heard::Frame(input.drain(..consumed).collect()),
            Ok(Deframed::Need(_)) => {}
            Err(error) => return Heard::Unsound(error, std::mem::take(input)),
        }
        let Some(left) = left(until) else { return Heard::Silence };
        stream.set_read_timeout(Some(left)).unwrap();
        match stream.read(&mut part) {
            Ok(length @ 1..) => input.extend_from_slice(&part[..length]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Ok(0) | Err(_) => return Heard::Ended,
        }
    }
}

fn next_datagram(socket: &UdpSocket, wanted: Option<u64>, until: Instant) -> Heard {
    let mut datagram = [0; 2_048];
    while let Some(left) = left(until) {
        socket.set_read_timeout(Some(left)).unwrap();
        let Ok(length) = socket.recv(&mut datagram) else { continue };
        let datagram = &datagram[..length];
        let behind = || datagram.get(20..).unwrap_or_default().to_vec();
        match DatagramHeader::decode(datagram) {
            Err(error) => return Heard::Unsound(error, behind()),
            // A welcome names the session that it begins.
            Ok((header, _)) if wanted.is_some_and(|wanted| wanted != 0 && wanted != header.session) => {}
            Ok((_, frame)) => match deframe_whole(frame, MAX_FRAME_BYTES) {
                Ok(_) => return Heard::Frame(frame.to_vec()),
                Err(error) => return Heard::Unsound(error, behind()),
            },
        }
    }
    Heard::Silence
}

fn left(until: Instant) -> Option<Duration> {
    until.checked_duration_since(Instant::now()).filter(|left| *left > Duration::from_micros(1))
}
