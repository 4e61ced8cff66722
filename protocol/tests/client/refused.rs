//! What ends a client, and what only delays it.

use std::time::Duration;

use beacon_protocol::client::{ClientError, Gateway, GatewayConfig, Target};
use beacon_protocol::{RefusalCode, Welcome};
use tokio::time::Instant;

use crate::daemon::{EPOCH, TcpDaemon, refusal, welcome};
use crate::tcp::connected;
use crate::{BASE, frame};

#[tokio::test]
async fn a_refusal_for_good_ends_the_client_with_its_code_and_text() {
    let daemon = TcpDaemon::bind().await;
    let (mut gateway, mut connection) = connected(&daemon, daemon.config()).await;
    gateway.send(frame(BASE, &["a"]), 0).await.unwrap();
    connection.batches(1).await;
    connection.send(|buffer| refusal(1, RefusalCode::SequenceReused, 0).encode(buffer)).await;
    let ended = loop {
        match gateway.next_event().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the client ended in peace"),
            Err(error) => break error,
        }
    };
    let is_the_refusal = |error: &ClientError| matches!(error, ClientError::Refused { code: RefusalCode::SequenceReused, text } if text == "as the test says");
    assert!(is_the_refusal(&ended), "{ended}");
    let send = gateway.send(frame(BASE, &["b"]), 0).await.unwrap_err();
    assert!(is_the_refusal(&send), "{send}");
}

#[tokio::test]
async fn a_refused_hello_fails_the_connection_or_is_tried_again() {
    let daemon = TcpDaemon::bind().await;
    let refuse = async |code| {
        let mut connection = daemon.accept().await;
        connection.next().await.hello();
        connection.send(|buffer| refusal(0, code, 300).encode(buffer)).await;
    };
    let (gateway, ()) = tokio::join!(Gateway::connect(daemon.config()), refuse(RefusalCode::UnknownGateway));
    let error = gateway.unwrap_err();
    assert!(matches!(error, ClientError::Refused { code: RefusalCode::UnknownGateway, .. }), "{error}");

    let started = Instant::now();
    let serve = async {
        refuse(RefusalCode::TooManySessions).await;
        daemon.welcome().await
    };
    let (gateway, _) = tokio::join!(Gateway::connect(daemon.config()), serve);
    assert!(gateway.is_ok());
    assert!(started.elapsed() >= Duration::from_millis(300), "{:?}", started.elapsed());
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

#[tokio::test]
async fn a_lost_numbering_is_not_used() {
    let daemon = TcpDaemon::bind().await;
    let serve = async {
        let mut connection = daemon.accept().await;
        let hello = connection.next().await.hello();
        connection.send(|buffer| Welcome { last_acked: 12, ..welcome(&hello) }.encode(buffer)).await;
    };
    let (gateway, ()) = tokio::join!(Gateway::connect(daemon.config()), serve);
    let error = gateway.unwrap_err();
    assert!(matches!(error, ClientError::NumberingLost { last_acked: 12, next: 1 }), "{error}");
}
