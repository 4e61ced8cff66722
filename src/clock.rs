//! The system's clocks, behind the Clock port.

use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use crate::domain::clock::{ClockKeeper, ClockReading};
use crate::domain::time::Timestamp;
use crate::faults;
use crate::ports::Clock;

/// The wall clock and the monotonic clock of this machine.
#[derive(Debug)]
pub struct SystemClock {
    started_at: Instant,
    keeper: Mutex<ClockKeeper>,
}

impl SystemClock {
    /// Starts from the wall clock as it is.
    #[must_use]
    pub fn start() -> Self {
        Self { started_at: Instant::now(), keeper: Mutex::new(ClockKeeper::new(wall(), 0)) }
    }
}

impl Clock for SystemClock {
    fn read(&self) -> ClockReading {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock, so that no later reading is of an earlier time.
        let monotonic_us = i64::try_from(self.started_at.elapsed().as_micros()).unwrap_or(i64::MAX);
        keeper.observe(wall(), monotonic_us)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the Clock port's adapter: the one place that reads the wall clock"
)]
fn wall() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
        .plus_micros(faults::wall_offset_us())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn now_never_goes_back_and_is_near_the_wall_clock() {
        let clock = SystemClock::start();
        let mut last = clock.read();
        for _ in 0..1_000 {
            let next = clock.read();
            assert!(next.now >= last.now);
            assert!(!next.disagrees());
            last = next;
        }
    }
}
