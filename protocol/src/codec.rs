//! Cursors over slices that cannot read or write past an end.

use crate::error::{DecodeError, EncodeError, Field};

/// Reads fields from the front of a slice, knowing where in the frame it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    end_offset: usize,
}

impl<'a> Reader<'a> {
    /// A reader of `bytes`, which begin `offset` bytes into the frame.
    pub(crate) const fn at(offset: usize, bytes: &'a [u8]) -> Self {
        Self { rest: bytes, end_offset: offset.saturating_add(bytes.len()) }
    }

    /// Where in the frame the next field begins.
    pub(crate) const fn offset(&self) -> usize {
        self.end_offset.saturating_sub(self.rest.len())
    }

    /// What has not been read.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.rest.split_first_chunk::<N>() {
            Some((array, rest)) => {
                self.rest = rest;
                Ok(*array)
            }
            None => Err(self.end(N)),
        }
    }

    #[inline]
    pub(crate) fn bytes(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        match self.rest.split_at_checked(length) {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(bytes)
            }
            None => Err(self.end(length)),
        }
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    #[inline]
    pub(crate) fn i64(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_be_bytes)
    }

    /// Bytes behind a length of one byte.
    #[inline]
    pub(crate) fn short_bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.u8()?;
        self.bytes(usize::from(length))
    }

    /// Ends the frame: bytes left over are an error.
    pub(crate) const fn finish(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            extra => Err(DecodeError::TrailingData { offset: self.offset(), extra }),
        }
    }

    const fn end(&self, need: usize) -> DecodeError {
        DecodeError::UnexpectedEnd { offset: self.offset(), need, have: self.rest.len() }
    }
}

/// Writes fields to the front of a slice.
#[derive(Debug)]
pub(crate) struct Writer<'b> {
    buffer: &'b mut [u8],
    position: usize,
}

impl<'b> Writer<'b> {
    pub(crate) const fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, position: 0 }
    }

    /// Bytes written so far.
    pub(crate) const fn position(&self) -> usize {
        self.position
    }

    /// Bytes that can still be written.
    pub(crate) const fn room(&self) -> usize {
        self.buffer.len().saturating_sub(self.position)
    }

    /// The whole buffer, what was written in front.
    pub(crate) fn into_buffer(self) -> &'b mut [u8] {
        self.buffer
    }

    #[inline]
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        let end = self.position.saturating_add(bytes.len());
        let have = self.room();
        let Some(target) = self.buffer.get_mut(self.position..end) else {
            return Err(EncodeError::Full { need: bytes.len(), have });
        };
        target.copy_from_slice(bytes);
        self.position = end;
        Ok(())
    }

    #[inline]
    pub(crate) fn u8(&mut self, value: u8) -> Result<(), EncodeError> {
        self.bytes(&[value])
    }

    #[inline]
    pub(crate) fn u16(&mut self, value: u16) -> Result<(), EncodeError> {
        self.bytes(&value.to_be_bytes())
    }

    #[inline]
    pub(crate) fn u32(&mut self, value: u32) -> Result<(), EncodeError> {
        self.bytes(&value.to_be_bytes())
    }

    #[inline]
    pub(crate) fn u64(&mut self, value: u64) -> Result<(), EncodeError> {
        self.bytes(&value.to_be_bytes())
    }

    #[inline]
    pub(crate) fn i64(&mut self, value: i64) -> Result<(), EncodeError> {
        self.bytes(&value.to_be_bytes())
    }

    /// Overwrites bytes already written.
    pub(crate) fn patch(&mut self, offset: usize, bytes: &[u8]) {
        let written = self.buffer.get_mut(..self.position).unwrap_or_default();
        if let Some(target) = written.get_mut(offset..).and_then(|rest| rest.get_mut(..bytes.len())) {
            target.copy_from_slice(bytes);
        }
    }

    /// Bytes behind a length of one byte; `field` is named when they are too many.
    #[inline]
    pub(crate) fn short_bytes(&mut self, bytes: &[u8], field: Field) -> Result<(), EncodeError> {
        let length = u8::try_from(bytes.len()).map_err(|_| EncodeError::Field { field })?;
        self.u8(length)?;
        self.bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_to_the_last_byte_and_no_further() {
        let mut reader = Reader::at(12, &[1, 0, 2, 3]);
        assert_eq!(reader.u8(), Ok(1));
        assert_eq!(reader.u16(), Ok(2));
        assert_eq!(reader.u32(), Err(DecodeError::UnexpectedEnd { offset: 15, need: 4, have: 1 }));
        assert_eq!(reader.finish(), Err(DecodeError::TrailingData { offset: 15, extra: 1 }));
        assert_eq!(reader.u8(), Ok(3));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn a_write_that_does_not_fit_changes_nothing() {
        let mut buffer = [0_u8; 3];
        let mut writer = Writer::new(&mut buffer);
        writer.u16(0x0102).unwrap();
        assert_eq!(writer.u16(0xFFFF), Err(EncodeError::Full { need: 2, have: 1 }));
        assert_eq!(writer.position(), 2);
        assert_eq!(buffer, [1, 2, 0]);
    }
}
