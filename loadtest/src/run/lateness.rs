//! How late the generator is by its own fault: pure, times are arguments.
//!
//! A gateway makes one frame after the other. Had the target taken each at once, a frame would be made when it is due, or
//! when the one before is made, plus the work of making it. How much later than due that is, is the lag. What a gateway
//! waits for the target is in no frame's lag, whatever it adds up to; work that does not keep up adds up in every frame's.

use std::time::Duration;

use tokio::time::Instant;

/// The lag of one gateway.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lateness {
    /// When the last frame would have been made, had the target taken all at once.
    made: Option<Instant>,
    /// When the target had taken the last frame.
    taken: Option<Instant>,
}

impl Lateness {
    /// A frame that was due at `due` is ready now. Returns its lag.
    pub(crate) fn ready(&mut self, due: Instant, now: Instant) -> Duration {
        let began = self.taken.map_or(due, |taken| taken.max(due));
        let work = now.saturating_duration_since(began);
        let made = self.made.map_or(due, |made| made.max(due)) + work;
        self.made = Some(made);
        made.saturating_duration_since(due)
    }

    /// The target has taken it.
    pub(crate) const fn taken(&mut self, now: Instant) {
        self.taken = Some(now);
    }

    /// What was made until now had no schedule.
    pub(crate) const fn forget(&mut self, now: Instant) {
        self.made = None;
        self.taken = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(begin: Instant, milliseconds: u64) -> Instant {
        begin + Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_target_that_stalls_does_not_make_the_generator_late() {
        let begin = Instant::now();
        let mut lateness = Lateness::default();
        assert_eq!(lateness.ready(at(begin, 100), at(begin, 101)).as_millis(), 1);
        lateness.taken(at(begin, 1_500));
        for (number, due) in (200..=1_400).step_by(100).enumerate() {
            let number = number as u64;
            let lag = lateness.ready(at(begin, due), at(begin, 1_501 + number));
            assert_eq!(lag.as_millis(), 1, "{due}");
            lateness.taken(at(begin, 1_501 + number));
        }
    }

    #[test]
    fn a_generator_that_wakes_late_is_late() {
        let begin = Instant::now();
        let mut lateness = Lateness::default();
        assert_eq!(lateness.ready(at(begin, 100), at(begin, 1_600)).as_millis(), 1_500);
        lateness.taken(at(begin, 1_600));
        assert_eq!(lateness.ready(at(begin, 200), at(begin, 1_600)).as_millis(), 1_400);
    }

    #[test]
    fn work_that_does_not_keep_up_adds_up() {
        let begin = Instant::now();
        let mut lateness = Lateness::default();
        let mut lag = Duration::ZERO;
        for frame in 0..100 {
            let ready = at(begin, 15 * (frame + 1));
            lag = lateness.ready(at(begin, 10 * frame), ready);
            lateness.taken(ready);
        }
        assert_eq!(lag.as_millis(), 15 * 100 - 10 * 99);
    }
}
