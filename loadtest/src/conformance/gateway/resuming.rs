//! Scenes: sessions that are lost, refused or ended, and how a gateway goes on.

use std::time::{Duration, Instant};

use beacon_protocol::{
    Exception, Goodbye, GoodbyeReason, MAX_FRAME_BYTES, Message, OutcomeCode, RefusalCode, deframe_whole,
};

use super::super::check::{Outcome, Stop, broken, hold, not_tried};
use super::super::wire::Heard;
use super::greeting::Greeting;
use super::memory::{Told, told};
use super::server::{Said, Server};
use crate::clock::now_us;

/// Clocks and schedulers are not exact.
const EARLY: Duration = Duration::from_millis(60);
/// What was on its way when goodbye or a refusal left may still come.
const ON_ITS_WAY: Duration = Duration::from_millis(400);

/// Records of some frames out of order, then the connection is lost: the rest comes again, byte for byte.
pub(super) fn resumes(server: &mut Server) -> Outcome {
    let greeting = server.open(|_| {})?;
    server.serve(49, 2)?;
    let lost = server.new_frame(49)?;
    let answered = server.new_frame(49)?;
    server.record(answered)?;
    // Answered it may be called; a record it has not.
    let (_, received) = server.progress();
    server.ack(lost + 1, received)?;
    let again = lose_and_resume(server)?;
    hold(49, again.boot_epoch == greeting.boot_epoch, || {
        format!("after a lost session epoch {} became {}", greeting.boot_epoch, again.boot_epoch)
    })?;
    hold(17, again.first_unacked <= lost, || {
        format!(
            "frame {lost} has no record, only a cumulative number, and first_unacked is {}",
            again.first_unacked
        )
    })?;
    let mut terms = server.terms(&again);
    // All that was sent, as a hint.
    terms.last_acked = server.highest();
    server.welcome(&again, terms)?;
    // The first frame of a session is its first_unacked: another one was left out for the hint's sake.
    let first = server.new_frame(53).map_err(|stop| match stop {
        Stop::Broken { rule: 42, seen } => {
            broken(53, format!("last_acked {} is a hint, no record: {seen}", terms.last_acked))
        }
        other => other,
    })?;
    server.record(first)?;
    let second = server.new_frame(42)?;
    hold(42, second == answered, || {
        format!("frame {answered} has a record, and is to come again behind {lost}")
    })?;
    server.record(second)?;
    server.serve(49, 2)
}

/// Ends the session so that the gateway finds it lost, and awaits its next hello.
fn lose_and_resume(server: &mut Server) -> Result<Greeting, Stop> {
    let lost_at = lose(server)?;
    let greeting = server.greeting()?;
    if !server.lane.is_udp() {
        waited(greeting.heard_at - lost_at, Duration::from_millis(500), "a lost connection")?;
    }
    Ok(greeting)
}

fn waited(took: Duration, least: Duration, after: &str) -> Outcome {
    hold(30, took + EARLY >= least, || {
        format!("the attempt after {after} came {took:?} later, at least {least:?} is right")
    })
}

/// A record came in the session: its hello comes at once, and the session goes on.
pub(super) fn an_unknown_session_is_opened_again(server: &mut Server) -> Outcome {
    let greeting = server.open(|_| {})?;
    server.serve(26, 2)?;
    let told_at = Instant::now();
    server.refuse(0, RefusalCode::UnknownSession, 0)?;
    let again = server.greeting()?;
    let took = again.heard_at - told_at;
    hold(26, took < Duration::from_millis(1_500), || {
        format!(
            "the hello after unknown_session came {took:?} later; a record had come, so it is to come at once"
        )
    })?;
    hold(49, again.boot_epoch == greeting.boot_epoch, || {
        format!("after unknown_session epoch {} became {}", greeting.boot_epoch, again.boot_epoch)
    })?;
    let terms = server.terms(&again);
    server.welcome(&again, terms)?;
    server.serve(49, 3)
}

