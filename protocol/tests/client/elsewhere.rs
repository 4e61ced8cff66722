//! With several daemons: when the gateway goes elsewhere, when it stays, and what it takes along.

use std::time::Duration;

use beacon_protocol::client::{BackoffRange, ClientError, Event, Gateway, GatewayConfig, Target};
use beacon_protocol::{Goodbye, GoodbyeReason, OutcomeCode, Pong, RefusalCode, Welcome};
use tokio::time::Instant;

use crate::daemon::{
    Connection, EPOCH, IDLE_TIMEOUT, OwnedHello, PONG_TIMEOUT, Received, TcpDaemon, UdpDaemon, all, refusal,
    welcome,
};
use crate::{BASE, PATIENCE, answer, event, frame};

/// A wait that no test sits out: who gets on sooner did not wait.
const NEVER: BackoffRange = BackoffRange { first: Duration::from_secs(600), most: Duration::from_secs(600) };

/// The configuration for the first, with the others behind it.
fn config(first: GatewayConfig, others: &[&GatewayConfig]) -> GatewayConfig {
    GatewayConfig { other_targets: others.iter().map(|other| other.target).collect(), ..first }
}

fn draining(deadline: Duration) -> Goodbye {
    Goodbye { reason: GoodbyeReason::Draining, deadline_ms: u32::try_from(deadline.as_millis()).unwrap() }
}

#[track_caller]
fn assert_resumes(hello: &OwnedHello, first_unacked: u64) {
    assert_eq!((hello.boot_epoch, hello.first_unacked), (EPOCH, first_unacked));
}

