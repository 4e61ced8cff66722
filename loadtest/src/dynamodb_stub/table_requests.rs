//! Tables made, described, listed, deleted, and their time to live.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ARN_PREFIX;
use super::item::{required, table_name};
use super::refusal::Refusal;
use super::stub::Stub;
use super::table::{AttributeDefinition, Definition, Index, KeyRole, KeySchemaElement, Table, Throughput};
use super::value::Text;
use crate::clock::now_us;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateTable<'a> {
    #[serde(borrow)]
    table_name: Option<Text<'a>>,
    attribute_definitions: Option<Vec<AttributeDefinition>>,
    key_schema: Option<Vec<KeySchemaElement>>,
    #[serde(default)]
    global_secondary_indexes: Option<Vec<Index>>,
    local_secondary_indexes: Option<IgnoredAny>,
    #[serde(borrow)]
    billing_mode: Option<Text<'a>>,
    provisioned_throughput: Option<Throughput>,
}

pub(super) fn create_table(stub: &Stub, body: &str) -> Result<Vec<u8>, Refusal> {
    let request: CreateTable<'_> = stub.read(body)?;
    let name = table_name(request.table_name.as_ref())?;
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)) {
        let constraint = "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+";
        return Err(Refusal::constraint(&format!("'{name}'"), "tableName", constraint));
    }
    if request.local_secondary_indexes.is_some() {
        return Err(Refusal::not_here("LocalSecondaryIndexes"));
    }
    let is_on_demand = match request.billing_mode.as_ref().map(Text::as_str) {
        None | Some("PROVISIONED") => false,
        Some("PAY_PER_REQUEST") => true,
        Some(other) => {
            let constraint = "Member must satisfy enum value set: [PROVISIONED, PAY_PER_REQUEST]";
            return Err(Refusal::constraint(&format!("'{other}'"), "billingMode", constraint));
        }
    };
    let throughput = match (is_on_demand, request.provisioned_throughput) {
        (false, None) => {
            return Err(Refusal::invalid(
                "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
            ));
        }
        (true, Some(_)) => {
            return Err(Refusal::invalid(
                "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
            ));
        }
        (_, throughput) => throughput.unwrap_or_default(),
    };
    let definition = Definition {
        attributes: required(request.attribute_definitions.as_ref(), "attributeDefinitions")?.clone(),
        keys: required(request.key_schema.as_ref(), "keySchema")?.clone(),
        indexes: request.global_secondary_indexes.unwrap_or_default(),
        throughput,
        is_on_demand,
    };
    check(&definition)?;
    let table = stub.tables.add(Table::new(name.to_owned(), definition, now_us() / 1_000_000))?;
    // It is there at once; the service takes a while.
    Ok(told(&json!({ "TableDescription": described(&table, "ACTIVE") })))
}

fn check(definition: &Definition) -> Result<(), Refusal> {
    let schemas = definition.indexes.iter().map(|index| &index.key_schema).chain([&definition.keys]);
    for keys in schemas.clone() {
        let is_sound = match keys.as_slice() {
            [hash] => hash.key_type == KeyRole::Hash,
            [hash, range] => {
                hash.key_type == KeyRole::Hash
                    && range.key_type == KeyRole::Range
                    && hash.attribute_name != range.attribute_name
            }
            _ => false,
        };
        if !is_sound {
            return Err(Refusal::validation(
                "Invalid KeySchema: a HASH key is wanted, and a RANGE key of another name may follow",
            ));
        }
    }
    let defined = |name: &str| definition.attributes.iter().any(|it| it.attribute_name == name);
    let keys = schemas.flatten().map(|key| key.attribute_name.as_str());
    if let Some(missing) = keys.clone().find(|name| !defined(name)) {
        return Err(Refusal::invalid(format!(
            "Some index key attributes are not defined in AttributeDefinitions. Keys: [{missing}]"
        )));
    }
    if definition.attributes.iter().any(|it| !keys.clone().any(|key| key == it.attribute_name)) {
        return Err(Refusal::invalid(
            "Number of attributes in KeySchema does not exactly match number of attributes defined in \
             AttributeDefinitions",
        ));
    }
    Ok(())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OfTable<'a> {
    #[serde(borrow)]
    table_name: Option<Text<'a>>,
}

pub(super) fn describe_table(stub: &Stub, body: &str) -> Result<Vec<u8>, Refusal> {
    let request: OfTable<'_> = stub.read(body)?;
    let table = stub.tables.named(table_name(request.table_name.as_ref())?)?;
    Ok(told(&json!({ "Table": described(&table, "ACTIVE") })))
}

