//! What ends a client, and what only delays it.

use std::time::Duration;

use beacon_protocol::client::{
    BackoffRange, ClientError, Disconnect, Event, Gateway, GatewayConfig, Target, WhenRefused,
};
use beacon_protocol::{OutcomeCode, RefusalCode};
use tokio::time::Instant;

use crate::daemon::{EPOCH, SESSION, TcpDaemon, UdpDaemon, all, refusal};
use crate::tcp::connected;
use crate::{BASE, PATIENCE, answer, event, frame};

/// What an operator sets right without a new daemon.
const OF_THE_REGISTRY: [RefusalCode; 3] =
    [RefusalCode::UnknownGateway, RefusalCode::GatewayDisabled, RefusalCode::Unauthenticated];

fn giving_up(config: GatewayConfig) -> GatewayConfig {
    GatewayConfig { when_refused: WhenRefused::GiveUp, ..config }
}

/// Refuses the next connection's hello; what it asked for.
async fn refuse_hello(daemon: &TcpDaemon, code: RefusalCode, retry_after_ms: u32) -> u64 {
    let mut connection = daemon.accept().await;
    let hello = connection.next().await.hello();
    connection.send(|buffer| refusal(0, code, retry_after_ms).encode(buffer)).await;
    hello.first_unacked
}

/// The code of the next refusal that is told.
async fn refused(gateway: &mut Gateway) -> RefusalCode {
    let wanted = |event: &Event| match event {
        Event::Refused { code, text, .. } if text == "as the test says" => Some(*code),
        _ => None,
    };
    event(gateway, wanted).await
}

/// What ends the client.
async fn ending(gateway: &mut Gateway) -> ClientError {
    loop {
        match gateway.next_event().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the client ended in peace"),
            Err(error) => return error,
        }
    }
}

#[tokio::test]
async fn a_refusal_for_good_ends_the_client_with_its_code_and_text() {
    let daemon = TcpDaemon::bind().await;
    let (mut gateway, mut connection) = connected(&daemon, daemon.config()).await;
    gateway.send(frame(BASE, &["a"]), 0).await.unwrap();
    connection.batches(1).await;
    connection.send(|buffer| refusal(1, RefusalCode::Malformed, 0).encode(buffer)).await;
    let ended = ending(&mut gateway).await;
    let is_the_refusal = |error: &ClientError| matches!(error, ClientError::Refused { code: RefusalCode::Malformed, text } if text == "as the test says");
    assert!(is_the_refusal(&ended), "{ended}");
    let send = gateway.send(frame(BASE, &["b"]), 0).await.unwrap_err();
    assert!(is_the_refusal(&send), "{send}");
}

#[tokio::test]
async fn told_to_give_up_a_refused_hello_fails_the_connection() {
    let daemon = TcpDaemon::bind().await;
    for refused in OF_THE_REGISTRY.into_iter().chain([RefusalCode::UnsupportedVersion]) {
        let config = giving_up(daemon.config());
        let (gateway, _) = tokio::join!(Gateway::connect(config), refuse_hello(&daemon, refused, 0));
        let error = gateway.unwrap_err();
        let ClientError::Refused { code, text } = &error else { panic!("{error}") };
        assert_eq!((*code, text.as_str()), (refused, "as the test says"));
    }
}

#[tokio::test]
async fn told_to_give_up_a_gateway_disabled_later_ends_its_client() {
    let daemon = TcpDaemon::bind().await;
    let (mut gateway, mut connection) = connected(&daemon, giving_up(daemon.config())).await;
    connection.send(|buffer| refusal(0, RefusalCode::GatewayDisabled, 0).encode(buffer)).await;
    let error = ending(&mut gateway).await;
    assert!(matches!(error, ClientError::Refused { code: RefusalCode::GatewayDisabled, .. }), "{error}");
}

