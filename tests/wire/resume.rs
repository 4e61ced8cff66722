//! Frames sent again in a later session: known by gateway, epoch, sequence and checksum, also after a crash.

use std::time::{Duration, Instant};

use beacon_protocol::{AckLevel, Hello, RefusalCode, Welcome};

use crate::harness::daemon::Daemon;
use crate::harness::frames;
use crate::harness::ledger::Stats;
use crate::harness::reply::{Record, Refused};
use crate::harness::store;
use crate::harness::tcp::TcpGateway;
use crate::harness::udp::UdpGateway;
use crate::model::generated::heard;
use crate::scene::{GATEWAY, OTHER_GATEWAY, Scene, counter};

/// The status of a record that answers a repeat of a durable frame.
const REPEAT: u8 = 1;

/// How long a look-up that failed may be remembered; then some, for a busy machine.
const BOUNDED: Duration = Duration::from_secs(6);

#[derive(Debug, Clone, Copy)]
enum Over {
    Tcp,
    Udp,
}

const BOTH: [Over; 2] = [Over::Tcp, Over::Udp];

/// A session over either transport.
enum Session {
    Tcp(TcpGateway),
    Udp(UdpGateway),
}

impl Session {
    #[track_caller]
    fn open(daemon: &Daemon, over: Over, hello: &Hello<'_>) -> (Self, Welcome) {
        match over {
            Over::Tcp => {
                let mut gateway = daemon.connect();
                let welcome = gateway.greet(hello).welcome();
                (Self::Tcp(gateway), welcome)
            }
            Over::Udp => {
                let mut gateway = UdpGateway::new(daemon.udp);
                let welcome = gateway.greet(hello).welcome();
                (Self::Udp(gateway), welcome)
            }
        }
    }

    #[track_caller]
    fn ask(&mut self, frame: &[u8]) -> Record {
        match self {
            Self::Tcp(gateway) => gateway.ask(frame),
            Self::Udp(gateway) => {
                let [record] = <[Record; 1]>::try_from(gateway.ask(frame).records).unwrap();
                record
            }
        }
    }

    /// Sends a frame that is refused, which over TCP ends the session.
    #[track_caller]
    fn refused(&mut self, frame: &[u8]) -> Refused {
        match self {
            Self::Tcp(gateway) => gateway.refused(frame),
            Self::Udp(gateway) => gateway.refused(frame),
        }
    }
}

/// The hello of a gateway that leaves the level to the daemon.
fn hello(boot_epoch: u64) -> Hello<'static> {
    Hello { boot_epoch, ack_level: None, ..frames::hello(GATEWAY) }
}

#[track_caller]
fn assert_repeat(record: &Record, sequence: u64) {
    let repeat = Record { sequence, status: REPEAT, dead_lettered: 0, counts: [0; 11], exceptions: vec![] };
    assert_eq!(*record, repeat);
}

/// Frames of every kind that makes something durable.
fn frames_of(scene: &Scene) -> Vec<Vec<u8>> {
    vec![
        frames::sightings(1, &[scene.strong("alice"), scene.weak("bob"), scene.strong("")]),
        frames::preferences(2, scene.now_us, b"alice", &[(b"milk", b"oat")]),
        frames::sightings(3, &[scene.strong("carol")]),
    ]
}

#[test]
fn durable_frames_sent_again_in_a_new_session_are_answered_without_being_decided() {
    for (first, second) in [(Over::Tcp, Over::Tcp), (Over::Udp, Over::Udp), (Over::Tcp, Over::Udp)] {
        let scene = Scene::new();
        let frames = frames_of(&scene);
        let (mut session, welcome) = Session::open(&scene.daemon, first, &hello(7));
        assert_eq!(welcome.last_acked, 0);
        for frame in &frames {
            assert_ne!(session.ask(frame).status, REPEAT);
        }
        let before = scene.daemon.stats();
        assert_eq!((before.number("received"), before.number("frames_repeated")), (4, 0));

        let (mut resumed, welcome) = Session::open(&scene.daemon, second, &hello(7));
        assert_eq!(welcome.last_acked, 2, "when the third was decided, two were answered");
        for (frame, sequence) in frames.iter().zip(1..) {
            assert_repeat(&resumed.ask(frame), sequence);
            // Within the session it is a repeat like any other.
            assert_repeat(&resumed.ask(frame), sequence);
        }
        let new = resumed.ask(&frames::sightings(4, &[scene.strong("dave")]));
        assert_eq!(new.outcomes(), [("identified", 1)]);
        let after = scene.daemon.stats();
        assert_eq!(
            (after.number("received"), after.number("frames_repeated")),
            (5, 6),
            "{first:?}, {second:?}"
        );
        assert_eq!(after.number("identified_redelivered"), 0);
        assert_eq!(after.preferences("received"), 1);
    }
}

