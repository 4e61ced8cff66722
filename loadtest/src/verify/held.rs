//! What a store holds: rows in few bytes, and what in it is of others or of nobody.

use std::ops::{Range, RangeInclusive};

use super::findings::Tally;
use super::names::Names;
use super::sent::Key;
use super::survey::Survey;
use super::time;

/// Its place is not the one that the beacon is registered with.
const MISPLACED: u8 = 1;
/// Of the minute before the run's first sighting or after its last: not the run's, but it may make duplicates of the run's.
const NEAR: u8 = 2;
/// Near, and before the run.
const BEFORE: u8 = 4;

/// An identity in a store: 24 bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Row {
    /// UTC.
    pub(super) at_us: i64,
    pub(super) customer: u32,
    pub(super) beacon: u32,
    pub(super) confidence: f32,
    marks: u8,
}

const _: () = assert!(size_of::<Row>() == 24, "memory is planned with this");

impl Row {
    #[cfg(test)]
    pub(super) const fn at(customer: u32, at_us: i64) -> Self {
        Self { at_us, customer, beacon: 0, confidence: 1.0, marks: 0 }
    }

    pub(super) const fn key(&self) -> Key {
        (self.customer, self.at_us, self.beacon)
    }

    pub(super) const fn is_misplaced(&self) -> bool {
        self.marks & MISPLACED != 0
    }

    pub(super) const fn is_near(&self) -> bool {
        self.marks & NEAR != 0
    }

    pub(super) const fn is_before(&self) -> bool {
        self.marks & BEFORE != 0
    }
}

/// An identity as a store tells of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told<'t> {
    pub(super) customer_id: &'t str,
    /// None if it is no time.
    pub(super) at_us: Option<i64>,
    pub(super) beacon_id: &'t str,
    pub(super) location: Option<&'t str>,
    pub(super) confidence: f32,
}

/// Tells rows of the run from others.
#[derive(Debug)]
pub(super) struct Sieve {
    names: Names,
    span: RangeInclusive<i64>,
    near: RangeInclusive<i64>,
    outside: Vec<(u32, i64)>,
}

impl Sieve {
    /// For what the evidence tells of.
    pub(super) fn new(survey: &mut Survey) -> Self {
        Self {
            names: survey.names.clone(),
            span: survey.span.clone(),
            near: survey.near(),
            outside: std::mem::take(&mut survey.outside),
        }
    }

    #[cfg(test)]
    pub(super) fn of(names: &Names, span: RangeInclusive<i64>) -> Self {
        let near = span.start() - super::MINUTE_US..=span.end() + super::MINUTE_US;
        Self { names: names.clone(), span, near, outside: Vec::new() }
    }

    /// Every time at which a row could matter.
    pub(super) fn asked(&self) -> RangeInclusive<i64> {
        let outside = self.outside.iter().map(|(_, at_us)| *at_us);
        let (first, last) = (outside.clone().min(), outside.max());
        let near = &self.near;
        first.map_or(*near.start(), |first| first.min(*near.start()))
            ..=last.map_or(*near.end(), |last| last.max(*near.end()))
    }

    /// The customer of an id, if it is one of this population.
    pub(super) fn customer(&self, id: &str) -> Option<u32> {
        self.names.naming.customer(id.as_bytes())
    }

    fn row(&self, told: &Told<'_>) -> Sifted {
        let customer = self.customer(told.customer_id);
        let beacon = uuid::Uuid::try_parse(told.beacon_id).ok();
        let beacon = beacon.and_then(|id| self.names.naming.beacon(id.into_bytes()));
        let Some(at_us) = told.at_us else {
            return if customer.is_some() { Sifted::Strange } else { Sifted::OfOthers };
        };
        match (customer, beacon) {
            (Some(customer), Some(beacon)) => {
                let mut marks = 0;
                if !self.span.contains(&at_us) && self.outside.binary_search(&(customer, at_us)).is_err() {
                    if !self.near.contains(&at_us) {
                        return Sifted::OfOthers;
                    }
                    marks |= if at_us < *self.span.start() { NEAR | BEFORE } else { NEAR };
                }
                if told.location != Some(self.names.naming.place(beacon).as_str()) {
                    marks |= MISPLACED;
                }
                Sifted::Row(Row { at_us, customer, beacon, confidence: told.confidence, marks })
            }
            (None, None) => Sifted::OfOthers,
            _ if self.span.contains(&at_us) => Sifted::Strange,
            _ => Sifted::OfOthers,
        }
    }

    fn shown(&self, told: &Told<'_>) -> String {
        let customer = match self.customer(told.customer_id) {
            Some(customer) => self.names.customer(customer),
            None if self.names.shows_customers => format!("CustomerID {:?}", told.customer_id),
            None => "a CustomerID of nobody here".to_owned(),
        };
        let at = told.at_us.map_or_else(|| "no time".to_owned(), time::text);
        format!("{customer} at {at} by beacon {}", told.beacon_id)
    }
}

enum Sifted {
    Row(Row),
    OfOthers,
    Strange,
}

/// What a store holds.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Sorted by [`Row::key`] once it is complete.
    pub(super) rows: Vec<Row>,
    /// Rows of other runs, or of real customers.
    pub(super) of_others: u64,
    /// Rows at a time of the run with a customer or a beacon of its population, but not both: nobody sent them.
    pub(super) strange: Tally,
}

impl Held {
    pub(super) fn take(&mut self, sieve: &Sieve, told: &Told<'_>) {
        match sieve.row(told) {
            Sifted::Row(row) => self.rows.push(row),
            Sifted::OfOthers => self.of_others += 1,
            Sifted::Strange => self.tell_strange(|| sieve.shown(told)),
        }
    }

    /// Counts a row that nobody sent.
    pub(super) fn tell_strange(&mut self, what: impl FnOnce() -> String) {
        self.strange.examined += 1;
        self.strange.breach(|| format!("{}: was never sent", what()));
    }

    pub(super) fn add(&mut self, mut other: Self) {
        self.rows.append(&mut other.rows);
        self.of_others += other.of_others;
        self.strange.add(other.strange);
    }

    pub(super) fn sort(&mut self) {
        self.rows.sort_unstable_by_key(Row::key);
    }

    /// Rows of these customers.
    pub(super) fn of(&self, customers: &Range<u32>) -> &[Row] {
        let begin = self.rows.partition_point(|row| row.customer < customers.start);
        let end = self.rows.partition_point(|row| row.customer < customers.end);
        self.rows.get(begin..end).unwrap_or_default()
    }

    /// Rows that are of the run.
    pub(super) fn of_run(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| !row.is_near())
    }
}
