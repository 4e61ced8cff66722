//! One connection to a daemon: frames out, messages in, over a TCP stream or a UDP socket.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{Buf, BytesMut};
use tokio::io::Interest;
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

use super::config::Target;
use super::error::Disconnect;
use crate::{
    DATAGRAM_HEADER_BYTES, DatagramHeader, DecodeError, Deframed, MAX_DATAGRAM_BYTES, MAX_FRAME_BYTES,
    Message, decode_datagram, deframe,
};

/// Bytes that wait for the stream: several of the largest frames leave in one call, and no more are copied than that.
const OUTPUT_BYTES: usize = 4 * MAX_FRAME_BYTES;
/// Room offered to one read of the stream.
const READ_BYTES: usize = 64 << 10;

/// A connection whose reads and writes never wait; [`Link::ready`] does.
#[derive(Debug)]
pub(super) enum Link {
    Tcp(TcpLink),
    Udp(UdpLink),
}

#[derive(Debug)]
pub(super) struct TcpLink {
    stream: TcpStream,
    input: BytesMut,
    output: BytesMut,
    /// The daemon closed its side; what came before may still be read.
    ended: bool,
}

#[derive(Debug)]
pub(super) struct UdpLink {
    socket: UdpSocket,
    session: u64,
    packet_number: u64,
    input: Vec<u8>,
    input_bytes: usize,
    output: Vec<u8>,
    /// The socket's buffer is full.
    blocked: bool,
    /// The network has said of a datagram that nobody takes it there.
    refused: bool,
}

/// A message at the front of what came, and the bytes to drop once it is dealt with.
#[derive(Debug)]
pub(super) struct Incoming<'a> {
    pub(super) message: Message<'a>,
    pub(super) consumed: usize,
    /// The session the datagram says it belongs to; on TCP the connection's.
    pub(super) of_session: bool,
}

impl Link {
    /// Opens the connection; on UDP nothing leaves yet.
    pub(super) async fn open(target: Target, local: Option<SocketAddr>) -> io::Result<Self> {
        match target {
            Target::Tcp(address) => {
                let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
                if let Some(local) = local {
                    socket.set_reuseaddr(true)?;
                    socket.bind(local)?;
                }
                let stream = socket.connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Self::Tcp(TcpLink {
                    stream,
                    input: BytesMut::new(),
                    output: BytesMut::new(),
                    ended: false,
                }))
            }
            Target::Udp(address) => {
                let any = if address.is_ipv4() {
                    SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
                } else {
                    SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))
                };
                let socket = UdpSocket::bind(local.unwrap_or(any)).await?;
                socket.connect(address).await?;
                Ok(Self::Udp(UdpLink {
                    socket,
                    session: 0,
                    packet_number: 0,
                    input: vec![0; MAX_DATAGRAM_BYTES],
                    input_bytes: 0,
                    output: Vec::new(),
                    blocked: false,
                    refused: false,
                }))
            }
        }
    }

    pub(super) const fn is_udp(&self) -> bool {
        matches!(self, Self::Udp(_))
    }

    /// Whether nobody takes datagrams there, says the network: a hint that may be forged or out of date.
    pub(super) const fn is_refused(&self) -> bool {
        matches!(self, Self::Udp(link) if link.refused)
    }

    /// From now on datagrams belong to this session.
    pub(super) const fn enter_session(&mut self, session: u64) {
        if let Self::Udp(link) = self {
            link.session = session;
        }
    }

    /// Whether another frame can be taken now.
    pub(super) fn has_room(&self) -> bool {
        match self {
            Self::Tcp(link) => link.output.len() < OUTPUT_BYTES,
            Self::Udp(link) => !link.blocked,
        }
    }

    /// Whether bytes wait to be written.
    pub(super) fn wants_write(&self) -> bool {
        match self {
            Self::Tcp(link) => !link.output.is_empty(),
            Self::Udp(link) => link.blocked,
        }
    }

    /// Takes a frame to be sent: on TCP with the next flush, on UDP at once. False when there is no room after all.
    pub(super) fn send(&mut self, frame: &[u8]) -> io::Result<bool> {
        match self {
            Self::Tcp(link) => {
                link.output.extend_from_slice(frame);
                Ok(true)
            }
            Self::Udp(link) => link.send(frame),
        }
    }

    /// Writes what the stream takes.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let Self::Tcp(link) = self else { return Ok(()) };
        while !link.output.is_empty() {
            match link.stream.try_write(&link.output) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => link.output.advance(written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits until something can be read, or written when something waits for that. Nothing is lost when dropped.
    pub(super) async fn ready(&mut self) -> io::Result<()> {
        let writes = self.wants_write();
        let interest = if writes { Interest::READABLE.add(Interest::WRITABLE) } else { Interest::READABLE };
        let ready = match self {
            Self::Tcp(link) => link.stream.ready(interest).await?,
            Self::Udp(link) => link.socket.ready(interest).await?,
        };
        if let Self::Udp(link) = self
            && ready.is_writable()
        {
            link.blocked = false;
        }
        Ok(())
    }

    /// Reads what there is, once; false when nothing more is there now.
    pub(super) fn receive(&mut self) -> io::Result<bool> {
        match self {
            Self::Tcp(link) => link.receive(),
            Self::Udp(link) => link.receive(),
        }
    }

    /// The first message of what was read. `Ok(None)`: read more.
    ///
    /// # Errors
    /// On TCP the connection cannot go on; on UDP only that datagram is broken and is to be consumed.
    pub(super) fn incoming(&self) -> Result<Option<Incoming<'_>>, Disconnect> {
        match self {
            Self::Tcp(link) => link.incoming(),
            Self::Udp(link) => link.incoming().map_err(Disconnect::Broken),
        }
    }

    /// Drops the message that was dealt with, or a broken datagram.
    pub(super) fn consume(&mut self, consumed: usize) {
        match self {
            Self::Tcp(link) => link.input.advance(consumed.min(link.input.len())),
            Self::Udp(link) => link.input_bytes = 0,
        }
    }
}

