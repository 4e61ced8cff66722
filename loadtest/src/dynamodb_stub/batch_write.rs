//! BatchWriteItem: up to 25 items put or deleted, some of which the schedule may leave unprocessed.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::item::{Projected, write_item, write_key};
use super::packed::write_string;
use super::refusal::Refusal;
use super::schedule::Turn;
use super::shelf::Entry;
use super::stub::Stub;
use super::table::{MAX_ITEM_BYTES, Table, Wording};
use super::value::{Attributes, Text};

/// Items of a call, as the service has it.
const MAX_ITEMS: usize = 25;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BatchWriteItem<'a> {
    #[serde(borrow)]
    request_items: Option<BTreeMap<Text<'a>, Vec<WriteRequest<'a>>>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WriteRequest<'a> {
    #[serde(borrow)]
    put_request: Option<PutRequest<'a>>,
    #[serde(borrow)]
    delete_request: Option<DeleteRequest<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutRequest<'a> {
    #[serde(borrow)]
    item: Option<Attributes<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DeleteRequest<'a> {
    #[serde(borrow)]
    key: Option<Attributes<'a>>,
}

/// What is to be done to one item.
enum Change<'a> {
    Put { item: &'a Attributes<'a>, size: usize },
    Delete(&'a Attributes<'a>),
}

/// A change that nothing is wrong with.
struct Sound {
    table: Arc<Table>,
    entry: Entry,
    is_put: bool,
}

pub(super) fn batch_write_item(stub: &Stub, body: &str) -> Result<Vec<u8>, Refusal> {
    let request: BatchWriteItem<'_> = stub.read(body)?;
    let no_items = || Refusal::validation("The requestItems parameter is required for BatchWriteItem");
    let tables = request.request_items.as_ref().filter(|tables| !tables.is_empty()).ok_or_else(no_items)?;
    let sound = sound(stub, tables)?;
    let puts = sound.iter().filter(|change| change.is_put).count();
    let left = match stub.turn(sound.len()) {
        Turn::Throttle => return Err(Refusal::throttled()),
        Turn::Leave(places) => places,
    };
    stub.room_for(puts)?;
    let answer = unprocessed(&sound, &left);
    stub.counts.left(left.len());
    let mut left = left.into_iter().peekable();
    for (place, change) in sound.into_iter().enumerate() {
        if left.next_if_eq(&place).is_some() {
            continue;
        }
        if change.is_put {
            stub.counts.put(change.table.shelf.put(change.entry));
        } else {
            change.table.shelf.remove(&change.entry);
            stub.counts.deleted();
        }
    }
    Ok(answer)
}

/// Every change, checked in the order in which the service does: the call, the values, the tables, the keys.
fn sound(stub: &Stub, tables: &BTreeMap<Text<'_>, Vec<WriteRequest<'_>>>) -> Result<Vec<Sound>, Refusal> {
    let total: usize = tables.values().map(Vec::len).sum();
    if total > MAX_ITEMS || tables.values().any(Vec::is_empty) {
        return Err(Refusal::constraint(
            &format!("of {total} items"),
            "requestItems",
            "Map value must satisfy constraint: [Member must have length less than or equal to 25, Member must have \
             length greater than or equal to 1]",
        ));
    }
    let mut changes = Vec::with_capacity(total);
    for (table, requests) in tables {
        for request in requests {
            changes.push((table, change(request)?));
        }
    }
    let mut sound: Vec<Sound> = Vec::with_capacity(total);
    let mut scratch = Vec::with_capacity(256);
    let mut table: Option<(&str, Arc<Table>)> = None;
    for (name, change) in changes {
        let table = match &table {
            Some((known, table)) if *known == name.as_str() => Arc::clone(table),
            _ => {
                let found = stub.tables.of_items(name.as_str())?;
                table = Some((name.as_str(), Arc::clone(&found)));
                found
            }
        };
        let (entry, is_put) = match change {
            Change::Put { item, size } => (table.entry(item, size, Wording::Batch, &mut scratch)?, true),
            Change::Delete(key) => (table.key(key)?, false),
        };
        if sound.iter().any(|other| other.entry == entry && Arc::ptr_eq(&other.table, &table)) {
            return Err(Refusal::validation("Provided list of item keys contains duplicates"));
        }
        sound.push(Sound { table, entry, is_put });
    }
    Ok(sound)
}

fn change<'a>(request: &'a WriteRequest<'a>) -> Result<Change<'a>, Refusal> {
    let missing = |member: &str| Refusal::constraint("null", member, "Member must not be null");
    match (&request.put_request, &request.delete_request) {
        (Some(put), None) => {
            let item = put.item.as_ref().ok_or_else(|| missing("requestItems.member.putRequest.item"))?;
            let size = item.check()?;
            if size > MAX_ITEM_BYTES {
                return Err(Refusal::validation("Item size has exceeded the maximum allowed size"));
            }
            Ok(Change::Put { item, size })
        }
        (None, Some(delete)) => {
            let key = delete.key.as_ref().ok_or_else(|| missing("requestItems.member.deleteRequest.key"))?;
            Ok(Change::Delete(key))
        }
        _ => Err(Refusal::validation(
            "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported \
             datatypes",
        )),
    }
}

/// The answer, with what is left as the request had it.
fn unprocessed(sound: &[Sound], left: &[usize]) -> Vec<u8> {
    let mut out = b"{\"UnprocessedItems\":{".to_vec();
    let mut table: Option<&Arc<Table>> = None;
    for change in left.iter().filter_map(|place| sound.get(*place)) {
        // A table's changes stand together.
        if table.is_some_and(|table| Arc::ptr_eq(table, &change.table)) {
            out.push(b',');
        } else {
            if table.is_some() {
                out.extend_from_slice(b"],");
            }
            write_string(&change.table.name, &mut out);
            out.extend_from_slice(b":[");
            table = Some(&change.table);
        }
        if change.is_put {
            out.extend_from_slice(b"{\"PutRequest\":{\"Item\":");
            write_item(&change.table, &change.entry, &Projected::All, &mut out);
        } else {
            out.extend_from_slice(b"{\"DeleteRequest\":{\"Key\":");
            write_key(&change.table, &change.entry, &mut out);
        }
        out.extend_from_slice(b"}}");
    }
    out.extend_from_slice(if table.is_some() { b"]}}" } else { b"}}" });
    out
}
