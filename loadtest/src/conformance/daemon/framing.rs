//! Checks of a daemon: frames that are not sound, each refused by its code, over TCP and UDP alike.

use beacon_protocol::{HEADER_BYTES, Kind, MAX_FRAME_BYTES, RefusalCode, TimeBase};

use super::super::bytes;
use super::super::check::{Outcome, Stop, hold};
use super::player::Player;
use super::scene::{Scene, UNKNOWN_BEACON, sighting};

/// Something that must be refused: what to send, as what, and what it is.
type Unsound = (Vec<u8>, RefusalCode, &'static str);

/// Sends each in a session: a fresh one over TCP, where a refusal ends it, one for all over UDP.
fn refuse_all(scene: &Scene, rule: u8, all: Vec<Unsound>) -> Outcome {
    let mut session = None;
    for (frame, code, what) in all {
        let mut player = match session.take() {
            Some(player) => player,
            None => Player::open(&scene.fresh())?.0,
        };
        player.send(&frame)?;
        player.refused(rule, code, what)?;
        session = (scene.over_udp && !code.ends_udp_session()).then_some(player);
    }
    Ok(())
}

/// Two things are wrong with each; the one that is checked first is refused.
pub(super) fn faults_are_found_in_order(scene: &mut Scene) -> Outcome {
    let sound = scene.frame(1)?;
    let changed = |changes: &[(usize, u8)]| {
        let mut frame = sound.clone();
        for (at, byte) in changes {
            if let Some(target) = frame.get_mut(*at) {
                *target = *byte;
            }
        }
        frame
    };
    let cut = bytes::with_length(&sound, 20);
    let unknown_and_cut = bytes::frame(1, 0xFE, &[]);
    let mut damaged_unknown = unknown_and_cut.clone();
    damaged_unknown[8] ^= 1;
    let mut damaged_cut = cut.clone();
    damaged_cut[8] ^= 1;
    refuse_all(
        scene,
        2,
        vec![
            (changed(&[(0, 0), (2, 9), (4, 0xFF)]), RefusalCode::BadMagic, "another magic"),
            (changed(&[(2, 9), (4, 0xFF)]), RefusalCode::UnsupportedVersion, "frame version 9"),
            (changed(&[(2, 0)]), RefusalCode::UnsupportedVersion, "frame version 0"),
            (changed(&[(8, sound[8] ^ 1)]), RefusalCode::BadChecksum, "a wrong checksum"),
            (changed(&[(sound.len() - 1, b'?')]), RefusalCode::BadChecksum, "a damaged body"),
            (damaged_unknown, RefusalCode::BadChecksum, "a wrong checksum of an unknown critical kind"),
            (damaged_cut, RefusalCode::BadChecksum, "a wrong checksum of a cut body"),
            (unknown_and_cut, RefusalCode::UnknownCriticalKind, "an unknown critical kind"),
            (cut, RefusalCode::Malformed, "a cut body"),
        ],
    )
}

/// Over TCP: no more is sent than what is wrong.
pub(super) fn faults_are_found_at_once(scene: &mut Scene) -> Outcome {
    refuse_beginnings(
        scene,
        2,
        &[
            (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), RefusalCode::BadMagic, "another protocol's greeting"),
            (b"GE".to_vec(), RefusalCode::BadMagic, "two bytes of HTTP"),
            (vec![0xBE, 0xAC, 2], RefusalCode::UnsupportedVersion, "three bytes, the third another version"),
        ],
    )
}

/// Over TCP: the header's first eight bytes promise a body that never comes.
pub(super) fn lengths_are_checked_first(scene: &mut Scene) -> Outcome {
    let beginning =
        |bytes: u32| bytes::header(1, Kind::Sightings.byte(), bytes).into_iter().take(8).collect();
    let beyond = u32::try_from(MAX_FRAME_BYTES - HEADER_BYTES + 1).unwrap_or(u32::MAX);
    refuse_beginnings(
        scene,
        3,
        &[
            (beginning(u32::MAX), RefusalCode::Oversize, "the header of a body of 4 GiB"),
            (beginning(beyond), RefusalCode::Oversize, "the header of a frame of 65,537 bytes"),
        ],
    )
}

