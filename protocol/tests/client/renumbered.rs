//! A boot epoch that the daemon knows with other frames: what has no answer goes on in a new one.

use beacon_protocol::client::{Disconnect, Event, Gateway};
use beacon_protocol::{Exception, GoodbyeReason, OutcomeCode, RefusalCode, Welcome};

use crate::daemon::{EPOCH, OwnedHello, Received, TcpDaemon, UdpDaemon, all, refusal, undecided, welcome};
use crate::tcp::connected;
use crate::{BASE, PATIENCE, answer, event, frame};

/// The epoch that the client says it has begun.
async fn epoch_begun(gateway: &mut Gateway) -> u64 {
    event(gateway, |event| match event {
        Event::EpochBegun { boot_epoch } => Some(*boot_epoch),
        _ => None,
    })
    .await
}

fn assert_new(hello: &OwnedHello, boot_epoch: u64) {
    assert_ne!(hello.boot_epoch, EPOCH);
    assert_eq!((hello.boot_epoch, hello.first_unacked), (boot_epoch, 1));
}

#[tokio::test]
async fn a_sequence_used_for_another_frame_before_begins_an_epoch_of_all_that_has_no_record() {
    let daemon = TcpDaemon::bind().await;
    let (mut gateway, mut connection) = connected(&daemon, daemon.config()).await;
    for (tag, customer) in (1..).zip(["a", "b", "c", "d"]) {
        gateway.send(frame(BASE, &[customer]), tag).await.unwrap();
    }
    connection.batches(4).await;
    // A record in the middle leaves no gap behind.
    connection.ack(1, &[all(1, OutcomeCode::Identified, 1), all(3, OutcomeCode::Identified, 1)]).await;
    connection.send(|buffer| refusal(2, RefusalCode::SequenceReused, 0).encode(buffer)).await;
    let (mut connection, hello) = daemon.welcome().await;
    assert_new(&hello, epoch_begun(&mut gateway).await);
    let again = connection.batches(2).await;
    let sent: Vec<_> = again.iter().map(|batch| (batch.sequence, &batch.customer_ids[0][..])).collect();
    assert_eq!(sent, [(1, &b"b"[..]), (2, b"d")]);
    connection.ack(2, &[all(1, OutcomeCode::Identified, 1), all(2, OutcomeCode::Identified, 1)]).await;
    let (first, second) = (answer(&mut gateway).await, answer(&mut gateway).await);
    assert_eq!(((first.sequence, first.tag), (second.sequence, second.tag)), ((1, 2), (2, 4)));
    gateway.send(frame(BASE, &["e"]), 5).await.unwrap();
    assert_eq!(connection.batches(1).await[0].sequence, 3);
    connection.ack(3, &[all(3, OutcomeCode::Identified, 1)]).await;
    let summary = gateway.finish(PATIENCE).await.unwrap();
    assert_eq!((summary.decided(), summary.unanswered_frames, summary.refusals), (5, 0, 1));
}

#[tokio::test]
async fn over_udp_undecided_sightings_that_wait_follow_into_the_new_epoch() {
    let mut daemon = UdpDaemon::bind().await;
    let config = daemon.config();
    let (gateway, _) = tokio::join!(Gateway::connect(config), daemon.welcome());
    let mut gateway = gateway.unwrap();
    gateway.send(frame(BASE, &["a", "b"]), 1).await.unwrap();
    gateway.send(frame(BASE, &["c"]), 2).await.unwrap();
    let (first, second) = (daemon.next().await.batch(), daemon.next().await.batch());
    assert_eq!((first.sequence, second.sequence), (1, 2));
    let open = [Exception { index: 1, code: OutcomeCode::Undecided, detail: 2 }];
    daemon.ack(1, 0, &[undecided(1, 2, &open)]).await;
    daemon.send(|buffer| refusal(2, RefusalCode::SequenceReused, 0).encode(buffer)).await;
    assert_eq!(daemon.next().await, Received::Goodbye(GoodbyeReason::Leaving));
    daemon.session ^= 1;
    let hello = daemon.welcome().await;
    assert_new(&hello, epoch_begun(&mut gateway).await);
    let mut customers = Vec::new();
    for sequence in [1, 2] {
        let batch = daemon.next().await.batch();
        assert_eq!(batch.sequence, sequence);
        daemon.ack(sequence, 0, &[all(sequence, OutcomeCode::Identified, 1)]).await;
        customers.extend(batch.customer_ids);
    }
    customers.sort();
    assert_eq!(customers, [b"b", b"c"]);
    let summary = gateway.finish(PATIENCE).await.unwrap();
    assert_eq!((summary.decided(), summary.unanswered_sightings), (3, 0));
}

