//! What a refusal means to a gateway that wants to go on.

use crate::RefusalCode;

/// What to do about a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reaction {
    /// The client ends: a person has to look.
    Fatal,
    /// The session is over; a new one after a wait.
    Reconnect,
    /// The frame (or the hello) is to be sent again after the wait the daemon names.
    Hold,
    /// One datagram was lost or damaged; the timers see to it.
    Ignore,
}

/// The reaction to a code.
pub(super) const fn reaction(code: RefusalCode, on_udp: bool) -> Reaction {
    match code {
        RefusalCode::Malformed
        | RefusalCode::Oversize
        | RefusalCode::UnsupportedVersion
        | RefusalCode::UnknownCriticalKind
        | RefusalCode::UnexpectedKind
        | RefusalCode::UnknownGateway
        | RefusalCode::GatewayDisabled
        | RefusalCode::Unauthenticated
        | RefusalCode::SequenceReused => Reaction::Fatal,
        RefusalCode::UnknownSession
        | RefusalCode::TooManySessions
        | RefusalCode::Draining
        | RefusalCode::Other(_) => Reaction::Reconnect,
        RefusalCode::Busy => Reaction::Hold,
        RefusalCode::BadChecksum
        | RefusalCode::SequenceGap
        | RefusalCode::TimedOut
        | RefusalCode::BadMagic
        | RefusalCode::SealedUnsupported => {
            if on_udp {
                Reaction::Ignore
            } else {
                Reaction::Reconnect
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_tcp_nothing_that_closes_is_ignored() {
        for &code in RefusalCode::ALL {
            assert_ne!(reaction(code, false), Reaction::Ignore, "{code:?}");
        }
    }

    #[test]
    fn on_udp_what_ends_the_session_is_never_held_or_ignored() {
        for &code in RefusalCode::ALL.iter().filter(|code| code.ends_udp_session()) {
            assert!(matches!(reaction(code, true), Reaction::Fatal | Reaction::Reconnect), "{code:?}");
        }
    }
}
