//! The server's part: scenes for a gateway, one after the other, or each for a process of its own.

mod greeting;
mod lane;
mod loss;
mod memory;
mod opening;
mod process;
mod resuming;
mod server;
mod silence;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;

use self::lane::Lane;
use self::memory::Numbering;
use self::process::Process;
use self::server::Server;
use super::check::{Held, Outcome, Stop, broken, not_tried};
use super::rules;
use crate::ending::Failure;
use crate::target::Transport;

/// Processes at once: scenes mostly wait, and what they time must not wait for a processor.
const AT_ONCE: usize = 6;

const EXIT_CODES: &str = "\
Exit codes: 0 no rule broken, 1 one is, 64 wrong arguments, 69 no gateway came, or none can be started

The gateway must send sightings all the time, each with a time of its own. Without --exec start it yourself, with the
address that is printed, and let it start again when it ends. With --exec it is started anew for every scene, several
at once, told where to connect by BEACOND_TARGET and by {target} in its arguments.";

/// Arguments of `conformance gateway`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct GatewayArguments {
    /// Where to listen, as tcp://HOST:PORT or udp://HOST:PORT; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    listen: Listen,
    /// How long it may take in all; scenes that do not fit are not tried.
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// How long to wait for a gateway, and for its frames.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    patience: Duration,
    /// Play only the scenes of this rule; several times for several.
    #[arg(long, value_name = "RULE", value_parser = rules::parse)]
    pub(super) rule: Vec<u8>,
    /// The command that starts the gateway, and its arguments; the last option.
    #[arg(long, value_name = "COMMAND", num_args = 1.., allow_hyphen_values = true)]
    exec: Vec<String>,
}

#[derive(Debug, Clone, Copy)]
struct Listen {
    transport: Transport,
    address: SocketAddr,
}

impl std::str::FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (transport, address) = match text.split_once("://") {
            Some(("tcp", address)) => (Transport::Tcp, address),
            Some(("udp", address)) => (Transport::Udp, address),
            _ => return Err("an address is tcp://HOST:PORT or udp://HOST:PORT".to_owned()),
        };
        let found = address.to_socket_addrs().map_err(|error| error.to_string())?;
        let address = found.min_by_key(SocketAddr::is_ipv6).ok_or("the name has no address")?;
        Ok(Self { transport, address })
    }
}

/// All scenes, played.
pub(super) struct Played {
    pub(super) held: Vec<Held>,
    pub(super) over_udp: bool,
    pub(super) address: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    Tcp,
    Udp,
    Both,
}

struct Scene {
    name: &'static str,
    over: Over,
    rules: &'static [u8],
    play: fn(&mut Server) -> Outcome,
}

const fn scene(
    name: &'static str,
    over: Over,
    rules: &'static [u8],
    play: fn(&mut Server) -> Outcome,
) -> Scene {
    Scene { name, over, rules, play }
}

use Over::{Both, Tcp, Udp};

