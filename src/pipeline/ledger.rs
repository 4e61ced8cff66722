//! The ledger of conservation: every sighting and every identity is somewhere, and the sums prove it.

use serde::{Deserialize, Serialize};

use super::answer::PreferencesAnswer;
use super::progress::Role;
use crate::domain::outcome::{OUTCOMES, Outcome, OutcomeCounts};

/// Counts since start. All terms change under one lock and are read as one snapshot, so that the equations of
/// [`Self::imbalance`] hold at every reading, not only at rest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// Sightings taken in for a decision.
    pub received: u64,
    /// Of these, sightings whose outcome waits for durability.
    pub in_progress: u64,
    /// Sightings by final outcome, indexed as [`Outcome::index`]; the first, `undecided`, was returned.
    pub outcomes: [u64; OUTCOMES],
    /// `identified` that made a new identity.
    pub identified_new: u64,
    /// `identified` that repeated one: the same customer, time and beacon.
    pub identified_redelivered: u64,
    /// Frames decided.
    pub frames: u64,
    /// Frames recognised as repeats and answered without being decided again.
    pub frames_repeated: u64,
    /// Preferences.
    pub preferences: PreferenceLedger,
    /// Identities in the system of record.
    pub system_of_record: StoreLedger,
    /// Identities in the store of events, where there is one.
    pub events: Option<StoreLedger>,
}

/// Preference frames since start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PreferenceLedger {
    /// Taken in.
    pub received: u64,
    /// Waiting for durability.
    pub in_progress: u64,
    /// Durable.
    pub accepted: u64,
    /// Refused by the system of record after they were accepted, in this run or one before: they are dead letters.
    pub dead_lettered: u64,
    /// Refused: a field breaks its rule.
    pub invalid: u64,
    /// Returned: the store could not be asked.
    pub undecided: u64,
}

/// Identities of one store since start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StoreLedger {
    /// Accepted before this start and not stored then.
    pub waiting_at_start: u64,
    /// Accepted since.
    pub new: u64,
    /// Taken back from the dead letters.
    pub replayed: u64,
    /// Finished: stored.
    pub stored: u64,
    /// Accepted and not finished.
    pub waiting: u64,
    /// Finished: refused by the store and kept as dead letters.
    pub dead_lettered: u64,
    /// Finished: erased on a customer's request before they were stored.
    pub erased: u64,
    /// Lost to corruption of the journal.
    pub lost_to_corruption: u64,
}

impl Ledger {
    /// Sightings with a final outcome, without those returned undecided.
    #[must_use]
    pub fn decided(&self) -> u64 {
        self.outcomes[1..].iter().sum()
    }

    /// Sightings returned undecided.
    #[must_use]
    pub const fn undecided(&self) -> u64 {
        self.outcomes[0]
    }

    /// The stores, in the order they are written: the system of record, then the events.
    pub fn stores(&self) -> impl Iterator<Item = &StoreLedger> {
        std::iter::once(&self.system_of_record).chain(&self.events)
    }

    /// The first equation that does not hold, in words; `None` is what every reading must give.
    #[must_use]
    pub fn imbalance(&self) -> Option<String> {
        let accounted = self.decided() + self.undecided() + self.in_progress;
        if self.received != accounted {
            return Some(format!(
                "received {} != outcomes {} + undecided {} + in progress {}",
                self.received,
                self.decided(),
                self.undecided(),
                self.in_progress
            ));
        }
        let identified = self.outcomes[Outcome::Identified.index()];
        if identified != self.identified_new + self.identified_redelivered {
            return Some(format!(
                "identified {identified} != new {} + redelivered {}",
                self.identified_new, self.identified_redelivered
            ));
        }
        self.preferences
            .imbalance()
            .or_else(|| self.system_of_record.imbalance("system of record"))
            .or_else(|| self.events.and_then(|events| events.imbalance("events")))
    }

    /// The counts of a store, where there is one.
    pub(super) const fn store_mut(&mut self, role: Role) -> Option<&mut StoreLedger> {
        match role {
            Role::Record => Some(&mut self.system_of_record),
            Role::Events => self.events.as_mut(),
        }
    }

