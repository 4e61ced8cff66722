//! The duplicate window: which identities were accepted lately, to refuse another within a minute.

mod customer;
mod index;
mod ring;
mod table;

pub use customer::{CustomerHasher, CustomerKey};

use self::index::Index;
use self::ring::{Entry, Ring, slot_of};
use super::beacon::BeaconId;
use super::time::Timestamp;

/// Identities of one customer are at least this far apart; exactly this far is no duplicate.
pub const SPACING_US: i64 = 60_000_000;

/// Entries in a chunk of the ring: as many as fit 1 MiB, which allocators serve with little waste; small
/// beside the whole and large beside the cost of an allocation.
const CHUNK_ENTRIES: usize = (1 << 20) / size_of::<Entry>();

/// The part of the entries kept for fresh sightings, which nobody but the window can decide: an eighth.
const FRESH_SHARE: usize = 8;

/// How long and how much a window keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowLimits {
    horizon_us: i64,
    max_ahead_us: i64,
    max_entries: usize,
}

impl WindowLimits {
    /// `horizon_us`: a sighting detected up to this long ago is fresh, and decided in memory alone.
    /// `max_ahead_us`: how far a detection may lie ahead of its acceptance.
    /// `max_entries`: the most entries kept; at most 2^32 - 1.
    #[must_use]
    pub fn new(horizon_us: i64, max_ahead_us: i64, max_entries: usize) -> Self {
        Self {
            horizon_us: horizon_us.max(0),
            max_ahead_us: max_ahead_us.max(0),
            max_entries: max_entries.min(u32::MAX as usize),
        }
    }

    /// The longest an entry is kept on account of time: horizon, detection ahead of acceptance and
    /// [`SPACING_US`] together. What rebuilds a window must reach back this far, not the horizon alone.
    #[must_use]
    pub const fn retention_us(&self) -> i64 {
        self.horizon_us.saturating_add(self.max_ahead_us).saturating_add(SPACING_US)
    }

    /// Entries past which late sightings find no room.
    #[must_use]
    pub const fn late_entries(&self) -> usize {
        self.max_entries - self.max_entries / FRESH_SHARE
    }
}

/// An entry's place in the order of acceptance.
///
/// Contiguous from 0. The positions of entries rolled back are given again to those accepted next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(u64);

impl Position {
    /// The position with so many before it.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Entries accepted before it.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The next position.
    #[must_use]
    pub const fn after(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// How a sighting stands to what was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// No identity of the customer is within a minute.
    Clear,
    /// This identity itself: same customer, time and beacon.
    Redelivery(Position),
    /// An identity of the customer is less than a minute away: this one. If two are (one before, one
    /// after), one that is durable if there is one, else the first accepted: what to wait for least.
    Duplicate(Position),
}

/// The window holds as many entries as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the duplicate window is full")]
pub struct Full;

/// The identities accepted lately.
///
/// Entries are accepted in order. One is *pending* until [`durable`](Self::durable) reaches it; if
/// durability fails, all pending ones, a suffix of that order, are undone by [`roll_back`](Self::roll_back).
///
/// An entry leaves, by [`expire`](Self::expire), when all three hold:
/// - it is stored ([`stored`](Self::stored) has reached it), so that the system of record answers for it;
/// - it was accepted over the horizon ago. A late sighting is checked here, then asked about at the
///   system of record, then checked here again before it is accepted: whatever was accepted in between
///   is still here;
/// - no fresh sighting can be within a minute of it: it was detected a minute more than the horizon ago.
///   A detection can lie ahead of its acceptance, so the second condition alone would let go of an entry
///   that a fresh sighting, decided here alone, still conflicts with, and the customer would be identified twice.
///
/// Entries leave in the order they were accepted, none before an older one that has to stay; that is at
/// most [`WindowLimits::retention_us`] after acceptance, if stored by then.
///
/// All times are arguments. Memory: 40 bytes an entry and at most 12 in the index.
#[derive(Debug)]
pub struct DuplicateWindow {
    limits: WindowLimits,
    ring: Ring<CHUNK_ENTRIES>,
    index: Index,
    /// Position after the last that is durable.
    durable_end: u64,
    /// Position after the last that is stored; not past `durable_end`.
    stored_end: u64,
    /// Every identity that could conflict with a sighting detected from here on is in memory.
    known_from: Timestamp,
}

impl DuplicateWindow {
    /// An empty window.
    #[must_use]
    pub fn new(limits: WindowLimits) -> Self {
        Self::starting_at(limits, 0)
    }

