//! The promises, proven from the evidence and from what the stores hold: no I/O, nothing of the daemon's code.

mod coverage;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};

use self::coverage::{Times, least_lost};
use crate::evidence::{Answer, Evidence, Verdict};
use crate::sighting::{Key, MINUTE_US, Sighting};

/// Breaches of one promise that are worth printing.
const SHOWN: usize = 5;

/// A row of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    pub(crate) customer: u32,
    pub(crate) at_us: i64,
    pub(crate) beacon: u8,
    pub(crate) confidence_bits: u32,
}

impl Row {
    const fn key(&self) -> Key {
        (self.customer, self.at_us, self.beacon)
    }
}

/// What a store holds of a round's customers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held {
    /// PostgreSQL or DynamoDB.
    pub(crate) store: &'static str,
    pub(crate) rows: Vec<Row>,
    /// Rows that are of nobody's making, in words.
    pub(crate) strange: Vec<String>,
    /// Identities that the daemon names as lost to corruption of its journal, for this store.
    pub(crate) lost: u64,
}

/// A promise that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Breach {
    /// `i` to `v`, or another rule's name.
    pub(crate) rule: &'static str,
    pub(crate) what: String,
}

/// Every promise that does not hold for what these stores hold. Where two stores lost nothing, they hold the same.
pub(crate) fn breaches(evidence: &Evidence, stores: &[Held]) -> Vec<Breach> {
    let mut found = Vec::new();
    for held in stores {
        let times = Times::of(held.rows.iter().map(|row| (row.customer, row.at_us)));
        sent_and_eligible(evidence, held, &mut found);
        minute_apart(held, &mut found);
        if held.lost == 0 {
            acked_are_kept(evidence, held, &times, &mut found);
            identified_are_stored(evidence, held, &mut found);
        } else {
            nothing_but_the_named(evidence, held, &times, &mut found);
        }
    }
    if let [one, other] = stores
        && one.lost + other.lost == 0
    {
        same_in_both(one, other, &mut found);
    }
    found
}

/// (i) Every stored identity was sent and was eligible, and once.
fn sent_and_eligible(evidence: &Evidence, held: &Held, found: &mut Vec<Breach>) {
    let store = held.store;
    let mut told = Told::new("i", found);
    for strange in &held.strange {
        told.tell(|| format!("{store} holds what nobody sent: {strange}"));
    }
    let mut seen = HashSet::new();
    for row in &held.rows {
        match evidence.sent.get(&row.key()) {
            None => told.tell(|| format!("{store} holds what was not sent or not eligible: {row:?}")),
            Some(confidence) if *confidence != row.confidence_bits => {
                told.tell(|| format!("{store} holds another confidence: {row:?}"));
            }
            Some(_) if !seen.insert((row.customer, row.at_us)) => {
                told.tell(|| format!("{store} holds it twice: {row:?}"));
            }
            Some(_) => {}
        }
    }
}

/// (ii) No two of one customer within 60 s.
fn minute_apart(held: &Held, found: &mut Vec<Breach>) {
    let mut rows = held.rows.clone();
    rows.sort_unstable();
    let mut told = Told::new("ii", found);
    for pair in rows.windows(2) {
        if let [one, next] = pair
            && one.customer == next.customer
            && next.at_us - one.at_us < MINUTE_US
        {
            told.tell(|| format!("{} holds two within a minute: {one:?} and {next:?}", held.store));
        }
    }
}

/// (iii) Every eligible acked sighting is stored or lies within 60 s of a stored one.
fn acked_are_kept(evidence: &Evidence, held: &Held, times: &Times, found: &mut Vec<Breach>) {
    let mut told = Told::new("iii", found);
    for answer in &evidence.answers {
        for sighting in &answer.acked {
            if !times.covers(sighting.customer, sighting.at_us) {
                told.tell(|| {
                    format!("acked, and {} holds nothing near: {}", held.store, shown(answer, sighting))
                });
            }
        }
    }
}

/// (iv) Everything answered `identified` is stored; and nothing else of the frame is, since it was a duplicate.
fn identified_are_stored(evidence: &Evidence, held: &Held, found: &mut Vec<Breach>) {
    let keys: HashSet<Key> = held.rows.iter().map(Row::key).collect();
    let mut told = Told::new("iv", found);
    for answer in &evidence.answers {
        let Verdict::Decided { identified } = answer.verdict else {
            continue;
        };
        let stored = answer.acked.iter().filter(|sighting| keys.contains(&sighting.key())).count();
        if stored != usize::from(identified) {
            told.tell(|| {
                let missing = answer.acked.iter().find(|sighting| !keys.contains(&sighting.key()));
                let missing = missing.map(|sighting| format!(", such as {sighting:?}")).unwrap_or_default();
                let (of, store) = (answer.acked.len(), held.store);
                format!(
                    "{}: {identified} of {of} answered `identified`, {stored} of them in {store}; {} are not{missing}",
                    answer.frame,
                    of - stored
                )
            });
        }
    }
}

/// (iii) and (iv) where the daemon named what it lost: what is missing is explained by so many identities.
fn nothing_but_the_named(evidence: &Evidence, held: &Held, times: &Times, found: &mut Vec<Breach>) {
    let mut missing: BTreeMap<u32, Vec<i64>> = BTreeMap::new();
    for sighting in evidence.answers.iter().flat_map(|answer| &answer.acked) {
        if !times.covers(sighting.customer, sighting.at_us) {
            missing.entry(sighting.customer).or_default().push(sighting.at_us);
        }
    }
    let least: u64 = missing.into_values().map(least_lost).sum();
    if least > held.lost {
        let (store, named) = (held.store, held.lost);
        let what = format!("{least} identities at least are missing in {store}, {named} are named as lost");
        found.push(Breach { rule: "iii", what });
    }
}

/// (iv) Exactly once, in both.
fn same_in_both(one: &Held, other: &Held, found: &mut Vec<Breach>) {
    let mut told = Told::new("iv", found);
    for (from, to) in [(one, other), (other, one)] {
        let there: HashSet<Key> = to.rows.iter().map(Row::key).collect();
        for row in from.rows.iter().filter(|row| !there.contains(&row.key())) {
            told.tell(|| format!("{} holds {row:?} and {} does not", from.store, to.store));
        }
    }
}

fn shown(answer: &Answer, sighting: &Sighting) -> String {
    format!("{sighting:?} in {} ({:?})", answer.frame, answer.verdict)
}

/// Puts down the first few breaches of a rule.
struct Told<'f> {
    rule: &'static str,
    told: usize,
    found: &'f mut Vec<Breach>,
}

impl<'f> Told<'f> {
    const fn new(rule: &'static str, found: &'f mut Vec<Breach>) -> Self {
        Self { rule, told: 0, found }
    }

    fn tell(&mut self, what: impl FnOnce() -> String) {
        self.told += 1;
        if self.told <= SHOWN {
            self.found.push(Breach { rule: self.rule, what: what() });
        }
    }
}
