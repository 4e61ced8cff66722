//! How long to wait before trying again, and the randomness that keeps many gateways from trying at once.

use std::time::Duration;

/// The waits of repeated attempts: the first, and the most they grow to by doubling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackoffRange {
    /// The first wait.
    pub first: Duration,
    /// The longest.
    pub most: Duration,
}

/// Waits that double from attempt to attempt until something succeeds.
#[derive(Debug, Clone)]
pub(super) struct Backoff {
    range: BackoffRange,
    attempts: u32,
}

impl Backoff {
    pub(super) const fn new(range: BackoffRange) -> Self {
        Self { range, attempts: 0 }
    }

    /// The next wait, cut by a random part of up to a half.
    pub(super) fn next(&mut self, jitter: &mut Jitter) -> Duration {
        let wait = self.range.wait(self.attempts);
        self.attempts = self.attempts.saturating_add(1);
        wait - jitter.up_to(wait / 2)
    }

    /// The next wait, longer or shorter by a random part of up to a quarter.
    pub(super) fn next_varied(&mut self, jitter: &mut Jitter) -> Duration {
        let wait = self.range.wait(self.attempts);
        self.attempts = self.attempts.saturating_add(1);
        wait - wait / 4 + jitter.up_to(wait / 2)
    }

    pub(super) const fn reset(&mut self) {
        self.attempts = 0;
    }
}

impl BackoffRange {
    /// The wait after so many attempts, without randomness.
    pub(super) fn wait(self, attempts: u32) -> Duration {
        let factor = 1_u32.checked_shl(attempts).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.most.max(self.first))
    }
}

/// A small generator (xorshift64*): spreads attempts, guards no secret.
#[derive(Debug, Clone)]
pub(super) struct Jitter(u64);

impl Jitter {
    /// A generator that starts from `seed`.
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// A random duration from zero to `most`.
    pub(super) fn up_to(&mut self, most: Duration) -> Duration {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32;
        let fraction = u32::try_from(high).map_or(0.0, f64::from) / f64::from(u32::MAX);
        most.mul_f64(fraction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: BackoffRange = BackoffRange { first: Duration::from_secs(1), most: Duration::from_secs(60) };

    #[test]
    fn waits_double_to_the_most_and_are_cut_by_up_to_a_half() {
        let mut backoff = Backoff::new(RANGE);
        let mut jitter = Jitter::new(7);
        for attempt in 0..80 {
            let full = Duration::from_secs(1_u64.checked_shl(attempt).unwrap_or(60).clamp(1, 60));
            let wait = backoff.next(&mut jitter);
            assert!(wait <= full && wait >= full / 2, "attempt {attempt}: {wait:?} of {full:?}");
        }
        backoff.reset();
        assert!(backoff.next(&mut jitter) <= RANGE.first);
    }

    #[test]
    fn varied_waits_stay_within_a_quarter() {
        let mut backoff = Backoff::new(RANGE);
        let mut jitter = Jitter::new(7);
        for attempt in 0..80 {
            let full = Duration::from_secs(1_u64.checked_shl(attempt).unwrap_or(60).clamp(1, 60));
            let wait = backoff.next_varied(&mut jitter);
            assert!(wait >= full * 3 / 4 && wait <= full * 5 / 4, "attempt {attempt}: {wait:?} of {full:?}");
        }
    }

    #[test]
    fn random_waits_differ_and_cover_the_range() {
        let mut jitter = Jitter::new(0);
        let waits: Vec<_> = (0..1_000).map(|_| jitter.up_to(RANGE.most)).collect();
        let low = waits.iter().filter(|wait| **wait < RANGE.most / 2).count();
        assert!((400..600).contains(&low), "{low} of 1000 in the lower half");
    }
}