/// As the first bytes of a connection, and in a session.
fn refuse_beginnings(scene: &Scene, rule: u8, all: &[Unsound]) -> Outcome {
    for (sent, code, what) in all {
        for in_a_session in [false, true] {
            let scene = scene.fresh();
            let mut player = if in_a_session { Player::open(&scene)?.0 } else { Player::connect(&scene)? };
            player.send_bytes(sent)?;
            player.refused(rule, *code, what)?;
        }
    }
    Ok(())
}

/// Bodies that end inside a field, and such that go on behind the last.
pub(super) fn bodies_are_neither_cut_nor_longer(scene: &mut Scene) -> Outcome {
    let sightings = scene.frame(1)?;
    let preferences = scene.durable(1, b"never stored")?;
    let ping = bytes::ping(1)?;
    let mut all: Vec<Unsound> = Vec::new();
    for frame in [&sightings, &preferences, &ping] {
        let length = Player::body_bytes(frame);
        for cut in [0, 7, length / 2, length - 1] {
            all.push((bytes::with_length(frame, cut), RefusalCode::Malformed, "a body that is cut"));
        }
        all.push((bytes::with_length(frame, length + 1), RefusalCode::Malformed, "a byte behind a body"));
    }
    // The last field is there, and more is promised.
    let many = bytes::with_body(&sightings, 18, &4_096_u16.to_be_bytes());
    all.push((many, RefusalCode::Malformed, "a count of sightings that are not there"));
    let beacons = bytes::with_body(&sightings, 17, &[255]);
    all.push((beacons, RefusalCode::Malformed, "a count of beacons that are not there"));
    refuse_all(scene, 4, all)
}

/// A body that is not sound, of a frame whose number can be read, and of one that has none.
pub(super) fn refusals_name_their_frame(scene: &mut Scene) -> Outcome {
    let frame = scene.frame(9)?;
    let length = Player::body_bytes(&frame);
    for (body_bytes, named) in [(length + 1, 9), (8, 9), (7, 0)] {
        let (mut player, _) = Player::open(&scene.fresh())?;
        player.send(&bytes::with_length(&frame, body_bytes))?;
        let refused =
            player.refused(4, RefusalCode::Malformed, "a frame with a body that is cut or longer")?;
        hold(4, refused.sequence == named, || {
            format!("frame 9, its body {body_bytes} bytes, was refused as sequence {}", refused.sequence)
        })?;
    }
    Ok(())
}

pub(super) fn hellos_are_neither_cut_nor_longer(scene: &mut Scene) -> Outcome {
    let hello = bytes::encoded(|buffer| scene.hello().encode(buffer))?;
    let length = Player::body_bytes(&hello);
    for cut in [0, 19, length - 1, length + 1] {
        let mut player = Player::connect(scene)?;
        player.send(&bytes::with_length(&hello, cut))?;
        let what = if cut > length { "a byte behind a hello" } else { "a hello that is cut" };
        player.refused(4, RefusalCode::Malformed, what)?;
    }
    Ok(())
}

/// Reserved bytes and flags of bodies.
pub(super) fn flags_are_zero(scene: &mut Scene) -> Outcome {
    let sightings = scene.frame(1)?;
    let preferences = scene.durable(1, b"never stored")?;
    let flagged = [
        (bytes::with_body(&sightings, 16, &[2]), RefusalCode::Malformed, "an unknown flag of sightings"),
        (bytes::with_body(&sightings, 16, &[0x81]), RefusalCode::Malformed, "an unknown flag beside AGES"),
        (bytes::with_body(&preferences, 16, &[4]), RefusalCode::Malformed, "an unknown flag of preferences"),
    ];
    refuse_all(scene, 1, flagged.into())?;
    let hello = bytes::encoded(|buffer| scene.hello().encode(buffer))?;
    let mut player = Player::connect(scene)?;
    player.send(&bytes::with_body(&hello, 3, &[1]))?;
    player.refused(1, RefusalCode::Malformed, "a flag of the hello").map(drop)
}

