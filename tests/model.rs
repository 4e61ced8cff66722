//! The reference model, checked on cases written by hand from the document, and the set generated for it.

#[allow(dead_code, reason = "each test binary uses its part of what they share")]
#[cfg(test)]
#[path = "model/mod.rs"]
mod model;

use std::collections::BTreeMap;

use model::cases::{CASES, Place};
use model::generated::{Generated, LATEST_US, SIGHTINGS, generated, heard};
use model::random::Random;
use model::tables::{Bits, EventRow, IdentityRow, Tables, utc_text};
use model::{Beacon, Fault, Model, Outcome, Scope, confidence, totals};
use uuid::Uuid;

const GATEWAY: &str = "gateway";
const NOW_US: i64 = 1_800_000_000_000_000;
const MINUTE_US: i64 = 60_000_000;
const DAY_US: i64 = 24 * 60 * MINUTE_US;

fn beacon(number: u128, store: &str, status: &str) -> Beacon {
    Beacon {
        id: Uuid::from_u128(number),
        store: store.to_owned(),
        major: 7,
        minor: 9,
        location: Some("Table 3".to_owned()),
        location_type: Some("table".to_owned()),
        status: status.to_owned(),
    }
}

fn model_of(beacons: &[Beacon]) -> Model {
    Model::new(beacons, &[(GATEWAY.to_owned(), Scope::Stores(vec!["ours".to_owned()]))])
}

#[test]
fn every_case_has_the_outcomes_written_beside_it() {
    let here = beacon(1, "ours", "active");
    let there = beacon(2, "ours", "active");
    let retired = beacon(3, "ours", "maintenance");
    let foreign = beacon(4, "theirs", "active");
    let beacons = [here, there, retired, foreign];
    for case in CASES {
        let mut model = model_of(&beacons);
        for (number, step) in case.steps.iter().enumerate() {
            let beacon = match step.1 {
                Place::Here | Place::Copied => &beacons[0],
                Place::There => &beacons[1],
                Place::Retired => &beacons[2],
                Place::Foreign => &beacons[3],
            };
            let mut sighting = heard(b"alice".to_vec(), NOW_US + step.0, beacon, step.2);
            sighting.minor ^= u16::from(step.1 == Place::Copied);
            let outcome = model.decide(GATEWAY, &sighting, NOW_US);
            assert_eq!(outcome, step.3, "{}: step {number}", case.shows);
        }
    }
}

#[test]
fn customers_never_share_their_minute() {
    let beacons = [beacon(1, "ours", "active")];
    let mut model = model_of(&beacons);
    for customer in ["alice", "Alice", "alice ", "àlice", "a\u{300}lice"] {
        let sighting = heard(customer.into(), NOW_US, &beacons[0], -40);
        assert_eq!(model.decide(GATEWAY, &sighting, NOW_US), Outcome::Identified, "{customer}");
    }
}

#[test]
fn a_customer_id_has_1_to_64_characters_and_no_control_character() {
    let beacons = [beacon(1, "ours", "active")];
    let lawful = [b"a".to_vec(), vec![b'x'; 64], "界".repeat(64).into_bytes(), "\u{a0}".into()];
    for id in lawful {
        let outcome =
            model_of(&beacons).decide(GATEWAY, &heard(id.clone(), NOW_US, &beacons[0], -40), NOW_US);
        assert_eq!(outcome, Outcome::Identified, "{id:?}");
    }
    for (id, fault) in [
        (b"".to_vec(), Fault::Empty),
        (vec![b'x'; 65], Fault::Long),
        ("界".repeat(65).into_bytes(), Fault::Long),
        (b"a\0b".to_vec(), Fault::Control),
        (b"\x7f".to_vec(), Fault::Control),
        ("\u{85}".into(), Fault::Control),
        (b"\xff".to_vec(), Fault::NotUtf8),
        (b"cut\xe7\x95".to_vec(), Fault::NotUtf8),
    ] {
        let outcome =
            model_of(&beacons).decide(GATEWAY, &heard(id.clone(), NOW_US, &beacons[0], -40), NOW_US);
        assert_eq!(outcome, Outcome::Invalid(fault), "{id:?}");
    }
}

