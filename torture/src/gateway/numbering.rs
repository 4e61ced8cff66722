//! The frames of a gateway in one boot epoch: numbered, kept until they and all before them have records.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use beacon_protocol::{OutcomeCode, ResultRecordRef};

use super::encoding::encode;
use super::judge::judge;
use super::session::Work;
use crate::random::Random;
use crate::sighting::Sighting;

/// Frames kept at most: within every window that a daemon grants.
const MAX_KEPT: usize = 24;

/// The waits before a sighting that was undecided is sent again. A gateway of the world begins with a second.
const FIRST_WAIT_MS: u64 = 100;
const LONGEST_WAIT_MS: u64 = 800;

/// A frame that is kept.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) bytes: Vec<u8>,
    pub(super) sightings: Vec<Sighting>,
    /// Of its eligible sightings, those that were in a frame before.
    known: u16,
    /// How often its sightings were undecided already.
    tries: u32,
    /// Sessions it was sent in.
    pub(super) sessions: u32,
    /// Has a record, of any session.
    has_record: bool,
    /// In this session.
    pub(super) answered_here: bool,
    pub(super) sent_at: Option<Instant>,
    /// When it may be sent again, over UDP.
    pub(super) due: Option<Instant>,
}

impl Frame {
    fn new(bytes: Vec<u8>, sightings: Vec<Sighting>, tries: u32, work: &mut Work) -> Self {
        let mut known = 0;
        for sighting in &sightings {
            let eligible = work.hearing.outcome(sighting) == OutcomeCode::Identified;
            known += u16::from(work.evidence.send(sighting, eligible));
        }
        Self {
            bytes,
            sightings,
            known,
            tries,
            sessions: 0,
            has_record: false,
            answered_here: false,
            sent_at: None,
            due: None,
        }
    }

    /// One that is sent once, under a sequence that had another.
    pub(super) fn reused(bytes: Vec<u8>, sightings: Vec<Sighting>, work: &mut Work) -> Self {
        Self { sessions: 1, ..Self::new(bytes, sightings, 0, work) }
    }
}

/// Sightings that were undecided.
#[derive(Debug)]
struct Undecided {
    due: Instant,
    tries: u32,
    sightings: Vec<Sighting>,
}

/// The numbering.
#[derive(Debug)]
pub(super) struct Numbering {
    gateway: String,
    pub(super) epoch: u64,
    pub(super) next: u64,
    pub(super) frames: BTreeMap<u64, Frame>,
    undecided: Vec<Undecided>,
    /// The last sequence whose frame brought an identity, and so is on record.
    pub(super) last_identified: Option<u64>,
}

impl Numbering {
    pub(super) const fn new(gateway: String, epoch: u64) -> Self {
        Self {
            gateway,
            epoch,
            next: 1,
            frames: BTreeMap::new(),
            undecided: Vec::new(),
            last_identified: None,
        }
    }

    /// Another numbering, from 1. Nothing may be open.
    pub(super) fn renew(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
        self.next = 1;
        self.last_identified = None;
    }

    pub(super) fn is_done(&self) -> bool {
        self.open() == 0 && self.undecided.is_empty()
    }

    /// Frames without a record.
    pub(super) fn open(&self) -> usize {
        self.frames.values().filter(|frame| !frame.has_record).count()
    }

    /// Whether another frame may be made.
    pub(super) fn has_room(&self) -> bool {
        self.frames.len() < MAX_KEPT
    }

    /// Where the next session begins: the lowest sequence without a record.
    pub(super) fn resume(&mut self) -> u64 {
        while let Some(first) = self.frames.first_entry() {
            if !first.get().has_record {
                break;
            }
            first.remove();
        }
        for frame in self.frames.values_mut() {
            (frame.answered_here, frame.sent_at, frame.due) = (false, None, None);
        }
        self.frames.first_key_value().map_or(self.next, |(sequence, _)| *sequence)
    }

    /// Puts sightings into the next frame of at most so many bytes; those that do not fit are left out.
    pub(super) fn make(
        &mut self,
        sightings: &[Sighting],
        max_bytes: usize,
        tries: u32,
        work: &mut Work,
    ) -> Option<u64> {
        let (bytes, fitted) = encode(self.next, sightings, max_bytes)?;
        let sightings = sightings.get(..fitted)?.to_vec();
        let frame = Frame::new(bytes, sightings, tries, work);
        let sequence = self.next;
        self.frames.insert(sequence, frame);
        self.next += 1;
        Some(sequence)
    }

    /// The sightings that were undecided and have waited, for one new frame; and how often that was.
    pub(super) fn take_due(&mut self, at_most: usize) -> Option<(Vec<Sighting>, u32)> {
        let now = Instant::now();
        let place = self.undecided.iter().position(|undecided| undecided.due <= now)?;
        let Undecided { mut sightings, tries, due } = self.undecided.swap_remove(place);
        if sightings.len() > at_most {
            let later = sightings.split_off(at_most);
            self.undecided.push(Undecided { due, tries, sightings: later });
        }
        Some((sightings, tries))
    }

    /// Takes a record to the evidence.
    pub(super) fn answered(&mut self, record: &ResultRecordRef<'_>, random: &mut Random, work: &mut Work) {
        let name = format!("{} {}:{}", self.gateway, self.epoch, record.sequence);
        if record.sequence >= self.next {
            return work.conduct.breach(format!("{name}: a record of a frame that was never sent"));
        }
        // One that was released already is answered again.
        let Some(frame) = self.frames.get_mut(&record.sequence) else { return };
        if frame.answered_here {
            return;
        }
        let is_first = !std::mem::replace(&mut frame.has_record, true);
        frame.answered_here = true;
        let Some((answer, undecided)) = judge(name, frame, record, work) else { return };
        work.evidence.answers.push(answer);
        if is_first && !undecided.is_empty() {
            work.evidence.undecided += u64::try_from(undecided.len()).unwrap_or(0);
            let most_ms = (FIRST_WAIT_MS << frame.tries.min(8)).min(LONGEST_WAIT_MS);
            let wait = Duration::from_millis(random.within(most_ms / 2..most_ms));
            let tries = frame.tries + 1;
            self.undecided.push(Undecided { due: Instant::now() + wait, tries, sightings: undecided });
        }
        if record.counts[usize::from(OutcomeCode::Identified.byte())] > frame.known {
            self.last_identified = Some(record.sequence);
        }
        self.release();
    }

    /// Forgets frames from the front that were answered in this session.
    fn release(&mut self) {
        while let Some(first) = self.frames.first_entry() {
            if !first.get().answered_here {
                break;
            }
            first.remove();
        }
    }
}