/// Where the gateway is connected, says its next event of that kind.
async fn connected_to(gateway: &mut Gateway) -> Target {
    event(gateway, |event| match event {
        Event::Connected { target, .. } => Some(*target),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn a_gateway_told_goodbye_resumes_elsewhere_at_once_with_what_has_no_record() {
    let (first, second) = (TcpDaemon::bind().await, TcpDaemon::bind().await);
    let config = config(GatewayConfig { reconnect_backoff: NEVER, ..first.config() }, &[&second.config()]);
    let (gateway, (mut connection, _)) = tokio::join!(Gateway::connect(config), first.welcome());
    let mut gateway = gateway.unwrap();
    for (tag, customer) in (1..).zip(["a", "b", "c"]) {
        gateway.send(frame(BASE, &[customer]), tag).await.unwrap();
    }
    let sent = connection.batches(3).await;
    connection.ack(1, &[all(1, OutcomeCode::Identified, 1)]).await;
    connection.send(|buffer| draining(Duration::from_millis(200)).encode(buffer)).await;
    event(&mut gateway, |event| matches!(event, Event::Draining { .. }).then_some(())).await;
    gateway.send(frame(BASE, &["d"]), 4).await.unwrap();
    // Out of order, and not all of them: 2 has no record when the deadline is over.
    connection.ack(1, &[all(3, OutcomeCode::Identified, 1)]).await;
    assert_eq!(connection.next().await, Received::Closed, "nothing is sent to a daemon that drains");

    let (mut connection, hello) = second.welcome().await;
    assert_resumes(&hello, 2);
    let again = connection.batches(3).await;
    assert_eq!(again[..2], sent[1..], "all from the first without a record on, byte for byte");
    assert_eq!((again[2].sequence, &again[2].customer_ids[0][..]), (4, &b"d"[..]));
    let records = [2, 3, 4].map(|sequence| all(sequence, OutcomeCode::Identified, 1));
    connection.ack(4, &records).await;
    let summary = gateway.finish(PATIENCE).await.unwrap();
    assert_eq!((summary.decided(), summary.unanswered_frames, summary.sessions), (4, 0, 2));
}

#[tokio::test]
async fn over_udp_goodbye_said_thrice_is_one_goodbye_and_the_gateway_resumes_elsewhere() {
    let (mut first, mut second) = (UdpDaemon::bind().await, UdpDaemon::bind().await);
    second.session ^= 1;
    let config = config(GatewayConfig { reconnect_backoff: NEVER, ..first.config() }, &[&second.config()]);
    let (gateway, _) = tokio::join!(Gateway::connect(config), first.welcome());
    let mut gateway = gateway.unwrap();
    gateway.send(frame(BASE, &["a"]), 1).await.unwrap();
    gateway.send(frame(BASE, &["b"]), 2).await.unwrap();
    let (_, lost) = (first.next().await.batch(), first.next().await.batch());
    first.ack(1, 0, &[all(1, OutcomeCode::Identified, 1)]).await;
    for _ in 0..3 {
        first.send(|buffer| draining(Duration::from_millis(300)).encode(buffer)).await;
    }
    let hello = second.welcome().await;
    assert_resumes(&hello, 2);
    assert_eq!(second.next().await.batch(), lost);
    second.ack(2, 0, &[all(2, OutcomeCode::Identified, 1)]).await;
    let mut goodbyes = 0;
    let finished = gateway.finish_with(PATIENCE, |event| {
        goodbyes += usize::from(matches!(event, Event::Draining { .. }));
    });
    let summary = finished.await.unwrap();
    assert_eq!((summary.decided(), summary.sessions, goodbyes), (2, 2, 1));
}

#[tokio::test]
async fn a_daemon_that_cannot_be_reached_is_passed_over() {
    let (gone, second) = (TcpDaemon::bind().await.config(), TcpDaemon::bind().await);
    let config = config(gone, &[&second.config()]);
    let (gateway, (_connection, hello)) = tokio::join!(Gateway::connect(config), second.welcome());
    assert_resumes(&hello, 1);
    assert_eq!(connected_to(&mut gateway.unwrap()).await, second.config().target);
}

#[tokio::test]
async fn over_udp_a_daemon_that_says_nothing_is_passed_over() {
    let (silent, mut second) = (UdpDaemon::bind().await, UdpDaemon::bind().await);
    let attempt_timeout = Duration::from_millis(300);
    let config = config(GatewayConfig { attempt_timeout, ..silent.config() }, &[&second.config()]);
    let expected = second.config().target;
    let (gateway, hello) = tokio::join!(Gateway::connect(config), second.welcome());
    assert_resumes(&hello, 1);
    assert_eq!(connected_to(&mut gateway.unwrap()).await, expected);
}

#[tokio::test]
async fn over_udp_a_port_where_nobody_listens_is_passed_over_without_waiting_for_an_answer() {
    let (gone, mut second) = (UdpDaemon::bind().await.config(), UdpDaemon::bind().await);
    let patient =
        GatewayConfig { connect_deadline: Duration::MAX, attempt_timeout: Duration::from_secs(600), ..gone };
    let config = config(patient, &[&second.config()]);
    let (gateway, hello) = tokio::join!(Gateway::connect(config), second.welcome());
    assert_resumes(&hello, 1);
    gateway.unwrap();
}

#[tokio::test]
async fn every_daemon_gets_its_part_of_the_time_for_the_first_session() {
    let (silent, second) = (TcpDaemon::bind().await, TcpDaemon::bind().await);
    let connect_deadline = Duration::from_secs(1);
    let config = config(GatewayConfig { connect_deadline, ..silent.config() }, &[&second.config()]);
    assert!(config.attempt_timeout > connect_deadline);
    let (gateway, _) = tokio::join!(Gateway::connect(config), second.welcome());
    gateway.unwrap();
}

#[tokio::test]
async fn a_daemon_that_sends_gateways_away_is_left_for_as_long_as_it_says() {
    for code in [RefusalCode::Draining, RefusalCode::TooManySessions, RefusalCode::Other(999)] {
        let (first, second, third) =
            (TcpDaemon::bind().await, TcpDaemon::bind().await, TcpDaemon::bind().await);
        let config = config(first.config(), &[&second.config(), &third.config()]);
        let refuse = async |daemon: &TcpDaemon, retry_after_ms| {
            let mut connection = daemon.accept().await;
            connection.next().await.hello();
            connection.send(|buffer| refusal(0, code, retry_after_ms).encode(buffer)).await;
        };
        let serve = async {
            refuse(&first, 600_000).await;
            // What one asks for is not the others' wish.
            refuse(&second, 0).await;
            refuse(&third, 600_000).await;
            second.welcome().await
        };
        let (gateway, (_connection, hello)) = tokio::join!(Gateway::connect(config), serve);
        assert_resumes(&hello, 1);
        assert_eq!(connected_to(&mut gateway.unwrap()).await, second.config().target, "{code:?}");
    }
}

#[tokio::test]
async fn a_session_refused_in_the_middle_goes_on_elsewhere() {
    let (mut first, mut second) = (UdpDaemon::bind().await, UdpDaemon::bind().await);
    let config = config(first.config(), &[&second.config()]);
    let (gateway, _) = tokio::join!(Gateway::connect(config), first.welcome());
    let mut gateway = gateway.unwrap();
    gateway.send(frame(BASE, &["a"]), 1).await.unwrap();
    let sent = first.next().await;
    first.send(|buffer| refusal(0, RefusalCode::Draining, 0).encode(buffer)).await;
    assert_resumes(&second.welcome().await, 1);
    assert_eq!(second.next().await, sent);
    drop(gateway);
}

#[tokio::test]
async fn a_daemon_that_forgot_a_session_of_use_is_told_at_once_before_any_other() {
    let (mut first, second) = (UdpDaemon::bind().await, UdpDaemon::bind().await);
    let config = config(GatewayConfig { reconnect_backoff: NEVER, ..first.config() }, &[&second.config()]);
    let (gateway, _) = tokio::join!(Gateway::connect(config), first.welcome());
    let mut gateway = gateway.unwrap();
    gateway.send(frame(BASE, &["a"]), 1).await.unwrap();
    first.next().await.batch();
    first.ack(1, 0, &[all(1, OutcomeCode::Identified, 1)]).await;
    answer(&mut gateway).await;
    first.send(|buffer| refusal(0, RefusalCode::UnknownSession, 0).encode(buffer)).await;
    assert_resumes(&first.welcome().await, 2);
    drop(gateway);
}

/// A session with a daemon whose sessions are soon idle.
async fn soon_idle(config: GatewayConfig, daemon: &TcpDaemon) -> (Gateway, Connection) {
    let idle_timeout_ms = u32::try_from(IDLE_TIMEOUT.as_millis()).unwrap();
    let serve = async {
        let mut connection = daemon.accept().await;
        let hello = connection.next().await.hello();
        connection.send(|buffer| Welcome { idle_timeout_ms, ..welcome(&hello) }.encode(buffer)).await;
        connection
    };
    let (gateway, connection) = tokio::join!(Gateway::connect(config), serve);
    (gateway.unwrap(), connection)
}

#[tokio::test]
async fn a_daemon_that_answers_no_ping_is_left() {
    let (first, second) = (TcpDaemon::bind().await, TcpDaemon::bind().await);
    let config = config(first.config(), &[&second.config()]);
    let (mut gateway, mut connection) = soon_idle(config, &first).await;
    gateway.send(frame(BASE, &["a"]), 1).await.unwrap();
    let sent = connection.next().await;
    assert!(matches!(connection.next().await, Received::Ping(_)));
    let (mut elsewhere, hello) = second.welcome().await;
    assert_resumes(&hello, 1);
    assert_eq!(elsewhere.next().await, sent);
    drop(gateway);
}

#[tokio::test]
async fn a_daemon_that_answers_pings_is_not_left_however_late_its_records() {
    let (first, second) = (TcpDaemon::bind().await, TcpDaemon::bind().await);
    let config = config(first.config(), &[&second.config()]);
    let (mut gateway, mut connection) = soon_idle(config, &first).await;
    gateway.send(frame(BASE, &["a"]), 1).await.unwrap();
    connection.next().await.batch();
    let started = Instant::now();
    while started.elapsed() < IDLE_TIMEOUT + PONG_TIMEOUT {
        let Received::Ping(token) = connection.next().await else { panic!("no ping") };
        connection.send(|buffer| Pong { token, time_us: 0 }.encode(buffer)).await;
    }
    connection.ack(1, &[all(1, OutcomeCode::Identified, 1)]).await;
    assert_eq!(answer(&mut gateway).await.transmissions, 1);
    assert_eq!(gateway.finish(PATIENCE).await.unwrap().sessions, 1);
}

#[tokio::test]
async fn the_preferred_daemon_is_the_first_to_be_tried_again() {
    let (first, second, third) = (TcpDaemon::bind().await, TcpDaemon::bind().await, TcpDaemon::bind().await);
    let config = config(first.config(), &[&second.config(), &third.config()]);
    let serve = async {
        drop(first.accept().await);
        second.welcome().await
    };
    let (gateway, (mut connection, _)) = tokio::join!(Gateway::connect(config), serve);
    let mut gateway = gateway.unwrap();
    gateway.send(frame(BASE, &["a"]), 1).await.unwrap();
    connection.next().await.batch();
    connection.ack(1, &[all(1, OutcomeCode::Identified, 1)]).await;
    answer(&mut gateway).await;
    drop(connection);
    assert_resumes(&first.welcome().await.1, 2);
    drop(gateway);
}

#[tokio::test]
async fn daemons_over_different_transports_are_not_taken() {
    let (tcp, udp) = (TcpDaemon::bind().await.config(), UdpDaemon::bind().await.config());
    for config in [config(tcp.clone(), &[&udp]), config(udp, &[&tcp])] {
        assert!(matches!(Gateway::connect(config).await, Err(ClientError::MixedTransports)));
    }
}
