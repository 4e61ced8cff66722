//! A server that does what a scene says, and looks closely at all that the gateway sends.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::{Duration, Instant};

use beacon_protocol::{
    AckEncoder, DEFAULT_MAX_DATAGRAM_BYTES, DatagramHeader, Exception, Goodbye, Kind, MAX_FRAME_BYTES,
    Message, OUTCOME_CODES, OutcomeCode, Ping, Pong, RecordStatus, Refusal, RefusalCode, ResultRecord,
    Welcome, deframe_whole,
};

use super::super::bytes;
use super::super::check::{Outcome, Stop, broken, hold, not_tried};
use super::super::wire::{Heard, rule_of};
use super::lane::Lane;
use super::memory::{Kept, Numbering};
use super::process::Process;
use crate::clock::now_us;

/// How long a gateway may take to see the end of a connection and close it.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What a gateway said in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// A sequenced frame; `again` when it came before in this session.
    Frame {
        sequence: u64,
        again: bool,
    },
    Hello,
    Ping(u64),
    Pong(u64),
    Goodbye,
    Status,
    Skipped,
}

/// A session that was welcomed.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) terms: Welcome,
    pub(super) first_unacked: u64,
    pub(super) next_sequence: u64,
    pub(super) seen: BTreeSet<u64>,
    pub(super) recorded: BTreeSet<u64>,
    /// From when on no frame may come, by which rule, and after what.
    pub(super) quiet: Option<(Instant, u8, &'static str)>,
    pub(super) left_at: Option<Instant>,
}

/// The server's end of a scene.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) lane: Lane,
    pub(super) process: Option<Process>,
    pub(super) patience: Duration,
    pub(super) numberings: BTreeMap<u64, Numbering>,
    /// Whether pings are answered.
    pub(super) answers_pings: bool,
    pub(super) session: Option<Session>,
    pub(super) epoch: u64,
    pub(super) last_session: u64,
    pub(super) packet_number: u64,
    heard_numbers: HashSet<u64>,
    pub(super) last_heard_at: Instant,
    /// Somebody came.
    pub(super) greeted: bool,
    /// The gateway ended the session before by itself: what was said last it may not have heard.
    pub(super) left: bool,
    /// How the process ended, if it was seen to.
    ending: Option<String>,
}

impl Server {
    pub(super) fn new(lane: Lane, process: Option<Process>, patience: Duration) -> Self {
        Self {
            lane,
            process,
            patience,
            numberings: BTreeMap::new(),
            answers_pings: true,
            session: None,
            epoch: 0,
            last_session: fastrand::u64(1 << 32..),
            packet_number: 0,
            heard_numbers: HashSet::new(),
            last_heard_at: Instant::now(),
            greeted: false,
            left: false,
            ending: None,
        }
    }

    pub(super) fn soon(&self) -> Instant {
        Instant::now() + self.patience
    }

    /// Sends a frame, over UDP in a datagram of the session.
    pub(super) fn send(&mut self, frame: &[u8]) {
        if self.lane.is_udp() {
            self.packet_number += 1;
            let session = self.session.as_ref().map_or(0, |session| session.terms.session);
            let datagram = bytes::datagram(session, self.packet_number, frame);
            self.lane.send(&datagram);
        } else {
            self.lane.send(frame);
        }
    }

    pub(super) fn datagram(&mut self, bytes: &[u8]) -> Result<(DatagramHeader, Vec<u8>), Stop> {
        let unsound = |error| broken(rule_of(&error, true), format!("it sent an unsound datagram: {error}"));
        let (header, frame) = DatagramHeader::decode(bytes).map_err(unsound)?;
        deframe_whole(frame, MAX_FRAME_BYTES).map_err(unsound)?;
        let limit = match &self.session {
            Some(session) => session.terms.max_datagram_bytes.into(),
            None => DEFAULT_MAX_DATAGRAM_BYTES,
        };
        hold(9, bytes.len() <= limit, || {
            format!("it sent a datagram of {} bytes, {limit} are agreed", bytes.len())
        })?;
        if header.session == 0 && header.packet_number == 1 {
            self.heard_numbers.clear();
        }
        let ours = self.session.as_ref().map_or(0, |session| session.terms.session) == header.session;
        hold(5, self.heard_numbers.insert(header.packet_number) || !ours, || {
            format!("packet number {} came twice in a session", header.packet_number)
        })?;
        Ok((header, frame.to_vec()))
    }

