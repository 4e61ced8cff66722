//! Evidence and rows made by hand, each breaking one promise: the proof must tell which.

use beacon_protocol::OutcomeCode;

use super::*;
use crate::evidence::{Answered, FrameEvidence, FrameVerdict, SightingEvidence};
use crate::population::{Heard, Naming};
use crate::scenario::Scenario;
use crate::verify::held::{Sieve, Told};
use crate::verify::time;

const CUSTOMERS: Range<u32> = 0..10_000_000;
const BEGAN_US: i64 = 1_800_000_000_000_000;
/// At a table.
const BEACON: u32 = 2;
const RSSI_DBM: i8 = -60;

/// An eligible sighting of a customer, so long after the begin.
fn heard(customer: u32, at_us: i64) -> Heard {
    let expected = OutcomeCode::Identified;
    Heard { customer, beacon: BEACON, at_us, rssi_dbm: RSSI_DBM, expected, opens_visit: false }
}

fn decided(identified: u16, duplicate: u16) -> FrameVerdict {
    FrameVerdict::Decided { identified, duplicate }
}

/// Frames of one gateway in their order, and what the stores hold.
#[derive(Clone)]
struct Scene {
    names: Names,
    frames: Vec<FrameEvidence>,
    stores: [Vec<Heard>; 2],
    /// Spoils rows on their way out of the first store.
    spoil: fn(&mut Told<'_>),
    is_exact: bool,
}

impl Scene {
    /// All as it should be: an identity, and one with its duplicate, in both stores.
    fn sound() -> Self {
        let names = Names::new(&Scenario::default(), false);
        let stored = vec![heard(1, 0), heard(2, 0)];
        let stores = [stored.clone(), stored];
        let mut scene = Self { names, frames: Vec::new(), stores, spoil: |_| {}, is_exact: true };
        scene.send(decided(1, 0), &[heard(1, 0)]);
        scene.send(decided(1, 1), &[heard(2, 0), heard(2, 59_999_999)]);
        scene
    }

    fn send(&mut self, verdict: FrameVerdict, sightings: &[Heard]) {
        let answered = Answered::NotListed;
        let sightings = sightings.iter().map(|&heard| SightingEvidence { heard, answered }).collect();
        let order = self.frames.len() as u64 + 1;
        self.frames.push(FrameEvidence { gateway: 3, order, verdict, sightings });
    }

    fn store(&mut self, heard: Heard) {
        self.stores.iter_mut().for_each(|store| store.push(heard));
    }

    fn sent(&self) -> Vec<Sent> {
        let mut sent = Vec::new();
        for (number, frame) in (0..).zip(&self.frames) {
            let sightings = (0..).zip(&frame.sightings);
            sent.extend(sightings.map(|(index, one)| Sent::new(BEGAN_US, number, index, frame, one)));
        }
        sent.sort_unstable_by_key(Sent::key);
        sent
    }

    fn held(&self, store: usize) -> Held {
        let sieve = Sieve::of(&self.names, BEGAN_US - 1..=BEGAN_US + 10 * MINUTE_US);
        let mut held = Held::default();
        for heard in &self.stores[store] {
            let id = Naming::customer_id(heard.customer);
            let beacon_id = uuid::Uuid::from_bytes(Naming::beacon_id(heard.beacon)).to_string();
            let place = self.names.naming.place(heard.beacon);
            let mut told = Told {
                customer_id: std::str::from_utf8(&id).unwrap(),
                at_us: time::micros(&time::text(BEGAN_US + heard.at_us)),
                beacon_id: &beacon_id,
                location: Some(&place),
                confidence: self.names.confidence(heard.beacon, heard.rssi_dbm).unwrap(),
            };
            if store == 0 {
                (self.spoil)(&mut told);
            }
            held.take(&sieve, &told);
        }
        held.sort();
        held
    }

    fn findings(&self) -> Vec<Finding> {
        let frames: Vec<Frame> = self.frames.iter().map(Frame::from).collect();
        let stores = [("one".to_owned(), self.held(0)), ("other".to_owned(), self.held(1))];
        let mut proof = Proof::new(&self.names, &frames, &stores, self.is_exact);
        let sent = self.sent();
        let middle = sent.partition_point(|one| one.customer < 2);
        // In two parts, as when memory is short.
        proof.part(&(CUSTOMERS.start..2), &sent[..middle]);
        proof.part(&(2..CUSTOMERS.end), &sent[middle..]);
        let unequal = proof.unequal().iter().map(|of_store| vec![String::new(); of_store.len()]).collect();
        proof.findings(unequal)
    }