impl TcpLink {
    fn receive(&mut self) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        self.input.reserve(READ_BYTES);
        match self.stream.try_read_buf(&mut self.input) {
            Ok(0) => {
                self.ended = true;
                Ok(true)
            }
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn incoming(&self) -> Result<Option<Incoming<'_>>, Disconnect> {
        match deframe(&self.input, MAX_FRAME_BYTES).map_err(Disconnect::Broken)? {
            Deframed::Need(_) if self.ended => Err(Disconnect::Closed),
            Deframed::Need(_) => Ok(None),
            Deframed::Frame { frame, consumed } => {
                let message = Message::decode(frame).map_err(Disconnect::Broken)?;
                Ok(Some(Incoming { message, consumed, of_session: true }))
            }
        }
    }
}

impl UdpLink {
    fn send(&mut self, frame: &[u8]) -> io::Result<bool> {
        if self.blocked {
            return Ok(false);
        }
        let packet_number = self.packet_number.saturating_add(1);
        self.output.resize(DATAGRAM_HEADER_BYTES, 0);
        let header = DatagramHeader { session: self.session, packet_number };
        header.encode(&mut self.output).map_err(io::Error::other)?;
        self.output.extend_from_slice(frame);
        match self.socket.try_send(&self.output) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.blocked = true;
                return Ok(false);
            }
            // Nobody listens there now; to a gateway that is a lost datagram.
            Err(error) if is_transient(error.kind()) => self.refused |= is_refusal(error.kind()),
            Err(error) => return Err(error),
        }
        self.packet_number = packet_number;
        Ok(true)
    }

    fn receive(&mut self) -> io::Result<bool> {
        match self.socket.try_recv(&mut self.input) {
            Ok(length) => {
                self.input_bytes = length;
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) if is_transient(error.kind()) => {
                self.refused |= is_refusal(error.kind());
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    fn incoming(&self) -> Result<Option<Incoming<'_>>, DecodeError> {
        let datagram = self.input.get(..self.input_bytes).unwrap_or_default();
        if datagram.is_empty() {
            return Ok(None);
        }
        let (header, frame) = decode_datagram(datagram, MAX_FRAME_BYTES)?;
        let message = Message::decode(frame)?;
        // The welcome carries the session it grants.
        let of_session = header.session == self.session;
        Ok(Some(Incoming { message, consumed: datagram.len(), of_session }))
    }
}

const fn is_refusal(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionRefused)
}

/// What the network reports of an earlier datagram: the peer may come back.
const fn is_transient(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
    )
}