    /// What the gateway says next until a moment; its form is checked, and its pings are answered.
    pub(super) fn next(&mut self, until: Instant) -> Result<Heard<Said>, Stop> {
        loop {
            let bytes = match self.lane.receive(until) {
                Heard::Bytes((bytes, _)) => bytes,
                Heard::Silence => return Ok(Heard::Silence),
                Heard::Ended => {
                    self.left = true;
                    return Ok(Heard::Ended);
                }
                Heard::Unsound(error) => {
                    return Err(broken(rule_of(&error, false), format!("it sent an unsound frame: {error}")));
                }
            };
            let frame = if self.lane.is_udp() {
                let (header, frame) = self.datagram(&bytes)?;
                let session = self.session.as_ref().map_or(0, |session| session.terms.session);
                let is_hello = frame.get(3) == Some(&Kind::Hello.byte());
                if header.session != session && !is_hello {
                    continue;
                }
                frame
            } else {
                bytes
            };
            let unsound =
                |error| broken(rule_of(&error, false), format!("it sent an unsound frame: {error}"));
            let raw = deframe_whole(&frame, MAX_FRAME_BYTES).map_err(unsound)?;
            let message = Message::decode(raw).map_err(unsound)?;
            self.last_heard_at = Instant::now();
            let said = match message {
                Message::Hello(_) if self.lane.is_udp() => {
                    self.left = true;
                    Said::Hello
                }
                Message::Sightings(batch) => self.take(batch.sequence, &message, &frame)?,
                Message::Preferences(preferences) => self.take(preferences.sequence, &message, &frame)?,
                Message::Ping(Ping { token, .. }) => {
                    if self.answers_pings {
                        self.send(&bytes::encoded(|buffer| {
                            Pong { token, time_us: now_us() }.encode(buffer)
                        })?);
                    }
                    Said::Ping(token)
                }
                Message::Pong(Pong { token, .. }) => Said::Pong(token),
                Message::Goodbye(_) => {
                    if let Some(session) = &mut self.session {
                        session.left_at = Some(Instant::now());
                    }
                    Said::Goodbye
                }
                Message::GatewayStatus(_) => Said::Status,
                Message::Skipped(_) => Said::Skipped,
                Message::Hello(_) | Message::Welcome(_) | Message::Ack(_) | Message::Refusal(_) => {
                    let kind = message.kind();
                    return Err(broken(31, format!("it sent a frame of kind {kind:#04x} in a session")));
                }
            };
            return Ok(Heard::Bytes(said));
        }
    }

    /// Holds a sequenced frame to the session's terms.
    fn take(&mut self, sequence: u64, message: &Message<'_>, frame: &[u8]) -> Result<Said, Stop> {
        let epoch = self.epoch;
        let Some(session) = &mut self.session else {
            return Err(broken(31, format!("frame {sequence} came before the welcome")));
        };
        if let Some((since, rule, what)) = session.quiet
            && Instant::now() > since
        {
            return Err(broken(rule, format!("frame {sequence} came after {what}")));
        }
        let again = session.seen.contains(&sequence);
        if session.left_at.is_some() && !again {
            return Err(broken(34, format!("frame {sequence}, a new one, came after its goodbye")));
        }
        if !again {
            let (next, first) = (session.next_sequence, session.first_unacked);
            hold(42, sequence == next, || {
                format!("frame {sequence} came where {next} was next (first_unacked {first})")
            })?;
            session.next_sequence += 1;
            session.seen.insert(sequence);
        }
        let base = (session.first_unacked..)
            .find(|sequence| !session.recorded.contains(sequence))
            .unwrap_or_default();
        let window = u64::from(session.terms.window_frames);
        hold(44, sequence < base.saturating_add(window), || {
            format!("frame {sequence} came in a window of {window} from {base}")
        })?;
        let most = usize::try_from(session.terms.max_frame_bytes).unwrap_or(usize::MAX);
        hold(14, frame.len() <= most, || {
            format!("a frame of {} bytes came, {most} are allowed", frame.len())
        })?;
        if let Message::Sightings(batch) = message {
            let (count, most) = (batch.sighting_count(), session.terms.max_sightings);
            hold(14, count <= most, || format!("a frame of {count} sightings came, {most} are allowed"))?;
        }
        self.numberings.entry(epoch).or_default().take(sequence, message, frame)?;
        Ok(Said::Frame { sequence, again })
    }

