//! Over TCP: window, resume, undecided, silence, drain, refusals.

use std::time::Duration;

use beacon_protocol::client::{ClientError, Event, Gateway, GatewayConfig, OutgoingFrame};
use beacon_protocol::{
    AckLevel, Exception, GatewayStatus, Goodbye, GoodbyeReason, OutcomeCode, Ping, Pong, RecordStatus,
    TimeBase, Welcome,
};
use tokio::time::Instant;

use crate::daemon::{
    Connection, EPOCH, IDLE_TIMEOUT, PONG_TIMEOUT, Received, TcpDaemon, UNDECIDED_WAIT, all, plain,
    undecided, welcome,
};
use crate::{BASE, PATIENCE, answer, event, frame};

const OPEN: Exception = Exception { index: 1, code: OutcomeCode::Undecided, detail: 2 };

pub(crate) async fn connected(daemon: &TcpDaemon, config: GatewayConfig) -> (Gateway, Connection) {
    let (gateway, (connection, hello)) = tokio::join!(Gateway::connect(config), daemon.welcome());
    assert_eq!((hello.boot_epoch, hello.first_unacked), (EPOCH, 1));
    (gateway.unwrap(), connection)
}

/// As [`connected`], with the short idle timeout.
async fn impatient(daemon: &TcpDaemon) -> (Gateway, Connection) {
    let idle_timeout_ms = u32::try_from(IDLE_TIMEOUT.as_millis()).unwrap();
    let serve = async {
        let mut connection = daemon.accept().await;
        let hello = connection.next().await.hello();
        connection.send(|buffer| Welcome { idle_timeout_ms, ..welcome(&hello) }.encode(buffer)).await;
        connection
    };
    let (gateway, connection) = tokio::join!(Gateway::connect(daemon.config()), serve);
    (gateway.unwrap(), connection)
}

#[tokio::test]
async fn frames_are_answered_with_their_tags_and_add_up() {
    let daemon = TcpDaemon::bind().await;
    let config = GatewayConfig { ack_level: Some(AckLevel::Journal), ..daemon.config() };
    let (mut gateway, mut connection) = connected(&daemon, config).await;
    gateway.send(frame(BASE, &["a", "b"]), 40).await.unwrap();
    gateway.send(frame(BASE, &["c"]), 41).await.unwrap();
    let batches = connection.batches(2).await;
    assert_eq!((batches[0].sequence, batches[1].sequence), (1, 2));
    connection.ack(2, &[all(1, OutcomeCode::Identified, 2), all(2, OutcomeCode::LowConfidence, 1)]).await;
    let (first, second) = (answer(&mut gateway).await, answer(&mut gateway).await);
    assert_eq!((first.sequence, first.tag, first.counts[10], first.transmissions), (1, 40, 2, 1));
    assert_eq!((second.sequence, second.tag, second.counts[8]), (2, 41, 1));
    assert!(first.answered_at >= first.sent_at);
    let (summary, goodbye) = tokio::join!(gateway.finish(PATIENCE), connection.next());
    let summary = summary.unwrap();
    assert_eq!(goodbye, Received::Goodbye(GoodbyeReason::Leaving));
    assert_eq!((summary.frames_sent, summary.sightings_sent, summary.decided()), (2, 3, 3));
    assert_eq!((summary.unanswered_frames, summary.sessions, summary.repeats_sent), (0, 1, 0));
}

