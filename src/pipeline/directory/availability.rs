//! Whether a store that failed may be asked again, and by whom.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::{Duration, Instant};

/// How often it is said at most that a store fails: one that is overloaded fails and answers many times a second.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// What is known of one store's answering.
pub(super) struct Availability {
    state: Mutex<State>,
    /// How long after a failure no other question is tried.
    retry_after: Duration,
}

#[derive(Default)]
struct State {
    /// Set while the last question to it failed.
    failing: Option<Failing>,
    /// When it was last said that it fails.
    told_at: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Failing {
    failed_at: Instant,
    tried_at: Instant,
    is_told: bool,
}

/// How a store may be asked.
pub(super) enum Try {
    /// It answers, as far as is known.
    Wait,
    /// It fails, and it is this one's turn to see whether it still does; nobody else waits for it.
    Beside,
    /// It fails, and another has tried lately.
    Later,
}

impl Availability {
    pub(super) fn new(retry_after: Duration) -> Self {
        Self { state: Mutex::default(), retry_after }
    }

    /// Whether it may be asked: one that failed lately by one at a time.
    pub(super) fn may_try(&self) -> Try {
        match &mut self.state().failing {
            None => Try::Wait,
            Some(failing) if failing.tried_at.elapsed() < self.retry_after => Try::Later,
            Some(failing) => {
                failing.tried_at = Instant::now();
                Try::Beside
            }
        }
    }

    pub(super) fn is_failing(&self) -> bool {
        self.state().failing.is_some()
    }

    /// Whether it failed at `instant` or later, and has not answered since.
    pub(super) fn failed_since(&self, instant: Instant) -> bool {
        self.state().failing.is_some_and(|failing| failing.failed_at >= instant)
    }

    /// It answered; returns whether that is to be said.
    pub(super) fn answered(&self) -> bool {
        self.state().failing.take().is_some_and(|failing| failing.is_told)
    }

    /// It did not answer; returns whether that is to be said.
    pub(super) fn failed(&self) -> bool {
        let now = Instant::now();
        let mut state = self.state();
        let was_told = state.failing.is_some_and(|failing| failing.is_told);
        let is_due = state.told_at.is_none_or(|told_at| now - told_at >= TELL_EVERY);
        let tell = !was_told && is_due;
        if tell {
            state.told_at = Some(now);
        }
        state.failing = Some(Failing { failed_at: now, tried_at: now, is_told: was_told || tell });
        tell
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_comes_and_goes_is_said_once_in_ten_seconds_and_what_stays_is_said() {
        let store = Availability::new(Duration::from_secs(1));
        assert!(!store.answered());
        assert_eq!((store.failed(), store.failed(), store.answered()), (true, false, true));
        for _ in 0..9 {
            advance(Duration::from_secs(1)).await;
            assert_eq!((store.failed(), store.answered()), (false, false));
        }
        assert!(!store.failed());
        advance(Duration::from_secs(1)).await;
        assert_eq!((store.failed(), store.answered()), (true, true));
    }
}
