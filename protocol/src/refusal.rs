//! Refusal: the daemon says what is wrong with a frame or a session, and what to do.

use crate::codec::Reader;
use crate::error::{DecodeError, EncodeError, Field};
use crate::framing::encode_frame;
use crate::header::Kind;

macro_rules! refusal_codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal $label:literal,)*) => {
        /// Why something is refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum RefusalCode {
            $($(#[$doc])* $variant,)*
            /// A code of a later version; taken as one that closes the session.
            Other(u16),
        }

        impl RefusalCode {
            /// Every code of this version.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The code of a number.
            #[must_use]
            pub const fn from_number(number: u16) -> Self {
                match number {
                    $($number => Self::$variant,)*
                    other => Self::Other(other),
                }
            }

            /// The number on the wire.
            #[must_use]
            pub const fn number(self) -> u16 {
                match self {
                    $(Self::$variant => $number,)*
                    Self::Other(number) => number,
                }
            }

            /// The code's name in metrics and reports.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$variant => $label,)*
                    Self::Other(_) => "other",
                }
            }
        }
    };
}

refusal_codes! {
    /// A field is cut, too much or not allowed.
    Malformed = 1 "malformed",
    /// The frame was damaged on its way.
    BadChecksum = 2 "bad_checksum",
    /// The frame is longer than allowed.
    Oversize = 3 "oversize",
    /// No version in common.
    UnsupportedVersion = 4 "unsupported_version",
    /// A kind that is not known and must not be skipped.
    UnknownCriticalKind = 5 "unknown_critical_kind",
    /// A frame that this side does not send, or not now.
    UnexpectedKind = 6 "unexpected_kind",
    /// The session is not known (any more): say hello again.
    UnknownSession = 7 "unknown_session",
    /// The gateway is not registered.
    UnknownGateway = 8 "unknown_gateway",
    /// The gateway is disabled in the registry.
    GatewayDisabled = 9 "gateway_disabled",
    /// The gateway did not prove who it is.
    Unauthenticated = 10 "unauthenticated",
    /// Not processed for want of room: send it again later.
    Busy = 11 "busy",
    /// The daemon has as many sessions as it may.
    TooManySessions = 12 "too_many_sessions",
    /// The same sequence came with other contents.
    SequenceReused = 13 "sequence_reused",
    /// A sequence was skipped, or is beyond the window.
    SequenceGap = 14 "sequence_gap",
    /// Nothing was heard for too long.
    TimedOut = 15 "timed_out",
    /// The daemon is stopping.
    Draining = 16 "draining",
    /// Not this protocol.
    BadMagic = 17 "bad_magic",
    /// A sealed datagram, and there are no keys.
    SealedUnsupported = 18 "sealed_unsupported",
}

impl RefusalCode {
    /// Whether a TCP connection ends with it.
    #[must_use]
    pub const fn closes_connection(self) -> bool {
        !matches!(self, Self::Busy)
    }

    /// Whether a UDP session ends with it; otherwise it concerns one datagram only.
    #[must_use]
    pub const fn ends_udp_session(self) -> bool {
        match self {
            Self::UnknownSession
            | Self::UnsupportedVersion
            | Self::UnknownGateway
            | Self::GatewayDisabled
            | Self::Unauthenticated
            | Self::TooManySessions
            | Self::Draining
            | Self::Other(_) => true,
            Self::Malformed
            | Self::BadChecksum
            | Self::Oversize
            | Self::UnknownCriticalKind
            | Self::UnexpectedKind
            | Self::Busy
            | Self::SequenceReused
            | Self::SequenceGap
            | Self::TimedOut
            | Self::BadMagic
            | Self::SealedUnsupported => false,
        }
    }
}

/// What the daemon will not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal<'a> {
    /// The frame it is about, 0 for none in particular.
    pub sequence: u64,
    /// Why.
    pub code: RefusalCode,
    /// When to try again, in milliseconds; 0 leaves it to the gateway.
    pub retry_after_ms: u32,
    /// The same for people, at most 255 bytes.
    pub text: &'a str,
}

impl<'a> Refusal<'a> {
    pub(crate) fn decode(mut reader: Reader<'a>) -> Result<Self, DecodeError> {
        let kind = Kind::Refusal.byte();
        let sequence = reader.u64()?;
        let code_offset = reader.offset();
        let code = match reader.u16()? {
            0 => {
                return Err(DecodeError::Field { kind, field: Field::RefusalCode, offset: code_offset });
            }
            number => RefusalCode::from_number(number),
        };
        let retry_after_ms = reader.u32()?;
        let offset = reader.offset();
        let text = core::str::from_utf8(reader.short_bytes()?).map_err(|_| DecodeError::Field {
            kind,
            field: Field::RefusalText,
            offset,
        })?;
        reader.finish()?;
        Ok(Self { sequence, code, retry_after_ms, text })
    }

    /// Writes the frame to the front of `buffer` and returns its length.
    ///
    /// # Errors
    /// No room, code zero, or a text over 255 bytes.
    pub fn encode(&self, buffer: &mut [u8]) -> Result<usize, EncodeError> {
        if self.code.number() == 0 {
            return Err(EncodeError::Field { field: Field::RefusalCode });
        }
        encode_frame(buffer, Kind::Refusal, |body| {
            body.u64(self.sequence)?;
            body.u16(self.code.number())?;
            body.u32(self.retry_after_ms)?;
            body.short_bytes(self.text.as_bytes(), Field::RefusalText)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;
    use crate::testing::{check_message, decode_body};

    #[test]
    fn refusal_comes_back_and_every_cut_is_an_error() {
        for &code in RefusalCode::ALL.iter().chain([RefusalCode::Other(999)].iter()) {
            let refusal = Refusal { sequence: 3, code, retry_after_ms: 250, text: "später" };
            check_message(
                |buffer| refusal.encode(buffer),
                |message| assert_eq!(message, Message::Refusal(refusal)),
            );
        }
    }

    #[test]
    fn numbers_are_one_to_eighteen_in_order() {
        let numbers: Vec<_> = RefusalCode::ALL.iter().map(|code| code.number()).collect();
        assert_eq!(numbers, (1..=18).collect::<Vec<_>>());
        assert!(RefusalCode::ALL.iter().all(|&code| RefusalCode::from_number(code.number()) == code));
    }

    #[test]
    fn an_unknown_code_is_taken_as_closing() {
        let code = RefusalCode::from_number(4_000);
        assert!(code.closes_connection() && code.ends_udp_session());
    }

    #[test]
    fn code_zero_and_text_that_is_not_utf8_are_refused() {
        let mut body = [0_u8; 16];
        body[14] = 1;
        body[15] = b'x';
        let error = decode_body(Kind::Refusal, &body).unwrap_err();
        assert_eq!(error, DecodeError::Field { kind: 0x85, field: Field::RefusalCode, offset: 20 });
        body[9] = 1;
        body[15] = 0xFF;
        let error = decode_body(Kind::Refusal, &body).unwrap_err();
        assert_eq!(error, DecodeError::Field { kind: 0x85, field: Field::RefusalText, offset: 26 });
    }
}