#[tokio::test]
async fn a_cut_session_resumes_at_the_lowest_frame_without_a_record() {
    let daemon = TcpDaemon::bind().await;
    let (mut gateway, mut connection) = connected(&daemon, daemon.config()).await;
    for id in ["a", "b", "c"] {
        gateway.send(frame(BASE, &[id]), 0).await.unwrap();
    }
    let before = connection.batches(3).await;
    connection.ack(1, &[all(1, OutcomeCode::Identified, 1), all(3, OutcomeCode::Duplicate, 1)]).await;
    assert_eq!((answer(&mut gateway).await.sequence, answer(&mut gateway).await.sequence), (1, 3));
    drop(connection);
    let (mut connection, hello) = daemon.welcome().await;
    assert_eq!((hello.boot_epoch, hello.first_unacked), (EPOCH, 2));
    // What has its record already is sent again too: a session has no gaps.
    assert_eq!(connection.batches(2).await, before[1..]);
    connection.ack(3, &[all(2, OutcomeCode::Identified, 1), plain(3, RecordStatus::Repeat)]).await;
    let second = answer(&mut gateway).await;
    assert_eq!((second.sequence, second.transmissions), (2, 2));
    let summary = gateway.finish(PATIENCE).await.unwrap();
    assert_eq!((summary.decided(), summary.repeat_sightings), (3, 0));
    assert_eq!((summary.sessions, summary.repeats_sent), (2, 2));
}

#[tokio::test]
async fn a_repeat_whose_record_is_lost_counts_as_durable() {
    let daemon = TcpDaemon::bind().await;
    let (mut gateway, mut connection) = connected(&daemon, daemon.config()).await;
    gateway.send(frame(BASE, &["a", "b"]), 0).await.unwrap();
    connection.batches(1).await;
    drop(connection);
    let (mut connection, _) = daemon.welcome().await;
    connection.batches(1).await;
    connection.ack(1, &[plain(1, RecordStatus::Repeat)]).await;
    assert_eq!(answer(&mut gateway).await.status, RecordStatus::Repeat);
    let summary = gateway.finish(PATIENCE).await.unwrap();
    assert_eq!((summary.sightings_sent, summary.decided(), summary.repeat_sightings), (2, 0, 2));
}

#[tokio::test]
async fn ages_go_on_while_a_frame_waits() {
    let daemon = TcpDaemon::bind().await;
    let (mut gateway, mut connection) = connected(&daemon, daemon.config()).await;
    let made_at = Instant::now();
    gateway.send(frame(TimeBase::Age(500), &["a"]), 0).await.unwrap();
    let first = connection.batches(1).await.remove(0);
    drop(connection);
    let (mut connection, _) = daemon.welcome().await;
    let again = connection.batches(1).await.remove(0);
    let (TimeBase::Age(before), TimeBase::Age(after)) = (first.base, again.base) else { panic!("no ages") };
    let most_us = 500 + i64::try_from(made_at.elapsed().as_micros()).unwrap();
    assert!(before >= 500 && after <= most_us, "{before}, then {after} of {most_us}");
    assert!(after >= before + 10_000, "{before}, then {after} although the client had to wait");
    assert_eq!(again.identity_checksum, first.identity_checksum);
    drop(gateway);
}

#[tokio::test]
async fn undecided_sightings_go_out_again_in_a_new_frame_after_a_wait() {
    let daemon = TcpDaemon::bind().await;
    let (mut gateway, mut connection) = connected(&daemon, daemon.config()).await;
    gateway.send(frame(BASE, &["a", "b", "c"]), 5).await.unwrap();
    connection.batches(1).await;
    let answered_at = Instant::now();
    connection.ack(1, &[undecided(1, 3, &[OPEN])]).await;
    let first = answer(&mut gateway).await;
    assert_eq!((first.counts[0], first.counts[10], first.to_be_resent), (1, 2, 1));
    // Frames with news are not held up by it.
    gateway.send(frame(BASE, &["d"]), 6).await.unwrap();
    assert_eq!(connection.batches(1).await[0].customer_ids, [b"d".to_vec()]);
    let again = connection.batches(1).await.remove(0);
    assert_eq!((again.sequence, again.base, again.customer_ids), (3, BASE, vec![b"b".to_vec()]));
    assert!(answered_at.elapsed() >= UNDECIDED_WAIT / 2, "{:?}", answered_at.elapsed());
    connection.ack(3, &[all(2, OutcomeCode::Duplicate, 1), all(3, OutcomeCode::Identified, 1)]).await;
    answer(&mut gateway).await;
    let last = answer(&mut gateway).await;
    assert_eq!((last.sequence, last.tag, last.sighting_count), (3, 5, 1));
    let summary = gateway.finish(PATIENCE).await.unwrap();
    assert_eq!((summary.sightings_sent, summary.decided(), summary.undecided_resent), (4, 4, 1));
    assert_eq!(summary.counts[0], 1);
}

