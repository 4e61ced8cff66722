//! What a refusal means to a gateway that wants to go on.

use std::time::Duration;

use super::config::WhenRefused;
use crate::RefusalCode;

/// A daemon learns another version by being replaced, which does not happen from one minute to the next.
const VERSION_WAIT: Duration = Duration::from_secs(300);

/// What to do about a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reaction {
    /// The client ends: trying again does not help, or is not wanted.
    Fatal,
    /// The session is over; a new one after a wait.
    Reconnect,
    /// The frame (or the hello) is to be sent again after the wait the daemon names.
    Hold,
    /// The numbering is another frame's: a new epoch, after a wait.
    Renumber,
    /// One datagram was lost or damaged; the timers see to it.
    Ignore,
}

/// The reaction to a code.
pub(super) const fn reaction(code: RefusalCode, on_udp: bool, when_refused: WhenRefused) -> Reaction {
    match code {
        RefusalCode::Malformed
        | RefusalCode::Oversize
        | RefusalCode::UnknownCriticalKind
        | RefusalCode::UnexpectedKind => Reaction::Fatal,
        RefusalCode::SequenceReused => Reaction::Renumber,
        RefusalCode::UnsupportedVersion
        | RefusalCode::UnknownGateway
        | RefusalCode::GatewayDisabled
        | RefusalCode::Unauthenticated => match when_refused {
            WhenRefused::KeepTrying => Reaction::Reconnect,
            WhenRefused::GiveUp => Reaction::Fatal,
        },
        // Over UDP the daemon keeps a session that a gap was found in; only another one can begin elsewhere.
        RefusalCode::SequenceGap
        | RefusalCode::UnknownSession
        | RefusalCode::TooManySessions
        | RefusalCode::Draining
        | RefusalCode::Other(_) => Reaction::Reconnect,
        RefusalCode::Busy => Reaction::Hold,
        RefusalCode::BadChecksum
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

/// How long to wait at the least before a new session, whatever the backoff says.
pub(super) const fn least_wait(code: RefusalCode) -> Duration {
    match code {
        RefusalCode::UnsupportedVersion => VERSION_WAIT,
        _ => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: [WhenRefused; 2] = [WhenRefused::KeepTrying, WhenRefused::GiveUp];

    #[test]
    fn on_tcp_nothing_that_closes_is_ignored() {
        for &code in RefusalCode::ALL {
            for setting in SETTINGS {
                assert_ne!(reaction(code, false, setting), Reaction::Ignore, "{code:?}");
            }
        }
    }

    #[test]
    fn the_setting_decides_on_what_an_operator_can_set_right_and_on_nothing_else() {
        let differs = |code| {
            let [kept, given_up] = SETTINGS.map(|setting| reaction(code, true, setting));
            if kept != given_up {
                assert_eq!((kept, given_up), (Reaction::Reconnect, Reaction::Fatal), "{code:?}");
            }
            kept != given_up
        };
        let codes: Vec<_> = RefusalCode::ALL.iter().copied().filter(|code| differs(*code)).collect();
        let expected = [
            RefusalCode::UnsupportedVersion,
            RefusalCode::UnknownGateway,
            RefusalCode::GatewayDisabled,
            RefusalCode::Unauthenticated,
        ];
        assert_eq!(codes, expected);
        let long_waits: Vec<_> = codes.into_iter().filter(|code| !least_wait(*code).is_zero()).collect();
        assert_eq!(long_waits, [RefusalCode::UnsupportedVersion]);
    }

    #[test]
    fn on_udp_what_ends_the_session_is_never_held_or_ignored() {
        for &code in RefusalCode::ALL.iter().filter(|code| code.ends_udp_session()) {
            for setting in SETTINGS {
                let reaction = reaction(code, true, setting);
                assert!(matches!(reaction, Reaction::Fatal | Reaction::Reconnect), "{code:?}: {reaction:?}");
            }
        }
    }
}
