//! Welcome: the daemon grants a session and states its limits.

use crate::codec::Reader;
use crate::error::{DecodeError, EncodeError, Field};
use crate::framing::encode_frame;
use crate::header::Kind;
use crate::hello::AckLevel;

/// The daemon's answer to a hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Welcome {
    /// The version both will speak.
    pub version: u8,
    /// The level at which frames will be acknowledged.
    pub ack_level: AckLevel,
    /// The session's number; every datagram of it carries it.
    pub session: u64,
    /// The hello's, echoed.
    pub boot_epoch: u64,
    /// The highest sequence known to be durable, as a hint: only a result record acknowledges.
    pub last_acked: u64,
    /// The first eight bytes of the hello's random bytes, echoed.
    pub client_random_echo: [u8; 8],
    /// Frames that may be on their way without a result, one or more.
    pub window_frames: u32,
    /// Largest frame the daemon takes, header included.
    pub max_frame_bytes: u32,
    /// Largest datagram the daemon takes, datagram header included.
    pub max_datagram_bytes: u16,
    /// Most sightings in one frame.
    pub max_sightings: u16,
    /// After so much silence the session is dropped, in milliseconds.
    pub idle_timeout_ms: u32,
    /// UTC microseconds by the daemon's clock, so that a gateway can correct its own.
    pub server_time_us: i64,
    /// Fresh random bytes of the daemon, for keys of a later version.
    pub server_random: [u8; 32],
}

impl Welcome {
    pub(crate) fn decode(mut reader: Reader<'_>) -> Result<Self, DecodeError> {
        let refuse = |field, offset| Err(DecodeError::Field { kind: Kind::Welcome.byte(), field, offset });
        let offset = reader.offset();
        let version = reader.u8()?;
        if version == 0 {
            return refuse(Field::Versions, offset);
        }
        let offset = reader.offset();
        let Some(ack_level) = AckLevel::from_byte(reader.u8()?) else {
            return refuse(Field::AckLevel, offset);
        };
        let offset = reader.offset();
        if reader.u8()? != 0 {
            return refuse(Field::Flags, offset);
        }
        let offset = reader.offset();
        if reader.u8()? != 0 {
            return refuse(Field::Reserved, offset);
        }
        let session = reader.u64()?;
        let boot_epoch = reader.u64()?;
        let last_acked = reader.u64()?;
        let client_random_echo = reader.array()?;
        let offset = reader.offset();
        let window_frames = reader.u32()?;
        if window_frames == 0 {
            return refuse(Field::WindowFrames, offset);
        }
        let welcome = Self {
            version,
            ack_level,
            session,
            boot_epoch,
            last_acked,
            client_random_echo,
            window_frames,
            max_frame_bytes: reader.u32()?,
            max_datagram_bytes: reader.u16()?,
            max_sightings: reader.u16()?,
            idle_timeout_ms: reader.u32()?,
            server_time_us: reader.i64()?,
            server_random: reader.array()?,
        };
        reader.finish()?;
        Ok(welcome)
    }

    /// Writes the frame to the front of `buffer` and returns its length.
    ///
    /// # Errors
    /// No room, version zero or a window of no frames.
    pub fn encode(&self, buffer: &mut [u8]) -> Result<usize, EncodeError> {
        if self.version == 0 {
            return Err(EncodeError::Field { field: Field::Versions });
        }
        if self.window_frames == 0 {
            return Err(EncodeError::Field { field: Field::WindowFrames });
        }
        encode_frame(buffer, Kind::Welcome, |body| {
            body.u8(self.version)?;
            body.u8(self.ack_level.byte())?;
            body.u16(0)?;
            body.u64(self.session)?;
            body.u64(self.boot_epoch)?;
            body.u64(self.last_acked)?;
            body.bytes(&self.client_random_echo)?;
            body.u32(self.window_frames)?;
            body.u32(self.max_frame_bytes)?;
            body.u16(self.max_datagram_bytes)?;
            body.u16(self.max_sightings)?;
            body.u32(self.idle_timeout_ms)?;
            body.i64(self.server_time_us)?;
            body.bytes(&self.server_random)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;
    use crate::testing::{body_of, check_message, decode_body};

    const WELCOME: Welcome = Welcome {
        version: 1,
        ack_level: AckLevel::Journal,
        session: 2,
        boot_epoch: 3,
        last_acked: 4,
        client_random_echo: [5; 8],
        window_frames: 6,
        max_frame_bytes: 7,
        max_datagram_bytes: 8,
        max_sightings: 9,
        idle_timeout_ms: 10,
        server_time_us: 11,
        server_random: [12; 32],
    };

    #[test]
    fn welcome_comes_back_and_every_cut_is_an_error() {
        check_message(
            |buffer| WELCOME.encode(buffer),
            |message| assert_eq!(message, Message::Welcome(WELCOME)),
        );
    }

    #[test]
    fn fields_out_of_range_are_refused_with_their_place() {
        let good = body_of(|buffer| WELCOME.encode(buffer));
        let cases = [
            (0, 0, Field::Versions, 12),
            (1, 0, Field::AckLevel, 13),
            (2, 1, Field::Flags, 14),
            (3, 1, Field::Reserved, 15),
            (39, 0, Field::WindowFrames, 48),
        ];
        for (position, byte, field, offset) in cases {
            let mut body = good.clone();
            body[position] = byte;
            let error = decode_body(Kind::Welcome, &body).unwrap_err();
            assert_eq!(error, DecodeError::Field { kind: 0x82, field, offset });
        }
    }
}
