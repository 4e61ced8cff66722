//! Where to go next: the daemons of a gateway, the preferred one first. Pure: time is an argument.

use std::time::Duration;

use tokio::time::Instant;

use super::config::Target;

/// The daemons in the order preferred, and what was met at each.
#[derive(Debug)]
pub(super) struct Targets {
    preferred: Target,
    all: Vec<Candidate>,
    current: usize,
    failures: u64,
}

#[derive(Debug)]
struct Candidate {
    target: Target,
    /// The number of its last failure since a record came; 0 for none.
    failed: u64,
    /// It asked not to be met before.
    not_before: Option<Instant>,
}

impl Targets {
    pub(super) fn new(preferred: Target, others: &[Target]) -> Self {
        let all = std::iter::once(preferred).chain(others.iter().copied());
        let candidate = |target| Candidate { target, failed: 0, not_before: None };
        Self { preferred, all: all.map(candidate).collect(), current: 0, failures: 0 }
    }

    /// The one spoken to, or tried.
    pub(super) fn current(&self) -> Target {
        self.all.get(self.current).map_or(self.preferred, |candidate| candidate.target)
    }

    /// How many there are, one at the least.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.all.len()).unwrap_or(u32::MAX).max(1)
    }

    /// A record came: who failed before may be well again.
    pub(super) fn forgive(&mut self) {
        if self.failures > 0 {
            self.failures = 0;
            self.all.iter_mut().for_each(|candidate| candidate.failed = 0);
        }
    }

    /// The current one failed or sent the gateway away, and is not to be met again before `wait` is over.
    pub(super) fn leave(&mut self, now: Instant, wait: Duration) {
        self.failures += 1;
        if let Some(candidate) = self.all.get_mut(self.current) {
            candidate.failed = self.failures;
            candidate.not_before = now.checked_add(wait);
        }
    }

    /// Turns to the one that failed longest ago, the preferred before others, of those that may be met at `earliest`;
    /// if none may, to the one that may be met first. Returns when.
    pub(super) fn turn(&mut self, earliest: Instant) -> Instant {
        let meets = |candidate: &Candidate| candidate.not_before.map_or(earliest, |then| then.max(earliest));
        let best =
            self.all.iter().enumerate().min_by_key(|(_, candidate)| (meets(candidate), candidate.failed));
        match best {
            Some((index, candidate)) => {
                let at = meets(candidate);
                self.current = index;
                at
            }
            None => earliest,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    const NO_WAIT: Duration = Duration::ZERO;
    const WAIT: Duration = Duration::from_secs(60);

    fn target(port: u16) -> Target {
        Target::Tcp(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    fn three() -> Targets {
        Targets::new(target(1), &[target(2), target(3)])
    }

    #[tokio::test]
    async fn failing_one_after_the_other_goes_round_in_the_order_given() {
        let now = Instant::now();
        let mut targets = three();
        for port in [1, 2, 3, 1, 2, 3, 1] {
            assert_eq!(targets.current(), target(port));
            targets.leave(now, NO_WAIT);
            assert_eq!(targets.turn(now), now);
        }
    }

    #[tokio::test]
    async fn after_a_session_that_was_of_use_the_preferred_one_comes_first_again() {
        let now = Instant::now();
        let mut targets = three();
        for _ in 0..2 {
            targets.leave(now, NO_WAIT);
            targets.turn(now);
        }
        assert_eq!(targets.current(), target(3));
        targets.forgive();
        targets.leave(now, NO_WAIT);
        targets.turn(now);
        assert_eq!(targets.current(), target(1));
    }

    #[tokio::test]
    async fn one_that_asked_to_be_left_alone_is_passed_over_for_so_long() {
        let now = Instant::now();
        let mut targets = three();
        targets.leave(now, WAIT);
        for port in [2, 3, 2, 3] {
            assert_eq!(targets.turn(now), now);
            assert_eq!(targets.current(), target(port));
            targets.leave(now, NO_WAIT);
        }
        assert_eq!(targets.turn(now + WAIT), now + WAIT);
        assert_eq!(targets.current(), target(1));
    }

    #[tokio::test]
    async fn where_all_asked_for_it_the_first_that_may_be_met_is_waited_for() {
        let now = Instant::now();
        let mut targets = three();
        for seconds in [30, 10, 20] {
            targets.leave(now, Duration::from_secs(seconds));
            targets.turn(now);
        }
        assert_eq!(targets.turn(now), now + Duration::from_secs(10));
        assert_eq!(targets.current(), target(2));
        let mut alone = Targets::new(target(1), &[]);
        alone.leave(now, WAIT);
        assert_eq!(alone.turn(now), now + WAIT);
    }
}
