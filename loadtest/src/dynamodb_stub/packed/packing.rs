//! The way into few bytes.

use super::{
    BINARY, BINARY_SET, FALSE, KNOWN_NAMES, LIST, MAP, NEGATIVE_NUMBER, NULL, NUMBER, NUMBER_SET, OTHER_NAME,
    SORT_LAST, SORT_NONE, SORT_TEXT, SORT_TIME, SortKey, TEXT, TEXT_SET, TIME, TRUE, UUID,
};
use crate::dynamodb_stub::number::Number;
use crate::dynamodb_stub::short_text::{pack_time, pack_uuid};
use crate::dynamodb_stub::value::{Attributes, Text, Value};

/// Packs an item whose values were checked and whose keys are these.
pub(in crate::dynamodb_stub) fn pack(
    size: usize,
    (partition, sort): (&str, SortKey<'_>),
    attributes: &Attributes<'_>,
    is_key: impl Fn(&str) -> bool,
    out: &mut Vec<u8>,
) {
    out.extend(size.to_le_bytes().iter().take(3));
    pack_text(partition, out);
    match sort {
        SortKey::None => out.push(SORT_NONE),
        SortKey::Time(packed) => {
            out.push(SORT_TIME);
            out.extend_from_slice(&packed.to_le_bytes());
        }
        SortKey::Text(text) => {
            out.push(SORT_TEXT);
            pack_text(text, out);
        }
        SortKey::Last => out.push(SORT_LAST),
    }
    let others = || attributes.iter().filter(|(name, _)| !is_key(name));
    varint(others().count() as u128, out);
    for (name, value) in others() {
        pack_name(name, out);
        pack_value(value, out);
    }
}

pub(in crate::dynamodb_stub) fn pack_value(value: &Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::S(text) => {
            if let Some(packed) = pack_time(text.as_str()) {
                out.push(TIME);
                out.extend_from_slice(&packed.to_le_bytes());
            } else if let Some(packed) = pack_uuid(text.as_str()) {
                out.push(UUID);
                out.extend_from_slice(&packed);
            } else {
                out.push(TEXT);
                pack_text(text.as_str(), out);
            }
        }
        Value::N(text) => pack_number(text, out),
        Value::B(text) => {
            out.push(BINARY);
            pack_text(text.as_str(), out);
        }
        Value::Bool(true) => out.push(TRUE),
        Value::Bool(false) => out.push(FALSE),
        Value::SS(texts) => pack_list(TEXT_SET, texts, out, |text, out| pack_text(text.as_str(), out)),
        Value::BS(texts) => pack_list(BINARY_SET, texts, out, |text, out| pack_text(text.as_str(), out)),
        Value::NS(texts) => pack_list(NUMBER_SET, texts, out, pack_number),
        Value::L(values) => pack_list(LIST, values, out, pack_value),
        Value::M(attributes) => {
            out.push(MAP);
            varint(attributes.len() as u128, out);
            for (name, value) in attributes.iter() {
                pack_name(name, out);
                pack_value(value, out);
            }
        }
        // The last two are refused before.
        Value::Null(_) | Value::Empty | Value::Several => out.push(NULL),
    }
}

fn pack_list<T>(kind: u8, members: &[T], out: &mut Vec<u8>, pack: impl Fn(&T, &mut Vec<u8>)) {
    out.push(kind);
    varint(members.len() as u128, out);
    for member in members {
        pack(member, out);
    }
}

fn pack_number(text: &Text<'_>, out: &mut Vec<u8>) {
    let zero = Number { is_negative: false, digits: 0, exponent: 0 };
    let number = Number::parse(text.as_str()).unwrap_or(zero);
    out.push(if number.is_negative { NEGATIVE_NUMBER } else { NUMBER });
    let zigzag = (number.exponent << 1) ^ (number.exponent >> 15);
    varint(u128::from(zigzag.unsigned_abs()), out);
    varint(number.digits, out);
}

fn pack_name(name: &str, out: &mut Vec<u8>) {
    match KNOWN_NAMES.iter().position(|known| *known == name).and_then(|place| u8::try_from(place).ok()) {
        Some(place) => out.push(place),
        None => {
            out.push(OTHER_NAME);
            pack_text(name, out);
        }
    }
}

fn pack_text(text: &str, out: &mut Vec<u8>) {
    varint(text.len() as u128, out);
    out.extend_from_slice(text.as_bytes());
}

fn varint(mut value: u128, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}
