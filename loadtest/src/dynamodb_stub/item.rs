//! Single items: told as JSON, put, fetched, deleted.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::expression::{Expressions, References};
use super::packed::{Packed, separate, write_sort_value, write_string};
use super::refusal::{Refusal, RefusalKind};
use super::shelf::Entry;
use super::stub::Stub;
use super::table::{MAX_ITEM_BYTES, Table, Wording};
use super::value::{Attributes, Text};

/// Which attributes of an item are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Projected {
    All,
    Only(Vec<String>),
}

impl Projected {
    fn has(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.iter().any(|other| other == name),
        }
    }
}

/// Writes an item as JSON, keys first.
pub(super) fn write_item(table: &Table, entry: &Entry, projected: &Projected, out: &mut Vec<u8>) {
    let mut packed = entry.packed();
    packed.size();
    out.push(b'{');
    let mut told = write_keys(table, &mut packed, projected, out);
    for _ in 0..packed.count() {
        let begin = out.len();
        let name = packed.name();
        separate(told, out);
        write_string(name, out);
        out.push(b':');
        packed.write_value(out);
        if projected.has(name) {
            told += 1;
        } else {
            out.truncate(begin);
        }
    }
    out.push(b'}');
}

/// Writes an item's key alone.
pub(super) fn write_key(table: &Table, entry: &Entry, out: &mut Vec<u8>) {
    let mut packed = entry.packed();
    packed.size();
    out.push(b'{');
    write_keys(table, &mut packed, &Projected::All, out);
    out.push(b'}');
}

fn write_keys(table: &Table, packed: &mut Packed<'_>, projected: &Projected, out: &mut Vec<u8>) -> usize {
    let (partition, sort) = packed.keys();
    let mut names = table.key_names();
    let mut told = 0;
    if let Some(name) = names.next().filter(|name| projected.has(name)) {
        write_string(name, out);
        out.extend_from_slice(b":{\"S\":");
        write_string(partition, out);
        out.push(b'}');
        told += 1;
    }
    if let Some(name) = names.next().filter(|name| projected.has(name)) {
        separate(told, out);
        write_string(name, out);
        out.push(b':');
        write_sort_value(sort, out);
        told += 1;
    }
    told
}

/// A table's name in a request.
pub(super) fn table_name<'a>(name: Option<&'a Text<'_>>) -> Result<&'a str, Refusal> {
    let name = name.map(Text::as_str).ok_or_else(|| {
        Refusal::validation("The parameter 'TableName' is required but was not present in the request")
    })?;
    if !(3..=255).contains(&name.len()) {
        return Err(Refusal::validation(
            "TableName must be at least 3 characters long and at most 255 characters long",
        ));
    }
    Ok(name)
}

/// A required member of a request.
pub(super) fn required<'a, T>(member: Option<&'a T>, name: &str) -> Result<&'a T, Refusal> {
    member.ok_or_else(|| Refusal::constraint("null", name, "Member must not be null"))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetItem<'a> {
    #[serde(borrow)]
    table_name: Option<Text<'a>>,
    #[serde(borrow)]
    key: Option<Attributes<'a>>,
    #[serde(borrow)]
    projection_expression: Option<Text<'a>>,
    #[serde(borrow, flatten)]
    references: References<'a>,
    attributes_to_get: Option<IgnoredAny>,
}