#[tokio::test]
async fn undecided_sightings_are_only_reported_when_so_set() {
    let daemon = TcpDaemon::bind().await;
    let config = GatewayConfig { resend_undecided: false, ..daemon.config() };
    let (mut gateway, mut connection) = connected(&daemon, config).await;
    gateway.send(frame(BASE, &["a", "b"]), 5).await.unwrap();
    connection.batches(1).await;
    connection.ack(1, &[undecided(1, 2, &[OPEN])]).await;
    let only = answer(&mut gateway).await;
    assert_eq!((only.exceptions, only.to_be_resent), (vec![OPEN], 0));
    let summary = gateway.finish(PATIENCE).await.unwrap();
    assert_eq!((summary.decided(), summary.undecided_given_up, summary.unanswered_sightings), (1, 1, 0));
}

#[tokio::test]
async fn no_more_frames_are_on_their_way_than_window_and_setting_allow() {
    for (window_frames, setting, allowed) in [(2, 64, 2_u64), (64, 3, 3), (64, 1, 1)] {
        let daemon = TcpDaemon::bind().await;
        let config = GatewayConfig { max_in_flight_frames: setting, ..daemon.config() };
        let serve = async {
            let mut connection = daemon.accept().await;
            let hello = connection.next().await.hello();
            connection.send(|buffer| Welcome { window_frames, ..welcome(&hello) }.encode(buffer)).await;
            connection
        };
        let (gateway, mut connection) = tokio::join!(Gateway::connect(config), serve);
        let (sender, mut events) = gateway.unwrap().into_split();
        let sending = tokio::spawn(async move {
            for tag in 0..20 {
                sender.send(frame(BASE, &["a"]), tag).await.unwrap();
            }
        });
        for sequence in 1..=20 {
            let reached = (sequence + allowed - 1).min(20);
            let new = if sequence == 1 { reached } else { u64::from(sequence + allowed <= 21) };
            let batches = connection.batches(usize::try_from(new).unwrap()).await;
            assert!(batches.last().is_none_or(|batch| batch.sequence == reached));
            connection.assert_nothing_more().await;
            connection.ack(sequence, &[all(sequence, OutcomeCode::Identified, 1)]).await;
        }
        sending.await.unwrap();
        while events.next_event().await.unwrap().is_some() {}
        assert_eq!(events.join().await.unwrap().decided(), 20);
    }
}

#[tokio::test]
async fn a_daemon_that_answers_pings_is_not_left_because_acks_are_late() {
    let daemon = TcpDaemon::bind().await;
    let (mut gateway, mut connection) = impatient(&daemon).await;
    gateway.send(frame(BASE, &["a"]), 0).await.unwrap();
    connection.batches(1).await;
    let started = Instant::now();
    for _ in 0..5 {
        let Received::Ping(token) = connection.next().await else { panic!("no ping") };
        connection.send(|buffer| Pong { token, time_us: 1 }.encode(buffer)).await;
    }
    assert!(started.elapsed() >= PONG_TIMEOUT * 2, "{:?} for 5 pings", started.elapsed());
    connection.ack(1, &[all(1, OutcomeCode::Identified, 1)]).await;
    let late = answer(&mut gateway).await;
    assert!(late.answered_at - late.sent_at >= PONG_TIMEOUT * 2);
    assert_eq!(gateway.finish(PATIENCE).await.unwrap().sessions, 1);
}

