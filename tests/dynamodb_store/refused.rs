//! What somebody must mend, and what costs one row.

use std::collections::HashSet;
use std::sync::Arc;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use beacond::ports::{BatchWriter, Delivery, WriteError};
use beacond::stores::dynamodb::{DynamoDbSettings, DynamoDbWriter};

use crate::front::{Front, Turn};
use crate::scene::{Scene, block, identity, on_each_engine, scenes, visits};

#[test]
fn a_missing_table_is_for_somebody_to_make_and_then_the_same_writer_goes_on() {
    for scene in scenes() {
        let mut writer = scene.writer();
        for _ in 0..2 {
            let result = writer.write(&visits(30), Delivery::First);
            assert!(matches!(result, Err(WriteError::Misconfigured(_))), "{}: {result:?}", scene.engine);
        }
        scene.admin().create().unwrap();
        writer.write(&visits(30), Delivery::Again).unwrap();
        assert_eq!(scene.events().len(), 30);
    }
}

#[test]
fn a_table_that_is_lost_while_writing_is_for_somebody_to_make_again() {
    on_each_engine(|scene| {
        let mut writer = scene.writer();
        writer.write(&visits(30), Delivery::First).unwrap();
        let delete = scene.client.delete_table().table_name(&scene.settings.table).send();
        scene.runtime.block_on(delete).unwrap();
        let result = writer.write(&visits(10), Delivery::First);
        assert!(matches!(result, Err(WriteError::Misconfigured(_))), "{result:?}");
        scene.admin().create().unwrap();
        writer.write(&visits(10), Delivery::Again).unwrap();
        assert_eq!(scene.events().len(), 10);
    });
}

/// A table by the right name with CustomerID as its only key.
fn make_wrong_table(scene: &Scene) {
    let id =
        AttributeDefinition::builder().attribute_name("CustomerID").attribute_type(ScalarAttributeType::N);
    let key = KeySchemaElement::builder().attribute_name("CustomerID").key_type(KeyType::Hash);
    let create = scene
        .client
        .create_table()
        .table_name(&scene.settings.table)
        .attribute_definitions(id.build().unwrap())
        .key_schema(key.build().unwrap())
        .billing_mode(BillingMode::PayPerRequest);
    scene.runtime.block_on(create.send()).unwrap();
}

#[test]
fn a_table_with_other_keys_costs_no_row() {
    for scene in scenes() {
        make_wrong_table(&scene);
        let result = scene.writer().write(&visits(3), Delivery::First);
        assert!(matches!(result, Err(WriteError::Misconfigured(_))), "{}: {result:?}", scene.engine);
    }
}

#[test]
fn a_table_whose_keys_change_under_the_writer_costs_no_row() {
    on_each_engine(|scene| {
        let mut writer = scene.writer();
        writer.write(&visits(3), Delivery::First).unwrap();
        let delete = scene.client.delete_table().table_name(&scene.settings.table).send();
        scene.runtime.block_on(delete).unwrap();
        make_wrong_table(scene);
        let result = writer.write(&visits(3), Delivery::First);
        assert!(matches!(result, Err(WriteError::Misconfigured(_))), "{result:?}");
    });
}

#[test]
fn a_port_where_nobody_listens_is_waited_for() {
    for scene in scenes() {
        let gone = Front::start("http://127.0.0.1:9").endpoint();
        let mut writer =
            DynamoDbWriter::new(DynamoDbSettings { endpoint: Some(gone), ..scene.settings.clone() }).unwrap();
        let result = writer.write(&visits(3), Delivery::First);
        assert!(matches!(result, Err(WriteError::Unavailable(_))), "{result:?}");
    }
}

#[test]
fn a_row_that_is_refused_is_told_as_rejected_and_the_others_get_through_in_parts() {
    on_each_engine(|scene| {
        let front = Front::start(scene.settings.endpoint.as_ref().unwrap());
        front.follow(|asked| {
            let is_refused = asked.keys.iter().any(|(id, _)| id == "secret-name");
            if is_refused { Turn::Refuse("the item secret-name is too large") } else { Turn::Pass }
        });
        let settings = DynamoDbSettings { endpoint: Some(front.endpoint()), ..scene.settings.clone() };
        let mut writer = DynamoDbWriter::new(settings).unwrap();
        let (bad, good) = (block(vec![identity("secret-name", 0, 1)]), block(vec![identity("good", 0, 1)]));
        let result = writer.write(&[Arc::clone(&good), Arc::clone(&bad)], Delivery::First);
        let Err(WriteError::Rejected(reason)) = result else { panic!("{result:?}") };
        assert_eq!(reason, "ValidationException", "a reason names no customer");
        writer.write(&[good], Delivery::Again).unwrap();
        assert!(matches!(writer.write(&[bad], Delivery::Again), Err(WriteError::Rejected(_))));
        let stored: HashSet<_> = scene.events().into_keys().map(|(id, _)| id).collect();
        assert_eq!(stored, HashSet::from(["good".to_owned()]));
    });
}

#[test]
fn refused_rights_are_for_somebody_to_give() {
    on_each_engine(|scene| {
        let front = Front::start(scene.settings.endpoint.as_ref().unwrap());
        let settings = DynamoDbSettings { endpoint: Some(front.endpoint()), ..scene.settings.clone() };
        let mut writer = DynamoDbWriter::new(settings).unwrap();
        for error in ["AccessDeniedException", "UnrecognizedClientException", "ExpiredTokenException"] {
            front.follow(move |_| Turn::Throttle(error));
            let result = writer.write(&visits(60), Delivery::First);
            assert!(matches!(result, Err(WriteError::Misconfigured(_))), "{result:?}");
        }
        front.follow(|_| Turn::Pass);
        writer.write(&visits(60), Delivery::Again).unwrap();
        assert_eq!(scene.events().len(), 60);
    });
}

#[test]
fn another_n_than_the_tables_writes_nothing() {
    on_each_engine(|scene| {
        scene.writer().write(&visits(3), Delivery::First).unwrap();
        let mut writer = DynamoDbWriter::new(scene.with_suffixes(4)).unwrap();
        let result = writer.write(&visits(5), Delivery::First);
        assert!(matches!(result, Err(WriteError::Misconfigured(_))), "{result:?}");
        assert_eq!(scene.events().len(), 3);
    });
}
