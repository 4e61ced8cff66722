//! PostgreSQL and DynamoDB themselves: filled by a client of the test, read by `verify`.

use std::collections::HashMap;
use std::env;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, PutRequest, ScalarAttributeType,
    WriteRequest,
};
use tokio::runtime::Runtime;

use super::super::dynamodb::partition_key;
use super::super::held::Sieve;
use super::super::names::Names;
use super::super::source::Source;
use super::super::{Survey, time};
use super::simulated::{BEGAN_US, Simulated, customer_id};
use super::{arguments, verified};
use crate::ending::Ending;
use crate::population::{Heard, Layout, Naming};
use crate::postgres::{Link, connect};

const SCHEMA: &str = include_str!("../../../../migrations/postgres/V1__schema.sql");

/// What the tests of the engines need, as `cargo xtask test` sets it.
fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("run it by `cargo xtask test`, or set {name}"))
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn beacon_id(beacon: u32) -> String {
    uuid::Uuid::from_bytes(Naming::beacon_id(beacon)).to_string()
}

/// A database of a test's own, which is gone with it.
struct Database {
    server: String,
    name: String,
    runtime: Runtime,
}

impl Database {
    fn with(simulated: &Simulated) -> Self {
        let server = variable("BEACOND_POSTGRES_URL");
        let database = Self { server, name: format!("verify_{}", std::process::id()), runtime: runtime() };
        database.runtime.block_on(async {
            let link = connect(&database.server).await.unwrap();
            link.client.batch_execute(&format!("CREATE DATABASE {}", database.name)).await.unwrap();
            let link = connect(&database.url()).await.unwrap();
            fill(&link, simulated).await;
        });
        database
    }

    fn url(&self) -> String {
        let (server, rest) = self.server.rsplit_once('/').unwrap();
        let options = rest.split_once('?').map_or(String::new(), |(_, options)| format!("?{options}"));
        format!("{server}/{}{options}", self.name)
    }

    fn run(&self, sql: &str) {
        self.runtime.block_on(async {
            connect(&self.url()).await.unwrap().client.batch_execute(sql).await.unwrap();
        });
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        self.runtime.block_on(async {
            if let Ok(link) = connect(&self.server).await {
                let _ = link.client.batch_execute(&drop).await;
            }
        });
    }
}

async fn fill(link: &Link, simulated: &Simulated) {
    let names = Names::new(&simulated.scenario, false);
    let mut sql = format!(
        "{SCHEMA}; CREATE TABLE customer_identities_2027 PARTITION OF customer_identities
         FOR VALUES FROM ('2027-01-01 00:00:00Z') TO ('2028-01-01 00:00:00Z');"
    );
    let layout = Layout::new(&simulated.scenario.population);
    for beacon in 0..layout.beacons() {
        let (id, store) = (beacon_id(beacon), Naming::store_id(layout.store_of(beacon)));
        sql.push_str(&format!(
            "INSERT INTO beacons (beacon_id, store_id, major, minor) VALUES ('{id}', '{store}', 0, 0);"
        ));
    }
    for heard in &simulated.identities {
        let (id, at) = (customer_id(heard.customer), time::text(BEGAN_US + heard.at_us));
        let (beacon, place) = (beacon_id(heard.beacon), names.naming.place(heard.beacon));
        let confidence = names.confidence(heard.beacon, heard.rssi_dbm).unwrap();
        sql.push_str(&format!(
            "INSERT INTO customers (customer_id, last_seen) VALUES ('{id}', '{at}') ON CONFLICT (customer_id)
             DO UPDATE SET last_seen = greatest(customers.last_seen, excluded.last_seen);
             INSERT INTO customer_identities (customer_id, detected_at, beacon_id, location, confidence)
             VALUES ('{id}', '{at}', '{beacon}', '{place}', '{confidence}');"
        ));
    }
    link.client.batch_execute(&sql).await.unwrap();
}

#[test]
fn postgres_is_read_row_by_row_and_one_that_is_gone_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let simulated = Simulated::of(600, 12);
    let evidence = simulated.write(&directory.path().join("evidence"));
    let database = Database::with(&simulated);
    let mut arguments = arguments(&[&evidence], None, directory.path());
    let url_file = directory.path().join("url");
    std::fs::write(&url_file, database.url()).unwrap();
    arguments.postgres_url_file = Some(url_file);
    let sound = verified(&arguments).unwrap();
    assert_eq!(sound.ending, Ending::Good, "{}", sound.said);
    assert_eq!(sound.check("exact")[0]["examined"], simulated.identities.len());

    let gone = simulated.identities[77];
    let (id, at) = (customer_id(gone.customer), time::text(BEGAN_US + gone.at_us));
    database
        .run(&format!("DELETE FROM customer_identities WHERE customer_id = '{id}' AND detected_at = '{at}'"));
    let found = verified(&arguments).unwrap();
    assert!(found.broken().contains(&"exact"), "{}", found.said);
    assert!(found.said.contains(&format!("customer {} at {at}", gone.customer)), "{}", found.said);
    database.run("UPDATE customers SET last_seen = '2026-01-01 00:00:00Z'");
    let found = verified(&arguments).unwrap();
    assert_eq!(found.check("iv").last().unwrap()["broken"], found.check("iv").last().unwrap()["examined"]);
}

/// A table of a test's own.
struct Table {
    client: Client,
    name: String,
    runtime: Runtime,
}

