//! What a journal's files hold: read in order, bounded in memory, going on behind whatever is damaged.

mod merge;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use self::merge::Merge;
use super::block::Position;
use super::entry::{JournalEntry, JournalState};
use super::rows::Content;
use super::scan::Scan;
use super::segment::{FORMAT_VERSION, FileKind, Segment, segment_name};
use super::storage::Storage;

/// What was found when the journal was opened.
#[derive(Debug)]
pub struct Recovery {
    /// The newest state. None with `next_number` 1: the journal is new. None with a higher one: every copy of it is
    /// damaged, and nothing is known of how far any store has come.
    pub state: Option<JournalState>,
    /// The lowest entry held; `next_number` when there is none.
    pub first_number: u64,
    /// The number of the next new entry, behind the tail.
    pub next_number: u64,
    /// The number of the next new identity, behind the tail's.
    pub next_identity: u64,
    /// Sound entries that nobody knows to be synced, in order. They are to be appended again before anything leans on
    /// them.
    pub tail: Vec<Arc<JournalEntry>>,
    /// Entries lost that were synced, in order.
    pub damage: Vec<DamagedRange>,
    /// Bytes cut off that were never known to be synced: nothing was claimed of them.
    pub torn: Option<TornTail>,
    /// How many segments there are.
    pub segments: usize,
    /// Bytes of their files.
    pub bytes: u64,
}

/// A range that cannot be read: where, and which entries are lost with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedRange {
    /// The segment's file. It may be missing altogether.
    pub segment: PathBuf,
    /// The first damaged byte.
    pub from_byte: u64,
    /// The first byte that is sound again.
    pub to_byte: u64,
    /// The first entry lost.
    pub first_number: u64,
    /// The first entry behind it that is not.
    pub end_number: u64,
    /// The first identity lost.
    pub first_identity: u64,
    /// The first identity behind it that is not.
    pub end_identity: u64,
}

/// The first place where entries were being written that never got whole, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The segment's file.
    pub segment: PathBuf,
    /// The first byte cut.
    pub from_byte: u64,
    /// Where it ends.
    pub to_byte: u64,
    /// The first entry that did not get whole.
    pub first_number: u64,
    /// Behind the last one. In between may be sound ones, which are in the tail.
    pub end_number: u64,
}

/// What a journal held at some time.
#[derive(Debug)]
pub struct Snapshot {
    /// What was found.
    pub recovery: Recovery,
    /// Its segments, in order.
    pub segments: Vec<SegmentSummary>,
}

/// A segment, in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentSummary {
    /// Its file.
    pub path: PathBuf,
    /// Length of the file.
    pub bytes: u64,
    /// Where its last sound block ends.
    pub used_bytes: u64,
    /// Entries in it, those that another segment has too among them.
    pub entries: u64,
}

/// Why a journal cannot be opened. Damage is no reason.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A directory or file cannot be made or read.
    #[error("the journal cannot be opened: {path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another version of beacond wrote it.
    #[error(
        "the journal cannot be opened: {path} has format version {found}, and this beacond reads version {FORMAT_VERSION}; let the beacond that wrote it store what waits, or go back to it"
    )]
    Version {
        /// The segment.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// Too small a bound.
    #[error(
        "the journal cannot be opened: max_bytes {max_bytes} is under {least}, {SEGMENTS_MIN} segments of {segment_bytes} bytes"
    )]
    TooSmall {
        /// The bound on its size.
        max_bytes: u64,
        /// The least that will do.
        least: u64,
        /// Length of a segment.
        segment_bytes: u64,
    },
}

/// The fewest segments a journal can work with: one for entries, two kept free for states, and one that is being made
/// ready.
pub(super) const SEGMENTS_MIN: u64 = 4;

/// Everything that was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) recovery: Recovery,
    pub(super) segments: Vec<Segment>,
    /// Blocks of entries in each segment.
    pub(super) entries: Vec<u64>,
    /// All before this is known to have been synced.
    pub(super) durable: Position,
    pub(super) recycled: Position,
    /// The segment that has the newest state.
    pub(super) state_home: Option<u64>,
    /// Numbers that no entry has, and that are not lost.
    pub(super) vacant: Vec<(u64, u64)>,
}

/// Where a segment was opened of which nothing is sound: no entry is looked for in it.
const NOWHERE: Position = Position { number: u64::MAX, identity: u64::MAX };

impl Found {
    pub(super) fn into_snapshot(self, storage: &dyn Storage) -> Snapshot {
        let summary = |(segment, entries): (Segment, u64)| SegmentSummary {
            path: storage.path(&segment_name(segment.id)),
            bytes: segment.file_bytes,
            used_bytes: segment.used_bytes,
            entries,
        };
        let segments = self.segments.into_iter().zip(self.entries).map(summary).collect();
        Snapshot { recovery: self.recovery, segments }
    }
}

