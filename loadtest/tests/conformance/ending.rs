//! What the shell is told when there is nothing to test, or not what to do.

use std::net::{TcpListener, UdpSocket};

use crate::play::play;

/// An address of this machine that nobody serves.
fn nobody(scheme: &str) -> String {
    let address = match scheme {
        "tcp" => TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap(),
        _ => UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap(),
    };
    format!("{scheme}://{address}")
}

#[track_caller]
fn assert_unavailable(arguments: &[&str], says: &str) {
    let verdicts = play(arguments);
    assert_eq!(verdicts.code, Some(69), "{verdicts}");
    assert!(verdicts.complaint.starts_with("loadtest: ") && verdicts.complaint.contains(says), "{verdicts}");
    assert_eq!(verdicts.complaint.lines().count(), 1, "{verdicts}");
    assert_eq!((verdicts.broken(), verdicts.kept()), ([].into(), [].into()), "{verdicts}");
}

#[test]
fn where_no_daemon_is_there_is_no_verdict() {
    for scheme in ["tcp", "udp"] {
        let target = nobody(scheme);
        assert_unavailable(&["daemon", "--target", &target, "--patience", "300ms"], &target);
    }
}

#[test]
fn where_no_gateway_comes_there_is_no_verdict() {
    for listen in ["tcp://127.0.0.1:0", "udp://127.0.0.1:0"] {
        let waits = ["gateway", "--listen", listen, "--patience", "300ms"];
        assert_unavailable(&waits, "no gateway said hello within 300ms");
        let exec = |program: &'static str| [&waits[..], &["--rule", "44", "--exec", program]].concat();
        assert_unavailable(&exec("true"), "the gateway ended (exit status: 0)");
        assert_unavailable(&exec("no-such-gateway"), "cannot be started");
    }
}

#[test]
fn an_address_that_is_taken_cannot_be_listened_on() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap();
    assert_unavailable(&["gateway", "--listen", &format!("tcp://{taken}")], "cannot listen on");
}

#[test]
fn arguments_that_do_not_fit_are_a_usage_error() {
    for arguments in [
        &["daemon"][..],
        &["daemon", "--target", "http://127.0.0.1:1"],
        &["daemon", "--target", "tcp://127.0.0.1:1", "--rule", "70"],
        &["daemon", "--target", "tcp://127.0.0.1:1", "--beacon", "1:2:3"],
        &["daemon", "--target", "tcp://127.0.0.1:1", "--gateway", ""],
        &["gateway"],
        &["gateway", "--listen", "127.0.0.1:0"],
        &["gateway", "--listen", "tcp://127.0.0.1:0", "--seconds", "0"],
        &["gateway", "--listen", "tcp://127.0.0.1:0", "--patience", "soon"],
        &["gateway", "--listen", "tcp://127.0.0.1:0", "--exec"],
        &["both"],
    ] {
        let verdicts = play(arguments);
        assert_eq!(verdicts.code, Some(64), "{arguments:?}: {verdicts}");
    }
}