/// A session that is lost, then refused hellos: each wait at least half of 1, 2 and 4 seconds.
pub(super) fn waits_grow(server: &mut Server) -> Outcome {
    server.open(|_| {})?;
    server.serve(30, 2)?;
    // Over UDP the hello after unknown_session comes at once, and fails first.
    let mut least = if server.lane.is_udp() { Duration::ZERO } else { Duration::from_millis(500) };
    let mut failed_at = lose(server)?;
    for refusals in 0..3 {
        let greeting = server.greeting()?;
        waited(
            greeting.heard_at - failed_at,
            least,
            &format!("a lost session and {refusals} refused hellos"),
        )?;
        least = (least * 2).max(Duration::from_millis(500));
        if refusals == 2 {
            let terms = server.terms(&greeting);
            server.welcome(&greeting, terms)?;
            break;
        }
        failed_at = Instant::now();
        refuse_hello(server, RefusalCode::TooManySessions, 0)?;
    }
    server.serve(30, 2)
}

/// Ends the session so that the gateway finds it lost; when.
fn lose(server: &mut Server) -> Result<Instant, Stop> {
    let lost_at = Instant::now();
    if server.lane.is_udp() {
        server.refuse(0, RefusalCode::UnknownSession, 0)?;
    }
    server.drop_session()?;
    Ok(lost_at)
}

/// Refuses a hello, outside any session.
fn refuse_hello(server: &mut Server, code: RefusalCode, retry_after_ms: u32) -> Outcome {
    server.refuse(0, code, retry_after_ms)?;
    server.drop_session()
}

pub(super) fn retry_after_is_waited(server: &mut Server) -> Outcome {
    server.open(|_| {})?;
    server.serve(30, 2)?;
    lose(server)?;
    server.greeting()?;
    let refused_at = Instant::now();
    refuse_hello(server, RefusalCode::TooManySessions, 3_000)?;
    let greeting = server.greeting()?;
    waited(greeting.heard_at - refused_at, Duration::from_secs(3), "a refusal with retry_after_ms 3,000")?;
    let terms = server.terms(&greeting);
    server.welcome(&greeting, terms)?;
    server.serve(30, 2)
}

/// A refusal of a code nobody knows yet ends the session, no more.
pub(super) fn codes_of_a_later_version(server: &mut Server) -> Outcome {
    server.open(|_| {})?;
    server.serve(68, 2)?;
    server.refuse(0, RefusalCode::Other(999), 0)?;
    server.drop_session()?;
    let greeting = server.greeting()?;
    let terms = server.terms(&greeting);
    server.welcome(&greeting, terms)?;
    server.serve(68, 2)
}

/// Goodbye, with frames unanswered: no more frames, their records, and then another session.
pub(super) fn a_draining_server_is_left(server: &mut Server) -> Outcome {
    server.open(|_| {})?;
    server.serve(37, 2)?;
    let (first, second) = (server.new_frame(37)?, server.new_frame(37)?);
    server.goodbye(Goodbye { reason: GoodbyeReason::Draining, deadline_ms: 2_500 })?;
    server.no_frames_from(Instant::now() + ON_ITS_WAY, 37, "goodbye (draining)");
    // Room in the window must not tempt it.
    let until = Instant::now() + ON_ITS_WAY;
    while matches!(server.next(until)?, Heard::Bytes(_)) {}
    server.record(first)?;
    let until = Instant::now() + Duration::from_millis(800);
    loop {
        match server.next(until)? {
            Heard::Ended => {
                return Err(broken(
                    37,
                    "the gateway closed though frames had no record and the deadline was not over",
                ));
            }
            Heard::Bytes(_) => {}
            Heard::Silence | Heard::Unsound(_) => break,
        }
    }
    server.record(second)?;
    if !server.lane.is_udp() && !server.is_left(Instant::now() + Duration::from_secs(5))? {
        return Err(broken(37, "the gateway stays connected after the deadline of goodbye (draining)"));
    }
    server.drop_session()?;
    server.open(|_| {})?;
    server.serve(49, 2)
}

