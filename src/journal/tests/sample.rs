//! Entries to write, and strategies that make them.

use std::sync::Arc;

use proptest::prelude::*;

use crate::domain::beacon::BeaconId;
use crate::domain::block::Block;
use crate::domain::confidence::Confidence;
use crate::domain::customer::CustomerId;
use crate::domain::frame::{AckLevel, FrameId, FrameMark};
use crate::domain::identity::CustomerIdentity;
use crate::domain::preference::PreferenceChange;
use crate::domain::time::Timestamp;
use crate::journal::{EntryKind, JournalEntry, JournalState, StoreCursor};

/// An entry of a frame with this many identities.
pub(in crate::journal) fn entry(number: u64, first_identity: u64, identities: usize) -> Arc<JournalEntry> {
    let identity = |index: usize| CustomerIdentity {
        customer_id: CustomerId::from_bytes(format!("customer-{number:04}-{index:02}").as_bytes()).unwrap(),
        beacon_id: BeaconId::from_bytes([7; 16]),
        location: Some("Table 3".parse().unwrap()),
        confidence: Confidence::from_stored(0.875).unwrap(),
        detected_at: Timestamp::from_micros(1_700_000_000_000_000 + number as i64),
    };
    Arc::new(JournalEntry {
        number,
        first_identity,
        accepted_at: Timestamp::from_micros(1_700_000_000_000_000 + number as i64),
        kind: EntryKind::Frame(FrameMark {
            id: FrameId {
                gateway: "gateway-1".parse().unwrap(),
                boot_epoch: 5,
                sequence: number,
                checksum: 0xfeed_beef,
            },
            complete: true,
            level: AckLevel::Journal,
            answered_up_to: number - 1,
        }),
        block: Block { identities: (0..identities).map(identity).collect(), preferences: Vec::new() }.into(),
    })
}

/// Entries of three identities each: from this number on, so many.
pub(in crate::journal) fn entries(first: u64, count: u64) -> Vec<Arc<JournalEntry>> {
    (first..first + count).map(|number| entry(number, (number - 1) * 3, 3)).collect()
}

/// A state in which one store has come this far.
pub(in crate::journal) fn state(next: u64) -> JournalState {
    JournalState {
        stores: vec![StoreCursor { name: "postgres".to_owned(), next, first_identity: (next - 1) * 3 }],
        known_from: Timestamp::from_micros(next as i64),
        past_known: true,
    }
}

fn customer() -> impl Strategy<Value = CustomerId> {
    prop_oneof!["[ -~]{1,64}", "\\PC{1,64}"]
        .prop_filter_map("no customer id", |text| CustomerId::from_bytes(text.as_bytes()).ok())
}

fn identity() -> impl Strategy<Value = CustomerIdentity> {
    let location = proptest::option::of("\\PC{0,32}");
    (customer(), any::<[u8; 16]>(), location, 0.0f32..=1.0, any::<i64>()).prop_map(
        |(customer_id, beacon, location, confidence, detected_at)| CustomerIdentity {
            customer_id,
            beacon_id: BeaconId::from_bytes(beacon),
            location: location.and_then(|name| name.parse().ok()),
            confidence: Confidence::from_stored(confidence.into()).unwrap(),
            detected_at: Timestamp::from_micros(detected_at),
        },
    )
}

fn preference() -> impl Strategy<Value = PreferenceChange> {
    let pairs = proptest::collection::vec(("\\PC{1,64}", "\\PC{0,200}"), 0..4);
    (customer(), any::<i64>(), pairs).prop_map(|(customer_id, updated_at, pairs)| PreferenceChange {
        customer_id,
        updated_at: Timestamp::from_micros(updated_at),
        pairs,
    })
}

fn kind() -> impl Strategy<Value = EntryKind> {
    let level = prop_oneof![Just(AckLevel::Journal), Just(AckLevel::Stored)];
    let frame = ("[a-z]{1,64}", any::<[u64; 3]>(), any::<u32>(), any::<bool>(), level).prop_map(
        |(gateway, [boot_epoch, sequence, answered_up_to], checksum, complete, level)| {
            let gateway = gateway.parse().unwrap();
            let id = FrameId { gateway, boot_epoch, sequence, checksum };
            EntryKind::Frame(FrameMark { id, complete, level, answered_up_to })
        },
    );
    let replay =
        ("[a-z]{1,32}", any::<bool>()).prop_map(|(store, accepted)| EntryKind::Replay { store, accepted });
    prop_oneof![frame, replay]
}

/// Any entry there can be.
pub(in crate::journal) fn any_entry() -> impl Strategy<Value = JournalEntry> {
    let identities = proptest::collection::vec(identity(), 0..20);
    let preferences = proptest::collection::vec(preference(), 0..4);
    (1u64.., 0..u64::MAX / 2, any::<i64>(), kind(), identities, preferences).prop_map(
        |(number, first_identity, accepted_at, kind, identities, preferences)| JournalEntry {
            number,
            first_identity,
            accepted_at: Timestamp::from_micros(accepted_at),
            kind,
            block: Block { identities, preferences }.into(),
        },
    )
}

/// Any state there can be.
pub(in crate::journal) fn any_state() -> impl Strategy<Value = JournalState> {
    let cursor = ("[a-z_]{1,32}", any::<u64>(), any::<u64>())
        .prop_map(|(name, next, first_identity)| StoreCursor { name, next, first_identity });
    (proptest::collection::vec(cursor, 0..5), any::<i64>(), any::<bool>()).prop_map(
        |(stores, known_from, past_known)| JournalState {
            stores,
            known_from: Timestamp::from_micros(known_from),
            past_known,
        },
    )
}
