//! Groups of tasks: each has a name and an owner that waits for its end.

use std::future::Future;

use tokio::time::{Duration, timeout};
use tokio_util::task::TaskTracker;

/// Tasks that belong together and end together.
#[derive(Debug, Clone)]
pub struct TaskGroup {
    name: &'static str,
    tracker: TaskTracker,
}

impl TaskGroup {
    /// An empty group.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self { name, tracker: TaskTracker::new() }
    }

    /// Starts a task of this group on the current runtime.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tracker.spawn(task);
    }

    /// How many of its tasks have not ended.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tracker.len()
    }

    /// Whether none of its tasks is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tracker.is_empty()
    }

    /// Waits until every task has ended, at most until `deadline` from now; tells whether all did.
    pub async fn join(&self, deadline: Duration) -> bool {
        self.tracker.close();
        let ended = timeout(deadline, self.tracker.wait()).await.is_ok();
        if !ended {
            tracing::warn!(group = self.name, left = self.tracker.len(), "tasks did not end in time");
        }
        ended
    }
}
