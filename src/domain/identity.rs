//! The aggregate: a customer identified at a beacon.

use super::beacon::BeaconId;
use super::confidence::Confidence;
use super::customer::CustomerId;
use super::location::LocationName;
use super::time::Timestamp;

/// A customer was at a beacon's place at a time. Location and confidence are fixed when it is made; no writer
/// computes them again.
#[derive(Debug, Clone, PartialEq)]
pub struct CustomerIdentity {
    /// Who.
    pub customer_id: CustomerId,
    /// At which beacon.
    pub beacon_id: BeaconId,
    /// The name of the beacon's place at that time.
    pub location: Option<LocationName>,
    /// How sure, 0.8 to 1.0.
    pub confidence: Confidence,
    /// When.
    pub detected_at: Timestamp,
}

/// How long DynamoDB's events are kept: `ExpiresAt` is DetectedAt and a year of 365 days, in seconds.
pub const EVENT_KEPT_SECONDS: i64 = 365 * 24 * 60 * 60;

impl CustomerIdentity {
    /// When its event expires, in seconds since the Unix epoch (the unit of DynamoDB's TTL).
    #[must_use]
    pub const fn event_expires_at_seconds(&self) -> i64 {
        self.detected_at
            .as_micros()
            .div_euclid(super::time::MICROS_PER_SECOND)
            .saturating_add(EVENT_KEPT_SECONDS)
    }
}
