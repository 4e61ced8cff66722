//! Query and Scan: pages of items in order, of a partition, an index or the whole table.

mod key_range;

use std::ops::Bound;

use serde::Deserialize;
use serde::de::IgnoredAny;

use self::key_range::{missed, partition_and_sort, sort_range};
use super::expression::{Condition, Expressions, References, Test};
use super::item::{Projected, table_name, write_item, write_key};
use super::packed::{SortKey, pack_value, separate};
use super::refusal::Refusal;
use super::shelf::Entry;
use super::stub::Stub;
use super::table::{Index, ProjectionType, Table};
use super::value::{Attributes, Text, Value};

/// Bytes of items in a page, as the service counts.
const PAGE_BYTES: usize = 1 << 20;

/// Parts of a scan, as the service has it.
const MAX_SEGMENTS: u32 = 1_000_000;

/// What Query and Scan have in common.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Read<'a> {
    #[serde(borrow)]
    table_name: Option<Text<'a>>,
    #[serde(borrow)]
    index_name: Option<Text<'a>>,
    consistent_read: Option<bool>,
    scan_index_forward: Option<bool>,
    limit: Option<i64>,
    #[serde(borrow)]
    exclusive_start_key: Option<Attributes<'a>>,
    #[serde(borrow)]
    select: Option<Text<'a>>,
    #[serde(borrow)]
    key_condition_expression: Option<Text<'a>>,
    #[serde(borrow)]
    projection_expression: Option<Text<'a>>,
    segment: Option<u32>,
    total_segments: Option<u32>,
    #[serde(borrow, flatten)]
    references: References<'a>,
    filter_expression: Option<IgnoredAny>,
    key_conditions: Option<IgnoredAny>,
    query_filter: Option<IgnoredAny>,
    scan_filter: Option<IgnoredAny>,
    attributes_to_get: Option<IgnoredAny>,
}

/// Where to read.
struct Range {
    from: Bound<Entry>,
    to: Bound<Entry>,
    backwards: bool,
}

/// What of an item in range makes it part of the answer.
enum Belongs<'a> {
    Every,
    /// The index's partition key is this.
    Indexed {
        index: &'a Index,
        value: Vec<u8>,
        text: String,
    },
    /// The index's partition key is there.
    HasKey {
        index: &'a Index,
    },
}

pub(super) async fn query(stub: &Stub, body: &str) -> Result<Vec<u8>, Refusal> {
    let request: Read<'_> = stub.read(body)?;
    let name = table_name(request.table_name.as_ref())?;
    request.check()?;
    let condition = request.key_condition_expression.as_ref().ok_or_else(|| {
        let message =
            "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.";
        Refusal::validation(message)
    })?;
    let mut expressions = Expressions::new(&request.references);
    let conditions = expressions.key_conditions(condition.as_str())?;
    let projected = request.projected(&mut expressions)?;
    expressions.end()?;
    let table = stub.tables.of_items(name)?;
    let backwards = request.scan_index_forward == Some(false);
    let Some(index) = request.index(&table)? else {
        let (partition, sort) = partition_and_sort(&table, &conditions)?;
        let (from, to) = sort_range(partition, sort)?;
        let range = Range { from, to, backwards };
        return request.page(&table, range, &Belongs::Every, &projected).await;
    };
    let [hash] = index.key_schema.as_slice() else {
        return Err(Refusal::not_here("queries of an index with a sort key"));
    };
    let [Condition { name, test: Test::Equal(Value::S(text)) }] = conditions.as_slice() else {
        return Err(Refusal::validation("Query key condition not supported"));
    };
    if *name != hash.attribute_name {
        return Err(missed(&hash.attribute_name));
    }
    let mut value = Vec::new();
    pack_value(&Value::S(text.clone()), &mut value);
    let belongs = Belongs::Indexed { index, value, text: text.as_str().to_owned() };
    let range = Range { from: Bound::Unbounded, to: Bound::Unbounded, backwards };
    request.page(&table, range, &belongs, &of_index(&table, index, projected)).await
}

