//! How long to wait before trying again: exponential, with full jitter.

use std::time::Duration;

/// Waits that grow: each is drawn evenly from nothing up to a bound that doubles, so that many who were refused
/// together do not come back together (AWS, "Exponential Backoff And Jitter").
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    bound: Duration,
    random: u64,
}

impl Backoff {
    /// Waits of up to `first` at first, and never over `longest`.
    #[must_use]
    pub fn new(first: Duration, longest: Duration) -> Self {
        // Without random numbers every wait is the same share of its bound, which is still a backoff.
        let random = getrandom::u64().unwrap_or(0x9e37_79b9_7f4a_7c15);
        Self { first, longest, bound: first, random }
    }

    /// The next wait.
    pub fn wait(&mut self) -> Duration {
        let bound = self.bound.min(self.longest);
        self.bound = bound.saturating_mul(2);
        bound.mul_f64(self.share())
    }

    /// Begins again with the first bound.
    pub const fn reset(&mut self) {
        self.bound = self.first;
    }

    /// An even share, 0 to 1 (splitmix64).
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    fn share(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_double_up_to_the_longest_and_waits_stay_within_them() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for bound_ms in [100, 200, 400, 800, 1_000, 1_000] {
            assert_eq!(backoff.bound.min(backoff.longest).as_millis(), bound_ms);
            assert!(backoff.wait().as_millis() <= bound_ms);
        }
        backoff.reset();
        assert_eq!(backoff.bound, Duration::from_millis(100));
    }

    #[test]
    fn waits_are_spread_over_their_bound() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(1));
        let waits: Vec<_> = (0..1_000).map(|_| backoff.wait()).collect();
        let mean = waits.iter().sum::<Duration>() / 1_000;
        assert!((400..600).contains(&mean.as_millis()), "{mean:?}");
        assert!(waits.iter().any(|wait| wait.as_millis() < 50));
        assert!(waits.iter().any(|wait| wait.as_millis() > 950));
    }
}