/// The first sighting of a frame is undecided, then undecided once more, for a reason nobody knows yet.
pub(super) fn undecided_comes_again(server: &mut Server) -> Outcome {
    server.open(|_| {})?;
    let mut sequence = server.new_frame(21)?;
    while server.frame(sequence).is_none_or(|kept| kept.sightings.is_none()) {
        server.record(sequence)?;
        sequence = server.new_frame(21)?;
    }
    for (detail, least) in [(1, Duration::from_millis(500)), (200, Duration::from_secs(1))] {
        let old = sightings_of(server, sequence)?;
        let aged = is_aged(server, sequence)?;
        server.record_with(sequence, &[Exception { index: 0, code: OutcomeCode::Undecided, detail }])?;
        let told_at = Instant::now();
        let rule = if detail == 200 { 19 } else { 21 };
        sequence = resent(server, rule, &old, aged)?;
        let took = told_at.elapsed();
        hold(21, took + EARLY >= least, || {
            format!("an undecided sighting came again after {took:?}, at least {least:?} is right")
        })?;
    }
    server.record(sequence)
}

/// Serves frames until one brings the first sighting of an old frame again; which.
fn resent(server: &mut Server, rule: u8, old: &[Told], aged: bool) -> Result<u64, Stop> {
    let Some((undecided, decided)) = old.split_first() else {
        return Err(not_tried("a frame without sightings"));
    };
    let until = Instant::now() + Duration::from_secs(6).min(server.patience);
    let mut resembling = false;
    while Instant::now() < until {
        let sequence = match server.next(until)? {
            Heard::Bytes(Said::Frame { sequence, .. }) => sequence,
            Heard::Bytes(_) => continue,
            Heard::Ended => return Err(broken(rule, "the gateway closed after an undecided sighting")),
            Heard::Silence | Heard::Unsound(_) => break,
        };
        let new = if server.frame(sequence).is_some_and(|kept| kept.sightings.is_some()) {
            sightings_of(server, sequence)?
        } else {
            Vec::new()
        };
        if new.iter().any(|told| told.is(undecided, aged)) {
            let finals = decided.iter().filter(|old| !old.is(undecided, aged));
            let returned = finals.filter(|old| new.iter().any(|told| told.is(old, aged))).count();
            hold(22, returned == 0, || {
                format!(
                    "frame {sequence} brings {returned} sightings again that were decided, beside one undecided"
                )
            })?;
            return Ok(sequence);
        }
        resembling |= new.iter().any(|told| told.resembles(undecided));
        server.record(sequence)?;
    }
    let other_time = if resembling { "; a like one came with another time of detection" } else { "" };
    Err(broken(rule, format!("an undecided sighting did not come again within 6 s{other_time}")))
}

fn sightings_of(server: &Server, sequence: u64) -> Result<Vec<Told>, Stop> {
    let gone = || not_tried("a frame is not remembered");
    let kept = server.frame(sequence).ok_or_else(gone)?;
    let received_at_us =
        now_us().saturating_sub(i64::try_from(kept.heard_at.elapsed().as_micros()).unwrap_or(0));
    let raw = deframe_whole(&kept.bytes, MAX_FRAME_BYTES).map_err(|_| gone())?;
    match Message::decode(raw) {
        Ok(Message::Sightings(batch)) => Ok(told(&batch, received_at_us)),
        _ => Err(gone()),
    }
}

fn is_aged(server: &Server, sequence: u64) -> Result<bool, Stop> {
    let kept = server.frame(sequence).ok_or_else(|| not_tried("a frame is not remembered"))?;
    Ok(beacon_protocol::age_of(&kept.bytes).ok().flatten().is_some())
}

/// Busy is no word for TCP: the gateway closes and resumes.
pub(super) fn busy_on_tcp(server: &mut Server) -> Outcome {
    server.open(|_| {})?;
    server.serve(25, 2)?;
    let sequence = server.new_frame(25)?;
    server.refuse(sequence, RefusalCode::Busy, 100)?;
    if !server.is_left(Instant::now() + Duration::from_secs(3))? {
        return Err(broken(25, "the gateway stays connected after busy"));
    }
    server.drop_session()?;
    let again = server.open(|_| {})?;
    hold(25, again.first_unacked <= sequence, || {
        format!("frame {sequence} was refused as busy, and the session resumed at {}", again.first_unacked)
    })?;
    server.serve(25, 2)
}

