//! Whether a record can be true of its frame.

use std::collections::BTreeMap;

use beacon_protocol::{HEADER_BYTES, Kind, OutcomeCode, RecordStatus};

use super::super::check::{Outcome, hold};
use super::super::message::Record;

/// A sequenced frame that was sent, and what was answered.
#[derive(Debug)]
pub(super) struct Sent {
    /// `None`: preferences.
    sightings: Option<u16>,
    pub(super) transmissions: u32,
    answers: u32,
    record: Option<Record>,
}

impl Sent {
    /// Of an encoded sightings or preferences frame.
    pub(super) fn of(frame: &[u8]) -> Self {
        let is_sightings = frame.get(3) == Some(&Kind::Sightings.byte());
        let count = frame.get(HEADER_BYTES + 18..).and_then(<[u8]>::first_chunk);
        let sightings = count.filter(|_| is_sightings).map(|bytes| u16::from_be_bytes(*bytes));
        Self { sightings, transmissions: 0, answers: 0, record: None }
    }
}

/// Holds a record against its frame, and against the record it had before.
pub(super) fn look_at(record: &Record, sent: &mut BTreeMap<u64, Sent>) -> Outcome {
    let Record { sequence, status, .. } = *record;
    let frame = sent.get_mut(&sequence);
    hold(15, frame.is_some(), || format!("it sent a record of frame {sequence}, which it was never sent"))?;
    let Some(frame) = frame else { return Ok(()) };
    frame.answers += 1;
    hold(15, frame.answers <= frame.transmissions, || {
        format!("frame {sequence}, sent {} times, has {} records", frame.transmissions, frame.answers)
    })?;
    let same = frame.record.as_ref().is_none_or(|before| before == record);
    hold(15, same, || {
        format!("a repeat of frame {sequence} got another record: first {:?}, then {record:?}", frame.record)
    })?;
    frame.record = Some(record.clone());
    let of_preferences = matches!(
        status,
        RecordStatus::PreferencesAccepted
            | RecordStatus::PreferencesInvalid
            | RecordStatus::PreferencesUndecided
    );
    hold(16, status == RecordStatus::Repeat || of_preferences == frame.sightings.is_none(), || {
        format!("frame {sequence} is of another kind than its record's status {status:?} says")
    })?;
    match (status, frame.sightings) {
        (RecordStatus::Decided, Some(sightings)) => adds_up(record, sightings),
        _ => says_nothing_else(record),
    }
}

/// Every sighting is counted once, and those are listed that must be.
fn adds_up(record: &Record, sightings: u16) -> Outcome {
    let Record { sequence, counts, exceptions, .. } = record;
    let counted: u32 = counts.iter().map(|count| u32::from(*count)).sum();
    hold(16, counted == u32::from(sightings), || {
        format!("the counts of frame {sequence} add up to {counted}, and it has {sightings} sightings")
    })?;
    for code in OutcomeCode::ALL.into_iter().filter(|code| code.is_listed()) {
        let listed = exceptions.iter().filter(|exception| exception.code == code).count();
        let counted = counts.get(usize::from(code.byte())).copied().unwrap_or_default();
        hold(16, listed == usize::from(counted), || {
            format!("frame {sequence} counts {counted} sightings as {} and lists {listed}", code.label())
        })?;
    }
    let within = exceptions.iter().all(|exception| exception.index < sightings);
    hold(16, within, || {
        format!("an exception of frame {sequence} has an index of no sighting: {exceptions:?}")
    })
}

/// Statuses 1 to 4: no counts, and one exception where there is a reason to give.
fn says_nothing_else(record: &Record) -> Outcome {
    let Record { sequence, status, counts, exceptions, .. } = record;
    let zero = counts.iter().all(|count| *count == 0);
    hold(16, zero, || format!("the record of frame {sequence}, status {status:?}, has counts {counts:?}"))?;
    let allowed = match (status, exceptions.as_slice()) {
        (RecordStatus::PreferencesInvalid, [only]) => only.index == 0 && only.code == OutcomeCode::Invalid,
        (RecordStatus::PreferencesUndecided, [only]) => {
            only.index == 0 && only.code == OutcomeCode::Undecided
        }
        (RecordStatus::PreferencesInvalid | RecordStatus::PreferencesUndecided, _) => false,
        (_, listed) => listed.is_empty(),
    };
    hold(16, allowed, || {
        format!("the record of frame {sequence}, status {status:?}, has the exceptions {exceptions:?}")
    })
}