    /// The checks that do not hold, with their stores.
    fn broken(&self) -> Vec<(&'static str, Option<String>)> {
        let findings = self.findings().into_iter().filter(|finding| !finding.holds);
        findings.map(|finding| (finding.check, finding.store)).collect()
    }

    #[track_caller]
    fn assert_breaks(&self, checks: &[&str]) {
        let mut broken: Vec<&str> = Vec::new();
        for (check, _) in self.broken() {
            if !broken.contains(&check) {
                broken.push(check);
            }
        }
        assert_eq!(broken, checks, "{:#?}", self.findings());
    }
}

#[test]
fn a_sound_run_breaks_nothing_and_everything_is_examined() {
    let mut scene = Scene::sound();
    let findings = scene.findings();
    assert_eq!(scene.broken(), []);
    let examined: Vec<(&str, u64)> =
        findings.iter().map(|finding| (finding.check, finding.examined)).collect();
    let of_store = [("i", 2), ("ii", 2), ("iii", 3), ("iv", 2)];
    let rest = [("iv", 2), ("exact", 2), ("exact", 2), ("exact", 2)];
    assert_eq!(examined, [of_store.as_slice(), &of_store, &rest].concat());
    // What was never answered may be stored or not, and a repeat says no numbers.
    scene.is_exact = false;
    scene.send(FrameVerdict::Unanswered, &[heard(3, 0), heard(4, 0)]);
    scene.send(FrameVerdict::Repeat, &[heard(2, 59_999_999)]);
    scene.store(heard(4, 0));
    assert_eq!(scene.broken(), []);
}

#[test]
fn stored_and_never_sent_breaks_the_first() {
    let mut scene = Scene::sound();
    scene.store(heard(9, 0));
    scene.assert_breaks(&["i", "exact"]);
    // Nor at this beacon.
    let mut scene = Scene::sound();
    scene.stores.iter_mut().for_each(|store| store[0].beacon += 1);
    scene.assert_breaks(&["i", "iv", "exact"]);
}

#[test]
fn stored_and_not_eligible_breaks_the_first_and_is_named() {
    let mut scene = Scene::sound();
    let weak = Heard { rssi_dbm: -90, expected: OutcomeCode::LowConfidence, ..heard(4, 0) };
    scene.send(decided(0, 0), &[weak]);
    scene.store(weak);
    scene.assert_breaks(&["i", "exact"]);
    let example = &scene.findings()[0].examples[0];
    assert!(example.contains("was sent as low_confidence (gateway-000004, frame 3, sighting 0"), "{example}");
}

#[test]
fn another_confidence_place_or_customer_breaks_the_first_in_its_store() {
    let spoils: [fn(&mut Told<'_>); 5] = [
        |told| told.confidence -= 0.001,
        |told| told.confidence = f32::NAN,
        |told| told.location = Some("Table 99"),
        |told| told.location = None,
        |told| told.customer_id = "0123456789abcdef",
    ];
    for (number, spoil) in spoils.into_iter().enumerate() {
        let scene = Scene { spoil, ..Scene::sound() };
        assert!(scene.broken().contains(&("i", Some("one".to_owned()))), "{number}");
        assert!(!scene.broken().contains(&("i", Some("other".to_owned()))), "{number}");
    }
}

#[test]
fn a_second_row_breaks_the_first_and_the_second() {
    let mut scene = Scene::sound();
    scene.stores[0].push(heard(1, 0));
    scene.assert_breaks(&["i", "ii", "iv", "exact"]);
}

#[test]
fn two_within_a_minute_break_the_second_and_a_minute_apart_do_not() {
    for (at_us, is_broken) in [(59_999_999, true), (60_000_000, false)] {
        let mut scene = Scene::sound();
        scene.send(decided(2, 0), &[heard(5, 0), heard(5, at_us)]);
        scene.store(heard(5, 0));
        scene.store(heard(5, at_us));
        let expected: &[&str] = if is_broken { &["ii", "exact"] } else { &[] };
        scene.assert_breaks(expected);
    }
}

#[test]
fn acked_with_nothing_near_breaks_the_third_and_is_named() {
    let mut scene = Scene { is_exact: false, ..Scene::sound() };
    scene.send(FrameVerdict::Repeat, &[heard(5, 1)]);
    scene.assert_breaks(&["iii"]);
    let findings = scene.findings();
    let example = &findings.iter().find(|finding| finding.check == "iii").unwrap().examples[0];
    assert!(example.starts_with("gateway-000004, frame 3, sighting 0: customer 5 at "), "{example}");
    // As a duplicate of an identity a minute away, which is none.
    let mut scene = Scene { is_exact: false, ..Scene::sound() };
    scene.send(decided(0, 1), &[heard(1, 60_000_000)]);
    scene.assert_breaks(&["iii"]);
    // And of one that lies after it.
    let mut scene = Scene { is_exact: false, ..Scene::sound() };
    scene.send(decided(0, 1), &[heard(1, -59_999_999)]);
    scene.assert_breaks(&[]);
}

#[test]
fn identified_and_not_stored_breaks_the_fourth_though_another_is_near() {
    let mut scene = Scene { is_exact: false, ..Scene::sound() };
    scene.send(decided(1, 0), &[heard(1, 30_000_000)]);
    scene.assert_breaks(&["iv"]);
    // Stored, and answered as a duplicate.
    let mut scene = Scene { is_exact: false, ..Scene::sound() };
    scene.send(decided(0, 1), &[heard(5, 0)]);
    scene.store(heard(5, 0));
    scene.assert_breaks(&["iv"]);
}

#[test]
fn stored_in_one_only_breaks_the_fourth() {
    let mut scene = Scene { is_exact: false, ..Scene::sound() };
    scene.send(FrameVerdict::Unanswered, &[heard(6, 0)]);
    scene.stores[1].push(heard(6, 0));
    assert_eq!(scene.broken(), [("iv", None)]);
}

#[test]
fn an_undecided_sighting_is_counted_in_the_frame_that_brought_it_again() {
    let mut scene = Scene { is_exact: false, ..Scene::sound() };
    let both = [heard(7, 0), heard(8, 0)];
    scene.send(decided(1, 0), &both);
    scene.frames[2].sightings[1].answered = Answered::Listed(OutcomeCode::Undecided);
    scene.send(decided(1, 0), &both[1..]);
    scene.store(both[0]);
    scene.store(both[1]);
    assert_eq!(scene.broken(), []);
}

#[test]
fn the_exact_set_tells_the_wrong_one_of_two_where_nothing_else_does() {
    // The second was taken for the identity and the first for its duplicate: every promise holds but the order's.
    let mut scene = Scene::sound();
    scene.stores.iter_mut().for_each(|store| store[1].at_us = 59_999_999);
    scene.assert_breaks(&["exact"]);
    scene.is_exact = false;
    assert_eq!(scene.broken(), []);
}

#[test]
fn the_exact_answers_tell_an_identity_that_was_counted_in_another_frame() {
    let mut scene = Scene::sound();
    // Redelivered: identified again.
    scene.send(decided(1, 0), &[heard(1, 0)]);
    assert_eq!(scene.broken(), []);
    scene.frames[2].verdict = decided(0, 1);
    scene.assert_breaks(&["iv", "exact"]);
}

#[test]
fn identities_of_the_minute_before_the_run_make_duplicates_of_it() {
    let mut scene = Scene::sound();
    scene.store(heard(5, -MINUTE_US / 2));
    scene.send(decided(0, 1), &[heard(5, 1)]);
    assert_eq!(scene.broken(), []);
    // Without it the same answer is wrong.
    scene.stores.iter_mut().for_each(|store| store.truncate(2));
    scene.assert_breaks(&["iii", "exact"]);
}

#[test]
fn a_customer_of_two_gateways_has_no_known_order() {
    let mut scene = Scene::sound();
    scene.frames[1].gateway = 4;
    assert_eq!(scene.broken(), []);
    scene.send(decided(0, 1), &[heard(2, 1)]);
    scene.assert_breaks(&["exact"]);
}

#[test]
fn what_others_have_stored_is_counted_and_no_breach() {
    let mut scene = Scene::sound();
    scene.store(heard(1, -2 * MINUTE_US));
    scene.store(heard(1, 12 * MINUTE_US));
    assert_eq!(scene.broken(), []);
    assert_eq!(scene.held(0).of_others, 2);
}
