//! The customer: the one a sighting is about.

use std::collections::BTreeMap;
use std::fmt;

use compact_str::CompactString;

use super::outcome::InvalidField;
use super::time::Timestamp;

/// The longest CustomerID, in characters (the width of `customers.customer_id`).
pub const CUSTOMER_ID_MAX_CHARS: usize = 64;

/// A CustomerID: 1 to 64 characters, none of them a control character.
///
/// Ids of up to 24 bytes are held without an allocation. It is personal data: its `Debug` form is redacted, so that
/// no log line can carry it by accident.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CustomerId(CompactString);

impl CustomerId {
    /// Takes a CustomerID as it came over the wire.
    ///
    /// # Errors
    /// Which rule it breaks: empty, too long, control characters, not UTF-8.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidField> {
        Self::validate_bytes(bytes).map(|text| Self(CompactString::new(text)))
    }

    /// Checks the rules of [`Self::from_bytes`] without making one: a duplicate needs no copy of its id.
    ///
    /// # Errors
    /// As [`Self::from_bytes`].
    pub fn validate_bytes(bytes: &[u8]) -> Result<&str, InvalidField> {
        if bytes.is_empty() {
            return Err(InvalidField::CustomerIdEmpty);
        }
        // Printable ASCII of a lawful length, nearly all there is, needs one pass and no decoding.
        if bytes.len() <= CUSTOMER_ID_MAX_CHARS && bytes.iter().all(|byte| (0x20..0x7f).contains(byte)) {
            return std::str::from_utf8(bytes).map_err(|_| InvalidField::CustomerIdNotUtf8);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| InvalidField::CustomerIdNotUtf8)?;
        if text.chars().count() > CUSTOMER_ID_MAX_CHARS {
            return Err(InvalidField::CustomerIdTooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidField::CustomerIdControlCharacters);
        }
        Ok(text)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for CustomerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomerId(redacted)")
    }
}

/// A customer, the root of the aggregate [`super::identity::CustomerIdentity`] belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    /// Who.
    pub id: CustomerId,
    /// When last identified; only moves forward.
    pub last_seen: Timestamp,
    /// What the customer prefers, by key.
    pub preferences: BTreeMap<String, String>,
}

impl Customer {
    /// A customer first heard of at `last_seen`.
    #[must_use]
    pub fn new(id: CustomerId, last_seen: Timestamp) -> Self {
        Self { id, last_seen, preferences: BTreeMap::new() }
    }

    /// Notes an identification: `last_seen` moves forward, never back.
    pub fn identified_at(&mut self, detected_at: Timestamp) {
        self.last_seen = self.last_seen.max(detected_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_of_a_customer_id_is_named_when_broken() {
        assert_eq!(CustomerId::from_bytes(b""), Err(InvalidField::CustomerIdEmpty));
        assert_eq!(CustomerId::from_bytes(&[b'a'; 65]), Err(InvalidField::CustomerIdTooLong));
        assert_eq!(CustomerId::from_bytes(b"a\nb"), Err(InvalidField::CustomerIdControlCharacters));
        assert_eq!(CustomerId::from_bytes(b"a\0b"), Err(InvalidField::CustomerIdControlCharacters));
        assert_eq!(
            CustomerId::from_bytes("a\u{85}b".as_bytes()),
            Err(InvalidField::CustomerIdControlCharacters)
        );
        assert_eq!(CustomerId::from_bytes(&[0xff, b'a']), Err(InvalidField::CustomerIdNotUtf8));
    }

    #[test]
    fn length_counts_characters_not_bytes() {
        let id = "é".repeat(64);
        assert_eq!(CustomerId::from_bytes(id.as_bytes()).map(|id| id.as_str().len()), Ok(128));
        assert_eq!(CustomerId::from_bytes("é".repeat(65).as_bytes()), Err(InvalidField::CustomerIdTooLong));
    }

    #[test]
    fn debug_form_does_not_show_the_id() {
        let id = CustomerId::from_bytes(b"alice").unwrap();
        assert!(!format!("{id:?}").contains("alice"));
    }

    #[test]
    fn last_seen_only_moves_forward() {
        let mut customer = Customer::new(CustomerId::from_bytes(b"c").unwrap(), Timestamp::from_micros(10));
        customer.identified_at(Timestamp::from_micros(5));
        assert_eq!(customer.last_seen.as_micros(), 10);
        customer.identified_at(Timestamp::from_micros(11));
        assert_eq!(customer.last_seen.as_micros(), 11);
    }
}
