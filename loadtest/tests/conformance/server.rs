//! A server as small as one can be that keeps the rules it is asked about, but for the fault it is given.

mod fault;
mod session;

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use beacon_protocol::{
    DatagramHeader, DecodeError, Deframed, Hello, Kind, MAX_FRAME_BYTES, Message, RefusalCode, deframe,
    deframe_whole, sequence_of,
};

pub(crate) use self::fault::Fault;
use self::session::{Answer, Session, lenient, refusal, refusal_with};

const IDLE: Duration = Duration::from_secs(1);
/// Long enough for what a peer still sends to be read, so that the last word is not lost to a reset.
const LAST_WORDS: Duration = Duration::from_millis(200);
const TOO_LATE: Duration = Duration::from_millis(300);

/// Starts one on threads that serve until the test ends.
pub(crate) fn start(over_udp: bool, fault: Option<Fault>) -> SocketAddr {
    if over_udp {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        thread::spawn(move || Datagrams::new(socket, fault).serve());
        return address;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let sessions = Arc::new(AtomicU64::new(1));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let number = if fault == Some(Fault::GrantsSessionZero) {
                0
            } else {
                sessions.fetch_add(1, Ordering::Relaxed)
            };
            thread::spawn(move || Connection { number, fault, session: None }.serve(stream.unwrap()));
        }
    });
    address
}

/// The code and, where it can be read, the sequence of what is refused.
fn refused(fault: Option<Fault>, error: &DecodeError, frame: &[u8]) -> Answer {
    let code = fault.map_or(error.refusal_code(), |fault| fault.code(error));
    refusal(sequence_of(frame).unwrap_or_default(), code)
}

fn tolerates(fault: Option<Fault>, error: &DecodeError) -> bool {
    fault.is_some_and(|fault| fault.tolerates(error))
}

#[derive(Debug)]
struct Connection {
    number: u64,
    fault: Option<Fault>,
    session: Option<Session>,
}

impl Connection {
    fn serve(mut self, mut stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        let patience = (self.fault != Some(Fault::StaysInSilence)).then_some(IDLE);
        stream.set_read_timeout(patience).unwrap();
        let mut input = Vec::new();
        let mut part = [0; 65_536];
        loop {
            let answer = match deframe(&input, MAX_FRAME_BYTES) {
                Ok(Deframed::Frame { consumed, .. }) => {
                    let frame: Vec<u8> = input.drain(..consumed).collect();
                    self.hear(&frame)
                }
                Ok(Deframed::Need(_)) => match stream.read(&mut part) {
                    Ok(length @ 1..) => {
                        input.extend_from_slice(&part[..length]);
                        continue;
                    }
                    Ok(0) if !input.is_empty() => refusal(0, RefusalCode::Malformed),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => refusal(0, RefusalCode::TimedOut),
                    Ok(0) | Err(_) => return,
                },
                Err(error) if tolerates(self.fault, &error) => {
                    input.clear();
                    continue;
                }
                Err(error) => {
                    let answer = refused(self.fault, &error, &input);
                    input.clear();
                    answer
                }
            };
            let refuses = answer.frames.iter().any(|frame| frame[3] == 0x85);
            if answer.frames.iter().any(|frame| stream.write_all(frame).is_err()) {
                return;
            }
            if answer.ends && !(refuses && self.fault == Some(Fault::StaysAfterRefusals)) {
                // Only a half: a reset would overtake the last word.
                let _ = stream.shutdown(Shutdown::Write);
                let _ = stream.set_read_timeout(Some(LAST_WORDS));
                while matches!(stream.read(&mut part), Ok(1..)) {}
                return;
            }
        }
    }

    fn hear(&mut self, bytes: &[u8]) -> Answer {
        let frame = deframe_whole(bytes, MAX_FRAME_BYTES).unwrap();
        let message = match Message::decode(frame) {
            Ok(message) => message,
            Err(error) if tolerates(self.fault, &error) => return Answer::default(),
            Err(error) => return refused(self.fault, &error, bytes),
        };
        match (&mut self.session, &message) {
            (Some(session), message) => session.hear(&frame, message),
            (none, Message::Hello(hello)) => match Session::granted(hello, self.number, self.fault, false) {
                Ok(session) => {
                    let welcome = session.welcome(hello.ack_level);
                    *none = Some(session);
                    Answer::of(welcome)
                }
                Err(code) => refusal(0, code),
            },
            (None, _) => refusal(0, RefusalCode::UnexpectedKind),
        }
    }
}

/// All sessions over UDP, by number, and the address of each.
#[derive(Debug)]
struct Datagrams {
    socket: UdpSocket,
    fault: Option<Fault>,
    sessions: BTreeMap<u64, (SocketAddr, Session)>,
    heard_at: BTreeMap<u64, Instant>,
    granted: u64,
    sent: BTreeMap<u64, u64>,
    highest_heard: BTreeMap<u64, u64>,
}

