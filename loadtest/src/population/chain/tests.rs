//! What chains hear, held against what the scenario says.

use std::collections::HashMap;
use std::sync::Arc;

use super::*;
use crate::scenario::{Curve, Load, Offline, PopulationPlan, Profile, Scenario, Shares, Span};

const SECOND_US: i64 = 1_000_000;

fn flat() -> Scenario {
    Scenario {
        population: PopulationPlan {
            customers: 20_000,
            stores: 100,
            gateways: 4,
            present: 0.5,
            curve: Curve::Flat,
            ..PopulationPlan::default()
        },
        load: Load { duration: Span::seconds(120), ..Load::default() },
        offline: Offline::default(),
        ..Scenario::default()
    }
}

fn heard(scenario: &Scenario, gateway: u32, seconds: i64) -> Vec<Heard> {
    let mut heard = Vec::new();
    Chain::new(&Population::new(Arc::new(scenario.clone())), gateway, 0)
        .hear(seconds * SECOND_US, &mut heard);
    heard
}

/// When it happened, not when it is told to have.
fn happened_us(sighting: &Heard) -> i64 {
    match sighting.expected {
        OutcomeCode::TooOld => sighting.at_us + TOO_OLD_US,
        OutcomeCode::ClockSkew => sighting.at_us - SKEWED_US,
        _ => sighting.at_us,
    }
}

#[test]
fn the_same_is_heard_however_it_is_asked_for() {
    let scenario = flat();
    let at_once = heard(&scenario, 1, 30);
    let mut chain = Chain::new(&Population::new(Arc::new(scenario.clone())), 1, 0);
    let mut in_steps = Vec::new();
    for until in (0..=30 * SECOND_US).step_by(70_001).chain([30 * SECOND_US]) {
        chain.hear(until, &mut in_steps);
    }
    assert_eq!(in_steps, at_once);
    assert_ne!(heard(&Scenario { seed: 2, ..scenario.clone() }, 1, 30), at_once);
    assert_ne!(heard(&scenario, 2, 30).len(), 0);
}

#[test]
fn sightings_come_at_the_rate_and_in_the_shares_of_the_scenario() {
    let heard = heard(&flat(), 0, 100);
    // 5,000 customers, half of them there, each every 10 s.
    let rate = heard.len() as f64 / 100.0;
    assert!((235.0..265.0).contains(&rate), "{rate}");
    let shares = Shares::default();
    for (code, share) in [
        (OutcomeCode::Identified, shares.eligible()),
        (OutcomeCode::LowConfidence, shares.low_confidence),
        (OutcomeCode::UnknownBeacon, shares.unknown_beacon),
        (OutcomeCode::Invalid, shares.invalid),
    ] {
        let found = heard.iter().filter(|sighting| sighting.expected == code).count() as f64;
        let all = heard.len() as f64;
        let deviation = (all * share * (1.0 - share)).sqrt();
        assert!((found - all * share).abs() < 5.0 * deviation, "{code:?}: {found} of {all}");
    }
}

#[test]
fn times_are_in_order_and_each_customers_far_apart() {
    let heard = heard(&flat(), 3, 60);
    assert!(heard.is_sorted_by_key(happened_us));
    let mut last: HashMap<u32, i64> = HashMap::new();
    for sighting in &heard {
        let at = happened_us(sighting);
        if let Some(before) = last.insert(sighting.customer, at) {
            assert!(at - before > 4 * SECOND_US, "{} us", at - before);
        }
        assert!(sighting.at_us != happened_us(sighting) || sighting.at_us <= 60 * SECOND_US);
    }
}

#[test]
fn who_opens_a_visit_was_not_eligible_within_a_minute() {
    let scenario = Scenario {
        population: PopulationPlan { stay: Span::seconds(20), customers: 2_000, ..flat().population },
        load: Load { duration: Span::seconds(600), ..Load::default() },
        ..flat()
    };
    let heard = heard(&scenario, 0, 600);
    let mut last: HashMap<u32, i64> = HashMap::new();
    let mut opened = 0;
    for sighting in heard.iter().filter(|sighting| sighting.expected == OutcomeCode::Identified) {
        let before = last.insert(sighting.customer, sighting.at_us);
        let is_fresh = before.is_none_or(|before| sighting.at_us - before >= 60 * SECOND_US);
        assert!(!sighting.opens_visit || is_fresh);
        opened += usize::from(sighting.opens_visit);
    }
    assert!(opened > 1_000, "{opened}");
}

#[test]
fn in_a_census_everybody_is_heard_and_eligible() {
    let mut scenario = flat();
    scenario.population.visits = Visits::EachOnce;
    scenario.population.stay = Span::seconds(10);
    scenario.shares.low_confidence = 0.5;
    for gateway in 0..4 {
        let heard = heard(&scenario, gateway, 120);
        let mut eligible: Vec<u32> = heard
            .iter()
            .filter(|sighting| sighting.expected == OutcomeCode::Identified)
            .map(|sighting| sighting.customer)
            .collect();
        eligible.sort_unstable();
        eligible.dedup();
        assert_eq!(eligible, (gateway * 5_000..(gateway + 1) * 5_000).collect::<Vec<_>>());
    }
}

