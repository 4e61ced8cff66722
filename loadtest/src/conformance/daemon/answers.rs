//! Checks of a daemon: what records say, and how a session ends.

use std::time::Instant;

use beacon_protocol::{
    Exception, Goodbye, GoodbyeReason, MAX_SIGHTINGS, OutcomeCode, RecordStatus, Refusal, RefusalCode,
    SightingRef, TimeBase,
};

use super::super::bytes;
use super::super::check::{Outcome, broken, hold, not_tried};
use super::super::message::Said;
use super::super::wire::Heard;
use super::player::Player;
use super::scene::{Scene, UNKNOWN_BEACON, sighting};
use crate::clock::now_us;

/// A microsecond beyond what any daemon may be set to take.
const LONG_AHEAD_US: i64 = 400 * 86_400 * 1_000_000;

/// Sightings that only the tables of section 5 can decide, in one frame.
pub(super) fn outcomes_follow_the_tables(scene: &mut Scene) -> Outcome {
    let (mut player, _) = Player::open(scene)?;
    let long = "ä".repeat(65);
    let longest = "ä".repeat(64);
    let with_rssi = |rssi_dbm| SightingRef { rssi_dbm, ..sighting(b"conformance", 0) };
    let invalid: [(SightingRef<'_>, u8, &str); 8] = [
        (sighting(b"", 0), 1, "an empty customer id"),
        (sighting(&[0xC3, 0x28], 0), 4, "a customer id that is not UTF-8"),
        (sighting(long.as_bytes(), 0), 2, "a customer id of 65 characters"),
        (sighting(b"a\x07b", 0), 3, "a customer id with U+0007"),
        (sighting("a\u{85}b".as_bytes(), 0), 3, "a customer id with U+0085"),
        (with_rssi(-101), 5, "an RSSI of -101"),
        (with_rssi(1), 5, "an RSSI of 1"),
        // The first of two that apply.
        (SightingRef { rssi_dbm: 1, ..sighting(b"", 0) }, 1, "an empty customer id with an RSSI of 1"),
    ];
    let mut sightings: Vec<_> = invalid.iter().map(|(sighting, _, _)| *sighting).collect();
    sightings.push(sighting(longest.as_bytes(), 0));
    sightings.push(with_rssi(-100));
    let frame = bytes::sightings(1, TimeBase::Utc(now_us()), UNKNOWN_BEACON, &sightings)?;
    let record = player.ask(16, &frame)?;
    for ((_, detail, what), index) in invalid.iter().zip(0..) {
        let listed = record.exceptions.iter().find(|exception| exception.index == index);
        let right = Exception { index, code: OutcomeCode::Invalid, detail: *detail };
        hold(16, listed == Some(&right), || {
            format!("{what} is invalid with detail {detail} (5.1), and was answered {listed:?}")
        })?;
    }
    for index in [8, 9] {
        let code =
            record.exceptions.iter().find(|exception| exception.index == index).map(|listed| listed.code);
        hold(16, code != Some(OutcomeCode::Invalid), || {
            "an id of 64 characters, or an RSSI of -100, was called invalid".to_owned()
        })?;
    }
    for (base, sequence, code) in
        [(now_us() + LONG_AHEAD_US, 2, OutcomeCode::ClockSkew), (0, 3, OutcomeCode::TooOld)]
    {
        let frame =
            bytes::sightings(sequence, TimeBase::Utc(base), UNKNOWN_BEACON, &[sighting(b"conformance", 0)])?;
        let record = player.ask(16, &frame)?;
        let found = record.exceptions.first().map(|listed| listed.code);
        hold(16, found == Some(code), || {
            format!("a sighting of {base} us since 1970 is {}, and was answered {found:?}", code.label())
        })?;
    }
    Ok(())
}

/// As many sightings as the welcome allows, all of them exceptions.
pub(super) fn a_long_record_fits(scene: &mut Scene) -> Outcome {
    let (mut player, welcome) = Player::open(scene)?;
    let room = if scene.over_udp {
        usize::from(welcome.max_datagram_bytes) - 20
    } else {
        frame_bytes(welcome.max_frame_bytes)
    };
    let most = ((room - 52) / 7).min(welcome.max_sightings.into()).min(MAX_SIGHTINGS);
    let sightings = vec![sighting(b"", 0); most];
    let frame = bytes::sightings(1, TimeBase::Utc(now_us()), UNKNOWN_BEACON, &sightings)?;
    let record = player.ask(18, &frame)?;
    hold(16, record.exceptions.len() == most, || {
        format!(
            "{} exceptions are listed for {most} sightings without a customer id",
            record.exceptions.len()
        )
    })
}

/// Preferences of each kind of fault.
pub(super) fn preferences_are_answered(scene: &mut Scene) -> Outcome {
    let (mut player, _) = Player::open(scene)?;
    let customer = scene.customer();
    let now = TimeBase::Utc(now_us());
    let long_key = "k".repeat(65);
    let late = TimeBase::Utc(now_us() + LONG_AHEAD_US);
    type Case<'c> = (TimeBase, &'c [u8], &'c [u8], &'c [u8], u8, &'c str);
    let cases: [Case<'_>; 7] = [
        (now, b"", b"key", b"value", 1, "an empty customer id"),
        (now, &[0xFF], b"key", b"value", 4, "a customer id that is not UTF-8"),
        (now, customer.as_bytes(), b"", b"value", 6, "an empty key"),
        (now, customer.as_bytes(), long_key.as_bytes(), b"value", 6, "a key of 65 characters"),
        (now, customer.as_bytes(), b"key", &[0xFF], 7, "a value that is not UTF-8"),
        (now, customer.as_bytes(), b"key", b"a\0b", 7, "a value with U+0000"),
        (late, customer.as_bytes(), b"key", b"value", 8, "an updated_at long ahead"),
    ];
    for ((updated_at, id, key, value, detail, what), sequence) in cases.into_iter().zip(1..) {
        let record = player.ask(16, &bytes::preferences(sequence, updated_at, id, &[(key, value)])?)?;
        let right = [Exception { index: 0, code: OutcomeCode::Invalid, detail }];
        hold(16, record.status == RecordStatus::PreferencesInvalid && record.exceptions == right, || {
            format!(
                "{what} is status 3 with detail {detail}; answered {:?} {:?}",
                record.status, record.exceptions
            )
        })?;
    }
    let good = player.ask(16, &scene.durable(8, b"accepted")?)?;
    let fits = matches!(good.status, RecordStatus::PreferencesAccepted | RecordStatus::PreferencesUndecided);
    hold(16, fits, || format!("sound preferences were answered {:?} {:?}", good.status, good.exceptions))
}

/// With a registered beacon: a customer's sightings a second apart, in frames sent at once.
pub(super) fn decided_in_the_order_of_arrival(scene: &mut Scene) -> Outcome {
    let Some(beacon) = scene.beacon else {
        return Err(not_tried("only sightings of a registered beacon show an order: name one with --beacon"));
    };
    let (mut player, _) = Player::open(scene)?;
    let customer = scene.customer();
    let (now, mut frames) = (now_us(), Vec::new());
    for (sequence, offset_us) in (1..=4).zip([0, 1_000_000, 2_000_000, 3_000_000]) {
        let pair = [sighting(customer.as_bytes(), offset_us), sighting(customer.as_bytes(), offset_us + 1)];
        frames.push(bytes::sightings(sequence, TimeBase::Utc(now - 10_000_000), beacon, &pair)?);
    }
    for frame in &frames {
        if !scene.over_udp {
            player.send(frame)?;
        }
    }
    for (frame, sequence) in frames.iter().zip(1..) {
        let record = if scene.over_udp { player.ask(48, frame)? } else { player.record(48, sequence)? };
        let count =
            |code: OutcomeCode| record.counts.get(usize::from(code.byte())).copied().unwrap_or_default();
        let (identified, duplicates) = (count(OutcomeCode::Identified), count(OutcomeCode::Duplicate));
        if identified + duplicates != 2 {
            return Err(not_tried(format!(
                "the beacon named does not identify: strong sightings of it are {:?}",
                record.exceptions.first().map(|listed| listed.code.label())
            )));
        }
        let first = u16::from(sequence == 1);
        hold(48, identified == first, || {
            format!(
                "frame {sequence} of a customer first seen in frame 1 has {identified} sightings identified"
            )
        })?;
    }
    Ok(())
}

/// Longer than the welcome allows.
pub(super) fn longer_than_the_welcome_allows(scene: &mut Scene) -> Outcome {
    let (mut player, welcome) = Player::open(scene)?;
    let limit = if scene.over_udp {
        usize::from(welcome.max_datagram_bytes) - 20
    } else {
        frame_bytes(welcome.max_frame_bytes)
    };
    let many = ((limit - 52) / 40 + 2).min(MAX_SIGHTINGS);
    let long = bytes::sightings(
        1,
        TimeBase::Utc(now_us()),
        UNKNOWN_BEACON,
        &vec![sighting(b"a customer of a frame that is too long", 0); many],
    );
    match long {
        Ok(long) if long.len() > limit && usize::from(welcome.max_sightings) >= many => {
            player.send(&long)?;
            player.refused(14, RefusalCode::Oversize, "a frame longer than the welcome allows")?;
        }
        _ if usize::from(welcome.max_sightings) < MAX_SIGHTINGS => {
            let many = usize::from(welcome.max_sightings) + 1;
            let frame =
                bytes::sightings(1, TimeBase::Utc(now_us()), UNKNOWN_BEACON, &vec![sighting(b"", 0); many])?;
            player.send(&frame)?;
            player.refused(14, RefusalCode::Oversize, "more sightings than the welcome allows")?;
        }
        _ => scene.leave_unsaid(14, "the welcome's limits are the format's own, which R3 is about"),
    }
    Ok(())
}

fn frame_bytes(max_frame_bytes: u32) -> usize {
    usize::try_from(max_frame_bytes).unwrap_or(usize::MAX)
}

/// Frames and a goodbye at once.
pub(super) fn goodbye_is_answered_to_the_end(scene: &mut Scene) -> Outcome {
    let (mut player, _) = Player::open(scene)?;
    let goodbye = Goodbye { reason: GoodbyeReason::Leaving, deadline_ms: 5_000 };
    let goodbye = bytes::encoded(|buffer| goodbye.encode(buffer))?;
    for sequence in 1..=3 {
        player.send(&scene.durable(sequence, b"before goodbye")?)?;
    }
    player.send(&goodbye)?;
    let mut missing = vec![1, 2, 3];
    while !missing.is_empty() {
        match player.next(35, &format!("the records of frames {missing:?}, sent before goodbye"))? {
            Said::Ack(ack) => {
                missing.retain(|sequence| !ack.records.iter().any(|record| record.sequence == *sequence))
            }
            Said::Goodbye(_) => {}
            other => return Err(broken(35, format!("after goodbye it sent {}", other.in_words()))),
        }
    }
    if scene.over_udp { Ok(()) } else { player.closes(35, "goodbye") }
}

/// A refusal must not be answered with one.
pub(super) fn no_refusal_of_a_refusal(scene: &mut Scene) -> Outcome {
    let refusal =
        Refusal { sequence: 0, code: RefusalCode::Malformed, retry_after_ms: 0, text: "from a gateway" };
    let refusal = bytes::encoded(|buffer| refusal.encode(buffer))?;
    let (mut player, _) = Player::open(scene)?;
    player.send(&refusal)?;
    if scene.over_udp {
        for length in [0, 1, 19] {
            player.send_bytes(&bytes::datagram(player.session, u64::MAX, b"")[..length])?;
        }
        player.ping(27)?;
        player.session = 0;
        player.send(&refusal)?;
        let heard = player.next_until(Instant::now() + scene.patience / 20)?;
        return hold(27, matches!(heard, Heard::Silence), || {
            format!("a refusal in no session was answered with {heard:?}")
        });
    }
    loop {
        match player.next_until(Instant::now() + scene.patience / 10)? {
            Heard::Bytes(Said::Refusal(refused)) => {
                return Err(broken(27, format!("a refusal was answered with {}", refused.code.label())));
            }
            Heard::Bytes(_) => {}
            Heard::Ended | Heard::Silence | Heard::Unsound(_) => return Ok(()),
        }
    }
}

/// Over TCP: far more frames at once than are read at once, while nobody reads the answers.
pub(super) fn a_flood_is_not_called_busy(scene: &mut Scene) -> Outcome {
    let (mut player, welcome) = Player::open(scene)?;
    let frames = u64::from(welcome.window_frames.min(128));
    for sequence in 1..=frames {
        let room = (welcome.max_frame_bytes.saturating_sub(52) / 7).min(512);
        let count = usize::try_from(room).unwrap_or(usize::MAX).min(welcome.max_sightings.into());
        let sightings = vec![sighting(b"", 0); count];
        let frame = bytes::sightings(sequence, TimeBase::Utc(now_us()), UNKNOWN_BEACON, &sightings)?;
        player.send(&frame)?;
    }
    for sequence in 1..=frames {
        player.record(25, sequence)?;
    }
    Ok(())
}
