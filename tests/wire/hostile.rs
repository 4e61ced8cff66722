//! Input that no gateway would send: the daemon stays, and so does everybody else's session.

use crate::harness::frames::{self, HEADER_BYTES, raw};
use crate::harness::reply::Reply;
use crate::harness::udp::UdpGateway;
use crate::model::random::Random;
use crate::scene::{GATEWAY, OTHER_GATEWAY, Scene};

/// Connections with something broken each.
const CONNECTIONS: usize = 400;

/// Datagrams with something broken each.
const DATAGRAMS: usize = 4_000;

/// More than the buffers of both ends hold.
const UNREAD_ANSWERS: u64 = 2_000;

/// A sound frame of some kind with bytes changed, cut off or put behind, mostly under a right checksum, so that what
/// reads the fields meets it too.
fn mutilated(random: &mut Random, scene: &Scene) -> Vec<u8> {
    let sound = [
        frames::encoded_hello(&frames::hello(GATEWAY)),
        frames::sightings(1, &[scene.strong("alice"), scene.weak("bob"), scene.strong("")]),
        frames::aged_sightings(1, 5, scene.now_us, &[scene.strong("alice")]),
        frames::preferences(1, scene.now_us, b"alice", &[(b"diet", b"vegan"), (b"seat", b"")]),
        frames::ping(3),
        frames::leaving(5),
        raw(1, 0x0A, &[0; 37]),
    ];
    let frame = random.pick(&sound).clone();
    let (kind, mut body) = (frame[3], frame[HEADER_BYTES..].to_vec());
    for _ in 0..random.between(0, 4) {
        let at = usize::try_from(random.between(0, i64::try_from(body.len()).unwrap())).unwrap();
        let byte = *random.pick(&[0, 1, 0x7F, 0x80, 0xFF]);
        match random.between(0, 3) {
            0 => body.truncate(at),
            1 => body.insert(at, byte),
            _ => body.get_mut(at).into_iter().for_each(|old| *old = byte),
        }
    }
    let mut frame = raw(1, kind, &body);
    if random.percent(20) {
        let at = usize::try_from(random.between(0, i64::try_from(frame.len()).unwrap() - 1)).unwrap();
        frame[at] ^= 1 << random.between(0, 7);
    }
    frame
}

#[test]
fn broken_streams_harm_nobody_else() {
    let scene = Scene::new();
    let mut random = Random::new(4);
    let mut other = scene.daemon.tcp_session(OTHER_GATEWAY);
    for (_, sequence) in (0..CONNECTIONS).zip(1..) {
        let mut gateway =
            if random.percent(80) { scene.daemon.tcp_session(GATEWAY) } else { scene.daemon.connect() };
        for _ in 0..random.between(1, 4) {
            gateway.send(&mutilated(&mut random, &scene));
        }
        if random.percent(50) {
            gateway.end_sending();
            while gateway.receive() != Reply::Closed {}
        }
        let record = other.ask(&frames::sightings(sequence, &[scene.weak("carol")]));
        assert_eq!(record.outcomes(), [("low_confidence", 1)]);
    }
    drop(other);
    scene.daemon.wait_for_stats("all are gone", |stats| {
        stats.listener("tcp_sessions_open") == 0 && stats.number("in_progress") == 0
    });
    scene.daemon.stop();
}

#[test]
fn broken_datagrams_harm_nobody_else() {
    let scene = Scene::new();
    let mut random = Random::new(5);
    let mut other = scene.daemon.udp_session(OTHER_GATEWAY);
    let mut gateway = scene.daemon.udp_session(GATEWAY);
    for sent in 0..DATAGRAMS {
        match random.between(0, 9) {
            0 => gateway.session = random.next(),
            1 => gateway.session = 0,
            2 => gateway = scene.daemon.udp_session(GATEWAY),
            _ => {}
        }
        gateway.send(&mutilated(&mut random, &scene));
        if sent % 100 == 0 {
            other.send(&frames::ping(7));
            assert!(matches!(other.receive(), Reply::Pong(pong) if pong.token == 7));
            gateway = UdpGateway::new(scene.daemon.udp);
        }
    }
    assert_eq!(other.ask(&frames::sightings(1, &[scene.weak("carol")])).cumulative, 1);
    scene.daemon.wait_for_stats("all is decided", |stats| stats.number("in_progress") == 0);
    scene.daemon.stop();
}

#[test]
fn a_gateway_that_leaves_its_answers_unread_is_let_go_and_holds_up_nobody() {
    let scene = Scene::with_config("[sessions]\nwrite_timeout_ms = 300\n");
    let mut deaf = scene.daemon.tcp_session(GATEWAY);
    let mut other = scene.daemon.tcp_session(OTHER_GATEWAY);
    // Every sighting of it is an exception, so that its record is a sixteen KiB answer.
    let invalid = vec![scene.strong(""); 4_096];
    for sequence in 1..=UNREAD_ANSWERS {
        deaf.send(&frames::sightings(sequence, &invalid));
        if sequence % 100 == 0 {
            let frame = frames::sightings(sequence / 100, &[scene.weak("carol")]);
            assert_eq!(other.ask(&frame).outcomes(), [("low_confidence", 1)]);
        }
    }
    scene.daemon.wait_for_stats("it is let go", |stats| stats.listener("tcp_sessions_open") == 1);
}
