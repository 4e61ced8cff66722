//! Clones: the same tracks many times over, each time with other customers.

use std::collections::HashSet;

use beacon_protocol::MAX_CUSTOMER_ID_BYTES;

use crate::tracks::{Tracks, TracksError};

/// The longest valid CustomerID, in characters.
const CUSTOMER_ID_MAX_CHARS: usize = 64;

/// Between the file's customer id and the clone's number.
const SEPARATOR: char = '~';

/// A number of clones that was proven to give every customer of each clone an id of its own, valid where the
/// file's is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clones {
    count: u32,
}

impl Clones {
    /// Proves `count` clones of these tracks, the file itself being the first.
    ///
    /// # Errors
    /// An id that a clone's number makes invalid, uncarriable or equal to another of the file.
    pub(crate) fn new(tracks: &Tracks, count: u32) -> Result<Self, TracksError> {
        let highest = count.saturating_sub(1);
        if highest == 0 {
            return Ok(Self { count: 1 });
        }
        let suffix_len = suffix(highest).len();
        let ids: HashSet<&[u8]> = tracks.customers.iter().map(|customer| &*customer.id).collect();
        for customer in &tracks.customers {
            let length = customer.id.len() + suffix_len;
            let reason = if length > MAX_CUSTOMER_ID_BYTES && !customer.id.is_empty() {
                format!(
                    "clone {highest} would make it {length} bytes; the wire carries at most {MAX_CUSTOMER_ID_BYTES}"
                )
            } else if let Some(chars) = valid_chars(&customer.id)
                && chars + suffix_len > CUSTOMER_ID_MAX_CHARS
            {
                let length = chars + suffix_len;
                format!(
                    "clone {highest} would make it {length} characters; valid are at most {CUSTOMER_ID_MAX_CHARS}"
                )
            } else if let Some((original, clone)) = as_clone(&customer.id)
                && (1..=highest).contains(&clone)
                && ids.contains(original)
            {
                format!("it would also be clone {clone} of another customer of the file")
            } else {
                continue;
            };
            return Err(tracks.customer_error(customer, reason));
        }
        Ok(Self { count })
    }

    /// How many.
    pub(crate) const fn count(self) -> u32 {
        self.count
    }

    /// The most bytes by which a clone's id is longer than the file's.
    pub(crate) fn added_bytes(self) -> usize {
        match self.count - 1 {
            0 => 0,
            highest => suffix(highest).len(),
        }
    }
}

/// What `clone` adds to every id: nothing for clone 0.
pub(crate) fn suffix(clone: u32) -> String {
    match clone {
        0 => String::new(),
        clone => format!("{SEPARATOR}{clone}"),
    }
}

/// Appends the id of a clone's customer to `out`. An empty id stays empty: it is to stay invalid.
pub(crate) fn write_id(original: &[u8], suffix: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(original);
    if !original.is_empty() {
        out.extend_from_slice(suffix.as_bytes());
    }
}

/// Characters of a valid id.
fn valid_chars(id: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(id).ok()?;
    let chars = text.chars().count();
    ((1..=CUSTOMER_ID_MAX_CHARS).contains(&chars) && !text.chars().any(char::is_control)).then_some(chars)
}

/// Whose clone an id could be, and which.
fn as_clone(id: &[u8]) -> Option<(&[u8], u32)> {
    let at = id.iter().rposition(|&byte| char::from(byte) == SEPARATOR)?;
    let digits = std::str::from_utf8(&id[at + 1..]).ok()?;
    let clone = digits.parse().ok()?;
    (suffix(clone).as_bytes() == &id[at..]).then_some((&id[..at], clone))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracks(ids: &[&str]) -> Tracks {
        let mut csv = "detected_at_unix_us,customer_id,beacon_uuid,major,minor,rssi_dbm\n".to_owned();
        for id in ids {
            csv += &format!("1,{id},0db9ba02-25ee-562c-9dee-7afcb156cfba,1,2,-60\n");
        }
        Tracks::read(csv.as_bytes()).unwrap()
    }

    fn id(original: &str, clone: u32) -> String {
        let mut out = Vec::new();
        write_id(original.as_bytes(), &suffix(clone), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_first_clone_is_the_file_and_an_empty_id_stays_empty() {
        assert_eq!(id("ann", 0), "ann");
        assert_eq!(id("ann", 7), "ann~7");
        assert_eq!(id("", 7), "");
    }

    #[test]
    fn a_valid_id_that_would_become_too_long_is_refused_with_its_line() {
        let edge = "ü".repeat(62);
        assert!(Clones::new(&tracks(&["a", &edge]), 10).is_ok());
        let error = Clones::new(&tracks(&["a", &edge]), 11).unwrap_err();
        assert_eq!((error.line, error.column), (3, Some((2, "customer_id"))));
    }

    #[test]
    fn an_invalid_id_stays_invalid_and_must_only_fit_the_wire() {
        assert!(Clones::new(&tracks(&["", &"x".repeat(65), &"x".repeat(250)]), 1_000).is_ok());
        assert!(Clones::new(&tracks(&[&"x".repeat(252)]), 1_000).is_err());
        assert!(Clones::new(&tracks(&[&"x".repeat(255)]), 1).is_ok());
    }

    #[test]
    fn an_id_that_is_another_clone_of_the_file_is_refused() {
        assert_eq!(Clones::new(&tracks(&["a", "a~3"]), 4).unwrap_err().line, 3);
        assert!(Clones::new(&tracks(&["a", "a~3", "b~1", "a~03", "a~"]), 3).is_ok());
    }
}
