//! Ack: what became of frames, one result record each.

mod encoder;

pub use encoder::AckEncoder;

use crate::codec::Reader;
use crate::error::{DecodeError, Field};
use crate::header::Kind;
use crate::outcome::{OUTCOME_CODES, OutcomeCode};

/// Bytes of a record without its exceptions.
pub const RECORD_HEAD_BYTES: usize = 36;
/// Bytes of an exception: index 2, code 1, detail 1.
pub const EXCEPTION_BYTES: usize = 4;

/// What a record says about its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RecordStatus {
    /// The sightings were decided; the counts say how.
    Decided = 0,
    /// A repeat of a frame known to be durable; how it was decided is not known any more, the counts are zero.
    Repeat = 1,
    /// Preferences were accepted.
    PreferencesAccepted = 2,
    /// Preferences break the model's rules; the one exception's detail names the field.
    PreferencesInvalid = 3,
    /// Preferences could not be decided: send them again in a new frame.
    PreferencesUndecided = 4,
}

impl RecordStatus {
    /// The status of a byte.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Decided,
            1 => Self::Repeat,
            2 => Self::PreferencesAccepted,
            3 => Self::PreferencesInvalid,
            4 => Self::PreferencesUndecided,
            _ => return None,
        })
    }

    /// The byte on the wire.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self as u8
    }
}

/// One sighting whose outcome a gateway has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Exception {
    /// The sighting's place in its frame.
    pub index: u16,
    /// What was decided: [`OutcomeCode::Undecided`] to [`OutcomeCode::Forbidden`].
    pub code: OutcomeCode,
    /// More about it: an [`InvalidDetail`](crate::InvalidDetail) or [`UndecidedDetail`](crate::UndecidedDetail),
    /// else 0.
    pub detail: u8,
}

/// The result of one frame, to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResultRecord<'a> {
    /// The frame's sequence.
    pub sequence: u64,
    /// What the record says.
    pub status: RecordStatus,
    /// Sightings identified but rejected by a store, kept among its dead letters.
    pub dead_lettered: u16,
    /// Sightings by outcome code.
    pub counts: [u16; OUTCOME_CODES],
    /// Every sighting with a listed code, in index order.
    pub exceptions: &'a [Exception],
}

/// The result of one frame, as received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResultRecordRef<'a> {
    /// The frame's sequence.
    pub sequence: u64,
    /// What the record says.
    pub status: RecordStatus,
    /// Sightings identified but rejected by a store, kept among its dead letters.
    pub dead_lettered: u16,
    /// Sightings by outcome code.
    pub counts: [u16; OUTCOME_CODES],
    exceptions: &'a [[u8; EXCEPTION_BYTES]],
}

impl<'a> ResultRecordRef<'a> {
    /// Every sighting with a listed code, in index order.
    pub fn exceptions(&self) -> impl Iterator<Item = Exception> + use<'a> {
        self.exceptions.iter().filter_map(exception_from)
    }

    /// How many sightings are listed.
    #[must_use]
    pub const fn exception_count(&self) -> usize {
        self.exceptions.len()
    }
}

/// Results of frames, and how far the answers have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack<'a> {
    /// Every frame of this session up to it was answered.
    pub cumulative: u64,
    /// Bit i, from the least significant: frame `cumulative + 1 + i` was received. Always 0 on TCP.
    pub received: u64,
    record_count: u16,
    records: &'a [u8],
}

impl<'a> Ack<'a> {
    pub(crate) fn decode(mut reader: Reader<'a>) -> Result<Self, DecodeError> {
        let cumulative = reader.u64()?;
        let received = reader.u64()?;
        let record_count = reader.u16()?;
        let records = reader.rest();
        for _ in 0..record_count {
            read_record(&mut reader)?;
        }
        reader.finish()?;
        Ok(Self { cumulative, received, record_count, records })
    }

    /// Number of records.
    #[must_use]
    pub const fn record_count(&self) -> u16 {
        self.record_count
    }

    /// The records, in the order sent.
    pub fn records(&self) -> impl Iterator<Item = ResultRecordRef<'a>> + use<'a> {
        let mut reader = Reader::at(0, self.records);
        core::iter::from_fn(move || read_record(&mut reader).ok())
    }

    /// Whether the frame is known to have arrived, by the cumulative number or the bitmap.
    #[must_use]
    pub fn has_received(&self, sequence: u64) -> bool {
        match sequence.checked_sub(self.cumulative) {
            None | Some(0) => true,
            Some(ahead) => {
                let bit = u32::try_from(ahead.saturating_sub(1)).unwrap_or(u32::MAX);
                self.received.checked_shr(bit).is_some_and(|bits| bits & 1 == 1)
            }
        }
    }
}

