//! Checks of a daemon over UDP: datagrams that are not sound, and packet numbers.

use beacon_protocol::RefusalCode;

use super::super::bytes;
use super::super::check::{Outcome, hold};
use super::player::Player;
use super::scene::Scene;

/// Each is refused by its code, and the session goes on as it was.
pub(super) fn headers_that_are_not_sound(scene: &mut Scene) -> Outcome {
    let (mut player, _) = Player::open(scene)?;
    let sound = bytes::datagram(player.session, 1_000, &scene.frame(1)?);
    let changed = |changes: &[(usize, u8)]| {
        let mut datagram = sound.clone();
        for (at, byte) in changes {
            if let Some(target) = datagram.get_mut(*at) {
                *target = *byte;
            }
        }
        datagram
    };
    let mut unnumbered = sound.clone();
    unnumbered[12..20].fill(0);
    for (rule, datagram, code, what) in [
        (7, changed(&[(1, 0xAC)]), RefusalCode::BadMagic, "another magic"),
        (7, changed(&[(1, 0xAC), (2, 1)]), RefusalCode::BadMagic, "another magic, sealed"),
        (7, changed(&[(2, 1)]), RefusalCode::SealedUnsupported, "a sealed datagram"),
        (7, changed(&[(2, 1), (20, 0)]), RefusalCode::SealedUnsupported, "a sealed datagram without a frame"),
        (7, changed(&[(2, 2)]), RefusalCode::Malformed, "another flag"),
        (7, changed(&[(3, 1)]), RefusalCode::Malformed, "a reserved byte"),
        (6, unnumbered, RefusalCode::Malformed, "packet number 0"),
    ] {
        player.send_bytes(&datagram)?;
        player.refused(rule, code, what)?;
    }
    player.ask(26, &scene.frame(1)?).map(drop)
}

pub(super) fn one_frame_a_datagram(scene: &mut Scene) -> Outcome {
    let (mut player, _) = Player::open(scene)?;
    let frame = scene.frame(1)?;
    let of_session = |frame: &[u8]| bytes::datagram(player.session, 1_000, frame);
    let unsound = [
        (of_session(&frame[..frame.len() - 1]), "a cut frame"),
        (of_session(&frame[..6]), "a cut frame header"),
        (of_session(b""), "no frame"),
        (of_session(&[&frame[..], b"!"].concat()), "a byte behind the frame"),
        (of_session(&[&frame[..], &frame].concat()), "two frames"),
    ];
    for (datagram, what) in unsound {
        player.send_bytes(&datagram)?;
        player.refused(8, RefusalCode::Malformed, what)?;
    }
    player.ask(8, &frame).map(drop)
}

/// Numbers that stand still or fall: they mean nothing yet.
pub(super) fn packet_numbers_mean_nothing(scene: &mut Scene) -> Outcome {
    let (mut player, _) = Player::open(scene)?;
    for (sequence, number) in (1..).zip([900, 900, 3, u64::MAX - 1]) {
        player.packet_number = number - 1;
        player.ask(6, &scene.frame(sequence)?)?;
    }
    Ok(())
}

/// Refusals to datagrams of every length, of one that names no session.
pub(super) fn refusals_are_short(scene: &mut Scene) -> Outcome {
    let mut player = Player::connect(scene)?;
    for frame_bytes in [0, 3, 12, 20, 40, 200] {
        let asked = bytes::datagram(77, 1, &vec![0xAB; frame_bytes]);
        player.send_bytes(&asked)?;
        // How long an answer may be is looked at wherever one comes.
        player.next(27, "a refusal of a datagram that is not sound")?;
    }
    Ok(())
}

/// A refusal carries the session of what it refuses.
pub(super) fn refusals_name_the_session(scene: &mut Scene) -> Outcome {
    let (mut player, _) = Player::open(scene)?;
    let frame = bytes::frame(1, 0xFE, b"");
    for session in [player.session, 0x1234_5678_9ABC_DEF0] {
        player.session = session;
        player.send(&frame)?;
        player.next(10, "a refusal")?;
        let named = player.heard_session;
        hold(10, named == session, || {
            format!("the refusal of a datagram of session {session} carries session {named}")
        })?;
    }
    Ok(())
}