/// The number is another frame's, says the daemon: a new epoch from 1.
pub(super) fn a_reused_sequence_begins_an_epoch(server: &mut Server) -> Outcome {
    let greeting = server.open(|_| {})?;
    server.serve(51, 2)?;
    let sequence = server.new_frame(51)?;
    server.refuse(sequence, RefusalCode::SequenceReused, 0)?;
    if !server.lane.is_udp() {
        server.drop_session()?;
    }
    renumbered(server, greeting.boot_epoch, "sequence_reused")
}

/// A gap, says the daemon: over UDP it keeps the session, and the gateway leaves it for another of the same epoch.
pub(super) fn a_gap_is_left_behind(server: &mut Server) -> Outcome {
    let greeting = server.open(|_| {})?;
    server.serve(26, 2)?;
    let sequence = server.new_frame(26)?;
    server.refuse(sequence, RefusalCode::SequenceGap, 0)?;
    let again = server.greeting()?;
    hold(26, again.boot_epoch == greeting.boot_epoch, || {
        format!("after sequence_gap epoch {} became {}", greeting.boot_epoch, again.boot_epoch)
    })?;
    let terms = server.terms(&again);
    server.welcome(&again, terms)?;
    server.serve(49, 3)
}

/// A frame is held, and the next session takes one sighting less than it has.
pub(super) fn held_frames_fit_the_next_session(server: &mut Server) -> Outcome {
    server.open(|_| {})?;
    let until = server.soon();
    let sightings = loop {
        let sequence = server.new_frame(14)?;
        if let Some(sightings @ 2..) = server.frame(sequence).and_then(|kept| kept.sightings) {
            break sightings;
        }
        server.record(sequence)?;
        if Instant::now() >= until {
            return Err(not_tried("the gateway sends one sighting a frame"));
        }
    };
    let again = lose_and_resume(server)?;
    let epoch = again.boot_epoch;
    let mut terms = server.terms(&again);
    terms.max_sightings = sightings - 1;
    server.welcome(&again, terms)?;
    renumbered(server, epoch, "limits that a held frame breaks")
}

/// The daemon knows higher numbers than the gateway does.
pub(super) fn a_higher_last_acked_begins_an_epoch(server: &mut Server) -> Outcome {
    let greeting = server.greeting()?;
    let mut terms = server.terms(&greeting);
    terms.last_acked = server.highest().max(greeting.first_unacked) + 1_000_000;
    let epoch = greeting.boot_epoch;
    server.welcome(&greeting, terms)?;
    renumbered(server, epoch, "a last_acked beyond its numbering")
}

/// The next hello must be of another epoch, and its frames begin at 1.
fn renumbered(server: &mut Server, old_epoch: u64, why: &str) -> Outcome {
    if !server.lane.is_udp() {
        // It may say what it will in the old session, and must leave it.
        let until = Instant::now() + Duration::from_secs(5);
        if !server.is_left(until)? {
            return Err(broken(51, format!("the gateway goes on in its epoch after {why}")));
        }
    }
    let next = server.greeting().map_err(|stop| match stop {
        Stop::NotTried(seen) => broken(51, format!("after {why}: {seen}")),
        other => other,
    })?;
    hold(51, next.boot_epoch != old_epoch, || {
        format!("after {why} the next session has the same epoch {old_epoch}")
    })?;
    hold(51, next.first_unacked == 1, || {
        format!("the new epoch after {why} begins at first_unacked {}", next.first_unacked)
    })?;
    let terms = server.terms(&next);
    server.welcome(&next, terms)?;
    server.serve(51, 3)
}

/// Asked to end in order: goodbye, and no new frame behind it.
pub(super) fn leaves_with_goodbye(server: &mut Server) -> Outcome {
    server.open(|_| {})?;
    let sequence = server.new_frame(34)?;
    let asked = server.process.as_ref().is_some_and(super::process::Process::interrupt);
    if !asked {
        return Err(not_tried("only a gateway started with --exec can be asked to leave (SIGINT)"));
    }
    let until = Instant::now() + Duration::from_secs(3);
    let mut goodbye = false;
    loop {
        match server.next(until)? {
            Heard::Bytes(Said::Goodbye) => {
                goodbye = true;
                server.record(sequence)?;
            }
            Heard::Bytes(_) => {}
            _ => break,
        }
    }
    if goodbye {
        Ok(())
    } else {
        Err(not_tried("the gateway ended without a goodbye when it was interrupted"))
    }
}
