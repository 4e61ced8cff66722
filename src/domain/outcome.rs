//! What becomes of a sighting.

/// The outcomes of a sighting, in the order in which they are decided, and `undecided`, which is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A store that is needed could not be asked in a bounded time: not an acknowledgement, send it again.
    Undecided(UndecidedReason),
    /// A field breaks its rule.
    Invalid(InvalidField),
    /// Detected too far ahead of the daemon's clock.
    ClockSkew,
    /// Detected too long ago.
    TooOld,
    /// The UUID is not in the directory.
    UnknownBeacon,
    /// Major or Minor are not the registered beacon's: a copied UUID.
    BeaconMismatch,
    /// The beacon is retired or being worked on.
    BeaconInactive,
    /// This gateway may not report this beacon's store.
    Forbidden,
    /// The signal is too weak to tell.
    LowConfidence,
    /// The customer was identified within a minute of it.
    Duplicate,
    /// The customer is identified, now or by an earlier copy of this sighting.
    Identified,
}

/// Which field of a sighting or preference is invalid, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InvalidField {
    /// CustomerID of no characters.
    CustomerIdEmpty,
    /// CustomerID of more than 64 characters.
    CustomerIdTooLong,
    /// CustomerID with control characters.
    CustomerIdControlCharacters,
    /// CustomerID that is not UTF-8.
    CustomerIdNotUtf8,
    /// RSSI outside -100..=0 dBm.
    Rssi,
    /// A preference's key: empty, too long, control characters or not UTF-8.
    PreferenceKey,
    /// A preference's value: not UTF-8, or with a NUL character.
    PreferenceValue,
    /// UpdatedAt too far ahead of the daemon's clock, or not a time of the years 0000 to 9999.
    UpdatedAt,
}

/// Why a sighting could not be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UndecidedReason {
    /// The beacon directory could not be asked.
    Directory,
    /// The system of record could not be asked, or did not commit.
    Store,
    /// The duplicate window is full until the backlog is stored.
    WindowFull,
    /// The wall clock and the monotonic clock disagree.
    Clock,
}

/// How many outcomes there are, `undecided` included.
pub const OUTCOMES: usize = 11;

impl Outcome {
    /// Names by [`Self::index`], used in metrics and on the wire's documents.
    pub const LABELS: [&'static str; OUTCOMES] = [
        "undecided",
        "invalid",
        "clock_skew",
        "too_old",
        "unknown_beacon",
        "beacon_mismatch",
        "beacon_inactive",
        "forbidden",
        "low_confidence",
        "duplicate",
        "identified",
    ];

    /// Its number: 0 for `undecided`, then the order of decision. The wire's codes are the same.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Undecided(_) => 0,
            Self::Invalid(_) => 1,
            Self::ClockSkew => 2,
            Self::TooOld => 3,
            Self::UnknownBeacon => 4,
            Self::BeaconMismatch => 5,
            Self::BeaconInactive => 6,
            Self::Forbidden => 7,
            Self::LowConfidence => 8,
            Self::Duplicate => 9,
            Self::Identified => 10,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn label(self) -> &'static str {
        Self::LABELS[self.index()]
    }
}

/// How many sightings had each outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutcomeCounts([u32; OUTCOMES]);

impl OutcomeCounts {
    /// Counts one more.
    pub fn add(&mut self, outcome: Outcome) {
        let count = &mut self.0[outcome.index()];
        *count = count.saturating_add(1);
    }

    /// How many are undecided, for whatever reason.
    #[must_use]
    pub const fn undecided(&self) -> u32 {
        self.0[0]
    }

    /// Takes one away that was counted before.
    pub fn remove(&mut self, outcome: Outcome) {
        let count = &mut self.0[outcome.index()];
        *count = count.saturating_sub(1);
    }

    /// Takes away what was counted before.
    pub fn subtract(&mut self, others: &Self) {
        for (count, other) in self.0.iter_mut().zip(others.0) {
            *count = count.saturating_sub(other);
        }
    }

    /// Counts by [`Outcome::index`].
    #[must_use]
    pub const fn as_array(&self) -> &[u32; OUTCOMES] {
        &self.0
    }

    /// How many had this outcome.
    #[must_use]
    pub fn of(&self, outcome: Outcome) -> u32 {
        self.0[outcome.index()]
    }

    /// How many sightings in all, `undecided` included.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().map(|&count| u64::from(count)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up() {
        let mut counts = OutcomeCounts::default();
        counts.add(Outcome::Identified);
        counts.add(Outcome::Identified);
        counts.add(Outcome::Invalid(InvalidField::Rssi));
        counts.remove(Outcome::Identified);
        assert_eq!(counts.of(Outcome::Identified), 1);
        assert_eq!(counts.total(), 2);
        assert_eq!(Outcome::Identified.label(), "identified");
    }
}
