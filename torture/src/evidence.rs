//! The ledger kept outside the daemon: what gateways sent, and what they were answered.

use std::collections::HashMap;

use crate::sighting::{Key, Sighting};

/// What a round's gateways know.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    /// Every eligible sighting that was put into a frame, and its confidence.
    pub(crate) sent: HashMap<Key, u32>,
    /// Every record of sightings that came.
    pub(crate) answers: Vec<Answer>,
    /// All sightings put into frames.
    pub(crate) sightings: u64,
    /// Sightings answered as identified, redeliveries among them.
    pub(crate) identified: u64,
    /// Changed frames under an old sequence that were refused, as they must be.
    pub(crate) refused_reuses: u64,
    /// Changed frames that were decided: the daemon did not know the sequence any more.
    pub(crate) decided_reuses: u64,
    /// Records of status 1.
    pub(crate) repeats: u64,
    /// Sightings sent again because they had been undecided.
    pub(crate) undecided: u64,
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Who was answered, of which epoch and sequence.
    pub(crate) frame: String,
    pub(crate) verdict: Verdict,
    /// The eligible sightings of the frame that it acknowledges.
    pub(crate) acked: Vec<Sighting>,
}

/// What a record says of the eligible sightings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// So many of them are identified, the others duplicates.
    Decided { identified: u16 },
    /// The frame was durable before: nothing is said of single ones.
    Repeat,
}

impl Evidence {
    pub(crate) fn merge(&mut self, other: Self) {
        self.sent.extend(other.sent);
        self.answers.extend(other.answers);
        self.sightings += other.sightings;
        self.identified += other.identified;
        self.refused_reuses += other.refused_reuses;
        self.decided_reuses += other.decided_reuses;
        self.repeats += other.repeats;
        self.undecided += other.undecided;
    }

    /// Puts down a sighting of a new frame; true if it is eligible and was sent before.
    pub(crate) fn send(&mut self, sighting: &Sighting, eligible: bool) -> bool {
        self.sightings += 1;
        eligible && self.sent.insert(sighting.key(), sighting.confidence_bits()).is_some()
    }
}