#[test]
fn the_level_is_followed_at_once() {
    let mut scenario = flat();
    scenario.load.profile = Profile::Spike;
    scenario.load.peak = 1.8;
    let heard = heard(&scenario, 0, 120);
    let within = |from: i64, to: i64| {
        let range = from * SECOND_US..to * SECOND_US;
        heard.iter().filter(|sighting| range.contains(&happened_us(sighting))).count() as f64
            / (to - from) as f64
    };
    let (calm, spike) = (within(0, 54), within(54, 66));
    assert!((1.65..1.95).contains(&(spike / calm)), "{calm} {spike}");
    assert!((235.0..265.0).contains(&calm), "{calm}");
}

#[test]
fn what_was_heard_before_the_begin_is_told_by_its_time() {
    let population = Population::new(Arc::new(flat()));
    let mut chain = Chain::new(&population, 0, -60 * SECOND_US);
    let mut heard = Vec::new();
    chain.hear(0, &mut heard);
    assert!(heard.len() > 10_000, "{}", heard.len());
    assert!(heard.iter().all(|sighting| (-60 * SECOND_US..0).contains(&happened_us(sighting))));
}

#[test]
fn after_a_long_interval_a_tick_is_long_and_still_nobody_is_taken_for_new_within_a_minute() {
    let mut scenario = flat();
    scenario.population.sighted_every = Span::minutes(2);
    scenario.population.stay = Span::minutes(120);
    let mut last: HashMap<u32, i64> = HashMap::new();
    let mut opened = 0;
    for sighting in heard(&scenario, 0, 3_600).iter().filter(|s| s.expected == OutcomeCode::Identified) {
        let before = last.insert(sighting.customer, sighting.at_us);
        let is_fresh = before.is_none_or(|before| sighting.at_us - before > 60 * SECOND_US);
        assert!(!sighting.opens_visit || is_fresh);
        opened += usize::from(sighting.opens_visit);
    }
    assert!(opened > 20_000, "{opened}");
}

#[test]
fn nobody_is_in_two_places() {
    let mut scenario = flat();
    scenario.population.guests = 0.3;
    scenario.population.stay = Span::seconds(30);
    let turn_us = 4 * 30 * SECOND_US;
    let mut heard_by: HashMap<(u32, i64), u32> = HashMap::new();
    let mut travelled: HashMap<u32, u32> = HashMap::new();
    for gateway in 0..4 {
        let mut stores: HashMap<u32, (u32, i64)> = HashMap::new();
        for sighting in heard(&scenario, gateway, 600) {
            let turn = happened_us(&sighting).div_euclid(turn_us);
            let by = *heard_by.entry((sighting.customer, turn)).or_insert(gateway);
            assert_eq!(by, gateway, "customer {} in turn {turn}", sighting.customer);
            *travelled.entry(sighting.customer).or_default() |= 1 << gateway;
            // Whoever changes stores was away in between: longer than the least between two sightings.
            let (store, at) = (sighting.beacon / 10, happened_us(&sighting));
            if let Some((before, last)) = stores.insert(sighting.customer, (store, at)) {
                assert!(before == store || at - last > SECOND_US / 100, "{before} {store} {}", at - last);
            }
        }
    }
    let by_several = travelled.values().filter(|gateways| gateways.count_ones() > 1).count();
    assert!(by_several > 3_000, "{by_several}");
}

/// On every machine: a change of what a seed makes is meant, or is a mistake.
#[test]
fn a_seed_makes_the_same_sightings_everywhere_and_for_ever() {
    let mut scenario = flat();
    scenario.population.guests = 0.1;
    scenario.population.curve = Curve::LunchDinner;
    let mut checksum = 0;
    let heard = heard(&scenario, 1, 60);
    for sighting in &heard {
        let Heard { customer, beacon, at_us, rssi_dbm, expected, .. } = sighting;
        let text = format!("{customer} {beacon} {at_us} {rssi_dbm} {}\n", expected.label());
        checksum = crc32c::crc32c_append(checksum, text.as_bytes());
    }
    assert_eq!((heard.len(), checksum), (14_926, 2_290_463_004));
}

#[test]
fn guests_are_there_from_the_begin_in_their_share() {
    let mut scenario = flat();
    scenario.population.guests = 0.2;
    let layout = Population::new(Arc::new(scenario.clone())).layout();
    let heard = heard(&scenario, 1, 60);
    let guests = heard.iter().filter(|s| !layout.customers_of(1).contains(&s.customer)).count();
    let (share, rate) = (guests as f64 / heard.len() as f64, heard.len() as f64 / 60.0);
    assert!((0.17..0.23).contains(&share), "{share}");
    assert!((235.0..265.0).contains(&rate), "{rate}");
}

#[test]
fn guests_are_others_customers_and_forbidden_beacons_others_stores() {
    let mut scenario = flat();
    scenario.population.guests = 0.2;
    scenario.population.stay = Span::seconds(30);
    scenario.shares.forbidden = 0.1;
    let population = Population::new(Arc::new(scenario.clone()));
    let layout = population.layout();
    let heard = heard(&scenario, 2, 120);
    let guests: Vec<&Heard> =
        heard.iter().filter(|s| !layout.customers_of(2).contains(&s.customer)).collect();
    let share = guests.len() as f64 / heard.len() as f64;
    assert!((0.05..0.25).contains(&share), "{share}");
    assert!(guests.iter().all(|guest| !guest.opens_visit));
    for sighting in &heard {
        let is_own = layout.stores_of(2).contains(&layout.store_of(sighting.beacon));
        assert_eq!(is_own, sighting.expected != OutcomeCode::Forbidden);
        let is_inactive = sighting.beacon % 10 == 9;
        assert_eq!(is_inactive, sighting.expected == OutcomeCode::BeaconInactive);
    }
}
