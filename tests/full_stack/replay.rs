//! Tracks sent once, again, after a restart, and through kills: every store holds what the model says, once.

use std::path::Path;
use std::time::Duration;

use crate::expectation::{Expectation, GATEWAY};
use crate::harness;
use crate::harness::daemon::Daemon;
use crate::harness::replay::{Report, report};
use crate::model::generated::{Generated, SIGHTINGS, generated};
use crate::model::tracks::{read_beacons, read_sightings, real_tracks, write_sightings};
use crate::model::{Model, Scope, totals};
use crate::stack::{FullStack, Wanted};

/// Seed of the generated set, which is the same in every run but for the time it is around.
const SEED: u64 = 20_260_301;

/// Frame by frame, a batch has nothing to wait for.
const FRAME_BY_FRAME: &str = "[pipeline]\nbatch_age_ms = 0\n";

/// The ledger is read again and again, but the daemon is to do something else too.
const BETWEEN_READINGS: Duration = Duration::from_millis(5);

/// Sends the file while the ledger is read, in which the equations of conservation must hold.
fn send(stack: &FullStack, daemon: &Daemon, file: &Path, scheme: &str, arguments: &[&str]) -> Report {
    let address = if scheme == "tcp" { daemon.tcp } else { daemon.udp };
    let (target, mut readings) = (format!("{scheme}://{address}"), 0);
    let sent = std::thread::scope(|scope| {
        let sending = scope.spawn(|| report(&stack.home.path(""), file, &target, arguments));
        while !sending.is_finished() {
            daemon.stats();
            readings += 1;
            daemon.stderr.wait_for_more(BETWEEN_READINGS);
        }
        sending.join().unwrap()
    });
    assert!(readings > 0);
    sent
}

/// Everything accepted is in both stores, by the daemon's own count.
#[track_caller]
fn assert_counted(daemon: &Daemon, expectation: &Expectation) {
    expectation.assert_counted(daemon);
    let stats = daemon.stats();
    assert_eq!((stats.events("stored"), stats.events("waiting")), (expectation.identities(), 0));
}

fn recorded_tracks(scheme: &str, arguments: &[&str], suffixes: u32) {
    let Some((tracks, beacons)) = real_tracks() else {
        println!("SKIPPED: there are no recorded tracks in ../shared/data");
        return;
    };
    let now_us = harness::now_us();
    let registered = read_beacons(&beacons);
    let model = Model::of_one_gateway(&registered, GATEWAY);
    let expectation = Expectation::of(model, &read_sightings(&tracks, now_us), now_us);
    assert_eq!((expectation.sent, expectation.identities()), (6_159, 6));
    let stack = FullStack::wanted(Wanted { suffixes, ..Wanted::default() }, &registered);
    let rebase = now_us.to_string();
    let arguments = [arguments, &["--rebase-to", &rebase]].concat();

    let daemon = stack.serve();
    assert_eq!(send(&stack, &daemon, &tracks, scheme, &arguments), expectation.report());
    assert_counted(&daemon, &expectation);
    stack.assert_holds(&expectation.model, "sent once");
    assert_eq!(send(&stack, &daemon, &tracks, scheme, &arguments), expectation.report());
    assert_eq!(daemon.stats().number("identified_new"), expectation.identities());
    stack.assert_holds(&expectation.model, "sent twice");
    daemon.stop();

    let daemon = stack.serve();
    assert_eq!(send(&stack, &daemon, &tracks, scheme, &arguments), expectation.report());
    assert_eq!(daemon.stats().number("identified_new"), 0);
    stack.assert_holds(&expectation.model, "sent again after a restart");
    daemon.stop();
}

#[test]
fn recorded_tracks_over_tcp_make_what_the_model_says_and_again_nothing() {
    recorded_tracks("tcp", &[], 1);
}

#[test]
fn recorded_tracks_over_udp_make_the_same_with_suffixed_partition_keys() {
    recorded_tracks("udp", &["--in-flight", "1"], 4);
}

