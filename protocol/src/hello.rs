//! Hello: a gateway opens a session, or resumes where it was cut.

use crate::codec::Reader;
use crate::error::{DecodeError, EncodeError, Field};
use crate::framing::encode_frame;
use crate::header::Kind;
use crate::limits::{MAX_AUTH_BYTES, MAX_GATEWAY_ID_BYTES};

/// When the daemon is to acknowledge a sighting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum AckLevel {
    /// When it is in the daemon's journal on disk.
    Journal = 1,
    /// When every store has it.
    Stored = 2,
}

impl AckLevel {
    /// The level of a byte.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Journal),
            2 => Some(Self::Stored),
            _ => None,
        }
    }

    /// The byte on the wire.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self as u8
    }
}

/// The first frame of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello<'a> {
    /// Lowest protocol version the gateway speaks, from 1.
    pub min_version: u8,
    /// Highest.
    pub max_version: u8,
    /// The level asked for; `None` leaves it to the daemon.
    pub ack_level: Option<AckLevel>,
    /// Changes whenever the gateway starts counting sequences from 1 again.
    pub boot_epoch: u64,
    /// The lowest sequence without a result; this session's first frame, from 1.
    pub first_unacked: u64,
    /// Fresh random bytes, so that the gateway knows its own welcome.
    pub client_random: [u8; 32],
    /// The gateway's name, 1 to 64 bytes without control characters.
    pub gateway_id: &'a str,
    /// How it proves its name: 0 not at all.
    pub auth_method: u8,
    /// The proof, at most 512 bytes; empty with method 0.
    pub auth: &'a [u8],
}

impl<'a> Hello<'a> {
    pub(crate) fn decode(mut reader: Reader<'a>) -> Result<Self, DecodeError> {
        let refuse = |field, offset| Err(DecodeError::Field { kind: Kind::Hello.byte(), field, offset });
        let offset = reader.offset();
        let (min_version, max_version) = (reader.u8()?, reader.u8()?);
        if min_version == 0 || min_version > max_version {
            return refuse(Field::Versions, offset);
        }
        let offset = reader.offset();
        let ack_level = match reader.u8()? {
            0 => None,
            byte => match AckLevel::from_byte(byte) {
                None => return refuse(Field::AckLevel, offset),
                level => level,
            },
        };
        let offset = reader.offset();
        if reader.u8()? != 0 {
            return refuse(Field::Flags, offset);
        }
        let boot_epoch = reader.u64()?;
        let offset = reader.offset();
        let first_unacked = reader.u64()?;
        if first_unacked == 0 {
            return refuse(Field::FirstUnacked, offset);
        }
        let client_random = reader.array()?;
        let offset = reader.offset();
        let Some(gateway_id) = allowed_gateway_id(reader.short_bytes()?) else {
            return refuse(Field::GatewayId, offset);
        };
        let auth_method = reader.u8()?;
        let offset = reader.offset();
        let auth_bytes = usize::from(reader.u16()?);
        if auth_bytes > MAX_AUTH_BYTES || (auth_method == 0 && auth_bytes > 0) {
            return refuse(Field::Auth, offset);
        }
        let auth = reader.bytes(auth_bytes)?;
        reader.finish()?;
        Ok(Self {
            min_version,
            max_version,
            ack_level,
            boot_epoch,
            first_unacked,
            client_random,
            gateway_id,
            auth_method,
            auth,
        })
    }