    /// The next frame that is new in this session.
    pub(super) fn new_frame(&mut self, rule: u8) -> Result<u64, Stop> {
        let until = self.soon();
        loop {
            match self.next(until)? {
                Heard::Bytes(Said::Frame { sequence, again: false }) => return Ok(sequence),
                Heard::Bytes(_) => {}
                Heard::Ended => {
                    return Err(broken(
                        rule,
                        self.ended_early("the gateway closed the connection; frames were due"),
                    ));
                }
                Heard::Silence | Heard::Unsound(_) => {
                    return Err(not_tried(format!(
                        "the gateway sent no frame for {:?}: it must send sightings all the time",
                        self.patience
                    )));
                }
            }
        }
    }

    fn ended_early(&mut self, what: &str) -> String {
        if self.ending.is_none() {
            self.ending = self.process.as_mut().and_then(Process::ended);
        }
        self.ending.as_ref().map_or_else(|| what.to_owned(), |ending| format!("{what} ({ending})"))
    }

    /// Takes so many new frames and answers each with its record, and those before that have none.
    pub(super) fn serve(&mut self, rule: u8, frames: u32) -> Outcome {
        let Some(session) = &self.session else { return Ok(()) };
        let unanswered: Vec<u64> = session.seen.difference(&session.recorded).copied().collect();
        unanswered.into_iter().try_for_each(|sequence| self.record(sequence))?;
        for _ in 0..frames {
            let sequence = self.new_frame(rule)?;
            self.record(sequence)?;
        }
        Ok(())
    }

    /// Answers a frame: all its sightings are duplicates.
    pub(super) fn record(&mut self, sequence: u64) -> Outcome {
        self.record_with(sequence, &[])
    }

    /// Answers a frame with some sightings undecided, the rest duplicates.
    pub(super) fn record_with(&mut self, sequence: u64, undecided: &[Exception]) -> Outcome {
        let sightings = self.frame(sequence).and_then(|kept| kept.sightings);
        let mut counts = [0; OUTCOME_CODES];
        let few = u16::try_from(undecided.len()).unwrap_or(u16::MAX);
        if let Some(sightings) = sightings {
            counts[usize::from(OutcomeCode::Undecided.byte())] = few;
            counts[usize::from(OutcomeCode::Duplicate.byte())] = sightings.saturating_sub(few);
        }
        let status =
            if sightings.is_some() { RecordStatus::Decided } else { RecordStatus::PreferencesAccepted };
        if let Some(session) = &mut self.session {
            session.recorded.insert(sequence);
        }
        if let Some(numbering) = self.numberings.get_mut(&self.epoch) {
            numbering.answered(sequence);
        }
        let (cumulative, received) = self.progress();
        let exceptions = if sightings.is_some() { undecided } else { &[] };
        self.send(&bytes::encoded(|buffer| {
            let mut ack = AckEncoder::new(buffer, cumulative, received)?;
            ack.push(&ResultRecord { sequence, status, dead_lettered: 0, counts, exceptions })?;
            ack.finish()
        })?);
        Ok(())
    }

