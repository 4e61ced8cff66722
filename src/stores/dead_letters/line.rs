//! A dead letter as a line of JSON, with the row in full.

use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};
use siphasher::sip128::{Hasher128, SipHasher13};

use super::{KeptLetter, LetterId};
use crate::domain::confidence::Confidence;
use crate::domain::customer::CustomerId;
use crate::domain::identity::CustomerIdentity;
use crate::domain::preference::PreferenceChange;
use crate::domain::time::Timestamp;
use crate::ports::{Block, DeadLetter};

/// The line, its end included, and what tells it from others.
pub(super) fn write(letter: &DeadLetter) -> serde_json::Result<(Vec<u8>, LetterId)> {
    let line = Line {
        store: letter.store.to_owned(),
        entry: Some(letter.entry),
        row: Some(letter.row),
        reason: letter.reason.clone(),
        at: letter.at.to_string(),
        identities: letter.block.identities.iter().map(IdentityLine::new).collect(),
        preferences: letter.block.preferences.iter().map(PreferencesLine::new).collect(),
    };
    let mut text = serde_json::to_vec(&line)?;
    text.push(b'\n');
    Ok((text, line.id()))
}

/// The letter of a line, if it is one that the model allows.
pub(super) fn read(text: &[u8]) -> Option<KeptLetter> {
    let line: Line = serde_json::from_slice(text).ok()?;
    let identities = line.identities.iter().map(IdentityLine::identity).collect::<Option<Vec<_>>>()?;
    let preferences = line.preferences.iter().map(PreferencesLine::change).collect::<Option<Vec<_>>>()?;
    if identities.len() + preferences.len() != 1 {
        return None;
    }
    let at = Timestamp::from_text(&line.at).ok()?;
    let block = Block { identities, preferences };
    let id = line.id();
    let Line { store, entry, row, reason, .. } = line;
    Some(KeptLetter { id, store, entry, row, reason, at, block })
}

#[derive(Serialize, Deserialize)]
struct Line {
    store: String,
    /// Lines of versions before the journal have neither of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    entry: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    row: Option<u32>,
    reason: String,
    at: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    identities: Vec<IdentityLine>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    preferences: Vec<PreferencesLine>,
}

impl Line {
    /// The store, the place in the journal, and the row itself: where a journal was begun anew, its first entries have
    /// the numbers of others, whose letters may be here still.
    fn id(&self) -> LetterId {
        let mut hasher = SipHasher13::new();
        (&self.store, self.entry, self.row, &self.identities, &self.preferences).hash(&mut hasher);
        LetterId(hasher.finish128().as_u128())
    }
}

#[derive(Serialize, Deserialize)]
struct IdentityLine {
    customer_id: String,
    beacon_id: String,
    location: Option<String>,
    confidence: f32,
    detected_at: String,
}

impl Hash for IdentityLine {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Self { customer_id, beacon_id, location, confidence, detected_at } = self;
        (customer_id, beacon_id, location, confidence.to_bits(), detected_at).hash(hasher);
    }
}

impl IdentityLine {
    fn new(identity: &CustomerIdentity) -> Self {
        Self {
            customer_id: identity.customer_id.as_str().to_owned(),
            beacon_id: identity.beacon_id.to_string(),
            location: identity.location.as_ref().map(|location| location.as_str().to_owned()),
            confidence: identity.confidence.as_f32(),
            detected_at: identity.detected_at.to_string(),
        }
    }

    fn identity(&self) -> Option<CustomerIdentity> {
        Some(CustomerIdentity {
            customer_id: CustomerId::from_bytes(self.customer_id.as_bytes()).ok()?,
            beacon_id: self.beacon_id.parse().ok()?,
            location: self.location.as_ref().map(|location| location.parse()).transpose().ok()?,
            confidence: Confidence::from_stored(f64::from(self.confidence))?,
            detected_at: Timestamp::from_text(&self.detected_at).ok()?,
        })
    }
}

#[derive(Hash, Serialize, Deserialize)]
struct PreferencesLine {
    customer_id: String,
    updated_at: String,
    /// Not an object: the order counts, and so may a key that comes twice.
    pairs: Vec<(String, String)>,
}

impl PreferencesLine {
    fn new(change: &PreferenceChange) -> Self {
        Self {
            customer_id: change.customer_id.as_str().to_owned(),
            updated_at: change.updated_at.to_string(),
            pairs: change.pairs.clone(),
        }
    }

    fn change(&self) -> Option<PreferenceChange> {
        let updated_at = Timestamp::from_text(&self.updated_at).ok()?;
        let pairs = self.pairs.iter().map(|(key, value)| (key.as_bytes(), value.as_bytes()));
        PreferenceChange::from_claim(self.customer_id.as_bytes(), updated_at, pairs).ok()
    }
}