/// Values outside the range that section 4 gives.
pub(super) fn values_are_in_their_ranges(scene: &mut Scene) -> Outcome {
    let sightings = scene.frame(1)?;
    let preferences = scene.durable(1, b"never stored")?;
    let pair_count_at = 18 + scene.customer().len();
    let age = bytes::sightings(1, TimeBase::Age(0), UNKNOWN_BEACON, &[sighting(b"conformance", 0)])?;
    let status = [&[0; 36][..], &[2, 0xC3, 0x28]].concat();
    let malformed = |frame, what| (frame, RefusalCode::Malformed, what);
    refuse_all(
        scene,
        2,
        vec![
            malformed(bytes::with_body(&sightings, 0, &[0; 8]), "sequence 0"),
            malformed(bytes::with_body(&sightings, 40, &[1]), "a beacon_index outside the table"),
            malformed(bytes::with_body(&age, 8, &(-1_i64).to_be_bytes()), "an age below zero"),
            malformed(bytes::with_body(&sightings, 17, &[0]), "no beacon"),
            malformed(bytes::with_body(&sightings, 18, &[0, 0]), "no sighting"),
            malformed(bytes::with_body(&sightings, 18, &4_097_u16.to_be_bytes()), "4,097 sightings"),
            malformed(bytes::with_body(&preferences, 0, &[0; 8]), "sequence 0 of preferences"),
            malformed(bytes::with_body(&preferences, pair_count_at, &[0]), "no pair"),
            malformed(bytes::with_body(&preferences, pair_count_at, &[65]), "65 pairs"),
            malformed(bytes::frame(1, Kind::Goodbye.byte(), &[3, 0, 0, 0, 0]), "goodbye for reason 3"),
            malformed(bytes::frame(1, Kind::GatewayStatus.byte(), &status), "a firmware that is not UTF-8"),
        ],
    )
}

/// The ranges of 4.1.
pub(super) fn hellos_are_in_their_ranges(scene: &mut Scene) -> Outcome {
    let sound = bytes::encoded(|buffer| scene.hello().encode(buffer))?;
    let id_at = 53;
    let id_bytes = scene.gateway.len();
    for (frame, what) in [
        (bytes::with_body(&sound, 0, &[0, 1]), "min_version 0"),
        (bytes::with_body(&sound, 0, &[2, 1]), "max_version under min_version"),
        (bytes::with_body(&sound, 2, &[3]), "ack_level 3"),
        (bytes::with_body(&sound, 12, &[0; 8]), "first_unacked 0"),
        (bytes::with_body(&sound, id_at, b"\n"), "a gateway id with a control character"),
        (bytes::with_body(&sound, id_at, &[0xFF]), "a gateway id that is not UTF-8"),
        (hello_of(scene, 0, 0)?, "an empty gateway id"),
        (hello_of(scene, 65, 0)?, "a gateway id of 65 bytes"),
        (hello_of(scene, id_bytes, 1)?, "auth without a method"),
    ] {
        let mut player = Player::connect(scene)?;
        player.send(&frame)?;
        player.refused(2, RefusalCode::Malformed, what)?;
    }
    Ok(())
}

