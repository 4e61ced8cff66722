//! The header in front of the one frame of a UDP datagram.

use crate::codec::{Reader, Writer};
use crate::error::{DecodeError, EncodeError, Field};
use crate::framing::{RawFrame, deframe_whole};

/// First two bytes of every datagram.
pub const DATAGRAM_MAGIC: u16 = 0xBEAD;
/// Bytes in front of the frame: magic 2, flags 1, reserved 1, session 8, packet number 8.
pub const DATAGRAM_HEADER_BYTES: usize = 20;

/// Flag: what follows the header is encrypted; reserved for a later version.
const SEALED_FLAG: u8 = 0b0000_0001;
const FLAGS_OFFSET: usize = 2;
const PACKET_NUMBER_OFFSET: usize = 12;

/// To which session a datagram belongs, and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatagramHeader {
    /// The session the welcome granted; 0 in a hello.
    pub session: u64,
    /// Fresh at every transmission of this side, repeats included, from 1: what a later version seals with.
    pub packet_number: u64,
}

impl DatagramHeader {
    /// The header, and the frame's bytes behind it.
    ///
    /// # Errors
    /// Another protocol's magic, a sealed datagram, unknown flags, packet number zero, or a cut header.
    pub fn decode(datagram: &[u8]) -> Result<(Self, &[u8]), DecodeError> {
        let mut reader = Reader::at(0, datagram);
        let found = reader.u16()?;
        if found != DATAGRAM_MAGIC {
            return Err(DecodeError::BadMagic { found });
        }
        match reader.u8()? {
            0 => {}
            SEALED_FLAG => return Err(DecodeError::SealedUnsupported),
            _ => {
                return Err(DecodeError::Field { kind: 0, field: Field::Flags, offset: FLAGS_OFFSET });
            }
        }
        if reader.u8()? != 0 {
            return Err(DecodeError::Field {
                kind: 0,
                field: Field::Reserved,
                offset: FLAGS_OFFSET.saturating_add(1),
            });
        }
        let session = reader.u64()?;
        let packet_number = reader.u64()?;
        if packet_number == 0 {
            return Err(DecodeError::Field {
                kind: 0,
                field: Field::PacketNumber,
                offset: PACKET_NUMBER_OFFSET,
            });
        }
        Ok((Self { session, packet_number }, reader.rest()))
    }

    /// Writes the header to the front of `buffer` and returns its length; the frame follows.
    ///
    /// # Errors
    /// No room, or packet number zero.
    pub fn encode(&self, buffer: &mut [u8]) -> Result<usize, EncodeError> {
        if self.packet_number == 0 {
            return Err(EncodeError::Field { field: Field::PacketNumber });
        }
        let mut writer = Writer::new(buffer);
        writer.u16(DATAGRAM_MAGIC)?;
        writer.u16(0)?;
        writer.u64(self.session)?;
        writer.u64(self.packet_number)?;
        Ok(writer.position())
    }
}

/// A datagram's header and its frame, whose checksum is right.
///
/// # Errors
/// As [`DatagramHeader::decode`] and [`deframe_whole`]; `limit_bytes` bounds the frame.
pub fn decode_datagram(
    datagram: &[u8],
    limit_bytes: usize,
) -> Result<(DatagramHeader, RawFrame<'_>), DecodeError> {
    let (header, frame) = DatagramHeader::decode(datagram)?;
    Ok((header, deframe_whole(frame, limit_bytes)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MAX_FRAME_BYTES;
    use crate::ping::Ping;

    fn datagram() -> Vec<u8> {
        let mut bytes = vec![0; 100];
        let header = DatagramHeader { session: 7, packet_number: 9 }.encode(&mut bytes).unwrap();
        let frame = Ping { token: 1, time_us: 2 }.encode(&mut bytes[header..]).unwrap();
        bytes.truncate(header + frame);
        bytes
    }

    #[test]
    fn header_and_frame_come_back() {
        let bytes = datagram();
        let (header, frame) = decode_datagram(&bytes, MAX_FRAME_BYTES).unwrap();
        assert_eq!(header, DatagramHeader { session: 7, packet_number: 9 });
        assert_eq!(frame.kind(), crate::Kind::Ping.byte());
    }

    #[test]
    fn every_cut_is_an_error() {
        let bytes = datagram();
        for cut in 0..bytes.len() {
            let error = decode_datagram(&bytes[..cut], MAX_FRAME_BYTES).unwrap_err();
            assert!(matches!(error, DecodeError::UnexpectedEnd { .. }), "{cut}: {error}");
        }
    }

    #[test]
    fn bytes_after_the_frame_are_an_error() {
        let mut bytes = datagram();
        bytes.push(0);
        let error = decode_datagram(&bytes, MAX_FRAME_BYTES).unwrap_err();
        assert!(matches!(error, DecodeError::TrailingData { extra: 1, .. }), "{error}");
    }

    #[test]
    fn sealed_and_unknown_flags_are_told_apart() {
        let mut bytes = datagram();
        bytes[2] = 1;
        assert_eq!(DatagramHeader::decode(&bytes), Err(DecodeError::SealedUnsupported));
        bytes[2] = 2;
        let unknown = DecodeError::Field { kind: 0, field: Field::Flags, offset: 2 };
        assert_eq!(DatagramHeader::decode(&bytes), Err(unknown));
        bytes[2] = 0;
        bytes[3] = 1;
        let reserved = DecodeError::Field { kind: 0, field: Field::Reserved, offset: 3 };
        assert_eq!(DatagramHeader::decode(&bytes), Err(reserved));
    }

    #[test]
    fn packet_number_zero_is_neither_read_nor_written() {
        let mut bytes = datagram();
        bytes[12..20].fill(0);
        assert!(DatagramHeader::decode(&bytes).is_err());
        assert!(DatagramHeader { session: 1, packet_number: 0 }.encode(&mut bytes).is_err());
    }
}
