//! Which frame of which gateway something came in.

use super::gateway::GatewayId;

/// What an answer promises when it leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AckLevel {
    /// It is fsynced in the journal.
    Journal,
    /// It is in every store, or a durable dead letter of it.
    Stored,
}

/// A sequenced frame, the same however often it is sent: a repeat equals it in every field.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FrameId {
    /// Who sent it.
    pub gateway: GatewayId,
    /// The numbering it belongs to.
    pub boot_epoch: u64,
    /// Its number in it, from 1.
    pub sequence: u64,
    /// Its identity checksum: the same number with another one is another frame.
    pub checksum: u32,
}

/// What is kept of a frame beside what it brought, so that its repeats are known in later sessions too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameMark {
    /// Which one.
    pub id: FrameId,
    /// Nothing in it was undecided: a repeat may be answered without being decided again.
    pub complete: bool,
    /// The level of its session.
    pub level: AckLevel,
    /// Up to here all frames of its numbering had been answered in its session when it was decided.
    pub answered_up_to: u64,
}