/// Those come last that may end a gateway for good.
const SCENES: [Scene; 52] = [
    scene("a gateway opens", Tcp, &[31, 33, 41, 42, 66], opening::opens),
    scene("a gateway opens", Udp, &[5, 9, 31, 41, 42, 66], opening::opens),
    scene("small limits", Both, &[14, 44], opening::keeps_to_limits),
    scene("a window of one frame", Both, &[44], opening::a_window_of_one),
    scene("pings while frames wait", Both, &[20], opening::pings_are_answered),
    scene("records are late, pings are answered", Both, &[38, 40], silence::stays_while_pings_are_answered),
    scene("a server falls silent", Both, &[39], silence::leaves_a_silent_server),
    scene("a session is lost", Tcp, &[17, 30, 42, 43, 49, 53], resuming::resumes),
    scene("a session is lost", Udp, &[42, 43, 49, 53], resuming::resumes),
    scene("undecided sightings", Both, &[19, 21, 22], resuming::undecided_comes_again),
    scene("a draining server", Both, &[37, 49], resuming::a_draining_server_is_left),
    scene("refused again and again", Both, &[30], resuming::waits_grow),
    scene("retry_after", Both, &[30], resuming::retry_after_is_waited),
    scene("unknown kinds", Both, &[67], silence::unknown_kinds),
    scene("a refusal of a later version", Tcp, &[68], resuming::codes_of_a_later_version),
    scene("a refusal of a later version", Udp, &[26, 68], resuming::codes_of_a_later_version),
    scene("busy on TCP", Tcp, &[25], resuming::busy_on_tcp),
    scene("ages", Both, &[64], loss::ages_go_on),
    scene("the hello is not answered", Udp, &[5, 54], loss::the_hello_is_repeated),
    scene("nothing is heard of the first frame", Udp, &[58, 59], loss::the_first_timeout_is_a_second),
    scene("a frame is lost on a quick way", Udp, &[58, 59], loss::the_timeout_follows_the_way),
    scene("a frame has arrived", Udp, &[60], loss::what_has_arrived_is_repeated_slowly),
    scene("a record is lost", Udp, &[17, 60], loss::what_is_answered_is_asked_for),
    scene("a frame is refused as busy", Udp, &[61], loss::busy_is_waited),
    scene("a second welcome", Udp, &[13], loss::a_second_welcome_is_dropped),
    scene("strangers", Udp, &[29], silence::strangers_are_ignored),
    scene("unsound datagrams", Udp, &[1, 2, 4, 6, 7, 8, 67], silence::unsound_datagrams),
    scene("a refusal of one datagram", Udp, &[26], silence::a_refusal_of_one_datagram),
    scene("an unknown session", Udp, &[26, 49], resuming::an_unknown_session_is_opened_again),
    scene("a sequence gap", Udp, &[26, 49], resuming::a_gap_is_left_behind),
    scene("smaller limits in the next session", Both, &[14, 51], resuming::held_frames_fit_the_next_session),
    scene("a reused sequence", Both, &[51], resuming::a_reused_sequence_begins_an_epoch),
    scene("a last_acked beyond the numbering", Both, &[51], resuming::a_higher_last_acked_begins_an_epoch),
    scene("a wrong checksum", Tcp, &[2], silence::a_wrong_checksum),
    scene("another magic", Tcp, &[2], silence::another_magic),
    scene("another frame version", Tcp, &[2], silence::another_frame_version),
    scene("a length beyond the limit", Tcp, &[3], silence::a_length_beyond_the_limit),
    scene("a byte behind a body", Tcp, &[4, 68], silence::a_byte_behind_a_body),
    scene("a cut body", Tcp, &[4], silence::a_cut_body),
    scene("a reserved byte", Tcp, &[1], silence::a_reserved_byte),
    scene("a gateway's kind from the server", Both, &[11], silence::a_gateways_kind),
    scene("an unknown critical kind", Both, &[67], silence::an_unknown_critical_kind),
    scene("a welcome of another epoch", Both, &[13], opening::a_welcome_of_another_epoch),
    scene("a welcome of another hello", Both, &[13], opening::a_welcome_of_another_hello),
    scene("a welcome of version 2", Both, &[13], opening::leaves_another_version),
    scene("a welcome of a weaker level", Both, &[13], opening::leaves_a_weaker_level),
    scene("a welcome with session 0", Both, &[13], opening::leaves_session_zero),
    scene("a welcome with small frames", Both, &[13], opening::leaves_small_frames),
    scene("a welcome with small datagrams", Both, &[13], opening::leaves_small_datagrams),
    scene("a welcome without sightings", Both, &[13], opening::leaves_no_sightings),
    scene("a welcome with a short idle timeout", Both, &[13], opening::leaves_a_short_timeout),
    scene("leaving", Both, &[34], resuming::leaves_with_goodbye),
];

