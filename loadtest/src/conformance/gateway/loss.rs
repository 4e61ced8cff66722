//! Scenes over UDP: what a gateway does when datagrams and their answers are lost.

use std::time::{Duration, Instant};

use beacon_protocol::RefusalCode;

use super::super::check::{Outcome, Stop, broken, hold, not_tried};
use super::super::wire::Heard;
use super::process::Process;
use super::server::{Said, Server};

/// Timers of others are not exact, and a busy machine adds to them.
const EARLY: Duration = Duration::from_millis(30);
const LATE: Duration = Duration::from_millis(500);

/// The hello is not answered: it comes again after about 1 and 2 s, the same frame.
pub(super) fn the_hello_is_repeated(server: &mut Server) -> Outcome {
    let first = server.greeting()?;
    let mut before = first.clone();
    for wait in [1.0_f64, 2.0] {
        let next = server.greeting_until(before.heard_at + Duration::from_secs_f64(wait * 1.25) + LATE)?;
        let Some(next) = next else {
            // Who gives up does not repeat at a wrong time.
            if let Some(ended) = server.process.as_mut().and_then(Process::ended) {
                return Err(not_tried(ended));
            }
            return Err(broken(
                54,
                format!("no repeat of the hello came {wait} s (give or take a quarter) after the last"),
            ));
        };
        let took = next.heard_at - before.heard_at;
        hold(54, took + EARLY >= Duration::from_secs_f64(wait * 0.75), || {
            format!("the hello came again after {took:?}, {wait} s give or take a quarter is right")
        })?;
        hold(54, next.frame == first.frame, || "a repeat of the hello is another frame".to_owned())?;
        hold(5, next.packet_number > before.packet_number, || {
            format!(
                "the hello's repeat has packet number {}, the one before {}",
                next.packet_number, before.packet_number
            )
        })?;
        before = next;
    }
    hold(5, first.packet_number == 1, || {
        format!("the first datagram of an attempt has packet number {}", first.packet_number)
    })?;
    let terms = server.terms(&before);
    server.welcome(&before, terms)?;
    server.serve(54, 2)
}

/// When a frame came again, counted from its last transmission; `None` when it did not until a moment.
fn repeated(server: &mut Server, wanted: u64, until: Instant) -> Result<Option<Instant>, Stop> {
    loop {
        match server.next(until)? {
            Heard::Bytes(Said::Frame { sequence, again: true }) if sequence == wanted => {
                return Ok(Some(server.last_heard_at));
            }
            Heard::Bytes(Said::Hello) => {
                return Err(broken(40, "the gateway said hello again while its frame was unanswered"));
            }
            Heard::Bytes(_) => {}
            _ => return Ok(None),
        }
    }
}

fn within(rule: u8, what: &str, took: Duration, least: Duration, most: Duration) -> Outcome {
    hold(rule, took + EARLY >= least && took <= most + LATE, || {
        format!("{what} came after {took:?}; {least:?} to {most:?} is right")
    })
}

/// Nothing is known of the way yet: 1 s, then 2 s.
pub(super) fn the_first_timeout_is_a_second(server: &mut Server) -> Outcome {
    server.open(|terms| terms.window_frames = 1)?;
    let sequence = server.new_frame(59)?;
    let sent_at = server.last_heard_at;
    let mut before = sent_at;
    // One that was here before may know the way.
    let first = Duration::from_millis(if server.process.is_some() { 1_000 } else { 200 });
    let (mut least, mut most) = (first, Duration::from_secs(1));
    for rule in [58, 59] {
        let Some(at) = repeated(server, sequence, before + most + LATE)? else {
            return Err(broken(
                59,
                format!("frame {sequence}, of which nothing was heard, did not come again within {most:?}"),
            ));
        };
        let took = at - before;
        within(rule, "the repeat", took, least, most)?;
        (least, most) = (took.mul_f64(1.6), took * 2);
        before = at;
    }
    server.record(sequence)?;
    server.serve(59, 2)
}

/// Quick answers shorten it to 200 ms at the least, and what was sent more than once is no measure.
pub(super) fn the_timeout_follows_the_way(server: &mut Server) -> Outcome {
    server.open(|terms| terms.window_frames = 1)?;
    // Enough for the smoothed time to settle.
    server.serve(58, 24)?;
    let sequence = server.new_frame(58)?;
    let sent_at = server.last_heard_at;
    let Some(at) = repeated(server, sequence, sent_at + Duration::from_secs(1) + LATE)? else {
        return Err(broken(
            58,
            "after 24 quick answers a frame did not come again within a second".to_owned(),
        ));
    };
    within(
        58,
        "after 24 quick answers, a repeat",
        at - sent_at,
        Duration::from_millis(200),
        Duration::from_millis(400),
    )?;
    let first = (at - sent_at).max(Duration::from_millis(200));
    let Some(second) = repeated(server, sequence, at + first * 2 + LATE)? else {
        return Err(broken(59, "the second repeat did not come after twice the timeout".to_owned()));
    };
    within(59, "the second repeat", second - at, (first * 2).mul_f64(0.7), first * 2)?;
    server.record(sequence)?;
    server.serve(59, 1)
}

