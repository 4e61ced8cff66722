//! A gateway as small as one can be that keeps the rules, but for the fault it is given.

mod fault;
mod link;
mod session;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use beacon_protocol::{
    Ack, AckLevel, BeaconRef, HEADER_BYTES, Hello, MAX_FRAME_BYTES, Message, OutcomeCode, Ping, Pong,
    Refusal, RefusalCode, SightingRef, SightingsEncoder, TimeBase, Welcome, deframe_whole, set_age,
};

pub(crate) use self::fault::Fault;
use self::link::{Heard, Link};
use self::session::{Known, Session};

/// How often timers are looked at while nothing comes.
const STEP: Duration = Duration::from_millis(20);
const GREETING_AT_MOST: Duration = Duration::from_secs(10);
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Of a wait that is cut by up to a half at random.
const CUT: f64 = 0.75;
/// 2033-05-18; sightings are a microsecond apart.
const BEGAN_US: i64 = 2_000_000_000_000_000;

/// Runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Running(#[expect(dead_code, reason = "it is there to be dropped")] SyncSender<()>);

#[derive(Debug, Clone, Copy)]
struct Sighting {
    number: i64,
}

#[derive(Debug)]
struct Frame {
    bytes: Vec<u8>,
    sightings: Vec<Sighting>,
    made_at: Instant,
    recorded: bool,
}

impl Frame {
    fn fits(&self, terms: &Welcome) -> bool {
        self.sightings.len() <= usize::from(terms.max_sightings)
            && self.bytes.len() <= usize::try_from(terms.max_frame_bytes).unwrap()
    }
}

/// How a session ended, or the attempt at one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Lost,
    /// The next one may begin at once.
    Unknown,
    Stopped,
}

#[derive(Debug)]
struct Gateway {
    fault: Option<Fault>,
    server: SocketAddr,
    over_udp: bool,
    stop: Receiver<()>,
    epoch: u64,
    next_sequence: u64,
    frames: BTreeMap<u64, Frame>,
    sighted: i64,
    /// Sightings to be sent again, and when.
    undecided: Vec<(Instant, Vec<Sighting>)>,
    undecided_wait: Duration,
    failures: u32,
    retry_after: Duration,
}

/// Starts one on a thread of its own.
pub(crate) fn start(server: SocketAddr, over_udp: bool, fault: Option<Fault>) -> Running {
    let (running, stop) = sync_channel(0);
    let gateway = Gateway {
        fault,
        server,
        over_udp,
        stop,
        epoch: fastrand::u64(..),
        next_sequence: 1,
        frames: BTreeMap::new(),
        sighted: 0,
        undecided: Vec::new(),
        undecided_wait: FIRST_WAIT,
        failures: 0,
        retry_after: Duration::ZERO,
    };
    std::thread::spawn(move || gateway.run());
    Running(running)
}

