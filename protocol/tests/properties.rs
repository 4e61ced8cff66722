//! Properties of the codec: whatever arrives, however it is split, nothing panics and nothing is lost.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests: what is unexpected should stop right there"
)]

use beacon_protocol::{
    Ack, AckEncoder, AckLevel, BeaconRef, DatagramHeader, DecodeError, Deframed, EncodeError, Exception,
    GatewayStatus, Goodbye, GoodbyeReason, Hello, MAX_FRAME_BYTES, Message, OUTCOME_CODES, OutcomeCode, Ping,
    Pong, PreferencesEncoder, RecordStatus, Refusal, RefusalCode, ResultRecord, SightingRef,
    SightingsEncoder, TimeBase, Welcome, decode_datagram, deframe, deframe_whole,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

/// A message that owns its parts.
#[derive(Debug, Clone)]
enum Owned {
    Hello { level: u8, epoch: u64, first: u64, random: [u8; 32], id: String, auth: Vec<u8> },
    Welcome(Box<Welcome>),
    Sightings { sequence: u64, base: TimeBase, beacons: Vec<BeaconRef>, sightings: Vec<OwnedSighting> },
    Ack { cumulative: u64, received: u64, records: Vec<OwnedRecord> },
    Refusal { sequence: u64, code: u16, retry_after_ms: u32, text: String },
    Ping(Ping),
    Pong(Pong),
    Goodbye(Goodbye),
    Preferences { sequence: u64, base: TimeBase, customer_id: Vec<u8>, pairs: Vec<(Vec<u8>, Vec<u8>)> },
    Status { numbers: (u64, i64, u32, u64, u64), firmware: String },
}

type OwnedSighting = (u8, i8, i32, Vec<u8>);
type OwnedRecord = (u64, u8, u16, [u16; OUTCOME_CODES], Vec<Exception>);

impl Owned {
    fn encode(&self, buffer: &mut [u8]) -> Result<usize, EncodeError> {
        match self {
            Self::Hello { .. } => self.hello().encode(buffer),
            Self::Welcome(welcome) => welcome.encode(buffer),
            Self::Sightings { sequence, base, beacons, sightings } => {
                let mut encoder = SightingsEncoder::new(buffer, *sequence, *base, beacons)?;
                for sighting in sightings {
                    encoder.push(&sighting_ref(sighting, beacons.len()))?;
                }
                encoder.finish()
            }
            Self::Ack { cumulative, received, records } => {
                let mut encoder = AckEncoder::new(buffer, *cumulative, *received)?;
                for record in records {
                    encoder.push(&record_ref(record))?;
                }
                encoder.finish()
            }
            Self::Refusal { .. } => self.refusal().encode(buffer),
            Self::Ping(ping) => ping.encode(buffer),
            Self::Pong(pong) => pong.encode(buffer),
            Self::Goodbye(goodbye) => goodbye.encode(buffer),
            Self::Preferences { sequence, base, customer_id, pairs } => {
                let mut encoder = PreferencesEncoder::new(buffer, *sequence, *base, customer_id)?;
                for (key, value) in pairs {
                    encoder.push(key, value)?;
                }
                encoder.finish()
            }
            Self::Status { .. } => self.status().encode(buffer),
        }
    }

    fn hello(&self) -> Hello<'_> {
        let Self::Hello { level, epoch, first, random, id, auth } = self else { panic!("{self:?}") };
        Hello {
            min_version: 1,
            max_version: 1,
            ack_level: AckLevel::from_byte(*level),
            boot_epoch: *epoch,
            first_unacked: *first,
            client_random: *random,
            gateway_id: id,
            auth_method: u8::from(!auth.is_empty()),
            auth,
        }
    }

    fn refusal(&self) -> Refusal<'_> {
        let Self::Refusal { sequence, code, retry_after_ms, text } = self else { panic!("{self:?}") };
        let code = RefusalCode::from_number(*code);
        Refusal { sequence: *sequence, code, retry_after_ms: *retry_after_ms, text }
    }

    fn status(&self) -> GatewayStatus<'_> {
        let Self::Status { numbers, firmware } = self else { panic!("{self:?}") };
        let (uptime_ms, gateway_time_us, queued_frames, dropped_sightings, resent_frames) = *numbers;
        GatewayStatus {
            uptime_ms,
            gateway_time_us,
            queued_frames,
            dropped_sightings,
            resent_frames,
            firmware,
        }
    }

    fn assert_equals(&self, message: Message<'_>) {
        match (self, message) {
            (Self::Sightings { sequence, base, beacons, sightings }, Message::Sightings(batch)) => {
                assert_eq!((batch.sequence, batch.base), (*sequence, *base));
                assert!(batch.beacons().eq(beacons.iter().copied()));
                let sent = sightings.iter().map(|sighting| sighting_ref(sighting, beacons.len()));
                assert!(batch.sightings().eq(sent));
            }
            (Self::Ack { cumulative, received, records }, Message::Ack(ack)) => {
                assert_eq!((ack.cumulative, ack.received), (*cumulative, *received));
                assert_records(&ack, records);
            }
            (Self::Preferences { sequence, base, customer_id, pairs }, Message::Preferences(found)) => {
                assert_eq!((found.sequence, found.updated_at), (*sequence, *base));
                assert_eq!(found.customer_id, customer_id);
                let sent = pairs.iter().map(|(key, value)| (key.as_slice(), value.as_slice()));
                assert!(found.pairs().map(|pair| (pair.key, pair.value)).eq(sent));
            }
            (Self::Hello { .. }, found) => assert_eq!(found, Message::Hello(self.hello())),
            (Self::Welcome(sent), found) => assert_eq!(found, Message::Welcome(**sent)),
            (Self::Refusal { .. }, found) => assert_eq!(found, Message::Refusal(self.refusal())),
            (Self::Ping(sent), found) => assert_eq!(found, Message::Ping(*sent)),
            (Self::Pong(sent), found) => assert_eq!(found, Message::Pong(*sent)),
            (Self::Goodbye(sent), found) => assert_eq!(found, Message::Goodbye(*sent)),
            (Self::Status { .. }, found) => assert_eq!(found, Message::GatewayStatus(self.status())),
            (sent, found) => panic!("{sent:?} came back as {found:?}"),
        }
    }
}