/// Why a rule that no scene is about is not tried.
pub(super) fn untried(rule: u8, over_udp: bool) -> &'static str {
    match rule {
        5..=9 | 26 | 29 | 54 | 58..=61 if !over_udp => "a rule of UDP: listen on udp://",
        3 | 25 | 33 if over_udp => "a rule of TCP: listen on tcp://",
        50 => "only a gateway that is started anew shows its epochs: give its command with --exec",
        52 => "the gateway would have to keep its frames over a reboot",
        65 => "what a gateway makes of its clock does not show on the wire",
        69 => "it would have to be told of several servers",
        _ => "no scene chosen is about it",
    }
}

/// Plays every scene that is chosen.
///
/// # Errors
/// When there is no address to listen on, or no gateway comes.
pub(super) fn play_all(arguments: &GatewayArguments, out: &mut impl Write) -> Result<Played, Failure> {
    let Listen { transport, address } = arguments.listen;
    let over_udp = transport == Transport::Udp;
    let chosen: Vec<&Scene> = SCENES
        .iter()
        .filter(|scene| matches!((scene.over, over_udp), (Both, _) | (Tcp, false) | (Udp, true)))
        .filter(|scene| {
            arguments.rule.is_empty() || scene.rules.iter().any(|rule| arguments.rule.contains(rule))
        })
        .collect();
    let until = Instant::now() + Duration::from_secs(arguments.seconds);
    if !arguments.exec.is_empty() {
        let held = play_with_processes(arguments, &chosen, until)?;
        let command = Path::new(&arguments.exec[0]).display().to_string();
        return Ok(Played { held, over_udp, address: command });
    }
    let lane = Lane::bind(transport, address).map_err(|source| Failure::Listen { address, source })?;
    let bound = lane.address().map_err(|source| Failure::Listen { address, source })?;
    let scheme = if over_udp { "udp" } else { "tcp" };
    let address = format!("{scheme}://{bound}");
    writeln!(out, "waiting for a gateway at {address}; it is to send sightings all the time")
        .context("cannot print")?;
    out.flush().context("cannot print")?;
    let mut server = Server::new(lane, None, arguments.patience);
    let mut held = Vec::with_capacity(chosen.len());
    let mut absent = 0;
    for scene in chosen {
        let outcome = if Instant::now() >= until {
            Err(not_tried(format!("the {} s of --seconds were over", arguments.seconds)))
        } else if absent >= 2 {
            Err(not_tried("the gateway did not come back"))
        } else {
            server.greeted = false;
            let outcome = (scene.play)(&mut server);
            server.finish();
            // Who came and said something else than hello was there, too.
            let came = server.greeted || matches!(outcome, Err(Stop::Broken { .. }));
            absent = if came { 0 } else { absent + 1 };
            outcome
        };
        if absent > 0 && held.is_empty() {
            let why = format!("no gateway said hello within {:?}", arguments.patience);
            return Err(Failure::Silent { target: address, why });
        }
        held.push(Held { check: scene.name, rules: scene.rules, outcome, unsaid: Vec::new() });
    }
    Ok(Played { held, over_udp, address })
}

/// What a scene came to, and the numberings that were seen in it.
type Ended = (Held, BTreeMap<u64, Numbering>);

fn play_with_processes(
    arguments: &GatewayArguments,
    chosen: &[&Scene],
    until: Instant,
) -> Result<Vec<Held>, Failure> {
    let next = AtomicUsize::new(0);
    let ended: Mutex<Vec<Result<Ended, Failure>>> = Mutex::new(Vec::with_capacity(chosen.len()));
    std::thread::scope(|threads| {
        for _ in 0..AT_ONCE.min(chosen.len()) {
            threads.spawn(|| {
                while let Some(scene) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = play_one(arguments, scene, until);
                    ended.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(result);
                }
            });
        }
    });
    let ended = ended.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let ended = ended.into_iter().collect::<Result<Vec<_>, _>>()?;
    let nobody_came = |(held, numberings): &Ended| {
        numberings.is_empty() && !matches!(held.outcome, Err(Stop::Broken { .. }))
    };
    if ended.iter().all(nobody_came) {
        let why = ended.into_iter().find_map(|(held, _)| match held.outcome {
            Err(Stop::NotTried(why)) => Some(why),
            Err(Stop::Broken { .. }) | Ok(()) => None,
        });
        let target = arguments.exec.first().cloned().unwrap_or_default();
        return Err(Failure::Silent { target, why: why.unwrap_or_else(|| "no gateway came".to_owned()) });
    }
    let (mut held, numberings): (Vec<Held>, Vec<_>) = ended.into_iter().unzip();
    held.push(epochs_of_all(&numberings));
    Ok(held)
}