    fn starting_at(limits: WindowLimits, first: u64) -> Self {
        Self {
            limits,
            ring: Ring::starting_at(first),
            index: Index::new(),
            durable_end: first,
            stored_end: first,
            known_from: Timestamp::from_micros(i64::MIN),
        }
    }

    /// How a sighting stands to the entries kept. Time does not depend on how many a customer has.
    #[must_use]
    pub fn check(&self, customer: CustomerKey, detected_at: Timestamp, beacon: &BeaconId) -> Standing {
        let mut pending = None;
        let durable = self.index.find(customer, minute_of(detected_at), |slot| {
            if !self.ring.at_slot(slot).conflicts(customer, detected_at) {
                return false;
            }
            let position = self.ring.position_of(slot);
            if position >= self.durable_end {
                pending = Some(pending.map_or(position, |other: u64| other.min(position)));
            }
            position < self.durable_end
        });
        let Some(position) = durable.map(|slot| self.ring.position_of(slot)).or(pending) else {
            return Standing::Clear;
        };
        let entry = self.ring.at(position);
        if entry.detected_at == detected_at && entry.beacon_mark == customer.beacon_mark(beacon) {
            Standing::Redelivery(Position(position))
        } else {
            Standing::Duplicate(Position(position))
        }
    }

    /// Brings what [`check`](Self::check) will look at first into the processor's cache.
    ///
    /// With millions of entries a check is a wait for memory. Calling this for every sighting of a frame
    /// before deciding the first lets those waits overlap: twice as many checks a second.
    pub fn read_ahead(&self, customer: CustomerKey, detected_at: Timestamp) {
        std::hint::black_box(self.index.read_ahead(customer, minute_of(detected_at)));
    }

    /// Keeps an identity whose [`check`](Self::check) was [`Standing::Clear`]; pending until durable.
    ///
    /// # Errors
    /// [`Full`] when as many entries are kept as may be; nothing has changed then.
    pub fn accept(
        &mut self,
        customer: CustomerKey,
        detected_at: Timestamp,
        beacon: &BeaconId,
        accepted_at: Timestamp,
    ) -> Result<Position, Full> {
        debug_assert_eq!(self.check(customer, detected_at, beacon), Standing::Clear);
        if self.len() >= self.limits.max_entries {
            return Err(Full);
        }
        let beacon_mark = customer.beacon_mark(beacon);
        let position = self.ring.push(Entry { customer, detected_at, beacon_mark, accepted_at });
        self.index.insert(customer, minute_of(detected_at), slot_of(position));
        Ok(Position(position))
    }

    /// Keeps an identity that was accepted in an earlier run, however many there are; pending until durable.
    pub fn restore(
        &mut self,
        customer: CustomerKey,
        detected_at: Timestamp,
        beacon: &BeaconId,
        accepted_at: Timestamp,
    ) {
        let beacon_mark = customer.beacon_mark(beacon);
        let position = self.ring.push(Entry { customer, detected_at, beacon_mark, accepted_at });
        self.index.insert(customer, minute_of(detected_at), slot_of(position));
    }

    /// Every entry before this position is durable. A watermark already further stays.
    pub fn durable(&mut self, before: Position) {
        debug_assert!(before.0 <= self.ring.next(), "{before:?} was not accepted");
        self.durable_end = self.durable_end.max(before.0.min(self.ring.next()));
    }

    /// Every entry before this position is in the system of record; that makes it durable too.
    pub fn stored(&mut self, before: Position) {
        self.durable(before);
        self.stored_end = self.stored_end.max(before.0.min(self.ring.next()));
    }

