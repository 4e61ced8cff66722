//! The built programs started as processes, and gateways that speak to the daemon byte by byte.

pub(crate) mod daemon;
pub(crate) mod frames;
pub(crate) mod home;
pub(crate) mod ledger;
pub(crate) mod lines;
pub(crate) mod replay;
pub(crate) mod reply;
pub(crate) mod store;
pub(crate) mod tcp;
pub(crate) mod udp;

use std::time::{Duration, SystemTime};

/// How long anything of a test may take that does not depend on how much there is to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The machine's wall clock, which is the daemon's too.
pub(crate) fn now_us() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "sightings are to be of now by the daemon's own clock")]
    let now = SystemTime::now();
    let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(since_epoch.as_micros()).unwrap()
}