impl Gateway {
    fn run(mut self) {
        let mut wait = Duration::ZERO;
        while matches!(self.stop.recv_timeout(wait), Err(RecvTimeoutError::Timeout)) {
            let end = match self.greet() {
                Ok(session) => self.hold(session),
                Err(end) => end,
            };
            wait = self.wait_after(end);
        }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn is_stopped(&self) -> bool {
        !matches!(self.stop.try_recv(), Err(TryRecvError::Empty))
    }

    fn wait_after(&mut self, end: End) -> Duration {
        let least = std::mem::take(&mut self.retry_after);
        let least = if self.has(Fault::IgnoresRetryAfter) { Duration::ZERO } else { least };
        if end != End::Lost {
            return least;
        }
        if self.has(Fault::ReconnectsAtOnce) {
            return STEP;
        }
        let wait = FIRST_WAIT.saturating_mul(1 << self.failures.min(6)).min(LONGEST_WAIT);
        self.failures += 1;
        wait.mul_f64(CUT).max(least)
    }

    fn first_unacked(&mut self) -> u64 {
        if self.has(Fault::ForgetsUnackedFrames) {
            return self.next_sequence;
        }
        let unrecorded = self.frames.iter().find(|(_, frame)| !frame.recorded);
        unrecorded.map_or(self.next_sequence, |(sequence, _)| *sequence)
    }

    fn hello(&self, first_unacked: u64, client_random: [u8; 32]) -> Vec<u8> {
        let hello = Hello {
            min_version: 1,
            max_version: 1,
            ack_level: Some(AckLevel::Stored),
            boot_epoch: self.epoch,
            first_unacked,
            client_random,
            gateway_id: "broken",
            auth_method: 0,
            auth: &[],
        };
        encoded(|buffer| hello.encode(buffer).unwrap())
    }

    /// Says hello and awaits the welcome.
    fn greet(&mut self) -> Result<Session, End> {
        let mut link = Link::connect(self.server, self.over_udp).map_err(|_| End::Lost)?;
        let first = self.first_unacked();
        let mut client_random = [0; 32];
        fastrand::fill(&mut client_random);
        if !self.has(Fault::SpeaksWithoutHello) {
            link.send(&self.hello(first, client_random));
        }
        if matches!(self.fault, Some(Fault::SpeaksWithoutHello | Fault::SendsBeforeTheWelcome)) {
            link.send(&self.frame(first, 2));
        }
        let (began, mut said_at, mut again) = (Instant::now(), Instant::now(), FIRST_WAIT);
        loop {
            if self.is_stopped() {
                return Err(End::Stopped);
            }
            match link.next(Instant::now() + STEP, false) {
                Heard::Ended | Heard::Unsound(..) => return Err(End::Lost),
                Heard::Silence if !self.over_udp && began.elapsed() > GREETING_AT_MOST => {
                    return Err(End::Lost);
                }
                Heard::Silence => {
                    let repeats = self.over_udp && !self.has(Fault::NeverRepeatsItsHello);
                    if repeats && said_at.elapsed() >= again {
                        link.send(&self.hello(first, client_random));
                        (said_at, again) = (Instant::now(), again * 2);
                    }
                }
                Heard::Frame(frame) => match Message::decode(deframe_whole(&frame, MAX_FRAME_BYTES).unwrap())
                {
                    Ok(Message::Welcome(welcome)) => {
                        let ours = welcome.boot_epoch == self.epoch
                            && client_random.starts_with(&welcome.client_random_echo);
                        if ours || self.has(Fault::TakesForeignWelcomes) {
                            return self.accept(link, welcome, first);
                        }
                    }
                    Ok(Message::Refusal(refusal)) => {
                        self.retry_after = Duration::from_millis(refusal.retry_after_ms.into());
                        return Err(End::Lost);
                    }
                    _ => {}
                },
            }
        }
    }

    fn accept(&mut self, mut link: Link, welcome: Welcome, first: u64) -> Result<Session, End> {
        let possible = welcome.version == 1
            && welcome.ack_level == AckLevel::Stored
            && welcome.session != 0
            && (1_024..=65_536).contains(&welcome.max_frame_bytes)
            && welcome.max_datagram_bytes >= 576
            && (1..=4_096).contains(&welcome.max_sightings)
            && welcome.idle_timeout_ms >= 1_000;
        if !possible {
            return Err(End::Lost);
        }
        if self.next_sequence <= welcome.last_acked {
            if !self.has(Fault::KeepsItsEpoch) {
                self.renumber();
            }
            return Err(End::Unknown);
        }
        if let Link::Udp { session, .. } = &mut link {
            *session = welcome.session;
        }
        let mut session = Session::new(link, welcome, first);
        if self.frames.values().any(|frame| !frame.recorded && !frame.fits(&welcome)) {
            session.say_goodbye(0);
            if !self.has(Fault::KeepsItsEpoch) {
                self.renumber();
            }
            return Err(End::Lost);
        }
        if self.has(Fault::TakesLastAckedForRecords) {
            session.recorded.extend(first..=welcome.last_acked);
            session.next = session.next.max(welcome.last_acked + 1);
        }
        if self.has(Fault::UsesTwoSessions) {
            let mut second = Link::connect(self.server, self.over_udp).map_err(|_| End::Lost)?;
            second.send(&self.hello(first, [7; 32]));
            session.second = Some(second);
        }
        if self.has(Fault::SendsAfterItsGoodbye) {
            session.say_goodbye(1_000);
        }
        Ok(session)
    }

    /// A new numbering; what was in the old one is not held any more.
    fn renumber(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
        self.next_sequence = 1;
        self.frames.clear();
    }

    /// The frame of a number, made if it is new.
    fn frame(&mut self, sequence: u64, sightings: usize) -> Vec<u8> {
        if let Some(frame) = self.frames.get_mut(&sequence) {
            if beacon_protocol::age_of(&frame.bytes).unwrap().is_some()
                && self.fault != Some(Fault::LetsAgesStandStill)
            {
                set_age(&mut frame.bytes, i64::try_from(frame.made_at.elapsed().as_micros()).unwrap())
                    .unwrap();
            }
            return frame.bytes.clone();
        }
        let now = Instant::now();
        let due = self.undecided.iter().position(|(at, _)| *at <= now);
        let content = match due {
            Some(index) => self.undecided.remove(index).1,
            None => self.heard(sightings),
        };
        let bytes = self.encode(sequence, &content);
        self.frames.insert(
            sequence,
            Frame { bytes: bytes.clone(), sightings: content, made_at: now, recorded: false },
        );
        self.next_sequence = self.next_sequence.max(sequence + 1);
        bytes
    }

    fn heard(&mut self, sightings: usize) -> Vec<Sighting> {
        (0..sightings)
            .map(|_| {
                self.sighted += 1;
                Sighting { number: self.sighted }
            })
            .collect()
    }

    fn encode(&self, sequence: u64, sightings: &[Sighting]) -> Vec<u8> {
        let beacon = BeaconRef { uuid: [7; 16], major: 1, minor: 2 };
        let base =
            if self.has(Fault::LetsAgesStandStill) { TimeBase::Age(0) } else { TimeBase::Utc(BEGAN_US) };
        encoded(|buffer| {
            let mut encoder = SightingsEncoder::new(buffer, sequence, base, &[beacon]).unwrap();
            for Sighting { number } in sightings {
                let customer_id = format!("customer-{number}");
                let sighting = SightingRef {
                    beacon_index: 0,
                    rssi_dbm: -60,
                    time_offset_us: i32::try_from(*number).unwrap(),
                    customer_id: customer_id.as_bytes(),
                };
                encoder.push(&sighting).unwrap();
            }
            encoder.finish().unwrap()
        })
    }

    fn hold(&mut self, mut session: Session) -> End {
        while !self.is_stopped() {
            if let Some(end) = self.act(&mut session) {
                return end;
            }
            let heard = session.link.next(Instant::now() + STEP, self.has(Fault::ObeysOtherSessions));
            let end = match heard {
                Heard::Silence => None,
                Heard::Ended => Some(End::Lost),
                Heard::Frame(frame) => self.hear(&mut session, &frame),
                Heard::Unsound(error, frame) => {
                    let tolerated = self.fault.is_some_and(|fault| fault.tolerates(&error));
                    if tolerated && self.over_udp {
                        self.hear(&mut session, &frame)
                    } else {
                        (!tolerated && !self.over_udp).then_some(End::Lost)
                    }
                }
            };
            if let Some(end) = end {
                return end;
            }
        }
        End::Stopped
    }

    /// What time brings about.
    fn act(&mut self, session: &mut Session) -> Option<End> {
        let now = Instant::now();
        if now - session.heard_at >= session.idle() && !self.has(Fault::StaysWithASilentServer) {
            return Some(End::Lost);
        }
        let late = |first_at: Instant| now - first_at > Duration::from_secs(2);
        if self.has(Fault::LeavesWhenRecordsAreLate)
            && session.flights.values().any(|flight| late(flight.first_at))
        {
            return Some(End::Lost);
        }
        if session.drains_until.is_some_and(|until| now >= until || session.flights.is_empty()) {
            return Some(End::Lost);
        }
        let draining = session.drains_until.is_some();
        if !draining || self.has(Fault::SendsWhileDraining) {
            self.send_new(session);
        }
        if self.over_udp && !draining && !self.has(Fault::NeverRepeats) {
            for sequence in session.due(!self.has(Fault::NeverDoubles)) {
                let frame = self.frame(sequence, 0);
                session.send(&frame);
                self.took_off(session, sequence);
            }
        }
        if now - session.sent_at >= session.idle() / 3 && !self.has(Fault::NeverPings) {
            session.send(&encoded(|buffer| Ping { token: 1, time_us: 0 }.encode(buffer).unwrap()));
        }
        None
    }

    fn send_new(&mut self, session: &mut Session) {
        let more = if self.has(Fault::OverfillsTheWindow) { 2 } else { 0 };
        let window = u64::from(session.terms.window_frames) + more;
        while session.next < session.base() + window {
            if self.has(Fault::SkipsASequence) && session.next == session.first + 1 {
                session.next += 1;
            }
            let sightings = match self.fault {
                Some(Fault::SendsTooManySightings) => usize::from(session.terms.max_sightings.min(64)) + 1,
                Some(Fault::SendsLongDatagrams) => 80,
                _ => usize::from(session.terms.max_sightings.min(2)),
            };
            let mut frame = self.frame(session.next, sightings);
            if self.has(Fault::DamagesChecksums) {
                frame[8] ^= 1;
            }
            session.send(&frame);
            if self.has(Fault::ReusesASequence) {
                let others = self.heard(2);
                session.send(&self.encode(session.next, &others));
            }
            if self.has(Fault::ReusesPacketNumbers)
                && let Link::Udp { packet_number, .. } = &mut session.link
            {
                *packet_number -= 1;
            }
            self.took_off(session, session.next);
            session.next += 1;
        }
    }

    fn took_off(&self, session: &mut Session, sequence: u64) {
        session.took_off(sequence);
        if self.has(Fault::RepeatsTooEarly)
            && let Some(flight) = session.flights.get_mut(&sequence)
        {
            flight.due = flight.last_at + STEP * 2;
        }
    }

    fn hear(&mut self, session: &mut Session, frame: &[u8]) -> Option<End> {
        // A fault may let what is unsound come here.
        let Ok(raw) = deframe_whole(frame, MAX_FRAME_BYTES) else { return None };
        session.heard_at = Instant::now();
        match Message::decode(raw) {
            Ok(Message::Ping(Ping { token, .. })) if !self.has(Fault::IgnoresPings) => {
                session.send(&encoded(|buffer| Pong { token, time_us: 0 }.encode(buffer).unwrap()));
            }
            Ok(Message::Ack(ack)) => self.take(session, &ack),
            Ok(Message::Refusal(refusal)) => return self.refused(session, &refusal),
            Ok(Message::Goodbye(goodbye)) => {
                let lasts = Duration::from_millis(goodbye.deadline_ms.into());
                session.drains_until = Some(Instant::now() + lasts);
            }
            Ok(Message::Skipped(_)) if self.has(Fault::LeavesAtUnknownKinds) => return Some(End::Lost),
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Skipped(_)) => {}
            // A daemon says none of this in a session: over UDP it is dropped.
            Ok(_) => {
                return (!self.over_udp && !self.has(Fault::TakesKindsOfItsOwn)).then_some(End::Lost);
            }
            Err(error) => {
                let tolerated = self.fault.is_some_and(|fault| fault.tolerates(&error));
                return (!self.over_udp && !tolerated).then_some(End::Lost);
            }
        }
        None
    }