pub(super) fn get_item(stub: &Stub, body: &str) -> Result<Vec<u8>, Refusal> {
    let request: GetItem<'_> = stub.read(body)?;
    let name = table_name(request.table_name.as_ref())?;
    let key = required(request.key.as_ref(), "key")?;
    if request.attributes_to_get.is_some() {
        return Err(Refusal::not_here("AttributesToGet"));
    }
    let mut expressions = Expressions::new(&request.references);
    let projected = match &request.projection_expression {
        Some(text) => Projected::Only(expressions.projection(text.as_str())?),
        None => Projected::All,
    };
    expressions.end()?;
    let table = stub.tables.of_items(name)?;
    let mut out = b"{".to_vec();
    if let Some(entry) = table.shelf.get(&table.key(key)?) {
        out.extend_from_slice(b"\"Item\":");
        write_item(&table, &entry, &projected, &mut out);
    }
    out.push(b'}');
    Ok(out)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutItem<'a> {
    #[serde(borrow)]
    table_name: Option<Text<'a>>,
    #[serde(borrow)]
    item: Option<Attributes<'a>>,
    #[serde(borrow)]
    condition_expression: Option<Text<'a>>,
    #[serde(borrow)]
    return_values: Option<Text<'a>>,
    #[serde(borrow, flatten)]
    references: References<'a>,
    expected: Option<IgnoredAny>,
}

pub(super) fn put_item(stub: &Stub, body: &str) -> Result<Vec<u8>, Refusal> {
    let request: PutItem<'_> = stub.read(body)?;
    let name = table_name(request.table_name.as_ref())?;
    let item = required(request.item.as_ref(), "item")?;
    only_none(request.return_values.as_ref())?;
    if request.expected.is_some() {
        return Err(Refusal::not_here("Expected"));
    }
    let size = item.check()?;
    if size > MAX_ITEM_BYTES {
        return Err(Refusal::validation("Item size has exceeded the maximum allowed size"));
    }
    let condition = existence(&request.references, request.condition_expression.as_ref())?;
    let table = stub.tables.of_items(name)?;
    let entry = table.entry(item, size, Wording::One, &mut Vec::new())?;
    stub.room_for(1)?;
    let put = match condition {
        Some((name, must_be_there)) => {
            of_key(&table, &name)?;
            table.shelf.put_if(entry, must_be_there).ok_or_else(condition_failed)?
        }
        None => table.shelf.put(entry),
    };
    stub.counts.put(put);
    Ok(b"{}".to_vec())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DeleteItem<'a> {
    #[serde(borrow)]
    table_name: Option<Text<'a>>,
    #[serde(borrow)]
    key: Option<Attributes<'a>>,
    #[serde(borrow)]
    return_values: Option<Text<'a>>,
    condition_expression: Option<IgnoredAny>,
    expected: Option<IgnoredAny>,
}

pub(super) fn delete_item(stub: &Stub, body: &str) -> Result<Vec<u8>, Refusal> {
    let request: DeleteItem<'_> = stub.read(body)?;
    let name = table_name(request.table_name.as_ref())?;
    let key = required(request.key.as_ref(), "key")?;
    only_none(request.return_values.as_ref())?;
    if request.condition_expression.is_some() || request.expected.is_some() {
        return Err(Refusal::not_here("conditions of a DeleteItem"));
    }
    let table = stub.tables.of_items(name)?;
    table.shelf.remove(&table.key(key)?);
    stub.counts.deleted();
    Ok(b"{}".to_vec())
}

fn only_none(return_values: Option<&Text<'_>>) -> Result<(), Refusal> {
    match return_values.map(Text::as_str) {
        None | Some("NONE") => Ok(()),
        Some(_) => Err(Refusal::not_here("ReturnValues other than NONE")),
    }
}

fn existence(
    references: &References<'_>,
    condition: Option<&Text<'_>>,
) -> Result<Option<(String, bool)>, Refusal> {
    let mut expressions = Expressions::new(references);
    let condition = condition.map(|text| expressions.existence(text.as_str())).transpose()?;
    expressions.end()?;
    Ok(condition)
}

/// A key is there exactly when the item is.
fn of_key(table: &Table, name: &str) -> Result<(), Refusal> {
    if table.key_names().any(|key| key == name) {
        return Ok(());
    }
    Err(Refusal::not_here("conditions on attributes other than keys"))
}

fn condition_failed() -> Refusal {
    Refusal::new(RefusalKind::ConditionalCheckFailed, "The conditional request failed")
}
