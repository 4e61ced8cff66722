//! Checks of a daemon: hello and welcome, versions, levels, and who may speak first.

use beacon_protocol::{AckLevel, Goodbye, GoodbyeReason, Hello, RefusalCode, Welcome};

use super::super::bytes;
use super::super::check::{Outcome, Stop, broken, hold, not_tried};
use super::super::message::Said;
use super::player::Player;
use super::scene::Scene;

/// Versions 1 to 255 are offered, and version 1 alone.
pub(super) fn a_hello_is_welcomed(scene: &mut Scene) -> Outcome {
    let (mut player, welcome) = Player::open(scene)?;
    is_possible(&welcome, &scene.hello())?;
    hold(66, welcome.version == 1, || format!("version {} was not offered", welcome.version))?;
    player.ping(20)?;
    let another = scene.fresh();
    let wide = Hello { max_version: 255, ..another.hello() };
    let mut player = Player::connect(&another)?;
    let welcome = player.greet(&wide)?;
    is_possible(&welcome, &wide)?;
    hold(66, welcome.version > 0, || "version 0 was chosen".to_owned())
}

/// The rules of 4.2, which a gateway would leave the session for.
fn is_possible(welcome: &Welcome, hello: &Hello<'_>) -> Outcome {
    let Welcome { max_frame_bytes, max_datagram_bytes, max_sightings, idle_timeout_ms, .. } = *welcome;
    hold(10, welcome.session != 0, || "session 0 was granted".to_owned())?;
    hold(32, welcome.boot_epoch == hello.boot_epoch, || {
        format!("the welcome echoes epoch {}, the hello's is {}", welcome.boot_epoch, hello.boot_epoch)
    })?;
    hold(32, hello.client_random.starts_with(&welcome.client_random_echo), || {
        "the welcome echoes other random bytes than the hello's first eight".to_owned()
    })?;
    for (holds, field, value) in [
        ((1_024..=65_536).contains(&max_frame_bytes), "max_frame_bytes", max_frame_bytes),
        ((576..=65_507).contains(&max_datagram_bytes), "max_datagram_bytes", max_datagram_bytes.into()),
        ((1..=4_096).contains(&max_sightings), "max_sightings", max_sightings.into()),
        (idle_timeout_ms >= 1_000, "idle_timeout_ms", idle_timeout_ms),
    ] {
        hold(32, holds, || format!("the welcome's {field} is {value}, which no gateway accepts (4.2)"))?;
    }
    Ok(())
}

pub(super) fn two_sessions_differ(scene: &mut Scene) -> Outcome {
    let (mut first, one) = Player::open(scene)?;
    let (mut second, other) = Player::open(&scene.fresh())?;
    hold(32, one.session != other.session, || {
        format!("two gateways' hellos were granted the same session {}", one.session)
    })?;
    hold(32, one.server_random != other.server_random, || {
        "two welcomes have the same server_random, which is to be fresh".to_owned()
    })?;
    // The older one stands as well.
    first.ping(33)?;
    second.ping(33)?;
    first.ask(33, &scene.frame(1)?)?;
    second.ask(33, &scene.frame(1)?).map(drop)
}

pub(super) fn the_level_is_not_weaker(scene: &mut Scene) -> Outcome {
    for asked in [None, Some(AckLevel::Journal), Some(AckLevel::Stored)] {
        let scene = scene.fresh();
        let welcome = Player::connect(&scene)?.greet(&Hello { ack_level: asked, ..scene.hello() })?;
        let granted = welcome.ack_level;
        hold(12, asked.is_none_or(|asked| granted.byte() >= asked.byte()), || {
            format!("{asked:?} was asked for and {granted:?} granted")
        })?;
    }
    Ok(())
}

pub(super) fn hellos_that_cannot_be_granted(scene: &mut Scene) -> Outcome {
    let sound = scene.hello();
    for (hello, code, what) in [
        (
            Hello { min_version: 200, max_version: 255, ..sound },
            RefusalCode::UnsupportedVersion,
            "a hello of versions 200 to 255",
        ),
        (
            Hello { auth_method: 1, auth: b"token", ..sound },
            RefusalCode::Unauthenticated,
            "a hello with auth_method 1",
        ),
        (Hello { auth_method: 255, ..sound }, RefusalCode::Unauthenticated, "a hello with auth_method 255"),
    ] {
        let mut player = Player::connect(scene)?;
        player.send(&bytes::encoded(|buffer| hello.encode(buffer))?)?;
        player.refused(32, code, what)?;
    }
    Ok(())
}

/// On TCP; on UDP what names no session is told that none is known (R56).
pub(super) fn nothing_goes_before_the_hello(scene: &mut Scene) -> Outcome {
    let goodbye = Goodbye { reason: GoodbyeReason::Leaving, deadline_ms: 0 };
    for (frame, what) in [
        (scene.frame(1)?, "sightings before the hello"),
        (bytes::ping(1)?, "a ping before the hello"),
        (bytes::encoded(|buffer| goodbye.encode(buffer))?, "a goodbye before the hello"),
    ] {
        let mut player = Player::connect(scene)?;
        player.send(&frame)?;
        player.refused(11, RefusalCode::UnexpectedKind, what)?;
    }
    Ok(())
}

