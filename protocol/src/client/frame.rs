//! A sequenced frame as a gateway keeps it: encoded once, until its result is known.

use tokio::time::Instant;

use super::error::ClientError;
use crate::{
    BEACON_BYTES, BeaconRef, DATAGRAM_HEADER_BYTES, DecodeError, EncodeError, Exception, Field, HEADER_BYTES,
    MAX_BEACONS, MAX_FRAME_BYTES, Message, OutcomeCode, PreferencesEncoder, SIGHTING_HEAD_BYTES,
    SIGHTINGS_HEAD_BYTES, SightingRef, SightingsEncoder, TimeBase, Welcome, deframe_whole, set_age,
    set_sequence,
};

/// Until the client numbers it, a frame has this sequence.
const UNNUMBERED: u64 = 1;

/// Sightings or preferences to be sent, encoded.
///
/// With [`TimeBase::Age`] the age given is that at the moment of encoding; the client brings it up to date at every
/// transmission.
#[derive(Debug, Clone)]
pub struct OutgoingFrame {
    bytes: Vec<u8>,
    encoded_at: Instant,
    base_age_us: Option<i64>,
    sighting_count: u16,
}

impl OutgoingFrame {
    /// A batch of sightings; each names its beacon by its place in `beacons`.
    ///
    /// # Errors
    /// What [`SightingsEncoder`] refuses; [`EncodeError::Full`] when it makes more than the largest frame.
    pub fn sightings(
        base: TimeBase,
        beacons: &[BeaconRef],
        sightings: &[SightingRef<'_>],
    ) -> Result<Self, EncodeError> {
        let head = HEADER_BYTES + SIGHTINGS_HEAD_BYTES + beacons.len() * BEACON_BYTES;
        let sizes = sightings.iter().map(|sighting| SIGHTING_HEAD_BYTES + sighting.customer_id.len());
        let mut bytes = vec![0; (head + sizes.sum::<usize>()).min(MAX_FRAME_BYTES)];
        let mut encoder = SightingsEncoder::new(&mut bytes, UNNUMBERED, base, beacons)?;
        for sighting in sightings {
            encoder.push(sighting)?;
        }
        let sighting_count = encoder.sighting_count();
        let length = encoder.finish()?;
        bytes.truncate(length);
        Ok(Self { bytes, encoded_at: Instant::now(), base_age_us: age(base), sighting_count })
    }

    /// A customer's preferences as of `updated_at`.
    ///
    /// # Errors
    /// What [`PreferencesEncoder`] refuses.
    pub fn preferences<'p>(
        customer_id: &[u8],
        updated_at: TimeBase,
        pairs: impl IntoIterator<Item = (&'p [u8], &'p [u8])>,
    ) -> Result<Self, EncodeError> {
        let mut bytes = vec![0; MAX_FRAME_BYTES];
        let mut encoder = PreferencesEncoder::new(&mut bytes, UNNUMBERED, updated_at, customer_id)?;
        for (key, value) in pairs {
            encoder.push(key, value)?;
        }
        let length = encoder.finish()?;
        bytes.truncate(length);
        bytes.shrink_to_fit();
        Ok(Self { bytes, encoded_at: Instant::now(), base_age_us: age(updated_at), sighting_count: 0 })
    }

    /// A sightings or preferences frame encoded elsewhere; its sequence does not matter.
    ///
    /// # Errors
    /// `bytes` are not one sound frame, or one of another kind.
    pub fn from_encoded(bytes: Vec<u8>) -> Result<Self, DecodeError> {
        let frame = deframe_whole(&bytes, MAX_FRAME_BYTES)?;
        let (base, sighting_count) = match Message::decode(frame)? {
            Message::Sightings(batch) => (batch.base, batch.sighting_count()),
            Message::Preferences(preferences) => (preferences.updated_at, 0),
            other => return Err(DecodeError::Field { kind: other.kind(), field: Field::Kind, offset: 3 }),
        };
        Ok(Self { encoded_at: Instant::now(), base_age_us: age(base), sighting_count, bytes })
    }

    /// Bytes of the frame.
    #[must_use]
    pub const fn frame_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Sightings in the frame, 0 for preferences.
    #[must_use]
    pub const fn sighting_count(&self) -> u16 {
        self.sighting_count
    }

    pub(super) const fn is_preferences(&self) -> bool {
        self.sighting_count == 0
    }

    /// The frame as it is to leave now.
    pub(super) fn bytes_at(&mut self, now: Instant) -> &[u8] {
        if let Some(age_us) = self.base_age_us {
            let since = i64::try_from((now - self.encoded_at).as_micros()).unwrap_or(i64::MAX);
            // The frame was made by this type with an age of zero or more: it can be aged.
            let aged = set_age(&mut self.bytes, age_us.saturating_add(since));
            debug_assert!(aged.is_ok(), "{aged:?}");
        }
        &self.bytes
    }

