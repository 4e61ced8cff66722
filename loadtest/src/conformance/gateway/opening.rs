//! Scenes: how a gateway opens, keeps to its limits, and what it makes of a welcome.

use std::time::{Duration, Instant};

use beacon_protocol::{AckLevel, Welcome};

use super::super::bytes;
use super::super::check::{Outcome, Stop, broken, hold, not_tried};
use super::super::wire::Heard;
use super::server::{Said, Server};

/// So long a welcome is left out, to see what comes before it.
const BEFORE_WELCOME: Duration = Duration::from_millis(700);
/// A pong that comes later has waited for something.
const AT_ONCE: Duration = Duration::from_secs(1);
/// What is left is left by then.
const LEAVING: Duration = Duration::from_secs(3);

/// Nothing but the hello before the welcome, then frames in order.
pub(super) fn opens(server: &mut Server) -> Outcome {
    let greeting = server.greeting()?;
    let (low, high) = greeting.versions;
    if !(low..=high).contains(&1) {
        return Err(not_tried(format!("the gateway speaks versions {low} to {high}, this test version 1")));
    }
    let until = Instant::now() + BEFORE_WELCOME;
    loop {
        match server.next(until)? {
            Heard::Silence => break,
            Heard::Bytes(Said::Hello) => {}
            Heard::Bytes(said) => return Err(broken(31, format!("{said:?} came before the welcome"))),
            Heard::Ended | Heard::Unsound(_) => {
                return Err(not_tried("the gateway closed before its welcome came"));
            }
        }
    }
    let terms = server.terms(&greeting);
    server.welcome(&greeting, terms)?;
    server.serve(42, 6)?;
    // A second connection would stand in the listener's queue by now.
    let second = server.second_epoch();
    hold(33, second != Some(greeting.boot_epoch), || {
        format!("epoch {} has two sessions at a time", greeting.boot_epoch)
    })
}

/// A small window and small frames; answers are late, so that the window fills.
pub(super) fn keeps_to_limits(server: &mut Server) -> Outcome {
    server.open(|terms| {
        terms.window_frames = 2;
        terms.max_frame_bytes = 1_024;
        terms.max_sightings = 3;
        terms.max_datagram_bytes = 576;
    })?;
    for _ in 0..3 {
        let first = server.new_frame(14)?;
        let second = server.new_frame(14)?;
        // Whether a third comes is looked at with every frame.
        let until = Instant::now() + Duration::from_millis(150);
        while matches!(server.next(until)?, Heard::Bytes(_)) {}
        server.record(first)?;
        server.record(second)?;
    }
    Ok(())
}

/// A window of one frame, and then answers in another order than that of frames.
pub(super) fn a_window_of_one(server: &mut Server) -> Outcome {
    server.open(|terms| terms.window_frames = 1)?;
    server.serve(44, 5)
}

/// While nothing is answered.
pub(super) fn pings_are_answered(server: &mut Server) -> Outcome {
    server.open(|_| {})?;
    let unanswered = server.new_frame(20)?;
    for token in [0, u64::MAX, 0x0123_4567_89AB_CDEF] {
        let asked_at = Instant::now();
        server.send(&bytes::ping(token)?);
        loop {
            match server.next(asked_at + server.patience)? {
                Heard::Bytes(Said::Pong(echoed)) if echoed == token => break,
                Heard::Bytes(Said::Pong(other)) => {
                    return Err(broken(20, format!("a ping of token {token} got a pong of {other}")));
                }
                Heard::Bytes(_) => {}
                Heard::Ended => return Err(broken(20, "the gateway closed the connection at a ping")),
                Heard::Silence | Heard::Unsound(_) => {
                    return Err(broken(20, format!("no pong within {:?}", server.patience)));
                }
            }
        }
        let took = asked_at.elapsed();
        hold(20, took < AT_ONCE, || format!("a pong came after {took:?}, while frames had no answer"))?;
    }
    server.record(unanswered)?;
    server.serve(20, 2)
}

