//! A table of events of a test's own, read by the AWS SDK.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use beacon_stack::{DynamoDb, DynamoDbEngine};
use tokio::runtime::Runtime;

use crate::harness::unique_name;
use crate::model::tables::{Bits, EventRow, IdentityRow};

/// The index of the model.
const INDEX: &str = "DetectedAtIndex";

/// How many times of detection are asked for one by one.
const TIMES_ASKED: usize = 50;

/// An item as the SDK gives it.
type Item = HashMap<String, AttributeValue>;

/// A table, deleted at the end.
#[derive(Debug)]
pub(crate) struct Events {
    runtime: Runtime,
    client: Client,
    endpoint: String,
    table: String,
    /// N of the partition keys.
    suffixes: u32,
    /// The engine, where the test has one of its own.
    pub(crate) engine: Option<DynamoDb>,
}

impl Events {
    /// In the engine that all tests share.
    pub(crate) fn on_shared_engine(suffixes: u32) -> Self {
        Self::of(super::stack::variable("BEACOND_DYNAMODB_ENDPOINT"), suffixes, None)
    }

    /// In an engine that this test may stop, and that keeps its tables over it.
    pub(crate) fn on_own_engine(directory: &Path, suffixes: u32) -> Self {
        let engine = DynamoDb::start_on_disk(directory, &DynamoDbEngine::dynoxide().unwrap()).unwrap();
        Self::of(engine.endpoint(), suffixes, Some(engine))
    }

    fn of(endpoint: String, suffixes: u32, engine: Option<DynamoDb>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let config = runtime.block_on(
            aws_config::defaults(aws_config::BehaviorVersion::latest()).endpoint_url(&endpoint).load(),
        );
        let client = Client::new(&config);
        Self { runtime, client, endpoint, table: unique_name("CustomerEvents"), suffixes, engine }
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(crate) fn table(&self) -> &str {
        &self.table
    }

    pub(crate) const fn suffixes(&self) -> u32 {
        self.suffixes
    }

    /// Deletes the table, as somebody with too many rights might.
    pub(crate) fn delete(&self) {
        let deleting = self.client.delete_table().table_name(&self.table).send();
        self.runtime.block_on(deleting).unwrap();
    }

    /// Every item, sorted; the item in which the daemon remembers N left out.
    #[track_caller]
    pub(crate) fn rows(&self) -> Vec<EventRow> {
        let scan = self.client.scan().table_name(&self.table).consistent_read(true);
        let items =
            self.runtime.block_on(scan.into_paginator().items().send().collect::<Result<Vec<_>, _>>());
        let items = items.unwrap();
        let customers = items.iter().filter(|item| !text(item, "CustomerID").starts_with(char::is_control));
        let mut rows: Vec<EventRow> = customers.map(|item| self.row(item)).collect();
        rows.sort_unstable();
        rows
    }

    /// The index holds these events with the attributes of the model, and finds them by their time.
    #[track_caller]
    pub(crate) fn assert_index(&self, events: &[EventRow]) {
        let mut expected: BTreeMap<&str, Vec<(&str, Option<&str>)>> = BTreeMap::new();
        for EventRow { identity, .. } in events {
            let found = (identity.customer_id.as_str(), identity.location.as_deref());
            expected.entry(&identity.detected_at).or_default().push(found);
        }
        let step = (expected.len() / TIMES_ASKED).max(1);
        for (detected_at, customers) in expected.iter().step_by(step) {
            let query = self
                .client
                .query()
                .table_name(&self.table)
                .index_name(INDEX)
                .key_condition_expression("DetectedAt = :at")
                .expression_attribute_values(":at", AttributeValue::S((*detected_at).to_owned()));
            let items = self.runtime.block_on(query.send()).unwrap().items.unwrap_or_default();
            let mut found: Vec<(&str, Option<&str>)> = items.iter().map(|item| self.indexed(item)).collect();
            found.sort_unstable();
            assert_eq!(&found, customers, "{detected_at}");
        }
    }

    /// The customer and place of an item of the index, which has nothing else.
    #[track_caller]
    fn indexed<'i>(&self, item: &'i Item) -> (&'i str, Option<&'i str>) {
        let location = item.get("Location").map(|location| location.as_s().unwrap().as_str());
        assert_eq!(item.len(), 2 + usize::from(location.is_some()), "{item:?}");
        (self.customer_id(item), location)
    }

    /// An item with exactly the attributes and types of the model.
    #[track_caller]
    fn row(&self, item: &Item) -> EventRow {
        let location = item.get("Location").map(|location| location.as_s().unwrap().clone());
        assert_eq!(item.len(), 5 + usize::from(location.is_some()), "{item:?}");
        let confidence = Bits::of(number(item, "Confidence").parse().unwrap());
        assert_eq!(number(item, "Confidence"), confidence.shortest_text());
        EventRow {
            identity: IdentityRow {
                customer_id: self.customer_id(item).to_owned(),
                detected_at: text(item, "DetectedAt").to_owned(),
                beacon_id: text(item, "BeaconID").to_owned(),
                location,
                confidence,
            },
            expires_at_s: number(item, "ExpiresAt").parse().unwrap(),
        }
    }

    /// The partition key without its suffix, which is there if, and only if, N is more than one.
    #[track_caller]
    fn customer_id<'i>(&self, item: &'i Item) -> &'i str {
        let key = text(item, "CustomerID");
        if self.suffixes == 1 {
            return key;
        }
        let (customer_id, suffix) = key.rsplit_once('-').unwrap_or_else(|| panic!("no suffix: {key}"));
        let suffix: u32 = suffix.parse().unwrap_or_else(|_| panic!("no suffix: {key}"));
        assert!(suffix < self.suffixes, "{key}");
        customer_id
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        if self.engine.is_none() {
            let deleting = self.client.delete_table().table_name(&self.table).send();
            let _ = self.runtime.block_on(deleting);
        }
    }
}

#[track_caller]
fn text<'i>(item: &'i Item, name: &str) -> &'i str {
    item[name].as_s().unwrap_or_else(|_| panic!("{name} is no text in {item:?}"))
}

#[track_caller]
fn number<'i>(item: &'i Item, name: &str) -> &'i str {
    item[name].as_n().unwrap_or_else(|_| panic!("{name} is no number in {item:?}"))
}
