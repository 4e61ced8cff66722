//! Why a gateway's client ends or will not send.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::reaction::least_wait;
use crate::{DecodeError, EncodeError, RefusalCode};

/// What ends a client, or makes a call of it fail.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The daemon refuses in a way that trying again does not help, or is not to be waited out
    /// ([`WhenRefused::GiveUp`](super::WhenRefused::GiveUp)).
    #[error("the daemon refuses, {} ({}): {text}", code.label(), code.number())]
    Refused {
        /// Why.
        code: RefusalCode,
        /// The same for people.
        text: String,
    },
    /// No session within the time set for the first connection.
    #[error("no session with the daemon at {target}: {cause}")]
    Unreachable {
        /// Where it was looked for.
        target: super::Target,
        /// What the last attempt met.
        cause: Disconnect,
    },
    /// The daemons are not all spoken to over the same transport: a frame made for one would not fit the other.
    #[error("all daemons of a gateway must be tcp:// or all udp://")]
    MixedTransports,
    /// The welcome breaks a rule of the protocol.
    #[error("the daemon's welcome is not acceptable: {what}")]
    BadWelcome {
        /// Which rule.
        what: &'static str,
    },
    /// A result record contradicts its frame.
    #[error("the result record of frame {sequence} does not fit the frame")]
    RecordMismatch {
        /// The frame's sequence.
        sequence: u64,
    },
    /// A frame is larger than the daemon takes.
    #[error(
        "{frame_bytes} bytes and {sighting_count} sightings in a frame, the daemon takes {max_frame_bytes} and {max_sightings}"
    )]
    TooLarge {
        /// Bytes of the frame.
        frame_bytes: usize,
        /// Its sightings.
        sighting_count: u16,
        /// Bytes allowed.
        max_frame_bytes: usize,
        /// Sightings allowed.
        max_sightings: u16,
    },
    /// Events wait unread and the client's room for them is used up: read events between sends, or split the client.
    #[error("events are not read: no more can be sent")]
    EventsUnread,
    /// The client has ended.
    #[error("the client has ended")]
    Ended,
    /// A value cannot be written as a frame.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The system's source of random numbers or its timers failed, or the client's task did.
    #[error("{0}")]
    System(String),
}

/// Why a session ended, or could not begin; the client tries again by itself.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Disconnect {
    /// The transport failed.
    #[error(transparent)]
    Transport(Arc<io::Error>),
    /// The daemon closed the connection.
    #[error("the daemon closed the connection")]
    Closed,
    /// Nothing came, not even an answer to pings.
    #[error("the daemon is silent")]
    Silent,
    /// What came is not this protocol.
    #[error("the daemon sent what is not allowed: {0}")]
    Broken(DecodeError),
    /// The daemon refused the session, which is not taken as for good.
    #[error("the daemon refuses, {}: {text}", code.label())]
    Refused {
        /// Why.
        code: RefusalCode,
        /// The same for people.
        text: String,
    },
    /// The daemon knows frames of this boot epoch beyond those sent: it has been used before.
    #[error("sequence {last_acked} of this boot epoch is on record, but the next would be {next}")]
    NumberingLost {
        /// The highest sequence the daemon has.
        last_acked: u64,
        /// The next this client would have used.
        next: u64,
    },
    /// The session takes smaller frames than an earlier one did: what is held is divided, in a new epoch.
    #[error("frames held are larger than the {max_frame_bytes} bytes or {max_sightings} sightings now taken")]
    SmallerLimits {
        /// Bytes allowed.
        max_frame_bytes: usize,
        /// Sightings allowed.
        max_sightings: u16,
    },
    /// The daemon is stopping.
    #[error("the daemon is draining")]
    Draining,
}

impl Disconnect {
    /// How long to wait at the least before the next session.
    pub(super) const fn least_wait(&self) -> Duration {
        match self {
            Self::Refused { code, .. } => least_wait(*code),
            _ => Duration::ZERO,
        }
    }
}

impl From<io::Error> for Disconnect {
    fn from(error: io::Error) -> Self {
        Self::Transport(Arc::new(error))
    }
}
