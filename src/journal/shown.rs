//! What was lost, in words for the log.

use std::fmt;

use super::recovery::{DamagedRange, TornTail};

impl fmt::Display for DamagedRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segment, from_byte, to_byte, first_number, end_number, first_identity, end_identity } =
            self;
        let identities = end_identity.saturating_sub(*first_identity);
        write!(
            f,
            "{}, bytes {from_byte}..{to_byte}: entries {first_number}..{end_number} with {identities} identities",
            segment.display()
        )
    }
}

impl fmt::Display for TornTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segment, from_byte, to_byte, first_number, end_number } = self;
        write!(f, "{}, bytes {from_byte}..{to_byte}: entries {first_number}..{end_number}", segment.display())
    }
}
