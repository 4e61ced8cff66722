//! The promises, proven from what was sent and what stores hold, a part of the customers at a time: no I/O.

mod exact;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::ops::Range;

use self::exact::Exact;
use super::MINUTE_US;
use super::findings::{Finding, SHOWN, Tally};
use super::held::{Held, Row};
use super::names::Names;
use super::sent::{Frame, Sent};

/// What a store holds, and what is known of it so far.
#[derive(Debug)]
struct Examined<'h> {
    store: &'h str,
    held: &'h Held,
    founded: Tally,
    covered: Tally,
    exact: Tally,
    /// Of each frame, its eligible sightings that are in the store.
    stored: Vec<u16>,
}

/// All checks of stores.
#[derive(Debug)]
pub(super) struct Proof<'a> {
    names: &'a Names,
    frames: &'a [Frame],
    stores: Vec<Examined<'a>>,
    exact: Option<Exact>,
}

/// A frame that was answered another number of identified ones than a store has of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unequal {
    pub(super) frame: u32,
    pub(super) stored: u16,
}

impl<'a> Proof<'a> {
    /// Of these stores, by name; the order of decisions is known if `is_exact`.
    pub(super) fn new(
        names: &'a Names,
        frames: &'a [Frame],
        stores: &'a [(String, Held)],
        is_exact: bool,
    ) -> Self {
        let stores = stores.iter().map(|(store, held)| Examined {
            store,
            held,
            founded: held.strange.clone(),
            covered: Tally::default(),
            exact: Tally::default(),
            stored: vec![0; frames.len()],
        });
        Self { names, frames, stores: stores.collect(), exact: is_exact.then(|| Exact::new(frames.len())) }
    }

    /// Looks at some customers: everything that was sent of them, sorted by [`Sent::key`].
    pub(super) fn part(&mut self, customers: &Range<u32>, sent: &[Sent]) {
        for store in &mut self.stores {
            let rows = store.held.of(customers);
            store.founded(self.names, self.frames, rows, sent);
            store.covered(self.names, self.frames, rows, sent);
        }
        if let Some(exact) = &mut self.exact {
            let seeds = self.stores.first().map(|store| store.held.of(customers)).unwrap_or_default();
            let identities = exact.replay(self.frames, seeds, sent);
            for store in &mut self.stores {
                let rows = store.held.of(customers);
                exact::compare(self.names, self.frames, &identities, rows, &mut store.exact);
            }
        }
    }

    /// Per store, the first frames with another number of identities than they were answered.
    pub(super) fn unequal(&self) -> Vec<Vec<Unequal>> {
        let of_store = |store: &Examined<'_>| store.unequal(self.frames).take(SHOWN).collect();
        self.stores.iter().map(of_store).collect()
    }

    /// What came out. `unequal` has an example in words for each of [`unequal`](Self::unequal).
    pub(super) fn findings(self, unequal: Vec<Vec<String>>) -> Vec<Finding> {
        let mut findings = Vec::new();
        let decided = self.frames.iter().filter(|frame| frame.is_decided).count() as u64;
        for (store, examples) in self.stores.iter().zip(unequal) {
            let answered =
                Tally { examined: decided, broken: store.unequal(self.frames).count() as u64, examples };
            let (name, names) = (Some(store.store), self.names);
            findings.extend([
                Finding::new(
                    "i",
                    name,
                    "every identity was sent, is eligible, has its place and confidence, and is there once",
                    store.founded.clone(),
                ),
                Finding::new(
                    "ii",
                    name,
                    "no identity is within 60 s of another of its customer",
                    minute_apart(names, store.held),
                ),
                Finding::new(
                    "iii",
                    name,
                    "every eligible sighting that was acked is stored, or within 60 s of one that is",
                    store.covered.clone(),
                ),
                Finding::new(
                    "iv",
                    name,
                    "every frame has as many identities as it was answered, no more and no less",
                    answered,
                ),
            ]);
        }
        if let [one, other] = self.stores.as_slice() {
            let what = format!("the identities of {} are those of {}", one.store, other.store);
            findings.push(Finding::new("iv", None, &what, same_in_both(self.names, one, other)));
        }
        if let Some(exact) = self.exact {
            for store in &self.stores {
                let what = "exact set: what the rules make of the sightings, in their order";
                findings.push(Finding::new("exact", Some(store.store), what, store.exact.clone()));
            }
            findings.push(exact.finding(self.names, self.frames));
        }
        findings
    }
}