fn sighting_ref((index, rssi_dbm, offset, id): &OwnedSighting, beacons: usize) -> SightingRef<'_> {
    let beacon_index = u8::try_from(usize::from(*index) % beacons).unwrap();
    SightingRef { beacon_index, rssi_dbm: *rssi_dbm, time_offset_us: *offset, customer_id: id }
}

fn record_ref((sequence, status, dead_lettered, counts, exceptions): &OwnedRecord) -> ResultRecord<'_> {
    let status = RecordStatus::from_byte(*status).unwrap();
    ResultRecord { sequence: *sequence, status, dead_lettered: *dead_lettered, counts: *counts, exceptions }
}

fn assert_records(ack: &Ack<'_>, sent: &[OwnedRecord]) {
    assert_eq!(ack.records().count(), sent.len());
    for (found, sent) in ack.records().zip(sent.iter().map(record_ref)) {
        assert_eq!((found.sequence, found.status), (sent.sequence, sent.status));
        assert_eq!((found.dead_lettered, found.counts), (sent.dead_lettered, sent.counts));
        assert!(found.exceptions().eq(sent.exceptions.iter().copied()));
    }
}

fn base() -> impl Strategy<Value = TimeBase> {
    prop_oneof![any::<i64>().prop_map(TimeBase::Utc), (0..=i64::MAX).prop_map(TimeBase::Age)]
}

fn beacon() -> impl Strategy<Value = BeaconRef> {
    any::<([u8; 16], u16, u16)>().prop_map(|(uuid, major, minor)| BeaconRef { uuid, major, minor })
}

fn exceptions() -> impl Strategy<Value = Vec<Exception>> {
    btree_map(any::<u16>(), (0..8_usize, any::<u8>()), 0..20).prop_map(|map| {
        let listed = |(index, (code, detail))| Exception { index, code: OutcomeCode::ALL[code], detail };
        map.into_iter().map(listed).collect()
    })
}

