//! The table as the model has it: how it is made, and what an existing one must have.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::create_table::builders::CreateTableFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, GlobalSecondaryIndex, GlobalSecondaryIndexDescription, IndexStatus,
    KeySchemaElement, KeyType, Projection, ProjectionType, ProvisionedThroughput, ScalarAttributeType,
    TableDescription, TableStatus, TimeToLiveSpecification, TimeToLiveStatus,
};

use super::failure::Failure;
use super::item::{CUSTOMER_ID, DETECTED_AT, EXPIRES_AT, LOCATION};

/// The index by time: who was identified when, and where.
pub const INDEX: &str = "DetectedAtIndex";

/// Read and write units a second of table and index at first; scaling them is the operator's.
const FIRST_UNITS: i64 = 10;

/// How long making a table may take. A minute is usual with an index.
const MADE_WITHIN: Duration = Duration::from_secs(300);

/// How often a table being made is asked about.
const ASKED_EVERY: Duration = Duration::from_millis(500);

/// The table; none when it does not exist.
pub(super) async fn describe(client: &Client, table: &str) -> Result<Option<TableDescription>, Failure> {
    match client.describe_table().table_name(table).send().await.map_err(|error| Failure::of(&error)) {
        Ok(found) => Ok(found.table),
        Err(failure) if failure.is("ResourceNotFoundException") => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Makes the table with its index and waits until both can be used; tells whether it was made by this call.
pub(super) async fn make(client: &Client, table: &str) -> Result<bool, Failure> {
    let mut made = false;
    if describe(client, table).await?.is_none() {
        match definition(client, table).send().await.map_err(|error| Failure::of(&error)) {
            Ok(_) => made = true,
            Err(failure) if failure.is("ResourceInUseException") => {}
            Err(failure) => return Err(failure),
        }
    }
    let wait = async {
        loop {
            if describe(client, table).await?.as_ref().is_some_and(is_active) {
                return Ok(made);
            }
            tokio::time::sleep(ASKED_EVERY).await;
        }
    };
    let late =
        || Failure::unavailable(format!("the table {table} is not active after {} s", MADE_WITHIN.as_secs()));
    tokio::time::timeout(MADE_WITHIN, wait).await.map_err(|_| late())?
}

fn definition(client: &Client, table: &str) -> CreateTableFluentBuilder {
    let index = GlobalSecondaryIndex::builder()
        .index_name(INDEX)
        .key_schema(key(DETECTED_AT, KeyType::Hash))
        // The table's keys, CustomerID among them, are in every index.
        .projection(
            Projection::builder()
                .projection_type(ProjectionType::Include)
                .non_key_attributes(LOCATION)
                .build(),
        )
        .provisioned_throughput(first_throughput())
        .build()
        .unwrap_or_else(|_| unreachable!("name and keys are given"));
    client
        .create_table()
        .table_name(table)
        .attribute_definitions(text(CUSTOMER_ID))
        .attribute_definitions(text(DETECTED_AT))
        .key_schema(key(CUSTOMER_ID, KeyType::Hash))
        .key_schema(key(DETECTED_AT, KeyType::Range))
        .global_secondary_indexes(index)
        .provisioned_throughput(first_throughput())
}

fn text(name: &str) -> AttributeDefinition {
    AttributeDefinition::builder()
        .attribute_name(name)
        .attribute_type(ScalarAttributeType::S)
        .build()
        .unwrap_or_else(|_| unreachable!("name and type are given"))
}

fn key(name: &str, role: KeyType) -> KeySchemaElement {
    KeySchemaElement::builder()
        .attribute_name(name)
        .key_type(role)
        .build()
        .unwrap_or_else(|_| unreachable!("name and type are given"))
}

fn first_throughput() -> ProvisionedThroughput {
    ProvisionedThroughput::builder()
        .read_capacity_units(FIRST_UNITS)
        .write_capacity_units(FIRST_UNITS)
        .build()
        .unwrap_or_else(|_| unreachable!("both are given"))
}

fn is_active(table: &TableDescription) -> bool {
    // Emulators leave an index's status out.
    let is_active = |index: &GlobalSecondaryIndexDescription| {
        index.index_status().is_none_or(|status| *status == IndexStatus::Active)
    };
    takes_writes(table) && table.global_secondary_indexes().iter().all(is_active)
}

/// A table being changed takes writes too.
fn takes_writes(table: &TableDescription) -> bool {
    matches!(table.table_status(), Some(TableStatus::Active | TableStatus::Updating))
}

/// What the table's own line of a check says.
pub(super) fn table_line(table: &TableDescription) -> Result<String, String> {
    let keys = keys(table.key_schema(), table);
    let wanted = [format!("{CUSTOMER_ID} HASH S"), format!("{DETECTED_AT} RANGE S")];
    if keys != wanted {
        return Err(format!("its keys are {}, not {}", keys.join(", "), wanted.join(", ")));
    }
    let status = table.table_status().map_or("unknown", TableStatus::as_str);
    if !takes_writes(table) {
        return Err(format!("its status is {status}"));
    }
    Ok(format!("{}, keys {}", status.to_lowercase(), wanted.join(", ")))
}

/// What the index's line of a check says.
pub(super) fn index_line(table: &TableDescription) -> Result<String, String> {
    let index = table.global_secondary_indexes().iter().find(|index| index.index_name() == Some(INDEX));
    let Some(index) = index else {
        return Err(format!("{INDEX} is missing"));
    };
    let keys = keys(index.key_schema(), table);
    let wanted = [format!("{DETECTED_AT} HASH S")];
    if keys != wanted {
        return Err(format!("{INDEX} has the keys {}, not {}", keys.join(", "), wanted.join(", ")));
    }
    let projection = index.projection();
    let projects_all = projection.and_then(|it| it.projection_type()) == Some(&ProjectionType::All);
    let included = projection.map(Projection::non_key_attributes).unwrap_or_default();
    if !projects_all && !included.iter().any(|name| name == LOCATION) {
        return Err(format!("{INDEX} does not project {LOCATION}"));
    }
    Ok(format!("{INDEX}, key {}", wanted.join(", ")))
}

fn keys(schema: &[KeySchemaElement], table: &TableDescription) -> Vec<String> {
    let type_of = |name: &str| {
        let definition = table.attribute_definitions().iter().find(|it| it.attribute_name() == name);
        definition.map_or("?", |it| it.attribute_type().as_str())
    };
    schema
        .iter()
        .map(|key| {
            format!("{} {} {}", key.attribute_name(), key.key_type().as_str(), type_of(key.attribute_name()))
        })
        .collect()
}

/// Whether expired items leave the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TimeToLive {
    /// By `ExpiresAt`.
    On,
    /// Nothing leaves.
    Off,
    /// By another attribute.
    Other(String),
    /// The engine does not know the question, or this client may not ask it.
    NotTold(String),
}

/// Asks about the table's TTL.
pub(super) async fn time_to_live(client: &Client, table: &str) -> Result<TimeToLive, Failure> {
    let asked = client.describe_time_to_live().table_name(table).send().await;
    let description = match asked.map_err(|error| Failure::of(&error)) {
        Ok(answer) => answer.time_to_live_description,
        Err(failure) if not_told(&failure) => return Ok(TimeToLive::NotTold(failure.reason)),
        Err(failure) => return Err(failure),
    };
    let Some(description) = description else {
        return Ok(TimeToLive::Off);
    };
    let is_on = matches!(
        description.time_to_live_status(),
        Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)
    );
    Ok(match description.attribute_name() {
        _ if !is_on => TimeToLive::Off,
        Some(EXPIRES_AT) => TimeToLive::On,
        other => TimeToLive::Other(other.unwrap_or_default().to_owned()),
    })
}

/// Turns the TTL on.
pub(super) async fn expire_items(client: &Client, table: &str) -> Result<(), Failure> {
    let specification = TimeToLiveSpecification::builder()
        .attribute_name(EXPIRES_AT)
        .enabled(true)
        .build()
        .unwrap_or_else(|_| unreachable!("both are given"));
    let update = client.update_time_to_live().table_name(table).time_to_live_specification(specification);
    match update.send().await.map_err(|error| Failure::of(&error)) {
        Ok(_) => Ok(()),
        // Somebody else may have turned it on in between, which is refused as a change that changes nothing.
        Err(failure) => match time_to_live(client, table).await? {
            TimeToLive::On => Ok(()),
            _ => Err(failure),
        },
    }
}

fn not_told(failure: &Failure) -> bool {
    ["UnknownOperationException", "UnsupportedOperationException", "AccessDeniedException"]
        .iter()
        .any(|code| failure.is(code))
}