    /// Undoes every pending entry and answers how many. Positions continue from the first undone:
    /// whoever holds one of them must drop it.
    pub fn roll_back(&mut self) -> usize {
        let mut undone = 0;
        while self.ring.next() > self.durable_end {
            let Some(entry) = self.ring.pop_back() else { break };
            self.index.remove(entry.customer, entry.minute(), slot_of(self.ring.next()));
            undone += 1;
        }
        undone
    }

    /// Lets go of entries that may leave at `now`, `at_most` so many, and answers how many left.
    ///
    /// Also gives a little memory back, so it is worth calling when nothing is due. Work is bounded by `at_most`.
    pub fn expire(&mut self, now: Timestamp, at_most: usize) -> usize {
        let fresh_from = self.fresh_from(now);
        self.expire_while(at_most, |entry| {
            entry.accepted_at < fresh_from && entry.detected_at.plus_micros(SPACING_US) <= fresh_from
        })
    }

    /// Lets go of entries before their time, `at_most` so many, to make room: stored ones that were accepted before
    /// `accepted_before`, and those accepted after `now`, for the clock was set back since. What could conflict with them
    /// is late from now on; who has a question about late sightings under way sees by [`Self::first_position`] that entries
    /// have left. Answers how many did.
    pub fn expire_early(&mut self, now: Timestamp, accepted_before: Timestamp, at_most: usize) -> usize {
        self.expire_while(at_most, |entry| entry.accepted_at < accepted_before || entry.accepted_at > now)
    }

    fn expire_while(&mut self, at_most: usize, may_leave: impl Fn(&Entry) -> bool) -> usize {
        let mut left = 0;
        while left < at_most
            && self.ring.first() < self.stored_end
            && self.ring.front().is_some_and(&may_leave)
        {
            let slot = slot_of(self.ring.first());
            let Some(entry) = self.ring.pop_front() else { break };
            self.index.remove(entry.customer, entry.minute(), slot);
            self.known_from = self.known_from.max(entry.detected_at.plus_micros(SPACING_US));
            left += 1;
        }
        self.index.give_back();
        left
    }

    fn fresh_from(&self, now: Timestamp) -> Timestamp {
        now.plus_micros(-self.limits.horizon_us)
    }

    /// Whether a sighting detected then is decided here alone: within the horizon, and no entry that
    /// could conflict with it has left (which happens only when the clock was set back since).
    #[must_use]
    pub fn is_fresh(&self, detected_at: Timestamp, now: Timestamp) -> bool {
        detected_at >= self.fresh_from(now).max(self.known_from)
    }

    /// Sightings detected before `instant` are late from now on: identities that could conflict with
    /// them may be missing here. For a start at which not everything stored could be accepted again.
    pub fn unknown_before(&mut self, instant: Timestamp) {
        self.known_from = self.known_from.max(instant);
    }

    /// Sightings detected before this are late, whenever now is: identities that could conflict with them may be
    /// missing here.
    #[must_use]
    pub const fn known_from(&self) -> Timestamp {
        self.known_from
    }

    /// Whether late sightings may still be accepted. If not they are undecided: what is left is for fresh
    /// ones, which nothing but this window can decide.
    #[must_use]
    pub fn late_has_room(&self) -> bool {
        self.len() < self.limits.late_entries()
    }

    /// Whether the entry at this position is accepted and not durable.
    #[must_use]
    pub fn is_pending(&self, position: Position) -> bool {
        (self.durable_end..self.ring.next()).contains(&position.0)
    }

    /// The oldest position kept; the next to be given when none is.
    #[must_use]
    pub fn first_position(&self) -> Position {
        Position(self.ring.first())
    }

    /// The position to be given next.
    #[must_use]
    pub fn next_position(&self) -> Position {
        Position(self.ring.next())
    }

    /// Entries kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Entries that are not durable.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.ring.next() - self.durable_end
    }

    /// Bytes allocated.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.ring.memory_bytes() + self.index.memory_bytes()
    }
}

/// The whole minute a time lies in, counted from the epoch; downwards, also before it.
fn minute_of(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(SPACING_US)
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