fn welcome() -> impl Strategy<Value = Welcome> {
    let numbers = any::<(u64, u64, u64, [u8; 8], u32, u16, u16, u32, i64, [u8; 32])>();
    (1..=2_u8, 1..=u32::MAX, numbers).prop_map(|(level, window_frames, numbers)| {
        let (session, boot_epoch, last_acked, client_random_echo, max_frame_bytes, ..) = numbers;
        let (.., max_datagram_bytes, max_sightings, idle_timeout_ms, server_time_us, server_random) = numbers;
        Welcome {
            version: 1,
            ack_level: AckLevel::from_byte(level).unwrap(),
            session,
            boot_epoch,
            last_acked,
            client_random_echo,
            window_frames,
            max_frame_bytes,
            max_datagram_bytes,
            max_sightings,
            idle_timeout_ms,
            server_time_us,
            server_random,
        }
    })
}

fn message() -> impl Strategy<Value = Owned> {
    let bytes = |most: usize| vec(any::<u8>(), 0..=most);
    let hello =
        (0..3_u8, any::<u64>(), 1..=u64::MAX, any::<[u8; 32]>(), "[^\\p{Cc}]{1,16}", bytes(512)).prop_map(
            |(level, epoch, first, random, id, auth)| Owned::Hello { level, epoch, first, random, id, auth },
        );
    let sighting = (any::<u8>(), any::<i8>(), any::<i32>(), bytes(255));
    let sightings = (1..=u64::MAX, base(), vec(beacon(), 1..=255), vec(sighting, 1..100)).prop_map(
        |(sequence, base, beacons, sightings)| Owned::Sightings { sequence, base, beacons, sightings },
    );
    let record = (1..=u64::MAX, 0..5_u8, any::<u16>(), any::<[u16; OUTCOME_CODES]>(), exceptions());
    let ack = (any::<u64>(), any::<u64>(), vec(record, 0..20))
        .prop_map(|(cumulative, received, records)| Owned::Ack { cumulative, received, records });
    let refusal = (any::<u64>(), 1..=u16::MAX, any::<u32>(), ".{0,60}").prop_map(
        |(sequence, code, retry_after_ms, text)| Owned::Refusal { sequence, code, retry_after_ms, text },
    );
    let ping = any::<(u64, i64)>().prop_map(|(token, time_us)| Owned::Ping(Ping { token, time_us }));
    let pong = any::<(u64, i64)>().prop_map(|(token, time_us)| Owned::Pong(Pong { token, time_us }));
    let goodbye = any::<(bool, u32)>().prop_map(|(draining, deadline_ms)| {
        let reason = if draining { GoodbyeReason::Draining } else { GoodbyeReason::Leaving };
        Owned::Goodbye(Goodbye { reason, deadline_ms })
    });
    let pairs = vec((bytes(255), bytes(700)), 1..=64);
    let preferences =
        (1..=u64::MAX, base(), bytes(255), pairs).prop_map(|(sequence, base, customer_id, pairs)| {
            Owned::Preferences { sequence, base, customer_id, pairs }
        });
    let status = (any::<(u64, i64, u32, u64, u64)>(), ".{0,60}")
        .prop_map(|(numbers, firmware)| Owned::Status { numbers, firmware });
    let welcome = welcome().prop_map(|welcome| Owned::Welcome(Box::new(welcome)));
    prop_oneof![hello, welcome, sightings, ack, refusal, ping, pong, goodbye, preferences, status]
}

fn frame_of(message: &Owned) -> Vec<u8> {
    let mut buffer = vec![0xAA; MAX_FRAME_BYTES];
    let length = message.encode(&mut buffer).unwrap();
    buffer.truncate(length);
    buffer
}

/// Every frame of a stream that arrives in pieces, as a session would collect them.
fn frames_of<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Vec<(u8, Vec<u8>)>, DecodeError> {
    let (mut buffer, mut frames) = (Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while let Deframed::Frame { frame, consumed } = deframe(&buffer, MAX_FRAME_BYTES)? {
            frames.push((frame.kind(), frame.body().to_vec()));
            buffer.drain(..consumed);
        }
    }
    assert!(buffer.is_empty(), "{} bytes left", buffer.len());
    Ok(frames)
}

