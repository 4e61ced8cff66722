//! Streams of frames and datagrams, read until a moment and no longer.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use beacon_protocol::{DecodeError, Deframed, MAX_DATAGRAM_BYTES, MAX_FRAME_BYTES, deframe};

/// Longer than a peer may leave what it is sent unread.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
const READ_BYTES: usize = 65_536;

/// What was heard next.
#[derive(Debug)]
pub(super) enum Heard<T> {
    Bytes(T),
    /// What came is no frame, or follows none.
    Unsound(DecodeError),
    /// The connection is closed or reset.
    Ended,
    /// Nothing came in time.
    Silence,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Stream {
    stream: TcpStream,
    input: Vec<u8>,
    ended: bool,
}

impl Stream {
    pub(super) fn new(stream: TcpStream) -> std::io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
        Ok(Self { stream, input: Vec::new(), ended: false })
    }

    /// Sends bytes; whether the peer still takes any.
    pub(super) fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Sends nothing any more; the peer reads the end of the stream.
    pub(super) fn end_sending(&self) {
        // A connection that is gone has ended, too.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The next frame, whole and with the right checksum.
    pub(super) fn next(&mut self, until: Instant) -> Heard<Vec<u8>> {
        loop {
            match deframe(&self.input, MAX_FRAME_BYTES) {
                Err(error) => return Heard::Unsound(error),
                Ok(Deframed::Frame { consumed, .. }) => {
                    return Heard::Bytes(self.input.drain(..consumed).collect());
                }
                Ok(Deframed::Need(need)) if self.ended => {
                    let have = self.input.len();
                    return match have {
                        0 => Heard::Ended,
                        _ => Heard::Unsound(DecodeError::UnexpectedEnd { offset: 0, need, have }),
                    };
                }
                Ok(Deframed::Need(_)) => {}
            }
            if !self.receive(until) {
                return Heard::Silence;
            }
        }
    }

    /// Whether the peer closes before a moment; what it still says is not looked at.
    pub(super) fn ends(&mut self, until: Instant) -> bool {
        while !self.ended {
            self.input.clear();
            if !self.receive(until) {
                return false;
            }
        }
        true
    }

    /// Reads what there is; false when nothing came in time.
    fn receive(&mut self, until: Instant) -> bool {
        let Some(wait) = time_left(until) else { return false };
        if self.stream.set_read_timeout(Some(wait)).is_err() {
            self.ended = true;
            return true;
        }
        let mut part = [0; READ_BYTES];
        match self.stream.read(&mut part) {
            Ok(length @ 1..) => self.input.extend_from_slice(part.get(..length).unwrap_or_default()),
            Err(error) if is_timeout(error.kind()) => return false,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => self.ended = true,
        }
        true
    }
}

/// The next datagram and where it came from; `None` when nothing came in time.
pub(super) fn receive_datagram(socket: &UdpSocket, until: Instant) -> Option<(Vec<u8>, SocketAddr)> {
    let mut datagram = vec![0; MAX_DATAGRAM_BYTES];
    loop {
        socket.set_read_timeout(Some(time_left(until)?)).ok()?;
        match socket.recv_from(&mut datagram) {
            Ok((length, from)) => {
                datagram.truncate(length);
                return Some((datagram, from));
            }
            // The network's word about an earlier datagram.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

/// What is left until a moment; `None` when it is over.
pub(super) fn time_left(until: Instant) -> Option<Duration> {
    // A timeout of zero would be none.
    until.checked_duration_since(Instant::now()).filter(|left| *left > Duration::from_micros(1))
}

pub(super) const fn is_timeout(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// The rule that bytes break which cannot be read.
pub(super) const fn rule_of(error: &DecodeError, in_a_datagram: bool) -> u8 {
    match error {
        DecodeError::Field { field, .. } => match field {
            beacon_protocol::Field::Flags | beacon_protocol::Field::Reserved => 1,
            beacon_protocol::Field::PacketNumber => 6,
            _ => 2,
        },
        DecodeError::UnexpectedEnd { .. } | DecodeError::TrailingData { .. } if in_a_datagram => 8,
        DecodeError::UnexpectedEnd { .. } | DecodeError::TrailingData { .. } => 4,
        DecodeError::SealedUnsupported => 7,
        DecodeError::BadMagic { .. }
        | DecodeError::UnsupportedVersion { .. }
        | DecodeError::Oversize { .. }
        | DecodeError::BadChecksum { .. }
        | DecodeError::UnknownCriticalKind { .. } => 2,
    }
}
