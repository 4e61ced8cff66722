//! UDP sessions: repeats, reordering and the bitmap, and what is refused for one datagram only.

use std::time::{Duration, Instant};

use beacon_protocol::{DatagramHeader, Hello, Refusal, RefusalCode};

use crate::harness::frames::{self, raw};
use crate::harness::reply::{Record, Reply};
use crate::harness::store;
use crate::harness::udp::UdpGateway;
use crate::scene::{DISABLED_GATEWAY, GATEWAY, OTHER_GATEWAY, Scene};

const DATAGRAM_HEADER_BYTES: usize = 20;

impl Scene {
    fn frame(&self, sequence: u64) -> Vec<u8> {
        frames::sightings(sequence, &[self.weak("alice")])
    }
}

fn datagram(session: u64, packet_number: u64, frame: &[u8]) -> Vec<u8> {
    let mut datagram = vec![0; DATAGRAM_HEADER_BYTES];
    DatagramHeader { session, packet_number }.encode(&mut datagram).unwrap();
    datagram.extend(frame);
    datagram
}

#[test]
fn a_repeated_hello_gets_the_same_session_and_another_hello_another() {
    let scene = Scene::new();
    let mut gateway = UdpGateway::new(scene.daemon.udp);
    let first = gateway.open(GATEWAY);
    assert!((1..=64).contains(&first.window_frames), "the bitmap tells of 64");
    let again = gateway.open(GATEWAY);
    assert_eq!(beacon_protocol::Welcome { server_time_us: first.server_time_us, ..again }, first);
    assert_eq!(gateway.ask(&scene.frame(1)).cumulative, 1);
    // It is repeated also when its welcome was long lost.
    assert_eq!(gateway.open(GATEWAY).session, first.session);
    assert_eq!(gateway.ask(&scene.frame(2)).cumulative, 2);
    let rebooted = Hello { client_random: [8; 32], ..frames::hello(GATEWAY) };
    assert_ne!(gateway.greet(&rebooted).welcome().session, first.session);
    assert_eq!(gateway.ask(&scene.frame(1)).cumulative, 1);
    assert_eq!(scene.daemon.stats().listener("udp_sessions_opened"), 2);
}

#[test]
fn a_repeated_frame_gets_its_record_again_and_is_counted_as_a_repeat_only() {
    let scene = Scene::new();
    let mut gateway = scene.daemon.udp_session(GATEWAY);
    let frame = frames::sightings(1, &[scene.strong("alice"), scene.strong("")]);
    let first = gateway.ask(&frame);
    assert_eq!(gateway.ask(&frame), first);
    let aged = |age_us| frames::aged_sightings(2, age_us, scene.now_us, &[scene.strong("bob")]);
    let second = gateway.ask(&aged(1_000));
    assert_eq!(gateway.ask(&aged(900_000)), second);
    assert_eq!(gateway.ask(&frame).records, first.records, "a record is kept for a window of frames");
    let stats = scene.daemon.stats();
    assert_eq!((stats.number("frames"), stats.number("frames_repeated")), (2, 3));
    assert_eq!((stats.number("received"), stats.number("identified_redelivered")), (3, 0));
}

#[test]
fn frames_in_any_order_within_the_window_are_taken_and_told_of_in_the_bitmap() {
    let scene = Scene::new();
    let mut gateway = UdpGateway::new(scene.daemon.udp);
    let window_frames = u64::from(gateway.open(GATEWAY).window_frames);
    let told = |gateway: &mut UdpGateway, sequence| {
        let ack = gateway.ask(&scene.frame(sequence));
        assert_eq!(ack.records[0].sequence, sequence);
        (ack.cumulative, ack.received)
    };
    assert_eq!(told(&mut gateway, 3), (0, 0b100));
    assert_eq!(told(&mut gateway, window_frames), (0, 0b100 | 1 << (window_frames - 1)));
    assert_eq!(told(&mut gateway, 1), (1, 0b10 | 1 << (window_frames - 2)));
    assert_eq!(told(&mut gateway, 2), (3, 1 << (window_frames - 4)));
    let beyond = gateway.refused(&scene.frame(3 + window_frames + 1));
    assert_eq!((beyond.code, beyond.sequence), (RefusalCode::SequenceGap, 3 + window_frames + 1));
    assert_eq!(told(&mut gateway, 3 + window_frames).0, 3);
    assert_eq!(scene.daemon.stats().number("frames"), 5);
}

