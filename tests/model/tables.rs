//! The tables that must be in a store: what the model expects, or what another client read.

use std::collections::BTreeMap;
use std::fmt;

use super::Model;

/// How many differences are worth printing.
const DIFFERENCES_SHOWN: usize = 5;

/// Seconds an event is kept.
const EVENT_LIFE_S: i64 = 365 * 24 * 60 * 60;

/// The rows that identities make.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Tables {
    /// `customer_identities`, sorted; a row stored twice is here twice.
    pub(crate) identities: Vec<IdentityRow>,
    /// `customers`: last_seen by id.
    pub(crate) last_seen: BTreeMap<String, String>,
    /// `customer_events`, sorted.
    pub(crate) events: Vec<EventRow>,
}

/// A row of `customer_identities`, without its number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct IdentityRow {
    pub(crate) customer_id: String,
    pub(crate) detected_at: String,
    pub(crate) beacon_id: String,
    pub(crate) location: Option<String>,
    pub(crate) confidence: Bits,
}

/// A row of `customer_events`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EventRow {
    pub(crate) identity: IdentityRow,
    pub(crate) expires_at_s: i64,
}

/// An f32, equal only to the very same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bits(u32);

impl Bits {
    pub(crate) fn of(value: f32) -> Self {
        Self(value.to_bits())
    }

    /// Of a number read back as f64: `None` if it is no f32.
    pub(crate) fn of_stored(value: f64) -> Option<Self> {
        #[expect(clippy::cast_possible_truncation, reason = "whether anything was lost is what is asked")]
        let narrow = value as f32;
        (f64::from(narrow).to_bits() == value.to_bits()).then(|| Self::of(narrow))
    }

    /// The shortest decimal that reads back as it.
    pub(crate) fn shortest_text(self) -> String {
        f32::from_bits(self.0).to_string()
    }
}

impl fmt::Debug for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", f32::from_bits(self.0))
    }
}

impl Tables {
    /// What the stores must hold after what the model accepted.
    pub(crate) fn expected(model: &Model) -> Self {
        let mut tables = Self::default();
        let mut newest: BTreeMap<String, i64> = BTreeMap::new();
        for (customer, identity) in model.identities() {
            let row = IdentityRow {
                customer_id: customer.to_owned(),
                detected_at: utc_text(identity.detected_at_us),
                beacon_id: identity.beacon.hyphenated().to_string(),
                location: identity.location.clone(),
                confidence: Bits::of(identity.confidence),
            };
            tables.identities.push(row.clone());
            tables.events.push(EventRow {
                identity: row,
                expires_at_s: identity.detected_at_us.div_euclid(1_000_000) + EVENT_LIFE_S,
            });
            let last = newest.entry(customer.to_owned()).or_insert(identity.detected_at_us);
            *last = identity.detected_at_us.max(*last);
        }
        let as_text = |(customer, at_us)| (customer, utc_text(at_us));
        tables.last_seen = newest.into_iter().map(as_text).collect();
        tables.sorted()
    }

    /// The same rows in the order in which tables are compared.
    pub(crate) fn sorted(mut self) -> Self {
        self.identities.sort_unstable();
        self.events.sort_unstable();
        self
    }

    /// Fails with the first differences if `found` is not this.
    #[track_caller]
    pub(crate) fn assert_found(&self, found: &Self, what: &str) {
        let differences = self.differences(found);
        assert!(differences.is_empty(), "{what}: the tables differ\n{differences}");
    }

    /// What is missing and what is too many in each table, in words; empty if nothing is.
    pub(crate) fn differences(&self, found: &Self) -> String {
        let differences = [
            difference("customer_identities", &self.identities, &found.identities),
            difference(
                "customers",
                &self.last_seen.iter().collect::<Vec<_>>(),
                &found.last_seen.iter().collect::<Vec<_>>(),
            ),
            difference("customer_events", &self.events, &found.events),
        ];
        differences.into_iter().flatten().collect()
    }
}

/// `YYYY-MM-DDTHH:MM:SS.ffffffZ`, by the calendar of Gregory, counted day by day from a year's start.
pub(crate) fn utc_text(micros: i64) -> String {
    let (mut days, in_day) = (micros.div_euclid(86_400_000_000), micros.rem_euclid(86_400_000_000));
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of_year = |year: i64| if leap(year) { 366 } else { 365 };
    let mut year = 1970;
    while days < 0 {
        year -= 1;
        days += days_of_year(year);
    }
    while days >= days_of_year(year) {
        days -= days_of_year(year);
        year += 1;
    }
    let february = if leap(year) { 29 } else { 28 };
    let mut month = 1;
    for days_of_month in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < days_of_month {
            break;
        }
        days -= days_of_month;
        month += 1;
    }
    let (second, micro) = (in_day / 1_000_000, in_day % 1_000_000);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let day = days + 1;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micro:06}Z")
}

fn difference<T: Ord + fmt::Debug>(table: &str, expected: &[T], found: &[T]) -> Option<String> {
    if expected == found {
        return None;
    }
    let (mut missing, mut unexpected) = (Vec::new(), Vec::new());
    let (mut left, mut right) = (expected.iter().peekable(), found.iter().peekable());
    loop {
        match (left.peek(), right.peek()) {
            (Some(a), Some(b)) if a == b => {
                left.next();
                right.next();
            }
            (Some(a), Some(b)) if a < b => missing.extend(left.next()),
            (Some(_), None) => missing.extend(left.next()),
            (_, Some(_)) => unexpected.extend(right.next()),
            (None, None) => break,
        }
    }
    let mut text = format!("{table}: {} rows expected, {} found\n", expected.len(), found.len());
    for (sign, rows) in [("missing", &missing), ("unexpected", &unexpected)] {
        for row in rows.iter().take(DIFFERENCES_SHOWN) {
            text.push_str(&format!("  {sign}: {row:?}\n"));
        }
        if rows.len() > DIFFERENCES_SHOWN {
            text.push_str(&format!("  {sign}: {} in all\n", rows.len()));
        }
    }
    Some(text)
}
