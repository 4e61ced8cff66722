//! What is known of frames that are durable: the memory by which repeats are told in later sessions.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::domain::frame::{AckLevel, FrameId, FrameMark};
use crate::domain::gateway::GatewayId;
use crate::faults::{self, Mutant};

/// Of the frames remembered at most, one in so many may begin a numbering of its own: a numbering costs several times
/// what a frame does.
const FRAMES_A_NUMBERING: usize = 4;

/// What is known of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recorded {
    /// Nothing, or nothing any more.
    Unknown,
    /// It is durable.
    Same {
        /// The journal's entry with what it brought.
        number: u64,
        /// Nothing in it was undecided.
        complete: bool,
    },
    /// Its sequence belongs to a durable frame with another checksum.
    Other,
}

/// The frames made durable last. The one recorded first is forgotten first, and a numbering with its last frame.
#[derive(Debug)]
pub(super) struct FrameRecords {
    max_frames: usize,
    max_numberings: usize,
    /// Numberings by gateway and boot epoch, as places in `numberings`.
    gateways: HashMap<GatewayId, BTreeMap<u64, u32>>,
    numberings: Vec<Numbering>,
    /// Places in `numberings` to be used again.
    free: Vec<u32>,
    frames: HashMap<FrameKey, Frame>,
    /// The keys of `frames`, in the order they came.
    order: VecDeque<FrameKey>,
}

/// A numbering and a sequence in it.
type FrameKey = (u32, u64);

#[derive(Debug, Clone, Copy)]
struct Frame {
    number: u64,
    checksum: u32,
    complete: bool,
}

/// A gateway's numbering of frames.
#[derive(Debug)]
struct Numbering {
    gateway: GatewayId,
    boot_epoch: u64,
    frames: usize,
    /// The highest `answered_up_to` of sessions at level journal, and at level stored.
    answered_up_to: [u64; 2],
}

impl FrameRecords {
    /// A memory of so many frames at most.
    pub(super) fn new(max_frames: usize) -> Self {
        Self {
            max_frames: max_frames.max(1),
            max_numberings: max_frames.div_ceil(FRAMES_A_NUMBERING).max(1),
            gateways: HashMap::new(),
            numberings: Vec::new(),
            free: Vec::new(),
            frames: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Takes note that a frame is durable in the journal, as the entry of this number. Numbers ascend.
    pub(super) fn record(&mut self, mark: &FrameMark, number: u64) {
        let Some(place) = self.place(&mark.id.gateway, mark.id.boot_epoch) else { return };
        let Some(numbering) = self.numberings.get_mut(index(place)) else { return };
        let answered_up_to = &mut numbering.answered_up_to[level_index(mark.level)];
        *answered_up_to = mark.answered_up_to.max(*answered_up_to);
        let frame = Frame { number, checksum: mark.id.checksum, complete: mark.complete };
        let key = (place, mark.id.sequence);
        match self.frames.entry(key) {
            Entry::Vacant(new) => {
                new.insert(frame);
                numbering.frames += 1;
                self.order.push_back(key);
            }
            // What was decided whole stays so, with the entry that is in the stores sooner.
            Entry::Occupied(known) if known.get().complete && known.get().checksum == frame.checksum => {}
            Entry::Occupied(mut known) => {
                known.insert(frame);
            }
        }
        while self.frames.len() > self.max_frames || self.numberings_kept() > self.max_numberings {
            self.forget_first();
        }
    }

    /// What is known of this frame.
    pub(super) fn standing(&self, id: &FrameId) -> Recorded {
        let known = self.known(&id.gateway, id.boot_epoch);
        match known.and_then(|(place, _)| self.frames.get(&(place, id.sequence))) {
            Some(frame) if frame.checksum == id.checksum || faults::mutant(Mutant::RepeatBySequence) => {
                Recorded::Same { number: frame.number, complete: frame.complete }
            }
            Some(_) => Recorded::Other,
            None => Recorded::Unknown,
        }
    }

    /// Up to which sequence all frames of this numbering are known to have been answered at this level or a stronger
    /// one; 0 when nothing is known.
    pub(super) fn last_acked(&self, gateway: &GatewayId, boot_epoch: u64, level: AckLevel) -> u64 {
        self.known(gateway, boot_epoch).map_or(0, |(_, numbering)| {
            numbering.answered_up_to.iter().skip(level_index(level)).copied().max().unwrap_or_default()
        })
    }

    fn known(&self, gateway: &GatewayId, boot_epoch: u64) -> Option<(u32, &Numbering)> {
        let place = *self.gateways.get(gateway)?.get(&boot_epoch)?;
        Some((place, self.numberings.get(index(place))?))
    }

    /// The place of this numbering, a new one if need be; none when there are more than can be counted.
    fn place(&mut self, gateway: &GatewayId, boot_epoch: u64) -> Option<u32> {
        if let Some((place, _)) = self.known(gateway, boot_epoch) {
            return Some(place);
        }
        let numbering = Numbering { gateway: gateway.clone(), boot_epoch, frames: 0, answered_up_to: [0; 2] };
        let place = match self.free.pop() {
            Some(place) => {
                *self.numberings.get_mut(index(place))? = numbering;
                place
            }
            None => {
                let place = u32::try_from(self.numberings.len()).ok()?;
                self.numberings.push(numbering);
                place
            }
        };
        self.gateways.entry(gateway.clone()).or_default().insert(boot_epoch, place);
        Some(place)
    }

    fn numberings_kept(&self) -> usize {
        self.numberings.len() - self.free.len()
    }

    fn forget_first(&mut self) {
        let Some(key) = self.order.pop_front() else { return };
        self.frames.remove(&key);
        let Some(numbering) = self.numberings.get_mut(index(key.0)) else { return };
        numbering.frames -= 1;
        if numbering.frames > 0 {
            return;
        }
        if let Some(epochs) = self.gateways.get_mut(&numbering.gateway) {
            epochs.remove(&numbering.boot_epoch);
            if epochs.is_empty() {
                self.gateways.remove(&numbering.gateway);
            }
        }
        self.free.push(key.0);
    }
}

const fn level_index(level: AckLevel) -> usize {
    match level {
        AckLevel::Journal => 0,
        AckLevel::Stored => 1,
    }
}

fn index(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