#[test]
fn a_record_is_known_only_by_gateway_epoch_sequence_and_checksum_together() {
    let scene = Scene::new();
    let frame = frames::sightings(1, &[scene.strong("alice")]);
    let (mut session, _) = Session::open(&scene.daemon, Over::Tcp, &hello(7));
    assert_eq!(session.ask(&frame).outcomes(), [("identified", 1)]);
    let others = [
        (hello(8), frame.clone()),
        (Hello { gateway_id: OTHER_GATEWAY, ..hello(7) }, frame),
        (hello(7), frames::sightings(2, &[scene.strong("alice")])),
    ];
    for ((hello, frame), redelivered) in others.iter().zip(1..) {
        let (mut session, welcome) =
            Session::open(&scene.daemon, Over::Udp, &Hello { client_random: [redelivered; 32], ..*hello });
        assert_eq!(welcome.last_acked, 0);
        assert_eq!(session.ask(frame).outcomes(), [("identified", 1)], "decided again, to the same end");
        let stats = scene.daemon.stats();
        assert_eq!(stats.number("identified_redelivered"), u64::from(redelivered));
        assert_eq!(stats.number("frames_repeated"), 0);
    }
    assert_eq!(scene.identities_of("alice"), 1);
}

#[test]
fn ages_of_a_repeat_in_a_new_session_go_on_and_it_is_the_same_frame() {
    for over in BOTH {
        let scene = Scene::new();
        let aged = |age_us| frames::aged_sightings(1, age_us, scene.now_us, &[scene.strong("alice")]);
        let (mut session, _) = Session::open(&scene.daemon, over, &hello(7));
        assert_eq!(session.ask(&aged(1_000)).outcomes(), [("identified", 1)]);
        let (mut resumed, _) = Session::open(&scene.daemon, over, &hello(7));
        assert_repeat(&resumed.ask(&aged(120_000_000)), 1);
        assert_eq!(scene.identities_of("alice"), 1);
    }
}

#[test]
fn a_sequence_of_an_earlier_session_used_for_another_frame_is_refused() {
    for over in BOTH {
        let scene = Scene::new();
        let frame = frames::sightings(1, &[scene.strong("alice")]);
        let (mut session, _) = Session::open(&scene.daemon, over, &hello(7));
        assert_eq!(session.ask(&frame).outcomes(), [("identified", 1)]);
        let (mut resumed, _) = Session::open(&scene.daemon, over, &hello(7));
        let refused = resumed.refused(&frames::sightings(1, &[scene.strong("bob")]));
        assert_eq!((refused.code, refused.sequence), (RefusalCode::SequenceReused, 1), "{over:?}");
        if matches!(over, Over::Udp) {
            assert_repeat(&resumed.ask(&frame), 1);
        }
        let stats = scene.daemon.stats();
        assert_eq!((stats.number("received"), stats.refusals("sequence_reused")), (1, 1));
        assert_eq!(scene.identities_of("bob"), 0);
    }
}

#[test]
fn a_frame_of_which_something_was_undecided_is_decided_anew_until_nothing_is() {
    for over in BOTH {
        let scene = Scene::new();
        // The table's beacon is known from now on, the counter's is not.
        let mut other = scene.daemon.tcp_session(OTHER_GATEWAY);
        assert_eq!(other.ask(&frames::sightings(1, &[scene.strong("zoe")])).outcomes(), [("identified", 1)]);
        let elsewhere = store::connect(&scene.home.data());
        elsewhere.execute_batch("ALTER TABLE beacons RENAME TO beacons_away").unwrap();
        let of_counter = heard(b"bob".to_vec(), scene.now_us, &counter(), -40);
        let frame = frames::sightings(1, &[scene.strong("alice"), of_counter]);
        let (mut session, _) = Session::open(&scene.daemon, over, &hello(7));
        assert_eq!(session.ask(&frame).outcomes(), [("undecided", 1), ("identified", 1)]);
        elsewhere.execute_batch("ALTER TABLE beacons_away RENAME TO beacons").unwrap();

        // A failed look-up is remembered for a moment.
        let deadline = Instant::now() + BOUNDED;
        let probe =
            |sequence| frames::sightings(sequence, &[heard(b"yan".to_vec(), scene.now_us, &counter(), -40)]);
        let mut probes = 2..;
        while other.ask(&probe(probes.next().unwrap())).outcomes() != [("identified", 1)] {
            assert!(Instant::now() < deadline, "still undecided");
        }
        let (mut resumed, _) = Session::open(&scene.daemon, over, &hello(7));
        assert_eq!(resumed.ask(&frame).outcomes(), [("identified", 2)]);
        let stats = scene.daemon.stats();
        assert_eq!((stats.number("identified_redelivered"), stats.number("frames_repeated")), (1, 0));
        let (mut resumed, _) = Session::open(&scene.daemon, over, &hello(7));
        assert_repeat(&resumed.ask(&frame), 1);
        assert_eq!((scene.identities_of("alice"), scene.identities_of("bob")), (1, 1));
    }
}

