//! From conditions on keys to the range of entries that meet them.

use std::ops::Bound;

use crate::dynamodb_stub::expression::{Condition, Test};
use crate::dynamodb_stub::packed::SortKey;
use crate::dynamodb_stub::refusal::Refusal;
use crate::dynamodb_stub::shelf::Entry;
use crate::dynamodb_stub::table::Table;
use crate::dynamodb_stub::value::Value;

pub(super) fn missed(name: &str) -> Refusal {
    Refusal::validation(format!("Query condition missed key schema element: {name}"))
}

/// The partition that is asked for, and what its sort keys must be.
pub(super) fn partition_and_sort<'c>(
    table: &Table,
    conditions: &'c [Condition<'c>],
) -> Result<(&'c str, Option<&'c Test<'c>>), Refusal> {
    let mut names = table.key_names();
    let (partition_name, sort_name) = (names.next().unwrap_or_default(), names.next());
    let of = |name: &str| conditions.iter().find(|condition| condition.name == name);
    if conditions.len() > 2 {
        return Err(Refusal::validation("Conditions can be of length 1 or 2 only"));
    }
    let partition = of(partition_name).ok_or_else(|| missed(partition_name))?;
    let partition = match &partition.test {
        Test::Equal(value) => text(value)?,
        _ => return Err(Refusal::validation("Query key condition not supported")),
    };
    let sort = sort_name.and_then(of).map(|condition| &condition.test);
    if conditions.len() == 2 && sort.is_none() {
        return Err(missed(sort_name.unwrap_or(partition_name)));
    }
    Ok((partition, sort))
}

fn text<'v>(value: &'v Value<'_>) -> Result<&'v str, Refusal> {
    match value {
        Value::S(text) => Ok(text.as_str()),
        _ => Err(Refusal::invalid("Condition parameter type does not match schema type")),
    }
}

/// The range of keys that a test of the sort key leaves.
pub(super) fn sort_range(
    partition: &str,
    test: Option<&Test<'_>>,
) -> Result<(Bound<Entry>, Bound<Entry>), Refusal> {
    let at = |text: &str| Entry::key(partition, SortKey::of(text));
    let first = || Bound::Included(Entry::key(partition, SortKey::None));
    let last = || Bound::Included(Entry::key(partition, SortKey::Last));
    Ok(match test {
        None => (first(), last()),
        Some(Test::Equal(value)) => (Bound::Included(at(text(value)?)), Bound::Included(at(text(value)?))),
        Some(Test::Less(value)) => (first(), Bound::Excluded(at(text(value)?))),
        Some(Test::LessOrEqual(value)) => (first(), Bound::Included(at(text(value)?))),
        Some(Test::Greater(value)) => (Bound::Excluded(at(text(value)?)), last()),
        Some(Test::GreaterOrEqual(value)) => (Bound::Included(at(text(value)?)), last()),
        Some(Test::Between(low, high)) => {
            let (low, high) = (text(low)?, text(high)?);
            if low > high {
                return Err(Refusal::validation(
                    "Invalid KeyConditionExpression: The BETWEEN operator requires upper bound to be greater than or \
                     equal to lower bound",
                ));
            }
            (Bound::Included(at(low)), Bound::Included(at(high)))
        }
        Some(Test::BeginsWith(value)) => {
            let prefix = text(value)?;
            let end = after_prefix(prefix).map_or_else(last, |end| Bound::Excluded(at(&end)));
            (Bound::Included(at(prefix)), end)
        }
    })
}

/// The first text that is after all that begin so; none if there is none.
fn after_prefix(prefix: &str) -> Option<String> {
    let mut end: Vec<char> = prefix.chars().collect();
    while let Some(last) = end.pop() {
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            end.push(next);
            return Some(end.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_after_all_that_begin_so() {
        assert_eq!(after_prefix("2026-05").as_deref(), Some("2026-06"));
        assert_eq!(after_prefix("a\u{10FFFF}").as_deref(), Some("b"));
        assert_eq!(after_prefix("\u{D7FF}").as_deref(), Some("\u{E000}"));
        assert_eq!(after_prefix("\u{10FFFF}"), None);
    }
}
