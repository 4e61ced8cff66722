//! Writing: entries and states into the open segment, and one sync for all of them.

use std::io;
use std::sync::Arc;

use super::block::{BlockHeader, BlockKind, HEADER_BYTES, Position, padded};
use super::entry::{JournalEntry, JournalState};
use super::rows::{self, TooLarge};
use super::segment::{PROLOGUE_BYTES, Prologue, Segment, segment_name};
use super::shared::{JournalUsage, Preparer, Shared};
use super::storage::{StorageFile, write_all_at};
use crate::faults::{self, Mutant};

/// Segments kept free of entries, so that the stores' progress can be written down, which makes room again.
const RESERVED_SEGMENTS: u64 = 2;

/// The part of each segment, at its end, where entries do not go.
const STATES_PART: u64 = 64;

/// Why an append failed. Nothing of it counts.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// No room.
    #[error(
        "the journal is full: {bytes} bytes of at most {max_bytes} (journal.max_bytes); it takes more when the slowest store has caught up"
    )]
    Full {
        /// Bytes of its segments.
        bytes: u64,
        /// The size it does not pass.
        max_bytes: u64,
    },
    /// The disk.
    #[error("the journal cannot be written, and is tried again; see to the disk of the data directory: {0}")]
    Io(#[from] io::Error),
}

/// The one that writes the journal.
#[derive(Debug)]
pub struct Appender {
    shared: Arc<Shared>,
    active: Option<Active>,
    next_segment: u64,
    /// All before this is durable.
    durable: Position,
    /// The end of the tail: entries before it may be durable in earlier segments, though nobody knows.
    tail_end: u64,
    recycled: Position,
    state: Option<JournalState>,
    /// The segment with the newest durable state.
    state_home: Option<u64>,
    buffer: Vec<u8>,
    /// Stops when the appender is gone.
    _preparer: Preparer,
}

/// The segment that is written to.
#[derive(Debug)]
struct Active {
    file: Box<dyn StorageFile>,
    id: u64,
    salt: u32,
    void_from: u64,
    /// Where the next block goes.
    at: u64,
    /// Entries may go into it, not states alone.
    for_entries: bool,
    /// Something in it is synced.
    synced: bool,
    /// A write was begun that has not been synced.
    writing: bool,
}

/// What a group of blocks turned out to be.
#[derive(Debug, Default)]
struct Group {
    entries: usize,
    has_state: bool,
    /// Where each entry's block begins in the buffer.
    starts: Vec<(u64, usize)>,
}

/// What an appender goes on from.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) next_segment: u64,
    pub(super) durable: Position,
    pub(super) tail_end: u64,
    pub(super) recycled: Position,
    pub(super) state: Option<JournalState>,
    pub(super) state_home: Option<u64>,
}

impl Appender {
    pub(super) fn new(shared: Arc<Shared>, preparer: Preparer, start: Start) -> Self {
        let Start { next_segment, durable, tail_end, recycled, state, state_home } = start;
        Self {
            shared,
            active: None,
            next_segment,
            durable,
            tail_end,
            recycled,
            state,
            state_home,
            buffer: Vec::new(),
            _preparer: preparer,
        }
    }

    /// Makes these entries and this state durable: all of them with one sync.
    ///
    /// # Errors
    /// Nothing of it counts then, and no part of it is synced again where it was written: the same entries, and more
    /// behind them, are to be appended again, into another segment.
    pub fn append(
        &mut self,
        entries: &[Arc<JournalEntry>],
        state: Option<&JournalState>,
    ) -> Result<(), AppendError> {
        if entries.is_empty() && state.is_none() {
            return Ok(());
        }
        let mut end = self.durable.number;
        for entry in entries {
            if entry.number < end {
                return Err(invalid(format!("entry {} is in the journal already", entry.number)));
            }
            end = entry.number + 1;
        }
        let before = self.durable;
        let appended = self.append_all(entries, state);
        if appended.is_err() {
            // What is durable of it lies in segments that are void from here on.
            if let Some(active) = self.active.as_mut().filter(|_| self.durable != before) {
                active.writing = true;
            }
            self.durable = before;
            self.shared.state().durable = before;
            self.abandon();
        }
        appended
    }

