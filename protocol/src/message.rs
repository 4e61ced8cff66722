//! A frame's body as the message it is.

use crate::ack::Ack;
use crate::codec::Reader;
use crate::error::DecodeError;
use crate::framing::RawFrame;
use crate::goodbye::Goodbye;
use crate::header::{CRITICAL_BIT, HEADER_BYTES, Kind};
use crate::hello::Hello;
use crate::ping::{Ping, Pong};
use crate::preferences::Preferences;
use crate::refusal::Refusal;
use crate::sightings::Sightings;
use crate::status::GatewayStatus;
use crate::welcome::Welcome;

/// One message, borrowed from the bytes it came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// A gateway opens a session.
    Hello(Hello<'a>),
    /// The daemon grants it.
    Welcome(Welcome),
    /// A batch of sightings.
    Sightings(Sightings<'a>),
    /// Results of frames.
    Ack(Ack<'a>),
    /// The daemon refuses.
    Refusal(Refusal<'a>),
    /// Is the other side there?
    Ping(Ping),
    /// It is.
    Pong(Pong),
    /// The session is about to end.
    Goodbye(Goodbye),
    /// A customer's preferences.
    Preferences(Preferences<'a>),
    /// How a gateway fares.
    GatewayStatus(GatewayStatus<'a>),
    /// A kind that is not known and may be skipped: count it and go on.
    Skipped(u8),
}

impl<'a> Message<'a> {
    /// Reads the body of a frame; what comes back needs no further checks.
    ///
    /// # Errors
    /// A field that is cut or not allowed, bytes behind the last field, or an unknown kind that is critical.
    #[inline]
    pub fn decode(frame: RawFrame<'a>) -> Result<Self, DecodeError> {
        let kind = frame.kind();
        let reader = Reader::at(HEADER_BYTES, frame.body());
        match Kind::from_byte(kind) {
            Some(Kind::Sightings) => Sightings::decode(frame, reader).map(Self::Sightings),
            Some(Kind::Ack) => Ack::decode(reader).map(Self::Ack),
            Some(Kind::Hello) => Hello::decode(reader).map(Self::Hello),
            Some(Kind::Welcome) => Welcome::decode(reader).map(Self::Welcome),
            Some(Kind::Refusal) => Refusal::decode(reader).map(Self::Refusal),
            Some(Kind::Ping) => Ping::decode(reader).map(Self::Ping),
            Some(Kind::Pong) => Pong::decode(reader).map(Self::Pong),
            Some(Kind::Goodbye) => Goodbye::decode(reader).map(Self::Goodbye),
            Some(Kind::Preferences) => Preferences::decode(frame, reader).map(Self::Preferences),
            Some(Kind::GatewayStatus) => GatewayStatus::decode(reader).map(Self::GatewayStatus),
            None if kind & CRITICAL_BIT != 0 => Err(DecodeError::UnknownCriticalKind { kind }),
            None => Ok(Self::Skipped(kind)),
        }
    }

    /// The kind it came as.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Hello(_) => Kind::Hello.byte(),
            Self::Welcome(_) => Kind::Welcome.byte(),
            Self::Sightings(_) => Kind::Sightings.byte(),
            Self::Ack(_) => Kind::Ack.byte(),
            Self::Refusal(_) => Kind::Refusal.byte(),
            Self::Ping(_) => Kind::Ping.byte(),
            Self::Pong(_) => Kind::Pong.byte(),
            Self::Goodbye(_) => Kind::Goodbye.byte(),
            Self::Preferences(_) => Kind::Preferences.byte(),
            Self::GatewayStatus(_) => Kind::GatewayStatus.byte(),
            Self::Skipped(kind) => *kind,
        }
    }
}
