//! The wall clock, read in one place.

use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since the Unix epoch, now; 0 before it.
pub(crate) fn now_us() -> i64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "recorded times are moved to now, and a boot epoch must be new"
    )]
    let now = SystemTime::now();
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
