//! One who is told of changes, and the task that tells.

use std::sync::Arc;
use std::time::Duration;

use beacond::domain::beacon::BeaconId;
use beacond::ports::BeaconChanges;
use beacond::stores::postgres::{BeaconChangesTask, FollowSettings};
use beacond::tasks::TaskGroup;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::scene::{PATIENCE, runtime, settings};

/// Something told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    Changed(Vec<BeaconId>),
    Followed(bool),
}

#[derive(Debug)]
struct Recorder {
    told: Sender<Told>,
}

impl BeaconChanges for Recorder {
    fn changed(&self, ids: &[BeaconId]) {
        self.told.try_send(Told::Changed(ids.to_vec())).unwrap();
    }

    fn followed(&self, followed: bool) {
        self.told.try_send(Told::Followed(followed)).unwrap();
    }
}

/// A task that follows a database, and what it told.
#[derive(Debug)]
pub(crate) struct Following {
    runtime: Runtime,
    told: Receiver<Told>,
    tasks: TaskGroup,
    cancel: CancellationToken,
}

/// Polls too seldom to be what tells, unless something goes wrong.
pub(crate) const SELDOM: FollowSettings =
    FollowSettings { poll_interval: Duration::from_secs(600), poll_timeout: Duration::from_secs(10) };

/// Polls often.
pub(crate) const OFTEN: FollowSettings =
    FollowSettings { poll_interval: Duration::from_millis(50), poll_timeout: Duration::from_secs(2) };

impl Following {
    pub(crate) fn start(url: String, follow: FollowSettings) -> Self {
        let (sender, told) = channel(100_000);
        let recorder = Arc::new(Recorder { told: sender });
        let task = BeaconChangesTask::new(&settings(url), follow, recorder).unwrap();
        let (runtime, tasks, cancel) = (runtime(), TaskGroup::new("test"), CancellationToken::new());
        runtime.block_on(async { tasks.spawn(task.run(tasks.clone(), cancel.clone())) });
        Self { runtime, told, tasks, cancel }
    }

    /// The next thing told.
    pub(crate) fn next(&mut self) -> Told {
        let next = self.runtime.block_on(async { timeout(PATIENCE, self.told.recv()).await });
        next.unwrap_or_else(|_| panic!("nothing was told in time")).unwrap()
    }

    /// Waits until this is told; everything told before it.
    pub(crate) fn until(&mut self, wanted: impl Fn(&Told) -> bool) -> Vec<Told> {
        let mut before = Vec::new();
        loop {
            match self.next() {
                told if wanted(&told) => return before,
                told => before.push(told),
            }
        }
    }

    pub(crate) fn until_followed(&mut self) -> Vec<Told> {
        self.until(|told| *told == Told::Followed(true))
    }

    pub(crate) fn until_not_followed(&mut self) -> Vec<Told> {
        self.until(|told| *told == Told::Followed(false))
    }

    /// Waits until this beacon is told of; everything told before.
    pub(crate) fn until_changed(&mut self, id: BeaconId) -> Vec<Told> {
        self.until(|told| tells(told, id))
    }

    /// Ends the task; what was told and not yet read.
    pub(crate) fn stop(mut self) -> Vec<Told> {
        self.cancel.cancel();
        assert!(self.runtime.block_on(self.tasks.join(PATIENCE)));
        std::iter::from_fn(|| self.told.try_recv().ok()).collect()
    }
}

/// Whether this beacon is told of.
pub(crate) fn tells(told: &Told, id: BeaconId) -> bool {
    matches!(told, Told::Changed(ids) if ids.contains(&id))
}
