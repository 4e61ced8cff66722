//! What a batch writes, in the order in which it is cheapest: sorted by customer, each customer once.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::customer::CustomerId;
use crate::domain::identity::CustomerIdentity;
use crate::domain::time::Timestamp;
use crate::ports::Block;

/// A batch's rows. Neighbours in the file are neighbours here, so that a page is touched once and while it is hot.
#[derive(Debug, Default)]
pub(super) struct BatchPlan<'b> {
    /// By CustomerID.
    pub customers: BTreeMap<&'b CustomerId, CustomerRow>,
    /// Sorted by CustomerID and DetectedAt.
    pub identities: Vec<&'b CustomerIdentity>,
    /// By CustomerID and key, the newest of the batch.
    pub preferences: BTreeMap<&'b CustomerId, BTreeMap<&'b str, PreferenceRow<'b>>>,
}

/// What a batch does to a customer's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CustomerRow {
    /// `last_seen` if this batch makes the row.
    pub last_seen_if_new: Timestamp,
    /// The latest identification in the batch: what moves the `last_seen` of a row that exists.
    pub identified_at: Option<Timestamp>,
}

/// A preference's value and the time it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PreferenceRow<'b> {
    pub updated_at: Timestamp,
    pub value: &'b str,
    change: usize,
}

impl<'b> BatchPlan<'b> {
    /// The plan of a batch: what one block after the other, and in a block identities before preferences, would do.
    pub(super) fn new(batch: &'b [Arc<Block>]) -> Self {
        let mut plan = Self {
            identities: Vec::with_capacity(batch.iter().map(|block| block.identities.len()).sum()),
            ..Self::default()
        };
        let mut change_index = 0;
        for block in batch {
            for identity in &block.identities {
                plan.identified(&identity.customer_id, identity.detected_at);
                plan.identities.push(identity);
            }
            for change in &block.preferences {
                plan.customers
                    .entry(&change.customer_id)
                    .or_insert(CustomerRow { last_seen_if_new: change.updated_at, identified_at: None });
                let held = plan.preferences.entry(&change.customer_id).or_default();
                for (key, value) in &change.pairs {
                    let row = PreferenceRow { updated_at: change.updated_at, value, change: change_index };
                    held.entry(key)
                        .and_modify(|held| {
                            if row.updated_at > held.updated_at || row.change == held.change {
                                *held = row;
                            }
                        })
                        .or_insert(row);
                }
                change_index += 1;
            }
        }
        plan.identities.sort_by(|a, b| (&a.customer_id, a.detected_at).cmp(&(&b.customer_id, b.detected_at)));
        plan
    }

    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.customers.is_empty()
    }

    fn identified(&mut self, customer_id: &'b CustomerId, detected_at: Timestamp) {
        self.customers
            .entry(customer_id)
            .and_modify(|row| {
                row.last_seen_if_new = row.last_seen_if_new.max(detected_at);
                row.identified_at = row.identified_at.max(Some(detected_at));
            })
            .or_insert(CustomerRow { last_seen_if_new: detected_at, identified_at: Some(detected_at) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::preference::PreferenceChange;

    fn change(id: &[u8], at_micros: i64, pairs: &[(&str, &str)]) -> PreferenceChange {
        let pairs = pairs.iter().map(|(key, value)| (key.as_bytes(), value.as_bytes()));
        PreferenceChange::from_claim(id, Timestamp::from_micros(at_micros), pairs).unwrap()
    }

    fn block(preferences: Vec<PreferenceChange>) -> Arc<Block> {
        Arc::new(Block { preferences, ..Block::default() })
    }

    #[test]
    fn a_key_takes_the_newest_change_and_the_first_of_equal_ones() {
        let batch = [
            block(vec![change(b"c", 20, &[("k", "first"), ("l", "x")])]),
            block(vec![change(b"c", 20, &[("k", "second")]), change(b"c", 10, &[("l", "old")])]),
            block(vec![change(b"c", 30, &[("l", "new")])]),
        ];
        let plan = BatchPlan::new(&batch);
        let keys = plan.preferences.values().next().unwrap();
        assert_eq!(keys["k"].value, "first");
        assert_eq!(keys["l"].value, "new");
        assert_eq!(keys["l"].updated_at.as_micros(), 30);
    }

    #[test]
    fn in_one_change_the_later_pair_of_a_key_wins() {
        let batch = [block(vec![change(b"c", 20, &[("k", "a"), ("k", "b")])])];
        let plan = BatchPlan::new(&batch);
        assert_eq!(plan.preferences.values().next().unwrap()["k"].value, "b");
    }

    #[test]
    fn a_preference_makes_a_customer_but_does_not_identify_one() {
        let batch = [block(vec![change(b"c", 20, &[])]), block(vec![change(b"c", 30, &[])])];
        let plan = BatchPlan::new(&batch);
        assert_eq!(
            plan.customers.values().next(),
            Some(&CustomerRow { last_seen_if_new: Timestamp::from_micros(20), identified_at: None })
        );
        assert!(!plan.is_empty());
        assert!(BatchPlan::new(&[Arc::default()]).is_empty());
    }
}
