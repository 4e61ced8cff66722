//! What the daemon believes the time to be, and what a sighting's time is worth beside it.

use super::outcome::{Outcome, UndecidedReason};
use super::time::Timestamp;

/// How far the wall clock may be from the daemon's before neither alone is believed.
pub const CLOCK_DISAGREEMENT_US: i64 = 5_000_000;

/// How long a wall clock that was set must be steady before it is adopted.
pub const CLOCK_STEADY_US: i64 = 60_000_000;

/// How much a steady wall clock may wander against the monotonic one: what time daemons slew, not what they step.
const CLOCK_WANDER_US: i64 = 1_000_000;

/// One reading of the clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    /// The daemon's now: an adopted wall clock advanced by the monotonic clock.
    pub now: Timestamp,
    /// What the wall clock says.
    pub wall: Timestamp,
}

impl ClockReading {
    /// A reading on which both agree.
    #[must_use]
    pub const fn agreed(now: Timestamp) -> Self {
        Self { now, wall: now }
    }

    /// Whether the wall clock is too far from the daemon's for either to be believed alone.
    #[must_use]
    pub const fn disagrees(&self) -> bool {
        self.wall.micros_since(self.now).saturating_abs() > CLOCK_DISAGREEMENT_US
    }
}

/// Keeps the daemon's now from what the two clocks of the system say.
#[derive(Debug, Clone)]
pub struct ClockKeeper {
    adopted_offset_us: i64,
    candidate: Option<Candidate>,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    offset_us: i64,
    steady_since_us: i64,
}

impl ClockKeeper {
    /// Adopts the wall clock as it is at start.
    #[must_use]
    pub const fn new(wall: Timestamp, monotonic_us: i64) -> Self {
        let offset_us = wall.as_micros().saturating_sub(monotonic_us);
        Self { adopted_offset_us: offset_us, candidate: None }
    }

    /// Takes note of both clocks. A wall clock that came to differ is adopted once it has been steady for
    /// [`CLOCK_STEADY_US`] on the monotonic clock.
    pub fn observe(&mut self, wall: Timestamp, monotonic_us: i64) -> ClockReading {
        let offset_us = wall.as_micros().saturating_sub(monotonic_us);
        if offset_us.saturating_sub(self.adopted_offset_us).saturating_abs() <= CLOCK_DISAGREEMENT_US {
            self.candidate = None;
        } else {
            self.consider(offset_us, monotonic_us);
        }
        ClockReading { now: Timestamp::from_micros(monotonic_us).plus_micros(self.adopted_offset_us), wall }
    }

    fn consider(&mut self, offset_us: i64, monotonic_us: i64) {
        let fresh = Candidate { offset_us, steady_since_us: monotonic_us };
        let candidate = self.candidate.get_or_insert(fresh);
        if offset_us.saturating_sub(candidate.offset_us).saturating_abs() > CLOCK_WANDER_US {
            *candidate = fresh;
        }
        if monotonic_us.saturating_sub(candidate.steady_since_us) >= CLOCK_STEADY_US {
            self.adopted_offset_us = offset_us;
            self.candidate = None;
        }
    }
}

/// How far from now a sighting may lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLimits {
    /// How far ahead of now, in microseconds, before it is `clock_skew`.
    pub max_ahead_us: i64,
    /// How long ago, in microseconds, before it is `too_old`.
    pub max_age_us: i64,
}

impl Default for TimeLimits {
    fn default() -> Self {
        Self { max_ahead_us: 5 * 60 * 1_000_000, max_age_us: 7 * 24 * 60 * 60 * 1_000_000 }
    }
}

impl TimeLimits {
    /// What the time rule says of a sighting: nothing, a refusal, or, when the clocks disagree and so do their
    /// verdicts, that it cannot be said.
    #[must_use]
    pub fn judge(&self, detected_at: Timestamp, clock: &ClockReading) -> Option<Outcome> {
        let by_now = self.judge_by(detected_at, clock.now);
        if clock.disagrees() && self.judge_by(detected_at, clock.wall) != by_now {
            return Some(Outcome::Undecided(UndecidedReason::Clock));
        }
        by_now
    }

    fn judge_by(&self, detected_at: Timestamp, now: Timestamp) -> Option<Outcome> {
        let ahead_us = detected_at.micros_since(now);
        if ahead_us > self.max_ahead_us {
            Some(Outcome::ClockSkew)
        } else if ahead_us < -self.max_age_us {
            Some(Outcome::TooOld)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;
    const START: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    #[test]
    fn limits_are_judged_to_the_microsecond() {
        let limits = TimeLimits::default();
        let clock = ClockReading::agreed(START);
        let judge = |offset_us| limits.judge(START.plus_micros(offset_us), &clock);
        assert_eq!(judge(300 * SECOND), None);
        assert_eq!(judge(300 * SECOND + 1), Some(Outcome::ClockSkew));
        assert_eq!(judge(-604_800 * SECOND), None);
        assert_eq!(judge(-604_800 * SECOND - 1), Some(Outcome::TooOld));
        assert_eq!(limits.judge(Timestamp::from_micros(i64::MIN), &clock), Some(Outcome::TooOld));
        assert_eq!(limits.judge(Timestamp::from_micros(i64::MAX), &clock), Some(Outcome::ClockSkew));
    }

    #[test]
    fn a_stepped_wall_clock_refuses_only_what_both_clocks_refuse() {
        let limits = TimeLimits::default();
        let mut keeper = ClockKeeper::new(START, 0);
        let stepped = keeper.observe(START.plus_micros(3_600 * SECOND), SECOND);
        assert_eq!(stepped.now, START.plus_micros(SECOND));
        assert!(stepped.disagrees());
        let judge = |offset_us| limits.judge(START.plus_micros(offset_us), &stepped);
        assert_eq!(judge(0), None, "both accept");
        assert_eq!(judge(3_600 * SECOND), Some(Outcome::Undecided(UndecidedReason::Clock)));
        assert_eq!(judge(2 * 3_600 * SECOND), Some(Outcome::ClockSkew), "both refuse");
    }

    #[test]
    fn a_wall_clock_steady_for_a_minute_is_adopted() {
        let mut keeper = ClockKeeper::new(START, 0);
        let step = 3_600 * SECOND;
        assert!(keeper.observe(START.plus_micros(step), 0).disagrees());
        assert!(keeper.observe(START.plus_micros(step + 59 * SECOND), 59 * SECOND).disagrees());
        let adopted = keeper.observe(START.plus_micros(step + 60 * SECOND), 60 * SECOND);
        assert!(!adopted.disagrees());
        assert_eq!(adopted.now, START.plus_micros(step + 60 * SECOND));
    }

    #[test]
    fn a_wall_clock_that_keeps_stepping_is_not_adopted() {
        let mut keeper = ClockKeeper::new(START, 0);
        for second in 1..200 {
            let wandering = START.plus_micros(3_600 * SECOND + second * 30 * SECOND);
            assert!(keeper.observe(wandering, second * SECOND).disagrees());
        }
    }

    #[test]
    fn a_wall_clock_that_returns_is_believed_at_once() {
        let mut keeper = ClockKeeper::new(START, 0);
        assert!(keeper.observe(START.plus_micros(-3_600 * SECOND), SECOND).disagrees());
        assert!(!keeper.observe(START.plus_micros(2 * SECOND), 2 * SECOND).disagrees());
    }
}
