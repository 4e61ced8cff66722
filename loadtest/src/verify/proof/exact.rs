//! The exact set: the sightings of each customer put through the rules in the order in which they were decided.

use std::cmp::Ordering;

use super::super::findings::{Finding, Tally};
use super::super::held::Row;
use super::super::names::Names;
use super::super::sent::{Frame, Sent};
use super::{MINUTE_US, sighting};

/// What a sighting became, by the rule of the minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Became {
    Identity,
    /// `identified` again: the same customer, time and beacon.
    Redelivered,
    Duplicate,
}

/// The identities of one customer: times and beacons, sorted.
#[derive(Debug, Default)]
pub(super) struct Minutes(Vec<(i64, u32)>);

impl Minutes {
    /// Decides the next sighting. Identities are a minute apart, so that only its neighbours in time matter.
    pub(super) fn decide(&mut self, at_us: i64, beacon: u32) -> Became {
        let place = self.0.partition_point(|(time, _)| *time < at_us);
        let before = place.checked_sub(1).and_then(|place| self.0.get(place));
        match (before, self.0.get(place)) {
            (_, Some(same)) if *same == (at_us, beacon) => Became::Redelivered,
            (_, Some((time, _))) if time - at_us < MINUTE_US => Became::Duplicate,
            (Some((time, _)), _) if at_us - time < MINUTE_US => Became::Duplicate,
            _ => {
                self.0.insert(place, (at_us, beacon));
                Became::Identity
            }
        }
    }
}

/// The replay of all customers.
#[derive(Debug)]
pub(super) struct Exact {
    /// Of each frame, how many must have been answered `identified`.
    identified: Vec<u16>,
    /// A customer whom two gateways told of, though the evidence denies it: then their order is not known.
    contradiction: Option<u32>,
}

impl Exact {
    pub(super) fn new(frames: usize) -> Self {
        Self { identified: vec![0; frames], contradiction: None }
    }

    /// The identities that must be stored of some customers, sorted by [`Sent::key`]. Rows of the minute before the run
    /// were there first.
    pub(super) fn replay(&mut self, frames: &[Frame], rows: &[Row], sent: &[Sent]) -> Vec<Sent> {
        let mut seeds = rows.iter().filter(|row| row.is_before()).peekable();
        let (mut identities, mut order) = (Vec::new(), Vec::new());
        for of_customer in sent.chunk_by(|one, next| one.customer == next.customer) {
            let Some(customer) = of_customer.first().map(|one| one.customer) else { continue };
            let mut minutes = Minutes::default();
            while let Some(seed) = seeds.next_if(|seed| seed.customer <= customer) {
                if seed.customer == customer {
                    minutes.decide(seed.at_us, seed.beacon);
                }
            }
            order.clear();
            for one in of_customer.iter().filter(|one| one.is_acked()) {
                let Some(frame) = frames.get(one.frame as usize) else { continue };
                order.push((frame.order, one.index, frame.gateway, one));
            }
            order.sort_unstable_by_key(|(order, index, ..)| (*order, *index));
            if order.windows(2).any(|pair| matches!(pair, [one, next] if one.2 != next.2)) {
                self.contradiction.get_or_insert(customer);
            }
            let begin = identities.len();
            for (.., one) in &order {
                let became = minutes.decide(one.at_us, one.beacon);
                if became != Became::Duplicate
                    && let Some(identified) = self.identified.get_mut(one.frame as usize)
                {
                    *identified = identified.saturating_add(1);
                }
                if became == Became::Identity {
                    identities.push(**one);
                }
            }
            identities.get_mut(begin..).unwrap_or_default().sort_unstable_by_key(Sent::key);
        }
        identities
    }

    /// Whether gateways were told what the replay says.
    pub(super) fn finding(&self, names: &Names, frames: &[Frame]) -> Finding {
        let mut tally = Tally::default();
        if let Some(customer) = self.contradiction {
            tally.breach(|| {
                format!(
                    "{} was reported by two gateways, which the evidence denies",
                    names.customer(customer)
                )
            });
        }
        for (frame, by_rule) in frames.iter().zip(&self.identified).filter(|(frame, _)| frame.is_decided) {
            tally.examined += 1;
            if frame.identified != *by_rule {
                let told = frame.identified;
                tally.breach(|| {
                    format!("{}: {told} identified, and {by_rule} by the rules", names.frame(frame))
                });
            }
        }
        Finding::new("exact", None, "every frame was answered as many identities as the rules make", tally)
    }
}

/// Holds the set that must be stored against the rows of a store.
pub(super) fn compare(names: &Names, frames: &[Frame], must: &[Sent], rows: &[Row], tally: &mut Tally) {
    let mut rows = rows.iter().filter(|row| !row.is_near()).peekable();
    let mut must = must.iter().peekable();
    loop {
        let order = match (must.peek(), rows.peek()) {
            (Some(one), Some(row)) => one.key().cmp(&row.key()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return,
        };
        tally.examined += 1;
        match order {
            Ordering::Less => {
                let one = must.next();
                tally.breach(|| {
                    let sighting = one.map_or_else(String::new, |one| sighting(names, frames, one));
                    format!("{sighting}: is an identity by the rules, and is not stored")
                });
            }
            Ordering::Greater => {
                let row = rows.next();
                tally.breach(|| {
                    let moment = row.map(|row| names.moment(row.customer, row.at_us, row.beacon));
                    format!("{}: is stored, and no identity by the rules", moment.unwrap_or_default())
                });
            }
            Ordering::Equal => {
                must.next();
                rows.next();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The rule as it is written, asked of everything accepted so far.
    fn slowly(sightings: &[(i64, u32)]) -> Vec<Became> {
        let mut accepted: Vec<(i64, u32)> = Vec::new();
        let decide = |sighting: &(i64, u32)| {
            if accepted.contains(sighting) {
                return Became::Redelivered;
            }
            if accepted.iter().any(|(time, _)| (time - sighting.0).abs() < MINUTE_US) {
                return Became::Duplicate;
            }
            accepted.push(*sighting);
            Became::Identity
        };
        sightings.iter().map(decide).collect()
    }

    proptest! {
        /// However late sightings come, and however often, the two agree on each.
        #[test]
        fn the_replay_is_the_rule_itself(
            sightings in proptest::collection::vec((0i64..40, -1i64..=1, 0u32..2), 0..60),
        ) {
            // Half minutes, and a microsecond beside them.
            let sightings: Vec<(i64, u32)> =
                sightings.into_iter().map(|(half, us, beacon)| (half * MINUTE_US / 2 + us, beacon)).collect();
            let mut minutes = Minutes::default();
            let fast: Vec<Became> =
                sightings.iter().map(|(at_us, beacon)| minutes.decide(*at_us, *beacon)).collect();
            prop_assert_eq!(fast, slowly(&sightings));
        }
    }
}