/// How often the directory is listed again for what came while it was read.
const LISTINGS: usize = 3;

/// Reads everything. `visit` gets every durable entry once, in ascending number.
pub(super) fn read(
    storage: &dyn Storage,
    visit: &mut dyn FnMut(Arc<JournalEntry>),
) -> Result<Found, OpenError> {
    let mut merge = Merge::new(visit);
    let mut segments: Vec<Segment> = Vec::new();
    let mut entries = Vec::new();
    for _ in 0..LISTINGS {
        let Some(behind) = segments.last().map_or(Some(0), |segment| segment.id.checked_add(1)) else {
            break;
        };
        let names = list(storage, behind)?;
        if names.is_empty() {
            break;
        }
        let mut openings = Vec::new();
        for (id, bytes) in names {
            openings.extend(opening(storage, id, bytes)?);
        }
        let mut void_limit = u64::MAX;
        for opening in openings.iter_mut().rev() {
            opening.segment.void_limit = void_limit;
            void_limit = void_limit.min(opening.void_from);
        }
        for opening in openings {
            if let Some((segment, count)) = segment(storage, opening.segment, &mut merge)? {
                segments.push(segment);
                entries.push(count);
            }
        }
    }
    let missing = |id| storage.path(&segment_name(id));
    Ok(merge.finish(segments, entries, &missing))
}

fn io_error(storage: &dyn Storage, name: &str) -> impl FnOnce(io::Error) -> OpenError {
    let path = storage.path(name);
    move |source| OpenError::Io { path, source }
}

/// The segments from this one on, in order, with their lengths.
fn list(storage: &dyn Storage, from: u64) -> Result<Vec<(u64, u64)>, OpenError> {
    let files = storage.list().map_err(io_error(storage, ""))?;
    let mut segments: Vec<_> = files
        .into_iter()
        .filter_map(|(name, bytes)| match FileKind::of(&name) {
            Some(FileKind::Segment(id)) if id >= from => Some((id, bytes)),
            _ => None,
        })
        .collect();
    segments.sort_unstable();
    Ok(segments)
}

/// A segment of which the first sound block was read.
struct Opening {
    segment: Segment,
    /// Earlier segments' entries from here on do not count.
    void_from: u64,
}

/// Opens a segment for reading; nothing if it has been recycled since it was listed.
fn scan(storage: &dyn Storage, id: u64, bytes: u64) -> Result<Option<Scan>, OpenError> {
    let name = segment_name(id);
    let file = match storage.open(&name) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(io_error(storage, &name)(source)),
    };
    let (scan, version) = Scan::begin(file, id, bytes);
    if version != FORMAT_VERSION {
        return Err(OpenError::Version { path: storage.path(&name), found: version });
    }
    Ok(Some(scan))
}

fn opening(storage: &dyn Storage, id: u64, file_bytes: u64) -> Result<Option<Opening>, OpenError> {
    let Some(mut scan) = scan(storage, id, file_bytes)? else {
        return Ok(None);
    };
    let first = scan.next().map(|found| found.header);
    let segment = Segment {
        id,
        file_bytes,
        used_bytes: 0,
        void_limit: u64::MAX,
        opened_at: first.map_or(NOWHERE, |header| header.durable),
        end: None,
        clean_end: first.is_some(),
        reusable: true,
        marks: Vec::new(),
    };
    Ok(Some(Opening { segment, void_from: first.map_or(u64::MAX, |header| header.void_from) }))
}

fn segment(
    storage: &dyn Storage,
    mut segment: Segment,
    merge: &mut Merge<'_>,
) -> Result<Option<(Segment, u64)>, OpenError> {
    let Some(mut scan) = scan(storage, segment.id, segment.file_bytes)? else {
        return Ok(None);
    };
    let path = storage.path(&segment_name(segment.id));
    let mut entries = 0;
    while let Some(found) = scan.next() {
        segment.used_bytes = found.end;
        merge.header(&found.header);
        if let Some(hole) = found.hole {
            merge.hole(&path, hole);
        }
        match found.content {
            Content::State(Some(state)) => merge.state(segment.id, state),
            Content::State(None) => {}
            Content::Entry(entry) => {
                entries += 1;
                if found.header.number < segment.void_limit {
                    segment.mark(found.header.number, found.at);
                    segment.end = segment.end.max(Some(found.header.end()));
                    merge.entry(&found.header, entry);
                }
            }
        }
    }
    if let Some(source) = scan.take_failure() {
        return Err(OpenError::Io { path, source });
    }
    if let Some(hole) = scan.trailing() {
        segment.clean_end = false;
        merge.trailing(&path, hole);
    }
    Ok(Some((segment, entries)))
}
