//! A session of a server: what was answered, and what is answered to each frame.

use std::collections::BTreeMap;

use beacon_protocol::{
    AckEncoder, AckLevel, Goodbye, Hello, Kind, MAX_FRAME_BYTES, Message, OUTCOME_CODES, OutcomeCode, Ping,
    Pong, RawFrame, RecordStatus, Refusal, RefusalCode, ResultRecord, Welcome, deframe_whole,
};

use super::fault::Fault;

/// Frames a gateway may have unanswered.
const WINDOW: u32 = 16;
/// Short, so that silence can be waited for.
const IDLE_MS: u32 = 1_000;

/// What is done about a frame.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) frames: Vec<Vec<u8>>,
    /// The connection, or the session over UDP, is over.
    pub(super) ends: bool,
}

impl Answer {
    pub(super) fn of(frame: Vec<u8>) -> Self {
        Self { frames: vec![frame], ends: false }
    }

    fn nothing() -> Self {
        Self::default()
    }
}

/// Who said hello, and what has come since.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) number: u64,
    pub(super) gateway: String,
    pub(super) boot_epoch: u64,
    pub(super) client_random: [u8; 32],
    server_random: [u8; 32],
    fault: Option<Fault>,
    over_udp: bool,
    first: u64,
    /// Identity checksum and record of each frame.
    seen: BTreeMap<u64, (u32, Record)>,
    /// Frames whose repeat was answered, for a server that answers otherwise then.
    repeats: u16,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    status: RecordStatus,
    sightings: u16,
}

