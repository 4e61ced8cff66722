//! The gateway's part: every check of a daemon, several at once, each in a session of its own.

mod answers;
mod datagrams;
mod framing;
mod opening;
mod player;
mod records;
mod scene;
mod sequences;

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use beacon_protocol::BeaconRef;
use clap::Args;

use self::player::Player;
use self::scene::Scene;
use super::check::{Held, Outcome, Stop};
use super::rules;
use crate::ending::Failure;
use crate::target::{Target, Transport};

/// Checks held at once: they mostly wait, and a daemon has room for so many sessions.
const AT_ONCE: usize = 8;

const EXIT_CODES: &str = "\
Exit codes: 0 no rule broken, 1 one is, 64 wrong arguments, 69 nobody there, or the gateway is not let in

The daemon is told preferences and (with --beacon) sightings of customers named conformance-...: use one for tests.";

/// Arguments of `conformance daemon`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct DaemonArguments {
    /// The daemon, as tcp://HOST:PORT or udp://HOST:PORT. Both transports are two runs.
    #[arg(long, value_name = "TARGET")]
    pub(super) target: Target,
    /// A beacon registered with the daemon: its sightings show in what order they are decided.
    #[arg(long, value_name = "UUID:MAJOR:MINOR", value_parser = beacon)]
    beacon: Option<BeaconRef>,
    /// Gateway id to say hello as; the daemon must know it, unless it takes any.
    #[arg(long, value_name = "ID", default_value = "conformance", value_parser = gateway_id)]
    gateway: String,
    /// How long to wait for what is due, and for what takes its time.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    patience: Duration,
    /// Hold only the checks of this rule; several times for several.
    #[arg(long, value_name = "RULE", value_parser = rules::parse)]
    pub(super) rule: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    Tcp,
    Udp,
    Both,
}

/// A conversation, what it is called, and the rules it is about.
struct Check {
    name: &'static str,
    over: Over,
    rules: &'static [u8],
    hold: fn(&mut Scene) -> Outcome,
}

const fn check(
    name: &'static str,
    over: Over,
    rules: &'static [u8],
    hold: fn(&mut Scene) -> Outcome,
) -> Check {
    Check { name, over, rules, hold }
}

use Over::{Both, Tcp, Udp};

