//! What one frame brought that must be stored.

use super::identity::CustomerIdentity;
use super::preference::PreferenceChange;

/// What one frame brought that must be stored: the unit that is accepted or undone as a whole.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Block {
    /// Identities, in the order decided.
    pub identities: Vec<CustomerIdentity>,
    /// Preferences, in the order received.
    pub preferences: Vec<PreferenceChange>,
}

impl Block {
    /// Rows it makes: the measure of batches.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.identities.len() + self.preferences.len()
    }

    /// Places it takes in a queue: one an identity, and more for preferences, whose size is their sender's choice.
    #[must_use]
    pub fn places(&self) -> usize {
        let of_preferences = self.preferences.iter().map(|change| 1 + pairs_bytes(change) / PLACE_BYTES);
        self.identities.len() + of_preferences.sum::<usize>()
    }

    /// Bytes it takes in memory, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let preferences: usize = self.preferences.iter().map(pairs_bytes).sum();
        self.identities.len() * size_of::<CustomerIdentity>()
            + self.preferences.len() * size_of::<PreferenceChange>()
            + preferences
    }
}

/// Bytes of preferences that take a place of their own in a queue: about an identity's.
const PLACE_BYTES: usize = 128;

fn pairs_bytes(change: &PreferenceChange) -> usize {
    change.pairs.iter().map(|(key, value)| key.len() + value.len() + 2 * size_of::<String>()).sum()
}
