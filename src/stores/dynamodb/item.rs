//! An identity as DynamoDB's item: the names and types of the model.

use std::collections::HashMap;
use std::num::NonZeroU16;

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};

use super::suffix::partition_key;
use crate::domain::identity::CustomerIdentity;

/// Partition key.
pub(super) const CUSTOMER_ID: &str = "CustomerID";
/// Sort key, and partition key of the index.
pub(super) const DETECTED_AT: &str = "DetectedAt";
/// Name of the beacon's place; absent when it has none.
pub(super) const LOCATION: &str = "Location";
/// When DynamoDB may delete the item, in seconds since the Unix epoch.
pub(super) const EXPIRES_AT: &str = "ExpiresAt";
const CONFIDENCE: &str = "Confidence";
const BEACON_ID: &str = "BeaconID";

/// What an item takes at most as DynamoDB counts it, names included: 64 characters of four bytes and a suffix, a time,
/// 32 characters of four bytes, a number, a UUID, another number.
pub(super) const ITEM_MAX_BYTES: usize = 1_024;

/// An item's full key. The two are compared as two: put together, `a` and `bc` would be `ab` and `c`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ItemKey {
    pub(super) customer_id: String,
    pub(super) detected_at: String,
}

impl ItemKey {
    /// The key of an identity's item in a table with so many suffixes.
    pub(super) fn of(identity: &CustomerIdentity, suffixes: NonZeroU16) -> Self {
        let text = identity.detected_at.to_text();
        Self {
            customer_id: partition_key(identity.customer_id.as_str(), text.as_str(), suffixes),
            detected_at: text.as_str().to_owned(),
        }
    }

    /// The key of an item that DynamoDB sends back.
    pub(super) fn of_request(request: &WriteRequest) -> Option<Self> {
        let item = request.put_request()?.item();
        let text = |name| item.get(name)?.as_s().ok().cloned();
        Some(Self { customer_id: text(CUSTOMER_ID)?, detected_at: text(DETECTED_AT)? })
    }
}

/// The request that puts an identity's item; the same at every call.
pub(super) fn put_request(identity: &CustomerIdentity, suffixes: NonZeroU16) -> WriteRequest {
    let put = PutRequest::builder()
        .set_item(Some(item(identity, suffixes)))
        .build()
        .unwrap_or_else(|_| unreachable!("an item is all it needs"));
    WriteRequest::builder().put_request(put).build()
}

fn item(identity: &CustomerIdentity, suffixes: NonZeroU16) -> HashMap<String, AttributeValue> {
    let key = ItemKey::of(identity, suffixes);
    let mut beacon_id = [0; 36];
    let beacon_id = identity.beacon_id.write_text(&mut beacon_id).to_owned();
    // Rust's decimal form of an f32 is the shortest that reads back as the same f32.
    let confidence = identity.confidence.as_f32().to_string();
    let expires_at = identity.event_expires_at_seconds().to_string();
    let mut item = HashMap::with_capacity(6);
    item.insert(CUSTOMER_ID.to_owned(), AttributeValue::S(key.customer_id));
    item.insert(DETECTED_AT.to_owned(), AttributeValue::S(key.detected_at));
    item.insert(BEACON_ID.to_owned(), AttributeValue::S(beacon_id));
    item.insert(CONFIDENCE.to_owned(), AttributeValue::N(confidence));
    item.insert(EXPIRES_AT.to_owned(), AttributeValue::N(expires_at));
    if let Some(location) = &identity.location {
        item.insert(LOCATION.to_owned(), AttributeValue::S(location.as_str().to_owned()));
    }
    item
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::beacon::BeaconId;
    use crate::domain::confidence::Confidence;
    use crate::domain::customer::CustomerId;
    use crate::domain::time::Timestamp;

    fn identity(customer_id: &str, detected_at_us: i64, confidence: f64) -> CustomerIdentity {
        CustomerIdentity {
            customer_id: CustomerId::from_bytes(customer_id.as_bytes()).unwrap(),
            beacon_id: BeaconId::from_bytes([7; 16]),
            location: None,
            confidence: Confidence::from_stored(confidence).unwrap(),
            detected_at: Timestamp::from_micros(detected_at_us),
        }
    }

    #[test]
    fn the_largest_identity_is_within_the_bound() {
        let mut largest = identity(&"\u{10FFFF}".repeat(64), 253_402_300_799_999_999, 0.9);
        largest.location = Some("\u{10FFFF}".repeat(32).parse().unwrap());
        let item = item(&largest, NonZeroU16::MAX);
        let bytes = |value: &AttributeValue| value.as_s().or(value.as_n()).unwrap().len();
        let total: usize = item.iter().map(|(name, value)| name.len() + bytes(value)).sum();
        assert!(total <= ITEM_MAX_BYTES, "{total}");
        assert_eq!(item.len(), 6);
    }

    #[test]
    fn a_place_without_a_name_makes_no_attribute() {
        assert!(!item(&identity("c", 0, 0.9), NonZeroU16::MIN).contains_key(LOCATION));
    }

    #[test]
    fn keys_are_two_texts_and_not_one() {
        let key = |customer_id: &str, detected_at: &str| ItemKey {
            customer_id: customer_id.into(),
            detected_at: detected_at.into(),
        };
        assert_ne!(key("a", "bc"), key("ab", "c"));
    }

    proptest! {
        /// Items are the same exactly when customer and time are: no two customers meet in one item, whatever
        /// their ids look like, and a key can be read back from its request.
        #[test]
        fn keys_are_equal_exactly_when_customer_and_time_are(
            a in ("[ab1-]{1,4}", 0i64..3), b in ("[ab1-]{1,4}", 0i64..3), suffixes in 1u16..12,
        ) {
            let suffixes = NonZeroU16::new(suffixes).unwrap();
            let [first, second] = [&a, &b].map(|(id, at)| identity(id, *at, 0.9));
            let keys = [&first, &second].map(|identity| ItemKey::of(identity, suffixes));
            prop_assert_eq!(keys[0] == keys[1], a == b);
            prop_assert_eq!(ItemKey::of_request(&put_request(&first, suffixes)), Some(keys[0].clone()));
        }

        /// The confidence's text reads back as the same f32.
        #[test]
        fn confidence_reads_back(confidence in 0.0f64..=1.0) {
            let identity = identity("c", 0, confidence);
            let text = item(&identity, NonZeroU16::MIN)[CONFIDENCE].as_n().unwrap().clone();
            prop_assert_eq!(text.parse::<f32>().unwrap().to_bits(), identity.confidence.as_f32().to_bits());
        }
    }
}