    /// Sends an ack without a record.
    pub(super) fn ack(&mut self, cumulative: u64, received: u64) -> Outcome {
        self.send(&bytes::encoded(|buffer| AckEncoder::new(buffer, cumulative, received)?.finish())?);
        Ok(())
    }

    /// The cumulative number and the bitmap, as they are.
    pub(super) fn progress(&self) -> (u64, u64) {
        let Some(session) = &self.session else { return (0, 0) };
        let beyond =
            (session.first_unacked..).find(|sequence| !session.recorded.contains(sequence)).unwrap_or(1);
        let received =
            session.seen.iter().filter_map(|sequence| sequence.checked_sub(beyond).filter(|bit| *bit < 64));
        let bitmap = if self.lane.is_udp() { received.fold(0, |bits, bit| bits | 1 << bit) } else { 0 };
        (beyond - 1, bitmap)
    }

    pub(super) fn refuse(&mut self, sequence: u64, code: RefusalCode, retry_after_ms: u32) -> Outcome {
        let refusal = Refusal { sequence, code, retry_after_ms, text: "as the conformance test says" };
        self.send(&bytes::encoded(|buffer| refusal.encode(buffer))?);
        Ok(())
    }

    pub(super) fn goodbye(&mut self, goodbye: Goodbye) -> Outcome {
        self.send(&bytes::encoded(|buffer| goodbye.encode(buffer))?);
        Ok(())
    }

    /// From a moment on a frame is a breach.
    pub(super) fn no_frames_from(&mut self, since: Instant, rule: u8, what: &'static str) {
        if let Some(session) = &mut self.session {
            session.quiet = Some((since, rule, what));
        }
    }

    /// A frame of the numbering in use, as it was first sent.
    pub(super) fn frame(&self, sequence: u64) -> Option<&Kept> {
        self.numberings.get(&self.epoch).and_then(|numbering| numbering.frame(sequence))
    }

    pub(super) fn highest(&self) -> u64 {
        self.numberings.get(&self.epoch).map_or(0, Numbering::highest)
    }

    /// Whether the gateway leaves the session until a moment: over TCP it closes the connection.
    pub(super) fn is_left(&mut self, until: Instant) -> Result<bool, Stop> {
        loop {
            match self.next(until)? {
                Heard::Ended => return Ok(true),
                Heard::Bytes(_) => {}
                Heard::Silence | Heard::Unsound(_) => return Ok(false),
            }
        }
    }

    /// Ends the session as a server that is gone would; the gateway hears what was said before.
    pub(super) fn drop_session(&mut self) -> Outcome {
        let heard_all = self.session.is_some() && !self.lane.is_udp() && self.hears_all()?;
        if let Lane::Tcp { stream: Some(stream), .. } = &self.lane {
            stream.end_sending();
            let until = Instant::now() + LAST_WORDS;
            while matches!(self.next(until)?, Heard::Bytes(_)) {}
            self.left = self.session.is_some() && !heard_all;
        }
        self.lane.close();
        self.session = None;
        Ok(())
    }

    /// Whether the gateway has heard all that was said so far: it answers a ping behind that.
    fn hears_all(&mut self) -> Result<bool, Stop> {
        let token = fastrand::u64(2..);
        self.send(&bytes::ping(token)?);
        let until = Instant::now() + LAST_WORDS;
        loop {
            match self.next(until)? {
                Heard::Bytes(Said::Pong(echoed)) if echoed == token => return Ok(true),
                Heard::Bytes(_) => {}
                Heard::Ended | Heard::Silence | Heard::Unsound(_) => return Ok(false),
            }
        }
    }

    /// Makes room for the next scene: the gateway is to say hello again.
    pub(super) fn finish(&mut self) {
        if self.lane.is_udp() && self.session.is_some() {
            // Whether it can be sent is seen when the gateway comes back.
            let _ = self.refuse(0, RefusalCode::UnknownSession, 0);
        }
        // What it says last was looked at in the scene; here it only has to end.
        let _ = self.drop_session();
    }
}