impl Session {
    /// Grants a hello, or refuses it.
    pub(super) fn granted(
        hello: &Hello<'_>,
        number: u64,
        fault: Option<Fault>,
        over_udp: bool,
    ) -> Result<Self, RefusalCode> {
        if hello.min_version > 1 {
            let wrong = fault == Some(Fault::SaysTooManySessionsForVersions);
            return Err(if wrong { RefusalCode::TooManySessions } else { RefusalCode::UnsupportedVersion });
        }
        if hello.auth_method != 0 && fault != Some(Fault::TakesAnyAuthentication) {
            return Err(RefusalCode::Unauthenticated);
        }
        let mut server_random = [0; 32];
        fastrand::fill(&mut server_random);
        Ok(Self {
            number,
            gateway: hello.gateway_id.to_owned(),
            boot_epoch: hello.boot_epoch,
            client_random: hello.client_random,
            server_random,
            fault,
            over_udp,
            first: hello.first_unacked,
            seen: BTreeMap::new(),
            repeats: 0,
        })
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    pub(super) fn welcome(&self, asked: Option<AckLevel>) -> Vec<u8> {
        let weaker = asked == Some(AckLevel::Stored) && self.has(Fault::GrantsAWeakerLevel);
        let welcome = Welcome {
            version: if self.has(Fault::ChoosesVersionTwo) { 2 } else { 1 },
            ack_level: if weaker { AckLevel::Journal } else { AckLevel::Stored },
            session: self.number,
            boot_epoch: self.boot_epoch,
            last_acked: 0,
            client_random_echo: self.client_random[..8].try_into().unwrap(),
            window_frames: if self.has(Fault::GrantsAWideWindow) { 128 } else { WINDOW },
            max_frame_bytes: 65_536,
            max_datagram_bytes: 1_200,
            max_sightings: 4_096,
            idle_timeout_ms: IDLE_MS,
            server_time_us: 0,
            server_random: self.server_random,
        };
        encoded(|buffer| welcome.encode(buffer).unwrap())
    }

    /// What a sound frame is answered; `None`: it is none of this session's business.
    pub(super) fn hear(&mut self, frame: &RawFrame<'_>, message: &Message<'_>) -> Answer {
        match message {
            Message::Sightings(batch) => {
                let record = Record { status: RecordStatus::Decided, sightings: batch.sighting_count() };
                self.sequenced(batch.sequence, batch.identity_checksum(), record)
            }
            Message::Preferences(preferences) => {
                let record = Record { status: RecordStatus::PreferencesAccepted, sightings: 0 };
                self.sequenced(preferences.sequence, preferences.identity_checksum(), record)
            }
            Message::Ping(Ping { token, .. }) => {
                let token = if self.has(Fault::AnswersOtherTokens) { token ^ 1 } else { *token };
                Answer::of(encoded(|buffer| Pong { token, time_us: 0 }.encode(buffer).unwrap()))
            }
            Message::Goodbye(Goodbye { .. }) => Answer { frames: Vec::new(), ends: true },
            Message::Skipped(_) if self.has(Fault::RefusesUnknownKinds) => {
                refusal(0, RefusalCode::UnknownCriticalKind)
            }
            Message::GatewayStatus(_) | Message::Pong(_) | Message::Skipped(_) => Answer::nothing(),
            Message::Refusal(_) if self.has(Fault::RefusesRefusals) => {
                refusal(0, RefusalCode::UnexpectedKind)
            }
            Message::Refusal(_) => Answer { frames: Vec::new(), ends: !self.over_udp },
            Message::Hello(_) | Message::Welcome(_) | Message::Ack(_) => {
                let own = frame.kind() != Kind::Hello.byte();
                if own && self.has(Fault::TakesKindsOfItsOwn) {
                    return Answer::nothing();
                }
                refusal(0, RefusalCode::UnexpectedKind)
            }
        }
    }

    /// The table of 8.3.
    fn sequenced(&mut self, sequence: u64, identity: u32, record: Record) -> Answer {
        let highest = self.seen.last_key_value().map_or(self.first - 1, |(sequence, _)| *sequence);
        let allowed = if self.over_udp { self.cumulative() + u64::from(WINDOW) } else { highest + 1 };
        if sequence < self.first || (sequence > allowed && !self.has(Fault::TakesGaps)) {
            return refusal(sequence, RefusalCode::SequenceGap);
        }
        if self.has(Fault::SaysBusyOnTcp) && sequence > 8 {
            return refusal(sequence, RefusalCode::Busy);
        }
        let Some((known, record)) = self.seen.get(&sequence).copied() else {
            self.seen.insert(sequence, (identity, record));
            if self.has(Fault::ForgetsFramesAtGoodbye) && sequence == 3 {
                return Answer::nothing();
            }
            return self.ack(sequence, record);
        };
        if known != identity && !self.has(Fault::TakesReusedSequences) {
            return refusal(sequence, RefusalCode::SequenceReused);
        }
        if self.has(Fault::IsSilentAboutRepeats) {
            return Answer::nothing();
        }
        let forgotten = if self.has(Fault::ForgetsRecords) { 2 } else { u64::from(WINDOW) };
        if self.over_udp && sequence + forgotten <= highest {
            return Answer::of(self.encoded_ack(&[]));
        }
        self.repeats += 1;
        if self.has(Fault::AnswersRepeatsOtherwise) {
            return self.ack(sequence, Record { status: RecordStatus::Repeat, ..record });
        }
        self.ack(sequence, record)
    }

    fn ack(&self, sequence: u64, record: Record) -> Answer {
        let mut counts = [0; OUTCOME_CODES];
        if record.status == RecordStatus::Decided {
            let more = u16::from(self.has(Fault::CountsWrong));
            counts[usize::from(OutcomeCode::Duplicate.byte())] = record.sightings + more;
        }
        let sequence = if self.has(Fault::AcksWhatItWasNotSent) { sequence + 100 } else { sequence };
        let status = record.status;
        let record = ResultRecord { sequence, status, dead_lettered: 0, counts, exceptions: &[] };
        Answer::of(self.encoded_ack(&[record]))
    }

    fn encoded_ack(&self, records: &[ResultRecord<'_>]) -> Vec<u8> {
        let cumulative = self.cumulative();
        let beyond = self.seen.keys().filter_map(|sequence| sequence.checked_sub(cumulative + 1));
        let received = beyond.filter(|bit| *bit < 64).fold(0, |bits, bit| bits | 1 << bit);
        let received = if self.over_udp { received } else { 0 };
        let cumulative = if self.has(Fault::AcksBeyond) { cumulative + 1 } else { cumulative };
        encoded(|buffer| {
            let mut ack = AckEncoder::new(buffer, cumulative, received).unwrap();
            for record in records {
                ack.push(record).unwrap();
            }
            ack.finish().unwrap()
        })
    }

    fn cumulative(&self) -> u64 {
        (self.first..).find(|sequence| !self.seen.contains_key(sequence)).unwrap() - 1
    }
}

/// A refusal without a text: as short as can be.
pub(super) fn refusal(sequence: u64, code: RefusalCode) -> Answer {
    refusal_with(sequence, code, "")
}

pub(super) fn refusal_with(sequence: u64, code: RefusalCode, text: &str) -> Answer {
    let refusal = Refusal { sequence, code, retry_after_ms: 0, text };
    Answer { frames: vec![encoded(|buffer| refusal.encode(buffer).unwrap())], ends: code.closes_connection() }
}

/// A message that is whole, whatever bytes lie behind it.
pub(super) fn lenient(frame: &[u8]) -> Option<RawFrame<'_>> {
    let body_bytes = u32::from_be_bytes(frame.get(4..8)?.try_into().ok()?);
    let whole = frame.get(..12 + usize::try_from(body_bytes).ok()?)?;
    deframe_whole(whole, MAX_FRAME_BYTES).ok()
}

fn encoded(encode: impl FnOnce(&mut [u8]) -> usize) -> Vec<u8> {
    let mut buffer = vec![0; MAX_FRAME_BYTES];
    let length = encode(&mut buffer);
    buffer.truncate(length);
    buffer
}
