//! Whether a store that failed may be asked again, and by whom.

use std::sync::{Mutex, PoisonError};

use tokio::time::{Duration, Instant};

/// What is known of one store's answering.
pub(super) struct Availability {
    /// Set while the last question to it failed.
    failing: Mutex<Option<Failing>>,
    /// How long after a failure no other question is tried.
    retry_after: Duration,
}

#[derive(Clone, Copy)]
struct Failing {
    failed_at: Instant,
    tried_at: Instant,
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
    pub(super) const fn new(retry_after: Duration) -> Self {
        Self { failing: Mutex::new(None), retry_after }
    }

    /// Whether it may be asked: one that failed lately by one at a time.
    pub(super) fn may_try(&self) -> Try {
        match &mut *self.failing.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Try::Wait,
            Some(failing) if failing.tried_at.elapsed() < self.retry_after => Try::Later,
            Some(failing) => {
                failing.tried_at = Instant::now();
                Try::Beside
            }
        }
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Whether it failed at `instant` or later, and has not answered since.
    pub(super) fn failed_since(&self, instant: Instant) -> bool {
        let failing = *self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        failing.is_some_and(|failing| failing.failed_at >= instant)
    }

    /// It answered; tells whether it had been failing.
    pub(super) fn answered(&self) -> bool {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }

    /// It did not answer; tells whether it had been answering.
    pub(super) fn failed(&self) -> bool {
        let now = Instant::now();
        let failing = Failing { failed_at: now, tried_at: now };
        self.failing.lock().unwrap_or_else(PoisonError::into_inner).replace(failing).is_none()
    }
}