    /// Writes the frame to the front of `buffer` and returns its length.
    ///
    /// # Errors
    /// No room, or a field the format cannot carry.
    pub fn encode(&self, buffer: &mut [u8]) -> Result<usize, EncodeError> {
        let refuse = |field| Err(EncodeError::Field { field });
        if self.min_version == 0 || self.min_version > self.max_version {
            return refuse(Field::Versions);
        }
        if self.first_unacked == 0 {
            return refuse(Field::FirstUnacked);
        }
        if allowed_gateway_id(self.gateway_id.as_bytes()).is_none() {
            return refuse(Field::GatewayId);
        }
        let auth_bytes = match u16::try_from(self.auth.len()) {
            Ok(0) => 0,
            Ok(length) if self.auth_method != 0 && self.auth.len() <= MAX_AUTH_BYTES => length,
            _ => return refuse(Field::Auth),
        };
        encode_frame(buffer, Kind::Hello, |body| {
            body.u8(self.min_version)?;
            body.u8(self.max_version)?;
            body.u8(self.ack_level.map_or(0, AckLevel::byte))?;
            body.u8(0)?;
            body.u64(self.boot_epoch)?;
            body.u64(self.first_unacked)?;
            body.bytes(&self.client_random)?;
            body.short_bytes(self.gateway_id.as_bytes(), Field::GatewayId)?;
            body.u8(self.auth_method)?;
            body.u16(auth_bytes)?;
            body.bytes(self.auth)
        })
    }
}

fn allowed_gateway_id(bytes: &[u8]) -> Option<&str> {
    let id = core::str::from_utf8(bytes).ok()?;
    let allowed = !id.is_empty() && id.len() <= MAX_GATEWAY_ID_BYTES && !id.chars().any(char::is_control);
    allowed.then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;
    use crate::testing::{body_of, check_message, decode_body};

    const HELLO: Hello<'_> = Hello {
        min_version: 1,
        max_version: 3,
        ack_level: Some(AckLevel::Stored),
        boot_epoch: 5,
        first_unacked: 6,
        client_random: [7; 32],
        gateway_id: "gäteway-1",
        auth_method: 1,
        auth: b"proof",
    };

    #[test]
    fn hello_comes_back_and_every_cut_is_an_error() {
        check_message(|buffer| HELLO.encode(buffer), |message| assert_eq!(message, Message::Hello(HELLO)));
        let bare = Hello { ack_level: None, auth_method: 0, auth: b"", ..HELLO };
        check_message(|buffer| bare.encode(buffer), |message| assert_eq!(message, Message::Hello(bare)));
    }

    #[test]
    fn fields_out_of_range_are_refused_with_their_place() {
        let good = body_of(|buffer| HELLO.encode(buffer));
        let auth_length = good.len() - b"proof".len() - 2;
        let cases = [
            (0, 0, Field::Versions, 12),
            (0, 4, Field::Versions, 12),
            (2, 3, Field::AckLevel, 14),
            (3, 1, Field::Flags, 15),
            (19, 0, Field::FirstUnacked, 24),
            (53, b'\n', Field::GatewayId, 64),
            (53, 0xFF, Field::GatewayId, 64),
            (auth_length - 1, 0, Field::Auth, 12 + auth_length),
            (auth_length, 0x7F, Field::Auth, 12 + auth_length),
        ];
        for (position, byte, field, offset) in cases {
            let mut body = good.clone();
            body[position] = byte;
            let error = decode_body(Kind::Hello, &body).unwrap_err();
            assert_eq!(error, DecodeError::Field { kind: 0x81, field, offset });
        }
    }

    #[test]
    fn what_the_format_cannot_carry_is_not_written() {
        let long = "g".repeat(65);
        let cases = [
            (Hello { min_version: 0, ..HELLO }, Field::Versions),
            (Hello { first_unacked: 0, ..HELLO }, Field::FirstUnacked),
            (Hello { gateway_id: "", ..HELLO }, Field::GatewayId),
            (Hello { gateway_id: &long, ..HELLO }, Field::GatewayId),
            (Hello { auth_method: 0, ..HELLO }, Field::Auth),
            (Hello { auth: &[0; 513], ..HELLO }, Field::Auth),
        ];
        for (hello, field) in cases {
            assert_eq!(hello.encode(&mut [0; 1_000]), Err(EncodeError::Field { field }));
        }
    }
}