/// A second hello, and what only daemons send, in a session.
pub(super) fn kinds_of_the_other_side(scene: &mut Scene) -> Outcome {
    let (mut player, welcome) = Player::open(scene)?;
    let ack = bytes::frame(1, 0x84, &[0; 18]);
    let welcome = bytes::encoded(|buffer| welcome.encode(buffer))?;
    let hello = bytes::encoded(|buffer| scene.hello().encode(buffer))?;
    for (frame, what) in [
        (&ack, "an ack from a gateway"),
        (&welcome, "a welcome from a gateway"),
        (&hello, "a hello in a session"),
    ] {
        player.send(frame)?;
        player.refused(11, RefusalCode::UnexpectedKind, what)?;
        if !scene.over_udp {
            player = Player::open(&scene.fresh())?.0;
        }
    }
    Ok(())
}

pub(super) fn pings_do_not_wait(scene: &mut Scene) -> Outcome {
    let stored = Hello { ack_level: Some(AckLevel::Stored), ..scene.hello() };
    let mut player = Player::connect(scene)?;
    let window = player.greet(&stored)?.window_frames.min(8);
    for sequence in 1..=window.into() {
        player.send(&scene.durable(sequence, b"while a ping waits")?)?;
    }
    let took = player.ping(20)?;
    hold(20, took.as_secs() < 1, || format!("a pong came after {took:?}, while work waited"))?;
    for _ in 0..2 {
        player.ping(20)?;
    }
    Ok(())
}

/// The same hello from the same address: a repeat, because its welcome was lost.
pub(super) fn a_repeated_hello_is_the_same_session(scene: &mut Scene) -> Outcome {
    let (mut player, first) = Player::open(scene)?;
    let again = player.greet(&scene.hello())?;
    hold(55, Welcome { server_time_us: first.server_time_us, ..again } == first, || {
        format!(
            "a repeated hello got session {} with other terms than session {}",
            again.session, first.session
        )
    })?;
    player.ask(55, &scene.frame(1)?)?;
    let late = player.greet(&scene.hello())?;
    hold(55, late.session == first.session, || {
        format!("a hello repeated after a frame got session {}, before {}", late.session, first.session)
    })?;
    let ack = answered(&mut player, &scene.frame(2)?)?;
    hold(55, ack == 2, || format!("the session's cumulative number is {ack} after two frames"))?;
    let another = scene.fresh();
    let other = player.greet(&another.hello())?;
    hold(55, other.session != first.session, || "a hello of another epoch got the same session".to_owned())
}

/// The cumulative number when the frame's record comes.
fn answered(player: &mut Player, frame: &[u8]) -> Result<u64, Stop> {
    let sequence = beacon_protocol::sequence_of(frame).unwrap_or_default();
    player.send(frame)?;
    loop {
        if let Said::Ack(ack) = player.next(15, "an ack")?
            && ack.records.iter().any(|record| record.sequence == sequence)
        {
            return Ok(ack.cumulative);
        }
    }
}

pub(super) fn a_session_belongs_to_its_address(scene: &mut Scene) -> Outcome {
    let (mut player, welcome) = Player::open(scene)?;
    let mut stranger = Player::connect(scene)?;
    let hello = bytes::encoded(|buffer| scene.fresh().hello().encode(buffer))?;
    let unknown = welcome.session.wrapping_add(0x5555);
    for (session, frame, what) in [
        (welcome.session, scene.frame(1)?, "another address's session"),
        (unknown, scene.frame(1)?, "a session that was never granted"),
        (0, scene.frame(1)?, "sightings in session 0"),
        (0, bytes::ping(1)?, "a ping in session 0"),
        (unknown, hello, "a hello in a session that was never granted"),
    ] {
        stranger.session = session;
        stranger.send(&frame)?;
        stranger.refusal(56, RefusalCode::UnknownSession, what)?;
    }
    player.ask(56, &scene.frame(1)?).map(drop).map_err(|stop| match stop {
        Stop::Broken { seen, .. } => broken(56, format!("a stranger's datagrams harmed the session: {seen}")),
        other => other,
    })
}

pub(super) fn the_window_fits_the_bitmap(scene: &mut Scene) -> Outcome {
    let (_, welcome) = Player::open(scene)?;
    hold(57, welcome.window_frames <= 64, || {
        format!("a window of {} frames was granted, the bitmap tells of 64", welcome.window_frames)
    })
}

/// Waits it out where that is not longer than the patience.
pub(super) fn silence_ends_a_session(scene: &mut Scene) -> Outcome {
    let (mut player, welcome) = Player::open(scene)?;
    let idle = std::time::Duration::from_millis(welcome.idle_timeout_ms.into());
    if idle >= scene.patience {
        let seconds = idle.as_secs() + 2;
        return Err(not_tried(format!(
            "the idle timeout is {idle:?}, beyond the patience of {:?}; try --patience {seconds}s",
            scene.patience
        )));
    }
    player.is_silent = true;
    if scene.over_udp {
        let heard =
            player.next_until(std::time::Instant::now() + idle + std::time::Duration::from_secs(1))?;
        hold(39, matches!(heard, super::super::wire::Heard::Silence), || {
            format!("an idle session is forgotten without a word, and it sent {heard:?}")
        })?;
        player.send(&scene.frame(1)?)?;
        return player.refusal(39, RefusalCode::UnknownSession, "a frame after the idle timeout").map(drop);
    }
    player.refused(39, RefusalCode::TimedOut, "silence for the idle timeout").map(drop)
}