#[test]
fn durable_frames_are_known_after_a_crash() {
    for over in BOTH {
        let scene = Scene::new();
        let frames = frames_of(&scene);
        let (mut session, _) = Session::open(&scene.daemon, over, &hello(7));
        for frame in &frames {
            assert_ne!(session.ask(frame).status, REPEAT);
        }
        let scene = scene.killed_and_started();
        let (mut resumed, welcome) = Session::open(&scene.daemon, over, &hello(7));
        assert_eq!(welcome.last_acked, 2);
        for (frame, sequence) in frames.iter().zip(1..) {
            assert_repeat(&resumed.ask(frame), sequence);
        }
        let stats = scene.daemon.stats();
        assert_eq!((stats.number("received"), stats.number("frames_repeated")), (0, 3), "{over:?}");
        let third = Hello { first_unacked: 3, client_random: [8; 32], ..hello(7) };
        let (mut other, _) = Session::open(&scene.daemon, over, &third);
        let refused = other.refused(&frames::sightings(3, &[scene.strong("bob")]));
        assert_eq!((refused.code, refused.sequence), (RefusalCode::SequenceReused, 3));
        assert_eq!((scene.identities_of("alice"), scene.identities_of("bob")), (1, 0));
    }
}

#[test]
fn a_level_is_granted_that_is_never_weaker_than_asked_or_configured() {
    let cases = [
        ("", [AckLevel::Journal, AckLevel::Journal, AckLevel::Stored]),
        ("[sessions]\nack_level = \"stored\"\n", [AckLevel::Stored; 3]),
    ];
    for (toml, granted) in cases {
        let scene = Scene::with_config(toml);
        let asked = [None, Some(AckLevel::Journal), Some(AckLevel::Stored)];
        for (ack_level, granted) in asked.into_iter().zip(granted) {
            for over in BOTH {
                let hello = Hello { ack_level, boot_epoch: frames::new_epoch(), ..frames::hello(GATEWAY) };
                let (mut session, welcome) = Session::open(&scene.daemon, over, &hello);
                assert_eq!(welcome.ack_level, granted, "asked {ack_level:?} with {toml:?}");
                let weak = frames::sightings(1, &[scene.weak("alice")]);
                assert_eq!(session.ask(&weak).outcomes(), [("low_confidence", 1)]);
            }
        }
    }
}

#[test]
fn what_is_durable_in_the_journal_alone_is_a_repeat_at_that_level_only() {
    for over in BOTH {
        let scene = Scene::new();
        let frame = frames::sightings(1, &[scene.strong("alice")]);
        let lock = store::connect(&scene.home.data());
        lock.execute_batch("BEGIN IMMEDIATE").unwrap();
        let (mut session, _) = Session::open(&scene.daemon, over, &hello(7));
        assert_eq!(session.ask(&frame).outcomes(), [("identified", 1)]);
        let (mut resumed, _) = Session::open(&scene.daemon, over, &hello(7));
        assert_repeat(&resumed.ask(&frame), 1);

        let stored = Hello { ack_level: Some(AckLevel::Stored), ..hello(7) };
        let mut gateway = scene.daemon.connect();
        gateway.greet(&stored).welcome();
        gateway.send(&frame);
        let decided_anew = |stats: &Stats| stats.number("identified_redelivered") == 1;
        scene.daemon.wait_for_stats("it is decided anew", decided_anew);
        gateway.assert_unanswered();
        lock.execute_batch("ROLLBACK").unwrap();
        assert_eq!(gateway.receive().ack().records[0].outcomes(), [("identified", 1)]);
        let (mut after, _) = Session::open(&scene.daemon, over, &stored);
        assert_repeat(&after.ask(&frame), 1);
        assert_eq!(scene.identities_of("alice"), 1);
    }
}