/// Told that it has arrived: no repeat at the timeout, but one after two seconds or little more.
pub(super) fn what_has_arrived_is_repeated_slowly(server: &mut Server) -> Outcome {
    server.open(|terms| terms.window_frames = 1)?;
    server.serve(60, 12)?;
    let sequence = server.new_frame(60)?;
    let (cumulative, received) = server.progress();
    server.ack(cumulative, received)?;
    let told_at = Instant::now();
    let most = Duration::from_secs(2) + LATE * 2;
    match repeated(server, sequence, told_at + most)? {
        None => Err(broken(
            60,
            format!("frame {sequence}, arrived and unanswered, did not come again within {most:?}"),
        )),
        Some(at) => {
            within(
                60,
                "the repeat of a frame that has arrived",
                at - told_at,
                Duration::from_millis(1_900),
                most,
            )?;
            server.record(sequence)?;
            server.serve(60, 1)
        }
    }
}

/// Told that it is answered, without the record: it asks again, after one timeout, and again without doubling.
pub(super) fn what_is_answered_is_asked_for(server: &mut Server) -> Outcome {
    server.open(|terms| terms.window_frames = 1)?;
    server.serve(17, 12)?;
    let sequence = server.new_frame(17)?;
    server.ack(sequence, 0)?;
    let mut before = Instant::now();
    for _ in 0..2 {
        // Who goes on with the next frame has taken the number for the record.
        let again = repeated(server, sequence, before + Duration::from_secs(1) + LATE);
        let again = again.map_err(|stop| match stop {
            Stop::Broken { rule: 44, seen } => {
                broken(17, format!("frame {sequence} has no record, only a cumulative number: {seen}"))
            }
            other => other,
        })?;
        let Some(at) = again else {
            let why =
                "was called answered; its record did not come, and neither did a repeat within a second";
            return Err(broken(17, format!("frame {sequence} {why}")));
        };
        within(
            60,
            "the repeat of an answered frame",
            at - before,
            Duration::from_millis(180),
            Duration::from_millis(500),
        )?;
        before = at;
    }
    server.record(sequence)?;
    server.serve(17, 1)
}

/// No room: as long as was said.
pub(super) fn busy_is_waited(server: &mut Server) -> Outcome {
    server.open(|terms| terms.window_frames = 1)?;
    server.serve(61, 12)?;
    let sequence = server.new_frame(61)?;
    server.refuse(sequence, RefusalCode::Busy, 1_500)?;
    let told_at = Instant::now();
    let wait = Duration::from_millis(1_500);
    let Some(at) = repeated(server, sequence, told_at + wait * 2 + LATE)? else {
        return Err(broken(
            61,
            format!(
                "frame {sequence}, refused as busy for {wait:?}, did not come again within {:?}",
                wait * 2
            ),
        ));
    };
    within(61, "the repeat after busy", at - told_at, wait, wait * 2)?;
    server.record(sequence)?;
    server.serve(61, 1)
}

/// A second welcome, as of a hello that was repeated: dropped.
pub(super) fn a_second_welcome_is_dropped(server: &mut Server) -> Outcome {
    let greeting = server.greeting()?;
    let terms = server.terms(&greeting);
    server.welcome(&greeting, terms)?;
    server.serve(13, 2)?;
    let foreign = beacon_protocol::Welcome { session: terms.session ^ 1, ..terms };
    server.send_unsolicited(&foreign)?;
    server.serve(13, 3)
}

/// With AGES: the base is older by what has passed, which is looked at with every repeat.
pub(super) fn ages_go_on(server: &mut Server) -> Outcome {
    server.open(|terms| terms.window_frames = 1)?;
    let sequence = server.new_frame(64)?;
    let aged = server.frame(sequence).and_then(|kept| beacon_protocol::age_of(&kept.bytes).ok().flatten());
    if aged.is_none() {
        return Err(not_tried("the gateway sends times of its clock, no ages"));
    }
    let until = server.last_heard_at + Duration::from_secs(3) + LATE;
    if server.lane.is_udp() {
        repeated(server, sequence, until)?;
        return server.record(sequence);
    }
    server.drop_session()?;
    server.open(|_| {})?;
    server.serve(64, 2)
}
