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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::report::{DirectoryReport, WindowReport};
    use crate::listen::ListenCounts;
    use crate::pipeline::Ledger;

    fn report(events: Option<TroubleReport>) -> Report {
        Report {
            version: "1".into(),
            uptime_s: 1,
            ledger: Ledger::default(),
            imbalance: None,
            listeners: ListenCounts::default(),
            writers: vec![
                WriterReport { store: "postgres".into(), ..WriterReport::default() },
                WriterReport { store: "dynamodb".into(), trouble: events, ..WriterReport::default() },
            ],
            queued_rows: 0,
            window: WindowReport::default(),
            beacons: DirectoryReport::default(),
            gateways: DirectoryReport::default(),
        }
    }

    #[test]
    fn daemon_is_ready_until_a_store_is_in_trouble_or_it_stops() {
        assert_eq!(reasons(&report(None), false), []);
        let stopping: Vec<_> = reasons(&report(None), true).iter().map(|reason| reason.code).collect();
        assert_eq!(stopping, ["stopping"]);
        let trouble = TroubleReport { kind: "unavailable".into(), reason: "refused".into(), seconds: 3 };
        let words = "dynamodb is unavailable for 3 s: refused".to_owned();
        assert_eq!(reasons(&report(Some(trouble)), false), [Reason { code: "events_trouble", words }]);
    }
}
