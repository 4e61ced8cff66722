//! A daemon that answers as a test says, and remembers what it was sent.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

use beacon_protocol::{
    AckEncoder, AckLevel, DatagramHeader, Deframed, Exception, MAX_FRAME_BYTES, Message, OUTCOME_CODES,
    OutcomeCode, RawFrame, RecordStatus, Refusal, RefusalCode, ResultRecord, Sightings, Welcome,
    decode_datagram, deframe,
};

/// A sighting as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) gateway: String,
    pub(crate) detected_at_us: i64,
    pub(crate) customer_id: Vec<u8>,
    pub(crate) minor: u16,
    pub(crate) rssi_dbm: i8,
}

/// What to do with a frame of sightings, given how many sightings came before it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Script {
    /// All are duplicates.
    Duplicates,
    /// The first sighting of all is undecided when it comes first.
    FirstUndecided,
    /// No answer ever.
    Silence,
    /// No session either.
    UnknownGateway,
}

/// Threads that serve until the test ends.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Daemon {
    pub(crate) fn over_tcp(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let daemon = Self { address, seen: Arc::clone(&seen) };
        thread::spawn(move || {
            for stream in listener.incoming() {
                let conversation = Conversation::new(script, Arc::clone(&seen));
                thread::spawn(move || serve_stream(stream.unwrap(), conversation));
            }
        });
        daemon
    }

    /// Serves one gateway.
    pub(crate) fn over_udp(script: Script) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let daemon = Self { address, seen: Arc::clone(&seen) };
        thread::spawn(move || serve_datagrams(&socket, Conversation::new(script, seen)));
        daemon
    }

    /// What was sent so far, in the order it came.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

fn serve_stream(mut stream: TcpStream, mut conversation: Conversation) {
    let mut received = Vec::new();
    let mut part = [0; 4_096];
    while let Ok(length @ 1..) = stream.read(&mut part) {
        received.extend_from_slice(&part[..length]);
        while let Deframed::Frame { frame, consumed } = deframe(&received, MAX_FRAME_BYTES).unwrap() {
            if let Some(answer) = conversation.answer(frame)
                && stream.write_all(&answer).is_err()
            {
                return;
            }
            received.drain(..consumed);
        }
    }
}

fn serve_datagrams(socket: &UdpSocket, mut conversation: Conversation) {
    let mut datagram = [0; 2_048];
    let mut packet_number = 0;
    while let Ok((length, gateway)) = socket.recv_from(&mut datagram) {
        let (_, frame) = decode_datagram(&datagram[..length], MAX_FRAME_BYTES).unwrap();
        if let Some(answer) = conversation.answer(frame) {
            packet_number += 1;
            let mut out = [0; 2_048];
            let header = DatagramHeader { session: SESSION, packet_number };
            let head = header.encode(&mut out).unwrap();
            out[head..head + answer.len()].copy_from_slice(&answer);
            socket.send_to(&out[..head + answer.len()], gateway).unwrap();
        }
    }
}

const SESSION: u64 = 7;

/// What one gateway is told.
struct Conversation {
    script: Script,
    seen: Arc<Mutex<Vec<Seen>>>,
    gateway: String,
    answered: u64,
}

impl Conversation {
    fn new(script: Script, seen: Arc<Mutex<Vec<Seen>>>) -> Self {
        Self { script, seen, gateway: String::new(), answered: 0 }
    }

    fn answer(&mut self, frame: RawFrame<'_>) -> Option<Vec<u8>> {
        let mut out = vec![0; MAX_FRAME_BYTES];
        let length = match Message::decode(frame).unwrap() {
            Message::Hello(hello) if matches!(self.script, Script::UnknownGateway) => Refusal {
                sequence: 0,
                code: RefusalCode::UnknownGateway,
                retry_after_ms: 0,
                text: &format!("{} is not registered", hello.gateway_id),
            }
            .encode(&mut out)
            .unwrap(),
            Message::Hello(hello) => {
                hello.gateway_id.clone_into(&mut self.gateway);
                Welcome {
                    version: 1,
                    ack_level: AckLevel::Stored,
                    session: SESSION,
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
                .unwrap()
            }
            Message::Sightings(batch) => self.decide(&batch, &mut out)?,
            _ => return None,
        };
        out.truncate(length);
        Some(out)
    }

    fn decide(&mut self, batch: &Sightings<'_>, out: &mut [u8]) -> Option<usize> {
        if matches!(self.script, Script::Silence) || batch.sequence <= self.answered {
            return None;
        }
        assert_eq!(batch.sequence, self.answered + 1, "frames come in order");
        self.answered += 1;
        let mut seen = self.seen.lock().unwrap();
        let first = seen.is_empty();
        seen.extend(batch.sightings().map(|sighting| Seen {
            gateway: self.gateway.clone(),
            detected_at_us: batch.base.resolve(0, sighting.time_offset_us),
            customer_id: sighting.customer_id.to_vec(),
            minor: batch.beacon(sighting.beacon_index).unwrap().minor,
            rssi_dbm: sighting.rssi_dbm,
        }));
        let undecided = u16::from(first && matches!(self.script, Script::FirstUndecided));
        let exceptions = [Exception { index: 0, code: OutcomeCode::Undecided, detail: 1 }];
        let mut counts = [0; OUTCOME_CODES];
        counts[usize::from(OutcomeCode::Undecided.byte())] = undecided;
        counts[usize::from(OutcomeCode::Duplicate.byte())] = batch.sighting_count() - undecided;
        let mut ack = AckEncoder::new(out, self.answered, 0).unwrap();
        ack.push(&ResultRecord {
            sequence: batch.sequence,
            status: RecordStatus::Decided,
            dead_lettered: 0,
            counts,
            exceptions: &exceptions[..usize::from(undecided)],
        })
        .unwrap();
        Some(ack.finish().unwrap())
    }
}
