//! Tables: how one is defined, how its keys are read out of items, and the set of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use super::packed::{SortKey, pack};
use super::refusal::{Refusal, RefusalKind};
use super::shelf::{Entry, Shelf};
use super::value::{Attributes, Value};

/// Tables at most: this is no place for more.
const MAX_TABLES: usize = 100;

/// Bytes of a partition key and of a sort key, and of an item, as the service has them.
const MAX_PARTITION_KEY_BYTES: usize = 2_048;
const MAX_SORT_KEY_BYTES: usize = 1_024;
pub(super) const MAX_ITEM_BYTES: usize = 400 * 1_024;

/// The type of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum KeyType {
    S,
    N,
    B,
}

/// An attribute that is a key, of the table or of an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AttributeDefinition {
    pub(super) attribute_name: String,
    pub(super) attribute_type: KeyType,
}

/// Which key it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum KeyRole {
    Hash,
    Range,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct KeySchemaElement {
    pub(super) attribute_name: String,
    pub(super) key_type: KeyRole,
}

/// What an index has of an item beside the keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Projection {
    pub(super) projection_type: ProjectionType,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(super) non_key_attributes: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum ProjectionType {
    All,
    KeysOnly,
    Include,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Throughput {
    pub(super) read_capacity_units: u64,
    pub(super) write_capacity_units: u64,
}

/// A global secondary index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Index {
    pub(super) index_name: String,
    pub(super) key_schema: Vec<KeySchemaElement>,
    pub(super) projection: Projection,
    #[serde(default)]
    pub(super) provisioned_throughput: Option<Throughput>,
}

/// What a table is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) attributes: Vec<AttributeDefinition>,
    pub(super) keys: Vec<KeySchemaElement>,
    pub(super) indexes: Vec<Index>,
    pub(super) throughput: Throughput,
    pub(super) is_on_demand: bool,
}

impl Definition {
    /// The model's table: `CustomerID` and `DetectedAt`, with the index by time.
    pub(super) fn of_the_model() -> Self {
        let key = |name: &str, key_type| KeySchemaElement { attribute_name: name.into(), key_type };
        let text =
            |name: &str| AttributeDefinition { attribute_name: name.into(), attribute_type: KeyType::S };
        let throughput = Throughput { read_capacity_units: 10, write_capacity_units: 10 };
        Self {
            attributes: vec![text("CustomerID"), text("DetectedAt")],
            keys: vec![key("CustomerID", KeyRole::Hash), key("DetectedAt", KeyRole::Range)],
            indexes: vec![Index {
                index_name: "DetectedAtIndex".into(),
                key_schema: vec![key("DetectedAt", KeyRole::Hash)],
                projection: Projection {
                    projection_type: ProjectionType::Include,
                    non_key_attributes: vec!["Location".into()],
                },
                provisioned_throughput: Some(throughput),
            }],
            throughput,
            is_on_demand: false,
        }
    }

    fn type_of(&self, name: &str) -> KeyType {
        let definition = self.attributes.iter().find(|it| it.attribute_name == name);
        definition.map_or(KeyType::S, |it| it.attribute_type)
    }
}

/// A table and its items.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) definition: Definition,
    pub(super) created_at_s: i64,
    pub(super) shelf: Shelf,
    time_to_live: Mutex<Option<String>>,
}

/// How a key that is missing or wrong is told: operations of one item name it, a batch does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wording {
    One,
    Batch,
}

impl Table {
    pub(super) fn new(name: String, definition: Definition, created_at_s: i64) -> Self {
        Self { name, definition, created_at_s, shelf: Shelf::new(), time_to_live: Mutex::default() }
    }

    /// The attribute by which items expire. None do: what they carry is kept as it is.
    pub(super) fn time_to_live(&self) -> MutexGuard<'_, Option<String>> {
        self.time_to_live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The attributes that are keys, in order.
    pub(super) fn key_names(&self) -> impl Iterator<Item = &str> + Clone {
        self.definition.keys.iter().map(|key| key.attribute_name.as_str())
    }

    pub(super) fn index(&self, name: &str) -> Option<&Index> {
        self.definition.indexes.iter().find(|index| index.index_name == name)
    }

    /// An item whose values were checked, packed.
    pub(super) fn entry(
        &self,
        item: &Attributes<'_>,
        size: usize,
        wording: Wording,
        scratch: &mut Vec<u8>,
    ) -> Result<Entry, Refusal> {
        let mut keys = self.key_names().map(|name| {
            let value = item
                .get(name)
                .ok_or_else(|| Refusal::invalid(format!("Missing the key {name} in the item")))?;
            self.key_text(name, value, wording)
        });
        let partition = keys.next().unwrap_or_else(|| Err(Refusal::key_mismatch()))?;
        let sort = keys.next().transpose()?;
        within_limits(partition, sort)?;
        drop(keys);
        self.check_index_keys(item)?;
        scratch.clear();
        let sort = sort.map_or(SortKey::None, SortKey::of);
        pack(size, (partition, sort), item, |name| self.key_names().any(|key| key == name), scratch);
        Ok(Entry::new(partition, scratch))
    }

