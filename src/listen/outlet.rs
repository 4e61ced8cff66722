//! Where a session's frames go out: a TCP stream or a UDP peer.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use beacon_protocol::{DATAGRAM_HEADER_BYTES, DatagramHeader, EncodeError};
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
    Tcp {
        stream: OwnedWriteHalf,
        /// Frames to be written together.
        gathered: Vec<u8>,
        write_timeout: Duration,
    },
    Udp {
        peer: UdpPeer,
        /// A datagram: its header and one frame.
        datagram: Vec<u8>,
        max_datagram_bytes: usize,
    },
}

/// A session's gateway on UDP. Whoever sends to it takes the next packet number of the session.
#[derive(Debug, Clone)]
pub(super) struct UdpPeer {
    pub(super) socket: Arc<UdpSocket>,
    pub(super) address: SocketAddr,
    pub(super) session: u64,
    pub(super) packets: Arc<AtomicU64>,
}

impl UdpPeer {
    pub(super) fn new(socket: Arc<UdpSocket>, address: SocketAddr, session: u64) -> Self {
        Self { socket, address, session, packets: Arc::default() }
    }

    /// Sends one short frame beside the session's answers, if the socket takes it at once.
    pub(super) fn send_now(&self, encode: impl FnOnce(&mut [u8]) -> Result<usize, EncodeError>) {
        let mut datagram = [0; 512];
        let (head, frame) = datagram.split_at_mut(DATAGRAM_HEADER_BYTES);
        if self.next_header().encode(head).is_ok()
            && let Ok(length) = encode(frame)
        {
            // Lost like any datagram may be: the gateway repeats what is not answered.
            let _ = self.socket.try_send_to(&datagram[..DATAGRAM_HEADER_BYTES + length], self.address);
        }
    }

    /// The header of the next datagram.
    pub(super) fn next_header(&self) -> DatagramHeader {
        DatagramHeader {
            session: self.session,
            packet_number: self.packets.fetch_add(1, Ordering::Relaxed) + 1,
        }
    }
}

impl Outlet {
    pub(super) const fn tcp(stream: OwnedWriteHalf, write_timeout: Duration) -> Self {
        Self::Tcp { stream, gathered: Vec::new(), write_timeout }
    }

    pub(super) const fn udp(peer: UdpPeer, max_datagram_bytes: usize) -> Self {
        Self::Udp { peer, datagram: Vec::new(), max_datagram_bytes }
    }

    pub(super) const fn is_udp(&self) -> bool {
        matches!(self, Self::Udp { .. })
    }

    /// How long a frame should be at most.
    pub(super) const fn frame_bytes(&self) -> usize {
        match self {
            Self::Tcp { .. } => TCP_ACK_BYTES,
            Self::Udp { max_datagram_bytes, .. } => max_datagram_bytes.saturating_sub(DATAGRAM_HEADER_BYTES),
        }
    }

    /// Room for a frame of at most so many bytes, to be sent by [`Self::send_frame`].
    pub(super) fn frame(&mut self, frame_bytes: usize) -> &mut [u8] {
        let (buffer, head_bytes) = match self {
            Self::Tcp { gathered, .. } => {
                let head_bytes = gathered.len();
                (gathered, head_bytes)
            }
            Self::Udp { datagram, .. } => (datagram, DATAGRAM_HEADER_BYTES),
        };
        buffer.resize(head_bytes + frame_bytes, 0);
        &mut buffer[head_bytes..]
    }

    /// Sends the `length` bytes written into the last [`Self::frame`] of `frame_bytes`, or gathers them until
    /// [`Self::flush`].
    ///
    /// # Errors
    /// When the gateway is gone or leaves its answers unread. UDP forgets what cannot be sent: it is asked for again.
    pub(super) async fn send_frame(&mut self, frame_bytes: usize, length: usize) -> io::Result<()> {
        match self {
            Self::Tcp { gathered, .. } => {
                gathered.truncate(gathered.len() - frame_bytes + length);
                if gathered.len() >= TCP_GATHERED_BYTES { self.flush().await } else { Ok(()) }
            }
            Self::Udp { peer, datagram, .. } => {
                datagram.truncate(DATAGRAM_HEADER_BYTES + length);
                if peer.next_header().encode(datagram).is_ok() {
                    // A lost answer is repeated when the gateway repeats its frame.
                    let _ = peer.socket.send_to(datagram, peer.address).await;
                }
                Ok(())
            }
        }
    }

    /// Sends a frame already encoded.
    ///
    /// # Errors
    /// As [`Self::send_frame`].
    pub(super) async fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        self.frame(frame.len()).copy_from_slice(frame);
        self.send_frame(frame.len(), frame.len()).await
    }

    /// Sends what was gathered.
    ///
    /// # Errors
    /// As [`Self::send_frame`].
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        let Self::Tcp { stream, gathered, write_timeout } = self else { return Ok(()) };
        if gathered.is_empty() {
            return Ok(());
        }
        timeout(*write_timeout, stream.write_all(gathered)).await.map_err(|_| io::ErrorKind::TimedOut)??;
        gathered.clear();
        Ok(())
    }
}