/// A hello with a gateway id and an auth of so many bytes, auth_method 0.
fn hello_of(scene: &Scene, id_bytes: usize, auth_bytes: u16) -> Result<Vec<u8>, Stop> {
    let hello = bytes::encoded(|buffer| scene.hello().encode(buffer))?;
    let fixed = hello.get(HEADER_BYTES..HEADER_BYTES + 52).unwrap_or_default();
    let id_len = u8::try_from(id_bytes).unwrap_or(u8::MAX);
    let auth = vec![0; auth_bytes.into()];
    let body = [fixed, &[id_len], &vec![b'g'; id_bytes], &[0], &auth_bytes.to_be_bytes(), &auth].concat();
    Ok(bytes::frame(1, Kind::Hello.byte(), &body))
}

/// Over TCP: however a stream is cut, it is the same frames.
pub(super) fn any_segmentation_is_the_same(scene: &mut Scene) -> Outcome {
    let mut player = Player::connect(scene)?;
    let hello = bytes::encoded(|buffer| scene.hello().encode(buffer))?;
    for byte in &hello {
        player.send_bytes(std::slice::from_ref(byte))?;
    }
    player.next(2, "a welcome for a hello in single bytes")?;
    let (first, second) = (scene.frame(1)?, scene.frame(2)?);
    player.note(&first);
    player.note(&second);
    let frames = [first, second, bytes::ping(7)?].concat();
    for part in [
        &frames[..HEADER_BYTES - 1],
        &frames[HEADER_BYTES - 1..HEADER_BYTES + 1],
        &frames[HEADER_BYTES + 1..],
    ] {
        player.send_bytes(part)?;
    }
    player.record(2, 2).map(drop)
}

/// Kinds of a later version.
pub(super) fn unknown_kinds(scene: &mut Scene) -> Outcome {
    let (mut player, _) = Player::open(scene)?;
    for kind in [0x00, 0x0B, 0x7F] {
        player.send(&bytes::frame(1, kind, b"of a later version"))?;
    }
    player.send(&bytes::frame(1, 0x7F, b""))?;
    player.ask(67, &scene.frame(1)?)?;
    player.ping(67)?;
    let mut damaged = bytes::frame(1, 0x7F, b"of a later version");
    damaged[8] ^= 1;
    refuse_all(
        scene,
        67,
        vec![
            (damaged, RefusalCode::BadChecksum, "a wrong checksum of an unknown kind"),
            (bytes::frame(1, 0xFF, b""), RefusalCode::UnknownCriticalKind, "the unknown critical kind 0xff"),
            (
                bytes::frame(1, 0x8A, b"later"),
                RefusalCode::UnknownCriticalKind,
                "the unknown critical kind 0x8a",
            ),
        ],
    )
}

/// Over TCP: the end of a stream inside a frame, for a gateway that still reads.
pub(super) fn a_stream_that_ends_inside_a_frame(scene: &mut Scene) -> Outcome {
    let frame = scene.frame(1)?;
    for cut in [1, HEADER_BYTES, frame.len() - 1] {
        let (mut player, _) = Player::open(&scene.fresh())?;
        player.send_bytes(&frame[..cut])?;
        player.end_sending();
        player.refused(4, RefusalCode::Malformed, "the end of the stream inside a frame")?;
    }
    Ok(())
}

/// What was sound before a fault is answered first.
pub(super) fn records_due_come_before_the_refusal(scene: &mut Scene) -> Outcome {
    let (mut player, _) = Player::open(scene)?;
    let frame = scene.durable(1, b"before a fault")?;
    player.note(&frame);
    player.send_bytes(&[frame, bytes::frame(1, 0xFE, b"")].concat())?;
    let what = "an unknown critical kind behind a sound frame";
    match player.record(24, 1) {
        // A SHOULD: said, and no breach.
        Err(Stop::Broken { rule: 24, seen }) => {
            scene.leave_unsaid(24, format!("records that are due should leave before a refusal: {seen}"));
            Ok(())
        }
        Err(other) => Err(other),
        Ok(_) => player.refused(24, RefusalCode::UnknownCriticalKind, what).map(drop),
    }
}