impl Datagrams {
    fn new(socket: UdpSocket, fault: Option<Fault>) -> Self {
        Self {
            socket,
            fault,
            sessions: BTreeMap::new(),
            heard_at: BTreeMap::new(),
            granted: 0,
            sent: BTreeMap::new(),
            highest_heard: BTreeMap::new(),
        }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn serve(mut self) {
        let mut datagram = [0; 2_048];
        while let Ok((length, from)) = self.socket.recv_from(&mut datagram) {
            // Shorter ones are not answered.
            if length >= 20 {
                self.hear(&datagram[..length], from);
            }
        }
    }

    fn hear(&mut self, datagram: &[u8], from: SocketAddr) {
        let named = u64::from_be_bytes(datagram[4..12].try_into().unwrap());
        let frame = &datagram[20..];
        let header = match DatagramHeader::decode(datagram) {
            Ok((header, _)) => header,
            Err(error) if tolerates(self.fault, &error) => return,
            Err(error) => return self.refuse(named, &error, frame, from),
        };
        let highest = self.highest_heard.entry(named).or_default();
        let fell = header.packet_number <= *highest;
        *highest = header.packet_number.max(*highest);
        if fell && named != 0 && self.has(Fault::MindsPacketNumbers) {
            return;
        }
        let raw = match deframe_whole(frame, MAX_FRAME_BYTES) {
            Ok(raw) => raw,
            Err(error) => match lenient(frame).filter(|_| self.has(Fault::TakesTwoFrames)) {
                Some(raw) => raw,
                None => return self.refuse(named, &error, frame, from),
            },
        };
        let idle = self.heard_at.insert(named, Instant::now()).is_some_and(|at| at.elapsed() >= IDLE);
        if idle && !self.has(Fault::StaysInSilence) {
            self.sessions.remove(&named);
        }
        let known = self.sessions.get(&named);
        let known = known.is_some_and(|(at, _)| *at == from || self.has(Fault::TakesAnyAddress));
        let hello = named == 0 && raw.kind() == Kind::Hello.byte();
        if !known && !hello {
            let refuses = raw.kind() == Kind::Refusal.byte() && !self.has(Fault::RefusesRefusals);
            if !refuses {
                let answer = Answer { ends: false, ..refusal(0, RefusalCode::UnknownSession) };
                self.say(named, answer, from);
            }
            return;
        }
        let message = match Message::decode(raw) {
            Ok(message) => message,
            Err(error) if tolerates(self.fault, &error) => return,
            Err(error) => return self.refuse(named, &error, frame, from),
        };
        if let (true, Message::Hello(hello)) = (hello, &message) {
            return self.greet(hello, from);
        }
        let Some((_, session)) = self.sessions.get_mut(&named) else { return };
        let answer = session.hear(&raw, &message);
        if self.has(Fault::AcksLate) && matches!(message, Message::Preferences(_) | Message::Sightings(_)) {
            thread::park_timeout(TOO_LATE);
        }
        let answer = Answer { ends: matches!(message, Message::Goodbye(_)), ..answer };
        self.say(named, answer, from);
    }

    fn greet(&mut self, hello: &Hello<'_>, from: SocketAddr) {
        let same = self.sessions.values().find(|(at, session)| {
            (*at, session.gateway.as_str(), session.boot_epoch, session.client_random)
                == (from, hello.gateway_id, hello.boot_epoch, hello.client_random)
        });
        if let Some((_, session)) = same.filter(|_| !self.has(Fault::GrantsARepeatedHelloAnew)) {
            let (number, welcome) = (session.number, session.welcome(hello.ack_level));
            return self.say(number, Answer::of(welcome), from);
        }
        self.granted += 1;
        let number = if self.has(Fault::GrantsSessionZero) { 0 } else { self.granted };
        match Session::granted(hello, number, self.fault, true) {
            Err(code) => self.say(0, refusal(0, code), from),
            Ok(session) => {
                if self.has(Fault::EndsOlderSessions) {
                    self.sessions.clear();
                }
                let welcome = session.welcome(hello.ack_level);
                self.sessions.insert(number, (from, session));
                self.heard_at.insert(number, Instant::now());
                self.say(number, Answer::of(welcome), from);
            }
        }
    }

    fn refuse(&mut self, named: u64, error: &DecodeError, frame: &[u8], from: SocketAddr) {
        if self.has(Fault::RefusesAtLength) {
            let text = "this server is fond of long explanations, and gives one whoever asks, at length";
            return self.say(named, refusal_with(0, error.refusal_code(), text), from);
        }
        let answer = refused(self.fault, error, frame);
        let answer = Answer { ends: self.has(Fault::EndsAtAnyRefusal), ..answer };
        self.say(named, answer, from);
    }

    fn say(&mut self, session: u64, answer: Answer, to: SocketAddr) {
        for frame in answer.frames {
            let refuses = frame[3] == 0x85;
            let session = if refuses && self.has(Fault::RefusesInSessionZero) { 0 } else { session };
            let sent = self.sent.entry(session).or_default();
            *sent += 1;
            let reused = self.fault == Some(Fault::ReusesPacketNumbers) && *sent > 2;
            let packet_number = if reused { 2 } else { *sent };
            let mut datagram = vec![0; 20];
            DatagramHeader { session, packet_number }.encode(&mut datagram).unwrap();
            datagram.extend(frame);
            self.socket.send_to(&datagram, to).unwrap();
        }
        if answer.ends {
            self.sessions.remove(&session);
        }
    }
}
