//! Scenes: what a gateway makes of silence, of unsound frames, and of strangers.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use beacon_protocol::{Kind, RefusalCode};

use super::super::bytes;
use super::super::check::{Outcome, Stop, broken, hold, not_tried};
use super::super::wire::Heard;
use super::lane::Lane;
use super::server::{Said, Server};

/// The idle timeout of these scenes.
const IDLE_MS: u32 = 3_000;
const IDLE: Duration = Duration::from_secs(3);
/// What a busy machine may add.
const LATE: Duration = Duration::from_millis(700);

/// Takes frames until the window is full and nothing more may come.
fn fill_the_window(server: &mut Server, rule: u8) -> Result<u64, Stop> {
    server.open(|terms| {
        terms.window_frames = 1;
        terms.idle_timeout_ms = IDLE_MS;
    })?;
    server.serve(rule, 2)?;
    server.new_frame(rule)
}

/// Records are late, pings are answered: it pings in time, and stays for twice the idle timeout.
pub(super) fn stays_while_pings_are_answered(server: &mut Server) -> Outcome {
    let unanswered = fill_the_window(server, 40)?;
    if server.lane.is_udp() {
        // What has arrived is repeated slowly, and what is repeated is no silence.
        let (cumulative, received) = server.progress();
        server.ack(cumulative, received)?;
    }
    let until = Instant::now() + IDLE * 2 + LATE;
    let mut last = Instant::now();
    loop {
        let heard = server.next(until)?;
        // First: who does not ping is not answered, and may leave for that.
        let gap = last.elapsed();
        last = Instant::now();
        hold(38, gap <= IDLE / 3 + LATE, || {
            format!("nothing came for {gap:?}, a third of the idle timeout is {:?}", IDLE / 3)
        })?;
        match heard {
            Heard::Bytes(_) => {}
            Heard::Ended => return Err(broken(40, "the gateway left a server that answers its pings")),
            Heard::Silence | Heard::Unsound(_) => break,
        }
    }
    server.record(unanswered)?;
    server.serve(40, 2)
}

/// Nothing is said any more: over TCP the gateway closes, over UDP it says hello again.
pub(super) fn leaves_a_silent_server(server: &mut Server) -> Outcome {
    fill_the_window(server, 39)?;
    server.answers_pings = false;
    let silent_since = Instant::now();
    let until = silent_since + IDLE + LATE * 2;
    let over_udp = server.lane.is_udp();
    let left = loop {
        match server.next(until)? {
            Heard::Ended => break true,
            Heard::Bytes(Said::Hello) => break true,
            Heard::Bytes(_) => {}
            Heard::Silence | Heard::Unsound(_) => break false,
        }
    };
    server.answers_pings = true;
    if over_udp && !left {
        // Its next attempt waits first.
        let hello = server.greeting_until(Instant::now() + Duration::from_secs(2))?;
        return hold(39, hello.is_some(), || {
            format!(
                "no new hello came within {:?} of silence, the idle timeout is {IDLE:?}",
                silent_since.elapsed()
            )
        });
    }
    hold(39, left, || {
        format!("the gateway stays for {:?} of silence, the idle timeout is {IDLE:?}", silent_since.elapsed())
    })
}

/// A kind of a later version that may be skipped, and one that may not.
pub(super) fn unknown_kinds(server: &mut Server) -> Outcome {
    server.open(|_| {})?;
    server.serve(67, 1)?;
    for kind in [0x00, 0x0B, 0x7F] {
        server.send(&bytes::frame(1, kind, b"of a later version"));
    }
    // Frames may have been on their way before.
    goes_on(server, 67, "kinds of a later version that may be skipped")?;
    server.serve(67, 3)
}

pub(super) fn an_unknown_critical_kind(server: &mut Server) -> Outcome {
    server.open(|_| {})?;
    server.serve(67, 2)?;
    server.send(&bytes::frame(1, 0xFE, b"of a later version"));
    if server.lane.is_udp() {
        return goes_on(server, 67, "an unknown critical kind").map(drop);
    }
    is_left_after(server, 67, "an unknown critical kind")
}