#[test]
fn rules_apply_in_their_order() {
    let beacons =
        [beacon(1, "theirs", "inactive"), beacon(2, "theirs", "active"), beacon(3, "ours", "active")];
    // Everything is wrong with it; then one thing after the other is put right.
    let mut sighting = heard(Vec::new(), NOW_US + 5 * MINUTE_US + 1, &beacons[0], -101);
    (sighting.beacon, sighting.major) = (Uuid::from_u128(9), 8);
    let mut outcomes = Vec::new();
    let mut model = model_of(&beacons);
    let mut decide = |sighting: &model::Sighting| outcomes.push(model.decide(GATEWAY, sighting, NOW_US));
    decide(&sighting);
    sighting.customer_id = b"alice".to_vec();
    decide(&sighting);
    sighting.rssi_dbm = -100;
    decide(&sighting);
    sighting.detected_at_us = NOW_US - 7 * DAY_US - 1;
    decide(&sighting);
    sighting.detected_at_us = NOW_US - 7 * DAY_US;
    decide(&sighting);
    sighting.beacon = beacons[0].id;
    decide(&sighting);
    sighting.major = 7;
    decide(&sighting);
    sighting.beacon = beacons[1].id;
    decide(&sighting);
    sighting.beacon = beacons[2].id;
    decide(&sighting);
    sighting.rssi_dbm = 0;
    decide(&sighting);
    sighting.detected_at_us = NOW_US + 5 * MINUTE_US;
    decide(&sighting);
    sighting.detected_at_us -= 1;
    decide(&sighting);
    assert_eq!(
        outcomes,
        [
            Outcome::Invalid(Fault::Empty),
            Outcome::Invalid(Fault::Rssi),
            Outcome::ClockSkew,
            Outcome::TooOld,
            Outcome::UnknownBeacon,
            Outcome::BeaconMismatch,
            Outcome::BeaconInactive,
            Outcome::Forbidden,
            Outcome::LowConfidence,
            Outcome::Identified,
            Outcome::Identified,
            Outcome::Duplicate,
        ]
    );
}

#[test]
fn the_weakest_reading_that_identifies_depends_on_the_type_of_location() {
    // 0.8 is where the odds are 4: ln 4 * 4 dBm = 5.545 dBm above the midpoint.
    for (kind, weakest) in
        [(None, -62), (Some("table"), -62), (Some("counter"), -66), (Some("entrance"), -70)]
    {
        assert!(confidence(weakest, kind) >= 0.8, "{kind:?}");
        assert!(confidence(weakest - 1, kind) < 0.8, "{kind:?}");
    }
    assert_eq!(confidence(-68, None), 0.5);
    assert!((confidence(-60, None) - 0.880_797_1).abs() < 1e-6);
}

#[test]
fn a_gateway_unknown_to_the_model_may_report_nothing() {
    let beacons = [beacon(1, "ours", "active")];
    let sighting = heard(b"alice".to_vec(), NOW_US, &beacons[0], -40);
    assert_eq!(model_of(&beacons).decide("another", &sighting, NOW_US), Outcome::Forbidden);
    let mut open = Model::of_one_gateway(&beacons, "another");
    assert_eq!(open.decide("another", &sighting, NOW_US), Outcome::Identified);
}

#[test]
fn tables_hold_each_identity_once_and_the_newest_time_of_each_customer() {
    let beacons = [beacon(1, "ours", "active")];
    let mut model = model_of(&beacons);
    let at_us = 1_709_210_096_000_009; // 2024-02-29T12:34:56.000009Z
    for offset_us in [0, -2 * MINUTE_US, 0] {
        let sighting = heard(b"alice".to_vec(), at_us + offset_us, &beacons[0], -60);
        assert_eq!(model.decide(GATEWAY, &sighting, at_us), Outcome::Identified);
    }
    let row = |detected_at: &str| IdentityRow {
        customer_id: "alice".to_owned(),
        detected_at: detected_at.to_owned(),
        beacon_id: "00000000-0000-0000-0000-000000000001".to_owned(),
        location: Some("Table 3".to_owned()),
        confidence: Bits::of(confidence(-60, Some("table"))),
    };
    let rows = [row("2024-02-29T12:32:56.000009Z"), row("2024-02-29T12:34:56.000009Z")];
    let event = |identity: &IdentityRow, expires_at_s| EventRow { identity: identity.clone(), expires_at_s };
    let expected = Tables {
        identities: rows.to_vec(),
        last_seen: BTreeMap::from([("alice".to_owned(), rows[1].detected_at.clone())]),
        events: vec![event(&rows[0], 1_740_745_976), event(&rows[1], 1_740_746_096)],
    };
    expected.assert_found(&Tables::expected(&model), "by hand");
}

