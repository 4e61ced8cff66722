//! Gateway status: how a gateway fares, for the operator's eyes; a daemon may skip it.

use crate::codec::Reader;
use crate::error::{DecodeError, EncodeError, Field};
use crate::framing::encode_frame;
use crate::header::Kind;

/// A gateway's own figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GatewayStatus<'a> {
    /// Milliseconds since the gateway started.
    pub uptime_ms: u64,
    /// UTC microseconds by the gateway's clock, 0 when it has none.
    pub gateway_time_us: i64,
    /// Frames waiting at the gateway.
    pub queued_frames: u32,
    /// Sightings the gateway had to drop since it started.
    pub dropped_sightings: u64,
    /// Frames it sent more than once.
    pub resent_frames: u64,
    /// Name of the firmware.
    pub firmware: &'a str,
}

impl<'a> GatewayStatus<'a> {
    pub(crate) fn decode(mut reader: Reader<'a>) -> Result<Self, DecodeError> {
        let uptime_ms = reader.u64()?;
        let gateway_time_us = reader.i64()?;
        let queued_frames = reader.u32()?;
        let dropped_sightings = reader.u64()?;
        let resent_frames = reader.u64()?;
        let offset = reader.offset();
        let firmware = core::str::from_utf8(reader.short_bytes()?).map_err(|_| {
            let kind = Kind::GatewayStatus.byte();
            DecodeError::Field { kind, field: Field::Firmware, offset }
        })?;
        reader.finish()?;
        Ok(Self { uptime_ms, gateway_time_us, queued_frames, dropped_sightings, resent_frames, firmware })
    }

    /// Writes the frame to the front of `buffer` and returns its length.
    ///
    /// # Errors
    /// No room, or a firmware name over 255 bytes.
    pub fn encode(&self, buffer: &mut [u8]) -> Result<usize, EncodeError> {
        encode_frame(buffer, Kind::GatewayStatus, |body| {
            body.u64(self.uptime_ms)?;
            body.i64(self.gateway_time_us)?;
            body.u32(self.queued_frames)?;
            body.u64(self.dropped_sightings)?;
            body.u64(self.resent_frames)?;
            body.short_bytes(self.firmware.as_bytes(), Field::Firmware)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;
    use crate::testing::check_message;

    fn status(firmware: &str) -> GatewayStatus<'_> {
        GatewayStatus {
            uptime_ms: 1,
            gateway_time_us: -2,
            queued_frames: 3,
            dropped_sightings: 4,
            resent_frames: 5,
            firmware,
        }
    }

    #[test]
    fn status_comes_back_and_every_cut_is_an_error() {
        let status = status("π 1.0");
        check_message(
            |buffer| status.encode(buffer),
            |message| assert_eq!(message, Message::GatewayStatus(status)),
        );
    }

    #[test]
    fn a_firmware_name_that_does_not_fit_is_not_sent() {
        let long = "x".repeat(256);
        let error = status(&long).encode(&mut [0; 1_000]).unwrap_err();
        assert_eq!(error, EncodeError::Field { field: Field::Firmware });
    }
}
