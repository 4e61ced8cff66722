//! Where a session's frames go out: a TCP stream or a UDP peer.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use beacon_protocol::{DATAGRAM_HEADER_BYTES, DatagramHeader};
use tokio::io::AsyncWriteExt;
use tokio::net::UdpSocket;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::time::timeout;

/// An ack on TCP is at most this long unless one record alone needs more, for gateways with small buffers.
const TCP_ACK_BYTES: usize = 4_096;

/// How many bytes of frames gather before they are written though more are due.
const TCP_GATHERED_BYTES: usize = 65_536;

/// The way out of one session.
#[derive(Debug)]
pub(super) enum Outlet {
    Tcp { stream: OwnedWriteHalf, gathered: Vec<u8>, write_timeout: Duration },
    Udp(UdpOutlet),
}

/// A session's peer on UDP.
#[derive(Debug)]
pub(super) struct UdpOutlet {
    socket: Arc<UdpSocket>,
    peer: SocketAddr,
    session: u64,
    packet_number: u64,
    max_datagram_bytes: usize,
}

impl Outlet {
    pub(super) const fn tcp(stream: OwnedWriteHalf, write_timeout: Duration) -> Self {
        Self::Tcp { stream, gathered: Vec::new(), write_timeout }
    }

    pub(super) const fn udp(
        socket: Arc<UdpSocket>,
        peer: SocketAddr,
        session: u64,
        max_datagram_bytes: usize,
    ) -> Self {
        Self::Udp(UdpOutlet { socket, peer, session, packet_number: 0, max_datagram_bytes })
    }

    /// How long a frame should be at most.
    pub(super) const fn frame_bytes(&self) -> usize {
        match self {
            Self::Tcp { .. } => TCP_ACK_BYTES,
            Self::Udp(outlet) => outlet.max_datagram_bytes.saturating_sub(DATAGRAM_HEADER_BYTES),
        }
    }

    /// Sends a frame, or gathers it until [`Self::flush`].
    ///
    /// # Errors
    /// When the gateway is gone or leaves its answers unread. UDP forgets what cannot be sent: it is asked for again.
    pub(super) async fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp { gathered, .. } => {
                gathered.extend_from_slice(frame);
                if gathered.len() >= TCP_GATHERED_BYTES {
                    self.flush().await?;
                }
                Ok(())
            }
            Self::Udp(outlet) => {
                outlet.send(frame).await;
                Ok(())
            }
        }
    }

    /// Sends what was gathered.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        let Self::Tcp { stream, gathered, write_timeout } = self else {
            return Ok(());
        };
        if gathered.is_empty() {
            return Ok(());
        }
        timeout(*write_timeout, stream.write_all(gathered)).await.map_err(|_| io::ErrorKind::TimedOut)??;
        gathered.clear();
        Ok(())
    }
}

impl UdpOutlet {
    async fn send(&mut self, frame: &[u8]) {
        self.packet_number += 1;
        let header = DatagramHeader { session: self.session, packet_number: self.packet_number };
        let mut datagram = vec![0; DATAGRAM_HEADER_BYTES + frame.len()];
        if header.encode(&mut datagram).is_ok() {
            datagram[DATAGRAM_HEADER_BYTES..].copy_from_slice(frame);
            // A lost answer is repeated when the gateway repeats its frame.
            let _ = self.socket.send_to(&datagram, self.peer).await;
        }
    }
}
