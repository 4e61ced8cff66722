//! A batch cut into parts that have no customer in common.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike};

use super::failure::OutOfRange;
use crate::domain::customer::CustomerId;
use crate::domain::identity::CustomerIdentity;
use crate::domain::time::Timestamp;
use crate::domain::window::SPACING_US;
use crate::stores::batch_plan::{BatchPlan, CustomerRow, PreferenceRow};

/// Some customers of a batch, from one id to another, with their rows. All is sorted by CustomerID.
#[derive(Debug)]
pub(super) struct Part<'b> {
    pub(super) customers: Vec<PartCustomer<'b>>,
    /// Each key once: of several the one that was decided first.
    pub(super) identities: Vec<&'b CustomerIdentity>,
    pub(super) preferences: Vec<PartPreference<'b>>,
}

/// A customer of a part.
#[derive(Debug, Clone, Copy)]
pub(super) struct PartCustomer<'b> {
    pub(super) id: &'b str,
    pub(super) row: CustomerRow,
    /// The first identification in the batch.
    pub(super) first: Option<Timestamp>,
    /// Whether two identities in the batch lie under 60 s from each other.
    pub(super) near: bool,
}

/// A customer's preference.
#[derive(Debug, Clone, Copy)]
pub(super) struct PartPreference<'b> {
    pub(super) customer_id: &'b str,
    pub(super) key: &'b str,
    pub(super) row: PreferenceRow<'b>,
}

/// The first microseconds of the years 1 and 9999: partitions can be made for what is between.
const FIRST_US: i64 = -62_135_596_800_000_000;
const END_US: i64 = 253_370_764_800_000_000;

impl<'b> Part<'b> {
    /// At most `count` parts, about equal in customers.
    pub(super) fn split(plan: &BatchPlan<'b>, count: usize) -> Result<Vec<Self>, OutOfRange> {
        for identity in &plan.identities {
            if !(FIRST_US..END_US).contains(&identity.detected_at.as_micros()) {
                return Err(OutOfRange::DetectedAt(identity.beacon_id));
            }
        }
        let customers: Vec<_> = plan.customers.iter().map(|(id, row)| (*id, *row)).collect();
        let mut rest = &plan.identities[..];
        let mut parts = Vec::with_capacity(count);
        for customers in customers.chunks(customers.len().div_ceil(count.max(1)).max(1)) {
            let [(first, _), ..] = customers else { continue };
            let last = customers.last().map_or(*first, |(last, _)| *last);
            let (identities, after) = rest.split_at(rest.partition_point(|row| row.customer_id <= *last));
            rest = after;
            let mut identities = identities.to_vec();
            identities.dedup_by(|later, earlier| key(later) == key(earlier));
            let preferences =
                plan.preferences.range::<&CustomerId, _>(*first..=last).flat_map(|(id, rows)| {
                    let preference = |(key, row): (&&'b str, &PreferenceRow<'b>)| PartPreference {
                        customer_id: id.as_str(),
                        key,
                        row: *row,
                    };
                    rows.iter().map(preference)
                });
            let preferences: Vec<_> = preferences.collect();
            let has_text = |row: &PartPreference<'_>| row.row.updated_at.has_text();
            if !preferences.iter().all(has_text)
                || !customers.iter().all(|(_, row)| row.last_seen_if_new.has_text())
            {
                return Err(OutOfRange::UpdatedAt);
            }
            parts.push(Self { customers: with_spans(customers, &identities), identities, preferences });
        }
        Ok(parts)
    }

    /// The distinct beacons of its identities, as text.
    pub(super) fn beacons(&self) -> Vec<String> {
        let beacons: BTreeSet<_> = self.identities.iter().map(|identity| identity.beacon_id).collect();
        beacons.iter().map(ToString::to_string).collect()
    }

    /// The UTC years of its identities.
    pub(super) fn years(&self) -> BTreeSet<i32> {
        let times = self.identities.iter().map(|identity| identity.detected_at.as_micros());
        times.filter_map(|micros| Some(DateTime::from_timestamp_micros(micros)?.year())).collect()
    }
}

fn key<'b>(identity: &&'b CustomerIdentity) -> (&'b CustomerId, Timestamp) {
    (&identity.customer_id, identity.detected_at)
}

/// The customers with what their identities, in the same order, say of them.
fn with_spans<'b>(
    customers: &[(&'b CustomerId, CustomerRow)],
    identities: &[&'b CustomerIdentity],
) -> Vec<PartCustomer<'b>> {
    let mut rest = identities;
    let mut spans = Vec::with_capacity(customers.len());
    for (id, row) in customers {
        let (own, after) = rest.split_at(rest.partition_point(|identity| identity.customer_id <= **id));
        rest = after;
        let near =
            own.windows(2).any(|pair| pair[1].detected_at.micros_since(pair[0].detected_at) < SPACING_US);
        let first = own.first().map(|identity| identity.detected_at);
        spans.push(PartCustomer { id: id.as_str(), row: *row, first, near });
    }
    spans
}
