//! What the two halves of a gateway, the one that sends and the one that hears, have in common.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::again::AgainQueue;
use crate::population::Heard;

/// What a frame is of, which says what its answer is measured as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Heard just now: measured from the time it was due.
    Live,
    /// Heard offline: measured from the gateway's return.
    Backlog,
    /// Undecided before: not measured; `times` says how often it was.
    Again { times: u32 },
}

/// A frame that was handed over and has no answer yet.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) class: Class,
    /// When it was due.
    pub(crate) due: Instant,
    /// Its place among the gateway's frames, from 1.
    pub(crate) order: u64,
    pub(crate) heard: Vec<Heard>,
}

/// The frames on their way, each under a tag that comes back with its answer, and what is to be sent again.
#[derive(Debug, Default)]
pub(crate) struct Papers {
    frames: Vec<Option<Sent>>,
    free: Vec<usize>,
    pub(crate) again: AgainQueue,
}

impl Papers {
    /// Keeps a frame; returns its tag. The client bounds how many there are.
    pub(crate) fn keep(&mut self, sent: Sent) -> u64 {
        let place = self.free.pop().unwrap_or_else(|| {
            self.frames.push(None);
            self.frames.len() - 1
        });
        self.frames[place] = Some(sent);
        place as u64
    }

    pub(crate) fn take(&mut self, tag: u64) -> Option<Sent> {
        let place = usize::try_from(tag).ok()?;
        let sent = self.frames.get_mut(place)?.take()?;
        self.free.push(place);
        Some(sent)
    }

    pub(crate) fn on_their_way(&self) -> usize {
        self.frames.len() - self.free.len()
    }

    /// Everything that is left, in the order it was handed over.
    pub(crate) fn drain(&mut self) -> Vec<Sent> {
        self.free.clear();
        let mut left: Vec<_> = self.frames.drain(..).flatten().collect();
        left.sort_unstable_by_key(|sent| sent.order);
        left
    }
}

/// The papers, and a bell that rings when an answer has changed them.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    papers: Mutex<Papers>,
    pub(crate) changed: Notify,
}

impl Desk {
    /// Both halves are one task: nobody ever waits here.
    pub(crate) fn papers(&self) -> MutexGuard<'_, Papers> {
        self.papers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
