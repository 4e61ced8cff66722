//! The expressions of a request: key conditions, projections, and the one condition of a put that is known here.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::refusal::Refusal;
use super::value::{Text, Value};

/// As long as the service lets one be.
const MAX_BYTES: usize = 4_096;

/// Names and values that expressions refer to.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct References<'a> {
    #[serde(borrow)]
    expression_attribute_names: Option<BTreeMap<Text<'a>, Text<'a>>>,
    #[serde(borrow)]
    expression_attribute_values: Option<BTreeMap<Text<'a>, Value<'a>>>,
}

/// One condition on one key.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition<'a> {
    pub(super) name: String,
    pub(super) test: Test<'a>,
}

/// What a key must be.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Test<'a> {
    Equal(&'a Value<'a>),
    Less(&'a Value<'a>),
    LessOrEqual(&'a Value<'a>),
    Greater(&'a Value<'a>),
    GreaterOrEqual(&'a Value<'a>),
    Between(&'a Value<'a>, &'a Value<'a>),
    BeginsWith(&'a Value<'a>),
}

/// Reads the expressions of one request; what is not referred to is refused at the end, as the service does.
#[derive(Debug)]
pub(super) struct Expressions<'a> {
    references: &'a References<'a>,
    names_used: BTreeSet<String>,
    values_used: BTreeSet<String>,
}

impl<'a> Expressions<'a> {
    pub(super) fn new(references: &'a References<'a>) -> Self {
        Self { references, names_used: BTreeSet::new(), values_used: BTreeSet::new() }
    }

    /// `CustomerID = :id AND DetectedAt BETWEEN :from AND :to`, and so on.
    pub(super) fn key_conditions(&mut self, text: &str) -> Result<Vec<Condition<'a>>, Refusal> {
        let kind = "KeyConditionExpression";
        let mut tokens = Tokens::of(kind, text)?;
        let mut conditions = vec![self.condition(&mut tokens)?];
        while tokens.take_word("AND") {
            conditions.push(self.condition(&mut tokens)?);
        }
        tokens.end()?;
        Ok(conditions)
    }

    /// The names of a projection.
    pub(super) fn projection(&mut self, text: &str) -> Result<Vec<String>, Refusal> {
        let mut tokens = Tokens::of("ProjectionExpression", text)?;
        let mut names = vec![self.name(&mut tokens)?];
        while tokens.take(",") {
            names.push(self.name(&mut tokens)?);
        }
        tokens.end()?;
        Ok(names)
    }

    /// `attribute_exists(NAME)` or `attribute_not_exists(NAME)`: the name, and whether it must be there.
    pub(super) fn existence(&mut self, text: &str) -> Result<(String, bool), Refusal> {
        let mut tokens = Tokens::of("ConditionExpression", text)?;
        let must_be_there = match tokens.next()? {
            "attribute_exists" => true,
            "attribute_not_exists" => false,
            _ => {
                return Err(Refusal::not_here(
                    "conditions other than attribute_exists(KEY) and attribute_not_exists(KEY)",
                ));
            }
        };
        tokens.expect("(")?;
        let name = self.name(&mut tokens)?;
        tokens.expect(")")?;
        tokens.end()?;
        Ok((name, must_be_there))
    }

    /// Refuses names and values that no expression refers to.
    pub(super) fn end(self) -> Result<(), Refusal> {
        let unused = |what: &str, given: Vec<&str>, used: &BTreeSet<String>| {
            let unused: Vec<_> = given.into_iter().filter(|name| !used.contains(*name)).collect();
            if unused.is_empty() {
                return Ok(());
            }
            Err(Refusal::validation(format!(
                "Value provided in {what} unused in expressions: keys: {{{}}}",
                unused.join(", ")
            )))
        };
        let names = self.references.expression_attribute_names.iter().flat_map(|names| names.keys());
        let values = self.references.expression_attribute_values.iter().flat_map(|values| values.keys());
        unused("ExpressionAttributeNames", names.map(Text::as_str).collect(), &self.names_used)?;
        unused("ExpressionAttributeValues", values.map(Text::as_str).collect(), &self.values_used)
    }

    fn condition(&mut self, tokens: &mut Tokens<'_>) -> Result<Condition<'a>, Refusal> {
        if tokens.take("(") {
            let condition = self.condition(tokens)?;
            tokens.expect(")")?;
            return Ok(condition);
        }
        if tokens.take("begins_with") {
            tokens.expect("(")?;
            let name = self.name(tokens)?;
            tokens.expect(",")?;
            let test = Test::BeginsWith(self.value(tokens)?);
            tokens.expect(")")?;
            return Ok(Condition { name, test });
        }
        let name = self.name(tokens)?;
        if tokens.take_word("BETWEEN") {
            let low = self.value(tokens)?;
            if !tokens.take_word("AND") {
                return Err(tokens.unexpected());
            }
            return Ok(Condition { name, test: Test::Between(low, self.value(tokens)?) });
        }
        let test = match tokens.next()? {
            "=" => Test::Equal,
            "<" => Test::Less,
            "<=" => Test::LessOrEqual,
            ">" => Test::Greater,
            ">=" => Test::GreaterOrEqual,
            _ => {
                tokens.back();
                return Err(tokens.unexpected());
            }
        };
        Ok(Condition { name, test: test(self.value(tokens)?) })
    }

    fn name(&mut self, tokens: &mut Tokens<'_>) -> Result<String, Refusal> {
        let token = tokens.next()?;
        if !token.starts_with('#') {
            if token.starts_with(|first: char| first.is_alphanumeric() || first == '_') {
                return Ok(token.to_owned());
            }
            tokens.back();
            return Err(tokens.unexpected());
        }
        let names = self.references.expression_attribute_names.as_ref();
        let name = names.and_then(|names| names.get(token)).ok_or_else(|| {
            tokens.invalid(&format!(
                "An expression attribute name used in the document path is not defined; attribute name: {token}"
            ))
        })?;
        self.names_used.insert(token.to_owned());
        Ok(name.as_str().to_owned())
    }

    fn value(&mut self, tokens: &mut Tokens<'_>) -> Result<&'a Value<'a>, Refusal> {
        let token = tokens.next()?;
        if !token.starts_with(':') {
            tokens.back();
            return Err(tokens.unexpected());
        }
        let values = self.references.expression_attribute_values.as_ref();
        let value = values.and_then(|values| values.get(token)).ok_or_else(|| {
            tokens.invalid(&format!(
                "An expression attribute value used in expression is not defined; attribute value: {token}"
            ))
        })?;
        self.values_used.insert(token.to_owned());
        value.check(0)?;
        Ok(value)
    }
}

