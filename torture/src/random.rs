//! Numbers that a seed repeats: SplitMix64.

use std::ops::Range;

/// A stream of numbers.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The stream of a round, or of a part of one: another for every number.
    pub(crate) fn of(seed: u64, number: u64) -> Self {
        let mut mixed = Self(seed ^ number.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        Self(mixed.next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number of the range, which is not empty.
    pub(crate) fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start).max(1)
    }

    /// The same for times, which may be before an origin.
    pub(crate) fn time_within(&mut self, range: Range<i64>) -> i64 {
        let width = u64::try_from(range.end - range.start).unwrap_or(1);
        range.start + i64::try_from(self.next() % width.max(1)).unwrap_or(0)
    }

    pub(crate) fn index(&mut self, length: usize) -> usize {
        let below = u64::try_from(length).unwrap_or(u64::MAX);
        usize::try_from(self.within(0..below)).unwrap_or(0)
    }

    /// True in so many of a hundred cases.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.within(0..100) < percent
    }

    pub(crate) fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for eight in bytes.chunks_mut(8) {
            eight.copy_from_slice(&self.next().to_be_bytes());
        }
        bytes
    }

    /// One of these, by their weights.
    pub(crate) fn weighted<T: Copy>(&mut self, choices: &[(u64, T)]) -> Option<T> {
        let all: u64 = choices.iter().map(|(weight, _)| weight).sum();
        let mut place = self.within(0..all);
        for (weight, choice) in choices {
            if place < *weight {
                return Some(*choice);
            }
            place -= weight;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seed_repeats_and_another_number_does_not() {
        let numbers = |mut random: Random| (0..8).map(|_| random.next()).collect::<Vec<_>>();
        assert_eq!(numbers(Random::of(7, 1)), numbers(Random::of(7, 1)));
        assert_ne!(numbers(Random::of(7, 1)), numbers(Random::of(7, 2)));
    }

    #[test]
    fn choices_come_as_often_as_they_weigh() {
        let mut random = Random::new(1);
        let drawn = (0..1_000).filter(|_| random.weighted(&[(1, false), (3, true)]) == Some(true)).count();
        assert!((650..850).contains(&drawn), "{drawn}");
    }
}
