//! Which calls a batch makes: at most 25 items each, no item twice.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use super::item::ITEM_MAX_BYTES;
use crate::domain::customer::CustomerId;
use crate::domain::identity::CustomerIdentity;
use crate::domain::time::Timestamp;
use crate::ports::{Block, WriteError};

/// Items a call takes (BatchWriteItem).
pub(super) const ITEMS_PER_CALL: usize = 25;

/// Bytes a call takes (BatchWriteItem).
const CALL_MAX_BYTES: usize = 16 * 1024 * 1024;

/// As JSON a byte takes six at most (`\u0000`), and an item's braces and types less than the item's bound again: with
/// items of this model, 25 of them never come near the bytes.
const _: () = assert!(ITEMS_PER_CALL * ITEM_MAX_BYTES * 7 < CALL_MAX_BYTES);

/// An event's identity within a batch: with its time in the range of years that has a text, it is equal exactly when
/// the item's key is.
pub(super) type EventKey = (CustomerId, Timestamp);

/// The identities of a batch that are to be sent, those of one call together: without what is in `stored` already, and
/// of equal keys the first, so that neither a call nor two calls in flight carry one twice.
///
/// # Errors
/// [`WriteError::Rejected`] when a time has no text of fixed width, which admission lets none pass.
pub(super) fn calls<'b>(
    batch: &'b [Arc<Block>],
    stored: &HashSet<EventKey>,
) -> Result<VecDeque<Vec<&'b CustomerIdentity>>, WriteError> {
    let identities = || batch.iter().flat_map(|block| &block.identities);
    let mut met = HashSet::with_capacity(batch.iter().map(|block| block.identities.len()).sum());
    let mut calls = VecDeque::new();
    let mut call = Vec::with_capacity(ITEMS_PER_CALL);
    for identity in identities() {
        if !identity.detected_at.has_text() {
            return Err(WriteError::Rejected("a DetectedAt outside the years 0000 to 9999".into()));
        }
        if !met.insert((&identity.customer_id, identity.detected_at)) {
            continue;
        }
        if !stored.is_empty() && stored.contains(&event_key(identity)) {
            continue;
        }
        call.push(identity);
        if call.len() == ITEMS_PER_CALL {
            calls.push_back(std::mem::replace(&mut call, Vec::with_capacity(ITEMS_PER_CALL)));
        }
    }
    if !call.is_empty() {
        calls.push_back(call);
    }
    Ok(calls)
}

/// An identity's key, for remembering it.
pub(super) fn event_key(identity: &CustomerIdentity) -> EventKey {
    (identity.customer_id.clone(), identity.detected_at)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::beacon::BeaconId;
    use crate::domain::confidence::Confidence;
    use crate::stores::dynamodb::item::ItemKey;

    fn identity(customer_id: &str, detected_at_us: i64, beacon: u8) -> CustomerIdentity {
        CustomerIdentity {
            customer_id: CustomerId::from_bytes(customer_id.as_bytes()).unwrap(),
            beacon_id: BeaconId::from_bytes([beacon; 16]),
            location: None,
            confidence: Confidence::from_stored(0.9).unwrap(),
            detected_at: Timestamp::from_micros(detected_at_us),
        }
    }

    fn blocks(identities: Vec<CustomerIdentity>, rows: usize) -> Vec<Arc<Block>> {
        let block = |rows: &[_]| Arc::new(Block { identities: rows.to_vec(), preferences: Vec::new() });
        identities.chunks(rows).map(block).collect()
    }

    #[test]
    fn of_equal_keys_the_first_is_sent_as_the_system_of_record_keeps_it() {
        let batch = blocks(vec![identity("c", 5, 1), identity("c", 5, 2), identity("c", 6, 3)], 1);
        let calls = calls(&batch, &HashSet::new()).unwrap();
        assert_eq!(calls, [[&identity("c", 5, 1), &identity("c", 6, 3)]]);
    }

    #[test]
    fn what_is_stored_already_is_not_sent_again() {
        let batch = blocks(vec![identity("c", 5, 1), identity("d", 5, 1)], 2);
        let stored = HashSet::from([event_key(&identity("c", 5, 1))]);
        assert_eq!(calls(&batch, &stored).unwrap(), [[&identity("d", 5, 1)]]);
    }

    #[test]
    fn a_time_that_has_no_text_is_refused() {
        let batch = blocks(vec![identity("c", i64::MAX, 1)], 1);
        assert!(matches!(calls(&batch, &HashSet::new()), Err(WriteError::Rejected(_))));
    }

    proptest! {
        /// Every distinct pair of customer and time is in exactly one call, the calls are full but for the last, and
        /// no two items of all of them have one key in the table.
        #[test]
        fn every_item_is_in_one_call(
            rows in proptest::collection::vec(("[ab1-]{1,3}", 0i64..4), 0..300),
            rows_a_block in 1usize..50,
            suffixes in 1u16..6,
        ) {
            let suffixes = NonZeroU16::new(suffixes).unwrap();
            let distinct: HashSet<_> = rows.iter().cloned().collect();
            let batch = blocks(rows.iter().map(|(id, at)| identity(id, *at, 0)).collect(), rows_a_block);
            let calls = calls(&batch, &HashSet::new()).unwrap();
            let sizes: Vec<_> = calls.iter().map(Vec::len).collect();
            prop_assert_eq!(sizes.iter().sum::<usize>(), distinct.len());
            prop_assert!(sizes.iter().rev().skip(1).all(|size| *size == ITEMS_PER_CALL));
            let keys: HashSet<_> =
                calls.iter().flatten().map(|identity| ItemKey::of(identity, suffixes)).collect();
            prop_assert_eq!(keys.len(), distinct.len());
        }
    }
}
