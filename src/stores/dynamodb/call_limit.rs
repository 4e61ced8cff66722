//! How many calls may be in flight: one more for every round trip that went well, a quarter fewer when the store
//! pushes back (additive increase, multiplicative decrease).

/// Calls in flight at first, unless the settings say less: what a small table takes.
const FIRST_CALLS: usize = 4;

/// The limit and what it is moved by. It knows no clock: a round trip is as many answers as calls are in flight.
#[derive(Debug)]
pub(super) struct CallLimit {
    calls: usize,
    bounds: (usize, usize),
    /// Calls that went well since the limit last moved.
    well: usize,
    /// Moves with each decrease: who was sent before it tells nothing new.
    era: u64,
}

impl CallLimit {
    /// Between one and `max`.
    pub(super) fn adaptive(max: usize) -> Self {
        let max = max.max(1);
        Self { calls: FIRST_CALLS.min(max), bounds: (1, max), well: 0, era: 0 }
    }

    /// Always `calls`, at least one.
    pub(super) fn fixed(calls: usize) -> Self {
        let calls = calls.max(1);
        Self { calls, bounds: (calls, calls), well: 0, era: 0 }
    }

    /// Calls that may be in flight, at least one.
    pub(super) const fn calls(&self) -> usize {
        self.calls
    }

    /// To be kept with a call that is sent now, and handed back with its answer.
    pub(super) const fn era(&self) -> u64 {
        self.era
    }

    /// A call went well while `in_flight` were, itself included. It counts when the limit was used up: else it says
    /// nothing about one more.
    pub(super) fn went_well(&mut self, era: u64, in_flight: usize) {
        if era != self.era || in_flight < self.calls {
            return;
        }
        self.well += 1;
        if self.well >= self.calls {
            self.well = 0;
            self.calls = (self.calls + 1).min(self.bounds.1);
        }
    }

    /// A call was throttled, in part or as a whole, or not answered. Many that were sent together count once.
    pub(super) fn pushed_back(&mut self, era: u64) {
        if era != self.era {
            return;
        }
        self.era += 1;
        self.well = 0;
        self.calls = (self.calls * 3 / 4).max(self.bounds.0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(limit: &mut CallLimit) {
        let in_flight = limit.calls();
        for _ in 0..in_flight {
            limit.went_well(limit.era(), in_flight);
        }
    }

    #[test]
    fn a_round_trip_that_goes_well_adds_one_up_to_the_most() {
        let mut limit = CallLimit::adaptive(6);
        for expected in [5, 6, 6] {
            round_trip(&mut limit);
            assert_eq!(limit.calls(), expected);
        }
    }

    #[test]
    fn calls_that_leave_room_do_not_raise_the_limit() {
        let mut limit = CallLimit::adaptive(32);
        for _ in 0..100 {
            limit.went_well(limit.era(), 3);
        }
        assert_eq!(limit.calls(), 4);
    }

    #[test]
    fn calls_sent_together_lower_it_once_and_it_never_falls_below_one() {
        let mut limit = CallLimit::adaptive(32);
        (0..16).for_each(|_| round_trip(&mut limit));
        assert_eq!(limit.calls(), 20);
        let sent_together = limit.era();
        (0..20).for_each(|_| limit.pushed_back(sent_together));
        assert_eq!(limit.calls(), 15);
        for expected in [11, 8, 6, 4, 3, 2, 1, 1] {
            limit.pushed_back(limit.era());
            assert_eq!(limit.calls(), expected);
        }
        round_trip(&mut limit);
        assert_eq!(limit.calls(), 2);
    }

    #[test]
    fn a_fixed_limit_stays() {
        let mut limit = CallLimit::fixed(7);
        round_trip(&mut limit);
        limit.pushed_back(limit.era());
        assert_eq!(limit.calls(), 7);
    }

    proptest! {
        /// Whatever is answered, the limit stays within its bounds.
        #[test]
        fn it_stays_within_its_bounds(max in 0usize..40, answers in proptest::collection::vec((any::<bool>(), 0u64..4, 0usize..50), 0..300)) {
            let mut limit = CallLimit::adaptive(max);
            for (well, age, in_flight) in answers {
                let era = limit.era().saturating_sub(age);
                if well { limit.went_well(era, in_flight) } else { limit.pushed_back(era) }
                prop_assert!((1..=max.max(1)).contains(&limit.calls()));
            }
        }
    }
}
