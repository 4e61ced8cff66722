//! Puts sightings of the population into frames.

use beacon_protocol::client::FrameLimits;
use beacon_protocol::{
    BEACON_BYTES, BeaconRef, EncodeError, HEADER_BYTES, MAX_BEACONS, OutcomeCode, SIGHTING_HEAD_BYTES,
    SIGHTINGS_HEAD_BYTES, SightingRef, SightingsEncoder, TimeBase,
};

use crate::population::{Heard, Naming};

/// Until it is numbered, a frame has this sequence.
const UNNUMBERED: u64 = 1;

/// Makes one gateway's frames, one after the other, and keeps their fingerprint.
#[derive(Debug)]
pub(crate) struct FrameEncoder {
    naming: Naming,
    batch: usize,
    fingerprint: u32,
    /// Of the frame in the making.
    bytes: usize,
    beacons: Vec<BeaconRef>,
    /// Of each sighting in the making.
    indices: Vec<u8>,
    /// What is heard in the frame, in the order of the table.
    radios: Vec<u64>,
    id: Vec<u8>,
}

impl FrameEncoder {
    /// Frames of at most `batch` sightings.
    pub(crate) const fn new(naming: Naming, batch: u16) -> Self {
        Self {
            naming,
            batch: batch as usize,
            fingerprint: 0,
            bytes: 0,
            beacons: Vec::new(),
            indices: Vec::new(),
            radios: Vec::new(),
            id: Vec::new(),
        }
    }