impl Table {
    fn create(endpoint: &str, suffixes: u32) -> Self {
        let runtime = runtime();
        let config = aws_config::defaults(aws_config::BehaviorVersion::latest()).endpoint_url(endpoint);
        let client = Client::new(&runtime.block_on(config.load()));
        let name = format!("Verify-{}-{suffixes}", std::process::id());
        let create = client.create_table().table_name(&name).billing_mode(BillingMode::PayPerRequest);
        let create = [("CustomerID", "HASH"), ("DetectedAt", "RANGE")].into_iter().fold(
            create,
            |create, (name, role)| {
                let key = KeySchemaElement::builder().attribute_name(name).key_type(role.into());
                let kind = ScalarAttributeType::S;
                let text = AttributeDefinition::builder().attribute_name(name).attribute_type(kind);
                create.attribute_definitions(text.build().unwrap()).key_schema(key.build().unwrap())
            },
        );
        runtime.block_on(create.send()).unwrap();
        let table = Self { client, name, runtime };
        let text = |text: &str| AttributeValue::S(text.to_owned());
        table.put(vec![HashMap::from([
            ("CustomerID".to_owned(), text("\u{1}beacond")),
            ("DetectedAt".to_owned(), text("suffixes")),
            ("Suffixes".to_owned(), AttributeValue::N(suffixes.to_string())),
        ])]);
        table
    }

    fn put(&self, items: Vec<HashMap<String, AttributeValue>>) {
        let requests = items.into_iter().map(|item| {
            let put = PutRequest::builder().set_item(Some(item)).build().unwrap();
            WriteRequest::builder().put_request(put).build()
        });
        let requests: Vec<WriteRequest> = requests.collect();
        for batch in requests.chunks(25) {
            let write = self.client.batch_write_item().request_items(&self.name, batch.to_vec());
            let written = self.runtime.block_on(write.send()).unwrap();
            assert!(written.unprocessed_items().is_none_or(HashMap::is_empty));
        }
    }

    fn fill(&self, simulated: &Simulated, identities: &[Heard], suffixes: u32) {
        let names = Names::new(&simulated.scenario, false);
        let items = identities.iter().map(|heard| {
            let (id, at) = (customer_id(heard.customer), time::text(BEGAN_US + heard.at_us));
            let confidence = names.confidence(heard.beacon, heard.rssi_dbm).unwrap();
            let values = [
                ("CustomerID", AttributeValue::S(partition_key(&id, &at, suffixes))),
                ("DetectedAt", AttributeValue::S(at)),
                ("BeaconID", AttributeValue::S(beacon_id(heard.beacon))),
                ("Location", AttributeValue::S(names.naming.place(heard.beacon))),
                ("Confidence", AttributeValue::N(confidence.to_string())),
                ("ExpiresAt", AttributeValue::N("1831536000".to_owned())),
            ];
            values.map(|(name, value)| (name.to_owned(), value)).into()
        });
        self.put(items.collect());
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        let _ = self.runtime.block_on(self.client.delete_table().table_name(&self.name).send());
    }
}

#[test]
fn dynamodb_is_scanned_whole_with_suffixes_and_without() {
    let mut endpoints = vec![variable("BEACOND_DYNAMODB_ENDPOINT")];
    match env::var("BEACOND_DYNAMODB_LOCAL_ENDPOINT").ok().filter(|endpoint| !endpoint.is_empty()) {
        Some(local) => endpoints.push(local),
        None => println!("SKIPPED on DynamoDB Local: BEACOND_DYNAMODB_LOCAL_ENDPOINT is not set"),
    }
    let directory = tempfile::tempdir().unwrap();
    let simulated = Simulated::of(300, 12);
    let evidence = simulated.write(&directory.path().join("evidence"));
    for endpoint in endpoints {
        for suffixes in [1, 4] {
            let table = Table::create(&endpoint, suffixes);
            let (last, rest) = simulated.identities.split_last().unwrap();
            table.fill(&simulated, rest, suffixes);
            let mut survey = Survey::of(vec![evidence.clone()], false).unwrap();
            let sieve = std::sync::Arc::new(Sieve::new(&mut survey));
            let source = Source::DynamoDb { table: table.name.clone(), endpoint: Some(endpoint.clone()) };
            let read = || source.settled(&table.runtime, &sieve, 0, tokio::time::Instant::now()).unwrap();
            let held = read();
            assert_eq!((held.rows.len(), held.of_others, held.strange.broken), (rest.len(), 0, 0));
            assert!(held.rows.iter().all(|row| !row.is_misplaced() && row.confidence > 0.8));
            // With a suffix that its key does not give, which would let a redelivery make a second item.
            table.fill(&simulated, &[*last], suffixes + 1);
            let held = read();
            assert_eq!(held.rows.len() as u64 + held.strange.broken, rest.len() as u64 + 1);
        }
    }
}

#[test]
fn a_table_that_is_not_there_is_said_to_be_so() {
    let directory = tempfile::tempdir().unwrap();
    let evidence = Simulated::of(300, 1).write(&directory.path().join("evidence"));
    let mut survey = Survey::of(vec![evidence], false).unwrap();
    let sieve = std::sync::Arc::new(Sieve::new(&mut survey));
    let source = Source::DynamoDb {
        table: "Nowhere".to_owned(),
        endpoint: Some(variable("BEACOND_DYNAMODB_ENDPOINT")),
    };
    let missing = source.settled(&runtime(), &sieve, 0, tokio::time::Instant::now()).unwrap_err().to_string();
    assert!(missing.starts_with("DynamoDB: ") && missing.contains("ResourceNotFound"), "{missing}");
}
