//! Reading entries back, at whatever pace a store takes them.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::block::Position;
use super::entry::JournalEntry;
use super::recovery::DamagedRange;
use super::rows::Content;
use super::scan::{Found, Hole, Scan};
use super::segment::{PROLOGUE_BYTES, segment_name};
use super::shared::{JournalUsage, Shared, State};

/// What was read, and what was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOn {
    /// Where to read on.
    pub next: u64,
    /// What was skipped because it is damaged.
    pub lost: Vec<DamagedRange>,
}

/// The journal cannot be read now.
#[derive(Debug, thiserror::Error)]
#[error("the journal cannot be read: {path}: {source}")]
pub struct ReadError {
    /// The segment.
    path: PathBuf,
    /// Why.
    source: io::Error,
}

/// A place in the journal. A clone has its own.
#[derive(Debug)]
pub struct JournalReader {
    shared: Arc<Shared>,
    place: Option<Place>,
}

#[derive(Debug)]
struct Place {
    segment: u64,
    scan: Scan,
    /// Where the last entry that was passed ends.
    last: Position,
    /// Read already, and not handed out for lack of room.
    kept: Option<Found>,
    /// Damaged bytes since the last entry.
    hole: Option<Hole>,
}

/// What is to be known of a segment in order to read it.
#[derive(Debug, Clone, Copy)]
struct View {
    id: u64,
    used_bytes: u64,
    opened_at: Position,
    /// Its entries from here on were not known to be durable when a later segment was opened. If they count, they are
    /// there too.
    limit: u64,
    is_last: bool,
    durable: Position,
}

/// How a look into one segment ended.
enum Step {
    /// Rows or bytes are enough.
    Enough,
    /// There is nothing more in it.
    End,
}

impl Clone for JournalReader {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.shared))
    }
}

impl JournalReader {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared, place: None }
    }

    /// What the journal takes and has done.
    #[must_use]
    pub fn usage(&self) -> JournalUsage {
        self.shared.usage()
    }

    /// Reads durable entries numbered `from` and up, in order, into `into`: until they have that many rows or take that
    /// much memory, but at least one if there is one.
    ///
    /// # Errors
    /// When a segment cannot be opened. Damage is no error: it is skipped and named.
    pub fn read(
        &mut self,
        from: u64,
        rows: usize,
        bytes: usize,
        into: &mut Vec<Arc<JournalEntry>>,
    ) -> Result<ReadOn, ReadError> {
        let mut limits = Limits { rows, bytes, taken: false };
        let mut read = ReadOn { next: from, lost: Vec::new() };
        if self.place.as_ref().is_some_and(|place| place.last.number != from) {
            self.place = None;
        }
        // A segment that is recycled while it is read is behind `from`, or `from` was not to be kept.
        while let Some(view) = self.place_for(read.next)? {
            let step = self.step(view, &mut limits, &mut read, into);
            if let Some(source) = self.place.as_mut().and_then(|place| place.scan.take_failure()) {
                self.place = None;
                return Err(ReadError { path: self.shared.storage.path(&segment_name(view.id)), source });
            }
            match step {
                Step::Enough => break,
                Step::End if self.shared.state().segments.iter().all(|segment| segment.id != view.id) => {
                    self.place = None;
                }
                Step::End if view.is_last => {
                    self.end(view, &mut read);
                    break;
                }
                Step::End => self.next_segment(view)?,
            }
        }
        Ok(read)
    }

    /// Sees to it that there is a place at or before this entry, and looks at its segment.
    fn place_for(&mut self, from: u64) -> Result<Option<View>, ReadError> {
        if let Some(place) = &mut self.place
            && let Some(view) = view(&self.shared.state(), place.segment)
        {
            place.scan.extend(view.used_bytes);
            return Ok(Some(view));
        }
        self.place = None;
        let found = {
            let state = self.shared.state();
            // The last segment that was opened when all before `from` was durable, or the first.
            let opened_before = state.segments.iter().rfind(|segment| segment.opened_at.number <= from);
            let segment = opened_before.or_else(|| state.segments.front());
            segment.and_then(|segment| Some((view(&state, segment.id)?, segment.mark_before(from))))
        };
        let Some((view, mark)) = found else {
            return Ok(None);
        };
        let at = mark.map_or(PROLOGUE_BYTES as u64, |mark| mark.at);
        self.open(view, at, Position { number: view.opened_at.number.min(from), ..view.opened_at })?;
        Ok(Some(view))
    }

    fn next_segment(&mut self, behind: View) -> Result<(), ReadError> {
        let last = self.place.as_ref().map_or(behind.opened_at, |place| place.last);
        let hole = self.place.as_ref().and_then(|place| place.hole);
        let next = {
            let state = self.shared.state();
            let next = state.segments.iter().find(|segment| segment.id > behind.id).map(|segment| segment.id);
            next.and_then(|id| view(&state, id))
        };
        self.place = None;
        if let Some(view) = next {
            self.open(view, PROLOGUE_BYTES as u64, last)?;
            if let Some(place) = &mut self.place {
                place.hole = hole;
            }
        }
        Ok(())
    }

    fn open(&mut self, view: View, at: u64, last: Position) -> Result<(), ReadError> {
        let name = segment_name(view.id);
        match self.shared.storage.open(&name) {
            Ok(file) => {
                let scan = Scan::within(file, view.id, at, view.used_bytes);
                self.place = Some(Place { segment: view.id, scan, last, kept: None, hole: None });
                Ok(())
            }
            // Recycled just now: the next look goes elsewhere.
            Err(_) if super::read::view(&self.shared.state(), view.id).is_none() => Ok(()),
            Err(source) => Err(ReadError { path: self.shared.storage.path(&name), source }),
        }
    }

    /// Hands out what one segment has.
    fn step(
        &mut self,
        view: View,
        limits: &mut Limits,
        read: &mut ReadOn,
        into: &mut Vec<Arc<JournalEntry>>,
    ) -> Step {
        let Some(place) = &mut self.place else {
            return Step::End;
        };
        while let Some(found) = place.kept.take().or_else(|| place.scan.next()) {
            if let Some(hole) = found.hole {
                place.hole = Some(place.hole.map_or(hole, |first| Hole { to: hole.to, ..first }));
            }
            let header = found.header;
            let Content::Entry(entry) = found.content else {
                continue;
            };
            if header.number >= view.limit {
                return Step::End;
            }
            if header.number < place.last.number {
                continue;
            }
            if header.number >= view.durable.number {
                // Not yet: it will be, or a later segment has it.
                place.kept = Some(Found { content: Content::Entry(entry), hole: None, ..found });
                return Step::Enough;
            }
            if header.number < read.next {
                place.last = header.end();
                place.hole = None;
                continue;
            }
            if limits.taken && !limits.leave_room_for(&entry) {
                place.kept = Some(Found { content: Content::Entry(entry), hole: None, ..found });
                return Step::Enough;
            }
            let first = Position { number: read.next.max(place.last.number), identity: place.last.identity };
            limits.take(&entry);
            let end = Position { number: header.joins, identity: header.first_identity };
            let hole = place.hole.take();
            self.shared.lost(view.id, hole, first, end, read);
            place.last = header.end();
            read.next = place.last.number;
            into.push(Arc::new(entry));
        }
        Step::End
    }

    /// All there is was read; what is durable and was not there is lost.
    fn end(&mut self, view: View, read: &mut ReadOn) {
        let Some(place) = &mut self.place else {
            return;
        };
        let first = Position { number: read.next.max(place.last.number), identity: place.last.identity };
        if first.number < view.durable.number {
            self.shared.lost(view.id, place.hole.take(), first, view.durable, read);
            place.last = view.durable;
            read.next = view.durable.number;
        }
    }
}