    fn append_all(
        &mut self,
        mut entries: &[Arc<JournalEntry>],
        mut state: Option<&JournalState>,
    ) -> Result<(), AppendError> {
        if !entries.is_empty() {
            self.keep_reserve()?;
        }
        while !entries.is_empty() || state.is_some() {
            if self.active.is_none() {
                self.open_segment(!entries.is_empty())?;
            }
            let mut group = self.encode(entries, state)?;
            let whole = group.entries == entries.len() && group.has_state == state.is_some();
            if !whole && self.active.as_ref().is_some_and(|active| active.synced) {
                // It goes into the next as a whole: that is one sync. What fits into none takes several.
                self.open_segment(!entries.is_empty())?;
                group = self.encode(entries, state)?;
            }
            if group.entries == 0 && !group.has_state {
                return Err(invalid(TooLarge.to_string()));
            }
            let (written, rest) = entries.split_at(group.entries);
            self.write(&group, written, state.filter(|_| group.has_state))?;
            entries = rest;
            state = state.filter(|_| !group.has_state);
        }
        Ok(())
    }

    /// Lets segments be used again whose entries all lie before `keep_from`; only after a state that says so was
    /// appended. How many they are.
    ///
    /// # Errors
    /// As [`Self::append`]: nothing is freed then, and it is to be called again.
    pub fn recycle(&mut self, keep_from: u64) -> Result<usize, AppendError> {
        let active = self.active.as_ref().map(|active| active.id);
        let (free, end) = {
            let shared = self.shared.state();
            // In order, so that what is left has no hole.
            let old = shared.segments.iter().take_while(|segment| {
                Some(segment.id) != active && segment.end.is_none_or(|end| end.number <= keep_from)
            });
            old.fold((Vec::new(), self.recycled), |(mut free, end), segment| {
                free.push(segment.id);
                (free, end.max(segment.end.unwrap_or(end)))
            })
        };
        if free.is_empty() {
            return Ok(0);
        }
        // First it is written down that they may be missing: then nobody will take them for lost.
        let before = std::mem::replace(&mut self.recycled, end);
        let state = self.state.clone();
        if let Err(error) = self.mark(state.as_ref()) {
            self.recycled = before;
            self.abandon();
            return Err(error);
        }
        self.shared.state().recycled = end;
        self.shared.free(&free);
        Ok(free.len())
    }

    /// What the journal takes and has done.
    #[must_use]
    pub fn usage(&self) -> JournalUsage {
        self.shared.usage()
    }

    /// Appends a state, or a block that says no more than its header.
    fn mark(&mut self, state: Option<&JournalState>) -> Result<(), AppendError> {
        if self.room() == 0 {
            self.open_segment(false)?;
        }
        for _ in 0..2 {
            self.buffer.clear();
            if self.encode_state(state)? {
                let group = Group { has_state: state.is_some(), ..Group::default() };
                return self.write(&group, &[], state);
            }
            self.open_segment(false)?;
        }
        Err(invalid(TooLarge.to_string()))
    }

    /// Entries do not go where only states may, though it is open.
    fn keep_reserve(&mut self) -> Result<(), AppendError> {
        let Some(active) = self.active.as_mut().filter(|active| !active.for_entries) else {
            return Ok(());
        };
        self.shared.room_for_entries(0)?;
        active.for_entries = true;
        Ok(())
    }

    fn room(&self) -> u64 {
        self.active.as_ref().map_or(0, |active| self.shared.segment_bytes.saturating_sub(active.at))
    }

    /// Puts blocks into the buffer, as many as the segment has room for.
    fn encode(
        &mut self,
        entries: &[Arc<JournalEntry>],
        state: Option<&JournalState>,
    ) -> Result<Group, AppendError> {
        let mut group = Group::default();
        self.buffer.clear();
        let mut joins = self.durable.number;
        for entry in entries {
            let start = self.buffer.len();
            let header = BlockHeader {
                number: entry.number,
                first_identity: entry.first_identity,
                joins,
                accepted_at: entry.accepted_at.as_micros(),
                accepted: u32::try_from(entry.accepted()).map_err(|_| invalid(TooLarge.to_string()))?,
                rows: u32::try_from(1 + entry.block.rows()).map_err(|_| invalid(TooLarge.to_string()))?,
                ..self.header(BlockKind::Entry)
            };
            let fits = self.put(header, |buffer, seed| rows::put_entry(buffer, seed, entry))?;
            if !fits {
                return Ok(group);
            }
            group.starts.push((entry.number, start));
            group.entries += 1;
            joins = entry.number + 1;
        }
        group.has_state = state.is_some() && self.encode_state(state)?;
        Ok(group)
    }

    /// Puts a state's block into the buffer; false if there is no room.
    fn encode_state(&mut self, state: Option<&JournalState>) -> Result<bool, AppendError> {
        let header = BlockHeader { rows: state.is_some().into(), ..self.header(BlockKind::State) };
        self.put(header, |buffer, seed| state.map_or(Ok(()), |state| rows::put_state(buffer, seed, state)))
    }

