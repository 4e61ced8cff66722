//! TCP sessions: what is refused and closes the connection, what is skipped, and how a session begins and ends.

use beacon_protocol::{Hello, Refusal, RefusalCode};

use crate::harness::daemon::Daemon;
use crate::harness::frames::{self, HEADER_BYTES, raw};
use crate::harness::reply::{Refused, Reply};
use crate::scene::{DISABLED_GATEWAY, GATEWAY, OTHER_GATEWAY, Scene};

const SIGHTINGS: u8 = 0x83;
const ACK: u8 = 0x84;

/// A refusal of no frame in particular is counted once, and nothing else of it.
#[track_caller]
fn assert_counted(daemon: &Daemon, refused: &Refused, code: RefusalCode, times: u64) {
    assert_eq!(refused.code, code, "{}", refused.text);
    let stats = daemon.stats();
    assert_eq!(stats.refusals(code.label()), times, "{stats:?}");
    assert_eq!(
        stats.number("received"),
        stats.number("frames"),
        "one sighting each of those that were sound"
    );
}

/// Plays each of the broken inputs in a session of its own, while another session goes on.
fn assert_closes_that_connection_only(scene: &Scene, broken: &[(&str, Vec<u8>, RefusalCode)]) {
    let mut other = scene.daemon.tcp_session(OTHER_GATEWAY);
    let mut counted = std::collections::HashMap::new();
    for ((name, bytes, code), sequence) in broken.iter().zip(1..) {
        let mut gateway = scene.daemon.tcp_session(GATEWAY);
        println!("{name}");
        let refused = gateway.refused(bytes);
        let times = counted.entry(code.number()).or_insert(0);
        *times += 1;
        assert_counted(&scene.daemon, &refused, *code, *times);
        let record = other.ask(&frames::sightings(sequence, &[scene.weak("alice")]));
        assert_eq!(record.outcomes(), [("low_confidence", 1)], "{name}");
    }
    let open = |stats: &crate::harness::ledger::Stats| stats.listener("tcp_sessions_open");
    scene.daemon.wait_for_stats("only the other is open", |stats| open(stats) == 1);
}