impl Shared {
    /// Names what is missing of these entries, but for those that never were or are recycled.
    fn lost(&self, segment: u64, hole: Option<Hole>, first: Position, end: Position, read: &mut ReadOn) {
        let state = self.state();
        let mut first = first.max(Position { identity: first.identity, ..state.recycled });
        let mut name = |first: Position, end: Position| {
            if first.number >= end.number {
                return;
            }
            let known = state
                .damage
                .iter()
                .find(|range| (range.first_number..range.end_number).contains(&first.number));
            let (from_byte, to_byte) = hole.map_or((0, 0), |hole| (hole.from, hole.to));
            let place = known.map_or_else(
                || (self.storage.path(&segment_name(segment)), from_byte, to_byte),
                |known| (known.segment.clone(), known.from_byte, known.to_byte),
            );
            read.lost.push(DamagedRange {
                segment: place.0,
                from_byte: place.1,
                to_byte: place.2,
                first_number: first.number,
                end_number: end.number,
                first_identity: first.identity.min(end.identity),
                end_identity: end.identity,
            });
        };
        for &(from, to) in &state.vacant {
            if from < end.number && to > first.number {
                name(first, Position { number: from, identity: end.identity });
                first = Position {
                    number: to,
                    identity: if from > first.number { end.identity } else { first.identity },
                };
            }
        }
        name(first, end);
    }
}

fn view(state: &State, id: u64) -> Option<View> {
    let at = state.segments.iter().position(|segment| segment.id == id)?;
    let segment = state.segments.get(at)?;
    let later = state.segments.iter().skip(at + 1);
    let written_again_from = later.map(|later| later.opened_at.number).min();
    Some(View {
        id,
        used_bytes: segment.used_bytes,
        opened_at: segment.opened_at,
        limit: written_again_from.unwrap_or(u64::MAX).min(segment.void_limit),
        is_last: at + 1 == state.segments.len(),
        durable: state.durable,
    })
}

/// How much may still be handed out.
struct Limits {
    rows: usize,
    bytes: usize,
    taken: bool,
}

impl Limits {
    fn leave_room_for(&self, entry: &JournalEntry) -> bool {
        entry.block.rows() <= self.rows && entry.block.bytes() <= self.bytes
    }

    fn take(&mut self, entry: &JournalEntry) {
        self.rows = self.rows.saturating_sub(entry.block.rows());
        self.bytes = self.bytes.saturating_sub(entry.block.bytes());
        self.taken = true;
    }
}