    fn refused(&mut self, session: &mut Session, refusal: &Refusal<'_>) -> Option<End> {
        self.retry_after = Duration::from_millis(refusal.retry_after_ms.into());
        let reused = refusal.code == RefusalCode::SequenceReused;
        if reused && !self.has(Fault::KeepsItsEpoch) {
            self.renumber();
        }
        let is_left = matches!(refusal.code, RefusalCode::SequenceReused | RefusalCode::SequenceGap);
        if self.over_udp && is_left {
            session.say_goodbye(0);
        }
        let ends = if self.over_udp {
            is_left || refusal.code.ends_udp_session() || self.has(Fault::LeavesAtAnyRefusal)
        } else {
            refusal.code != RefusalCode::Busy || !self.has(Fault::StaysAfterBusyOnTcp)
        };
        if ends {
            let at_once = refusal.code == RefusalCode::UnknownSession && !session.recorded.is_empty();
            return Some(if at_once { End::Unknown } else { End::Lost });
        }
        let wait = std::mem::take(&mut self.retry_after).max(session.timeout.now);
        if refusal.code == RefusalCode::Busy
            && !self.has(Fault::IgnoresBusy)
            && let Some(flight) = session.flights.get_mut(&refusal.sequence)
        {
            flight.known = Known::Sent;
            flight.due = Instant::now() + wait;
        }
        None
    }