    pub(super) fn number(&mut self, sequence: u64) {
        let numbered = set_sequence(&mut self.bytes, sequence);
        debug_assert!(numbered.is_ok(), "{numbered:?}");
    }

    /// A new frame of those sightings that are `undecided`; `None` when there are none, or the list does not fit.
    pub(super) fn undecided(&mut self, exceptions: &[Exception]) -> Option<Self> {
        let undecided = exceptions.iter().filter(|exception| exception.code == OutcomeCode::Undecided);
        self.part(undecided.map(|exception| usize::from(exception.index)))
    }

    /// The frame, or frames of half its sightings, of a quarter, and so on, until each keeps within the limits.
    ///
    /// # Errors
    /// The frame as it was, when a part cannot keep within them: preferences are not divided.
    pub fn divided(mut self, limits: FrameLimits) -> Result<Vec<Self>, Self> {
        if limits.admit(&self) { Ok(vec![self]) } else { self.parts(limits).ok_or(self) }
    }

    fn parts(&mut self, limits: FrameLimits) -> Option<Vec<Self>> {
        let (mut kept, mut rest) = (Vec::new(), vec![self.clone()]);
        while let Some(mut frame) = rest.pop() {
            if limits.admit(&frame) {
                kept.push(frame);
                continue;
            }
            let count = usize::from(frame.sighting_count);
            let half = count / 2;
            if half == 0 {
                return None;
            }
            // The last is the next to be looked at.
            rest.push(frame.part(half..count)?);
            rest.push(frame.part(0..half)?);
        }
        Some(kept)
    }

    /// A new frame of the sightings at those places, which ascend, and their beacons.
    fn part(&mut self, places: impl Iterator<Item = usize>) -> Option<Self> {
        // Times are those of the first frame: ages go on from when that was encoded.
        if let Some(age_us) = self.base_age_us {
            set_age(&mut self.bytes, age_us).ok()?;
        }
        let frame = deframe_whole(&self.bytes, MAX_FRAME_BYTES).ok()?;
        let Message::Sightings(batch) = Message::decode(frame).ok()? else { return None };
        let mut beacons = Vec::new();
        let mut indices = [None; MAX_BEACONS];
        let mut sightings = batch.sightings().enumerate();
        let mut chosen = Vec::new();
        for place in places {
            let mut sighting = sightings.find(|(at, _)| *at == place)?.1;
            let index = indices.get_mut(usize::from(sighting.beacon_index))?;
            if index.is_none() {
                *index = Some(u8::try_from(beacons.len()).ok()?);
                beacons.push(batch.beacon(sighting.beacon_index)?);
            }
            sighting.beacon_index = (*index)?;
            chosen.push(sighting);
        }
        let frame = Self::sightings(batch.base, &beacons, &chosen).ok()?;
        Some(Self { encoded_at: self.encoded_at, ..frame })
    }
}

/// The largest frame of sequenced data a session takes, and the most sightings in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLimits {
    /// Bytes, header included.
    pub max_frame_bytes: usize,
    /// Sightings.
    pub max_sightings: u16,
}

impl FrameLimits {
    /// What a welcome grants on TCP, or on UDP, where a frame shares its datagram with a header.
    pub(super) fn of(welcome: &Welcome, on_udp: bool) -> Self {
        let frame_bytes =
            usize::try_from(welcome.max_frame_bytes).unwrap_or(MAX_FRAME_BYTES).min(MAX_FRAME_BYTES);
        let datagram_bytes = usize::from(welcome.max_datagram_bytes).saturating_sub(DATAGRAM_HEADER_BYTES);
        let max_frame_bytes = if on_udp { frame_bytes.min(datagram_bytes) } else { frame_bytes };
        Self { max_frame_bytes, max_sightings: welcome.max_sightings }
    }

    /// What is said of a frame that does not keep within them.
    pub(super) const fn exceeded_by(self, frame: &OutgoingFrame) -> ClientError {
        let Self { max_frame_bytes, max_sightings } = self;
        let (frame_bytes, sighting_count) = (frame.frame_bytes(), frame.sighting_count);
        ClientError::TooLarge { frame_bytes, sighting_count, max_frame_bytes, max_sightings }
    }

    /// Whether a frame keeps within them.
    pub(super) const fn admit(&self, frame: &OutgoingFrame) -> bool {
        frame.frame_bytes() <= self.max_frame_bytes && frame.sighting_count <= self.max_sightings
    }
}

