//! The generated set frame by frame: once, again, after a restart, and from many gateways at once.

use crate::expectation::GATEWAY;
use crate::generated::generated_set;
use crate::harness::daemon::Daemon;
use crate::harness::frames::batches;
use crate::harness::home::Home;
use crate::harness::ledger::OUTCOMES;
use crate::harness::reply::Record;
use crate::harness::store;
use crate::model::tables::Tables;
use crate::model::{Outcome, Sighting};

/// Gateways that send at once.
const GATEWAYS: usize = 8;

/// Sends the sightings over TCP as `gateway_id`, and compares every record with what must be in it.
fn assert_answered(daemon: &Daemon, gateway_id: &str, sightings: &[Sighting], mut outcomes: &[Outcome]) {
    let mut gateway = daemon.connect();
    let window_frames = gateway.open(gateway_id).window_frames;
    let records = gateway.send_all(sightings, usize::try_from(window_frames).unwrap());
    let batches = batches(sightings);
    assert_eq!(records.len(), batches.len());
    for ((sequence, record), batch) in (1..).zip(&records).zip(batches) {
        let (of_frame, rest) = outcomes.split_at(batch.len());
        assert_eq!(record, &expected_record(sequence, of_frame), "{batch:?}");
        outcomes = rest;
    }
}

fn expected_record(sequence: u64, outcomes: &[Outcome]) -> Record {
    let mut record =
        Record { sequence, status: 0, dead_lettered: 0, counts: [0; OUTCOMES.len()], exceptions: Vec::new() };
    for (index, outcome) in (0..).zip(outcomes) {
        let (code, detail) = outcome.code();
        record.counts[usize::from(code)] += 1;
        if code <= 7 {
            record.exceptions.push((index, code, detail));
        }
    }
    record
}

#[track_caller]
fn assert_stored(home: &Home, tables: &Tables, when: &str) {
    tables.assert_found(&store::tables(&home.data()), when);
}

#[test]
fn every_frame_of_the_generated_set_is_answered_as_the_model_says_also_again_and_after_a_restart() {
    let (set, home, mut expectation) = generated_set();
    let tables = Tables::expected(&expectation.model);
    let daemon = home.serve_with(&[]);
    assert_answered(&daemon, GATEWAY, &set.sightings, &expectation.outcomes);
    expectation.assert_counted(&daemon);
    assert_stored(&home, &tables, "sent once");

    // What comes again can find more in its way than the first time, and never makes another identity.
    let again = expectation.model.decide_all(GATEWAY, &set.sightings, set.base_us);
    assert_eq!(Tables::expected(&expectation.model), tables);
    assert_answered(&daemon, GATEWAY, &set.sightings, &again);
    assert_eq!(daemon.stats().number("identified_new"), expectation.identities());
    assert_stored(&home, &tables, "sent twice");
    daemon.stop();

    // Nothing is in memory now: everything is asked of the store.
    let daemon = home.serve_with(&[]);
    assert_answered(&daemon, GATEWAY, &set.sightings, &again);
    assert_eq!(daemon.stats().number("identified_new"), 0);
    assert_stored(&home, &tables, "sent again after a restart");
    daemon.stop();
}

#[test]
fn many_gateways_at_once_are_answered_as_the_model_says() {
    let (set, home, expectation) = generated_set();
    let stores: Vec<&str> = set.stores.iter().map(String::as_str).collect();
    let names: Vec<String> = (1..=GATEWAYS).map(|number| format!("gateway-{number}")).collect();
    let registered: Vec<_> = names.iter().map(|name| (name.as_str(), stores.as_slice(), "active")).collect();
    home.import_gateways(&registered);
    // Each customer is heard by one gateway, so that the order of what concerns it is the order of the set.
    let mut parts = vec![(Vec::new(), Vec::new()); GATEWAYS];
    for (sighting, outcome) in set.sightings.iter().zip(&expectation.outcomes) {
        let sum: usize = sighting.customer_id.iter().map(|byte| usize::from(*byte)).sum();
        let (sightings, outcomes) = &mut parts[sum % GATEWAYS];
        sightings.push(sighting.clone());
        outcomes.push(*outcome);
    }
    let daemon = home.serve_with(&[]);
    std::thread::scope(|scope| {
        for (name, (sightings, outcomes)) in names.iter().zip(&parts) {
            let daemon = &daemon;
            scope.spawn(move || assert_answered(daemon, name, sightings, outcomes));
        }
    });
    expectation.assert_counted(&daemon);
    assert_stored(&home, &Tables::expected(&expectation.model), "sent by many");
    daemon.stop();
}