fn is_left_after(server: &mut Server, rule: u8, what: &str) -> Outcome {
    let left = server.is_left(Instant::now() + Duration::from_secs(3))?;
    hold(rule, left, || format!("the gateway stays connected after {what}"))?;
    server.drop_session()
}

/// Over TCP each ends the connection; the gateway comes back.
fn closes_after(
    server: &mut Server,
    rule: u8,
    what: &str,
    make: impl FnOnce(&Server) -> Result<Vec<u8>, Stop>,
) -> Outcome {
    server.open(|_| {})?;
    server.serve(rule, 2)?;
    let unsound = make(server)?;
    server.lane.send(&unsound);
    is_left_after(server, rule, what)?;
    server.open(|_| {})?;
    server.serve(rule, 2)
}

pub(super) fn a_wrong_checksum(server: &mut Server) -> Outcome {
    closes_after(server, 2, "a wrong checksum", |_| damaged_ping())
}

fn damaged_ping() -> Result<Vec<u8>, Stop> {
    let mut ping = bytes::ping(1)?;
    ping[8] ^= 1;
    Ok(ping)
}

pub(super) fn another_magic(server: &mut Server) -> Outcome {
    closes_after(server, 2, "another protocol's bytes", |_| Ok(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()))
}

pub(super) fn another_frame_version(server: &mut Server) -> Outcome {
    closes_after(server, 2, "frame version 2", |_| Ok(bytes::frame(2, Kind::Ping.byte(), &[0; 16])))
}

/// The body never comes.
pub(super) fn a_length_beyond_the_limit(server: &mut Server) -> Outcome {
    closes_after(server, 3, "a header of a body of 4 GiB", |_| {
        Ok(bytes::header(1, Kind::Ack.byte(), u32::MAX))
    })
}

pub(super) fn a_byte_behind_a_body(server: &mut Server) -> Outcome {
    closes_after(server, 4, "a ping with a byte behind its body", |_| {
        Ok(bytes::with_length(&bytes::ping(1)?, 17))
    })
}

pub(super) fn a_cut_body(server: &mut Server) -> Outcome {
    closes_after(server, 4, "an ack that promises a record it has not", |_| {
        Ok(bytes::frame(1, Kind::Ack.byte(), &[&[0; 16][..], &[0, 1]].concat()))
    })
}

pub(super) fn a_reserved_byte(server: &mut Server) -> Outcome {
    closes_after(server, 1, "a record whose reserved byte is 1", |server| {
        let (cumulative, _) = server.progress();
        let record = [&(cumulative + 1).to_be_bytes()[..], &[1, 1], &[0; 26]].concat();
        let body = [&cumulative.to_be_bytes()[..], &[0; 8], &[0, 1], &record].concat();
        Ok(bytes::frame(1, Kind::Ack.byte(), &body))
    })
}

/// A kind that only gateways send: over TCP the gateway closes, over UDP it drops it.
pub(super) fn a_gateways_kind(server: &mut Server) -> Outcome {
    let status = bytes::frame(1, Kind::GatewayStatus.byte(), &[0; 37]);
    if !server.lane.is_udp() {
        return closes_after(server, 11, "a gateway status from the server", |_| Ok(status));
    }
    server.open(|_| {})?;
    server.serve(11, 2)?;
    server.send(&status);
    goes_on(server, 11, "a gateway status from the server").map(drop)
}

