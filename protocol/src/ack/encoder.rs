//! Writes result records into a buffer of the caller's until it is full.

use super::{EXCEPTION_BYTES, RECORD_HEAD_BYTES, ResultRecord, read_record};
use crate::codec::{Reader, Writer};
use crate::error::{EncodeError, Field};
use crate::framing::{begin_frame, seal_frame};
use crate::header::{HEADER_BYTES, Kind};

/// Where in the frame the number of records stands.
const RECORD_COUNT_OFFSET: usize = HEADER_BYTES + 16;

/// An ack in the making.
#[derive(Debug)]
pub struct AckEncoder<'b> {
    writer: Writer<'b>,
    record_count: u16,
}

impl<'b> AckEncoder<'b> {
    /// Begins an ack; without records it tells only how far the answers have come.
    ///
    /// # Errors
    /// No room.
    pub fn new(buffer: &'b mut [u8], cumulative: u64, received: u64) -> Result<Self, EncodeError> {
        let mut writer = begin_frame(buffer)?;
        writer.u64(cumulative)?;
        writer.u64(received)?;
        writer.u16(0)?;
        Ok(Self { writer, record_count: 0 })
    }

    /// Appends one record.
    ///
    /// # Errors
    /// [`EncodeError::Full`] when it does not fit any more: the ack stays as it was, finish it and begin another.
    /// Sequence zero, and exceptions out of order or with a code that is not listed, can never be sent.
    pub fn push(&mut self, record: &ResultRecord<'_>) -> Result<(), EncodeError> {
        self.check_room(record.encoded_bytes())?;
        record.write(&mut self.writer)?;
        self.count()
    }

    /// Appends one record that [`ResultRecord::encode`] wrote, as for a repeated frame.
    ///
    /// # Errors
    /// [`EncodeError::Full`] as [`push`](Self::push); [`EncodeError::NotPatchable`] when it is no record.
    pub fn push_encoded(&mut self, record: &[u8]) -> Result<(), EncodeError> {
        let mut reader = Reader::at(0, record);
        if read_record(&mut reader).and_then(|_| reader.finish()).is_err() {
            return Err(EncodeError::NotPatchable);
        }
        self.check_room(record.len())?;
        self.writer.bytes(record)?;
        self.count()
    }

    /// Records appended so far.
    #[must_use]
    pub const fn record_count(&self) -> u16 {
        self.record_count
    }

    /// Fills in count, length and checksum, and returns the frame's length.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn finish(mut self) -> Result<usize, EncodeError> {
        self.writer.patch(RECORD_COUNT_OFFSET, &self.record_count.to_be_bytes());
        seal_frame(self.writer, Kind::Ack)
    }

    fn check_room(&self, need: usize) -> Result<(), EncodeError> {
        let have = self.writer.room();
        if need > have || self.record_count == u16::MAX {
            return Err(EncodeError::Full { need, have });
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), EncodeError> {
        let next = self.record_count.checked_add(1);
        self.record_count = next.ok_or(EncodeError::Field { field: Field::RecordCount })?;
        Ok(())
    }
}

