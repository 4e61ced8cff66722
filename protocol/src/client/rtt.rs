//! The retransmission timeout of RFC 6298, from round trips as they are seen.

use std::time::Duration;

/// Before the first sample (RFC 6298, 2.1).
const INITIAL_TIMEOUT: Duration = Duration::from_secs(1);
/// Above a usual fsync, so that a healthy daemon is not asked twice.
const MIN_TIMEOUT: Duration = Duration::from_millis(200);
/// Below a person's patience.
const MAX_TIMEOUT: Duration = Duration::from_secs(8);

/// Smoothed round trip and the timeout that follows from it.
#[derive(Debug, Clone)]
pub(super) struct RoundTrip {
    smoothed: Option<(Duration, Duration)>,
    timeout: Duration,
}

impl RoundTrip {
    pub(super) const fn new() -> Self {
        Self { smoothed: None, timeout: INITIAL_TIMEOUT }
    }

    /// How long to wait for a sign of a frame.
    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Takes the round trip of a frame that was sent once only (Karn).
    pub(super) fn sample(&mut self, round_trip: Duration) {
        let (mean, variation) = match self.smoothed {
            None => (round_trip, round_trip / 2),
            Some((mean, variation)) => {
                let variation = variation.mul_f64(0.75) + mean.abs_diff(round_trip).mul_f64(0.25);
                (mean.mul_f64(0.875) + round_trip.mul_f64(0.125), variation)
            }
        };
        self.smoothed = Some((mean, variation));
        self.timeout = (mean + variation * 4).clamp(MIN_TIMEOUT, MAX_TIMEOUT);
    }

    /// A timeout ran out: the next is twice as long, until a sample says otherwise.
    pub(super) fn back_off(&mut self) {
        self.timeout = (self.timeout * 2).min(MAX_TIMEOUT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeout_follows_the_samples_within_its_bounds() {
        let mut round_trip = RoundTrip::new();
        assert_eq!(round_trip.timeout(), Duration::from_secs(1));
        round_trip.sample(Duration::from_millis(100));
        assert_eq!(round_trip.timeout(), Duration::from_millis(300));
        for _ in 0..100 {
            round_trip.sample(Duration::from_millis(1));
        }
        assert_eq!(round_trip.timeout(), MIN_TIMEOUT);
        round_trip.sample(Duration::from_secs(100));
        assert_eq!(round_trip.timeout(), MAX_TIMEOUT);
    }

    #[test]
    fn timeout_doubles_to_its_bound_until_the_next_sample() {
        let mut round_trip = RoundTrip::new();
        for seconds in [2, 4, 8, 8] {
            round_trip.back_off();
            assert_eq!(round_trip.timeout(), Duration::from_secs(seconds));
        }
        round_trip.sample(Duration::from_millis(100));
        assert_eq!(round_trip.timeout(), Duration::from_millis(300));
    }
}