#[test]
fn a_frame_in_progress_is_told_of_and_its_repeat_too_before_its_record_is_there() {
    let scene = Scene::new();
    let mut gateway = scene.daemon.udp_session(GATEWAY);
    let lock = store::connect(&scene.home.data());
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let frame = frames::sightings(1, &[scene.strong("alice")]);
    let received = |reply: Reply| {
        let ack = reply.ack();
        assert_eq!((ack.cumulative, ack.received, ack.records), (0, 1, vec![]));
    };
    gateway.send(&frame);
    received(gateway.receive());
    gateway.send(&frame);
    received(gateway.receive());
    lock.execute_batch("ROLLBACK").unwrap();
    let ack = gateway.answered();
    assert_eq!((ack.cumulative, ack.records[0].sequence), (1, 1));
    let stats = scene.daemon.stats();
    assert_eq!((stats.number("frames"), stats.number("frames_repeated")), (1, 1));
}

#[test]
fn an_unsound_datagram_is_refused_and_the_session_goes_on() {
    let scene = Scene::new();
    let mut gateway = scene.daemon.udp_session(GATEWAY);
    let session = gateway.session;
    let sound = scene.frame(1);
    let body = &sound[frames::HEADER_BYTES..];
    let of_session = |frame: &[u8]| datagram(session, 1_000, frame);
    let with_byte = |at: usize, byte: u8| {
        let mut datagram = of_session(&sound);
        datagram[at] = byte;
        datagram
    };
    let mut unnumbered = of_session(&sound);
    unnumbered[12..20].fill(0);
    let long = frames::sightings(1, &vec![scene.weak("a customer of a frame that is too long"); 40]);
    let broken = [
        ("another magic", with_byte(1, 0xAC), RefusalCode::BadMagic),
        ("sealed", with_byte(2, 1), RefusalCode::SealedUnsupported),
        ("an unknown flag", with_byte(2, 2), RefusalCode::Malformed),
        ("the reserved byte", with_byte(3, 1), RefusalCode::Malformed),
        ("packet number 0", unnumbered, RefusalCode::Malformed),
        ("another magic of the frame", with_byte(20, 0), RefusalCode::BadMagic),
        ("a version not known", of_session(&raw(2, 0x83, body)), RefusalCode::UnsupportedVersion),
        ("a damaged frame", with_byte(40, 0xFF), RefusalCode::BadChecksum),
        ("a cut frame", of_session(&sound[..sound.len() - 1]), RefusalCode::Malformed),
        ("bytes behind the frame", of_session(&[&sound[..], b"!"].concat()), RefusalCode::Malformed),
        ("a kind that must be known", of_session(&raw(1, 0xFE, b"?")), RefusalCode::UnknownCriticalKind),
        ("a body that ends too soon", of_session(&raw(1, 0x83, &body[..20])), RefusalCode::Malformed),
        ("the daemon's kind", of_session(&raw(1, 0x84, &[0; 18])), RefusalCode::UnexpectedKind),
        ("too long a frame", of_session(&long), RefusalCode::Oversize),
        (
            "a hello in a session",
            of_session(&frames::encoded_hello(&frames::hello(GATEWAY))),
            RefusalCode::UnexpectedKind,
        ),
    ];
    let mut counted = std::collections::HashMap::new();
    for (name, datagram, code) in &broken {
        println!("{name}");
        gateway.send_datagram(datagram);
        let refused = gateway.receive().refusal();
        assert_eq!(refused.code, *code, "{}", refused.text);
        let times = counted.entry(code.number()).or_insert(0);
        *times += 1;
        assert_eq!(scene.daemon.stats().refusals(code.label()), *times);
        if code.ends_udp_session() {
            gateway.open(GATEWAY);
            continue;
        }
        gateway.send(&frames::ping(7));
        assert!(matches!(gateway.receive(), Reply::Pong(pong) if pong.token == 7), "{name}");
    }
    assert_eq!(scene.daemon.stats().number("frames"), 0);
}

#[test]
fn a_datagram_without_a_header_and_a_refusal_are_answered_with_nothing() {
    let scene = Scene::new();
    let mut gateway = scene.daemon.udp_session(GATEWAY);
    for length in [0, 1, 19] {
        gateway.send_datagram(&datagram(gateway.session, 1, b"")[..length]);
    }
    let refusal = Refusal { sequence: 0, code: RefusalCode::Malformed, retry_after_ms: 0, text: "no" };
    let mut frame = [0; 64];
    let length = refusal.encode(&mut frame).unwrap();
    gateway.send(&frame[..length]);
    gateway.send(&frames::ping(9));
    assert!(matches!(gateway.receive(), Reply::Pong(pong) if pong.token == 9));
    let stats = scene.daemon.stats();
    assert_eq!(stats.listener("datagrams_ignored"), 4);
    assert_eq!(stats.listener("datagrams_received"), 6, "the hello and the ping among them");
}

