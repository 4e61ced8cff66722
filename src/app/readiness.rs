//! Whether the daemon should be given gateways, by its report.

use super::report::{Report, TroubleReport, WriterReport};
use crate::ops::Reason;

/// Why not: a reason a store that cannot be written to, and one while the daemon stops. Nothing else counts: without
/// its caches it is only slower, and a full queue empties itself.
pub(super) fn reasons(report: &Report, stopping: bool) -> Vec<Reason> {
    let stopping = stopping.then(|| Reason {
        code: "stopping",
        words: "it has been told to stop, and says goodbye to its gateways".into(),
    });
    let codes = ["record_trouble", "events_trouble"];
    let troubles = codes.into_iter().zip(&report.writers).filter_map(|(code, writer)| {
        let WriterReport { store, trouble: Some(trouble), .. } = writer else { return None };
        let TroubleReport { kind, reason, seconds } = trouble;
        Some(Reason { code, words: format!("{store} is {kind} for {seconds} s: {reason}") })
    });
    stopping.into_iter().chain(troubles).collect()
}