    fn take(&mut self, session: &mut Session, ack: &Ack<'_>) {
        for record in ack.records() {
            session.arrived(record.sequence, Known::Received);
            self.failures = 0;
            let undecided: Vec<_> =
                record.exceptions().filter(|listed| listed.code == OutcomeCode::Undecided).collect();
            self.release(session, record.sequence, |sightings| {
                let listed = undecided.iter().filter_map(|listed| sightings.get(usize::from(listed.index)));
                listed.copied().collect()
            });
            if undecided.iter().any(|listed| listed.detail > 4) && self.has(Fault::DropsUnknownDetails) {
                self.undecided.clear();
            }
        }
        let in_flight: Vec<u64> = session.flights.keys().copied().collect();
        for sequence in in_flight {
            if sequence <= ack.cumulative {
                session.arrived(sequence, Known::Answered);
                if self.has(Fault::TakesCumulativeForARecord) {
                    self.release(session, sequence, |_| Vec::new());
                }
            } else if ack.has_received(sequence) && !self.has(Fault::RepeatsWhatHasArrived) {
                session.arrived(sequence, Known::Received);
            }
        }
    }

    /// A frame has its record; what of it is undecided comes again later.
    fn release(
        &mut self,
        session: &mut Session,
        sequence: u64,
        undecided: impl FnOnce(&[Sighting]) -> Vec<Sighting>,
    ) {
        session.recorded.insert(sequence);
        session.flights.remove(&sequence);
        let Some(frame) = self.frames.get_mut(&sequence).filter(|frame| !frame.recorded) else { return };
        frame.recorded = true;
        let mut again = undecided(&frame.sightings);
        if again.is_empty() {
            return;
        }
        if self.fault == Some(Fault::SendsWholeFramesAgain) {
            again.clone_from(&frame.sightings);
        }
        let wait = if self.has(Fault::SendsUndecidedAtOnce) { Duration::ZERO } else { self.undecided_wait };
        self.undecided_wait *= 2;
        if !self.has(Fault::ForgetsTheUndecided) {
            self.undecided.push((Instant::now() + wait.mul_f64(CUT), again));
        }
    }
}

/// What an encoder writes.
fn encoded(encode: impl FnOnce(&mut [u8]) -> usize) -> Vec<u8> {
    let mut buffer = vec![0; MAX_FRAME_BYTES];
    let length = encode(&mut buffer);
    assert!(length >= HEADER_BYTES, "a frame has a header");
    buffer.truncate(length);
    buffer
}
