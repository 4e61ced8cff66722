//! A block's header: which entry or state it is, and what was known to be durable when it was written.

use super::fields::Fields;

/// Length of a block's header.
pub(super) const HEADER_BYTES: usize = 104;

/// Blocks begin at multiples of this.
pub(super) const ALIGNMENT: usize = 8;

/// How a block begins; its kind follows.
pub(super) const MAGIC: [u8; 3] = *b"bcJ";

/// The header up to its own checksum.
const GUARDED_BYTES: usize = HEADER_BYTES - 4;

/// The header up to the number: what the rows' checksums start from.
const SEED_BYTES: usize = 24;

/// A place between two entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    /// The number of the entry behind it.
    pub(super) number: u64,
    /// Identities accepted before it.
    pub(super) identity: u64,
}

impl Position {
    /// Before the first entry.
    pub(super) const START: Self = Self { number: 1, identity: 0 };
}

/// What a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlockKind {
    /// An entry.
    Entry,
    /// A state, or, without rows, no more than its header.
    State,
}

/// A block's header, its checksum left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockHeader {
    pub(super) kind: BlockKind,
    /// Random, of the segment: no text of a customer's can pass for a block.
    pub(super) salt: u32,
    /// The segment it was written into: what an earlier life of the file left is not taken for a part of this one.
    pub(super) segment: u64,
    /// The entry's number. A state's: that of the first entry not known to be durable.
    pub(super) number: u64,
    /// Identities accepted before its own.
    pub(super) first_identity: u64,
    /// There is no entry of a number from this up to its own.
    pub(super) joins: u64,
    /// Every entry before this was durable when it was written.
    pub(super) durable: Position,
    /// Earlier segments' entries from this number on do not count: their sync failed.
    pub(super) void_from: u64,
    /// Entries before this may have been recycled.
    pub(super) recycled: Position,
    /// When the entry was decided, in microseconds since the Unix epoch; 0 of a state.
    pub(super) accepted_at: i64,
    /// Identities accepted with it.
    pub(super) accepted: u32,
    pub(super) rows: u32,
    /// Bytes of the rows; zeros fill up to the next block.
    pub(super) body_bytes: u32,
}

impl BlockHeader {
    /// Where the block of an entry ends in the numbering.
    pub(super) fn end(&self) -> Position {
        Position {
            number: self.number.saturating_add(1),
            identity: self.first_identity.saturating_add(self.accepted.into()),
        }
    }

    /// Bytes of the whole block, up to where the next may begin.
    pub(super) fn block_bytes(&self) -> u64 {
        padded(HEADER_BYTES as u64 + u64::from(self.body_bytes))
    }

    /// What the checksums of its rows start from.
    pub(super) fn seed(&self) -> u32 {
        crc32c::crc32c(&self.fields()[..SEED_BYTES])
    }

    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = self.fields();
        let checksum = crc32c::crc32c(&bytes[..GUARDED_BYTES]);
        bytes[GUARDED_BYTES..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// All but the checksum.
    fn fields(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut at = 0;
        let mut put = |field: &[u8]| {
            bytes[at..at + field.len()].copy_from_slice(field);
            at += field.len();
        };
        put(&MAGIC);
        put(&[match self.kind {
            BlockKind::Entry => 1,
            BlockKind::State => 2,
        }]);
        put(&self.salt.to_le_bytes());
        for field in [
            self.segment,
            self.number,
            self.first_identity,
            self.joins,
            self.durable.number,
            self.durable.identity,
            self.void_from,
            self.recycled.number,
            self.recycled.identity,
        ] {
            put(&field.to_le_bytes());
        }
        put(&self.accepted_at.to_le_bytes());
        for field in [self.accepted, self.rows, self.body_bytes] {
            put(&field.to_le_bytes());
        }
        bytes
    }

    /// The header these bytes are, if they are one of this segment and, where it is known, this salt.
    pub(super) fn decode(bytes: &[u8], segment: u64, salt: Option<u32>) -> Option<Self> {
        let (guarded, checksum) = bytes.get(..HEADER_BYTES)?.split_last_chunk::<4>()?;
        let mut fields = Fields::new(guarded.strip_prefix(&MAGIC)?);
        let kind = match fields.u8()? {
            1 => BlockKind::Entry,
            2 => BlockKind::State,
            _ => return None,
        };
        let own_salt = fields.u32()?;
        if fields.u64()? != segment || salt.is_some_and(|salt| salt != own_salt) {
            return None;
        }
        if crc32c::crc32c(guarded) != u32::from_le_bytes(*checksum) {
            return None;
        }
        Some(Self {
            kind,
            salt: own_salt,
            segment,
            number: fields.u64()?,
            first_identity: fields.u64()?,
            joins: fields.u64()?,
            durable: Position { number: fields.u64()?, identity: fields.u64()? },
            void_from: fields.u64()?,
            recycled: Position { number: fields.u64()?, identity: fields.u64()? },
            accepted_at: fields.i64()?,
            accepted: fields.u32()?,
            rows: fields.u32()?,
            body_bytes: fields.u32()?,
        })
    }
}

/// This many bytes and those that fill up to where a block may begin.
pub(super) const fn padded(bytes: u64) -> u64 {
    bytes.next_multiple_of(ALIGNMENT as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> BlockHeader {
        BlockHeader {
            kind: BlockKind::Entry,
            salt: 7,
            segment: 3,
            number: 40,
            first_identity: 900,
            joins: 39,
            durable: Position { number: 30, identity: 800 },
            void_from: 31,
            recycled: Position { number: 10, identity: 100 },
            accepted_at: -5,
            accepted: 64,
            rows: 66,
            body_bytes: 4_001,
        }
    }

    #[test]
    fn a_header_reads_back_as_it_was_written() {
        let bytes = header().encode();
        assert_eq!(BlockHeader::decode(&bytes, 3, Some(7)), Some(header()));
        assert_eq!(BlockHeader::decode(&bytes, 3, None), Some(header()));
        assert_eq!(header().block_bytes(), 4_112);
    }

    #[test]
    fn another_segments_header_or_salt_is_none() {
        let bytes = header().encode();
        assert_eq!(BlockHeader::decode(&bytes, 2, None), None);
        assert_eq!(BlockHeader::decode(&bytes, 3, Some(8)), None);
        assert_eq!(BlockHeader::decode(&bytes[..HEADER_BYTES - 1], 3, None), None);
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let bytes = header().encode();
        for bit in 0..HEADER_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(BlockHeader::decode(&flipped, 3, Some(7)), None, "bit {bit}");
        }
    }
}
