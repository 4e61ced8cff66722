//! Clients that send slowly, send too much, or keep what they have.

use std::io::{ErrorKind, Read, Write};
use std::time::Instant;

use crate::client::{Operators, PATIENCE};

/// Connections that the admin thread serves at once.
const PLACES: usize = 64;

#[test]
fn client_that_sends_half_a_request_holds_up_nobody_and_is_cut_off() {
    let operators = Operators::start(Vec::new());
    let mut halves: Vec<_> = (0..PLACES - 1).map(|_| operators.connect()).collect();
    for half in &mut halves {
        half.write_all(b"GET /live HTTP/1.1\r\nHo").unwrap();
    }
    assert_eq!(operators.get("/live").status, 200, "one place is left");
    for mut half in halves {
        let mut rest = Vec::new();
        assert!(end_of(half.read_to_end(&mut rest)), "still open");
    }
}

#[test]
fn all_places_taken_are_free_again_when_their_time_is_over() {
    let operators = Operators::start(Vec::new());
    let silent: Vec<_> = (0..PLACES).map(|_| operators.connect()).collect();
    let begun_at = Instant::now();
    assert_eq!(operators.get("/live").status, 200);
    assert!(begun_at.elapsed() < PATIENCE);
    drop(silent);
}

#[test]
fn client_that_does_not_read_its_answers_is_cut_off() {
    let operators = Operators::start(Vec::new());
    let mut stream = operators.connect();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    // Asks until the buffers of both directions are full, and then waits for the end to fail it.
    let ended = loop {
        if let Err(error) = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: b\r\n\r\n") {
            break error.kind();
        }
    };
    assert!(ended != ErrorKind::WouldBlock && ended != ErrorKind::TimedOut, "{ended}");
    assert_eq!(operators.get("/live").status, 200);
}

#[test]
fn head_of_a_request_is_bounded() {
    let operators = Operators::start(Vec::new());
    let mut stream = operators.connect();
    stream.write_all(b"GET /live HTTP/1.1\r\nHost: b\r\nX: ").unwrap();
    // The other side may end while this is still being written.
    let _ = stream.write_all(&[b'x'; 1 << 16]);
    let mut reply = Vec::new();
    assert!(end_of(stream.read_to_end(&mut reply)), "still open");
    let reply = String::from_utf8_lossy(&reply);
    assert!(reply.is_empty() || reply.starts_with("HTTP/1.1 431"), "{reply}");
}

#[test]
fn stop_does_not_wait_for_a_client_that_says_nothing() {
    let operators = Operators::start(Vec::new());
    let mut silent = operators.connect();
    assert_eq!(operators.get("/live").status, 200);
    let begun_at = Instant::now();
    operators.stop();
    assert!(begun_at.elapsed().as_secs() < 5);
    assert!(end_of(silent.read(&mut [0])), "still open");
}

/// Whether the other side ended, in order or with a reset.
fn end_of(read: std::io::Result<usize>) -> bool {
    match read {
        Ok(_) => true,
        Err(error) => matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
    }
}
