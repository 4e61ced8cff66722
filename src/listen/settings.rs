//! The limits of sessions.

use std::net::SocketAddr;
use std::time::Duration;

use crate::domain::frame::AckLevel;

/// Addresses and limits of the listeners.
#[derive(Debug, Clone)]
pub struct ListenSettings {
    /// Where TCP sessions are taken.
    pub tcp: SocketAddr,
    /// Where UDP sessions are taken.
    pub udp: SocketAddr,
    /// The level of a session whose hello does not ask for a stronger one.
    pub ack_level: AckLevel,
    /// Whether gateways that are not registered are taken, and may report every store.
    pub insecure_dev: bool,
    /// TCP connections at once. One costs 20 KiB; with the largest frames, half a MiB while one is decided.
    pub max_tcp_sessions: usize,
    /// UDP sessions at once.
    pub max_udp_sessions: usize,
    /// Frames a gateway may have unanswered on TCP.
    pub tcp_window_frames: u32,
    /// The same on UDP; the ack's bitmap tells of 64.
    pub udp_window_frames: u32,
    /// Sockets that share the UDP port, each received on its own task.
    pub udp_sockets: usize,
    /// Size of each UDP socket's receive buffer, as far as the kernel allows.
    pub udp_receive_buffer_bytes: usize,
    /// Largest datagram in either direction, its header included.
    pub max_datagram_bytes: u16,
    /// How long a connection may take to its hello.
    pub hello_timeout: Duration,
    /// How long a session may be without a frame.
    pub idle_timeout: Duration,
    /// How long a frame may take from its first byte to its last.
    pub frame_timeout: Duration,
    /// How long a gateway may leave its answers unread.
    pub write_timeout: Duration,
    /// How long answers still come after goodbye.
    pub drain_deadline: Duration,
}