#[test]
fn a_refusal_is_at_most_three_times_as_long_as_what_it_answers() {
    let scene = Scene::new();
    let gateway = UdpGateway::new(scene.daemon.udp);
    for frame_bytes in [0, 3, 12, 20, 40, 200] {
        let asked = datagram(77, 1, &vec![0xAB; frame_bytes]);
        gateway.send_datagram(&asked);
        let told = gateway.receive_bytes();
        assert!(told.len() <= 3 * asked.len(), "{} for {}", told.len(), asked.len());
    }
}

#[test]
fn the_packet_numbers_of_a_session_never_come_twice() {
    let scene = Scene::new();
    let mut gateway = scene.daemon.udp_session(GATEWAY);
    gateway.open(GATEWAY);
    gateway.ask(&scene.frame(1));
    gateway.ask(&scene.frame(1));
    gateway.refused(&scene.frame(99));
    gateway.send(&frames::ping(1));
    gateway.receive();
    let mut numbers = gateway.packet_numbers_received();
    assert_eq!(numbers.len(), 6);
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 6, "{numbers:?}");
}

#[test]
fn a_session_that_is_not_known_here_is_told_to_say_hello() {
    let scene = Scene::new();
    let mut gateway = scene.daemon.udp_session(GATEWAY);
    let session = gateway.session;
    let mut stranger = UdpGateway::new(scene.daemon.udp);
    for (session, frame) in [
        (12_345, scene.frame(1)),
        (0, scene.frame(1)),
        // Right, but from another address.
        (session, scene.frame(1)),
        // A hello opens a session only where the header names none.
        (12_345, frames::encoded_hello(&frames::hello(OTHER_GATEWAY))),
    ] {
        stranger.session = session;
        stranger.send(&frame);
        let (answered, reply) = stranger.receive_of_session();
        assert_eq!((answered, reply.refusal().code), (session, RefusalCode::UnknownSession));
    }
    assert_eq!(scene.daemon.stats().refusals("unknown_session"), 4);
    assert_eq!(gateway.ask(&scene.frame(1)).cumulative, 1, "the real one goes on");
    assert_eq!(scene.daemon.stats().number("frames"), 1);
}

#[test]
fn a_hello_is_judged_by_version_authentication_and_registration() {
    let scene = Scene::new();
    let sound = frames::hello(GATEWAY);
    for (hello, code) in [
        (Hello { min_version: 2, max_version: 9, ..sound }, RefusalCode::UnsupportedVersion),
        (Hello { auth_method: 1, auth: b"secret", ..sound }, RefusalCode::Unauthenticated),
        (frames::hello("nobody"), RefusalCode::UnknownGateway),
        (frames::hello(DISABLED_GATEWAY), RefusalCode::GatewayDisabled),
    ] {
        let mut gateway = UdpGateway::new(scene.daemon.udp);
        assert_eq!(gateway.greet(&hello).refusal().code, code);
        assert_eq!(scene.daemon.stats().refusals(code.label()), 1);
    }
}

#[test]
fn a_sequence_that_is_used_again_for_another_frame_is_refused() {
    let scene = Scene::new();
    let mut gateway = scene.daemon.udp_session(GATEWAY);
    let record = gateway.ask(&scene.frame(1)).records;
    let refused = gateway.refused(&frames::sightings(1, &[scene.weak("bob")]));
    assert_eq!((refused.code, refused.sequence), (RefusalCode::SequenceReused, 1));
    assert_eq!(gateway.ask(&scene.frame(1)).records, record, "the session goes on");
    assert_eq!(scene.daemon.stats().number("received"), 1);
}

#[test]
fn sessions_beyond_the_limit_are_turned_away_until_one_ends() {
    let scene = Scene::with_config("[sessions]\nmax_udp = 1\n");
    let mut first = scene.daemon.udp_session(GATEWAY);
    let mut second = UdpGateway::new(scene.daemon.udp);
    assert_eq!(second.greet(&frames::hello(OTHER_GATEWAY)).refusal().code, RefusalCode::TooManySessions);
    assert_eq!(scene.daemon.stats().refusals("too_many_sessions"), 1);
    assert_eq!(first.ask(&scene.frame(1)).cumulative, 1);
    first.send(&frames::leaving(0));
    scene.daemon.wait_for_stats("it is forgotten", |stats| stats.listener("udp_sessions_open") == 0);
    let refused = first.refused(&scene.frame(2));
    assert_eq!(refused.code, RefusalCode::UnknownSession);
    second.open(OTHER_GATEWAY);
    assert_eq!(second.ask(&scene.frame(1)).cumulative, 1);
}