/// Timers are missed on a busy machine: such a breach must be seen twice.
fn is_of_time(outcome: &Outcome) -> bool {
    matches!(outcome, Err(Stop::Broken { rule: 20 | 30 | 38 | 39 | 54 | 58..=61, .. }))
}

fn play_one(arguments: &GatewayArguments, scene: &Scene, until: Instant) -> Result<Ended, Failure> {
    let held = |outcome| Held { check: scene.name, rules: scene.rules, outcome, unsaid: Vec::new() };
    if Instant::now() >= until {
        let why = format!("the {} s of --seconds were over", arguments.seconds);
        return Ok((held(Err(not_tried(why))), BTreeMap::new()));
    }
    let mut played = play_once(arguments, scene)?;
    if is_of_time(&played.0) && Instant::now() < until {
        played = play_once(arguments, scene)?;
    }
    let (outcome, numberings) = played;
    Ok((held(outcome), numberings))
}

fn play_once(
    arguments: &GatewayArguments,
    scene: &Scene,
) -> Result<(Outcome, BTreeMap<u64, Numbering>), Failure> {
    let Listen { transport, mut address } = arguments.listen;
    address.set_port(0);
    let listen = |source| Failure::Listen { address, source };
    let lane = Lane::bind(transport, address).map_err(listen)?;
    let bound = lane.address().map_err(listen)?;
    let process = Process::start(&arguments.exec, transport, bound).map_err(|error| Failure::Silent {
        target: arguments.exec.first().cloned().unwrap_or_default(),
        why: format!("cannot be started: {error}"),
    })?;
    let mut server = Server::new(lane, Some(process), arguments.patience);
    let outcome = (scene.play)(&mut server);
    Ok((outcome, std::mem::take(&mut server.numberings)))
}

/// The epochs of gateways that were started one by one.
fn epochs_of_all(numberings: &[BTreeMap<u64, Numbering>]) -> Held {
    let mut known: BTreeMap<(u64, u64), u32> = BTreeMap::new();
    let mut outcome = Ok(());
    for (epoch, numbering) in numberings.iter().flatten() {
        for (sequence, kept) in numbering.frames() {
            if *known.entry((*epoch, sequence)).or_insert(kept.identity) != kept.identity {
                let seen =
                    format!("epoch {epoch} came back after a restart, frame {sequence} being another one");
                outcome = Err(broken(50, seen));
            }
        }
    }
    Held { check: "epochs of several starts", rules: &[50], outcome, unsaid: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::super::rules::{RULES, Side};
    use super::*;

    #[test]
    fn every_rule_of_a_gateway_has_a_scene_or_a_reason_why_not() {
        for rule in RULES.into_iter().filter(|rule| rule.parties.include(Side::Gateway)) {
            for over_udp in [false, true] {
                let over =
                    |scene: &&Scene| matches!((scene.over, over_udp), (Both, _) | (Tcp, false) | (Udp, true));
                let played = SCENES.iter().filter(over).any(|scene| scene.rules.contains(&rule.number));
                let reason = untried(rule.number, over_udp);
                assert_ne!(played, !reason.starts_with("no scene"), "R{}, over UDP {over_udp}", rule.number);
            }
        }
    }

    #[test]
    fn scenes_are_about_rules_that_bind_a_gateway() {
        for scene in &SCENES {
            for number in scene.rules {
                let rule = rules::of_number(*number).unwrap();
                assert!(rule.parties.include(Side::Gateway), "{}: R{number}", scene.name);
            }
        }
    }
}
