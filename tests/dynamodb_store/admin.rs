//! The table: made as the model has it, checked part by part, and its N.

use aws_sdk_dynamodb::types::{AttributeValue, ProjectionType, TimeToLiveStatus};
use beacond::ports::{BatchWriter, Delivery};
use beacond::stores::StartCheck;
use beacond::stores::dynamodb::{
    DynamoDbAdmin, DynamoDbAdminError, DynamoDbSettings, DynamoDbWriter, WrongSuffixes,
};

use crate::scene::{Item, Scene, on_each_engine, scenes, visits};

fn parts(admin: &DynamoDbAdmin) -> Vec<(&'static str, bool)> {
    admin.check().into_iter().map(|line| (line.part, line.found.is_ok())).collect()
}

fn remove_record(scene: &Scene) {
    let key = [("CustomerID", "\u{1}beacond"), ("DetectedAt", "suffixes")];
    let key = key.map(|(name, value)| (name.to_owned(), AttributeValue::S(value.into())));
    let delete = scene.client.delete_item().table_name(&scene.settings.table).set_key(Some(Item::from(key)));
    scene.runtime.block_on(delete.send()).unwrap();
}

#[test]
fn the_table_it_makes_has_the_models_keys_index_capacity_and_ttl() {
    on_each_engine(|scene| {
        let name = &scene.settings.table;
        let describe = scene.client.describe_table().table_name(name).send();
        let table = scene.runtime.block_on(describe).unwrap().table.unwrap();
        let shown = |schema: &[aws_sdk_dynamodb::types::KeySchemaElement]| -> Vec<String> {
            schema.iter().map(|key| format!("{} {}", key.attribute_name(), key.key_type())).collect()
        };
        assert_eq!(shown(table.key_schema()), ["CustomerID HASH", "DetectedAt RANGE"]);
        assert!(table.attribute_definitions().iter().all(|it| it.attribute_type().as_str() == "S"));
        let [index] = table.global_secondary_indexes() else { panic!("one index") };
        assert_eq!(index.index_name(), Some("DetectedAtIndex"));
        assert_eq!(shown(index.key_schema()), ["DetectedAt HASH"]);
        let projection = index.projection().unwrap();
        assert_eq!(projection.projection_type(), Some(&ProjectionType::Include));
        assert_eq!(projection.non_key_attributes(), ["Location"]);
        for units in [table.provisioned_throughput().unwrap(), index.provisioned_throughput().unwrap()] {
            assert_eq!((units.read_capacity_units(), units.write_capacity_units()), (Some(10), Some(10)));
        }
        let ttl = scene.client.describe_time_to_live().table_name(name).send();
        let ttl = scene.runtime.block_on(ttl).unwrap().time_to_live_description.unwrap();
        assert_eq!(ttl.attribute_name(), Some("ExpiresAt"));
        assert_eq!(ttl.time_to_live_status(), Some(&TimeToLiveStatus::Enabled));
    });
}

#[test]
fn making_it_again_changes_nothing_and_every_part_is_right() {
    on_each_engine(|scene| {
        scene.writer().write(&visits(3), Delivery::First).unwrap();
        assert_eq!(scene.admin().create().unwrap(), Vec::<String>::new());
        assert_eq!(scene.events().len(), 3);
        assert_eq!(
            parts(&scene.admin()),
            [("reachable", true), ("table", true), ("index", true), ("TTL", true), ("suffixes", true)]
        );
        assert_eq!(scene.admin().start_check(), StartCheck::Right);
    });
}

#[test]
fn two_that_make_it_at_once_both_find_it_made() {
    for scene in scenes() {
        std::thread::scope(|threads| {
            let make = || scene.admin().create().unwrap();
            let made: Vec<_> =
                [threads.spawn(make), threads.spawn(make)].into_iter().map(|it| it.join().unwrap()).collect();
            assert_eq!(made.iter().flatten().filter(|line| line.starts_with("table")).count(), 1);
        });
        assert_eq!(scene.admin().start_check(), StartCheck::Right);
    }
}

#[test]
fn a_missing_table_is_said_and_a_start_on_it_refused() {
    for scene in scenes() {
        assert_eq!(parts(&scene.admin()), [("reachable", true), ("table", false)]);
        assert!(
            matches!(scene.admin().start_check(), StartCheck::Wrong(lines) if lines[0].contains("does not exist"))
        );
    }
}

