//! What the tests share: the engines, a table of their own, rows to write, and a client that is not ours.

use std::collections::HashMap;
use std::env;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use beacond::domain::beacon::BeaconId;
use beacond::domain::confidence::{Confidence, ConfidenceCurve, ConfidenceSettings};
use beacond::domain::customer::CustomerId;
use beacond::domain::identity::CustomerIdentity;
use beacond::domain::location::LocationType;
use beacond::domain::sighting::Rssi;
use beacond::domain::time::Timestamp;
use beacond::ports::Block;
use beacond::stores::dynamodb::{DynamoDbAdmin, DynamoDbSettings, DynamoDbWriter};
use tokio::runtime::Runtime;

/// 2026-05-01T12:00:00.000000Z.
pub(crate) const NOON_US: i64 = 1_777_636_800_000_000;

pub(crate) type Item = HashMap<String, AttributeValue>;

/// A DynamoDB to test against, and the name of a table that only this test knows.
pub(crate) struct Scene {
    pub(crate) engine: &'static str,
    pub(crate) settings: DynamoDbSettings,
    pub(crate) client: Client,
    pub(crate) runtime: Runtime,
}

/// The test on every engine there is, each with an empty table made by the adapter.
pub(crate) fn on_each_engine(test: impl Fn(&Scene)) {
    for scene in scenes() {
        scene.admin().create().unwrap();
        println!("on {}", scene.engine);
        test(&scene);
    }
}

/// A scene for each engine there is, without the table.
pub(crate) fn scenes() -> Vec<Scene> {
    let endpoint = |variable| env::var(variable).ok().filter(|value| !value.is_empty());
    let Some(dynoxide) = endpoint("BEACOND_DYNAMODB_ENDPOINT") else {
        panic!("run it by `cargo xtask test`, or set BEACOND_DYNAMODB_ENDPOINT and AWS test credentials");
    };
    let mut scenes = vec![Scene::new("dynoxide", dynoxide)];
    match endpoint("BEACOND_DYNAMODB_LOCAL_ENDPOINT") {
        Some(local) => scenes.push(Scene::new("DynamoDB Local", local)),
        None => println!("SKIPPED on DynamoDB Local: BEACOND_DYNAMODB_LOCAL_ENDPOINT is not set"),
    }
    scenes
}

impl Scene {
    fn new(engine: &'static str, endpoint: String) -> Self {
        static TABLES: AtomicU32 = AtomicU32::new(0);
        let number = TABLES.fetch_add(1, Ordering::Relaxed);
        let settings = DynamoDbSettings {
            table: format!("CustomerEvents-{}-{number}", std::process::id()),
            endpoint: Some(endpoint.clone()),
            suffixes: NonZeroU16::MIN,
            calls_in_flight: None,
            max_calls_in_flight: 16,
            call_timeout: Duration::from_secs(10),
            attempts: 8,
            write_timeout: Duration::from_secs(60),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let config = aws_config::defaults(aws_config::BehaviorVersion::latest()).endpoint_url(endpoint);
        let client = Client::new(&runtime.block_on(config.load()));
        Self { engine, settings, client, runtime }
    }

    pub(crate) fn with_suffixes(&self, suffixes: u16) -> DynamoDbSettings {
        DynamoDbSettings { suffixes: NonZeroU16::new(suffixes).unwrap(), ..self.settings.clone() }
    }

    pub(crate) fn admin(&self) -> DynamoDbAdmin {
        DynamoDbAdmin::new(self.settings.clone()).unwrap()
    }

    pub(crate) fn writer(&self) -> DynamoDbWriter {
        DynamoDbWriter::new(self.settings.clone()).unwrap()
    }

    /// All items but the record of N, by key.
    pub(crate) fn events(&self) -> HashMap<(String, String), Item> {
        let pages =
            self.client.scan().table_name(&self.settings.table).consistent_read(true).into_paginator();
        let items = self.runtime.block_on(pages.items().send().collect::<Result<Vec<Item>, _>>()).unwrap();
        let events = items.into_iter().filter(|item| !text(item, "CustomerID").starts_with('\u{1}'));
        events.map(|item| ((text(&item, "CustomerID"), text(&item, "DetectedAt")), item)).collect()
    }

    /// What the index has of a time.
    pub(crate) fn at(&self, detected_at: &str) -> Vec<Item> {
        let query = self
            .client
            .query()
            .table_name(&self.settings.table)
            .index_name("DetectedAtIndex")
            .key_condition_expression("DetectedAt = :at")
            .expression_attribute_values(":at", AttributeValue::S(detected_at.into()));
        self.runtime.block_on(query.send()).unwrap().items.unwrap_or_default()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // A test may have no table.
        let _ = self.runtime.block_on(self.client.delete_table().table_name(&self.settings.table).send());
    }
}

pub(crate) fn text(item: &Item, name: &str) -> String {
    item[name].as_s().unwrap().clone()
}

pub(crate) fn time(after_noon_us: i64) -> Timestamp {
    Timestamp::from_micros(NOON_US + after_noon_us)
}

pub(crate) fn confidence() -> Confidence {
    let curve = ConfidenceCurve::new(&ConfidenceSettings::default());
    curve.confidence(Rssi::new(-60).unwrap(), LocationType::Table)
}

/// An identity at a beacon, so long after noon.
pub(crate) fn identity(customer_id: &str, after_noon_us: i64, beacon: u8) -> CustomerIdentity {
    CustomerIdentity {
        customer_id: CustomerId::from_bytes(customer_id.as_bytes()).unwrap(),
        beacon_id: BeaconId::from_bytes([beacon; 16]),
        location: Some(format!("Table {beacon}").parse().unwrap()),
        confidence: confidence(),
        detected_at: time(after_noon_us),
    }
}

/// So many identities of as many customers, in blocks of a frame each.
pub(crate) fn visits(count: usize) -> Vec<Arc<Block>> {
    let visit = |number| identity(&format!("customer-{number}"), i64::try_from(number).unwrap(), 1);
    let identities: Vec<_> = (0..count).map(visit).collect();
    identities.chunks(64).map(|frame| block(frame.to_vec())).collect()
}

pub(crate) fn block(identities: Vec<CustomerIdentity>) -> Arc<Block> {
    Arc::new(Block { identities, preferences: Vec::new() })
}
