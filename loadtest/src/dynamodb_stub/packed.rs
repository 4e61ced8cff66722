//! An item in few bytes: what is kept of it, and how it is told again.
//!
//! Its size as the service counts (3 bytes), partition key, sort key, number of other attributes, then name and value of
//! each. Names and texts of the model take a byte, a time 8, a UUID 16, a number what its digits take.

mod packing;

pub(super) use self::packing::{pack, pack_value};
use super::number::Number;
use super::short_text::{pack_time, unpack_time};

/// Names that are kept as their place in this list. The list may grow, nothing else reads it.
const KNOWN_NAMES: [&str; 7] =
    ["BeaconID", "Confidence", "ExpiresAt", "Location", "CustomerID", "DetectedAt", "Suffixes"];
/// Before a name that is none of them.
const OTHER_NAME: u8 = 255;

const TEXT: u8 = 0;
const UUID: u8 = 1;
const TIME: u8 = 2;
const NUMBER: u8 = 3;
const NEGATIVE_NUMBER: u8 = 4;
const BINARY: u8 = 5;
const TRUE: u8 = 6;
const FALSE: u8 = 7;
const NULL: u8 = 8;
const TEXT_SET: u8 = 9;
const NUMBER_SET: u8 = 10;
const BINARY_SET: u8 = 11;
const LIST: u8 = 12;
const MAP: u8 = 13;

const SORT_NONE: u8 = 0;
const SORT_TIME: u8 = 1;
const SORT_TEXT: u8 = 2;
const SORT_LAST: u8 = 3;

/// A sort key, ordered as the service orders texts.
#[derive(Debug, Clone, Copy)]
pub(super) enum SortKey<'a> {
    /// Of a table without sort keys; before all others.
    None,
    Time(u64),
    Text(&'a str),
    /// No item's: after all others.
    Last,
}

impl<'a> SortKey<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        pack_time(text).map_or(Self::Text(text), Self::Time)
    }

    /// The text; none of the two that have none.
    pub(super) fn with_text<T>(self, told: impl FnOnce(Option<&str>) -> T) -> T {
        match self {
            Self::Time(packed) => told(std::str::from_utf8(&unpack_time(packed)).ok()),
            Self::Text(text) => told(Some(text)),
            Self::None | Self::Last => told(None),
        }
    }

    const fn rank(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Time(_) | Self::Text(_) => 1,
            Self::Last => 2,
        }
    }
}

impl PartialEq for SortKey<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for SortKey<'_> {}

impl PartialOrd for SortKey<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SortKey<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        match (*self, *other) {
            (Self::Time(one), Self::Time(other)) => one.cmp(&other),
            (Self::Text(one), Self::Text(other)) => one.cmp(other),
            (Self::Time(one), Self::Text(other)) => unpack_time(one).as_slice().cmp(other.as_bytes()),
            (Self::Text(one), Self::Time(other)) => one.as_bytes().cmp(unpack_time(other).as_slice()),
            (one, other) => one.rank().cmp(&other.rank()),
        }
    }
}

/// Reads what was packed here. Past the end it reads zeros.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packed<'a>(&'a [u8]);

impl<'a> Packed<'a> {
    /// An item's bytes, from which its parts are read in order: size, keys, attributes.
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn size(&mut self) -> usize {
        self.bytes(3).iter().rev().fold(0, |size, byte| size << 8 | usize::from(*byte))
    }

    /// Partition key and sort key.
    pub(super) fn keys(&mut self) -> (&'a str, SortKey<'a>) {
        let partition = self.text();
        let sort = match self.byte() {
            SORT_TIME => SortKey::Time(self.time()),
            SORT_TEXT => SortKey::Text(self.text()),
            SORT_LAST => SortKey::Last,
            _ => SortKey::None,
        };
        (partition, sort)
    }

    /// How many attributes follow.
    pub(super) fn count(&mut self) -> usize {
        usize::try_from(self.varint()).unwrap_or(0)
    }