/// Reads everything a frame offers, so that whatever could panic does.
fn read_to_the_end(bytes: &[u8]) {
    let Ok(Deframed::Frame { frame, .. }) = deframe(bytes, MAX_FRAME_BYTES) else {
        return;
    };
    match Message::decode(frame) {
        Ok(Message::Sightings(batch)) => {
            assert_eq!(batch.sightings().count(), usize::from(batch.sighting_count()));
            assert!(batch.sightings().all(|sighting| batch.beacon(sighting.beacon_index).is_some()));
            assert_eq!(
                batch.identity_checksum() == frame.checksum(),
                !batch.base.is_age() || { batch.base == TimeBase::Age(0) }
            );
        }
        Ok(Message::Ack(ack)) => {
            assert_eq!(ack.records().count(), usize::from(ack.record_count()));
            assert!(ack.records().all(|record| record.exceptions().count() == record.exception_count()));
        }
        Ok(Message::Preferences(preferences)) => {
            assert_eq!(preferences.pairs().count(), usize::from(preferences.pair_count()));
        }
        Ok(_) | Err(_) => {}
    }
}

/// The header with the length and checksum its body asks for, so that damage reaches the decoder.
fn reseal(frame: &mut [u8]) {
    let body_bytes = u32::try_from(frame.len() - 12).unwrap();
    frame[4..8].copy_from_slice(&body_bytes.to_be_bytes());
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&frame[..8]), &frame[12..]);
    frame[8..12].copy_from_slice(&checksum.to_be_bytes());
}

proptest! {
    #[test]
    fn every_message_comes_back_as_it_was(message in message()) {
        let frame = frame_of(&message);
        message.assert_equals(Message::decode(deframe_whole(&frame, MAX_FRAME_BYTES)?)?);
    }

    #[test]
    fn any_split_of_a_stream_gives_the_same_frames(
        messages in vec(message(), 1..5),
        cuts in vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let stream: Vec<u8> = messages.iter().flat_map(frame_of).collect();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let whole = frames_of(std::iter::once(stream.as_slice()))?;
        let pieces = frames_of(cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]))?;
        prop_assert_eq!(whole.len(), messages.len());
        prop_assert_eq!(whole, pieces);
    }

    #[test]
    fn a_stream_asks_for_what_completes_the_frame_and_not_more(message in message(), cut in any::<prop::sample::Index>()) {
        let frame = frame_of(&message);
        let cut = cut.index(frame.len());
        let Deframed::Need(wanted) = deframe(&frame[..cut], MAX_FRAME_BYTES)? else { panic!("a frame from {cut} bytes") };
        prop_assert!(wanted > cut && wanted <= frame.len());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..400)) {
        read_to_the_end(&bytes);
        let _ = decode_datagram(&bytes, MAX_FRAME_BYTES).map(|(_, frame)| Message::decode(frame).is_ok());
    }

    #[test]
    fn arbitrary_bodies_never_panic(kind in any::<u8>(), body in vec(any::<u8>(), 0..400)) {
        let mut frame = [vec![0xBE, 0xAC, 1, kind, 0, 0, 0, 0, 0, 0, 0, 0], body].concat();
        reseal(&mut frame);
        prop_assert!(deframe_whole(&frame, MAX_FRAME_BYTES).is_ok());
        read_to_the_end(&frame);
    }

    #[test]
    fn a_damaged_frame_never_panics_and_is_never_taken_for_whole(
        message in message(),
        place in any::<prop::sample::Index>(),
        bits in 1..=u8::MAX,
    ) {
        let mut frame = frame_of(&message);
        let place = place.index(frame.len());
        frame[place] ^= bits;
        prop_assert!(deframe_whole(&frame, MAX_FRAME_BYTES).is_err());
        reseal(&mut frame);
        read_to_the_end(&frame);
    }

    #[test]
    fn a_datagram_is_its_header_and_one_frame(message in message(), session in any::<u64>(), number in 1..=u64::MAX) {
        let mut datagram = vec![0; 20];
        let header = DatagramHeader { session, packet_number: number };
        prop_assert_eq!(header.encode(&mut datagram)?, 20);
        datagram.extend(frame_of(&message));
        let (found, frame) = decode_datagram(&datagram, MAX_FRAME_BYTES)?;
        prop_assert_eq!(found, header);
        message.assert_equals(Message::decode(frame)?);
    }
}