pub(super) fn a_welcome_of_another_epoch(server: &mut Server) -> Outcome {
    foreign_welcome(server, |terms| terms.boot_epoch ^= 1)
}

pub(super) fn a_welcome_of_another_hello(server: &mut Server) -> Outcome {
    foreign_welcome(server, |terms| terms.client_random_echo[0] ^= 0xFF)
}

/// The hello was another's: the welcome is dropped, no frame may follow it.
fn foreign_welcome(server: &mut Server, change: fn(&mut Welcome)) -> Outcome {
    let greeting = server.greeting()?;
    let mut terms = server.terms(&greeting);
    change(&mut terms);
    server.send_unsolicited(&terms)?;
    stays_out(server, "a welcome that echoes another hello")
}

/// Frames after a welcome that opens nothing.
fn stays_out(server: &mut Server, what: &str) -> Outcome {
    let until = Instant::now() + Duration::from_millis(800);
    loop {
        match server.next(until) {
            Err(Stop::Broken { rule: 31, seen }) => return Err(broken(13, format!("after {what}: {seen}"))),
            Err(other) => return Err(other),
            Ok(Heard::Bytes(_)) => {}
            Ok(_) => return Ok(()),
        }
    }
}

fn leaves(server: &mut Server, what: &str, change: fn(&mut Welcome)) -> Outcome {
    let greeting = server.greeting()?;
    let mut terms = server.terms(&greeting);
    change(&mut terms);
    server.welcome(&greeting, terms)?;
    let stays = |seen: String| Err(broken(13, format!("a welcome with {what} was accepted: {seen}")));
    let until = Instant::now() + LEAVING;
    loop {
        match server.next(until)? {
            Heard::Ended => return Ok(()),
            Heard::Bytes(Said::Hello) if server.lane.is_udp() => return Ok(()),
            Heard::Bytes(Said::Frame { sequence, .. }) => return stays(format!("frame {sequence} came")),
            Heard::Bytes(_) => {}
            Heard::Silence | Heard::Unsound(_) if server.lane.is_udp() => return Ok(()),
            Heard::Silence | Heard::Unsound(_) => return stays("the connection stays open".to_owned()),
        }
    }
}

pub(super) fn leaves_another_version(server: &mut Server) -> Outcome {
    leaves(server, "version 2, which was not offered", |terms| terms.version = 2)
}

pub(super) fn leaves_small_frames(server: &mut Server) -> Outcome {
    leaves(server, "max_frame_bytes 1,023", |terms| terms.max_frame_bytes = 1_023)
}

pub(super) fn leaves_no_sightings(server: &mut Server) -> Outcome {
    leaves(server, "max_sightings 0", |terms| terms.max_sightings = 0)
}

pub(super) fn leaves_small_datagrams(server: &mut Server) -> Outcome {
    leaves(server, "max_datagram_bytes 575", |terms| terms.max_datagram_bytes = 575)
}

pub(super) fn leaves_a_short_timeout(server: &mut Server) -> Outcome {
    leaves(server, "idle_timeout_ms 999", |terms| terms.idle_timeout_ms = 999)
}

pub(super) fn leaves_session_zero(server: &mut Server) -> Outcome {
    leaves(server, "session 0", |terms| terms.session = 0)
}

pub(super) fn leaves_a_weaker_level(server: &mut Server) -> Outcome {
    let greeting = server.greeting()?;
    if greeting.ack_level != Some(AckLevel::Stored) {
        return Err(not_tried("the gateway asks for no level that could be weakened"));
    }
    let mut terms = server.terms(&greeting);
    terms.ack_level = AckLevel::Journal;
    server.welcome(&greeting, terms)?;
    match server.next(Instant::now() + LEAVING)? {
        Heard::Bytes(Said::Frame { .. }) => {
            Err(broken(13, "level stored was asked for, journal granted and accepted"))
        }
        _ => Ok(()),
    }
}