/// Over UDP each is dropped, and the session goes on.
pub(super) fn unsound_datagrams(server: &mut Server) -> Outcome {
    server.open(|_| {})?;
    server.serve(8, 2)?;
    let session = server.last_session;
    let ping = bytes::ping(1)?;
    let sound = bytes::datagram(session, 500_000, &ping);
    let changed = |at: usize, byte: u8| {
        let mut datagram = sound.clone();
        datagram[at] = byte;
        datagram
    };
    let mut unnumbered = sound.clone();
    unnumbered[12..20].fill(0);
    let of_session = |frame: &[u8]| bytes::datagram(session, 500_001, frame);
    let unsound = [
        (7, changed(1, 0xAC), "another magic"),
        (7, changed(2, 1), "a sealed datagram"),
        (7, changed(2, 2), "another flag"),
        (7, changed(3, 1), "a reserved byte"),
        (6, unnumbered, "packet number 0"),
        (8, of_session(&ping[..20]), "a cut frame"),
        (8, of_session(&[&ping[..], &ping].concat()), "two frames"),
        (2, of_session(&damaged_ping()?), "a wrong checksum"),
        (2, of_session(&bytes::frame(2, Kind::Ping.byte(), &[0; 16])), "frame version 2"),
        (4, of_session(&bytes::with_length(&ping, 17)), "a byte behind a body"),
        (1, of_session(&reserved_record()), "a record whose reserved byte is 1"),
        (67, of_session(&bytes::frame(1, 0x7F, b"later")), "an unknown kind"),
        (8, b"".to_vec(), "an empty datagram"),
    ];
    for (rule, datagram, what) in unsound {
        server.lane.send(&datagram);
        let answered = goes_on(server, rule, what)?;
        hold(rule, !answered, || format!("a ping in {what} was answered"))?;
    }
    Ok(())
}

fn reserved_record() -> Vec<u8> {
    let record = [&1_u64.to_be_bytes()[..], &[1, 1], &[0; 26]].concat();
    bytes::frame(1, Kind::Ack.byte(), &[&[0; 16][..], &[0, 1], &record].concat())
}

/// A ping of our own is answered, and frames come; whether token 1 was answered on the way.
fn goes_on(server: &mut Server, rule: u8, what: &str) -> Result<bool, Stop> {
    let token = fastrand::u64(2..);
    server.send(&bytes::ping(token)?);
    let until = Instant::now() + Duration::from_secs(3);
    let mut answered = false;
    loop {
        match server.next(until)? {
            Heard::Bytes(Said::Pong(echoed)) if echoed == token => return Ok(answered),
            Heard::Bytes(Said::Pong(1)) => answered = true,
            Heard::Bytes(Said::Frame { sequence, .. }) => server.record(sequence)?,
            Heard::Bytes(Said::Hello) => {
                return Err(broken(rule, format!("the gateway left its session after {what}")));
            }
            Heard::Bytes(_) => {}
            _ => return Err(broken(rule, format!("the session stands still after {what}"))),
        }
    }
}

/// Over UDP: datagrams from another address, and of another session.
pub(super) fn strangers_are_ignored(server: &mut Server) -> Outcome {
    server.open(|_| {})?;
    server.serve(29, 2)?;
    let Lane::Udp { peer: Some(peer), socket } = &server.lane else {
        return Err(not_tried("the gateway's address is not known"));
    };
    let (peer, here) = (*peer, socket.local_addr());
    let stranger = here.and_then(|here| UdpSocket::bind((here.ip(), 0)));
    let stranger = stranger.map_err(|error| not_tried(format!("no second socket: {error}")))?;
    let ours = server.last_session;
    let refusal = |code| {
        let refusal =
            beacon_protocol::Refusal { sequence: 0, code, retry_after_ms: 0, text: "from a stranger" };
        bytes::encoded(|buffer| refusal.encode(buffer))
    };
    let unknown = refusal(RefusalCode::UnknownSession)?;
    let from_elsewhere = bytes::datagram(ours, 700_000, &unknown);
    stranger.send_to(&from_elsewhere, peer).map_err(|error| not_tried(format!("cannot send: {error}")))?;
    goes_on(server, 29, "unknown_session from another address")?;
    server.lane.send(&bytes::datagram(ours ^ 0x5555, 700_001, &unknown));
    goes_on(server, 29, "unknown_session of another session")?;
    server.lane.send(&bytes::datagram(ours ^ 0x5555, 700_002, &bytes::ping(1)?));
    let answered = goes_on(server, 29, "a ping of another session")?;
    hold(29, !answered, || "a ping of another session was answered".to_owned())
}

/// Over UDP: a refusal of one datagram leaves the session as it was.
pub(super) fn a_refusal_of_one_datagram(server: &mut Server) -> Outcome {
    server.open(|_| {})?;
    server.serve(26, 2)?;
    for code in [RefusalCode::BadChecksum, RefusalCode::TimedOut] {
        server.refuse(0, code, 0)?;
        goes_on(server, 26, code.label())?;
    }
    Ok(())
}