#[tokio::test]
async fn a_numbering_that_the_daemon_knows_further_than_the_gateway_is_not_used() {
    let daemon = TcpDaemon::bind().await;
    let serve = async {
        let mut connection = daemon.accept().await;
        let hello = connection.next().await.hello();
        connection.send(|buffer| Welcome { last_acked: 12, ..welcome(&hello) }.encode(buffer)).await;
        assert_eq!(connection.next().await, Received::Goodbye(GoodbyeReason::Leaving));
        daemon.welcome().await
    };
    let (gateway, (_connection, hello)) = tokio::join!(Gateway::connect(daemon.config()), serve);
    assert_new(&hello, epoch_begun(&mut gateway.unwrap()).await);
}

#[tokio::test]
async fn a_daemon_that_knows_as_much_as_was_sent_is_believed() {
    let daemon = TcpDaemon::bind().await;
    let (mut gateway, mut connection) = connected(&daemon, daemon.config()).await;
    gateway.send(frame(BASE, &["a"]), 1).await.unwrap();
    connection.batches(1).await;
    drop(connection);
    let mut connection = daemon.accept().await;
    let hello = connection.next().await.hello();
    assert_eq!((hello.boot_epoch, hello.first_unacked), (EPOCH, 1));
    connection.send(|buffer| Welcome { last_acked: 1, ..welcome(&hello) }.encode(buffer)).await;
    assert_eq!(connection.batches(1).await[0].sequence, 1, "a hint is no record");
    let cause = event(&mut gateway, |event| match event {
        Event::Disconnected { cause } => Some(cause.clone()),
        _ => None,
    });
    assert!(!matches!(cause.await, Disconnect::NumberingLost { .. }));
}

#[tokio::test]
async fn frames_too_large_for_the_next_session_are_divided_in_a_new_epoch() {
    let daemon = TcpDaemon::bind().await;
    let (mut gateway, mut connection) = connected(&daemon, daemon.config()).await;
    gateway.send(frame(BASE, &["a", "b", "c", "d", "e"]), 1).await.unwrap();
    gateway.send(frame(BASE, &["f"]), 2).await.unwrap();
    connection.batches(2).await;
    drop(connection);
    let narrow = async || {
        let mut connection = daemon.accept().await;
        let hello = connection.next().await.hello();
        connection.send(|buffer| Welcome { max_sightings: 2, ..welcome(&hello) }.encode(buffer)).await;
        (connection, hello)
    };
    let (mut connection, hello) = narrow().await;
    assert_eq!((hello.boot_epoch, hello.first_unacked), (EPOCH, 1));
    assert_eq!(connection.next().await, Received::Goodbye(GoodbyeReason::Leaving));
    assert_eq!(connection.next().await, Received::Closed);
    let (mut connection, hello) = narrow().await;
    assert_new(&hello, epoch_begun(&mut gateway).await);
    let again = connection.batches(4).await;
    let sent: Vec<_> = again.iter().map(|batch| (batch.sequence, batch.customer_ids.concat())).collect();
    assert_eq!(sent, [(1, b"ab".to_vec()), (2, b"c".to_vec()), (3, b"de".to_vec()), (4, b"f".to_vec())]);
    for (sequence, count) in (1..).zip([2, 1, 2, 1]) {
        connection.ack(sequence, &[all(sequence, OutcomeCode::Identified, count)]).await;
    }
    for tag in [1, 1, 1, 2] {
        assert_eq!(answer(&mut gateway).await.tag, tag);
    }
    let summary = gateway.finish(PATIENCE).await.unwrap();
    assert_eq!((summary.decided(), summary.unanswered_frames), (6, 0));
}
