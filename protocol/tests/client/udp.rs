//! Over UDP: lost, repeated and reordered datagrams, busy, forgotten sessions.

use std::time::Duration;

use beacon_protocol::client::{BackoffRange, Event, Gateway, GatewayConfig};
use beacon_protocol::{Goodbye, GoodbyeReason, OutcomeCode, Pong, RefusalCode};
use tokio::time::Instant;

use crate::daemon::{EPOCH, HELLO_WAIT, Received, SESSION, UdpDaemon, all, refusal};
use crate::{BASE, PATIENCE, answer, event, frame};

async fn connected(daemon: &mut UdpDaemon, config: GatewayConfig) -> Gateway {
    let (gateway, _) = tokio::join!(Gateway::connect(config), daemon.welcome());
    gateway.unwrap()
}

/// At least so long since `start`; a busy machine may take longer.
fn assert_waited(start: Instant, least: Duration) {
    let slack = Duration::from_millis(5);
    assert!(start.elapsed() + slack >= least, "{:?} instead of {least:?}", start.elapsed());
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A round trip short enough that the timeout is at its least, 200 ms.
async fn warm_up(gateway: &mut Gateway, daemon: &mut UdpDaemon) {
    for sequence in 1..=20 {
        gateway.send(frame(BASE, &["w"]), 0).await.unwrap();
        assert_eq!(daemon.next().await.batch().sequence, sequence);
        daemon.ack(sequence, 0, &[all(sequence, OutcomeCode::Identified, 1)]).await;
        answer(gateway).await;
    }
}

#[tokio::test]
async fn the_hello_is_repeated_as_it_was_until_the_welcome() {
    let mut daemon = UdpDaemon::bind().await;
    let config = daemon.config();
    let serve = async {
        let (first, started) = (daemon.next().await, Instant::now());
        assert_eq!(daemon.next().await, first);
        assert_waited(started, HELLO_WAIT / 2);
        assert_eq!(daemon.next().await, first);
        assert_waited(started, HELLO_WAIT / 2 + HELLO_WAIT);
        daemon.welcome().await;
        let headers: Vec<_> =
            daemon.headers.iter().map(|header| (header.session, header.packet_number)).collect();
        assert_eq!(headers, [(0, 1), (0, 2), (0, 3), (0, 4)]);
    };
    let (gateway, ()) = tokio::join!(Gateway::connect(config), serve);
    gateway.unwrap();
}

#[tokio::test]
async fn busy_puts_the_next_hello_off_and_brings_none_forward() {
    let mut daemon = UdpDaemon::bind().await;
    let config = daemon.config();
    let serve = async {
        let session = std::mem::take(&mut daemon.session);
        for (retry_after_ms, least) in [(0, HELLO_WAIT * 3 / 4), (800, ms(800))] {
            daemon.next().await.hello();
            let started = Instant::now();
            daemon.send(|buffer| refusal(0, RefusalCode::Busy, retry_after_ms).encode(buffer)).await;
            // One datagram's only: the hello goes on.
            daemon.send(|buffer| refusal(0, RefusalCode::SequenceGap, 0).encode(buffer)).await;
            let again = daemon.next().await;
            assert_waited(started, least);
            assert!(matches!(again, Received::Hello(_)), "{again:?}");
        }
        daemon.session = session;
        daemon.welcome().await;
    };
    let (gateway, ()) = tokio::join!(Gateway::connect(config), serve);
    assert_eq!(gateway.unwrap().finish(PATIENCE).await.unwrap().sessions, 1);
}

#[tokio::test]
async fn a_session_with_a_gap_is_left_with_goodbye_and_resumed() {
    let mut daemon = UdpDaemon::bind().await;
    let config = daemon.config();
    let mut gateway = connected(&mut daemon, config).await;
    gateway.send(frame(BASE, &["a"]), 0).await.unwrap();
    let first = daemon.next().await;
    daemon.send(|buffer| refusal(1, RefusalCode::SequenceGap, 0).encode(buffer)).await;
    assert_eq!(daemon.next().await, Received::Goodbye(GoodbyeReason::Leaving));
    daemon.session ^= 1;
    let hello = daemon.welcome().await;
    assert_eq!((hello.boot_epoch, hello.first_unacked), (EPOCH, 1));
    assert_eq!(daemon.next().await, first);
    daemon.ack(1, 0, &[all(1, OutcomeCode::Identified, 1)]).await;
    assert_eq!(gateway.finish(PATIENCE).await.unwrap().sessions, 2);
}

#[tokio::test]
async fn a_draining_daemon_is_asked_whether_it_has_more_to_say() {
    let mut daemon = UdpDaemon::bind().await;
    let config = daemon.config();
    let mut gateway = connected(&mut daemon, config).await;
    gateway.send(frame(BASE, &["a"]), 0).await.unwrap();
    let first = daemon.next().await;
    let goodbye = Goodbye { reason: GoodbyeReason::Draining, deadline_ms: 600_000 };
    daemon.send(|buffer| goodbye.encode(buffer)).await;
    let started = Instant::now();
    let Received::Ping(token) = daemon.next().await else { panic!("not a ping") };
    daemon.send(|buffer| Pong { token, time_us: 0 }.encode(buffer)).await;
    assert!(matches!(daemon.next().await, Received::Ping(_)));
    assert!(started.elapsed() < PATIENCE / 2, "{:?}", started.elapsed());
    daemon.send(|buffer| refusal(0, RefusalCode::Draining, 0).encode(buffer)).await;
    daemon.session ^= 1;
    daemon.welcome().await;
    assert_eq!(daemon.next().await, first);
    daemon.ack(1, 0, &[all(1, OutcomeCode::Identified, 1)]).await;
    assert_eq!(gateway.finish(PATIENCE).await.unwrap().sessions, 2);
}

#[tokio::test]
async fn a_lost_frame_is_repeated_by_a_timeout_that_doubles() {
    let mut daemon = UdpDaemon::bind().await;
    let config = daemon.config();
    let mut gateway = connected(&mut daemon, config).await;
    warm_up(&mut gateway, &mut daemon).await;
    gateway.send(frame(BASE, &["a"]), 3).await.unwrap();
    let first = daemon.next().await;
    for least in [ms(200), ms(400), ms(800)] {
        let sent = Instant::now();
        assert_eq!(daemon.next().await, first);
        assert_waited(sent, least);
    }
    daemon.ack(21, 0, &[all(21, OutcomeCode::Identified, 1)]).await;
    let answer = answer(&mut gateway).await;
    assert_eq!((answer.tag, answer.transmissions), (3, 4));
    let numbers: Vec<_> = daemon.headers.iter().map(|header| header.packet_number).collect();
    assert!(numbers.is_sorted_by(|earlier, later| earlier < later), "{numbers:?}");
    assert!(daemon.headers.iter().skip(1).all(|header| header.session == SESSION));
    let summary = gateway.finish(PATIENCE).await.unwrap();
    assert_eq!((summary.decided(), summary.repeats_sent), (21, 3));
}

#[tokio::test]
async fn a_frame_the_bitmap_tells_of_is_repeated_slowly_only() {
    let mut daemon = UdpDaemon::bind().await;
    let config = daemon.config();
    let mut gateway = connected(&mut daemon, config).await;
    gateway.send(frame(BASE, &["a"]), 0).await.unwrap();
    gateway.send(frame(BASE, &["b"]), 0).await.unwrap();
    let (lost, arrived) = (daemon.next().await, daemon.next().await);
    daemon.ack(0, 0b10, &[]).await;
    let started = Instant::now();
    assert_eq!(daemon.next().await, lost);
    daemon.ack(0, 0b11, &[]).await;
    let mut repeats = Vec::new();
    for _ in 0..2 {
        repeats.push(daemon.next().await);
        assert_waited(started, ms(1_900));
    }
    assert!(repeats.contains(&arrived), "{repeats:?}");
    drop(gateway);
}

#[tokio::test]
async fn acks_reordered_and_repeated_give_one_answer_a_frame() {
    let mut daemon = UdpDaemon::bind().await;
    let config = daemon.config();
    let mut gateway = connected(&mut daemon, config).await;
    for tag in 0..3 {
        gateway.send(frame(BASE, &["a"]), tag).await.unwrap();
    }
    for _ in 0..3 {
        daemon.next().await.batch();
    }
    let record = |sequence| all(sequence, OutcomeCode::Identified, 1);
    daemon.ack(3, 0, &[record(3)]).await;
    daemon.ack(1, 0b10, &[record(1)]).await;
    daemon.ack(3, 0, &[record(3), record(2)]).await;
    daemon.ack(3, 0, &[record(2), record(1)]).await;
    let mut sequences = Vec::new();
    for _ in 0..3 {
        sequences.push(answer(&mut gateway).await.sequence);
    }
    assert_eq!(sequences, [3, 1, 2]);
    let summary = gateway.finish(PATIENCE).await.unwrap();
    assert_eq!((summary.decided(), summary.sightings_sent), (3, 3));
}

#[tokio::test]
async fn a_frame_answered_without_its_record_is_asked_for_again() {
    let mut daemon = UdpDaemon::bind().await;
    let config = daemon.config();
    let mut gateway = connected(&mut daemon, config).await;
    warm_up(&mut gateway, &mut daemon).await;
    gateway.send(frame(BASE, &["a"]), 0).await.unwrap();
    let first = daemon.next().await;
    daemon.ack(21, 0, &[]).await;
    for _ in 0..3 {
        let sent = Instant::now();
        assert_eq!(daemon.next().await, first);
        assert_waited(sent, ms(200));
    }
    daemon.ack(21, 0, &[all(21, OutcomeCode::Duplicate, 1)]).await;
    assert_eq!(answer(&mut gateway).await.counts[9], 1);
}

#[tokio::test]
async fn a_busy_daemon_is_given_the_time_it_asks_for() {
    let mut daemon = UdpDaemon::bind().await;
    let config = daemon.config();
    let mut gateway = connected(&mut daemon, config).await;
    warm_up(&mut gateway, &mut daemon).await;
    gateway.send(frame(BASE, &["a"]), 0).await.unwrap();
    let first = daemon.next().await;
    daemon.send(|buffer| refusal(21, RefusalCode::Busy, 500).encode(buffer)).await;
    let started = Instant::now();
    assert_eq!(daemon.next().await, first);
    assert_waited(started, ms(500));
    let repeated = Instant::now();
    assert_eq!(daemon.next().await, first);
    assert_waited(repeated, ms(200));
    daemon.ack(21, 0, &[all(21, OutcomeCode::Identified, 1)]).await;
    answer(&mut gateway).await;
    assert_eq!(gateway.finish(PATIENCE).await.unwrap().refusals, 1);
}

#[tokio::test]
async fn a_forgotten_session_is_opened_again_and_everything_unfinished_sent() {
    let mut daemon = UdpDaemon::bind().await;
    let slow = BackoffRange { first: PATIENCE, most: PATIENCE };
    let config = GatewayConfig { reconnect_backoff: slow, ..daemon.config() };
    let mut gateway = connected(&mut daemon, config).await;
    warm_up(&mut gateway, &mut daemon).await;
    for _ in 0..2 {
        gateway.send(frame(BASE, &["a"]), 0).await.unwrap();
    }
    let before = [daemon.next().await, daemon.next().await];
    daemon.send(|buffer| refusal(21, RefusalCode::UnknownSession, 0).encode(buffer)).await;
    let started = Instant::now();
    daemon.session = SESSION + 1;
    let hello = daemon.welcome().await;
    assert!(started.elapsed() < PATIENCE / 4, "{:?}", started.elapsed());
    assert_eq!(hello.first_unacked, 21);
    assert_eq!([daemon.next().await, daemon.next().await], before);
    assert_eq!(daemon.headers.last().map(|header| header.session), Some(SESSION + 1));
    let records = [all(21, OutcomeCode::Identified, 1), all(22, OutcomeCode::Identified, 1)];
    daemon.ack(22, 0, &records).await;
    let resumed = event(&mut gateway, |event| match event {
        Event::Connected { welcome, resumed: true, .. } => Some(welcome.session),
        _ => None,
    });
    assert_eq!(resumed.await, SESSION + 1);
    assert_eq!(gateway.finish(PATIENCE).await.unwrap().decided(), 22);
}

#[tokio::test]
async fn datagrams_of_another_session_are_dropped() {
    let mut daemon = UdpDaemon::bind().await;
    let config = daemon.config();
    let mut gateway = connected(&mut daemon, config).await;
    gateway.send(frame(BASE, &["a"]), 0).await.unwrap();
    daemon.next().await.batch();
    daemon.session = 5;
    daemon.ack(1, 0, &[all(1, OutcomeCode::Duplicate, 1)]).await;
    daemon.send(|buffer| refusal(0, RefusalCode::GatewayDisabled, 0).encode(buffer)).await;
    daemon.session = SESSION;
    daemon.ack(1, 0, &[all(1, OutcomeCode::Identified, 1)]).await;
    assert_eq!(answer(&mut gateway).await.counts[10], 1);
    let summary = gateway.finish(PATIENCE).await.unwrap();
    assert_eq!((summary.datagrams_dropped, summary.refusals), (2, 0));
}

#[tokio::test]
async fn frames_beyond_the_window_wait_for_the_lowest() {
    let mut daemon = UdpDaemon::bind().await;
    let config = GatewayConfig { max_in_flight_frames: 100, ..daemon.config() };
    let mut gateway = connected(&mut daemon, config).await;
    for tag in 0..70 {
        gateway.send(frame(BASE, &["a"]), tag).await.unwrap();
    }
    for sequence in 1..=64 {
        assert_eq!(daemon.next().await.batch().sequence, sequence);
    }
    // All but the first are answered: nothing beyond the first plus the window may be sent.
    let records: Vec<_> = (2..=64).map(|sequence| all(sequence, OutcomeCode::Identified, 1)).collect();
    daemon.ack(0, u64::MAX, &records).await;
    daemon.assert_nothing_more().await;
    daemon.ack(64, 0, &[all(1, OutcomeCode::Identified, 1)]).await;
    for sequence in 65..=70 {
        assert_eq!(daemon.next().await.batch().sequence, sequence);
    }
    drop(gateway);
}

#[tokio::test]
async fn a_lossy_path_loses_and_doubles_nothing_in_the_account() {
    let mut daemon = UdpDaemon::bind().await;
    let config = daemon.config();
    let (sender, mut events) = connected(&mut daemon, config).await.into_split();
    let sending = tokio::spawn(async move {
        for tag in 0..80 {
            sender.send(frame(BASE, &["a", "b"]), tag).await.unwrap();
        }
    });
    let serving = tokio::spawn(async move {
        let mut answered = std::collections::BTreeSet::new();
        let mut seed = 12_345_u64;
        let mut chance = move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % 100
        };
        loop {
            let batch = match daemon.next().await {
                Received::Batch(batch) => batch,
                Received::Goodbye(_) => return answered.len(),
                _ => continue,
            };
            if chance() < 10 {
                continue;
            }
            answered.insert(batch.sequence);
            let cumulative = (1..).take_while(|sequence| answered.contains(sequence)).last().unwrap_or(0);
            let ahead = answered.range(cumulative + 1..).filter(|sequence| **sequence - cumulative <= 64);
            let bitmap = ahead.fold(0, |bits, sequence| bits | 1_u64 << (sequence - cumulative - 1));
            for _ in 0..2 {
                if chance() >= 30 {
                    daemon.ack(cumulative, bitmap, &[all(batch.sequence, OutcomeCode::Identified, 2)]).await;
                }
            }
        }
    });
    let mut tags = Vec::new();
    while let Some(event) = events.next_event().await.unwrap() {
        if let Event::Answered(answer) = event {
            tags.push(answer.tag);
        }
    }
    sending.await.unwrap();
    let summary = events.join().await.unwrap();
    assert_eq!((summary.decided(), summary.sightings_sent, summary.unanswered_frames), (160, 160, 0));
    assert!(summary.repeats_sent > 3, "{} repeats", summary.repeats_sent);
    tags.sort_unstable();
    assert_eq!(tags, (0..80).collect::<Vec<_>>());
    assert_eq!(serving.await.unwrap(), 80);
}