    pub(super) fn name(&mut self) -> &'a str {
        match self.byte() {
            OTHER_NAME => self.text(),
            place => KNOWN_NAMES.get(usize::from(place)).copied().unwrap_or_default(),
        }
    }

    /// The next value, as it is kept.
    pub(super) fn value(&mut self) -> &'a [u8] {
        let before = self.0;
        // Telling it is the way past it.
        self.write_value(&mut Vec::new());
        before.get(..before.len() - self.0.len()).unwrap_or_default()
    }

    /// Writes the next value as JSON.
    pub(super) fn write_value(&mut self, out: &mut Vec<u8>) {
        match self.byte() {
            TEXT => {
                out.extend_from_slice(b"{\"S\":");
                write_string(self.text(), out);
            }
            UUID => {
                let bytes = <[u8; 16]>::try_from(self.bytes(16)).unwrap_or_default();
                let mut text = [0; 36];
                let text = uuid::Uuid::from_bytes(bytes).hyphenated().encode_lower(&mut text);
                out.extend_from_slice(b"{\"S\":\"");
                out.extend_from_slice(text.as_bytes());
                out.push(b'"');
            }
            TIME => {
                out.extend_from_slice(b"{\"S\":\"");
                out.extend_from_slice(&unpack_time(self.time()));
                out.push(b'"');
            }
            kind @ (NUMBER | NEGATIVE_NUMBER) => {
                out.extend_from_slice(b"{\"N\":\"");
                self.number(kind).write(out);
                out.push(b'"');
            }
            BINARY => {
                out.extend_from_slice(b"{\"B\":");
                write_string(self.text(), out);
            }
            TRUE => out.extend_from_slice(b"{\"BOOL\":true"),
            FALSE => out.extend_from_slice(b"{\"BOOL\":false"),
            NULL => out.extend_from_slice(b"{\"NULL\":true"),
            TEXT_SET => self.write_list(b"{\"SS\":[", out, |packed, out| write_string(packed.text(), out)),
            BINARY_SET => self.write_list(b"{\"BS\":[", out, |packed, out| write_string(packed.text(), out)),
            NUMBER_SET => self.write_list(b"{\"NS\":[", out, |packed, out| {
                out.push(b'"');
                let kind = packed.byte();
                packed.number(kind).write(out);
                out.push(b'"');
            }),
            LIST => self.write_list(b"{\"L\":[", out, Self::write_value),
            _ => {
                out.extend_from_slice(b"{\"M\":{");
                for place in 0..self.count() {
                    separate(place, out);
                    write_string(self.name(), out);
                    out.push(b':');
                    self.write_value(out);
                }
                out.push(b'}');
            }
        }
        out.push(b'}');
    }

    fn write_list(
        &mut self,
        begin: &[u8],
        out: &mut Vec<u8>,
        mut write: impl FnMut(&mut Self, &mut Vec<u8>),
    ) {
        out.extend_from_slice(begin);
        for place in 0..self.count() {
            separate(place, out);
            write(self, out);
        }
        out.push(b']');
    }

    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at_checked(count).unwrap_or_default();
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    fn varint(&mut self) -> u128 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = self.byte();
            value |= u128::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 || shift > 120 {
                return value;
            }
        }
    }

    fn text(&mut self) -> &'a str {
        let length = self.count();
        std::str::from_utf8(self.bytes(length)).unwrap_or_default()
    }

    fn time(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes(8).try_into().unwrap_or_default())
    }

    fn number(&mut self, kind: u8) -> Number {
        let exponent = i16::try_from(self.varint()).unwrap_or(0);
        // Zigzag: the small ones of both signs in one byte.
        let exponent = (exponent >> 1) ^ -(exponent & 1);
        Number { is_negative: kind == NEGATIVE_NUMBER, digits: self.varint(), exponent }
    }
}

/// A comma before every member of a JSON list but the first.
pub(super) fn separate(place: usize, out: &mut Vec<u8>) {
    if place > 0 {
        out.push(b',');
    }
}

pub(super) fn write_string(text: &str, out: &mut Vec<u8>) {
    if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(out, text);
    }
}

/// A sort key's text as an attribute value.
pub(super) fn write_sort_value(sort: SortKey<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"S\":");
    sort.with_text(|text| write_string(text.unwrap_or_default(), out));
    out.push(b'}');
}

const _: () = assert!(KNOWN_NAMES.len() < OTHER_NAME as usize);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamodb_stub::value::Attributes;

    const MODEL: &str = r#"{"BeaconID":{"S":"0db9ba02-25ee-562c-9dee-7afcb156cfba"},"Confidence":{"N":"0.8807971"},"ExpiresAt":{"N":"1809172800"},"Location":{"S":"Table 3"}}"#;

    fn packed(json: &str) -> Vec<u8> {
        let attributes: Attributes<'_> = serde_json::from_str(json).unwrap();
        let size = attributes.check().unwrap();
        let mut out = Vec::new();
        let keys = ("customer-0000042", SortKey::of("2026-05-01T12:00:00.000000Z"));
        pack(size, keys, &attributes, |_| false, &mut out);
        out
    }

    fn told(bytes: &[u8]) -> String {
        let mut packed = Packed::new(bytes);
        packed.size();
        packed.keys();
        let mut out = vec![b'{'];
        for place in 0..packed.count() {
            separate(place, &mut out);
            write_string(packed.name(), &mut out);
            out.push(b':');
            packed.write_value(&mut out);
        }
        out.push(b'}');
        assert!(packed.0.is_empty());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_item_of_the_model_takes_72_bytes_and_comes_back() {
        let bytes = packed(MODEL);
        assert_eq!(bytes.len(), 72);
        assert_eq!(told(&bytes), MODEL);
        let (partition, sort) = {
            let mut packed = Packed::new(&bytes);
            assert_eq!(packed.size(), 8 + 36 + 10 + 5 + 9 + 5 + 8 + 7);
            packed.keys()
        };
        assert_eq!(partition, "customer-0000042");
        assert!(sort.with_text(|text| text == Some("2026-05-01T12:00:00.000000Z")));
    }

    #[test]
    fn every_type_comes_back() {
        let json = r#"{"a":{"B":"AAEC"},"b":{"BOOL":true},"c":{"BOOL":false},"d":{"NULL":true},"e":{"SS":["x","y\"\n"]},"f":{"NS":["1","-2.5"]},"g":{"BS":["AA=="]},"h":{"L":[{"S":"x"},{"M":{"Location":{"S":"y"},"é":{"N":"100"}}}]},"i":{"S":"2026-05-01T12:00:00.000000Z"},"j":{"S":""},"k":{"M":{}},"l":{"N":"-12345678901234567890123456789012345678"}}"#;
        assert_eq!(told(&packed(json)), json);
    }

    #[test]
    fn sort_keys_are_ordered_as_their_texts() {
        let texts = [
            "",
            "2026",
            "2026-05-01T12:00:00.000000Z",
            "2026-05-01T12:00:00.000001Z",
            "2026-05-02",
            "suffixes",
        ];
        for (at, one) in texts.iter().enumerate() {
            for (other_at, other) in texts.iter().enumerate() {
                assert_eq!(SortKey::of(one).cmp(&SortKey::of(other)), at.cmp(&other_at), "{one} {other}");
            }
            assert!(SortKey::None < SortKey::of(one) && SortKey::of(one) < SortKey::Last);
        }
    }
}
