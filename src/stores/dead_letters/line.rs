//! A dead letter as a line of JSON, with the row in full.

use serde::{Deserialize, Serialize};

use super::KeptLetter;
use crate::domain::confidence::Confidence;
use crate::domain::customer::CustomerId;
use crate::domain::identity::CustomerIdentity;
use crate::domain::preference::PreferenceChange;
use crate::domain::time::Timestamp;
use crate::ports::{Block, DeadLetter};

/// The line, its end included.
pub(super) fn write(letter: &DeadLetter) -> serde_json::Result<Vec<u8>> {
    let line = Line {
        store: letter.store.to_owned(),
        reason: letter.reason.clone(),
        at: letter.at.to_string(),
        identities: letter.block.identities.iter().map(IdentityLine::new).collect(),
        preferences: letter.block.preferences.iter().map(PreferencesLine::new).collect(),
    };
    let mut text = serde_json::to_vec(&line)?;
    text.push(b'\n');
    Ok(text)
}

/// The letter of a line, if it is one that the model allows.
pub(super) fn read(text: &[u8]) -> Option<KeptLetter> {
    let line: Line = serde_json::from_slice(text).ok()?;
    let identities = line.identities.iter().map(IdentityLine::identity).collect::<Option<Vec<_>>>()?;
    let preferences = line.preferences.iter().map(PreferencesLine::change).collect::<Option<Vec<_>>>()?;
    let at = Timestamp::from_text(&line.at).ok()?;
    let block = Block { identities, preferences };
    Some(KeptLetter { store: line.store, reason: line.reason, at, block })
}

#[derive(Serialize, Deserialize)]
struct Line {
    store: String,
    reason: String,
    at: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    identities: Vec<IdentityLine>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    preferences: Vec<PreferencesLine>,
}

#[derive(Serialize, Deserialize)]
struct IdentityLine {
    customer_id: String,
    beacon_id: String,
    location: Option<String>,
    confidence: f32,
    detected_at: String,
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

#[derive(Serialize, Deserialize)]
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
