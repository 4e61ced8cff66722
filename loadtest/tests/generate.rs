//! `loadtest generate` and `loadtest registry` as processes: what is written is what was said, and the same every time.

#![allow(clippy::unwrap_used, reason = "helpers of tests: what is unexpected should stop right there")]

use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

use beacon_protocol::{Deframed, MAX_FRAME_BYTES, Message, deframe};

fn loadtest(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command.args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// Two seconds of the smallest scenario, and what was printed.
fn generate(more: &[&str]) -> String {
    let arguments = [&["generate", "--scenario", "smoke", "--duration", "6s"], more].concat();
    let Output { status, stdout, stderr } = loadtest(&arguments);
    assert_eq!((status.code(), String::from_utf8(stderr).unwrap().as_str()), (Some(0), ""));
    String::from_utf8(stdout).unwrap()
}

fn fingerprint(text: &str) -> u64 {
    u64::from_str_radix(text.rsplit("fingerprint ").next().unwrap().trim(), 16).unwrap()
}

#[test]
fn the_frames_it_writes_are_those_it_counts() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let into = format!("tcp://{}", listener.local_addr().unwrap());
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut bytes).unwrap();
        bytes
    });
    let text = generate(&["--into", &into]);
    let bytes = reader.join().unwrap();
    let (mut rest, mut sightings, mut frames) = (bytes.as_slice(), 0, 0);
    while let Deframed::Frame { frame, consumed } = deframe(rest, MAX_FRAME_BYTES).unwrap() {
        let Message::Sightings(batch) = Message::decode(frame).unwrap() else { panic!("sightings") };
        sightings += u32::from(batch.sighting_count());
        frames += 1;
        rest = &rest[consumed..];
    }
    assert!(rest.is_empty());
    let counted = text.lines().find(|line| line.contains(" sightings in ")).unwrap().replace(',', "");
    assert!(counted.starts_with(&format!("{sightings} sightings in {frames} frames")), "{text}");
    assert!((5_000..7_000).contains(&sightings), "{text}");
}

#[test]
fn a_seed_has_one_fingerprint_and_shards_have_it_together() {
    let whole = fingerprint(&generate(&[]));
    assert_eq!(fingerprint(&generate(&[])), whole);
    assert_ne!(fingerprint(&generate(&["--seed", "2"])), whole);
    let parts = ["1/3", "2/3", "3/3"].map(|shard| fingerprint(&generate(&["--shard", shard])));
    assert_eq!(parts.into_iter().fold(0, u64::wrapping_add), whole);
}

#[test]
fn what_cannot_be_is_one_clear_line() {
    // Bound for UDP and held: nobody listens there over TCP.
    let held = UdpSocket::bind("127.0.0.1:0").unwrap();
    let nobody = format!("tcp://{}", held.local_addr().unwrap());
    for (arguments, code, says) in [
        (&["--into", &nobody][..], 69, "target tcp://127.0.0.1:"),
        (&["--into", "udp://127.0.0.1:9"], 64, "only tcp://"),
        (&["--set", "population.custmers=1"], 78, "is population.customers meant?"),
    ] {
        let Output { status, stderr, stdout } = loadtest(&[&["generate"], arguments].concat());
        let error = String::from_utf8(stderr).unwrap();
        assert_eq!((status.code(), stdout.as_slice()), (Some(code), b"".as_slice()), "{error}");
        assert!(error.starts_with("loadtest: ") && error.contains(says), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn a_registry_names_every_beacon_and_every_gateway_once() {
    let directory = tempfile::tempdir().unwrap();
    let into = directory.path().join("new/registry");
    let Output { status, stdout, .. } =
        loadtest(&["registry", "--scenario", "smoke", "--into", into.to_str().unwrap()]);
    assert!(status.success());
    assert!(String::from_utf8(stdout).unwrap().starts_with("10,000 beacons and 20 gateways written into "));
    let first_fields = |file: &str| {
        let text = std::fs::read_to_string(Path::new(&into).join(file)).unwrap();
        let mut fields: Vec<String> =
            text.lines().skip(1).map(|line| line.split(',').next().unwrap().to_owned()).collect();
        fields.sort_unstable();
        fields.dedup();
        fields.len()
    };
    assert_eq!((first_fields("beacons.csv"), first_fields("gateways.csv")), (10_000, 20));
}