/// An expression's words and signs.
struct Tokens<'t> {
    kind: &'static str,
    tokens: Vec<&'t str>,
    at: usize,
}

impl<'t> Tokens<'t> {
    fn of(kind: &'static str, text: &'t str) -> Result<Self, Refusal> {
        let mut tokens = Self { kind, tokens: Vec::new(), at: 0 };
        if text.len() > MAX_BYTES {
            return Err(tokens.invalid("Expression size has exceeded the maximum allowed size;"));
        }
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let is_word = |one: char| one.is_alphanumeric() || matches!(one, '_' | '#' | ':' | '-' | '.');
            let length = match first {
                _ if is_word(first) => rest.find(|one| !is_word(one)).unwrap_or(rest.len()),
                '<' | '>' if rest[1..].starts_with(['=', '>']) => 2,
                _ => first.len_utf8(),
            };
            let (token, after) = rest.split_at(length);
            tokens.tokens.push(token);
            rest = after.trim_start();
        }
        if tokens.tokens.is_empty() {
            return Err(tokens.invalid("The expression can not be empty;"));
        }
        Ok(tokens)
    }

    fn next(&mut self) -> Result<&'t str, Refusal> {
        let token = self.tokens.get(self.at).copied().ok_or_else(|| self.unexpected())?;
        self.at += 1;
        Ok(token)
    }

    fn back(&mut self) {
        self.at -= 1;
    }

    fn take(&mut self, wanted: &str) -> bool {
        let is_next = self.tokens.get(self.at) == Some(&wanted);
        self.at += usize::from(is_next);
        is_next
    }

    fn take_word(&mut self, wanted: &str) -> bool {
        let is_next = self.tokens.get(self.at).is_some_and(|token| token.eq_ignore_ascii_case(wanted));
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, wanted: &str) -> Result<(), Refusal> {
        if self.take(wanted) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn end(&self) -> Result<(), Refusal> {
        if self.at == self.tokens.len() { Ok(()) } else { Err(self.unexpected()) }
    }

    fn unexpected(&self) -> Refusal {
        let token = self.tokens.get(self.at).copied().unwrap_or("<EOF>");
        let near: Vec<_> = self.tokens.iter().skip(self.at.saturating_sub(1)).take(3).copied().collect();
        self.invalid(&format!("Syntax error; token: \"{token}\", near: \"{}\"", near.join(" ")))
    }

    fn invalid(&self, reason: &str) -> Refusal {
        Refusal::validation(format!("Invalid {}: {reason}", self.kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references(json: &str) -> References<'_> {
        serde_json::from_str(json).unwrap()
    }

    const BOTH: &str = r##"{"ExpressionAttributeNames":{"#at":"DetectedAt"},
        "ExpressionAttributeValues":{":id":{"S":"c"},":a":{"S":"1"},":b":{"S":"2"}}}"##;

    #[test]
    fn every_form_of_a_key_condition_is_read() {
        let references = references(BOTH);
        let read = |text: &str| {
            let conditions = Expressions::new(&references).key_conditions(text).unwrap();
            conditions.into_iter().map(|it| (it.name, it.test)).collect::<Vec<_>>()
        };
        let [id, a, b] =
            [":id", ":a", ":b"].map(|name| &references.expression_attribute_values.as_ref().unwrap()[name]);
        let with = |test| vec![("CustomerID".to_owned(), Test::Equal(id)), ("DetectedAt".to_owned(), test)];
        assert_eq!(read("CustomerID=:id"), [("CustomerID".to_owned(), Test::Equal(id))]);
        assert_eq!(read("CustomerID = :id and #at between :a AND :b"), with(Test::Between(a, b)));
        assert_eq!(read("(CustomerID = :id) AND (begins_with(#at, :a))"), with(Test::BeginsWith(a)));
        assert_eq!(read("CustomerID = :id AND DetectedAt >= :a"), with(Test::GreaterOrEqual(a)));
        assert_eq!(read("CustomerID = :id AND #at<:b"), with(Test::Less(b)));
        assert_eq!(read("CustomerID = :id AND #at <= :b"), with(Test::LessOrEqual(b)));
        assert_eq!(read("CustomerID = :id AND #at > :b"), with(Test::Greater(b)));
    }

    #[test]
    fn what_is_wrong_or_not_used_is_named() {
        let references = references(BOTH);
        for (text, reason) in [
            ("", "The expression can not be empty"),
            ("CustomerID", "Syntax error; token: \"<EOF>\""),
            ("CustomerID = id", "Syntax error; token: \"id\", near: \"= id\""),
            ("CustomerID = :no", "not defined; attribute value: :no"),
            ("#no = :id", "not defined; attribute name: #no"),
            ("CustomerID = :id OR #at = :a", "Syntax error; token: \"OR\""),
            ("CustomerID <> :id", "Syntax error; token: \"<>\""),
        ] {
            let refusal = Expressions::new(&references).key_conditions(text).unwrap_err();
            assert!(refusal.message.contains(reason), "{text}: {}", refusal.message);
        }
        let mut expressions = Expressions::new(&references);
        expressions.key_conditions("CustomerID = :id AND #at = :a").unwrap();
        let unused = "Value provided in ExpressionAttributeValues unused in expressions: keys: {:b}";
        assert_eq!(expressions.end().unwrap_err().message, unused);
    }

    #[test]
    fn projections_and_the_condition_of_a_put_are_read() {
        let references = references(r##"{"ExpressionAttributeNames":{"#at":"DetectedAt"}}"##);
        let mut expressions = Expressions::new(&references);
        assert_eq!(expressions.projection("CustomerID, #at").unwrap(), ["CustomerID", "DetectedAt"]);
        assert_eq!(
            expressions.existence("attribute_not_exists(#at)").unwrap(),
            ("DetectedAt".to_owned(), false)
        );
        assert!(expressions.existence("#at = :a").unwrap_err().message.contains("does not do conditions"));
        expressions.end().unwrap();
    }
}
