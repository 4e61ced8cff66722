//! The limits of sessions, of which some may change while the daemon runs.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::domain::frame::AckLevel;

/// Addresses and limits of the listeners.
#[derive(Debug, Clone)]
pub struct ListenSettings {
    /// Where TCP sessions are taken.
    pub tcp: SocketAddr,
    /// Where UDP sessions are taken.
    pub udp: SocketAddr,
    /// Whether gateways that are not registered are taken, and may report every store.
    pub insecure_dev: bool,
    /// Sockets that share the UDP port, each received on its own task.
    pub udp_sockets: usize,
    /// Size of each UDP socket's receive buffer, as far as the kernel allows.
    pub udp_receive_buffer_bytes: usize,
    /// Largest datagram in either direction, its header included.
    pub max_datagram_bytes: u16,
    /// What may change.
    pub limits: SessionLimits,
}

/// Limits that hold for sessions that begin from now on, and for the next stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLimits {
    /// The level of a session whose hello does not ask for a stronger one.
    pub ack_level: AckLevel,
    /// TCP connections at once. One costs 20 KiB; with the largest frames, half a MiB while one is decided.
    pub max_tcp_sessions: usize,
    /// UDP sessions at once.
    pub max_udp_sessions: usize,
    /// Frames a gateway may have unanswered on TCP.
    pub tcp_window_frames: u32,
    /// The same on UDP; the ack's bitmap tells of 64.
    pub udp_window_frames: u32,
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

/// The limits as they are now.
#[derive(Debug)]
pub struct LiveLimits(RwLock<SessionLimits>);

impl LiveLimits {
    pub(super) const fn new(limits: SessionLimits) -> Self {
        Self(RwLock::new(limits))
    }

    /// Those that hold now.
    #[must_use]
    pub fn now(&self) -> SessionLimits {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, these hold.
    pub fn set(&self, limits: SessionLimits) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = limits;
    }
}

/// Places for sessions, of which there may come to be more or fewer. Those taken are left to whoever has them.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) free: Arc<Semaphore>,
    total: usize,
}

impl Places {
    pub(super) fn new(total: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(total)), total }
    }

    /// Comes as near to so many as those taken allow.
    pub(super) fn adjust(&mut self, wanted: usize) {
        if wanted > self.total {
            self.free.add_permits(wanted - self.total);
            self.total = wanted;
        } else {
            self.total -= self.free.forget_permits(self.total - wanted);
        }
    }

    pub(super) fn all_free(&self) -> bool {
        self.free.available_permits() >= self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_become_more_at_once_and_fewer_as_they_are_given_back() {
        let mut places = Places::new(2);
        let taken: Vec<_> = (0..2).map(|_| Arc::clone(&places.free).try_acquire_owned().unwrap()).collect();
        places.adjust(3);
        assert_eq!((places.free.available_permits(), places.all_free()), (1, false));
        places.adjust(1);
        assert_eq!((places.free.available_permits(), places.total), (0, 2));
        drop(taken);
        places.adjust(1);
        assert_eq!((places.free.available_permits(), places.total, places.all_free()), (1, 1, true));
    }
}