#[test]
fn a_missing_index_and_a_missing_ttl_are_said() {
    for scene in scenes() {
        let create = scene
            .client
            .create_table()
            .table_name(&scene.settings.table)
            .billing_mode(aws_sdk_dynamodb::types::BillingMode::PayPerRequest);
        let create = ["CustomerID", "DetectedAt"].into_iter().zip(["HASH", "RANGE"]).fold(
            create,
            |create, (name, role)| {
                use aws_sdk_dynamodb::types::{AttributeDefinition, KeySchemaElement, ScalarAttributeType};
                let text = AttributeDefinition::builder()
                    .attribute_name(name)
                    .attribute_type(ScalarAttributeType::S);
                let key = KeySchemaElement::builder().attribute_name(name).key_type(role.into());
                create.attribute_definitions(text.build().unwrap()).key_schema(key.build().unwrap())
            },
        );
        scene.runtime.block_on(create.send()).unwrap();
        assert_eq!(
            parts(&scene.admin()),
            [("reachable", true), ("table", true), ("index", false), ("TTL", false), ("suffixes", true)]
        );
        let StartCheck::Wrong(lines) = scene.admin().start_check() else { panic!("it may not start") };
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!(scene.admin().create().unwrap(), ["TTL turned on"]);
    }
}

#[test]
fn an_engine_that_cannot_be_reached_is_told_from_one_that_is_wrong() {
    for scene in scenes() {
        let nowhere =
            DynamoDbSettings { endpoint: Some("http://127.0.0.1:9".into()), ..scene.settings.clone() };
        let admin = DynamoDbAdmin::new(nowhere).unwrap();
        assert!(matches!(admin.start_check(), StartCheck::Unreachable(_)));
        assert_eq!(parts(&admin), [("reachable", false)]);
        assert!(matches!(admin.create(), Err(DynamoDbAdminError::Unavailable(_))));
    }
}

#[test]
fn another_n_than_the_recorded_one_is_refused_and_the_record_stays() {
    on_each_engine(|scene| {
        let other = DynamoDbAdmin::new(scene.with_suffixes(4)).unwrap();
        let wrong =
            WrongSuffixes { recorded: scene.settings.suffixes, configured: scene.with_suffixes(4).suffixes };
        assert_eq!(other.create(), Err(DynamoDbAdminError::WrongSuffixes(wrong)));
        let StartCheck::Wrong(lines) = other.start_check() else { panic!("it may not start") };
        assert_eq!(
            lines,
            ["suffixes: the table's keys have N = 1, configured are 4: N is fixed for a table"]
        );
        assert!(parts(&other).contains(&("suffixes", false)));
        assert_eq!(scene.admin().start_check(), StartCheck::Right);
    });
}

#[test]
fn a_check_records_nothing_and_the_first_start_does() {
    on_each_engine(|scene| {
        remove_record(scene);
        let four = DynamoDbAdmin::new(scene.with_suffixes(4)).unwrap();
        assert!(four.check().last().unwrap().found.as_ref().unwrap().contains("none recorded"));
        assert!(scene.admin().check().last().unwrap().found.is_ok());
        assert_eq!(four.start_check(), StartCheck::Right);
        assert!(matches!(scene.admin().start_check(), StartCheck::Wrong(_)));
        DynamoDbWriter::new(scene.with_suffixes(4)).unwrap().write(&visits(3), Delivery::First).unwrap();
    });
}

#[test]
fn items_of_unknown_n_are_taken_over_as_unsuffixed_only() {
    on_each_engine(|scene| {
        scene.writer().write(&visits(3), Delivery::First).unwrap();
        remove_record(scene);
        let four = DynamoDbAdmin::new(scene.with_suffixes(4)).unwrap();
        assert!(matches!(four.start_check(), StartCheck::Wrong(_)));
        assert!(parts(&four).contains(&("suffixes", false)));
        assert_eq!(scene.admin().start_check(), StartCheck::Right);
        assert!(four.check().last().unwrap().found.as_ref().unwrap_err().contains("N = 1"));
    });
}
