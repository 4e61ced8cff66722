//! Reading a segment's blocks in order, and going on behind what is damaged.

use std::io;

use super::block::{ALIGNMENT, BlockHeader, HEADER_BYTES, MAGIC, Position};
use super::rows::{self, Content};
use super::segment::{FORMAT_VERSION, PROLOGUE_BYTES, Prologue};
use super::storage::StorageFile;

/// How much is read at once.
const PIECE_BYTES: usize = 1 << 20;

/// Where the disk cannot read a piece, it may still read all but one of these.
const SECTOR_BYTES: u64 = 4096;

const FIRST_BLOCK_AT: u64 = PROLOGUE_BYTES as u64;

/// A sound block.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) header: BlockHeader,
    pub(super) content: Content,
    pub(super) at: u64,
    pub(super) end: u64,
    /// What is not sound right before it.
    pub(super) hole: Option<Hole>,
}

/// Bytes where no sound block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) from: u64,
    pub(super) to: u64,
    /// The entries that sound headers in it speak of: first number and identity, and where they end.
    pub(super) claimed: Option<(Position, Position)>,
}

/// A reading of one segment.
#[derive(Debug)]
pub(super) struct Scan {
    file: Box<dyn StorageFile>,
    segment: u64,
    salt: Option<u32>,
    /// The next undecided byte.
    at: u64,
    /// Nothing is read from here on.
    limit: u64,
    /// Bytes of the file from `window_at` on.
    window: Vec<u8>,
    window_at: u64,
    /// The last block said no more than its header: another may have been written over it.
    overwritable: Option<u64>,
    /// A hole before this place was read twice.
    confirmed: Option<u64>,
    trailing: Option<Hole>,
    /// The disk gave nothing at all: what is there is not known.
    failure: Option<io::Error>,
}

impl Scan {
    /// Begins at the first block. The version is of a sound prologue; any other is taken for this one's.
    pub(super) fn begin(file: Box<dyn StorageFile>, segment: u64, limit: u64) -> (Self, u32) {
        let mut scan = Self::within(file, segment, FIRST_BLOCK_AT, limit);
        let prologue = scan.window(0, PROLOGUE_BYTES).and_then(Prologue::decode);
        // A spare that was never written to, or not synced, still says what it once was.
        scan.salt = prologue.filter(|prologue| prologue.segment == segment).map(|prologue| prologue.salt);
        (scan, prologue.map_or(FORMAT_VERSION, |prologue| prologue.version))
    }

    /// Begins at a place known to be a block's, in a segment whose salt is not asked.
    pub(super) fn within(file: Box<dyn StorageFile>, segment: u64, at: u64, limit: u64) -> Self {
        Self {
            file,
            segment,
            salt: None,
            at,
            limit,
            window: Vec::new(),
            window_at: 0,
            overwritable: None,
            confirmed: None,
            trailing: None,
            failure: None,
        }
    }

    /// Why reading ended, if it was the disk that gave nothing at all.
    pub(super) const fn take_failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    /// Goes on up to this place, which was beyond the end before.
    pub(super) fn extend(&mut self, limit: u64) {
        if limit > self.limit {
            self.limit = limit;
            self.trailing = None;
            self.window.clear();
        }
    }

    /// What is not sound behind the last sound block, when there is none left and sound headers speak of it.
    pub(super) const fn trailing(&self) -> Option<Hole> {
        self.trailing
    }

    /// The next sound block.
    pub(super) fn next(&mut self) -> Option<Found> {
        let mut from = self.at;
        let mut probe = from;
        let mut claimed = None;
        while let Some((at, header)) = self.header_from(probe) {
            let end = at.saturating_add(header.block_bytes());
            let content = usize::try_from(header.body_bytes).ok().and_then(|length| {
                let body = self.window(at + HEADER_BYTES as u64, length)?;
                rows::decode(&header, body)
            });
            let Some(content) = content else {
                claimed = Some(with_claim(claimed, &header));
                probe = end;
                continue;
            };
            if at > from && self.confirmed != Some(at) {
                // Somebody may be writing while this is read; then what was before a block is sound by now.
                self.confirmed = Some(at);
                self.window.clear();
                from = self.overwritable.unwrap_or(from);
                (probe, claimed) = (from, None);
                continue;
            }
            self.salt = Some(header.salt);
            self.at = end;
            self.overwritable = (header.rows == 0).then_some(at);
            let hole = (at > from).then_some(Hole { from, to: at, claimed });
            return Some(Found { header, content, at, end, hole });
        }
        self.trailing = claimed.map(|claimed| Hole { from, to: self.limit, claimed: Some(claimed) });
        None
    }

