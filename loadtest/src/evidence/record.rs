//! A frame as evidence: what was in it, and what was answered.

use std::io::{self, Read};

use beacon_protocol::OutcomeCode;

use super::{MAX_SIGHTINGS, invalid};
use crate::population::Heard;

/// Bytes before the sightings: gateway, order, verdict, identified, duplicate, count.
const HEAD_BYTES: usize = 4 + 8 + 1 + 2 + 2 + 2;
/// Bytes of a sighting: customer, beacon, time, RSSI, expected, answered.
const SIGHTING_BYTES: usize = 4 + 4 + 8 + 1 + 1 + 1;
/// A sighting that its record does not list.
const NOT_LISTED: u8 = 255;

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameVerdict {
    /// No answer came.
    Unanswered,
    /// It was decided; which eligible ones were identified and which duplicates is not told, only how many.
    Decided { identified: u16, duplicate: u16 },
    /// A repeat of a frame known to be durable: its first answer was lost.
    Repeat,
}

/// What a record says of one sighting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    /// Nothing: identified, a duplicate or of low confidence. So is everything of a frame that is not `Decided`.
    NotListed,
    /// Its outcome, or `undecided`.
    Listed(OutcomeCode),
}

/// A sighting as evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SightingEvidence {
    /// Its time counts from [`EvidenceHead::began_at_us`](super::EvidenceHead::began_at_us).
    pub(crate) heard: Heard,
    pub(crate) answered: Answered,
}

/// A frame as evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FrameEvidence {
    pub(crate) gateway: u32,
    /// Counts the gateway's frames in the order they were handed over, from 1, over sessions and epochs.
    pub(crate) order: u64,
    pub(crate) verdict: FrameVerdict,
    pub(crate) sightings: Vec<SightingEvidence>,
}

impl FrameEvidence {
    pub(super) fn encode(&self, into: &mut Vec<u8>) {
        let (verdict, identified, duplicate) = match self.verdict {
            FrameVerdict::Unanswered => (0, 0, 0),
            FrameVerdict::Decided { identified, duplicate } => (1, identified, duplicate),
            FrameVerdict::Repeat => (2, 0, 0),
        };
        into.extend(self.gateway.to_le_bytes());
        into.extend(self.order.to_le_bytes());
        into.push(verdict);
        into.extend(identified.to_le_bytes());
        into.extend(duplicate.to_le_bytes());
        into.extend(u16::try_from(self.sightings.len()).unwrap_or(u16::MAX).to_le_bytes());
        for SightingEvidence { heard, answered } in &self.sightings {
            into.extend(heard.customer.to_le_bytes());
            into.extend(heard.beacon.to_le_bytes());
            into.extend(heard.at_us.to_le_bytes());
            into.extend(heard.rssi_dbm.to_le_bytes());
            into.push(heard.expected.byte());
            into.push(match answered {
                Answered::NotListed => NOT_LISTED,
                Answered::Listed(code) => code.byte(),
            });
        }
    }

    /// One to read into.
    pub(crate) const fn empty() -> Self {
        Self { gateway: 0, order: 0, verdict: FrameVerdict::Unanswered, sightings: Vec::new() }
    }

    /// Reads one; its bytes go behind those in `scratch`.
    pub(super) fn decode(&mut self, file: &mut impl Read, scratch: &mut Vec<u8>) -> io::Result<()> {
        let mut head = [0; HEAD_BYTES];
        file.read_exact(&mut head)?;
        scratch.extend(head);
        let mut fields = Fields(&head);
        let (gateway, order) = (fields.u32()?, fields.u64()?);
        let (verdict, identified, duplicate) = (fields.u8()?, fields.u16()?, fields.u16()?);
        let count = usize::from(fields.u16()?);
        if count > MAX_SIGHTINGS {
            return Err(invalid(&format!("a frame of {count} sightings")));
        }
        let begin = scratch.len();
        scratch.resize(begin + count * SIGHTING_BYTES, 0);
        let body = scratch.get_mut(begin..).unwrap_or_default();
        file.read_exact(body)?;
        let mut fields = Fields(body);
        self.sightings.clear();
        self.sightings.reserve(count);
        for _ in 0..count {
            let (customer, beacon) = (fields.u32()?, fields.u32()?);
            let at_us = i64::from_le_bytes(fields.take()?);
            let rssi_dbm = i8::from_le_bytes(fields.take()?);
            let expected = outcome(fields.u8()?)?;
            let answered = match fields.u8()? {
                NOT_LISTED => Answered::NotListed,
                code => Answered::Listed(outcome(code)?),
            };
            let heard = Heard { customer, beacon, at_us, rssi_dbm, expected, opens_visit: false };
            self.sightings.push(SightingEvidence { heard, answered });
        }
        self.verdict = match verdict {
            0 => FrameVerdict::Unanswered,
            1 => FrameVerdict::Decided { identified, duplicate },
            2 => FrameVerdict::Repeat,
            other => return Err(invalid(&format!("a verdict {other}"))),
        };
        (self.gateway, self.order) = (gateway, order);
        Ok(())
    }
}

fn outcome(byte: u8) -> io::Result<OutcomeCode> {
    OutcomeCode::from_byte(byte).ok_or_else(|| invalid(&format!("an outcome {byte}")))
}

/// Bytes taken one field after the other.
struct Fields<'b>(&'b [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let (field, rest) =
            self.0.split_first_chunk().ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        self.0 = rest;
        Ok(*field)
    }

    fn u8(&mut self) -> io::Result<u8> {
        self.take().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> io::Result<u16> {
        self.take().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> io::Result<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> io::Result<u64> {
        self.take().map(u64::from_le_bytes)
    }
}
