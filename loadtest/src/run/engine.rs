//! Runs a run: from the first connection to the last answer.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::course::{Course, End};
use super::gateway::Post;
use super::machine::OwnCores;
use super::observer::Observer;
use super::probe::{Probe, Timekeeping};
use super::watch::{Watch, Watched};
use crate::encode::Fingerprint;

/// How long answers are awaited after a run was ended before its time.
const SHORT_DRAIN: Duration = Duration::from_secs(5);

/// How often the terminal is asked for keys.
const KEYS_EVERY: Duration = Duration::from_millis(100);

/// How a run came to its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Ended {
    /// When it was to.
    #[default]
    InTime,
    /// Somebody pressed Ctrl-C.
    Interrupted,
    /// Twice.
    AtOnce,
    /// An objective could not be met any more.
    Aborted,
}

/// What is there once every gateway is done.
#[derive(Debug, Default)]
pub(crate) struct Served {
    pub(crate) ended: Ended,
    /// From the last frame's time to the last answer, or to the end of patience.
    pub(crate) drained: Duration,
    pub(crate) timekeeping: Timekeeping,
    /// Of everything that was sent.
    pub(crate) fingerprint: Fingerprint,
}

/// Lets the gateways serve, looks on each second, and ends the run when it is time or somebody wants it.
///
/// # Errors
/// When the live view or the interval log cannot be written.
pub(crate) async fn serve(
    posts: Vec<Post>,
    course: &Arc<Course>,
    end: &watch::Sender<End>,
    observer: &mut Observer<'_>,
) -> io::Result<Served> {
    let mut serving = JoinSet::new();
    for post in posts {
        serving.spawn(Box::pin(post.serve(Arc::clone(course))));
    }
    let probe = Probe::begin(course);
    let (mut ended, mut fingerprint) = (Ended::InTime, Fingerprint::default());
    let second = Duration::from_secs(1);
    let mut seconds = tokio::time::interval_at(course.began + second, second);
    // Each second gets its look, if late: points are numbered by them.
    seconds.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut keys = tokio::time::interval(KEYS_EVERY);
    // How often somebody wanted the run to end.
    let mut left = 0;
    let mut own_cores = OwnCores::new();
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        tokio::select! {
            served = serving.join_next() => match served {
                None => break,
                Some(Ok((gateway, of_gateway))) => fingerprint.add(gateway, of_gateway),
                Some(Err(failed)) => course.trouble(format!("a gateway's task failed: {failed}")),
            },
            _ = seconds.tick() => {
                let is_hopeless = observer.second(course, own_cores.since_asked(), serving.len())?;
                if is_hopeless && ended == Ended::InTime {
                    ended = Ended::Aborted;
                    end_now(end);
                }
            }
            _ = keys.tick() => if observer.live.is_left()? { left += 1 },
            _ = &mut interrupted => {
                interrupted.set(tokio::signal::ctrl_c());
                left += 1;
            }
        }
        if left >= 2 {
            return Ok(Served { ended: Ended::AtOnce, ..Served::default() });
        }
        if left == 1 && ended != Ended::Interrupted {
            ended = Ended::Interrupted;
            end_now(end);
        }
    }
    let timekeeping = probe.end().await;
    let drained = Instant::now().saturating_duration_since(end.borrow().at);
    Ok(Served { ended, drained, timekeeping, fingerprint })
}

/// Waits until everything that was sampled is found or missing; none if somebody does not want to wait.
pub(crate) async fn finish(watch: Watch) -> Option<Watched> {
    let mut finishing = JoinSet::new();
    finishing.spawn_blocking(|| watch.finish());
    tokio::select! {
        watched = finishing.join_next() => watched?.ok(),
        _ = tokio::signal::ctrl_c() => None,
    }
}

fn end_now(end: &watch::Sender<End>) {
    let now = Instant::now();
    end.send_modify(|end| {
        let at = end.at.min(now);
        *end = End { at, drained: end.drained.min(now + SHORT_DRAIN), is_early: at == now || end.is_early };
    });
}
