//! What lies within a minute of what.

use std::collections::HashMap;

use crate::sighting::MINUTE_US;

/// The times of each customer's identities.
#[derive(Debug, Default)]
pub(super) struct Times(HashMap<u32, Vec<i64>>);

impl Times {
    pub(super) fn of(identities: impl Iterator<Item = (u32, i64)>) -> Self {
        let mut times: HashMap<u32, Vec<i64>> = HashMap::new();
        for (customer, at_us) in identities {
            times.entry(customer).or_default().push(at_us);
        }
        for of_customer in times.values_mut() {
            of_customer.sort_unstable();
        }
        Self(times)
    }

    /// Whether one of this customer's identities lies within 60 s.
    pub(super) fn covers(&self, customer: u32, at_us: i64) -> bool {
        let Some(times) = self.0.get(&customer) else {
            return false;
        };
        let next = times.partition_point(|time| *time <= at_us - MINUTE_US);
        times.get(next).is_some_and(|time| time - at_us < MINUTE_US)
    }
}

/// How many identities must have been lost at least if these sightings of one customer, all acked, lie near none: each
/// lost one was one of them and stands for what is within 60 s of it.
pub(super) fn least_lost(mut times: Vec<i64>) -> u64 {
    times.sort_unstable();
    let mut lost = 0;
    let mut rest = times.as_slice();
    while let Some(first) = rest.first() {
        let reach = rest.partition_point(|time| time - first < MINUTE_US);
        let identity = rest.get(reach.saturating_sub(1)).unwrap_or(first);
        let stands_for = rest.partition_point(|time| time - identity < MINUTE_US);
        rest = rest.get(stands_for.max(1)..).unwrap_or_default();
        lost += 1;
    }
    lost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_exactly_is_not_near() {
        let times = Times::of([(1, 0), (1, 3 * MINUTE_US)].into_iter());
        for (at_us, near) in [
            (0, true),
            (MINUTE_US - 1, true),
            (MINUTE_US, false),
            (1 - MINUTE_US, true),
            (-MINUTE_US, false),
            (2 * MINUTE_US, false),
            (2 * MINUTE_US + 1, true),
        ] {
            assert_eq!(times.covers(1, at_us), near, "{at_us}");
        }
        assert!(!times.covers(2, 0));
    }

    #[test]
    fn fewest_identities_that_explain_what_is_missing() {
        assert_eq!(least_lost(vec![]), 0);
        assert_eq!(least_lost(vec![5]), 1);
        // The middle one stands for both others.
        assert_eq!(least_lost(vec![0, MINUTE_US - 1, 2 * MINUTE_US - 2]), 1);
        assert_eq!(least_lost(vec![0, MINUTE_US, 2 * MINUTE_US]), 3);
    }
}