fn read_record<'a>(reader: &mut Reader<'a>) -> Result<ResultRecordRef<'a>, DecodeError> {
    let refuse = |field, offset| Err(DecodeError::Field { kind: Kind::Ack.byte(), field, offset });
    let offset = reader.offset();
    let sequence = reader.u64()?;
    if sequence == 0 {
        return refuse(Field::Sequence, offset);
    }
    let offset = reader.offset();
    let Some(status) = RecordStatus::from_byte(reader.u8()?) else {
        return refuse(Field::RecordStatus, offset);
    };
    let offset = reader.offset();
    if reader.u8()? != 0 {
        return refuse(Field::Reserved, offset);
    }
    let dead_lettered = reader.u16()?;
    let mut counts = [0; OUTCOME_CODES];
    for count in &mut counts {
        *count = reader.u16()?;
    }
    let exception_count = usize::from(reader.u16()?);
    let mut offset = reader.offset();
    let (exceptions, _) = reader.bytes(exception_count.saturating_mul(EXCEPTION_BYTES))?.as_chunks();
    let mut lowest_allowed = 0;
    for bytes in exceptions {
        let Some(exception) = exception_from(bytes) else {
            return refuse(Field::ExceptionCode, offset.saturating_add(2));
        };
        let index = u32::from(exception.index);
        if index < lowest_allowed {
            return refuse(Field::ExceptionIndex, offset);
        }
        lowest_allowed = index.saturating_add(1);
        offset = offset.saturating_add(EXCEPTION_BYTES);
    }
    Ok(ResultRecordRef { sequence, status, dead_lettered, counts, exceptions })
}

fn exception_from(&[i0, i1, code, detail]: &[u8; EXCEPTION_BYTES]) -> Option<Exception> {
    let code = OutcomeCode::from_byte(code).filter(|code| code.is_listed())?;
    Some(Exception { index: u16::from_be_bytes([i0, i1]), code, detail })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;
    use crate::error::EncodeError;
    use crate::testing::{body_of, check_message, decode_body};

    const EXCEPTIONS: [Exception; 2] = [
        Exception { index: 0, code: OutcomeCode::Undecided, detail: 2 },
        Exception { index: 65_535, code: OutcomeCode::Forbidden, detail: 0 },
    ];

    const RECORDS: [ResultRecord<'static>; 2] = [
        ResultRecord {
            sequence: 7,
            status: RecordStatus::Decided,
            dead_lettered: 1,
            counts: [1, 0, 0, 0, 0, 0, 0, 1, 4, 5, 600],
            exceptions: &EXCEPTIONS,
        },
        ResultRecord {
            sequence: u64::MAX,
            status: RecordStatus::Repeat,
            dead_lettered: 0,
            counts: [0; OUTCOME_CODES],
            exceptions: &[],
        },
    ];

    fn encode(buffer: &mut [u8]) -> Result<usize, EncodeError> {
        let mut encoder = AckEncoder::new(buffer, 6, 0b101)?;
        for record in &RECORDS {
            encoder.push(record)?;
        }
        encoder.finish()
    }

    #[test]
    fn ack_comes_back_and_every_cut_is_an_error() {
        check_message(encode, |message| {
            let Message::Ack(ack) = message else { panic!("{message:?}") };
            assert_eq!((ack.cumulative, ack.received, ack.record_count()), (6, 0b101, 2));
            let records: Vec<_> = ack.records().collect();
            assert_eq!(records.len(), RECORDS.len());
            for (found, sent) in records.iter().zip(&RECORDS) {
                assert_eq!((found.sequence, found.status), (sent.sequence, sent.status));
                assert_eq!((found.dead_lettered, found.counts), (sent.dead_lettered, sent.counts));
                assert_eq!(found.exceptions().collect::<Vec<_>>(), sent.exceptions);
            }
        });
    }

    #[test]
    fn fields_out_of_range_are_refused_with_their_place() {
        let good = body_of(encode);
        let cases = [
            (25, 0, Field::Sequence, 30),
            (26, 5, Field::RecordStatus, 38),
            (27, 1, Field::Reserved, 39),
            (56, 8, Field::ExceptionCode, 68),
            (54, 0xFF, Field::ExceptionIndex, 70),
        ];
        for (position, byte, field, offset) in cases {
            let mut body = good.clone();
            body[position] = byte;
            if field == Field::ExceptionIndex {
                body[position + 1] = byte;
            }
            let error = decode_body(Kind::Ack, &body).unwrap_err();
            assert_eq!(error, DecodeError::Field { kind: 0x84, field, offset }, "byte {position}");
        }
    }

    #[test]
    fn received_are_those_up_to_the_cumulative_number_and_those_in_the_bitmap() {
        let ack = Ack { cumulative: 10, received: 1 << 63 | 0b10, record_count: 0, records: &[] };
        let received: Vec<_> = (1..200).filter(|&sequence| ack.has_received(sequence)).collect();
        assert_eq!(received, [(1..=10).collect::<Vec<_>>(), vec![12, 74]].concat());
    }
}
