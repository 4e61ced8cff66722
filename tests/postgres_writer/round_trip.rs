//! Whatever an identity may hold comes back as it was.

use std::collections::BTreeMap;
use std::sync::Mutex;

use beacond::domain::confidence::Confidence;
use beacond::domain::customer::CustomerId;
use beacond::domain::identity::CustomerIdentity;
use beacond::domain::time::Timestamp;
use beacond::ports::{BatchWriter, Delivery};
use proptest::prelude::*;

use crate::scene::{Scene, beacon_id, identified};

/// 2024-01-01 and 2029-01-01: years whose partitions the writer makes when it meets them.
const TIMES_US: std::ops::Range<i64> = 1_704_067_200_000_000..1_861_920_000_000_000;

fn identities() -> impl Strategy<Value = Vec<CustomerIdentity>> {
    let text = |max: usize| {
        proptest::collection::vec(any::<char>().prop_filter("control", |c| !c.is_control()), 1..=max)
    };
    let customer =
        prop_oneof![3 => "[a-z]{1,3}".prop_map(String::from), 2 => text(64).prop_map(String::from_iter)];
    let location = proptest::option::of(text(32).prop_map(String::from_iter));
    let identity = (customer, 0u8..4, location, 0f32..=1.0, TIMES_US).prop_map(
        |(customer, beacon, location, confidence, detected_at)| CustomerIdentity {
            customer_id: CustomerId::from_bytes(customer.as_bytes()).unwrap(),
            beacon_id: beacon_id(beacon),
            location: location.map(|name| name.parse().unwrap()),
            confidence: Confidence::from_stored(f64::from(confidence)).unwrap(),
            detected_at: Timestamp::from_micros(detected_at),
        },
    );
    proptest::collection::vec(identity, 1..60)
}

/// As psql is asked to print it: nothing in it depends on how psql prints a type.
fn printed(identity: &CustomerIdentity) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!(
        "{}|{}|{}|{}|{}",
        hex(identity.customer_id.as_str().as_bytes()),
        identity.beacon_id,
        identity.location.as_ref().map_or("null".to_owned(), |name| hex(name.as_str().as_bytes())),
        hex(&identity.confidence.as_f32().to_be_bytes()),
        identity.detected_at.as_micros(),
    )
}

const PRINTED: &str = "SELECT encode(convert_to(customer_id, 'UTF8'), 'hex'), beacon_id,
    coalesce(encode(convert_to(location, 'UTF8'), 'hex'), 'null'), encode(float4send(confidence), 'hex'),
    (extract(epoch FROM detected_at) * 1000000)::bigint FROM customer_identities";

#[test]
fn what_is_copied_is_read_back_as_it_was_whichever_way_it_went() {
    let scene = Scene::new();
    let writer = Mutex::new(scene.writer());
    proptest!(ProptestConfig::with_cases(24), |(rows in identities(), again in any::<bool>())| {
        scene.sql("TRUNCATE customer_identities");
        let delivery = if again { Delivery::Again } else { Delivery::First };
        writer.lock().unwrap().write(&[identified(rows.clone())], delivery).unwrap();
        let mut expected = BTreeMap::new();
        for row in &rows {
            expected.entry((row.customer_id.clone(), row.detected_at)).or_insert_with(|| printed(row));
        }
        let mut expected: Vec<_> = expected.into_values().collect();
        expected.sort();
        let found = scene.sql(PRINTED);
        let mut found: Vec<_> = found.lines().collect();
        found.sort_unstable();
        prop_assert_eq!(found, expected);
    });
}
