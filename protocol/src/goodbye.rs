//! Goodbye: one side is about to end the session.

use crate::codec::Reader;
use crate::error::{DecodeError, EncodeError, Field};
use crate::framing::encode_frame;
use crate::header::Kind;

/// Why a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum GoodbyeReason {
    /// The daemon stops: send no new frames, await the answers, connect again.
    Draining = 1,
    /// The gateway has nothing more to send.
    Leaving = 2,
}

/// An announced end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Goodbye {
    /// Why.
    pub reason: GoodbyeReason,
    /// For how long answers still come, in milliseconds from the receipt.
    pub deadline_ms: u32,
}

impl Goodbye {
    pub(crate) fn decode(mut reader: Reader<'_>) -> Result<Self, DecodeError> {
        let offset = reader.offset();
        let reason = match reader.u8()? {
            1 => GoodbyeReason::Draining,
            2 => GoodbyeReason::Leaving,
            _ => {
                let kind = Kind::Goodbye.byte();
                return Err(DecodeError::Field { kind, field: Field::GoodbyeReason, offset });
            }
        };
        let deadline_ms = reader.u32()?;
        reader.finish()?;
        Ok(Self { reason, deadline_ms })
    }

    /// Writes the frame to the front of `buffer` and returns its length.
    ///
    /// # Errors
    /// No room.
    pub fn encode(&self, buffer: &mut [u8]) -> Result<usize, EncodeError> {
        encode_frame(buffer, Kind::Goodbye, |body| {
            body.u8(self.reason as u8)?;
            body.u32(self.deadline_ms)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;
    use crate::testing::{check_message, decode_body};

    #[test]
    fn goodbye_comes_back_and_every_cut_is_an_error() {
        for reason in [GoodbyeReason::Draining, GoodbyeReason::Leaving] {
            let goodbye = Goodbye { reason, deadline_ms: 5_000 };
            check_message(
                |buffer| goodbye.encode(buffer),
                |message| assert_eq!(message, Message::Goodbye(goodbye)),
            );
        }
    }

    #[test]
    fn an_unknown_reason_is_refused() {
        let error = decode_body(Kind::Goodbye, &[3, 0, 0, 0, 0]).unwrap_err();
        assert_eq!(error, DecodeError::Field { kind: 0x88, field: Field::GoodbyeReason, offset: 12 });
    }
}
