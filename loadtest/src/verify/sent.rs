//! A sighting and a frame of the evidence in few bytes, so that a hundred million fit a machine.

use beacon_protocol::OutcomeCode;

use crate::evidence::{Answered, FrameEvidence, FrameVerdict, SightingEvidence};

/// The expected outcome, in the low bits of a fate.
const EXPECTED: u8 = 0x0f;
/// Answered as identified or a duplicate, or a repeat: acknowledged.
const ACKED: u8 = 0x10;
/// Of a frame that said how many of it were identified.
const COUNTED: u8 = 0x20;

/// A sighting that was sent: 24 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    /// UTC.
    pub(super) at_us: i64,
    pub(super) customer: u32,
    pub(super) beacon: u32,
    /// Of all frames of the evidence, from 0.
    pub(super) frame: u32,
    /// In its frame.
    pub(super) index: u16,
    pub(super) rssi_dbm: i8,
    fate: u8,
}

const _: () = assert!(size_of::<Sent>() == 24, "memory is planned with this");

/// What makes two sightings the same: customer, time and beacon.
pub(super) type Key = (u32, i64, u32);

impl Sent {
    pub(super) fn new(
        began_at_us: i64,
        frame: u32,
        index: u16,
        of: &FrameEvidence,
        sighting: &SightingEvidence,
    ) -> Self {
        let SightingEvidence { heard, .. } = sighting;
        let mut fate = heard.expected.byte();
        if is_acked(of.verdict, sighting) {
            fate |= ACKED;
            if matches!(of.verdict, FrameVerdict::Decided { .. }) {
                fate |= COUNTED;
            }
        }
        Self {
            at_us: began_at_us.saturating_add(heard.at_us),
            customer: heard.customer,
            beacon: heard.beacon,
            frame,
            index,
            rssi_dbm: heard.rssi_dbm,
            fate,
        }
    }

    pub(super) const fn key(&self) -> Key {
        (self.customer, self.at_us, self.beacon)
    }

    /// What it had to become; `identified` is every eligible one.
    pub(super) const fn expected(&self) -> OutcomeCode {
        match OutcomeCode::from_byte(self.fate & EXPECTED) {
            Some(code) => code,
            None => OutcomeCode::Undecided,
        }
    }

    pub(super) const fn is_eligible(&self) -> bool {
        matches!(self.expected(), OutcomeCode::Identified)
    }

    /// Whether it is eligible and was acknowledged: it is stored, or near one that is.
    pub(super) const fn is_acked(&self) -> bool {
        self.fate & ACKED != 0
    }

    /// Whether its frame's numbers of identified ones and duplicates count it.
    pub(super) const fn is_counted(&self) -> bool {
        self.fate & COUNTED != 0
    }
}

/// Whether an eligible sighting was acknowledged as such.
pub(super) fn is_acked(verdict: FrameVerdict, sighting: &SightingEvidence) -> bool {
    sighting.heard.expected == OutcomeCode::Identified
        && sighting.answered == Answered::NotListed
        && verdict != FrameVerdict::Unanswered
}

/// A frame that was sent: 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) order: u64,
    pub(super) gateway: u32,
    /// How many were answered `identified`, where that was said.
    pub(super) identified: u16,
    pub(super) is_decided: bool,
}

const _: () = assert!(size_of::<Frame>() == 16, "memory is planned with this");

impl From<&FrameEvidence> for Frame {
    fn from(frame: &FrameEvidence) -> Self {
        let (identified, is_decided) = match frame.verdict {
            FrameVerdict::Decided { identified, .. } => (identified, true),
            FrameVerdict::Unanswered | FrameVerdict::Repeat => (0, false),
        };
        Self { order: frame.order, gateway: frame.gateway, identified, is_decided }
    }
}