    fn header(&self, kind: BlockKind) -> BlockHeader {
        let (salt, segment, void_from) =
            self.active.as_ref().map_or((0, 0, 0), |active| (active.salt, active.id, active.void_from));
        BlockHeader {
            kind,
            salt,
            segment,
            number: self.durable.number,
            first_identity: self.durable.identity,
            joins: self.durable.number,
            durable: self.durable,
            void_from,
            recycled: self.recycled,
            accepted_at: 0,
            accepted: 0,
            rows: 0,
            body_bytes: 0,
        }
    }

    /// Puts a block into the buffer; false, and nothing put, if the segment has no room for it.
    fn put(
        &mut self,
        mut header: BlockHeader,
        rows: impl FnOnce(&mut Vec<u8>, u32) -> Result<(), TooLarge>,
    ) -> Result<bool, AppendError> {
        // The end is left to states: where there is no room for another segment, they make it.
        let reserved = match header.kind {
            BlockKind::Entry => self.shared.segment_bytes / STATES_PART,
            BlockKind::State => 0,
        };
        let room = self.room().saturating_sub(reserved);
        put_block(&mut self.buffer, &mut header, rows, room)
    }

    /// Writes and syncs what is in the buffer.
    fn write(
        &mut self,
        group: &Group,
        entries: &[Arc<JournalEntry>],
        state: Option<&JournalState>,
    ) -> Result<(), AppendError> {
        let Some(active) = &mut self.active else {
            return Err(invalid("no segment is open".to_owned()));
        };
        let fresh = !active.synced;
        let (start, bytes) = (active.at, self.buffer.len() as u64);
        active.writing = true;
        write_all_at(&*active.file, &self.buffer, start)?;
        let synced = if faults::mutant(Mutant::AckBeforeSync) { Ok(()) } else { active.file.sync() };
        let mut shared = self.shared.state();
        shared.usage.syncs += 1;
        synced?;
        active.at = start + bytes;
        active.synced = true;
        active.writing = false;
        if let Some(last) = entries.last() {
            self.durable = Position { number: last.number + 1, identity: last.end_identity() };
        }
        if let Some(state) = state {
            self.state = Some(state.clone());
        }
        // The block that the segment was opened with repeats the state.
        if state.is_some() || (fresh && self.state.is_some()) {
            self.state_home = Some(active.id);
        }
        shared.durable = self.durable;
        shared.usage.entries_written += entries.len() as u64;
        shared.usage.bytes_written += bytes;
        if let Some(segment) = shared.segments.back_mut() {
            segment.used_bytes = active.at;
            for &(number, at) in &group.starts {
                segment.mark(number, start + at as u64);
            }
            if !entries.is_empty() {
                segment.end = segment.end.max(Some(self.durable));
            }
        }
        // Segments without entries were there for their states, which this one has now.
        let without: Vec<u64> = if fresh && self.state_home == Some(active.id) {
            let others = shared.segments.iter().filter(|segment| segment.end.is_none());
            others.map(|segment| segment.id).filter(|id| *id != active.id).collect()
        } else {
            Vec::new()
        };
        drop(shared);
        if !without.is_empty() {
            self.shared.free(&without);
        }
        self.claim();
        Ok(())
    }

    /// Writes down that all is durable, where the next block will overwrite it, and does not wait for the disk: whoever
    /// reads it after a kill need not doubt the last group.
    fn claim(&mut self) {
        let header = self.header(BlockKind::State);
        if self.room() >= header.block_bytes()
            && let Some(active) = &self.active
        {
            // Without it the last group is written again after a restart, no more.
            let _ = active.file.write_at(&header.encode(), active.at);
        }
    }