fn age(base: TimeBase) -> Option<i64> {
    match base {
        TimeBase::Utc(_) => None,
        TimeBase::Age(age_us) => Some(age_us),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Ping, age_of};

    const BEACON: BeaconRef = BeaconRef { uuid: [1; 16], major: 1, minor: 1 };

    fn sighting(customer_id: &[u8], time_offset_us: i32) -> SightingRef<'_> {
        SightingRef { beacon_index: 0, rssi_dbm: -60, time_offset_us, customer_id }
    }

    fn exception(index: u16, code: OutcomeCode) -> Exception {
        Exception { index, code, detail: 0 }
    }

    #[tokio::test(start_paused = true)]
    async fn undecided_sightings_keep_their_times_in_the_new_frame() {
        let sightings = [sighting(b"a", 0), sighting(b"b", 5), sighting(b"c", 9)];
        let mut frame = OutgoingFrame::sightings(TimeBase::Age(100), &[BEACON], &sightings).unwrap();
        tokio::time::advance(Duration::from_micros(50)).await;
        assert_eq!(age_of(frame.bytes_at(Instant::now())), Ok(Some(150)));
        let exceptions = [
            exception(0, OutcomeCode::Undecided),
            exception(1, OutcomeCode::Invalid),
            exception(2, OutcomeCode::Undecided),
        ];
        let mut again = frame.undecided(&exceptions).unwrap();
        tokio::time::advance(Duration::from_micros(7)).await;
        let bytes = again.bytes_at(Instant::now());
        let Message::Sightings(batch) = Message::decode(deframe_whole(bytes, bytes.len()).unwrap()).unwrap()
        else {
            panic!("not sightings")
        };
        assert_eq!(batch.base, TimeBase::Age(157));
        assert!(batch.sightings().eq([sighting(b"a", 0), sighting(b"c", 9)]));
    }

    #[tokio::test]
    async fn a_frame_is_divided_in_order_and_each_part_has_the_beacons_it_needs() {
        let beacons: Vec<_> = (0..100).map(|major| BeaconRef { major, ..BEACON }).collect();
        let ids: Vec<_> = (0..100_u8).map(|id| [id]).collect();
        let sightings: Vec<_> = ids
            .iter()
            .zip(0..)
            .map(|(id, beacon_index)| SightingRef { beacon_index, ..sighting(id, i32::from(beacon_index)) })
            .collect();
        let frame = OutgoingFrame::sightings(TimeBase::Age(5), &beacons, &sightings).unwrap();
        let limits = FrameLimits { max_frame_bytes: 556, max_sightings: 9 };
        let mut seen = Vec::new();
        for mut part in frame.divided(limits).unwrap() {
            assert!(limits.admit(&part));
            let bytes = part.bytes_at(part.encoded_at).to_vec();
            let frame = deframe_whole(&bytes, MAX_FRAME_BYTES).unwrap();
            let Message::Sightings(batch) = Message::decode(frame).unwrap() else { panic!("not sightings") };
            assert_eq!(batch.base, TimeBase::Age(5));
            seen.extend(batch.sightings().map(|part| {
                let major = batch.beacon(part.beacon_index).unwrap().major;
                (u16::from(part.customer_id[0]), major, part.time_offset_us)
            }));
        }
        assert!(seen.into_iter().eq((0..100).map(|at| (at, at, i32::from(at)))));
        let whole =
            OutgoingFrame::preferences(b"c", TimeBase::Utc(1), [(b"k".as_slice(), [0; 1_000].as_slice())]);
        assert!(whole.unwrap().divided(limits).is_err());
    }

    #[tokio::test]
    async fn exceptions_outside_the_frame_make_no_frame() {
        let mut frame = OutgoingFrame::sightings(TimeBase::Utc(1), &[BEACON], &[sighting(b"a", 0)]).unwrap();
        assert!(frame.undecided(&[exception(1, OutcomeCode::Undecided)]).is_none());
        assert!(frame.undecided(&[]).is_none());
    }

    #[tokio::test]
    async fn only_sequenced_frames_are_taken_from_outside() {
        let mut bytes = vec![0; 28];
        Ping { token: 1, time_us: 1 }.encode(&mut bytes).unwrap();
        assert!(OutgoingFrame::from_encoded(bytes).is_err());
        let mut own =
            OutgoingFrame::preferences(b"c", TimeBase::Utc(1), [(b"k".as_slice(), b"v".as_slice())]).unwrap();
        let bytes = own.bytes_at(Instant::now()).to_vec();
        assert!(OutgoingFrame::from_encoded(bytes.clone()).unwrap().is_preferences());
        assert!(OutgoingFrame::from_encoded(bytes[1..].to_vec()).is_err());
    }
}
