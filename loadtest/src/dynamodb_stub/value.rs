//! Attribute values as requests carry them: borrowed from the body, checked as the service does.

use std::borrow::{Borrow, Cow};
use std::collections::HashSet;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::number::Number;
use super::refusal::{Refusal, RefusalKind};

/// Lists and maps within one another at most.
const MAX_DEPTH: usize = 32;

/// Text that is borrowed where it has no escapes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

impl Text<'_> {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Text<'_> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// An attribute's value, not checked yet.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    S(Text<'a>),
    N(Text<'a>),
    /// In base64, as it stands in the request.
    B(Text<'a>),
    Bool(bool),
    Null(bool),
    SS(Vec<Text<'a>>),
    NS(Vec<Text<'a>>),
    BS(Vec<Text<'a>>),
    L(Vec<Value<'a>>),
    M(Attributes<'a>),
    /// Without a type.
    Empty,
    /// With more than one.
    Several,
}

/// Attributes by name, sorted; of equal names the last.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Attributes<'a>(Vec<(Text<'a>, Value<'a>)>);

impl<'a> Attributes<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&Value<'a>> {
        let at = self.0.binary_search_by(|(other, _)| other.as_str().cmp(name)).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Checks every value; answers how large they are, names included, as the service counts.
    pub(super) fn check(&self) -> Result<usize, Refusal> {
        self.check_within(0)
    }

    fn check_within(&self, depth: usize) -> Result<usize, Refusal> {
        self.iter().try_fold(0, |size, (name, value)| Ok(size + name.len() + value.check(depth)?))
    }
}

impl Value<'_> {
    /// The type's name in a request.
    pub(super) const fn type_name(&self) -> &'static str {
        match self {
            Self::S(_) => "S",
            Self::N(_) => "N",
            Self::B(_) => "B",
            Self::Bool(_) => "BOOL",
            Self::Null(_) => "NULL",
            Self::SS(_) => "SS",
            Self::NS(_) => "NS",
            Self::BS(_) => "BS",
            Self::L(_) => "L",
            Self::M(_) => "M",
            Self::Empty | Self::Several => "",
        }
    }

    /// Whether it is what it says; answers its size as the service counts.
    pub(super) fn check(&self, depth: usize) -> Result<usize, Refusal> {
        match self {
            Self::S(text) => Ok(text.as_str().len()),
            Self::N(text) => Ok(Number::parse(text.as_str())?.size()),
            Self::B(text) => binary_size(text.as_str()),
            Self::Bool(_) | Self::Null(true) => Ok(1),
            Self::Null(false) => {
                Err(Refusal::invalid("Null attribute value types must have the value of true"))
            }
            Self::SS(texts) => set(texts, "An string set  may not be empty", |text| Ok(text.len())),
            Self::NS(texts) => {
                set(texts, "An number set  may not be empty", |text| Ok(Number::parse(text)?.size()))
            }
            Self::BS(texts) => set(texts, "Binary sets should not be empty", binary_size),
            Self::L(_) | Self::M(_) if depth == MAX_DEPTH => {
                Err(Refusal::validation("Nesting Levels have exceeded supported limits"))
            }
            Self::L(values) => {
                values.iter().try_fold(3, |size, value| Ok(size + 1 + value.check(depth + 1)?))
            }
            Self::M(attributes) => Ok(3 + attributes.len() + attributes.check_within(depth + 1)?),
            Self::Empty => Err(Refusal::validation(
                "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes",
            )),
            Self::Several => Err(Refusal::validation(
                "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported \
                 datatypes",
            )),
        }
    }
}

fn binary_size(text: &str) -> Result<usize, Refusal> {
    let bytes = STANDARD.decode(text);
    bytes.map(|bytes| bytes.len()).map_err(|_| {
        Refusal::new(
            RefusalKind::Serialization,
            "a binary value cannot be converted to a Blob: it is no base64",
        )
    })
}

fn set(
    members: &[Text<'_>],
    when_empty: &'static str,
    size: impl Fn(&str) -> Result<usize, Refusal>,
) -> Result<usize, Refusal> {
    if members.is_empty() {
        return Err(Refusal::invalid(when_empty));
    }
    let distinct: HashSet<_> = members.iter().map(Text::as_str).collect();
    if distinct.len() < members.len() {
        return Err(Refusal::invalid("Input collection contains duplicates."));
    }
    members.iter().try_fold(0, |sum, member| Ok(sum + size(member.as_str())?))
}

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an attribute value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
        let mut value = Value::Empty;
        while let Some(kind) = map.next_key::<Text<'de>>()? {
            let next = match kind.as_str() {
                "S" => map.next_value::<Option<_>>()?.map(Value::S),
                "N" => map.next_value::<Option<_>>()?.map(Value::N),
                "B" => map.next_value::<Option<_>>()?.map(Value::B),
                "BOOL" => map.next_value::<Option<_>>()?.map(Value::Bool),
                "NULL" => map.next_value::<Option<_>>()?.map(Value::Null),
                "SS" => map.next_value::<Option<_>>()?.map(Value::SS),
                "NS" => map.next_value::<Option<_>>()?.map(Value::NS),
                "BS" => map.next_value::<Option<_>>()?.map(Value::BS),
                "L" => map.next_value::<Option<_>>()?.map(Value::L),
                "M" => map.next_value::<Option<_>>()?.map(Value::M),
                _ => map.next_value::<IgnoredAny>().map(|_| None)?,
            };
            if let Some(next) = next {
                value = if matches!(value, Value::Empty) { next } else { Value::Several };
            }
        }
        Ok(value)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Attributes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AttributesVisitor)
    }
}

struct AttributesVisitor;

impl<'de> Visitor<'de> for AttributesVisitor {
    type Value = Attributes<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("attributes by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Attributes<'de>, A::Error> {
        // An item of the model has six.
        let mut attributes: Vec<(Text<'de>, Value<'de>)> = Vec::with_capacity(6);
        while let Some(attribute) = map.next_entry()? {
            attributes.push(attribute);
        }
        attributes.sort_by(|(one, _), (other, _)| one.cmp(other));
        attributes.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
        Ok(Attributes(attributes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Attributes<'_> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn values_are_borrowed_and_of_equal_names_the_last_stays() {
        let item = read(r#"{"b":{"S":"x"},"a":{"N":"1"},"b":{"S":"y"}}"#);
        let Some(Value::S(Text(Cow::Borrowed("y")))) = item.get("b") else { panic!("{item:?}") };
        assert_eq!(item.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn sizes_are_the_services() {
        let size = |json| read(json).check().unwrap();
        assert_eq!(size(r#"{"name":{"S":"äb"}}"#), 4 + 3);
        assert_eq!(size(r#"{"n":{"N":"-12.5"}}"#), 1 + 4);
        assert_eq!(size(r#"{"b":{"B":"AAAA"},"t":{"BOOL":true},"z":{"NULL":true}}"#), 1 + 3 + 2 + 2);
        assert_eq!(size(r#"{"l":{"L":[{"S":"a"}]},"m":{"M":{"k":{"S":"v"}}}}"#), 1 + 5 + 1 + 6);
        assert_eq!(size(r#"{"s":{"SS":["a","bc"]},"n":{"NS":["1","22"]}}"#), 1 + 3 + 1 + 4);
    }

    #[test]
    fn a_value_that_is_not_what_it_says_is_refused() {
        for (json, reason) in [
            (r#"{"a":{}}"#, "is empty, must contain exactly one"),
            (r#"{"a":{"X":"1"}}"#, "is empty, must contain exactly one"),
            (r#"{"a":{"S":"1","N":"1"}}"#, "more than one datatypes set"),
            (r#"{"a":{"N":"one"}}"#, "numeric value: one"),
            (r#"{"a":{"NULL":false}}"#, "must have the value of true"),
            (r#"{"a":{"SS":[]}}"#, "string set"),
            (r#"{"a":{"SS":["b","b"]}}"#, "contains duplicates"),
            (r#"{"a":{"B":"?"}}"#, "no base64"),
            (r#"{"a":{"M":{"b":{"N":""}}}}"#, "numeric value"),
        ] {
            let refusal = read(json).check().unwrap_err();
            assert!(refusal.message.contains(reason), "{json}: {}", refusal.message);
        }
        let nested =
            |depth| format!(r#"{{"a":{}{{"S":"x"}}{}}}"#, r#"{"L":["#.repeat(depth), "]}".repeat(depth));
        assert!(read(&nested(32)).check().is_ok());
        assert!(read(&nested(33)).check().is_err());
    }
}