    pub(super) fn settle(&mut self, counts: &OutcomeCounts, redelivered: u32) {
        for (total, count) in self.outcomes.iter_mut().zip(counts.as_array()) {
            *total += u64::from(*count);
        }
        let identified = counts.of(Outcome::Identified);
        self.identified_redelivered += u64::from(redelivered);
        self.identified_new += u64::from(identified.saturating_sub(redelivered));
    }
}

impl PreferenceLedger {
    /// Counts a frame that was answered at once.
    pub(super) fn answered(&mut self, answer: PreferencesAnswer) {
        self.received += 1;
        *match answer {
            PreferencesAnswer::Accepted | PreferencesAnswer::DeadLettered => &mut self.accepted,
            PreferencesAnswer::Invalid(_) => &mut self.invalid,
            PreferencesAnswer::Undecided(_) => &mut self.undecided,
        } += 1;
    }

    fn imbalance(&self) -> Option<String> {
        let accounted = self.in_progress + self.accepted + self.invalid + self.undecided;
        (self.received != accounted).then(|| {
            format!(
                "preferences received {} != accepted {} + invalid {} + undecided {} + in progress {}",
                self.received, self.accepted, self.invalid, self.undecided, self.in_progress
            )
        })
    }
}

impl StoreLedger {
    /// Counts identities as accepted and not finished.
    pub(super) const fn accept(&mut self, identities: u64) {
        self.new += identities;
        self.waiting += identities;
    }

    /// Counts identities as accepted before this start and not finished.
    pub(super) const fn found(&mut self, identities: u64) {
        self.waiting_at_start += identities;
        self.waiting += identities;
    }

    /// Counts identities as taken back from the dead letters.
    pub(super) const fn replay(&mut self, identities: u64) {
        self.replayed += identities;
        self.waiting += identities;
    }

    /// Takes back identities that were accepted and are undone.
    pub(super) const fn withdraw(&mut self, identities: u64) {
        self.new -= identities;
        self.waiting -= identities;
    }

    /// Takes back identities that were to be replayed.
    pub(super) const fn withdraw_replayed(&mut self, identities: u64) {
        self.replayed -= identities;
        self.waiting -= identities;
    }

    /// Counts identities that were accepted as finished, of them `dead_lettered`; and others as lost.
    pub(super) fn finish(&mut self, identities: u64, dead_lettered: u64, lost: u64) {
        let finished = identities + lost;
        // More than was known to wait can be found in the files only where they were tampered with.
        self.waiting_at_start += finished.saturating_sub(self.waiting);
        self.waiting = self.waiting.saturating_sub(finished);
        self.dead_lettered += dead_lettered;
        self.stored += identities - dead_lettered;
        self.lost_to_corruption += lost;
    }

    fn imbalance(&self, store: &str) -> Option<String> {
        let came = self.waiting_at_start + self.new + self.replayed;
        let went = self.stored + self.waiting + self.dead_lettered + self.erased + self.lost_to_corruption;
        (came != went).then(|| {
            format!(
                "{store}: waiting at start {} + new {} + replayed {} != stored {} + waiting {} + dead-lettered {} + erased {} \
                 + lost to corruption {}",
                self.waiting_at_start,
                self.new,
                self.replayed,
                self.stored,
                self.waiting,
                self.dead_lettered,
                self.erased,
                self.lost_to_corruption
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_equation_is_watched() {
        let even = Ledger::default();
        assert_eq!(even.imbalance(), None);
        let broken = [
            Ledger { received: 1, ..even.clone() },
            Ledger { identified_redelivered: 1, ..even.clone() },
            Ledger { preferences: PreferenceLedger { accepted: 1, ..Default::default() }, ..even.clone() },
            Ledger { events: Some(StoreLedger { waiting: 1, ..Default::default() }), ..even.clone() },
            Ledger { system_of_record: StoreLedger { stored: 1, ..Default::default() }, ..even },
        ];
        for ledger in broken {
            assert!(ledger.imbalance().is_some(), "{ledger:?}");
        }
    }
}
