//! Where a gateway connects: a listener and the connection it has, or a socket and the address it speaks from.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::Instant;

use super::super::wire::{Heard, Stream, is_timeout, receive_datagram, time_left};
use crate::target::Transport;

/// Bytes asked of the kernel for datagrams that came while a scene did something else.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// The server's end.
#[derive(Debug)]
pub(super) enum Lane {
    Tcp { listener: TcpListener, stream: Option<Stream> },
    Udp { socket: UdpSocket, peer: Option<SocketAddr> },
}

impl Lane {
    pub(super) fn bind(transport: Transport, address: SocketAddr) -> std::io::Result<Self> {
        Ok(match transport {
            Transport::Tcp => Self::Tcp { listener: TcpListener::bind(address)?, stream: None },
            Transport::Udp => {
                let socket = UdpSocket::bind(address)?;
                // Less will do where the system does not give as much.
                let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
                Self::Udp { socket, peer: None }
            }
        })
    }

    pub(super) fn address(&self) -> std::io::Result<SocketAddr> {
        match self {
            Self::Tcp { listener, .. } => listener.local_addr(),
            Self::Udp { socket, .. } => socket.local_addr(),
        }
    }

    pub(super) const fn is_udp(&self) -> bool {
        matches!(self, Self::Udp { .. })
    }

    /// Waits for a connection; whether one came in time.
    pub(super) fn accept(&mut self, until: Instant) -> bool {
        let accepted = self.another(until);
        let came = accepted.is_some();
        if let Self::Tcp { stream, .. } = self {
            *stream = accepted;
        }
        came
    }

    /// Another connection than the one in use.
    pub(super) fn another(&self, until: Instant) -> Option<Stream> {
        let Self::Tcp { listener, .. } = self else { return None };
        while let Some(left) = time_left(until) {
            // A listener's receive timeout bounds accept.
            socket2::SockRef::from(listener).set_read_timeout(Some(left)).ok()?;
            match listener.accept() {
                Ok((accepted, _)) => return Stream::new(accepted).ok(),
                Err(error) if is_timeout(error.kind()) => return None,
                Err(_) => {}
            }
        }
        None
    }

    /// The next frame, or the next datagram and who sent it.
    pub(super) fn receive(&mut self, until: Instant) -> Heard<(Vec<u8>, Option<SocketAddr>)> {
        match self {
            Self::Tcp { stream: None, .. } => Heard::Ended,
            Self::Tcp { stream: Some(stream), .. } => match stream.next(until) {
                Heard::Bytes(frame) => Heard::Bytes((frame, None)),
                Heard::Unsound(error) => Heard::Unsound(error),
                Heard::Ended => Heard::Ended,
                Heard::Silence => Heard::Silence,
            },
            Self::Udp { socket, .. } => match receive_datagram(socket, until) {
                Some((datagram, from)) => Heard::Bytes((datagram, Some(from))),
                None => Heard::Silence,
            },
        }
    }

    /// Sends bytes to the gateway, if it still takes any.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        match self {
            Self::Tcp { stream, .. } => {
                if let Some(stream) = stream {
                    // A connection that is gone is found gone when it is read.
                    let _ = stream.send(bytes);
                }
            }
            Self::Udp { socket, peer } => {
                if let Some(peer) = peer {
                    // A datagram that cannot be sent is a lost one.
                    let _ = socket.send_to(bytes, *peer);
                }
            }
        }
    }

    /// Ends the connection, if there is one.
    pub(super) fn close(&mut self) {
        if let Self::Tcp { stream, .. } = self {
            *stream = None;
        }
    }
}