/// The longest first.
const CHECKS: [Check; 44] = [
    check("silence ends a session", Both, &[39], opening::silence_ends_a_session),
    check("a hello is welcomed", Both, &[20, 32, 66], opening::a_hello_is_welcomed),
    check("two sessions differ", Both, &[32, 33], opening::two_sessions_differ),
    check("the level is not weaker than asked", Both, &[12], opening::the_level_is_not_weaker),
    check("hellos that cannot be granted", Both, &[32, 68], opening::hellos_that_cannot_be_granted),
    check("nothing goes before the hello", Tcp, &[11, 24], opening::nothing_goes_before_the_hello),
    check("kinds of the other side", Both, &[11], opening::kinds_of_the_other_side),
    check("pings do not wait", Both, &[20], opening::pings_do_not_wait),
    check("a repeated hello", Udp, &[5, 9, 10, 55], opening::a_repeated_hello_is_the_same_session),
    check("a session belongs to its address", Udp, &[10, 56], opening::a_session_belongs_to_its_address),
    check("the window fits the bitmap", Udp, &[57], opening::the_window_fits_the_bitmap),
    check("faults are found in order", Both, &[2], framing::faults_are_found_in_order),
    check("faults are found at once", Tcp, &[2, 24], framing::faults_are_found_at_once),
    check("lengths are checked before bodies come", Tcp, &[3, 24], framing::lengths_are_checked_first),
    check("bodies cut or longer", Both, &[4, 68], framing::bodies_are_neither_cut_nor_longer),
    check("a refusal names its frame", Both, &[4], framing::refusals_name_their_frame),
    check("hellos cut or longer", Both, &[4, 68], framing::hellos_are_neither_cut_nor_longer),
    check("flags are zero", Both, &[1], framing::flags_are_zero),
    check("values outside their range", Both, &[2], framing::values_are_in_their_ranges),
    check("hellos outside their ranges", Both, &[2], framing::hellos_are_in_their_ranges),
    check("any segmentation of the stream", Tcp, &[2], framing::any_segmentation_is_the_same),
    check("unknown kinds", Both, &[67], framing::unknown_kinds),
    check("a stream that ends inside a frame", Tcp, &[4], framing::a_stream_that_ends_inside_a_frame),
    check("records before a refusal", Tcp, &[24], framing::records_due_come_before_the_refusal),
    check("repeats in a session", Both, &[15, 46], sequences::a_repeat_gets_the_same_record),
    check("numbers that skip or return", Both, &[46], sequences::numbers_that_skip_or_return),
    check("frames of an earlier session", Both, &[15, 46], sequences::frames_of_an_earlier_session),
    check("a window of frames", Both, &[15, 45], sequences::a_window_of_frames),
    check("any order within the window", Udp, &[15, 46], sequences::any_order_within_the_window),
    check("repeats in progress", Udp, &[63], sequences::a_repeat_in_progress_is_acked_at_once),
    check("acks in time", Udp, &[62], sequences::acks_come_in_time),
    check("outcomes follow the tables", Both, &[16], answers::outcomes_follow_the_tables),
    check("a record of exceptions only", Both, &[16, 18], answers::a_long_record_fits),
    check("preferences", Both, &[16], answers::preferences_are_answered),
    check("decided in the order of arrival", Both, &[48], answers::decided_in_the_order_of_arrival),
    check("longer than the welcome allows", Both, &[14], answers::longer_than_the_welcome_allows),
    check("goodbye", Both, &[35], answers::goodbye_is_answered_to_the_end),
    check("a refusal from a gateway", Both, &[27], answers::no_refusal_of_a_refusal),
    check("a flood of frames", Tcp, &[18, 25], answers::a_flood_is_not_called_busy),
    check("headers of datagrams", Udp, &[6, 7, 26], datagrams::headers_that_are_not_sound),
    check("one frame a datagram", Udp, &[8, 26], datagrams::one_frame_a_datagram),
    check("packet numbers mean nothing yet", Udp, &[5, 6], datagrams::packet_numbers_mean_nothing),
    check("refusals name their session", Udp, &[10], datagrams::refusals_name_the_session),
    check("refusals are short", Udp, &[27], datagrams::refusals_are_short),
];

/// Why a rule that no check is about is not tried.
pub(super) fn untried(rule: u8, over_udp: bool) -> &'static str {
    match rule {
        5..=10 | 26 | 55..=57 | 62 | 63 if !over_udp => "a rule of UDP: name the daemon's udp:// address",
        3 | 24 | 25 if over_udp => "a rule of TCP: name the daemon's tcp:// address",
        23 => "whether it is durable does not show on the wire: see loadtest verify and cargo xtask torture",
        28 => "what a daemon counts does not show on the wire: look at its metrics",
        36 => "the daemon would have to be stopped",
        47 => "nothing is undecided while the daemon can ask its stores",
        _ => "no check chosen is about it",
    }
}

