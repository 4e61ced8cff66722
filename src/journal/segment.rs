//! A segment: a file of fixed length with a prologue and blocks, and what is remembered of it.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use super::block::{ALIGNMENT, Position};
use super::fields::Fields;

/// The version of the format that is written, and the only one that is read.
pub(super) const FORMAT_VERSION: u32 = 1;

/// Length of a segment's prologue; the first block is behind it.
pub(super) const PROLOGUE_BYTES: usize = 32;

/// How a segment begins, whatever its version.
const MAGIC: [u8; 8] = *b"beacondJ";

const SEGMENT_SUFFIX: &str = ".segment";
const SPARE_SUFFIX: &str = ".spare";
const UNFINISHED_SUFFIX: &str = ".unfinished";

/// Between two remembered places of a segment there are at least this many bytes.
const MARK_EVERY_BYTES: u64 = 256 * 1024;

const _: () = assert!(PROLOGUE_BYTES.is_multiple_of(ALIGNMENT));

/// How a segment begins. The first 16 bytes and the checksum are the same in every version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prologue {
    pub(super) version: u32,
    pub(super) salt: u32,
    pub(super) segment: u64,
}

impl Prologue {
    pub(super) fn new(segment: u64) -> Self {
        // The standard library's hash keys are random; nothing else here is.
        let [salt, ..]: [u32; 2] = halves(RandomState::new().hash_one(segment));
        Self { version: FORMAT_VERSION, salt, segment }
    }

    pub(super) fn encode(&self) -> [u8; PROLOGUE_BYTES] {
        let mut bytes = [0; PROLOGUE_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&self.version.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.salt.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.segment.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..PROLOGUE_BYTES - 4]);
        bytes[PROLOGUE_BYTES - 4..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The prologue these bytes are, of whatever version, if it is sound.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (guarded, checksum) = bytes.get(..PROLOGUE_BYTES)?.split_last_chunk::<4>()?;
        if crc32c::crc32c(guarded) != u32::from_le_bytes(*checksum) {
            return None;
        }
        let mut fields = Fields::new(guarded.strip_prefix(&MAGIC)?);
        Some(Self { version: fields.u32()?, salt: fields.u32()?, segment: fields.u64()? })
    }
}

fn halves(value: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
    [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
}

/// What a file of the journal's directory is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileKind {
    Segment(u64),
    /// Ready to become a segment; what is in it means nothing.
    Spare,
    /// One that was being made ready.
    Unfinished,
}

impl FileKind {
    pub(super) fn of(name: &str) -> Option<Self> {
        if let Some(digits) = name.strip_suffix(SEGMENT_SUFFIX) {
            let lower = digits.bytes().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit));
            return (digits.len() == 16 && lower)
                .then(|| u64::from_str_radix(digits, 16).ok().map(Self::Segment))
                .flatten();
        }
        if name.ends_with(SPARE_SUFFIX) {
            return Some(Self::Spare);
        }
        name.ends_with(UNFINISHED_SUFFIX).then_some(Self::Unfinished)
    }
}

/// The name of this segment's file: 16 hexadecimal digits.
pub(super) fn segment_name(id: u64) -> String {
    format!("{id:016x}{SEGMENT_SUFFIX}")
}

/// The name of a file that is ready, and was this segment or is new.
pub(super) fn spare_name(from: Option<u64>) -> String {
    from.map_or_else(|| format!("new{SPARE_SUFFIX}"), |id| format!("{id:016x}{SPARE_SUFFIX}"))
}

/// The name of a new file that is not ready yet.
pub(super) fn unfinished_name() -> String {
    format!("new{UNFINISHED_SUFFIX}")
}

/// What is remembered of a segment.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) id: u64,
    /// Length of its file.
    pub(super) file_bytes: u64,
    /// Up to here there are blocks that count.
    pub(super) used_bytes: u64,
    /// Earlier segments' entries from here on do not count.
    pub(super) void_from: u64,
    /// What was durable when it was opened: its entries are behind this.
    pub(super) opened_at: Position,
    /// Where its last entry ends, if it has one.
    pub(super) end: Option<Position>,
    /// No block was begun behind those that count.
    pub(super) clean_end: bool,
    /// It may be written over: no sync of it has failed, and it is as long as it should be.
    pub(super) reusable: bool,
    /// Entries and where their blocks begin, now and then one.
    pub(super) marks: Vec<Mark>,
}

/// A place to begin reading from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) number: u64,
    pub(super) at: u64,
}

impl Segment {
    /// Remembers that this entry's block begins here, if the last place remembered is far enough.
    pub(super) fn mark(&mut self, number: u64, at: u64) {
        if self.marks.last().is_none_or(|last| at - last.at >= MARK_EVERY_BYTES) {
            self.marks.push(Mark { number, at });
        }
    }

    /// The last place remembered from which this entry is ahead.
    pub(super) fn mark_before(&self, number: u64) -> Option<Mark> {
        let behind = self.marks.partition_point(|mark| mark.number < number);
        behind.checked_sub(1).and_then(|last| self.marks.get(last)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prologue_reads_back_and_any_flipped_bit_is_noticed() {
        let prologue = Prologue::new(9);
        let bytes = prologue.encode();
        assert_eq!(Prologue::decode(&bytes), Some(prologue));
        for bit in 0..PROLOGUE_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Prologue::decode(&flipped), None, "bit {bit}");
        }
    }

    #[test]
    fn files_are_told_by_their_names() {
        assert_eq!(FileKind::of(&segment_name(255)), Some(FileKind::Segment(255)));
        assert_eq!(segment_name(255), "00000000000000ff.segment");
        assert_eq!(FileKind::of(&spare_name(Some(1))), Some(FileKind::Spare));
        assert_eq!(FileKind::of(&spare_name(None)), Some(FileKind::Spare));
        assert_eq!(FileKind::of(&unfinished_name()), Some(FileKind::Unfinished));
        for other in ["ff.segment", "+0000000000000ff.segment", "00000000000000FF.segment", "notes.txt"] {
            assert_eq!(FileKind::of(other), None, "{other}");
        }
    }
}
