//! The twelve bytes in front of every frame.

/// First two bytes of every frame.
pub const MAGIC: u16 = 0xBEAC;
/// The version of the frame format this crate reads and writes.
pub const FRAME_VERSION: u8 = 1;
/// Bytes in front of the body: magic 2, version 1, kind 1, body length 4, checksum 4.
pub const HEADER_BYTES: usize = 12;
/// Set in a kind that must not be skipped by a receiver that does not know it.
pub const CRITICAL_BIT: u8 = 0x80;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A gateway opens a session.
    Hello = 0x81,
    /// The daemon grants it.
    Welcome = 0x82,
    /// A batch of sightings.
    Sightings = 0x83,
    /// Results of frames.
    Ack = 0x84,
    /// The daemon refuses a frame or a session.
    Refusal = 0x85,
    /// A question whether the other side is there.
    Ping = 0x86,
    /// Its answer.
    Pong = 0x87,
    /// One side is about to end the session.
    Goodbye = 0x88,
    /// A customer's preferences.
    Preferences = 0x89,
    /// How a gateway fares; may be skipped.
    GatewayStatus = 0x0A,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Hello,
        Self::Welcome,
        Self::Sightings,
        Self::Ack,
        Self::Refusal,
        Self::Ping,
        Self::Pong,
        Self::Goodbye,
        Self::Preferences,
        Self::GatewayStatus,
    ];

    /// The kind a byte stands for.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0x81 => Self::Hello,
            0x82 => Self::Welcome,
            0x83 => Self::Sightings,
            0x84 => Self::Ack,
            0x85 => Self::Refusal,
            0x86 => Self::Ping,
            0x87 => Self::Pong,
            0x88 => Self::Goodbye,
            0x89 => Self::Preferences,
            0x0A => Self::GatewayStatus,
            _ => return None,
        })
    }

    /// The byte on the wire.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self as u8
    }

    /// The kind's name for a metric.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Welcome => "welcome",
            Self::Sightings => "sightings",
            Self::Ack => "ack",
            Self::Refusal => "refusal",
            Self::Ping => "ping",
            Self::Pong => "pong",
            Self::Goodbye => "goodbye",
            Self::Preferences => "preferences",
            Self::GatewayStatus => "gateway_status",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_stands_for_its_kind_only() {
        for byte in 0..=u8::MAX {
            let named = Kind::ALL.into_iter().find(|kind| kind.byte() == byte);
            assert_eq!(Kind::from_byte(byte), named);
        }
    }
}