/// Holds every check that is chosen.
///
/// # Errors
/// When nobody is there, or the gateway is not let in.
pub(super) fn hold_all(arguments: &DaemonArguments) -> Result<Vec<Held>, Failure> {
    let scene = scene(arguments)?;
    let chosen: Vec<&Check> = CHECKS
        .iter()
        .filter(|check| matches!((check.over, scene.over_udp), (Both, _) | (Tcp, false) | (Udp, true)))
        .filter(|check| {
            arguments.rule.is_empty() || check.rules.iter().any(|rule| arguments.rule.contains(rule))
        })
        .collect();
    if let Err(stop) = Player::open(&scene)
        && let Stop::NotTried(why) | Stop::Broken { seen: why, .. } = stop
    {
        return Err(Failure::Silent { target: arguments.target.to_string(), why });
    }
    let next = AtomicUsize::new(0);
    let held = Mutex::new(Vec::with_capacity(chosen.len()));
    std::thread::scope(|threads| {
        for _ in 0..AT_ONCE.min(chosen.len()) {
            threads.spawn(|| {
                while let Some(check) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = hold_one(check, &scene);
                    held.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(result);
                }
            });
        }
    });
    Ok(held.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// Over UDP a breach must be seen twice: a datagram may have been lost.
fn hold_one(check: &Check, scene: &Scene) -> Held {
    let mut own = scene.fresh();
    let mut outcome = (check.hold)(&mut own);
    if scene.over_udp && matches!(outcome, Err(Stop::Broken { .. })) {
        own = scene.fresh();
        outcome = (check.hold)(&mut own);
    }
    Held { check: check.name, rules: check.rules, outcome, unsaid: own.unsaid }
}

fn scene(arguments: &DaemonArguments) -> Result<Scene, Failure> {
    let target = &arguments.target;
    let no_address = |reason: String| Failure::NoAddress { target: target.to_string(), reason };
    let found = target.address.to_socket_addrs().map_err(|error| no_address(error.to_string()))?;
    let address: Option<SocketAddr> = found.min_by_key(SocketAddr::is_ipv6);
    let template = Scene {
        address: address.ok_or_else(|| no_address("the name has no address".to_owned()))?,
        over_udp: target.transport == Transport::Udp,
        patience: arguments.patience,
        gateway: arguments.gateway.clone(),
        beacon: arguments.beacon,
        epoch: 0,
        client_random: [0; 32],
        unsaid: Vec::new(),
    };
    Ok(template.fresh())
}

fn beacon(text: &str) -> Result<BeaconRef, String> {
    read_beacon(text).ok_or_else(|| "a beacon is UUID:MAJOR:MINOR".to_owned())
}

fn read_beacon(text: &str) -> Option<BeaconRef> {
    let mut parts = text.split(':');
    let uuid = uuid::Uuid::parse_str(parts.next()?).ok()?;
    let (major, minor) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    parts.next().is_none().then_some(BeaconRef { uuid: uuid.into_bytes(), major, minor })
}

fn gateway_id(text: &str) -> Result<String, String> {
    let fits = (1..=64).contains(&text.len()) && !text.chars().any(char::is_control);
    if fits {
        Ok(text.to_owned())
    } else {
        Err("a gateway id has 1 to 64 bytes and no control characters".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules::{RULES, Side};
    use super::*;

    #[test]
    fn every_rule_of_a_daemon_has_a_check_or_a_reason_why_not() {
        for rule in RULES.into_iter().filter(|rule| rule.parties.include(Side::Daemon)) {
            for over_udp in [false, true] {
                let over =
                    |check: &&Check| matches!((check.over, over_udp), (Both, _) | (Tcp, false) | (Udp, true));
                let checked = CHECKS.iter().filter(over).any(|check| check.rules.contains(&rule.number));
                let reason = untried(rule.number, over_udp);
                assert_ne!(checked, !reason.starts_with("no check"), "R{}, over UDP {over_udp}", rule.number);
            }
        }
    }

    #[test]
    fn checks_are_about_rules_that_bind_a_daemon() {
        for check in &CHECKS {
            for number in check.rules {
                let rule = rules::of_number(*number).unwrap();
                assert!(rule.parties.include(Side::Daemon), "{}: R{number}", check.name);
            }
        }
    }

    #[test]
    fn beacons_are_read_as_they_are_written() {
        let read = beacon("f7826da6-4fa2-4e98-8024-bc5b71e0893e:1:3").unwrap();
        assert_eq!((read.major, read.minor, read.uuid[0]), (1, 3, 0xF7));
        for text in [
            "",
            "f7826da6-4fa2-4e98-8024-bc5b71e0893e",
            "x:1:3",
            "f7826da6-4fa2-4e98-8024-bc5b71e0893e:1:70000",
        ] {
            assert!(beacon(text).is_err(), "{text}");
        }
    }
}