#[test]
fn an_unsound_frame_is_refused_and_closes_that_connection_only() {
    let scene = Scene::new();
    let sound = frames::sightings(1, &[scene.strong("bob")]);
    let body = &sound[HEADER_BYTES..];
    let with_byte = |at: usize, byte: u8| {
        let mut frame = sound.clone();
        frame[at] = byte;
        frame
    };
    let mut oversize = raw(1, SIGHTINGS, b"");
    // One byte more than a frame may have; none of them has to come.
    oversize[4..8].copy_from_slice(&(65_536_u32 - 12 + 1).to_be_bytes());
    let mut huge = oversize.clone();
    huge[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_closes_that_connection_only(
        &scene,
        &[
            ("not this protocol", b"GET / HTTP/1.1\r\n\r\n".to_vec(), RefusalCode::BadMagic),
            ("an unknown frame version", raw(2, SIGHTINGS, body), RefusalCode::UnsupportedVersion),
            ("a byte too long", oversize, RefusalCode::Oversize),
            ("as long as can be said", huge, RefusalCode::Oversize),
            ("a damaged body", with_byte(sound.len() - 1, b'c'), RefusalCode::BadChecksum),
            ("a damaged checksum", with_byte(8, sound[8] ^ 1), RefusalCode::BadChecksum),
            ("a kind that must be known", raw(1, 0xFE, b"?"), RefusalCode::UnknownCriticalKind),
            ("a body that ends too soon", raw(1, SIGHTINGS, &body[..body.len() - 1]), RefusalCode::Malformed),
            ("an empty body", raw(1, SIGHTINGS, b""), RefusalCode::Malformed),
            ("a body with more behind it", raw(1, SIGHTINGS, &[body, b"!"].concat()), RefusalCode::Malformed),
            ("sequence 0", raw(1, SIGHTINGS, &[&[0; 8], &body[8..]].concat()), RefusalCode::Malformed),
            (
                "an unknown flag",
                raw(1, SIGHTINGS, &[&body[..16], &[2], &body[17..]].concat()),
                RefusalCode::Malformed,
            ),
            ("an ack, which is the daemon's", raw(1, ACK, &[0; 18]), RefusalCode::UnexpectedKind),
            ("a second hello", frames::encoded_hello(&frames::hello(GATEWAY)), RefusalCode::UnexpectedKind),
        ],
    );
    assert_eq!(scene.identities_of("bob"), 0);
}

#[test]
fn a_body_that_is_not_sound_is_refused_by_number() {
    let scene = Scene::new();
    let sound = frames::sightings(9, &[scene.weak("bob")]);
    let body = &sound[HEADER_BYTES..];
    for (unsound, named) in
        [(&body[..body.len() - 1], 9), (&body[..8], 9), (&[body, b"!"].concat(), 9), (&body[..7], 0)]
    {
        let refused = scene.daemon.tcp_session(GATEWAY).refused(&raw(1, SIGHTINGS, unsound));
        assert_eq!((refused.code, refused.sequence), (RefusalCode::Malformed, named));
        let mut gateway = scene.daemon.udp_session(GATEWAY);
        gateway.send(&raw(1, SIGHTINGS, unsound));
        let refused = gateway.receive().refusal();
        assert_eq!((refused.code, refused.sequence), (RefusalCode::Malformed, named));
    }
}

#[test]
fn the_beginning_of_a_frame_is_judged_before_the_rest_comes() {
    let scene = Scene::new();
    let mut oversize = raw(1, SIGHTINGS, b"");
    oversize[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
    for (beginning, code) in [
        (&b"GE"[..], RefusalCode::BadMagic),
        (&[0xBE, 0xAC, 2], RefusalCode::UnsupportedVersion),
        (&oversize[..8], RefusalCode::Oversize),
    ] {
        let refused = scene.daemon.connect().refused(beginning);
        assert_counted(&scene.daemon, &refused, code, 1);
        let refused = scene.daemon.tcp_session(GATEWAY).refused(beginning);
        assert_counted(&scene.daemon, &refused, code, 2);
    }
}

#[test]
fn a_connection_that_ends_inside_a_frame_is_told_so() {
    let scene = Scene::new();
    let sound = frames::sightings(1, &[scene.strong("bob")]);
    for (cut, times) in [1, HEADER_BYTES, sound.len() - 1].into_iter().zip(1..) {
        let mut gateway = scene.daemon.tcp_session(GATEWAY);
        gateway.send(&sound[..cut]);
        gateway.end_sending();
        let refused = gateway.refused(b"");
        assert_counted(&scene.daemon, &refused, RefusalCode::Malformed, times);
    }
}

#[test]
fn what_came_before_an_unsound_frame_is_answered_first() {
    let scene = Scene::new();
    let mut gateway = scene.daemon.tcp_session(GATEWAY);
    let sound = frames::sightings(1, &[scene.strong("alice")]);
    gateway.send(&[sound, raw(1, 0xFE, b"?")].concat());
    assert_eq!(gateway.receive().ack().records[0].outcomes(), [("identified", 1)]);
    assert_eq!(gateway.receive().refusal().code, RefusalCode::UnknownCriticalKind);
    assert_eq!(gateway.receive(), Reply::Closed);
}

#[test]
fn sequences_that_skip_or_change_are_refused_by_number() {
    let scene = Scene::new();
    let frame = |sequence, customer: &str| frames::sightings(sequence, &[scene.weak(customer)]);
    let mut gateway = scene.daemon.tcp_session(GATEWAY);
    let refused = gateway.refused(&frame(2, "alice"));
    assert_eq!(refused.sequence, 2);
    assert_counted(&scene.daemon, &refused, RefusalCode::SequenceGap, 1);

    let mut gateway = scene.daemon.tcp_session(GATEWAY);
    assert_eq!(gateway.ask(&frame(1, "alice")).sequence, 1);
    let refused = gateway.refused(&frame(1, "bob"));
    assert_eq!(refused.sequence, 1);
    assert_counted(&scene.daemon, &refused, RefusalCode::SequenceReused, 1);

    let mut gateway = scene.daemon.connect();
    let resumed = Hello { first_unacked: 5, boot_epoch: 9, ..frames::hello(GATEWAY) };
    let welcome = gateway.greet(&resumed).welcome();
    assert_eq!((welcome.boot_epoch, welcome.client_random_echo), (9, [7; 8]));
    let refused = gateway.refused(&frame(4, "alice"));
    assert_eq!(refused.sequence, 4);
    assert_counted(&scene.daemon, &refused, RefusalCode::SequenceGap, 2);
}

#[test]
fn a_repeat_gets_its_record_again_and_is_counted_as_a_repeat_only() {
    let scene = Scene::new();
    let mut gateway = scene.daemon.tcp_session(GATEWAY);
    let frame = frames::sightings(1, &[scene.strong("alice"), scene.strong("")]);
    let record = gateway.ask(&frame);
    assert_eq!(gateway.ask(&frame), record);
    // With ages the base moves on from one transmission to the next, and it is the same frame.
    let aged = |age_us| frames::aged_sightings(2, age_us, scene.now_us, &[scene.strong("bob")]);
    let record = gateway.ask(&aged(1_000));
    assert_eq!(gateway.ask(&aged(900_000)), record);
    let stats = scene.daemon.stats();
    assert_eq!((stats.number("frames"), stats.number("frames_repeated")), (2, 2));
    assert_eq!((stats.number("received"), stats.number("identified_redelivered")), (3, 0));
}

#[test]
fn frames_sent_ahead_are_answered_one_record_each_in_their_order() {
    let scene = Scene::new();
    let mut gateway = scene.daemon.connect();
    let window_frames = gateway.open(GATEWAY).window_frames;
    let all: Vec<u8> = (1..=u64::from(window_frames))
        .flat_map(|sequence| frames::sightings(sequence, &[scene.strong(&format!("customer-{sequence}"))]))
        .collect();
    gateway.send(&all);
    let mut sequences = Vec::new();
    while sequences.len() < usize::try_from(window_frames).unwrap() {
        let ack = gateway.receive().ack();
        sequences.extend(ack.records.iter().map(|record| record.sequence));
        assert!(ack.cumulative >= *sequences.last().unwrap(), "{ack:?}");
    }
    assert!(sequences.into_iter().eq(1..=u64::from(window_frames)));
}

#[test]
fn only_a_hello_opens_a_session() {
    let scene = Scene::new();
    for (bytes, code) in [
        (frames::sightings(1, &[scene.strong("bob")]), RefusalCode::UnexpectedKind),
        (frames::ping(1), RefusalCode::UnexpectedKind),
        (b"SSH-2.0-OpenSSH_9.2".to_vec(), RefusalCode::BadMagic),
        (raw(1, 0xFE, b"?"), RefusalCode::UnknownCriticalKind),
        (raw(1, 0x81, b""), RefusalCode::Malformed),
    ] {
        let before = scene.daemon.stats().refusals(code.label());
        let refused = scene.daemon.connect().refused(&bytes);
        assert_counted(&scene.daemon, &refused, code, before + 1);
    }
}

#[test]
fn a_hello_is_judged_by_version_authentication_and_registration() {
    let scene = Scene::new();
    let sound = frames::hello(GATEWAY);
    for (hello, code, named) in [
        (Hello { min_version: 2, max_version: 9, ..sound }, RefusalCode::UnsupportedVersion, "2"),
        (Hello { auth_method: 1, auth: b"secret", ..sound }, RefusalCode::Unauthenticated, ""),
        (frames::hello("nobody"), RefusalCode::UnknownGateway, ""),
        (frames::hello(DISABLED_GATEWAY), RefusalCode::GatewayDisabled, ""),
    ] {
        let refused = scene.daemon.connect().refused(&frames::encoded_hello(&hello));
        assert!(refused.text.contains(named), "{}", refused.text);
        assert_counted(&scene.daemon, &refused, code, 1);
    }
    let wide = Hello { min_version: 1, max_version: 255, ..sound };
    let welcome = scene.daemon.connect().greet(&wide).welcome();
    assert_eq!(welcome.version, 1);
    assert_ne!(welcome.session, 0);
    let apart_us = crate::harness::now_us() - welcome.server_time_us;
    assert!((-1_000_000..1_000_000).contains(&apart_us), "the server's time is {apart_us} us away");
}

#[test]
fn without_registration_every_gateway_is_taken_where_the_operator_said_so() {
    let scene = Scene::new();
    let Scene { daemon, home, .. } = scene;
    daemon.stop();
    let daemon = home.serve();
    let mut gateway = daemon.tcp_session("nobody");
    let seen = crate::model::generated::heard(
        b"alice".to_vec(),
        crate::harness::now_us(),
        &crate::scene::foreign(),
        -40,
    );
    assert_eq!(gateway.ask(&frames::sightings(1, &[seen])).outcomes(), [("identified", 1)]);
    let refused = daemon.connect().refused(&frames::encoded_hello(&frames::hello(DISABLED_GATEWAY)));
    assert_eq!(refused.code, RefusalCode::GatewayDisabled);
}

#[test]
fn a_gateway_that_is_disabled_loses_its_session() {
    let scene = Scene::new();
    let mut gateway = scene.daemon.tcp_session(GATEWAY);
    scene.home.import_gateways(&[(GATEWAY, &["ours"], "disabled")]);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    for sequence in 1.. {
        gateway.send(&frames::sightings(sequence, &[scene.weak("alice")]));
        match gateway.receive() {
            Reply::Refusal(refused) => {
                assert_eq!((refused.code, refused.sequence), (RefusalCode::GatewayDisabled, sequence));
                break;
            }
            reply => assert_eq!(reply.ack().records[0].outcomes(), [("low_confidence", 1)]),
        }
        assert!(std::time::Instant::now() < deadline, "still taken");
    }
    assert_eq!(gateway.receive(), Reply::Closed);
}

#[test]
fn sessions_beyond_the_limit_are_turned_away_until_one_ends() {
    let scene = Scene::with_config("[sessions]\nmax_tcp = 2\n");
    let mut first = scene.daemon.tcp_session(GATEWAY);
    let second = scene.daemon.tcp_session(OTHER_GATEWAY);
    let refused = scene.daemon.connect().refused(b"");
    assert_counted(&scene.daemon, &refused, RefusalCode::TooManySessions, 1);
    assert_eq!(first.ask(&frames::sightings(1, &[scene.weak("alice")])).outcomes(), [("low_confidence", 1)]);
    drop(second);
    scene.daemon.wait_for_stats("a place is free", |stats| stats.listener("tcp_sessions_open") == 1);
    let mut third = scene.daemon.tcp_session(OTHER_GATEWAY);
    assert_eq!(third.ask(&frames::sightings(1, &[scene.weak("bob")])).outcomes(), [("low_confidence", 1)]);
}

#[test]
fn a_connection_that_is_silent_or_slow_is_told_and_closed() {
    let scene = Scene::with_config(
        "[sessions]\nhello_timeout_ms = 200\nframe_timeout_ms = 200\nidle_timeout_ms = 1000\n[pipeline]\nquestion_timeout_ms = 500\n",
    );
    let refused = scene.daemon.connect().refused(b"");
    assert_counted(&scene.daemon, &refused, RefusalCode::TimedOut, 1);
    let hello = frames::encoded_hello(&frames::hello(GATEWAY));
    let refused = scene.daemon.connect().refused(&hello[..hello.len() - 1]);
    assert_counted(&scene.daemon, &refused, RefusalCode::TimedOut, 2);
    let refused = scene.daemon.tcp_session(GATEWAY).refused(&frames::ping(1)[..5]);
    assert_counted(&scene.daemon, &refused, RefusalCode::TimedOut, 3);
    let refused = scene.daemon.tcp_session(GATEWAY).refused(b"");
    assert_counted(&scene.daemon, &refused, RefusalCode::TimedOut, 4);
}

#[test]
fn a_ping_is_answered_with_its_token_and_the_time() {
    let scene = Scene::new();
    let mut gateway = scene.daemon.tcp_session(GATEWAY);
    gateway.send(&frames::ping(0xFEED));
    let Reply::Pong(pong) = gateway.receive() else { panic!("no pong") };
    let apart_us = crate::harness::now_us() - pong.time_us;
    assert_eq!(pong.token, 0xFEED);
    assert!((-1_000_000..1_000_000).contains(&apart_us), "the server's time is {apart_us} us away");
}

#[test]
fn kinds_that_need_not_be_known_are_skipped_and_counted() {
    let scene = Scene::new();
    let mut gateway = scene.daemon.tcp_session(GATEWAY);
    gateway.send(&raw(1, 0x7E, b"from the future"));
    gateway.send(&raw(1, 0x0B, b""));
    let status = beacon_protocol::GatewayStatus {
        uptime_ms: 1,
        gateway_time_us: 0,
        queued_frames: 2,
        dropped_sightings: 3,
        resent_frames: 4,
        firmware: "1.2.3",
    };
    let mut frame = [0; 128];
    let length = status.encode(&mut frame).unwrap();
    gateway.send(&frame[..length]);
    assert_eq!(
        gateway.ask(&frames::sightings(1, &[scene.weak("alice")])).outcomes(),
        [("low_confidence", 1)]
    );
    let stats = scene.daemon.stats();
    assert_eq!((stats.listener("frames_skipped"), stats.listener("gateway_statuses")), (2, 1));
}

#[test]
fn a_gateway_that_leaves_gets_its_answers_before_the_end() {
    let scene = Scene::new();
    let mut gateway = scene.daemon.tcp_session(GATEWAY);
    let frame = frames::sightings(1, &[scene.strong("alice")]);
    gateway.send(&[frame, frames::leaving(5_000)].concat());
    assert_eq!(gateway.receive().ack().records[0].outcomes(), [("identified", 1)]);
    assert_eq!(gateway.receive(), Reply::Closed);
    let refusals = &scene.daemon.stats();
    assert_eq!(refusals.refusals("malformed") + refusals.refusals("timed_out"), 0);
}

#[test]
fn a_refusal_is_no_gateways_to_send() {
    let scene = Scene::new();
    let refusal = Refusal { sequence: 0, code: RefusalCode::Busy, retry_after_ms: 0, text: "no" };
    let mut frame = [0; 64];
    let length = refusal.encode(&mut frame).unwrap();
    let mut gateway = scene.daemon.tcp_session(GATEWAY);
    gateway.send(&frame[..length]);
    // A refusal is never answered with one; the connection just ends.
    assert_eq!(gateway.receive(), Reply::Closed);
}