#[tokio::test]
async fn a_silent_daemon_is_left_for_a_new_session() {
    let daemon = TcpDaemon::bind().await;
    let (mut gateway, mut silent) = impatient(&daemon).await;
    gateway.send(frame(BASE, &["a"]), 0).await.unwrap();
    silent.batches(1).await;
    let started = Instant::now();
    let (mut connection, hello) = daemon.welcome().await;
    let least = IDLE_TIMEOUT / 3 + PONG_TIMEOUT;
    assert!(started.elapsed() >= least - Duration::from_millis(50), "{:?}", started.elapsed());
    assert_eq!(hello.first_unacked, 1);
    connection.batches(1).await;
    connection.ack(1, &[all(1, OutcomeCode::Identified, 1)]).await;
    answer(&mut gateway).await;
    drop(silent);
}

#[tokio::test]
async fn pings_of_the_daemon_are_answered() {
    let daemon = TcpDaemon::bind().await;
    let (gateway, mut connection) = connected(&daemon, daemon.config()).await;
    connection.send(|buffer| Ping { token: 99, time_us: 5 }.encode(buffer)).await;
    assert_eq!(connection.next().await, Received::Pong(99));
    drop(gateway);
    assert_eq!(connection.next().await, Received::Goodbye(GoodbyeReason::Leaving));
    assert_eq!(connection.next().await, Received::Closed);
}

#[tokio::test]
async fn a_draining_daemon_gets_nothing_new_and_may_answer_until_its_deadline() {
    let daemon = TcpDaemon::bind().await;
    let (mut gateway, mut connection) = connected(&daemon, daemon.config()).await;
    gateway.send(frame(BASE, &["a"]), 0).await.unwrap();
    connection.batches(1).await;
    let goodbye = Goodbye { reason: GoodbyeReason::Draining, deadline_ms: 4_000 };
    connection.send(|buffer| goodbye.encode(buffer)).await;
    let deadline = event(&mut gateway, |event| match event {
        Event::Draining { deadline } => Some(*deadline),
        _ => None,
    });
    assert_eq!(deadline.await, Duration::from_secs(4));
    gateway.send(frame(BASE, &["b"]), 0).await.unwrap();
    connection.assert_nothing_more().await;
    connection.ack(1, &[all(1, OutcomeCode::Identified, 1)]).await;
    assert_eq!(answer(&mut gateway).await.sequence, 1);
    assert_eq!(connection.next().await, Received::Closed);
    let (mut connection, hello) = daemon.welcome().await;
    assert_eq!(hello.first_unacked, 2);
    assert_eq!(connection.batches(1).await[0].sequence, 2);
    drop(gateway);
}

#[tokio::test]
async fn a_drain_without_answers_ends_at_its_deadline() {
    let daemon = TcpDaemon::bind().await;
    let (mut gateway, mut connection) = connected(&daemon, daemon.config()).await;
    gateway.send(frame(BASE, &["a"]), 0).await.unwrap();
    connection.batches(1).await;
    let goodbye = Goodbye { reason: GoodbyeReason::Draining, deadline_ms: 300 };
    connection.send(|buffer| goodbye.encode(buffer)).await;
    let started = Instant::now();
    assert_eq!(connection.next().await, Received::Closed);
    assert!(started.elapsed() >= Duration::from_millis(300));
    assert_eq!(daemon.welcome().await.1.first_unacked, 1);
    drop(gateway);
}

#[tokio::test]
async fn preferences_are_answered_and_undecided_ones_go_out_again() {
    let daemon = TcpDaemon::bind().await;
    let (mut gateway, mut connection) = connected(&daemon, daemon.config()).await;
    let pair = (b"language".as_slice(), b"de".as_slice());
    gateway.preferences(b"cust1", BASE, [pair], 8).await.unwrap();
    let expected = |sequence| Received::Preferences { sequence, customer_id: b"cust1".to_vec() };
    assert_eq!(connection.next().await, expected(1));
    let open = [Exception { index: 0, code: OutcomeCode::Undecided, detail: 2 }];
    let record = plain(1, RecordStatus::PreferencesUndecided);
    connection.ack(1, &[beacon_protocol::ResultRecord { exceptions: &open, ..record }]).await;
    assert_eq!(connection.next().await, expected(2));
    connection.ack(2, &[plain(2, RecordStatus::PreferencesAccepted)]).await;
    answer(&mut gateway).await;
    assert_eq!(answer(&mut gateway).await.tag, 8);
    let summary = gateway.finish(PATIENCE).await.unwrap();
    assert_eq!((summary.preferences_accepted, summary.sightings_sent), (1, 0));
}

