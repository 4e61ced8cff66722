//! Undecided sightings in frames of their own, while they wait.

use tokio::time::Instant;

use super::pending::Undecided;

/// Undecided sightings until it is time to send them again.
#[derive(Debug, Default)]
pub(super) struct UndecidedQueue {
    queue: Vec<(Instant, Undecided)>,
    bytes: usize,
}

impl UndecidedQueue {
    pub(super) fn push(&mut self, due: Instant, undecided: Undecided) {
        self.bytes += undecided.frame.frame_bytes();
        let place = self.queue.partition_point(|(other, _)| *other >= due);
        // The earliest is last.
        self.queue.insert(place, (due, undecided));
    }

    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Undecided> {
        if self.next_due().is_none_or(|due| due > now) {
            return None;
        }
        let (_, undecided) = self.queue.pop()?;
        self.bytes -= undecided.frame.frame_bytes();
        Some(undecided)
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.queue.last().map(|(due, _)| *due)
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Undecided> {
        self.bytes = 0;
        self.queue.drain(..).map(|(_, undecided)| undecided)
    }

    /// Bytes of the frames kept.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
