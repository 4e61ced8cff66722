//! What time it is by the wall clock of this machine, which is the daemon's unless it is deceived.

use std::time::SystemTime;

/// Microseconds since 1970, UTC.
#[expect(
    clippy::disallowed_methods,
    reason = "sightings are of now, and nothing else here reads the wall clock"
)]
pub(crate) fn now_us() -> i64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX)
}