/// The first `count` of the generated set, and stores that know what is registered for it.
fn generated_set(count: usize, toml: &str) -> (Generated, FullStack, Model) {
    let mut set = generated(harness::now_us(), SEED);
    set.sightings.truncate(count);
    let stack = FullStack::wanted(Wanted { toml, ..Wanted::default() }, &set.beacons);
    let stores: Vec<&str> = set.stores.iter().map(String::as_str).collect();
    stack.home.import_gateways(&[(GATEWAY, &stores, "active")]);
    write_sightings(&stack.home.path("generated.csv"), &set.sightings);
    let model = Model::new(&set.beacons, &[(GATEWAY.to_owned(), Scope::Stores(set.stores.clone()))]);
    (set, stack, model)
}

fn generated_set_thrice(count: usize, scheme: &str, toml: &str, arguments: &[&str]) {
    let (set, stack, model) = generated_set(count, toml);
    let mut expectation = Expectation::of(model, &set.sightings, set.base_us);
    let file = stack.home.path("generated.csv");
    let daemon = stack.home.serve_with(&[]);
    assert_eq!(send(&stack, &daemon, &file, scheme, arguments), expectation.report());
    assert_counted(&daemon, &expectation);
    stack.assert_holds(&expectation.model, "sent once");

    // What comes again can find more in its way than the first time, and never makes another identity.
    let again = totals(&expectation.model.decide_all(GATEWAY, &set.sightings, set.base_us));
    let again = Report { outcomes: again, ..expectation.report() };
    assert_eq!(send(&stack, &daemon, &file, scheme, arguments), again);
    assert_eq!(daemon.stats().number("identified_new"), expectation.identities());
    stack.assert_holds(&expectation.model, "sent twice");
    daemon.stop();

    // Nothing is in memory now: everything is asked of PostgreSQL.
    let daemon = stack.home.serve_with(&[]);
    assert_eq!(send(&stack, &daemon, &file, scheme, arguments), again);
    assert_eq!(daemon.stats().number("identified_new"), 0);
    stack.assert_holds(&expectation.model, "sent again after a restart");
    daemon.stop();
}

#[test]
fn the_generated_set_over_tcp_makes_what_the_model_says_and_again_nothing() {
    generated_set_thrice(SIGHTINGS / 4, "tcp", "", &[]);
}

#[test]
fn the_generated_set_over_udp_makes_what_the_model_says_and_again_nothing() {
    generated_set_thrice(SIGHTINGS / 16, "udp", FRAME_BY_FRAME, &["--in-flight", "1"]);
}

/// Sends a part of the generated set to daemons that are killed one after the other in the middle of it.
fn generated_set_through_kills(count: usize, scheme: &str, arguments: &[&str], stored_before_kill: u64) {
    const KILLS: usize = 3;
    let (set, stack, mut model) = generated_set(count, FRAME_BY_FRAME);
    let file = stack.home.path("generated.csv");
    let serve = |tcp: &str, udp: &str| stack.home.serve_with(&["--listen-tcp", tcp, "--listen-udp", udp]);
    let mut daemon = serve("127.0.0.1:0", "127.0.0.1:0");
    let (tcp, udp) = (daemon.tcp.to_string(), daemon.udp.to_string());
    let target = format!("{scheme}://{}", if scheme == "tcp" { &tcp } else { &udp });
    let (sent, daemon) = std::thread::scope(|scope| {
        let sending = scope.spawn(|| report(&stack.home.path(""), &file, &target, arguments));
        for _ in 0..KILLS {
            daemon.wait_for_stats("some are in PostgreSQL", |stats| {
                stats.store("stored") >= stored_before_kill
            });
            daemon.kill();
            daemon = serve(&tcp, &udp);
        }
        (sending.join().unwrap(), daemon)
    });
    let outcomes = model.decide_all(GATEWAY, &set.sightings, set.base_us);
    let count = u64::try_from(set.sightings.len()).unwrap();
    sent.assert_acknowledged(count, &totals(&outcomes));
    let expected = crate::model::tables::Tables::expected(&model);
    expected.assert_found(&stack.tables(), "sent through kills");
    stack.events.assert_index(&expected.events);
    assert!((1..count).contains(&daemon.stats().number("received")), "the last daemon had its part");
    daemon.stop();
}

#[test]
fn what_is_sent_over_tcp_through_kills_is_in_both_stores_once() {
    generated_set_through_kills(SIGHTINGS / 8, "tcp", &[], 300);
}

#[test]
fn what_is_sent_over_udp_through_kills_is_in_both_stores_once() {
    generated_set_through_kills(SIGHTINGS / 32, "udp", &["--in-flight", "1"], 100);
}