    /// A key as a request names it: nothing else may be in it.
    pub(super) fn key(&self, key: &Attributes<'_>) -> Result<Entry, Refusal> {
        key.check()?;
        if key.len() != self.definition.keys.len() {
            return Err(Refusal::key_mismatch());
        }
        self.key_of(key)
    }

    /// The key of attributes that may have others too.
    pub(super) fn key_of(&self, attributes: &Attributes<'_>) -> Result<Entry, Refusal> {
        let mut keys = self.key_names().map(|name| {
            let value = attributes.get(name).ok_or_else(Refusal::key_mismatch)?;
            self.key_text(name, value, Wording::Batch)
        });
        let partition = keys.next().unwrap_or_else(|| Err(Refusal::key_mismatch()))?;
        let sort = keys.next().transpose()?;
        within_limits(partition, sort)?;
        Ok(Entry::key(partition, sort.map_or(SortKey::None, SortKey::of)))
    }

    fn key_text<'v>(&self, name: &str, value: &'v Value<'_>, wording: Wording) -> Result<&'v str, Refusal> {
        let expected = self.definition.type_of(name);
        match (expected, value) {
            (KeyType::S, Value::S(text)) if text.as_str().is_empty() => Err(Refusal::validation(format!(
                "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an \
                 empty string value. Key: {name}"
            ))),
            (KeyType::S, Value::S(text)) => Ok(text.as_str()),
            (KeyType::N, Value::N(_)) | (KeyType::B, Value::B(_)) => {
                Err(Refusal::not_here("keys of a type other than S"))
            }
            _ if wording == Wording::Batch => Err(Refusal::key_mismatch()),
            _ => Err(Refusal::invalid(format!(
                "Type mismatch for key {name} expected: {expected:?} actual: {}",
                value.type_name()
            ))),
        }
    }

    /// An item need not have an index's key, but may not have another thing in its place.
    fn check_index_keys(&self, item: &Attributes<'_>) -> Result<(), Refusal> {
        for index in &self.definition.indexes {
            for key in &index.key_schema {
                let name = key.attribute_name.as_str();
                let expected = self.definition.type_of(name);
                let Some(value) = item.get(name).filter(|_| !self.key_names().any(|key| key == name)) else {
                    continue;
                };
                if format!("{expected:?}") != value.type_name() {
                    return Err(Refusal::invalid(format!(
                        "Type mismatch for Index Key {name} Expected: {expected:?} Actual: {} IndexName: {}",
                        value.type_name(),
                        index.index_name
                    )));
                }
            }
        }
        Ok(())
    }
}

fn within_limits(partition: &str, sort: Option<&str>) -> Result<(), Refusal> {
    if partition.len() > MAX_PARTITION_KEY_BYTES {
        return Err(Refusal::invalid("Size of hashkey has exceeded the maximum size limit of2048 bytes"));
    }
    if sort.is_some_and(|sort| sort.len() > MAX_SORT_KEY_BYTES) {
        return Err(Refusal::invalid(
            "Aggregated size of all range keys has exceeded the size limit of 1024 bytes",
        ));
    }
    Ok(())
}

/// All tables by name.
#[derive(Debug, Default)]
pub(super) struct Tables(RwLock<BTreeMap<String, Arc<Table>>>);

impl Tables {
    /// The table that items are asked of.
    pub(super) fn of_items(&self, name: &str) -> Result<Arc<Table>, Refusal> {
        self.find(name)
            .ok_or_else(|| Refusal::new(RefusalKind::ResourceNotFound, "Requested resource not found"))
    }

    /// The table that is asked about itself.
    pub(super) fn named(&self, name: &str) -> Result<Arc<Table>, Refusal> {
        self.find(name).ok_or_else(|| {
            let message = format!("Requested resource not found: Table: {name} not found");
            Refusal::new(RefusalKind::ResourceNotFound, message)
        })
    }

    pub(super) fn add(&self, table: Table) -> Result<Arc<Table>, Refusal> {
        let mut tables = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if tables.contains_key(&table.name) {
            let message = format!("Table already exists: {}", table.name);
            return Err(Refusal::new(RefusalKind::ResourceInUse, message));
        }
        if tables.len() >= MAX_TABLES {
            let message = format!("loadtest dynamodb-stub has {MAX_TABLES} tables at most");
            return Err(Refusal::new(RefusalKind::LimitExceeded, message));
        }
        let table = Arc::new(table);
        tables.insert(table.name.clone(), Arc::clone(&table));
        Ok(table)
    }

    pub(super) fn remove(&self, name: &str) -> Result<Arc<Table>, Refusal> {
        let table = self.named(name)?;
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        Ok(table)
    }

    pub(super) fn all(&self) -> Vec<Arc<Table>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn find(&self, name: &str) -> Option<Arc<Table>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}