impl Examined<'_> {
    /// (i), and of each frame how many of it are stored.
    fn founded(&mut self, names: &Names, frames: &[Frame], rows: &[Row], sent: &[Sent]) {
        let (mut next, mut before) = (0, None::<&Row>);
        for row in rows.iter().filter(|row| !row.is_near()) {
            while sent.get(next).is_some_and(|one| one.key() < row.key()) {
                next += 1;
            }
            let same = || sent.iter().skip(next).take_while(|one| one.key() == row.key());
            self.founded.examined += 1;
            let is_twice = before.replace(row).is_some_and(|before| before.key() == row.key());
            let wrong = if is_twice {
                Some("it is there twice".to_owned())
            } else {
                for one in same().filter(|one| one.is_counted()) {
                    if let Some(stored) = self.stored.get_mut(one.frame as usize) {
                        *stored = stored.saturating_add(1);
                    }
                }
                wrong(names, frames, row, same())
            };
            if let Some(wrong) = wrong {
                let moment = || names.moment(row.customer, row.at_us, row.beacon);
                self.founded.breach(|| format!("{}: {wrong}", moment()));
            }
        }
    }

    /// (iii)
    fn covered(&mut self, names: &Names, frames: &[Frame], rows: &[Row], sent: &[Sent]) {
        let mut next = 0;
        for one in sent.iter().filter(|one| one.is_acked()) {
            self.covered.examined += 1;
            let from = (one.customer, one.at_us - MINUTE_US);
            while rows.get(next).is_some_and(|row| (row.customer, row.at_us) <= from) {
                next += 1;
            }
            let near = rows.get(next);
            let is_covered =
                near.is_some_and(|row| row.customer == one.customer && row.at_us - one.at_us < MINUTE_US);
            if !is_covered {
                self.covered.breach(|| {
                    let sighting = sighting(names, frames, one);
                    format!("{sighting}: was acked, and nothing within 60 s of it is stored")
                });
            }
        }
    }

    /// (iv)
    fn unequal(&self, frames: &[Frame]) -> impl Iterator<Item = Unequal> {
        let counted = (0..).zip(frames.iter().zip(&self.stored));
        counted.filter_map(|(number, (frame, &stored))| {
            (frame.is_decided && frame.identified != stored).then_some(Unequal { frame: number, stored })
        })
    }
}

/// Why a row is not what was sent with its customer, time and beacon, if so.
fn wrong<'s>(
    names: &Names,
    frames: &[Frame],
    row: &Row,
    same: impl Iterator<Item = &'s Sent> + Clone,
) -> Option<String> {
    let mut eligible = same.clone().filter(|one| one.is_eligible()).peekable();
    if eligible.peek().is_none() {
        let sent_as = same
            .map(|one| format!("was sent as {} ({})", one.expected().label(), sighting(names, frames, one)));
        return Some(sent_as.last().unwrap_or_else(|| "was never sent".to_owned()));
    }
    let confidences = eligible.filter_map(|one| names.confidence(one.beacon, one.rssi_dbm));
    let mut confidences = confidences.peekable();
    let expected = confidences.peek().copied();
    if !confidences.any(|confidence| is_same(confidence, row.confidence)) {
        let expected = expected.map_or_else(String::new, |expected| format!(" and not {expected}"));
        return Some(format!("its confidence is {}{expected}", row.confidence));
    }
    row.is_misplaced().then(|| "its place is not that of its beacon".to_owned())
}

/// The exponential function of two mathematical libraries may differ in the last bit.
const fn is_same(one: f32, other: f32) -> bool {
    one.to_bits().abs_diff(other.to_bits()) <= 1
}

/// (ii)
fn minute_apart(names: &Names, held: &Held) -> Tally {
    let mut tally = Tally { examined: held.rows.len() as u64, ..Tally::default() };
    for pair in held.rows.windows(2) {
        if let [one, next] = pair
            && one.customer == next.customer
            && next.at_us - one.at_us < MINUTE_US
        {
            let moment = |row: &Row| names.moment(row.customer, row.at_us, row.beacon);
            tally.breach(|| format!("{}, and {}", moment(one), moment(next)));
        }
    }
    tally
}

/// (iv) Exactly once, in both.
fn same_in_both(names: &Names, one: &Examined<'_>, other: &Examined<'_>) -> Tally {
    let mut tally = Tally::default();
    let mut tell = |row: &Row, there: &str, missing: &str| {
        tally.breach(|| {
            let moment = names.moment(row.customer, row.at_us, row.beacon);
            format!("{moment}: is in {there} and not in {missing}")
        });
    };
    let (mut left, mut right) = (one.held.of_run().peekable(), other.held.of_run().peekable());
    let mut examined = 0;
    loop {
        let order = match (left.peek(), right.peek()) {
            (Some(one), Some(other)) => one.key().cmp(&other.key()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => break,
        };
        examined += 1;
        match order {
            Ordering::Less => left.next().into_iter().for_each(|row| tell(row, one.store, other.store)),
            Ordering::Greater => right.next().into_iter().for_each(|row| tell(row, other.store, one.store)),
            Ordering::Equal => {
                left.next();
                right.next();
            }
        }
    }
    tally.examined = examined;
    tally
}

fn sighting(names: &Names, frames: &[Frame], sent: &Sent) -> String {
    frames.get(sent.frame as usize).map_or_else(String::new, |frame| names.sighting(sent, frame))
}
