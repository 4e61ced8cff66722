//! Ping and pong: whether the other side is there, and what time it has.

use crate::codec::Reader;
use crate::error::{DecodeError, EncodeError};
use crate::framing::encode_frame;
use crate::header::Kind;

/// A question either side may ask at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ping {
    /// Comes back in the pong.
    pub token: u64,
    /// UTC microseconds by the sender's clock, 0 when it has none.
    pub time_us: i64,
}

/// The answer to a [`Ping`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pong {
    /// The ping's.
    pub token: u64,
    /// UTC microseconds by the sender's clock.
    pub time_us: i64,
}

impl Ping {
    pub(crate) fn decode(mut reader: Reader<'_>) -> Result<Self, DecodeError> {
        let (token, time_us) = (reader.u64()?, reader.i64()?);
        reader.finish()?;
        Ok(Self { token, time_us })
    }

    /// Writes the frame to the front of `buffer` and returns its length.
    ///
    /// # Errors
    /// No room.
    pub fn encode(&self, buffer: &mut [u8]) -> Result<usize, EncodeError> {
        encode_pair(buffer, Kind::Ping, self.token, self.time_us)
    }
}

impl Pong {
    pub(crate) fn decode(reader: Reader<'_>) -> Result<Self, DecodeError> {
        Ping::decode(reader).map(|Ping { token, time_us }| Self { token, time_us })
    }

    /// Writes the frame to the front of `buffer` and returns its length.
    ///
    /// # Errors
    /// No room.
    pub fn encode(&self, buffer: &mut [u8]) -> Result<usize, EncodeError> {
        encode_pair(buffer, Kind::Pong, self.token, self.time_us)
    }
}

fn encode_pair(buffer: &mut [u8], kind: Kind, token: u64, time_us: i64) -> Result<usize, EncodeError> {
    encode_frame(buffer, kind, |body| {
        body.u64(token)?;
        body.i64(time_us)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;
    use crate::testing::check_message;

    #[test]
    fn ping_and_pong_come_back_and_every_cut_is_an_error() {
        let ping = Ping { token: u64::MAX, time_us: -1 };
        check_message(|buffer| ping.encode(buffer), |message| assert_eq!(message, Message::Ping(ping)));
        let pong = Pong { token: 1, time_us: i64::MAX };
        check_message(|buffer| pong.encode(buffer), |message| assert_eq!(message, Message::Pong(pong)));
    }
}
