//! The generated set, by the load tester and frame by frame.

use std::time::Duration;

use crate::expectation::{Expectation, GATEWAY};
use crate::harness::daemon::Daemon;
use crate::harness::home::Home;
use crate::harness::replay::report;
use crate::harness::{self, store};
use crate::model::generated::{Generated, generated};
use crate::model::tables::Tables;
use crate::model::tracks::write_sightings;
use crate::model::{Model, Scope};

/// Seed of the generated set, which is the same in every run but for the time it is around.
const SEED: u64 = 20_260_101;

/// The ledger is read again and again, but the daemon is to do something else too.
const BETWEEN_READINGS: Duration = Duration::from_millis(2);

/// The generated set, a home where it may be sent, and what must come of it.
pub(crate) fn generated_set() -> (Generated, Home, Expectation) {
    let now_us = harness::now_us();
    let set = generated(now_us, SEED);
    let home = Home::with_beacons(&set.beacons);
    let stores: Vec<&str> = set.stores.iter().map(String::as_str).collect();
    home.import_gateways(&[(GATEWAY, &stores, "active")]);
    let model = Model::new(&set.beacons, &[(GATEWAY.to_owned(), Scope::Stores(set.stores.clone()))]);
    let expectation = Expectation::of(model, &set.sightings, now_us);
    (set, home, expectation)
}

fn generated_set_by_loadtest(config: &str, target: impl Fn(&Daemon) -> String, arguments: &[&str]) {
    let (set, home, expectation) = generated_set();
    let file = home.path("generated.csv");
    write_sightings(&file, &set.sightings);
    let config = home.write("beacond.toml", config);
    let daemon = home.serve_with(&["--config", config.to_str().unwrap()]);
    let (mut readings, target) = (0, target(&daemon));
    let sent = std::thread::scope(|scope| {
        let sending = scope.spawn(|| report(&home.path(""), &file, &target, arguments));
        while !sending.is_finished() {
            // Fails unless the equations of conservation hold in it.
            daemon.stats();
            readings += 1;
            daemon.stderr.wait_for_more(BETWEEN_READINGS);
        }
        sending.join().unwrap()
    });
    println!("{readings} readings of the ledger while it was sent");
    assert!(readings > 10);
    assert_eq!(sent, expectation.report(), "{:?}", daemon.stats());
    daemon.all_stored();
    expectation.assert_counted(&daemon);
    Tables::expected(&expectation.model).assert_found(&store::tables(&home.data()), "the generated set");
    daemon.stop();
}

#[test]
fn the_generated_set_over_tcp_makes_what_the_model_says_and_is_in_balance_all_the_while() {
    generated_set_by_loadtest("", |daemon| format!("tcp://{}", daemon.tcp), &[]);
}

#[test]
fn the_generated_set_over_udp_makes_what_the_model_says_and_is_in_balance_all_the_while() {
    // Frame by frame, a batch has nothing to wait for.
    let config = "[pipeline]\nbatch_age_ms = 0\n";
    generated_set_by_loadtest(config, |daemon| format!("udp://{}", daemon.udp), &["--in-flight", "1"]);
}
