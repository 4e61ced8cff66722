//! One sequence of entries out of the blocks of all segments: what is durable, what is the tail, what is missing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::block::{BlockHeader, Position};
use super::super::entry::{JournalEntry, JournalState};
use super::super::scan::Hole;
use super::super::segment::Segment;
use super::{DamagedRange, Found, Recovery, TornTail};

/// What has been read so far.
pub(super) struct Merge<'v> {
    visit: &'v mut dyn FnMut(Arc<JournalEntry>),
    durable: Position,
    recycled: Position,
    /// The first entry: its number, and from where on it says that there is none before it.
    first: Option<(u64, Position)>,
    /// Where the highest entry ends, and its segment.
    last: Option<(Position, u64)>,
    /// Entries not yet known to be durable. Whatever shows that they are was written after them.
    pending: BTreeMap<u64, Arc<JournalEntry>>,
    /// Every entry before this was visited or is missing.
    visited: u64,
    /// Numbers missing, in order.
    gaps: Vec<Gap>,
    /// Before the first entry.
    front: Vec<Region>,
    /// Holes since the last entry.
    holes: Vec<Region>,
    trailing: Option<(Region, Position, Position)>,
    vacant: Vec<(u64, u64)>,
    state: Option<(JournalState, u64)>,
}

#[derive(Debug, Clone)]
struct Region {
    file: PathBuf,
    from: u64,
    to: u64,
}

#[derive(Debug, Clone)]
struct Gap {
    first: Position,
    end: Position,
    regions: Vec<Region>,
    /// The segment of the entry before it.
    behind: u64,
}

impl<'v> Merge<'v> {
    pub(super) fn new(visit: &'v mut dyn FnMut(Arc<JournalEntry>)) -> Self {
        Self {
            visit,
            durable: Position::START,
            recycled: Position::START,
            first: None,
            last: None,
            pending: BTreeMap::new(),
            visited: 0,
            gaps: Vec::new(),
            front: Vec::new(),
            holes: Vec::new(),
            trailing: None,
            vacant: Vec::new(),
            state: None,
        }
    }

    /// A sound header says what was durable when it was written.
    pub(super) fn header(&mut self, header: &BlockHeader) {
        self.durable = self.durable.max(header.durable);
        self.recycled = self.recycled.max(header.recycled);
        while let Some(first) = self.pending.first_entry()
            && *first.key() < self.durable.number
        {
            self.visited = first.key().saturating_add(1);
            (self.visit)(first.remove());
        }
    }

    pub(super) fn state(&mut self, segment: u64, state: JournalState) {
        self.state = Some((state, segment));
    }

    pub(super) fn hole(&mut self, file: &Path, hole: Hole) {
        match self.holes.last_mut() {
            Some(last) if last.file == file => last.to = hole.to,
            _ => self.holes.push(Region { file: file.to_owned(), from: hole.from, to: hole.to }),
        }
    }

    /// The end of a segment where blocks were begun that are not sound.
    pub(super) fn trailing(&mut self, file: &Path, hole: Hole) {
        self.hole(file, hole);
        if let Some((first, end)) = hole.claimed {
            self.trailing =
                Some((Region { file: file.to_owned(), from: hole.from, to: hole.to }, first, end));
        }
    }

    pub(super) fn entry(&mut self, header: &BlockHeader, entry: JournalEntry) {
        let holes = std::mem::take(&mut self.holes);
        let joint = Position { number: header.joins, identity: header.first_identity };
        match self.last {
            Some((last, _)) if header.number < last.number => return self.again(header, entry),
            Some((last, behind)) if header.joins > last.number => {
                self.gaps.push(Gap { first: last, end: joint, regions: holes, behind });
            }
            Some(_) => {}
            None => {
                self.first = Some((header.number, joint));
                self.front = holes;
            }
        }
        self.last = Some((header.end(), header.segment));
        self.pending.insert(header.number, Arc::new(entry));
    }