pub(super) async fn scan(stub: &Stub, body: &str) -> Result<Vec<u8>, Refusal> {
    let request: Read<'_> = stub.read(body)?;
    let name = table_name(request.table_name.as_ref())?;
    request.check()?;
    let mut expressions = Expressions::new(&request.references);
    let projected = request.projected(&mut expressions)?;
    expressions.end()?;
    let table = stub.tables.of_items(name)?;
    let (from, to) = request.segment_range()?;
    let range = Range { from, to, backwards: false };
    match request.index(&table)? {
        Some(index) => {
            let projected = of_index(&table, index, projected);
            request.page(&table, range, &Belongs::HasKey { index }, &projected).await
        }
        None => request.page(&table, range, &Belongs::Every, &projected).await,
    }
}

impl Read<'_> {
    fn check(&self) -> Result<(), Refusal> {
        if let Some(limit) = self.limit.filter(|limit| *limit < 1) {
            let constraint = "Member must have value greater than or equal to 1";
            return Err(Refusal::constraint(&format!("'{limit}'"), "limit", constraint));
        }
        let not_here = [
            ("FilterExpression", &self.filter_expression),
            ("KeyConditions", &self.key_conditions),
            ("QueryFilter", &self.query_filter),
            ("ScanFilter", &self.scan_filter),
            ("AttributesToGet", &self.attributes_to_get),
        ];
        match not_here.iter().find(|(_, given)| given.is_some()) {
            Some((name, _)) => Err(Refusal::not_here(name)),
            None => Ok(()),
        }
    }

    fn projected(&self, expressions: &mut Expressions<'_>) -> Result<Projected, Refusal> {
        let names = self.projection_expression.as_ref().map(|text| expressions.projection(text.as_str()));
        Ok(names.transpose()?.map_or(Projected::All, Projected::Only))
    }

    fn index<'t>(&self, table: &'t Table) -> Result<Option<&'t Index>, Refusal> {
        let Some(name) = &self.index_name else {
            return Ok(None);
        };
        let index = table.index(name.as_str()).ok_or_else(|| {
            Refusal::validation(format!("The table does not have the specified index: {}", name.as_str()))
        })?;
        if self.consistent_read == Some(true) {
            return Err(Refusal::validation(
                "Consistent reads are not supported on global secondary indexes",
            ));
        }
        Ok(Some(index))
    }

    /// The hashes of a segment.
    fn segment_range(&self) -> Result<(Bound<Entry>, Bound<Entry>), Refusal> {
        let missing = |name: &str, other: &str| {
            Refusal::validation(format!(
                "The {name} parameter is required but was not present in the request when {other} is present"
            ))
        };
        let (segment, total) = match (self.segment, self.total_segments) {
            (None, None) => return Ok((Bound::Unbounded, Bound::Unbounded)),
            (Some(_), None) => return Err(missing("TotalSegments", "Segment parameter")),
            (None, Some(_)) => return Err(missing("Segment", "parameter TotalSegments")),
            (Some(segment), Some(total)) => (segment, total),
        };
        if !(1..=MAX_SEGMENTS).contains(&total) {
            let constraint = format!("Member must have value from 1 to {MAX_SEGMENTS}");
            return Err(Refusal::constraint(&format!("'{total}'"), "totalSegments", &constraint));
        }
        if segment >= total {
            return Err(Refusal::validation(
                "The Segment parameter is zero-based and must be less than parameter TotalSegments",
            ));
        }
        let begin = |segment: u32| {
            let hash = (u128::from(segment) << 64) / u128::from(total);
            u64::try_from(hash).map_or(Bound::Unbounded, |hash| Bound::Excluded(Entry::before_hash(hash)))
        };
        Ok((begin(segment), begin(segment + 1)))
    }

    /// Reads a page. It gives way between shards: an index is a walk through the whole table.
    async fn page(
        &self,
        table: &Table,
        mut range: Range,
        belongs: &Belongs<'_>,
        projected: &Projected,
    ) -> Result<Vec<u8>, Refusal> {
        if let Some(start) = &self.exclusive_start_key {
            let after = table
                .key_of(start)
                .map_err(|_| Refusal::validation("The provided starting key is invalid"))?;
            if !range.has(&after) {
                return Err(Refusal::validation(
                    "The provided starting key is outside query boundaries based on provided conditions",
                ));
            }
            let begin = if range.backwards { &mut range.to } else { &mut range.from };
            *begin = Bound::Excluded(after);
        }
        let limit = self.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        let counts_only = self.select.as_ref().is_some_and(|select| select.as_str() == "COUNT");
        let mut out = b"{".to_vec();
        if !counts_only {
            out.extend_from_slice(b"\"Items\":[");
        }
        let (mut count, mut bytes, mut last) = (0, 0, None);
        let shards = range.shards(table.shelf.shards());
        let bounds = (range.from.as_ref(), range.to.as_ref());
        for place in 0..shards.len() {
            let shard = if range.backwards { shards.end - 1 - place } else { shards.start + place };
            let is_full = table.shelf.walk(shard, bounds, range.backwards, |entry| {
                if !belongs.holds(table, entry) {
                    return true;
                }
                if !counts_only {
                    separate(count, &mut out);
                    write_item(table, entry, projected, &mut out);
                }
                count += 1;
                bytes += entry.packed().size();
                let is_full = count >= limit || bytes >= PAGE_BYTES;
                if is_full {
                    last = Some(entry.clone());
                }
                !is_full
            });
            if is_full {
                break;
            }
            tokio::task::yield_now().await;
        }
        if !counts_only {
            out.extend_from_slice(b"],");
        }
        out.extend_from_slice(format!("\"Count\":{count},\"ScannedCount\":{count}").as_bytes());
        if let Some(last) = last {
            out.extend_from_slice(b",\"LastEvaluatedKey\":");
            belongs.write_key(table, &last, &mut out);
        }
        out.push(b'}');
        Ok(out)
    }
}