impl ResultRecord<'_> {
    /// Bytes of the record on the wire.
    #[must_use]
    pub const fn encoded_bytes(&self) -> usize {
        self.exceptions.len().saturating_mul(EXCEPTION_BYTES).saturating_add(RECORD_HEAD_BYTES)
    }

    /// Writes the record alone to the front of `buffer`, to be kept for repeats, and returns its length.
    ///
    /// # Errors
    /// As [`AckEncoder::push`].
    pub fn encode(&self, buffer: &mut [u8]) -> Result<usize, EncodeError> {
        let mut writer = Writer::new(buffer);
        self.write(&mut writer)?;
        Ok(writer.position())
    }

    fn write(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        self.check()?;
        let exception_count = u16::try_from(self.exceptions.len());
        let exception_count =
            exception_count.map_err(|_| EncodeError::Field { field: Field::ExceptionCount })?;
        writer.u64(self.sequence)?;
        writer.u8(self.status.byte())?;
        writer.u8(0)?;
        writer.u16(self.dead_lettered)?;
        for count in self.counts {
            writer.u16(count)?;
        }
        writer.u16(exception_count)?;
        for exception in self.exceptions {
            let [i0, i1] = exception.index.to_be_bytes();
            writer.bytes(&[i0, i1, exception.code.byte(), exception.detail])?;
        }
        Ok(())
    }

    fn check(&self) -> Result<(), EncodeError> {
        if self.sequence == 0 {
            return Err(EncodeError::Field { field: Field::Sequence });
        }
        if !self.exceptions.iter().all(|exception| exception.code.is_listed()) {
            return Err(EncodeError::Field { field: Field::ExceptionCode });
        }
        let ascending = self.exceptions.is_sorted_by(|earlier, later| earlier.index < later.index);
        if !ascending {
            return Err(EncodeError::Field { field: Field::ExceptionIndex });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Exception, RecordStatus};
    use super::*;
    use crate::outcome::{OUTCOME_CODES, OutcomeCode};
    use crate::{Message, deframe_whole};

    fn record(exceptions: &[Exception]) -> ResultRecord<'_> {
        let counts = [0; OUTCOME_CODES];
        ResultRecord { sequence: 1, status: RecordStatus::Decided, dead_lettered: 0, counts, exceptions }
    }

    fn exception(index: u16, code: OutcomeCode) -> Exception {
        Exception { index, code, detail: 0 }
    }

    #[test]
    fn a_full_ack_takes_no_more_and_stays_whole() {
        let buffer = &mut [0; HEADER_BYTES + 18 + RECORD_HEAD_BYTES * 2 + RECORD_HEAD_BYTES - 1];
        let mut encoder = AckEncoder::new(buffer, 1, 0).unwrap();
        encoder.push(&record(&[])).unwrap();
        encoder.push(&record(&[])).unwrap();
        assert_eq!(encoder.push(&record(&[])), Err(EncodeError::Full { need: 36, have: 35 }));
        assert_eq!(encoder.record_count(), 2);
        let length = encoder.finish().unwrap();
        let message = Message::decode(deframe_whole(&buffer[..length], length).unwrap()).unwrap();
        assert!(matches!(message, Message::Ack(ack) if ack.records().count() == 2));
    }

    #[test]
    fn a_record_kept_from_before_is_sent_as_it_was() {
        let exceptions = [exception(3, OutcomeCode::Invalid)];
        let mut kept = [0; 100];
        let kept_bytes = record(&exceptions).encode(&mut kept).unwrap();
        assert_eq!(kept_bytes, record(&exceptions).encoded_bytes());
        let (first, second) = (&mut [0; 200], &mut [0; 200]);
        let mut encoder = AckEncoder::new(first, 1, 0).unwrap();
        encoder.push(&record(&exceptions)).unwrap();
        let first_bytes = encoder.finish().unwrap();
        let mut encoder = AckEncoder::new(second, 1, 0).unwrap();
        assert_eq!(encoder.push_encoded(&kept[..kept_bytes - 1]), Err(EncodeError::NotPatchable));
        encoder.push_encoded(&kept[..kept_bytes]).unwrap();
        let second_bytes = encoder.finish().unwrap();
        assert_eq!(first[..first_bytes], second[..second_bytes]);
    }

    #[test]
    fn what_the_format_cannot_carry_is_not_written() {
        let refused = |field| Err(EncodeError::Field { field });
        let buffer = &mut [0; 1_000];
        let none = ResultRecord { sequence: 0, ..record(&[]) };
        assert_eq!(none.encode(buffer), refused(Field::Sequence));
        let unlisted = [exception(0, OutcomeCode::Identified)];
        assert_eq!(record(&unlisted).encode(buffer), refused(Field::ExceptionCode));
        let twice = [exception(4, OutcomeCode::Invalid), exception(4, OutcomeCode::Invalid)];
        assert_eq!(record(&twice).encode(buffer), refused(Field::ExceptionIndex));
    }
}