pub(super) fn delete_table(stub: &Stub, body: &str) -> Result<Vec<u8>, Refusal> {
    let request: OfTable<'_> = stub.read(body)?;
    let table = stub.tables.remove(table_name(request.table_name.as_ref())?)?;
    Ok(told(&json!({ "TableDescription": described(&table, "DELETING") })))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListTables<'a> {
    #[serde(borrow)]
    exclusive_start_table_name: Option<Text<'a>>,
    limit: Option<usize>,
}

pub(super) fn list_tables(stub: &Stub, body: &str) -> Result<Vec<u8>, Refusal> {
    let request: ListTables<'_> = stub.read(body)?;
    let limit = request.limit.unwrap_or(100);
    if !(1..=100).contains(&limit) {
        let constraint = "Member must have value from 1 to 100";
        return Err(Refusal::constraint(&format!("'{limit}'"), "limit", constraint));
    }
    let after = request.exclusive_start_table_name.as_ref().map_or("", Text::as_str);
    let mut names: Vec<_> = stub
        .tables
        .all()
        .iter()
        .map(|table| table.name.clone())
        .filter(|name| name.as_str() > after)
        .collect();
    let is_cut = names.len() > limit;
    names.truncate(limit);
    let mut answer = json!({ "TableNames": names });
    if is_cut && let Some(last) = names.last() {
        answer["LastEvaluatedTableName"] = json!(last);
    }
    Ok(told(&answer))
}

pub(super) fn describe_time_to_live(stub: &Stub, body: &str) -> Result<Vec<u8>, Refusal> {
    let request: OfTable<'_> = stub.read(body)?;
    let table = stub.tables.named(table_name(request.table_name.as_ref())?)?;
    let description = match &*table.time_to_live() {
        Some(name) => json!({ "TimeToLiveStatus": "ENABLED", "AttributeName": name }),
        None => json!({ "TimeToLiveStatus": "DISABLED" }),
    };
    Ok(told(&json!({ "TimeToLiveDescription": description })))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UpdateTimeToLive<'a> {
    #[serde(borrow)]
    table_name: Option<Text<'a>>,
    time_to_live_specification: Option<TimeToLiveSpecification>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct TimeToLiveSpecification {
    attribute_name: String,
    enabled: bool,
}

pub(super) fn update_time_to_live(stub: &Stub, body: &str) -> Result<Vec<u8>, Refusal> {
    let request: UpdateTimeToLive<'_> = stub.read(body)?;
    let name = table_name(request.table_name.as_ref())?;
    let wanted = required(request.time_to_live_specification.as_ref(), "timeToLiveSpecification")?;
    let table = stub.tables.named(name)?;
    let mut current = table.time_to_live();
    match (&*current, wanted.enabled) {
        (Some(attribute), true) if *attribute == wanted.attribute_name => {
            return Err(Refusal::validation("TimeToLive is already enabled"));
        }
        (Some(_), true) => {
            return Err(Refusal::validation("TimeToLive is already enabled with a different attribute name"));
        }
        (None, false) => return Err(Refusal::validation("TimeToLive is already disabled")),
        (_, enabled) => *current = enabled.then(|| wanted.attribute_name.clone()),
    }
    Ok(told(&json!({ "TimeToLiveSpecification": wanted })))
}

fn described(table: &Table, status: &str) -> Value {
    let Definition { attributes, keys, indexes, throughput, is_on_demand } = &table.definition;
    let arn = format!("{ARN_PREFIX}{}", table.name);
    let units = |throughput: &Throughput| {
        json!({
            "NumberOfDecreasesToday": 0,
            "ReadCapacityUnits": throughput.read_capacity_units,
            "WriteCapacityUnits": throughput.write_capacity_units,
        })
    };
    let mut description = json!({
        "TableName": table.name,
        "TableArn": arn,
        "TableStatus": status,
        "CreationDateTime": table.created_at_s,
        "AttributeDefinitions": attributes,
        "KeySchema": keys,
        "ProvisionedThroughput": units(throughput),
        "ItemCount": table.shelf.items(),
        "TableSizeBytes": table.shelf.bytes(),
    });
    if *is_on_demand {
        description["BillingModeSummary"] = json!({ "BillingMode": "PAY_PER_REQUEST" });
    }
    if !indexes.is_empty() {
        let indexes = indexes.iter().map(|index| {
            json!({
                "IndexName": index.index_name,
                "IndexArn": format!("{arn}/index/{}", index.index_name),
                "IndexStatus": status,
                "KeySchema": index.key_schema,
                "Projection": index.projection,
                "ProvisionedThroughput": units(&index.provisioned_throughput.unwrap_or_default()),
            })
        });
        description["GlobalSecondaryIndexes"] = indexes.collect();
    }
    description
}

fn told(answer: &Value) -> Vec<u8> {
    answer.to_string().into_bytes()
}