#[test]
fn kinds_that_need_not_be_known_are_skipped_and_counted() {
    let scene = Scene::new();
    let mut gateway = scene.daemon.udp_session(GATEWAY);
    gateway.send(&raw(1, 0x7E, b"from the future"));
    assert_eq!(gateway.ask(&scene.frame(1)).cumulative, 1);
    assert_eq!(scene.daemon.stats().listener("frames_skipped"), 1);
}

#[test]
fn many_exceptions_fit_the_answer_to_a_datagram() {
    let scene = Scene::new();
    let mut gateway = scene.daemon.udp_session(GATEWAY);
    // As many sightings as a datagram holds, every one an exception.
    let frame = frames::sightings(1, &vec![scene.strong(""); 160]);
    assert!(frame.len() + DATAGRAM_HEADER_BYTES <= 1_200);
    let [record] = <[Record; 1]>::try_from(gateway.ask(&frame).records).unwrap();
    assert_eq!(record.exceptions.len(), 160);
}

#[test]
fn a_session_without_a_frame_for_too_long_is_forgotten_without_a_word() {
    let scene =
        Scene::with_config("[sessions]\nidle_timeout_ms = 1000\n[pipeline]\nquestion_timeout_ms = 500\n");
    let mut gateway = scene.daemon.udp_session(GATEWAY);
    scene.daemon.wait_for_stats("it is forgotten", |stats| stats.listener("udp_sessions_open") == 0);
    assert_eq!(gateway.refused(&scene.frame(1)).code, RefusalCode::UnknownSession);
}

#[test]
fn a_gateway_that_only_pings_keeps_its_session() {
    let scene =
        Scene::with_config("[sessions]\nidle_timeout_ms = 1000\n[pipeline]\nquestion_timeout_ms = 500\n");
    let mut gateway = scene.daemon.udp_session(GATEWAY);
    let opened = Instant::now();
    while opened.elapsed() < Duration::from_millis(1_500) {
        gateway.send(&frames::ping(7));
        assert!(matches!(gateway.receive(), Reply::Pong(pong) if pong.token == 7));
    }
    assert_eq!(gateway.ask(&scene.frame(1)).records[0].outcomes(), [("low_confidence", 1)]);
}

#[test]
fn a_session_short_of_room_is_told_busy_and_loses_nothing() {
    // Frames of a hundred identities each, which cannot be committed, soon fill the queue to the store.
    let scene = Scene::with_config("[pipeline]\nqueue_rows = 4096\n");
    let mut gateway = UdpGateway::new(scene.daemon.udp);
    let window_frames = u64::from(gateway.open(GATEWAY).window_frames);
    let frame_of = |sequence: u64| {
        let customers = (0..100).map(|number| scene.strong(&format!("{}", sequence * 100 + number)));
        frames::sightings(sequence, &customers.collect::<Vec<_>>())
    };
    let frames: Vec<Vec<u8>> = (1..=window_frames).map(frame_of).collect();
    assert!(frames.iter().all(|frame| frame.len() + DATAGRAM_HEADER_BYTES <= 1_200));

    let lock = store::connect(&scene.home.data());
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    for frame in &frames {
        gateway.send(frame);
    }
    for _ in 0..=window_frames {
        gateway.send(&frames[frames.len() - 1]);
    }
    let busy = loop {
        match gateway.receive() {
            Reply::Refusal(refused) => break refused,
            reply => assert_eq!(reply.ack().records, []),
        }
    };
    assert_eq!((busy.code, busy.sequence), (RefusalCode::Busy, window_frames));
    assert!(busy.retry_after_ms > 0);
    lock.execute_batch("ROLLBACK").unwrap();

    let mut records = std::collections::BTreeMap::new();
    while let Some(missing) = (1..=window_frames).find(|sequence| !records.contains_key(sequence)) {
        gateway.send(&frames[usize::try_from(missing - 1).unwrap()]);
        match gateway.receive() {
            Reply::Ack(ack) => {
                records.extend(ack.records.into_iter().map(|record| (record.sequence, record)))
            }
            Reply::Refusal(refused) => assert_eq!(refused.code, RefusalCode::Busy),
            other => panic!("neither ack nor busy but {other:?}"),
        }
    }
    let stats = scene.daemon.stats();
    assert!(stats.refusals("busy") > 0);
    assert_eq!((stats.number("received"), stats.number("frames")), (window_frames * 100, window_frames));
    assert_eq!(stats.outcome("identified") + stats.outcome("undecided"), window_frames * 100);
    assert_eq!(stats.store("stored"), stats.outcome("identified"));
}