    /// Goes on in a new segment. The first block in it repeats the state.
    fn open_segment(&mut self, for_entries: bool) -> Result<(), AppendError> {
        let segment_bytes = self.shared.segment_bytes;
        if for_entries {
            self.shared.room_for_entries(segment_bytes)?;
        }
        self.shared.storage.make()?;
        let spare = self.shared.take_spare().map_err(|error| match error.kind() {
            io::ErrorKind::StorageFull if error.raw_os_error().is_none() => {
                let JournalUsage { bytes, max_bytes, .. } = self.shared.usage();
                AppendError::Full { bytes, max_bytes }
            }
            _ => AppendError::Io(error),
        })?;
        let prologue = Prologue::new(self.next_segment);
        self.next_segment += 1;
        let (id, name) = (prologue.segment, spare.name);
        let void_from = self.durable.number.max(self.tail_end);
        self.active = Some(Active {
            file: spare.file,
            id,
            salt: prologue.salt,
            void_from,
            at: 0,
            for_entries,
            synced: false,
            writing: false,
        });
        let begun = self.begin(&prologue).and_then(|at| {
            self.shared.storage.rename(&name, &segment_name(id))?;
            self.shared.storage.sync_directory()?;
            Ok(at)
        });
        let at = match begun {
            Ok(at) => at,
            Err(error) => {
                self.active = None;
                self.shared.forget(&name, id);
                return Err(error.into());
            }
        };
        self.shared.want_spare();
        if let Some(active) = &mut self.active {
            active.at = at;
        }
        let mut shared = self.shared.state();
        for earlier in &mut shared.segments {
            earlier.void_limit = earlier.void_limit.min(void_from);
        }
        shared.segments.push_back(Segment {
            id,
            file_bytes: segment_bytes,
            used_bytes: 0,
            void_limit: u64::MAX,
            opened_at: self.durable,
            end: None,
            clean_end: true,
            reusable: true,
            marks: Vec::new(),
        });
        shared.usage.segments = shared.segments.len();
        Ok(())
    }

    /// Writes a segment's prologue and first block; tells where the next goes.
    fn begin(&mut self, prologue: &Prologue) -> io::Result<u64> {
        let mut begin = prologue.encode().to_vec();
        let state = self.state.as_ref();
        let mut header = BlockHeader { rows: state.is_some().into(), ..self.header(BlockKind::State) };
        let rows =
            |buffer: &mut Vec<u8>, seed| state.map_or(Ok(()), |state| rows::put_state(buffer, seed, state));
        let room = self.shared.segment_bytes;
        match put_block(&mut begin, &mut header, rows, room) {
            Ok(true) => {}
            Ok(false) => return Err(io::Error::new(io::ErrorKind::InvalidInput, TooLarge)),
            Err(error) => return Err(io::Error::other(error)),
        }
        debug_assert!(begin.len() > PROLOGUE_BYTES, "the first block is behind the prologue");
        if let Some(active) = &self.active {
            write_all_at(&*active.file, &begin, 0)?;
        }
        Ok(begin.len() as u64)
    }

    /// Never writes to the open segment again where a write failed: what of it is on the disk is not known.
    fn abandon(&mut self) {
        let Some(active) = self.active.take_if(|active| active.writing) else {
            return;
        };
        tracing::debug!(segment = active.id, "the journal goes on in another segment");
        let mut shared = self.shared.state();
        let Some(segment) = shared.segments.iter_mut().find(|segment| segment.id == active.id) else {
            return;
        };
        segment.reusable = false;
        let nothing_counts = !active.synced && self.state_home != Some(active.id);
        drop(shared);
        if nothing_counts {
            self.shared.free(&[active.id]);
        }
    }
}

impl Shared {
    /// Whether entries may have so many bytes more.
    fn room_for_entries(&self, more_bytes: u64) -> Result<(), AppendError> {
        let state = self.state();
        let bytes: u64 = state.segments.iter().map(|segment| segment.file_bytes).sum();
        let max_bytes = state.usage.max_bytes;
        if bytes + more_bytes + RESERVED_SEGMENTS * self.segment_bytes > max_bytes {
            return Err(AppendError::Full { bytes, max_bytes });
        }
        Ok(())
    }
}

fn put_block(
    buffer: &mut Vec<u8>,
    header: &mut BlockHeader,
    rows: impl FnOnce(&mut Vec<u8>, u32) -> Result<(), TooLarge>,
    room: u64,
) -> Result<bool, AppendError> {
    let start = buffer.len();
    buffer.resize(start + HEADER_BYTES, 0);
    let put = rows(buffer, header.seed());
    let body = buffer.len() - start - HEADER_BYTES;
    let length = u32::try_from(body).map_err(|_| TooLarge);
    header.body_bytes = match put.and(length) {
        Ok(length) => length,
        Err(error) => return Err(invalid(error.to_string())),
    };
    let end = start as u64 + padded((HEADER_BYTES + body) as u64);
    if end > room {
        buffer.truncate(start);
        return Ok(false);
    }
    buffer[start..start + HEADER_BYTES].copy_from_slice(&header.encode());
    buffer.resize(start + usize::try_from(header.block_bytes()).unwrap_or(usize::MAX), 0);
    Ok(true)
}

fn invalid(reason: String) -> AppendError {
    AppendError::Io(io::Error::new(io::ErrorKind::InvalidInput, reason))
}
