//! A customer's preferences, of which each key changes only for a newer one.

use super::customer::CustomerId;
use super::outcome::InvalidField;
use super::time::Timestamp;

/// The longest preference key, in characters.
pub const PREFERENCE_KEY_MAX_CHARS: usize = 64;

/// The longest preference value, in bytes.
pub const PREFERENCE_VALUE_MAX_BYTES: usize = 1024;

/// Some of a customer's preferences, as they were at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreferenceChange {
    /// Whose.
    pub customer_id: CustomerId,
    /// When they were so; a key held with a later time, or the same, stays as it is.
    pub updated_at: Timestamp,
    /// Key and value, in the order sent; a later pair of the same key wins.
    pub pairs: Vec<(String, String)>,
}

impl PreferenceChange {
    /// Takes a change as it came over the wire.
    ///
    /// # Errors
    /// The first field that breaks its rule.
    pub fn from_claim<'a>(
        customer_id: &[u8],
        updated_at: Timestamp,
        pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<Self, InvalidField> {
        let customer_id = CustomerId::from_bytes(customer_id)?;
        if !updated_at.has_text() {
            return Err(InvalidField::UpdatedAt);
        }
        let pairs = pairs
            .map(|(key, value)| Ok((preference_key(key)?, preference_value(value)?)))
            .collect::<Result<Vec<_>, InvalidField>>()?;
        Ok(Self { customer_id, updated_at, pairs })
    }
}

fn preference_key(bytes: &[u8]) -> Result<String, InvalidField> {
    let key = std::str::from_utf8(bytes).map_err(|_| InvalidField::PreferenceKey)?;
    let chars = key.chars().count();
    if chars == 0 || chars > PREFERENCE_KEY_MAX_CHARS || key.chars().any(char::is_control) {
        return Err(InvalidField::PreferenceKey);
    }
    Ok(key.to_owned())
}

fn preference_value(bytes: &[u8]) -> Result<String, InvalidField> {
    let value = std::str::from_utf8(bytes).map_err(|_| InvalidField::PreferenceValue)?;
    // PostgreSQL's JSONB cannot hold a NUL character, so no store is given one.
    if value.len() > PREFERENCE_VALUE_MAX_BYTES || value.contains('\0') {
        return Err(InvalidField::PreferenceValue);
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(key: &[u8], value: &[u8]) -> Result<PreferenceChange, InvalidField> {
        PreferenceChange::from_claim(b"c", Timestamp::from_micros(0), [(key, value)].into_iter())
    }

    #[test]
    fn the_first_broken_rule_is_named() {
        assert_eq!(change(b"", b"v"), Err(InvalidField::PreferenceKey));
        assert_eq!(change(&[b'k'; 65], b"v"), Err(InvalidField::PreferenceKey));
        assert_eq!(change(b"k\n", b"v"), Err(InvalidField::PreferenceKey));
        assert_eq!(change(b"k", b"v\0"), Err(InvalidField::PreferenceValue));
        assert_eq!(change(b"k", &[0xff]), Err(InvalidField::PreferenceValue));
        assert_eq!(change(b"k", &[b'v'; 1025]), Err(InvalidField::PreferenceValue));
        assert!(change(b"k", b"").is_ok());
        let far = Timestamp::from_micros(i64::MAX);
        assert_eq!(PreferenceChange::from_claim(b"c", far, std::iter::empty()), Err(InvalidField::UpdatedAt));
    }
}
