//! Watches the generator's own clockwork: a ticking that is late shows that the generator got no processor, whatever the
//! target does.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::course::Course;

const TICK: Duration = Duration::from_millis(20);
/// Sleeps that are as short as can be, to see how short that is.
const SHORT_SLEEPS: u32 = 20;

/// What was seen, in the measured window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Timekeeping {
    pub(crate) ticks: u64,
    /// Later than the scenario allows frames to be.
    pub(crate) late: u64,
    pub(crate) latest: Duration,
}

/// A task that ticks.
#[derive(Debug)]
pub(crate) struct Probe {
    stop: CancellationToken,
    ticking: JoinSet<Timekeeping>,
}

impl Probe {
    pub(crate) fn begin(course: &Arc<Course>) -> Self {
        let stop = CancellationToken::new();
        let (course, stopped) = (Arc::clone(course), stop.clone());
        let mut ticking = JoinSet::new();
        ticking.spawn(async move {
            let mut timekeeping = Timekeeping::default();
            let mut due = course.began + course.scenario.load.warm_up.0;
            while !stopped.is_cancelled() {
                tokio::select! {
                    () = sleep_until(due) => {}
                    () = stopped.cancelled() => break,
                }
                timekeeping.tick(due.elapsed(), course.scenario.verdict.lag_limit.0);
                due += TICK;
            }
            timekeeping
        });
        Self { stop, ticking }
    }

    pub(crate) async fn end(mut self) -> Timekeeping {
        self.stop.cancel();
        self.ticking.join_next().await.and_then(Result::ok).unwrap_or_default()
    }
}

impl Timekeeping {
    /// A tick came so late. Ticks that were missed are made up for one by one, and each counts.
    fn tick(&mut self, late: Duration, limit: Duration) {
        self.ticks += 1;
        self.late += u64::from(late > limit);
        self.latest = self.latest.max(late);
    }
}

/// The finest step that the generator's timer takes.
pub(crate) async fn timer_step() -> Duration {
    let mut step = Duration::MAX;
    for _ in 0..SHORT_SLEEPS {
        let begins = Instant::now();
        sleep(Duration::from_micros(1)).await;
        step = step.min(begins.elapsed());
    }
    step
}
