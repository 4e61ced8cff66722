//! Whether the daemon should be given gateways, by its report.

use super::report::{Report, TroubleReport, WriterReport};
use crate::ops::Reason;
use crate::pipeline::Trouble;

/// A store in trouble for less than this is one that is throttled, or was restarted: the queue bears that.
const TROUBLE_COUNTS_AFTER_S: u64 = 3;

/// Why not: a journal or a store that cannot be written to, a system of record that cannot be asked, and while the daemon stops.
/// Nothing else counts: without its caches it is only slower, and a full queue empties itself.
pub(super) fn reasons(report: &Report, stopping: bool) -> Vec<Reason> {
    let reason = |code, words: &str| Reason { code, words: words.into() };
    let stopping =
        stopping.then(|| reason("stopping", "it has been told to stop, and says goodbye to its gateways"));
    let codes = ["record_trouble", "events_trouble"];
    let troubles = codes.into_iter().zip(&report.writers).filter_map(|(code, writer)| {
        let WriterReport { store, trouble: Some(trouble), full_in_s, .. } = writer else { return None };
        let full =
            full_in_s.map_or_else(String::new, |left| format!("; the journal is full in about {left} s"));
        counted(code, store, trouble).map(|reason| Reason { words: reason.words + &full, ..reason })
    });
    let journal = report
        .journal
        .trouble
        .as_ref()
        .and_then(|trouble| counted("journal_trouble", "the journal", trouble));
    let unasked = (report.beacons.record_failing || report.gateways.record_failing).then(|| {
        reason(
            "record_unanswered",
            "registrations cannot be looked up: those known serve, others are undecided",
        )
    });
    let past_unknown = report.past_unknown.then(|| {
        reason(
            "past_unknown",
            "what was stored before this start is not known: nobody is identified until it is",
        )
    });
    let wrong = (!report.postgres_wrong.is_empty())
        .then(|| reason("postgres_wrong", &report.postgres_wrong.join("; ")));
    stopping
        .into_iter()
        .chain(wrong)
        .chain(journal)
        .chain(troubles)
        .chain(unasked)
        .chain(past_unknown)
        .collect()
}

/// A trouble that has lasted, or that cannot pass by itself.
fn counted(code: &'static str, what: &str, trouble: &TroubleReport) -> Option<Reason> {
    let TroubleReport { kind, reason, seconds } = trouble;
    let counts = *seconds >= TROUBLE_COUNTS_AFTER_S || kind == Trouble::Full.label();
    counts.then(|| Reason { code, words: format!("{what} is {kind} for {seconds} s: {reason}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(events: Option<TroubleReport>) -> Report {
        Report {
            writers: vec![
                WriterReport { store: "postgres".into(), ..WriterReport::default() },
                WriterReport { store: "dynamodb".into(), trouble: events, ..WriterReport::default() },
            ],
            ..Report::default()
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

    #[test]
    fn daemon_that_cannot_ask_is_not_ready() {
        let codes =
            |report: &Report| -> Vec<_> { reasons(report, false).iter().map(|reason| reason.code).collect() };
        let mut report = report(None);
        report.gateways.record_failing = true;
        report.past_unknown = true;
        assert_eq!(codes(&report), ["record_unanswered", "past_unknown"]);
    }

    #[test]
    fn a_journal_that_takes_nothing_is_told_at_once_when_full_and_else_when_it_lasts() {
        let trouble = |kind: &str, seconds| TroubleReport { kind: kind.into(), reason: "no".into(), seconds };
        let told = |trouble| {
            let mut report = report(None);
            report.journal.trouble = Some(trouble);
            reasons(&report, false).into_iter().map(|reason| (reason.code, reason.words)).collect::<Vec<_>>()
        };
        assert_eq!(told(trouble("unavailable", 2)), []);
        let words = "the journal is unavailable for 3 s: no".to_owned();
        assert_eq!(told(trouble("unavailable", 3)), [("journal_trouble", words)]);
        assert_eq!(told(trouble("full", 0)).len(), 1);
    }

    #[test]
    fn a_store_in_trouble_says_when_the_journal_is_full() {
        let trouble = TroubleReport { kind: "unavailable".into(), reason: "refused".into(), seconds: 9 };
        let mut report = report(Some(trouble));
        report.writers[1].full_in_s = Some(70);
        let words = "dynamodb is unavailable for 9 s: refused; the journal is full in about 70 s".to_owned();
        assert_eq!(reasons(&report, false), [Reason { code: "events_trouble", words }]);
    }
}
