//! A daemon over TCP that answers as a test says: every sighting is identified, unless the script says otherwise.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use beacon_protocol::{
    AckEncoder, AckLevel, Deframed, Exception, MAX_FRAME_BYTES, Message, OUTCOME_CODES, OutcomeCode,
    RawFrame, RecordStatus, Refusal, RefusalCode, ResultRecord, Sightings, Welcome, deframe,
};

/// What is unusual about a daemon.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Script {
    /// It does nothing for so long, beginning so long after the first sightings.
    pub(crate) stall: Option<(Duration, Duration)>,
    /// The first sighting of each frame of so many is undecided.
    pub(crate) undecided_frames: u32,
    /// The first sighting of one frame is answered as invalid.
    pub(crate) one_wrong: bool,
    /// Frames beyond so many have no answer.
    pub(crate) silent_after: Option<u32>,
    pub(crate) knows_nobody: bool,
}

#[derive(Debug, Default)]
struct State {
    first_at: Option<Instant>,
    frames: u32,
    sightings: u64,
}

/// Threads that serve until the test ends.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Daemon {
    pub(crate) fn serve(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let conversation = Conversation { script, state: Arc::clone(&shared), answered: 0 };
                thread::spawn(move || conversation.hold(stream.unwrap()));
            }
        });
        Self { address, state }
    }

    pub(crate) fn target(&self) -> String {
        format!("tcp://{}", self.address)
    }

    /// Sightings received.
    pub(crate) fn sightings(&self) -> u64 {
        self.state.lock().unwrap().sightings
    }
}

struct Conversation {
    script: Script,
    state: Arc<Mutex<State>>,
    answered: u64,
}

impl Conversation {
    fn hold(mut self, mut stream: TcpStream) {
        let mut received = Vec::new();
        let mut part = [0; 65_536];
        while let Ok(length @ 1..) = stream.read(&mut part) {
            received.extend_from_slice(&part[..length]);
            while let Deframed::Frame { frame, consumed } = deframe(&received, MAX_FRAME_BYTES).unwrap() {
                if let Some(answer) = self.answer(frame)
                    && stream.write_all(&answer).is_err()
                {
                    return;
                }
                received.drain(..consumed);
            }
        }
    }

    fn answer(&mut self, frame: RawFrame<'_>) -> Option<Vec<u8>> {
        let mut out = vec![0; MAX_FRAME_BYTES];
        let length = match Message::decode(frame).unwrap() {
            Message::Hello(_) if self.script.knows_nobody => Refusal {
                sequence: 0,
                code: RefusalCode::UnknownGateway,
                retry_after_ms: 0,
                text: "it is not registered",
            }
            .encode(&mut out)
            .unwrap(),
            Message::Hello(hello) => Welcome {
                version: 1,
                ack_level: AckLevel::Stored,
                session: 7,
                boot_epoch: hello.boot_epoch,
                last_acked: 0,
                client_random_echo: hello.client_random[..8].try_into().unwrap(),
                window_frames: 64,
                max_frame_bytes: 65_536,
                max_datagram_bytes: 1_200,
                max_sightings: 4_096,
                idle_timeout_ms: 60_000,
                server_time_us: 0,
                server_random: [0; 32],
            }
            .encode(&mut out)
            .unwrap(),
            Message::Sightings(batch) => self.decide(&batch, &mut out)?,
            _ => return None,
        };
        out.truncate(length);
        Some(out)
    }

    fn decide(&mut self, batch: &Sightings<'_>, out: &mut [u8]) -> Option<usize> {
        let (number, stalls_for) = {
            let mut state = self.state.lock().unwrap();
            state.frames += 1;
            state.sightings += u64::from(batch.sighting_count());
            let since = state.first_at.get_or_insert_with(Instant::now).elapsed();
            let stall =
                self.script.stall.filter(|(begins, lasts)| (*begins..*begins + *lasts).contains(&since));
            (state.frames, stall.map(|(begins, lasts)| begins + lasts - since))
        };
        if let Some(stalls_for) = stalls_for {
            thread::park_timeout(stalls_for);
        }
        if self.script.silent_after.is_some_and(|frames| number > frames) {
            return None;
        }
        self.answered += 1;
        let listed = match number {
            number if number <= self.script.undecided_frames => Some(OutcomeCode::Undecided),
            100 if self.script.one_wrong => Some(OutcomeCode::Invalid),
            _ => None,
        };
        let mut counts = [0; OUTCOME_CODES];
        counts[usize::from(OutcomeCode::Identified.byte())] = batch.sighting_count();
        let exceptions: Vec<_> =
            listed.map(|code| Exception { index: 0, code, detail: 0 }).into_iter().collect();
        for exception in &exceptions {
            counts[usize::from(exception.code.byte())] += 1;
            counts[usize::from(OutcomeCode::Identified.byte())] -= 1;
        }
        let mut ack = AckEncoder::new(out, self.answered, 0).unwrap();
        let status = RecordStatus::Decided;
        let sequence = batch.sequence;
        ack.push(&ResultRecord { sequence, status, dead_lettered: 0, counts, exceptions: &exceptions })
            .unwrap();
        Some(ack.finish().unwrap())
    }
}