    /// Encodes as many of the first sightings as fit one frame; their times count from `began_at_us`, in UTC microseconds. Returns the frame's length and how many are in it; none
    /// if nothing was heard.
    ///
    /// # Errors
    /// When not even one fits.
    pub(crate) fn encode(
        &mut self,
        heard: &[Heard],
        limits: FrameLimits,
        began_at_us: i64,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<(usize, usize)>, EncodeError> {
        let Some(first) = heard.first() else { return Ok(None) };
        let taken = self.choose(heard, limits);
        buffer.resize(self.bytes, 0);
        let base = TimeBase::Utc(began_at_us + first.at_us);
        let mut encoder = SightingsEncoder::new(buffer, UNNUMBERED, base, &self.beacons)?;
        for (sighting, &beacon_index) in heard.iter().zip(&self.indices).take(taken) {
            let digits;
            let customer_id = if sighting.expected == OutcomeCode::Invalid {
                self.id.clear();
                Naming::write_id(sighting.customer, sighting.expected, &mut self.id);
                &self.id
            } else {
                digits = Naming::customer_id(sighting.customer);
                digits.as_slice()
            };
            let time_offset_us = i32::try_from(sighting.at_us - first.at_us).unwrap_or(i32::MAX);
            encoder.push(&SightingRef {
                beacon_index,
                rssi_dbm: sighting.rssi_dbm,
                time_offset_us,
                customer_id,
            })?;
        }
        let length = encoder.finish()?;
        // Sequence and base time are left out: the one is the client's, the other depends on the begin.
        let body = buffer.get(HEADER_BYTES + 16..length).unwrap_or_default();
        let checksum = crc32c::crc32c_append(self.fingerprint, &first.at_us.to_be_bytes());
        self.fingerprint = crc32c::crc32c_append(checksum, body);
        Ok(Some((length, taken)))
    }

    /// Of all frames so far; the same for the same sightings cut the same way, whenever the run began.
    pub(crate) const fn fingerprint(&self) -> u32 {
        self.fingerprint
    }

    /// Fills the table of beacons and the sightings' indices; returns how many sightings the frame takes.
    fn choose(&mut self, heard: &[Heard], limits: FrameLimits) -> usize {
        self.beacons.clear();
        self.indices.clear();
        self.radios.clear();
        let base_us = heard.first().map_or(0, |first| first.at_us);
        let mut bytes = HEADER_BYTES + SIGHTINGS_HEAD_BYTES;
        for sighting in heard.iter().take(self.batch.min(limits.max_sightings.into())) {
            let (index, is_new) = self.index(sighting);
            let Some(index) = index else { break };
            bytes += SIGHTING_HEAD_BYTES + Naming::id_bytes(sighting.customer, sighting.expected);
            bytes += if is_new { BEACON_BYTES } else { 0 };
            let fits = bytes <= limits.max_frame_bytes && i32::try_from(sighting.at_us - base_us).is_ok();
            if !fits && !self.indices.is_empty() {
                if is_new {
                    self.beacons.pop();
                }
                break;
            }
            self.bytes = bytes;
            self.indices.push(index);
        }
        self.indices.len()
    }

    /// Where the sighting's beacon is in the table, and whether it was added for it; none when the table is full.
    fn index(&mut self, sighting: &Heard) -> (Option<u8>, bool) {
        let strange = match sighting.expected {
            OutcomeCode::UnknownBeacon => 1,
            OutcomeCode::BeaconMismatch => 2,
            _ => 0,
        };
        let radio = strange << 32 | u64::from(sighting.beacon);
        let known = self.radios.iter().position(|known| *known == radio);
        let index = known.unwrap_or(self.radios.len());
        if index >= MAX_BEACONS {
            return (None, false);
        }
        if known.is_none() {
            self.radios.push(radio);
            self.beacons.push(self.naming.radio(sighting.beacon, sighting.expected));
        }
        (u8::try_from(index).ok(), known.is_none())
    }
}

/// What the fingerprints of gateways make together, in whatever order they are given.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Fingerprint(u64);

impl Fingerprint {
    /// Adds a gateway's.
    pub(crate) fn add(&mut self, gateway: u32, fingerprint: u32) {
        self.0 = self.0.wrapping_add(Naming::mixed(u64::from(gateway) << 32 | u64::from(fingerprint)));
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use beacon_protocol::{MAX_FRAME_BYTES, Message, deframe_whole};

    use super::*;
    use crate::population::{Chain, Population};
    use crate::scenario::{PopulationPlan, Scenario, Shares};

    const BEGAN_AT_US: i64 = 1_790_000_000_000_000;

    fn heard(scenario: &Scenario) -> (Vec<Heard>, Naming) {
        let population = Population::new(Arc::new(scenario.clone()));
        let mut heard = Vec::new();
        Chain::new(&population, 0, 0).hear(20_000_000, &mut heard);
        (heard, Naming::new(population.layout()))
    }

    fn scenario() -> Scenario {
        let shares = Shares { invalid: 0.2, unknown_beacon: 0.1, beacon_mismatch: 0.1, ..Shares::default() };
        let population = PopulationPlan {
            customers: 2_000,
            stores: 100,
            gateways: 2,
            present: 0.5,
            ..PopulationPlan::default()
        };
        Scenario { shares, population, ..Scenario::default() }
    }

    /// Frames of a session with such limits, decoded, say what was heard.
    #[test]
    fn frames_say_what_was_heard() {
        let (heard, naming) = heard(&scenario());
        assert!(heard.len() > 500, "{}", heard.len());
        for (batch, max_frame_bytes) in
            [(64, MAX_FRAME_BYTES), (4_096, MAX_FRAME_BYTES), (64, 1_180), (1, 1_180)]
        {
            let mut encoder = FrameEncoder::new(naming, batch);
            let limits = FrameLimits { max_frame_bytes, max_sightings: 4_096 };
            let (mut buffer, mut rest) = (Vec::new(), heard.as_slice());
            while let Some((length, taken)) = encoder.encode(rest, limits, BEGAN_AT_US, &mut buffer).unwrap()
            {
                assert!(length <= max_frame_bytes && taken <= batch.into());
                let frame = deframe_whole(&buffer[..length], MAX_FRAME_BYTES).unwrap();
                let Message::Sightings(decoded) = Message::decode(frame).unwrap() else {
                    panic!("sightings")
                };
                let beacons: Vec<BeaconRef> = decoded.beacons().collect();
                for (told, meant) in decoded.sightings().zip(rest) {
                    let mut id = Vec::new();
                    Naming::write_id(meant.customer, meant.expected, &mut id);
                    assert_eq!((told.customer_id, told.rssi_dbm), (id.as_slice(), meant.rssi_dbm));
                    assert_eq!(
                        beacons[usize::from(told.beacon_index)],
                        naming.radio(meant.beacon, meant.expected)
                    );
                    let TimeBase::Utc(base) = decoded.base else { panic!("UTC") };
                    assert_eq!(base + i64::from(told.time_offset_us), BEGAN_AT_US + meant.at_us);
                }
                assert_eq!(usize::from(decoded.sighting_count()), taken);
                rest = &rest[taken..];
            }
            assert!(rest.is_empty());
        }
    }

    #[test]
    fn the_fingerprint_is_of_the_sightings_and_not_of_the_begin() {
        let fingerprint = |scenario: &Scenario, began_at_us| {
            let (heard, naming) = heard(scenario);
            let mut encoder = FrameEncoder::new(naming, 64);
            let limits = FrameLimits { max_frame_bytes: MAX_FRAME_BYTES, max_sightings: 4_096 };
            let mut rest = heard.as_slice();
            while let Some((_, taken)) = encoder.encode(rest, limits, began_at_us, &mut Vec::new()).unwrap() {
                rest = &rest[taken..];
            }
            encoder.fingerprint()
        };
        let of_one = fingerprint(&scenario(), BEGAN_AT_US);
        assert_eq!(fingerprint(&scenario(), BEGAN_AT_US + 7), of_one);
        assert_ne!(fingerprint(&Scenario { seed: 2, ..scenario() }, BEGAN_AT_US), of_one);
    }
}
