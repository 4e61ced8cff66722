//! What a gateway has sent in its numberings, and what it was answered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use beacon_protocol::{Message, Sightings, age_of};

use super::super::check::{Outcome, broken, hold};

/// Frames remembered of a numbering; older ones are not asked about.
const FRAMES_REMEMBERED: usize = 65_536;
/// How far an age may be from the time that has passed, for what waits in buffers.
const AGE_TOLERANCE_US: i64 = 1_000_000;

/// A frame as it was first sent.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) identity: u32,
    /// `None`: preferences.
    pub(super) sightings: Option<u16>,
    pub(super) bytes: Vec<u8>,
    pub(super) heard_at: Instant,
}

/// The frames of a boot epoch.
#[derive(Debug, Default)]
pub(super) struct Numbering {
    frames: BTreeMap<u64, Kept>,
    /// Those that have a record, of any session.
    recorded: BTreeSet<u64>,
}

impl Numbering {
    /// Takes a frame; whether it was new to this numbering.
    pub(super) fn take(
        &mut self,
        sequence: u64,
        message: &Message<'_>,
        bytes: &[u8],
    ) -> Result<bool, super::super::check::Stop> {
        let (identity, sightings) = match message {
            Message::Sightings(batch) => (batch.identity_checksum(), Some(batch.sighting_count())),
            Message::Preferences(preferences) => (preferences.identity_checksum(), None),
            _ => return Ok(false),
        };
        let now = Instant::now();
        if let Some(before) = self.frames.get(&sequence) {
            hold(41, before.identity == identity, || {
                format!(
                    "sequence {sequence} was used for two frames, their identity checksums {:#010x} and {identity:#010x}",
                    before.identity
                )
            })?;
            is_the_same(sequence, before, bytes, now)?;
            return Ok(false);
        }
        self.frames.insert(sequence, Kept { identity, sightings, bytes: bytes.to_vec(), heard_at: now });
        if self.frames.len() > FRAMES_REMEMBERED {
            self.frames.pop_first();
        }
        Ok(true)
    }

    pub(super) fn answered(&mut self, sequence: u64) {
        self.recorded.insert(sequence);
        if self.recorded.len() > FRAMES_REMEMBERED {
            self.recorded.pop_first();
        }
    }

    /// Records from this one on were sent, and never heard.
    pub(super) fn unanswered_from(&mut self, sequence: u64) {
        self.recorded.retain(|answered| *answered < sequence);
    }

    pub(super) fn frame(&self, sequence: u64) -> Option<&Kept> {
        self.frames.get(&sequence)
    }

    pub(super) fn frames(&self) -> impl Iterator<Item = (u64, &Kept)> {
        self.frames.iter().map(|(sequence, kept)| (*sequence, kept))
    }

    pub(super) fn highest(&self) -> u64 {
        self.frames.last_key_value().map_or(0, |(sequence, _)| *sequence)
    }

    /// What a resumed session begins with: the lowest without a record, or the next unused one.
    pub(super) fn first_unacked(&self) -> u64 {
        let unrecorded = self.frames.keys().find(|sequence| !self.recorded.contains(sequence));
        unrecorded.copied().unwrap_or_else(|| self.highest() + 1)
    }
}

/// A repeat is the same bytes; with AGES it has aged by the time between.
fn is_the_same(sequence: u64, before: &Kept, bytes: &[u8], now: Instant) -> Outcome {
    let (Ok(Some(was)), Ok(Some(is))) = (age_of(&before.bytes), age_of(bytes)) else {
        return hold(43, before.bytes == bytes, || {
            format!("the repeat of frame {sequence} is not the frame byte for byte")
        });
    };
    let passed = i64::try_from((now - before.heard_at).as_micros()).unwrap_or(i64::MAX);
    let aged = is.saturating_sub(was);
    if (aged - passed).abs() <= AGE_TOLERANCE_US {
        return Ok(());
    }
    Err(broken(64, format!("the repeat of frame {sequence} came {passed} us later and is {aged} us older")))
}

/// A sighting by what tells it from others, its time as the gateway's words make it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Told {
    customer_id: Vec<u8>,
    beacon: ([u8; 16], u16, u16),
    rssi_dbm: i8,
    detected_at_us: i64,
}

/// The sightings of a frame that came at a moment of the server's clock.
pub(super) fn told(batch: &Sightings<'_>, received_at_us: i64) -> Vec<Told> {
    let told = batch.sightings().filter_map(|sighting| {
        let beacon = batch.beacon(sighting.beacon_index)?;
        Some(Told {
            customer_id: sighting.customer_id.to_vec(),
            beacon: (beacon.uuid, beacon.major, beacon.minor),
            rssi_dbm: sighting.rssi_dbm,
            detected_at_us: batch.base.resolve(received_at_us, sighting.time_offset_us),
        })
    });
    told.collect()
}

impl Told {
    /// The same sighting, its time exact, or with AGES about as exact as a transmission.
    pub(super) fn is(&self, other: &Self, aged: bool) -> bool {
        let tolerance_us = if aged { AGE_TOLERANCE_US } else { 0 };
        (&self.customer_id, self.beacon, self.rssi_dbm) == (&other.customer_id, other.beacon, other.rssi_dbm)
            && (self.detected_at_us - other.detected_at_us).abs() <= tolerance_us
    }

    /// The same customer heard at the same beacon as strongly, whenever.
    pub(super) fn resembles(&self, other: &Self) -> bool {
        (&self.customer_id, self.beacon, self.rssi_dbm) == (&other.customer_id, other.beacon, other.rssi_dbm)
    }
}