#[tokio::test]
async fn what_may_pass_by_itself_is_tried_again_whatever_the_setting_after_the_wait_that_is_asked() {
    let daemon = TcpDaemon::bind().await;
    for config in [daemon.config(), giving_up(daemon.config())] {
        let started = Instant::now();
        let serve = async {
            refuse_hello(&daemon, RefusalCode::TooManySessions, 300).await;
            daemon.welcome().await
        };
        let (gateway, _) = tokio::join!(Gateway::connect(config), serve);
        assert!(gateway.is_ok());
        assert!(started.elapsed() >= Duration::from_millis(300), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_gateway_not_registered_yet_connects_once_it_is_and_tells_of_every_refusal() {
    let daemon = TcpDaemon::bind().await;
    let config = GatewayConfig { connect_deadline: Duration::MAX, ..daemon.config() };
    let serve = async {
        for code in OF_THE_REGISTRY {
            refuse_hello(&daemon, code, 0).await;
        }
        daemon.welcome().await
    };
    let (gateway, (mut connection, _)) = tokio::join!(Gateway::connect(config), serve);
    let mut gateway = gateway.unwrap();
    for code in OF_THE_REGISTRY {
        assert_eq!(refused(&mut gateway).await, code);
    }
    gateway.send(frame(BASE, &["a"]), 5).await.unwrap();
    connection.batches(1).await;
    connection.ack(1, &[all(1, OutcomeCode::Identified, 1)]).await;
    assert_eq!(answer(&mut gateway).await.tag, 5);
    let summary = gateway.finish(PATIENCE).await.unwrap();
    assert_eq!((summary.refusals, summary.sessions, summary.decided()), (3, 1, 1));
}

#[tokio::test]
async fn a_gateway_disabled_for_a_while_resumes_and_loses_nothing() {
    let daemon = TcpDaemon::bind().await;
    let (mut gateway, mut connection) = connected(&daemon, daemon.config()).await;
    gateway.send(frame(BASE, &["a"]), 0).await.unwrap();
    let before = connection.batches(1).await;
    connection.send(|buffer| refusal(0, RefusalCode::GatewayDisabled, 0).encode(buffer)).await;
    for code in OF_THE_REGISTRY {
        assert_eq!(refuse_hello(&daemon, code, 0).await, 1);
    }
    let (mut connection, hello) = daemon.welcome().await;
    assert_eq!((hello.first_unacked, connection.batches(1).await), (1, before));
    connection.ack(1, &[all(1, OutcomeCode::Identified, 1)]).await;
    for code in [RefusalCode::GatewayDisabled].into_iter().chain(OF_THE_REGISTRY) {
        assert_eq!(refused(&mut gateway).await, code);
    }
    answer(&mut gateway).await;
    let summary = gateway.finish(PATIENCE).await.unwrap();
    assert_eq!((summary.refusals, summary.sessions, summary.decided()), (4, 2, 1));
}

#[tokio::test]
async fn over_udp_a_gateway_removed_and_registered_again_resumes() {
    let mut daemon = UdpDaemon::bind().await;
    let one_hello = BackoffRange { first: PATIENCE, most: PATIENCE };
    let config = GatewayConfig { hello_backoff: one_hello, ..daemon.config() };
    let (gateway, _) = tokio::join!(Gateway::connect(config), daemon.welcome());
    let mut gateway = gateway.unwrap();
    gateway.send(frame(BASE, &["a"]), 0).await.unwrap();
    let before = daemon.next().await;
    daemon.send(|buffer| refusal(0, RefusalCode::UnknownGateway, 0).encode(buffer)).await;
    daemon.session = 0;
    for _ in 0..2 {
        daemon.next().await.hello();
        daemon.send(|buffer| refusal(0, RefusalCode::UnknownGateway, 0).encode(buffer)).await;
    }
    daemon.session = SESSION + 1;
    assert_eq!(daemon.welcome().await.first_unacked, 1);
    assert_eq!(daemon.next().await, before);
    daemon.ack(1, 0, &[all(1, OutcomeCode::Identified, 1)]).await;
    for _ in 0..3 {
        assert_eq!(refused(&mut gateway).await, RefusalCode::UnknownGateway);
    }
    answer(&mut gateway).await;
    assert_eq!(gateway.finish(PATIENCE).await.unwrap().refusals, 3);
}

#[tokio::test]
async fn a_gateway_refused_beyond_the_deadline_of_its_first_connection_is_told_why() {
    let daemon = TcpDaemon::bind().await;
    let config = GatewayConfig { connect_deadline: PATIENCE, ..daemon.config() };
    let serve = async {
        refuse_hello(&daemon, RefusalCode::GatewayDisabled, 0).await;
        refuse_hello(&daemon, RefusalCode::UnknownGateway, 60_000).await;
    };
    let (gateway, ()) = tokio::join!(Gateway::connect(config), serve);
    let error = gateway.unwrap_err();
    let ClientError::Unreachable { cause: Disconnect::Refused { code, .. }, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(*code, RefusalCode::UnknownGateway);
}

#[tokio::test]
async fn without_a_version_in_common_the_next_attempt_is_minutes_away() {
    let daemon = TcpDaemon::bind().await;
    let config = GatewayConfig { connect_deadline: Duration::from_secs(150), ..daemon.config() };
    let serve = refuse_hello(&daemon, RefusalCode::UnsupportedVersion, 0);
    let (gateway, _) = tokio::join!(Gateway::connect(config), serve);
    let error = gateway.unwrap_err();
    let ClientError::Unreachable { cause: Disconnect::Refused { code, .. }, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(*code, RefusalCode::UnsupportedVersion);
}

#[tokio::test]
async fn the_callers_deadline_ends_a_client_that_is_refused_and_accounts_for_all_it_kept() {
    let daemon = TcpDaemon::bind().await;
    let config = GatewayConfig { max_in_flight_frames: 2, ..daemon.config() };
    let (mut gateway, connection) = connected(&daemon, config).await;
    drop(connection);
    refuse_hello(&daemon, RefusalCode::UnknownGateway, 30_000).await;
    assert_eq!(refused(&mut gateway).await, RefusalCode::UnknownGateway);
    for tag in 0..4 {
        gateway.send(frame(BASE, &["a", "b"]), tag).await.unwrap();
    }
    // Two are numbered and two handed over: there is no room for another.
    tokio::select! {
        biased;
        sent = gateway.send(frame(BASE, &["c"]), 4) => panic!("{sent:?}"),
        () = std::future::ready(()) => {}
    }
    let summary = gateway.finish(Duration::ZERO).await.unwrap();
    assert_eq!((summary.frames_sent, summary.unanswered_frames), (4, 4));
    assert_eq!((summary.sightings_sent, summary.unanswered_sightings, summary.refusals), (8, 8, 1));
}

#[tokio::test]
async fn no_daemon_is_an_error_after_the_deadline_that_names_the_target() {
    let address = TcpDaemon::bind().await.config().target;
    let connect_deadline = Duration::from_millis(300);
    let config = GatewayConfig { connect_deadline, ..GatewayConfig::new(address, "kitchen-1", EPOCH) };
    let error = Gateway::connect(config).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
    let Target::Tcp(address) = address else { panic!("not TCP") };
    assert!(error.to_string().contains(&format!("tcp://{address}")), "{error}");
}