    /// The first sound header at this place or behind it.
    fn header_from(&mut self, mut at: u64) -> Option<(u64, BlockHeader)> {
        loop {
            self.window(at, HEADER_BYTES)?;
            let (segment, salt) = (self.segment, self.salt);
            let start = usize::try_from(at - self.window_at).ok()?;
            let window = self.window.get(start..)?;
            let mut skipped = 0;
            for (place, word) in window.chunks_exact(ALIGNMENT).enumerate() {
                skipped = place * ALIGNMENT;
                if !word.starts_with(&MAGIC) {
                    continue;
                }
                let candidate = window.get(skipped..).unwrap_or_default();
                if candidate.len() < HEADER_BYTES {
                    break;
                }
                if let Some(header) = BlockHeader::decode(candidate, segment, salt) {
                    return Some((at + skipped as u64, header));
                }
            }
            let searched = window.len() - window.len() % ALIGNMENT;
            let cut_short = window.get(skipped..).is_some_and(|rest| rest.starts_with(&MAGIC))
                && window.len() - skipped < HEADER_BYTES;
            at += if cut_short { skipped as u64 } else { searched as u64 };
            if cut_short {
                // All there is has been read: what begins here does not end.
                self.reach(at, HEADER_BYTES)?;
            }
        }
    }

    /// These bytes, if the segment has them.
    fn window(&mut self, at: u64, length: usize) -> Option<&[u8]> {
        self.reach(at, length)?;
        let start = usize::try_from(at - self.window_at).ok()?;
        self.window.get(start..start + length)
    }

    /// Sees to it that these bytes are in the window.
    fn reach(&mut self, at: u64, length: usize) -> Option<()> {
        let end = at.checked_add(length as u64)?;
        if end > self.limit {
            return None;
        }
        if at >= self.window_at && end <= self.window_at + self.window.len() as u64 {
            return Some(());
        }
        let wanted = usize::try_from((self.limit - at).min(length.max(PIECE_BYTES) as u64)).ok()?;
        self.window.resize(wanted, 0);
        self.window_at = at;
        let read = match read(&*self.file, &mut self.window, at) {
            Ok(read) => read,
            Err(error) => {
                self.failure = Some(error);
                0
            }
        };
        self.window.truncate(read);
        (read >= length).then_some(())
    }
}

/// Reads what there is. Sectors that the disk cannot read become zeros: they are holes like any other. A disk that gives no
/// sector at all has not lost them, it is gone.
fn read(file: &dyn StorageFile, into: &mut [u8], at: u64) -> io::Result<usize> {
    let (mut done, mut given) = (0, 0);
    let mut by_sectors = false;
    let mut failure = None;
    while done < into.len() {
        let place = at + done as u64;
        let left_of_sector = SECTOR_BYTES - place % SECTOR_BYTES;
        let sector_end = done + usize::try_from(left_of_sector).unwrap_or(1);
        let end = if by_sectors { into.len().min(sector_end) } else { into.len() };
        match file.read_at(&mut into[done..end], at + done as u64) {
            Ok(0) => break,
            Ok(bytes) => {
                done += bytes;
                given += bytes;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) if !by_sectors => by_sectors = true,
            Err(error) => {
                failure = Some(error);
                into[done..end].fill(0);
                done = end;
            }
        }
    }
    match failure {
        Some(error) if given == 0 => Err(error),
        _ => Ok(done),
    }
}

fn with_claim(claimed: Option<(Position, Position)>, header: &BlockHeader) -> (Position, Position) {
    let start = Position { number: header.number, identity: header.first_identity };
    let end = match header.kind {
        super::block::BlockKind::Entry => header.end(),
        super::block::BlockKind::State => start,
    };
    claimed.map_or((start, end), |(first, last)| (first.min(start), last.max(end)))
}