#[test]
fn times_are_written_by_the_calendar() {
    for (micros, text) in [
        (0, "1970-01-01T00:00:00.000000Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
        (1_798_761_599_999_999, "2026-12-31T23:59:59.999999Z"),
        (1_798_761_600_000_000, "2027-01-01T00:00:00.000000Z"),
    ] {
        assert_eq!(utc_text(micros), text);
    }
}

fn decided(set: &Generated, now_us: i64) -> (Vec<Outcome>, Model) {
    let mut model = Model::new(&set.beacons, &[(GATEWAY.to_owned(), Scope::Stores(set.stores.clone()))]);
    let outcomes = model.decide_all(GATEWAY, &set.sightings, now_us);
    (outcomes, model)
}

#[test]
fn the_generated_set_has_every_outcome_and_an_identity_in_about_six() {
    let set = generated(NOW_US, 1);
    let (outcomes, model) = decided(&set, NOW_US);
    let totals = totals(&outcomes);
    println!("{} sightings: {totals:?}", outcomes.len());
    assert!(outcomes.len() >= SIGHTINGS);
    assert_eq!(totals.len(), 10, "an outcome is missing");
    assert!(totals.values().all(|&count| count > 1_000), "{totals:?}");
    for fault in [Fault::Empty, Fault::Long, Fault::Control, Fault::NotUtf8, Fault::Rssi] {
        let count = outcomes.iter().filter(|&&outcome| outcome == Outcome::Invalid(fault)).count();
        assert!(count > 300, "{fault:?}: {count}");
    }
    let identities = model.identities().count();
    assert!((5 * identities..=7 * identities).contains(&outcomes.len()), "{identities} identities");
    let redelivered = totals["identified"] - u64::try_from(identities).unwrap();
    assert!(redelivered > 1_000, "{redelivered} redelivered");
}

#[test]
fn the_generated_set_is_up_to_four_minutes_out_of_order() {
    let set = generated(NOW_US, 1);
    let in_half_hour = |at_us: &i64| (-25 * MINUTE_US..=3 * MINUTE_US).contains(&(at_us - NOW_US));
    let (mut newest_us, mut latest_us) = (i64::MIN, 0);
    for at_us in set.sightings.iter().map(|sighting| sighting.detected_at_us).filter(in_half_hour) {
        newest_us = newest_us.max(at_us);
        latest_us = latest_us.max(newest_us - at_us);
    }
    assert!((LATEST_US - 5_000_000..=LATEST_US).contains(&latest_us), "{latest_us} us late");
}

#[test]
fn no_verdict_on_the_generated_set_depends_on_how_long_it_takes_to_send() {
    let set = generated(NOW_US, 1);
    let (at_once, _) = decided(&set, NOW_US - 30_000_000);
    let (after_ten_minutes, _) = decided(&set, NOW_US + 10 * MINUTE_US);
    assert!(at_once == after_ten_minutes);
}

#[test]
fn the_generated_set_is_the_same_in_every_run_and_another_for_another_seed() {
    let sets = [1, 1, 2].map(|seed| generated(NOW_US, seed).sightings);
    assert!(sets[0] == sets[1]);
    assert!(sets[0] != sets[2]);
    assert_eq!(Random::new(0).next(), 0xE220_A839_7B1D_CDAF);
}

#[test]
fn a_difference_between_tables_is_named() {
    let set = generated(NOW_US, 3);
    let (_, model) = decided(&set, NOW_US);
    let expected = Tables::expected(&model);
    let mut found = expected.clone();
    let row = &expected.identities[0];
    found.identities.push(row.clone());
    let found = found.sorted();
    let text = expected.differences(&found);
    assert!(text.contains(" found\n") && text.contains(&format!("unexpected: {row:?}")), "{text}");
    assert_eq!(expected.differences(&expected), "");
}
