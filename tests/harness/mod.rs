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

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant, SystemTime};

/// How long anything of a test may take that does not depend on how much there is to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How long to leave something in peace that is being waited for and cannot tell.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// The machine's wall clock, which is the daemon's too.
pub(crate) fn now_us() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "sightings are to be of now by the daemon's own clock")]
    let now = SystemTime::now();
    let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(since_epoch.as_micros()).unwrap()
}

/// A name that nobody else has given anything in an engine that tests share.
pub(crate) fn unique_name(what: &str) -> String {
    format!("{what}_{:016x}", RandomState::new().build_hasher().finish())
}

/// Looks again and again until there is something to see.
///
/// # Errors
/// When there is nothing in time.
pub(crate) fn wait_until<T>(mut look: impl FnMut() -> Option<T>) -> Result<T, &'static str> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return Ok(seen);
        }
        if Instant::now() > deadline {
            return Err("it never came");
        }
        std::thread::park_timeout(BETWEEN_LOOKS);
    }
}