impl Range {
    fn has(&self, entry: &Entry) -> bool {
        let after = match &self.from {
            Bound::Included(from) => from <= entry,
            Bound::Excluded(from) => from < entry,
            Bound::Unbounded => true,
        };
        let before = match &self.to {
            Bound::Included(to) => entry <= to,
            Bound::Excluded(to) => entry < to,
            Bound::Unbounded => true,
        };
        after && before
    }

    fn shards(&self, all: usize) -> std::ops::Range<usize> {
        let shard = |bound: &Bound<Entry>| match bound {
            Bound::Included(entry) | Bound::Excluded(entry) => Some(entry.shard()),
            Bound::Unbounded => None,
        };
        shard(&self.from).unwrap_or(0)..shard(&self.to).map_or(all, |last| last + 1)
    }
}

impl Belongs<'_> {
    fn holds(&self, table: &Table, entry: &Entry) -> bool {
        match self {
            Self::Every => true,
            Self::Indexed { index, value, text } => {
                let is_key = |key: &Option<&str>| *key == Some(index_key(index));
                let mut names = table.key_names();
                let (partition, sort) = entry.keys();
                if is_key(&names.next()) {
                    return partition == text;
                }
                if is_key(&names.next()) {
                    return sort == SortKey::of(text);
                }
                attribute(entry, index_key(index)).is_some_and(|packed| packed == *value)
            }
            Self::HasKey { index } => {
                let key = index_key(index);
                table.key_names().any(|name| name == key) || attribute(entry, key).is_some()
            }
        }
    }

    /// Where the next page goes on: the table's key, and the index's.
    fn write_key(&self, table: &Table, entry: &Entry, out: &mut Vec<u8>) {
        let (Self::Indexed { index, .. } | Self::HasKey { index }) = self else {
            write_key(table, entry, out);
            return;
        };
        let names = table.key_names().chain([index_key(index)]).map(str::to_owned).collect();
        write_item(table, entry, &Projected::Only(names), out);
    }
}

fn index_key(index: &Index) -> &str {
    index.key_schema.first().map_or("", |key| key.attribute_name.as_str())
}

/// An attribute's value as it is kept.
fn attribute(entry: &Entry, name: &str) -> Option<Vec<u8>> {
    let mut packed = entry.packed();
    packed.size();
    packed.keys();
    (0..packed.count()).find_map(|_| {
        let is_it = packed.name() == name;
        let value = packed.value();
        is_it.then(|| value.to_vec())
    })
}

/// An index tells its keys, the table's, and what it includes.
fn of_index(table: &Table, index: &Index, projected: Projected) -> Projected {
    if index.projection.projection_type == ProjectionType::All {
        return projected;
    }
    let keys = table.key_names().chain(index.key_schema.iter().map(|key| key.attribute_name.as_str()));
    let names = keys.map(str::to_owned).chain(index.projection.non_key_attributes.iter().cloned());
    match projected {
        Projected::All => Projected::Only(names.collect()),
        Projected::Only(wanted) => Projected::Only(names.filter(|name| wanted.contains(name)).collect()),
    }
}
