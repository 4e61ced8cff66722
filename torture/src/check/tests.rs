//! Ledgers made by hand, each breaking one promise: the checker must tell which.

use super::*;
use crate::sighting::IdForm;

const START: i64 = 1_800_000_000_000_000;

fn heard(customer: u32, after_us: i64) -> Sighting {
    Sighting { round: 1, customer, at_us: START + after_us, beacon: 0, rssi_dbm: -50, id: IdForm::Good }
}

fn row(sighting: &Sighting) -> Row {
    let (customer, at_us, beacon) = sighting.key();
    Row { customer, at_us, beacon, confidence_bits: sighting.confidence_bits() }
}

fn answer(verdict: Verdict, acked: &[Sighting]) -> Answer {
    Answer { frame: "gateway 1:1".into(), verdict, acked: acked.to_vec() }
}

fn identified(count: u16) -> Verdict {
    Verdict::Decided { identified: count }
}

fn held(sightings: &[Sighting]) -> [Held; 2] {
    let rows: Vec<Row> = sightings.iter().map(row).collect();
    ["PostgreSQL", "DynamoDB"].map(|store| Held { store, rows: rows.clone(), ..Held::default() })
}

/// All sent; the first two frames are as they should be: an identity, and one with its duplicate.
fn sound() -> (Evidence, [Held; 2]) {
    let [alice, bob, near_bob] = [heard(1, 0), heard(2, 0), heard(2, 59_999_999)];
    let mut evidence = Evidence::default();
    for sighting in [alice, bob, near_bob] {
        evidence.send(&sighting, true);
    }
    evidence.answers = vec![answer(identified(1), &[alice]), answer(identified(1), &[bob, near_bob])];
    (evidence, held(&[alice, bob]))
}

#[track_caller]
fn assert_broken(rule: &str, evidence: &Evidence, stores: &[Held]) {
    let rules: Vec<&str> = breaches(evidence, stores).iter().map(|breach| breach.rule).collect();
    assert!(rules.contains(&rule), "{rule} is not among {rules:?}");
}

#[test]
fn sound_ledger_breaks_nothing() {
    let (mut evidence, stores) = sound();
    assert_eq!(breaches(&evidence, &stores), []);
    // Neither does an answer given twice, nor a repeat, nor what was sent and never answered.
    evidence.answers.push(evidence.answers[1].clone());
    evidence.answers.push(answer(Verdict::Repeat, &[heard(2, 0), heard(2, 59_999_999)]));
    evidence.send(&heard(3, 0), true);
    assert_eq!(breaches(&evidence, &stores), []);
}

#[test]
fn stored_and_never_sent_breaks_the_first() {
    let (evidence, mut stores) = sound();
    let mut stranger = stores.clone();
    for store in &mut stranger {
        store.rows.push(row(&heard(9, 0)));
    }
    assert_broken("i", &evidence, &stranger);
    stores[0].strange.push("r00009-00001".into());
    assert_broken("i", &evidence, &stores);
}

#[test]
fn stored_and_not_eligible_breaks_the_first() {
    let (mut evidence, mut stores) = sound();
    evidence.send(&heard(4, 0), false);
    for store in &mut stores {
        store.rows.push(row(&heard(4, 0)));
    }
    assert_broken("i", &evidence, &stores);
}

#[test]
fn another_confidence_or_a_second_row_breaks_the_first() {
    let (evidence, stores) = sound();
    let mut other = stores.clone();
    other[1].rows[0].confidence_bits += 1;
    assert_broken("i", &evidence, &other);
    let mut twice = stores;
    let again = twice[0].rows[0];
    twice[0].rows.push(again);
    assert_broken("i", &evidence, &twice);
}

#[test]
fn two_within_a_minute_break_the_second_and_a_minute_apart_do_not() {
    for (after_us, broken) in [(59_999_999, true), (60_000_000, false)] {
        let mut evidence = Evidence::default();
        let both = [heard(1, 0), heard(1, after_us)];
        for sighting in &both {
            evidence.send(sighting, true);
        }
        evidence.answers = vec![answer(identified(2), &both)];
        let rules: Vec<_> = breaches(&evidence, &held(&both)).iter().map(|breach| breach.rule).collect();
        assert_eq!(rules.contains(&"ii"), broken, "{rules:?}");
        assert_eq!(rules.is_empty(), !broken, "{rules:?}");
    }
}

#[test]
fn acked_with_nothing_near_breaks_the_third() {
    let (mut evidence, stores) = sound();
    evidence.send(&heard(5, 0), true);
    let mut by_repeat = Evidence { answers: Vec::new(), ..Evidence::default() };
    by_repeat.sent = evidence.sent.clone();
    by_repeat.answers = vec![answer(Verdict::Repeat, &[heard(5, 0)])];
    assert_broken("iii", &by_repeat, &stores);
    // Answered as a duplicate of an identity that there is none of.
    evidence.answers.push(answer(identified(0), &[heard(5, 0)]));
    assert_broken("iii", &evidence, &stores);
}

#[test]
fn identified_and_not_stored_breaks_the_fourth() {
    let (mut evidence, stores) = sound();
    // Near a stored one, so that only the fourth tells.
    evidence.send(&heard(1, 30_000_000), true);
    evidence.answers.push(answer(identified(1), &[heard(1, 30_000_000)]));
    let rules: Vec<_> = breaches(&evidence, &stores).iter().map(|breach| breach.rule).collect();
    assert_eq!(rules, ["iv", "iv"]);
}

#[test]
fn stored_in_one_only_breaks_the_fourth() {
    let (evidence, mut stores) = sound();
    stores[1].rows.remove(0);
    assert_broken("iv", &evidence, &stores);
    let (mut unanswered, mut stores) = sound();
    unanswered.send(&heard(6, 0), true);
    stores[0].rows.push(row(&heard(6, 0)));
    assert_broken("iv", &unanswered, &stores);
}

#[test]
fn what_is_named_as_lost_may_be_missing_and_no_more() {
    let (evidence, mut stores) = sound();
    stores[1].rows.clear();
    stores[1].lost = 2;
    assert_eq!(breaches(&evidence, &stores), []);
    stores[1].lost = 1;
    assert_broken("iii", &evidence, &stores);
}
