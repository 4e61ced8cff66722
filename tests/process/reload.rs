//! SIGHUP: what a new configuration changes in a running daemon, what it says that it does not, and a bad one.

use std::fs;

use crate::harness::PATIENCE;
use crate::harness::daemon::Daemon;
use crate::harness::frames;
use crate::harness::home::Home;
use crate::model::generated::heard;
use crate::scene::table;

const WITHOUT: &str = "[sessions]\nmax_tcp = 100\n";

/// A daemon with this configuration, and its beacon.
fn serving(toml: &str) -> (Home, Daemon) {
    let home = Home::configured(Some(toml), Vec::new());
    home.import_beacons(&[table()]);
    let daemon = home.serve();
    (home, daemon)
}

/// Has the daemon read another configuration, and waits until it has said so.
#[track_caller]
fn reload(home: &Home, daemon: &Daemon, toml: &str, said: &str) {
    fs::write(home.path("beacond.toml"), toml).unwrap();
    daemon.signal("HUP");
    assert!(daemon.stderr.wait_for_line(said, PATIENCE), "{}", daemon.stderr.text());
}

const APPLIED: &str = "was read again";

#[test]
fn rules_hold_from_the_next_frame_on_and_the_session_goes_on() {
    let (home, daemon) = serving(WITHOUT);
    let mut gateway = daemon.tcp_session("gateway");
    let mut outcome = |sequence: u64, customer: &str| {
        let seen = heard(customer.into(), crate::harness::now_us(), &table(), -60);
        gateway.ask(&frames::sightings(sequence, &[seen])).outcomes()
    };
    assert_eq!(outcome(1, "alice"), [("identified", 1)]);
    reload(&home, &daemon, "[rules]\ntable_midpoint_dbm = -40\n[sessions]\nmax_tcp = 100\n", APPLIED);
    let text = daemon.stderr.text();
    let line = text.lines().find(|line| line.contains(APPLIED)).unwrap();
    assert!(line.contains("rules.table_midpoint_dbm") && !line.contains("max_tcp"), "{line}");
    assert_eq!(outcome(2, "bob"), [("low_confidence", 1)]);
    daemon.stop();
}

#[test]
fn limits_of_sessions_hold_for_those_that_come() {
    let (home, daemon) = serving("[sessions]\nmax_tcp = 1\n");
    let first = daemon.tcp_session("gateway");
    assert_eq!(daemon.connect().open_refused("gateway"), "too_many_sessions");
    reload(&home, &daemon, "[sessions]\nmax_tcp = 2\n", APPLIED);
    let second = daemon.tcp_session("gateway");
    drop((first, second));
    daemon.stop();
}

#[test]
fn what_needs_a_restart_is_named_a_line_each_and_named_again() {
    let (home, daemon) = serving(WITHOUT);
    let changed =
        "[sessions]\nmax_tcp = 100\n[pipeline]\nqueue_rows = 9999\n[listen]\nadmin = \"127.0.0.1:1\"\n";
    reload(&home, &daemon, changed, APPLIED);
    let named = |text: &str| {
        let restarts = text.lines().filter(|line| line.contains("next start"));
        let keys = ["pipeline.queue_rows", "listen.admin"];
        restarts.map(|line| keys.iter().position(|key| line.contains(key))).collect::<Vec<_>>()
    };
    assert_eq!(named(&daemon.stderr.text()), [Some(1), Some(0)], "{}", daemon.stderr.text());
    daemon.signal("HUP");
    daemon.wait_for_stats("read twice", |stats| stats.reloads("applied") == 2);
    assert!(daemon.page("/metrics").1.contains("beacond_config_reloads_total{result=\"applied\"} 2"));
    daemon.stop();
}

#[test]
fn a_bad_configuration_changes_nothing_and_says_why() {
    let (home, daemon) = serving(WITHOUT);
    reload(&home, &daemon, "[rules]\ntable_midpoint_dbm = -40\nscale_dbm = 0\n", "cannot be used");
    assert!(daemon.stderr.text().contains("rules.scale_dbm"), "{}", daemon.stderr.text());
    let seen = heard("alice".into(), crate::harness::now_us(), &table(), -60);
    let record = daemon.tcp_session("gateway").ask(&frames::sightings(1, &[seen]));
    assert_eq!(record.outcomes(), [("identified", 1)]);
    assert_eq!(daemon.wait_for_stats("refused", |stats| stats.reloads("refused") == 1).reloads("applied"), 0);
    daemon.stop();
}

#[test]
fn the_log_level_is_taken_where_the_environment_does_not_say() {
    let (home, daemon) = serving("[log]\nlevel = \"error\"\n");
    assert!(!daemon.stderr.text().contains("beacond serves"), "{}", daemon.stderr.text());
    reload(&home, &daemon, "[log]\nlevel = \"info\"\n", APPLIED);
    daemon.stop();

    let environment = vec![("BEACOND_LOG", "info".to_owned())];
    let home = Home::configured(Some("[log]\nlevel = \"error\"\n"), environment);
    let daemon = home.serve();
    assert!(daemon.stderr.wait_for_line("beacond serves", PATIENCE), "{}", daemon.stderr.text());
    daemon.stop();
}

#[test]
fn what_is_in_the_journal_and_who_is_connected_is_still_there_after_many_signals() {
    let (home, daemon) = serving(WITHOUT);
    let lock = crate::harness::store::connect(&home.data());
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut gateway = daemon.tcp_session("gateway");
    let seen = heard("alice".into(), crate::harness::now_us(), &table(), -40);
    gateway.send(&frames::sightings(1, &[seen]));
    daemon.wait_for_stats("it waits for the store", |stats| stats.store("waiting") == 1);
    for applied in 1..=5 {
        daemon.signal("HUP");
        daemon.wait_for_stats("applied", |stats| stats.reloads("applied") == applied);
    }
    lock.execute_batch("ROLLBACK").unwrap();
    assert_eq!(gateway.receive().ack().records[0].outcomes(), [("identified", 1)]);
    daemon.stop();
}
