//! How a session ended, and where to go then.

use std::io;
use std::time::Duration;

use super::error::{ClientError, Disconnect};

/// How a session ended.
#[derive(Debug)]
pub(super) enum SessionEnd {
    /// Everything was answered, or nobody waits any more.
    Done,
    /// The next may go better.
    Lost { cause: Disconnect, retry_after: Duration, next: Next },
    /// Nothing will help.
    Fatal(ClientError),
}

/// Where to go after a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// To the same daemon: it is there, and has restarted.
    SameAtOnce,
    /// To another daemon; where there is none, to the same after a wait.
    ElsewhereAtOnce,
    /// To another daemon if there is one, after a wait in any case.
    Backoff,
}

impl SessionEnd {
    /// Whether the gateway ends a session that the daemon still has: on TCP a refusal closes it, on UDP not every one.
    pub(super) const fn leaves_open(&self, on_udp: bool) -> bool {
        match self {
            Self::Lost { cause: Disconnect::Refused { code, .. }, .. }
            | Self::Fatal(ClientError::Refused { code, .. }) => on_udp && !code.ends_udp_session(),
            Self::Lost { cause: Disconnect::SmallerLimits { .. }, .. } | Self::Fatal(_) => true,
            Self::Done | Self::Lost { .. } => false,
        }
    }
}

impl From<io::Error> for SessionEnd {
    fn from(error: io::Error) -> Self {
        Disconnect::from(error).into()
    }
}

impl From<Disconnect> for SessionEnd {
    fn from(cause: Disconnect) -> Self {
        Self::Lost { cause, retry_after: Duration::ZERO, next: Next::Backoff }
    }
}
