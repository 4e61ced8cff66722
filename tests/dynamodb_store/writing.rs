//! Items as the model has them.

use std::collections::HashSet;
use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;
use beacond::domain::preference::PreferenceChange;
use beacond::ports::{BatchWriter, Block, Delivery};
use beacond::stores::dynamodb::DynamoDbWriter;

use crate::scene::{Item, block, confidence, identity, on_each_engine, text, time, visits};

#[test]
fn an_identity_is_one_item_with_the_models_attributes_and_types() {
    on_each_engine(|scene| {
        let mut nameless = identity("cust124", 1, 2);
        nameless.location = None;
        scene.writer().write(&[block(vec![identity("cust123", 0, 7), nameless])], Delivery::First).unwrap();
        let events = scene.events();
        let noon = "2026-05-01T12:00:00.000000Z".to_owned();
        let s = |text: &str| AttributeValue::S(text.into());
        let n = |number: &str| AttributeValue::N(number.into());
        // 1 / (1 + exp(-(-60 + 68) / 4)) as an f32; noon and 365 days of seconds.
        let expected = Item::from([
            ("CustomerID".into(), s("cust123")),
            ("DetectedAt".into(), s(&noon)),
            ("Location".into(), s("Table 7")),
            ("Confidence".into(), n("0.880797")),
            ("BeaconID".into(), s("07070707-0707-0707-0707-070707070707")),
            ("ExpiresAt".into(), n("1809172800")),
        ]);
        assert_eq!(events[&("cust123".into(), noon)], expected);
        let nameless = &events[&("cust124".into(), "2026-05-01T12:00:00.000001Z".into())];
        assert_eq!(nameless.len(), 5);
        assert!(!nameless.contains_key("Location"));
        assert_eq!(
            nameless["Confidence"].as_n().unwrap().parse::<f32>().unwrap().to_bits(),
            confidence().as_f32().to_bits()
        );
        assert_eq!(events.len(), 2);
    });
}

#[test]
fn the_index_finds_by_time_who_was_where() {
    on_each_engine(|scene| {
        let batch = [block(vec![identity("a", 5, 1), identity("b", 5, 2), identity("a", 6, 3)])];
        scene.writer().write(&batch, Delivery::First).unwrap();
        let found = scene.at(time(5).to_text().as_str());
        let shown: HashSet<_> =
            found.iter().map(|item| (text(item, "CustomerID"), text(item, "Location"))).collect();
        assert_eq!(shown, HashSet::from([("a".into(), "Table 1".into()), ("b".into(), "Table 2".into())]));
        assert!(found.iter().all(|item| item.len() == 3), "only keys and Location are projected: {found:?}");
    });
}

#[test]
fn a_batch_written_again_makes_no_second_item() {
    on_each_engine(|scene| {
        let batch = visits(60);
        let mut writer = scene.writer();
        writer.write(&batch, Delivery::First).unwrap();
        let before = scene.events();
        writer.write(&batch, Delivery::Again).unwrap();
        // As another daemon after a crash.
        scene.writer().write(&batch, Delivery::First).unwrap();
        assert_eq!(before.len(), 60);
        assert_eq!(scene.events(), before);
    });
}

#[test]
fn a_batch_is_stored_whole_however_many_calls_it_takes() {
    on_each_engine(|scene| {
        for count in [1, 24, 25, 26, 1_003] {
            let batch = visits(count);
            let mut writer = scene.writer();
            writer.write(&batch, Delivery::First).unwrap();
            assert_eq!(scene.events().len(), count);
            assert_eq!(writer.health().calls(), u64::try_from(count.div_ceil(25)).unwrap());
            assert_eq!(writer.health().stored_items(), u64::try_from(count).unwrap());
            assert_eq!(writer.health().calls_in_flight(), 0);
        }
    });
}

#[test]
fn of_two_equal_keys_in_a_batch_the_first_is_stored() {
    on_each_engine(|scene| {
        let twice = [block(vec![identity("c", 0, 1), identity("c", 0, 2)]), block(vec![identity("c", 0, 1)])];
        scene.writer().write(&twice, Delivery::First).unwrap();
        let events = scene.events();
        assert_eq!(events.len(), 1);
        assert_eq!(text(events.values().next().unwrap(), "Location"), "Table 1");
    });
}

#[test]
fn ids_of_any_lawful_characters_come_back_as_they_went() {
    on_each_engine(|scene| {
        let longest = "\u{10FFFF}".repeat(64);
        let ids = ["a", "a-1", "\"quoted\\\" ", "ü€😀", "{}", longest.as_str()];
        let identities = ids.iter().map(|id| identity(id, 0, 1)).collect();
        scene.writer().write(&[block(identities)], Delivery::First).unwrap();
        let stored: HashSet<_> = scene.events().into_keys().map(|(id, _)| id).collect();
        assert_eq!(stored, ids.iter().map(|id| (*id).to_owned()).collect());
    });
}

#[test]
fn with_four_suffixes_every_key_has_one_that_a_redelivery_finds_again() {
    on_each_engine(|scene| {
        scene.runtime.block_on(async {
            // A table without a record of N, as somebody else's script makes it.
            let key = [("CustomerID", "\u{1}beacond"), ("DetectedAt", "suffixes")];
            let key = key.map(|(name, value)| (name.to_owned(), AttributeValue::S(value.into())));
            let delete = scene.client.delete_item().table_name(&scene.settings.table);
            delete.set_key(Some(Item::from(key))).send().await.unwrap();
        });
        let batch = [block((0..200).map(|number| identity("cust123", number * 60_000_000, 1)).collect())];
        let write = || {
            let mut writer = DynamoDbWriter::new(scene.with_suffixes(4)).unwrap();
            writer.write(&batch, Delivery::First).unwrap();
            scene.events()
        };
        let (first, second) = (write(), write());
        assert_eq!(first.len(), 200);
        assert_eq!(first, second);
        let keys: HashSet<_> = first.into_keys().map(|(id, _)| id).collect();
        assert_eq!(keys, (0..4).map(|suffix| format!("cust123-{suffix}")).collect());
        // CRC-32C computed by hand for this one.
        assert!(second.contains_key(&("cust123-1".into(), "2026-05-01T12:00:00.000000Z".into())));
    });
}

#[test]
fn preferences_are_not_its_concern() {
    on_each_engine(|scene| {
        let pairs = [(b"seat".as_slice(), b"window".as_slice())];
        let change = PreferenceChange::from_claim(b"c", time(0), pairs.into_iter()).unwrap();
        let batch = [Arc::new(Block { identities: Vec::new(), preferences: vec![change] })];
        scene.writer().write(&batch, Delivery::First).unwrap();
        assert_eq!(scene.events().len(), 0);
    });
}