    /// An entry whose number has been passed: the same one, written again. It may fill what was missing, and it says
    /// of what numbers there never was one.
    fn again(&mut self, header: &BlockHeader, entry: JournalEntry) {
        let joint = Position { number: header.joins, identity: header.first_identity };
        let mut missed = false;
        let gaps = std::mem::take(&mut self.gaps);
        for gap in gaps {
            let (from, to) = (gap.first.number.max(joint.number), gap.end.number.min(header.number));
            if from < to {
                self.vacant.push((from, to));
            }
            missed |= (gap.first.number..gap.end.number).contains(&header.number);
            let before = Gap { end: gap.end.min(joint), ..gap.clone() };
            let behind = Gap { first: gap.first.max(header.end()), ..gap };
            self.gaps.extend([before, behind].into_iter().filter(|gap| gap.first.number < gap.end.number));
        }
        if missed && header.number >= self.visited {
            self.pending.insert(header.number, Arc::new(entry));
        }
    }

    /// What all that amounts to. `missing` is where the file of a segment would be.
    pub(super) fn finish(
        mut self,
        segments: Vec<Segment>,
        entries: Vec<u64>,
        missing: &dyn Fn(u64) -> PathBuf,
    ) -> Found {
        let (durable, recycled) = (self.durable, self.recycled);
        let next = self.last.map_or(durable, |(last, _)| last.max(durable));
        let first_number = self.first.map_or(next.number, |(number, _)| number);
        self.gaps_at_the_ends();
        let torn = self.torn(next);
        let mut damage = Vec::new();
        for mut gap in std::mem::take(&mut self.gaps) {
            gap.first = gap.first.max(recycled);
            if gap.end > durable {
                self.vacant.push((gap.first.max(durable).number, gap.end.number));
                gap.end = durable;
            }
            if gap.first.number < gap.end.number {
                damage.extend(gap.ranges(missing));
            }
        }
        self.vacant.sort_unstable();
        let (state, state_home) = self.state.unzip();
        let recovery = Recovery {
            state,
            first_number,
            next_number: next.number,
            next_identity: next.identity,
            tail: self.pending.into_values().collect(),
            damage,
            torn,
            segments: segments.len(),
            bytes: segments.iter().map(|segment| segment.file_bytes).sum(),
        };
        Found { recovery, segments, entries, durable, recycled, state_home, vacant: self.vacant }
    }

    /// What is missing before the first entry and behind the last.
    fn gaps_at_the_ends(&mut self) {
        let (recycled, durable) = (self.recycled, self.durable);
        let front = self.first.map_or(durable, |(_, joint)| joint);
        let holes = std::mem::take(&mut self.holes);
        if recycled.number < front.number {
            let regions = if self.first.is_some() { std::mem::take(&mut self.front) } else { holes.clone() };
            self.gaps.insert(0, Gap { first: recycled, end: front, regions, behind: 0 });
        }
        if let Some((last, behind)) = self.last
            && last.number < durable.number
        {
            self.gaps.push(Gap { first: last, end: durable, regions: holes, behind });
        }
    }

    fn torn(&self, next: Position) -> Option<TornTail> {
        let gap = self.gaps.iter().find(|gap| gap.end > self.durable);
        let hole = gap.and_then(|gap| {
            let region = gap.regions.first()?.clone();
            Some((region, gap.first.max(self.durable), gap.end))
        });
        let behind = self.trailing.clone().filter(|(_, _, end)| end.number > next.number);
        let (region, first, end) = hole.or(behind)?;
        Some(TornTail {
            segment: region.file,
            from_byte: region.from,
            to_byte: region.to,
            first_number: first.number,
            end_number: end.number,
        })
    }
}

impl Gap {
    /// One range for each file that is damaged; the first one names all that is lost.
    fn ranges(self, missing: &dyn Fn(u64) -> PathBuf) -> Vec<DamagedRange> {
        let Self { mut first, end, mut regions, behind } = self;
        if regions.is_empty() {
            regions.push(Region { file: missing(behind.saturating_add(1)), from: 0, to: 0 });
        }
        let range = |region: Region| {
            let range = DamagedRange {
                segment: region.file,
                from_byte: region.from,
                to_byte: region.to,
                first_number: first.number,
                end_number: end.number,
                first_identity: first.identity,
                end_identity: end.identity.max(first.identity),
            };
            first = end;
            range
        };
        regions.into_iter().map(range).collect()
    }
}