#[tokio::test]
async fn status_is_sent_beside_the_frames() {
    let daemon = TcpDaemon::bind().await;
    let (mut gateway, mut connection) = connected(&daemon, daemon.config()).await;
    let status = GatewayStatus {
        uptime_ms: 1,
        gateway_time_us: 0,
        queued_frames: 2,
        dropped_sightings: 3,
        resent_frames: 4,
        firmware: "1.2",
    };
    gateway.status(&status).await.unwrap();
    assert_eq!(connection.next().await, Received::Status { firmware: "1.2".to_owned() });
    drop(gateway);
}

#[tokio::test]
async fn a_frame_larger_than_the_session_takes_is_not_taken() {
    let daemon = TcpDaemon::bind().await;
    let serve = async {
        let mut connection = daemon.accept().await;
        let hello = connection.next().await.hello();
        let small = Welcome { max_frame_bytes: 1_024, max_sightings: 3, ..welcome(&hello) };
        connection.send(|buffer| small.encode(buffer)).await;
        connection
    };
    let (gateway, _connection) = tokio::join!(Gateway::connect(daemon.config()), serve);
    let mut gateway = gateway.unwrap();
    let long = "x".repeat(250);
    for large in [frame(BASE, &["a", "b", "c", "d"]), frame(BASE, &[&long, &long, &long])] {
        let fits = large.frame_bytes() <= 1_024 && large.sighting_count() <= 3;
        let sent = gateway.send(large, 0).await;
        assert_eq!(matches!(sent, Err(ClientError::TooLarge { .. })), !fits, "{sent:?}");
    }
    let preferences =
        OutgoingFrame::preferences(b"c", BASE, [(b"k".as_slice(), [b'v'; 1_024].as_slice())]).unwrap();
    assert!(matches!(
        gateway.send(preferences, 0).await,
        Err(ClientError::TooLarge { max_frame_bytes: 1_024, .. })
    ));
}

#[tokio::test]
async fn a_caller_that_never_reads_events_is_told_and_not_left_hanging() {
    let daemon = TcpDaemon::bind().await;
    let config = GatewayConfig { event_capacity: 1, max_in_flight_frames: 2, ..daemon.config() };
    let (mut gateway, mut connection) = connected(&daemon, config).await;
    let serving = tokio::spawn(async move {
        while let Received::Batch(batch) = connection.next().await {
            connection.ack(batch.sequence, &[all(batch.sequence, OutcomeCode::Identified, 1)]).await;
        }
    });
    let mut taken = 0_u64;
    let error = loop {
        match gateway.send(frame(BASE, &["a"]), taken).await {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
        assert!(taken < 100, "taken without end");
    };
    assert!(matches!(error, ClientError::EventsUnread), "{error}");
    let mut answers = 0_u64;
    let summary = gateway.finish_with(PATIENCE, |event| {
        answers += u64::from(matches!(event, Event::Answered(_)));
    });
    assert_eq!((summary.await.unwrap().decided(), answers), (taken, taken));
    serving.await.unwrap();
}

#[tokio::test]
async fn what_is_unanswered_at_the_deadline_is_counted() {
    let daemon = TcpDaemon::bind().await;
    let (mut gateway, mut connection) = connected(&daemon, daemon.config()).await;
    gateway.send(frame(BASE, &["a", "b"]), 0).await.unwrap();
    gateway.send(frame(BASE, &["c"]), 0).await.unwrap();
    connection.batches(2).await;
    connection.ack(1, &[undecided(1, 2, &[OPEN])]).await;
    let summary = gateway.finish(Duration::from_millis(100)).await.unwrap();
    assert_eq!((summary.sightings_sent, summary.decided()), (3, 1));
    assert_eq!((summary.unanswered_frames, summary.unanswered_sightings), (2, 2));
}
