//! Between the words of the wire and the words of the model.

use beacon_protocol::{
    BeaconRef, Exception, Hello, InvalidDetail, OUTCOME_CODES, OutcomeCode, RecordStatus, ResultRecord,
    Sightings, UndecidedDetail,
};

use crate::domain::beacon::BeaconId;
use crate::domain::frame::AckLevel;
use crate::domain::outcome::{InvalidField, OUTCOMES, Outcome, UndecidedReason};
use crate::domain::sighting::{BeaconClaim, ClaimedSighting};
use crate::domain::time::Timestamp;
use crate::pipeline::{Answer, PreferencesAnswer};

// The wire's codes are the model's order of decision.
const _: () = assert!(OUTCOMES == OUTCOME_CODES);

/// The level a hello asks for, if it asks.
pub(super) fn asked_level(hello: &Hello<'_>) -> Option<AckLevel> {
    hello.ack_level.map(|level| match level {
        beacon_protocol::AckLevel::Journal => AckLevel::Journal,
        beacon_protocol::AckLevel::Stored => AckLevel::Stored,
    })
}

/// The level a welcome states.
pub(super) const fn granted_level(level: AckLevel) -> beacon_protocol::AckLevel {
    match level {
        AckLevel::Journal => beacon_protocol::AckLevel::Journal,
        AckLevel::Stored => beacon_protocol::AckLevel::Stored,
    }
}

pub(super) fn beacon_claim(beacon: BeaconRef) -> BeaconClaim {
    BeaconClaim { id: BeaconId::from_bytes(beacon.uuid), major: beacon.major, minor: beacon.minor }
}

/// The sightings of a frame received at `received_at`.
pub(super) fn claimed_sightings<'a>(
    frame: &Sightings<'a>,
    received_at: Timestamp,
) -> impl Iterator<Item = ClaimedSighting<'a>> + use<'a> {
    let origin_us = frame.base.origin(received_at.as_micros());
    frame.sightings().map(move |sighting| ClaimedSighting {
        beacon_index: sighting.beacon_index,
        rssi_dbm: sighting.rssi_dbm,
        detected_at: Timestamp::from_micros(origin_us).plus_micros(i64::from(sighting.time_offset_us)),
        customer_id: sighting.customer_id,
    })
}

/// The result record of a sightings frame, encoded.
pub(super) fn sightings_record(sequence: u64, answer: &Answer) -> Box<[u8]> {
    let exceptions: Vec<Exception> =
        answer.exceptions.iter().map(|&(index, outcome)| exception(index, outcome)).collect();
    let counts = answer.counts.as_array().map(|count| u16::try_from(count).unwrap_or(u16::MAX));
    encoded(&ResultRecord {
        sequence,
        status: RecordStatus::Decided,
        dead_lettered: u16::try_from(answer.dead_lettered).unwrap_or(u16::MAX),
        counts,
        exceptions: &exceptions,
    })
}

/// The result record of a preferences frame, encoded.
pub(super) fn preferences_record(sequence: u64, answer: PreferencesAnswer) -> Box<[u8]> {
    let dead_lettered = u16::from(answer == PreferencesAnswer::DeadLettered);
    let (status, exceptions) = match answer {
        PreferencesAnswer::Accepted | PreferencesAnswer::DeadLettered => {
            (RecordStatus::PreferencesAccepted, None)
        }
        PreferencesAnswer::Invalid(field) => {
            (RecordStatus::PreferencesInvalid, Some(exception(0, Outcome::Invalid(field))))
        }
        PreferencesAnswer::Undecided(reason) => {
            (RecordStatus::PreferencesUndecided, Some(exception(0, Outcome::Undecided(reason))))
        }
    };
    let counts = [0; OUTCOME_CODES];
    encoded(&ResultRecord { sequence, status, dead_lettered, counts, exceptions: exceptions.as_slice() })
}

/// The record of a frame that an earlier session made durable, encoded.
pub(super) fn repeat_record(sequence: u64) -> Box<[u8]> {
    encoded(&ResultRecord {
        sequence,
        status: RecordStatus::Repeat,
        dead_lettered: 0,
        counts: [0; OUTCOME_CODES],
        exceptions: &[],
    })
}

fn encoded(record: &ResultRecord<'_>) -> Box<[u8]> {
    let mut bytes = vec![0; record.encoded_bytes()];
    let length = record.encode(&mut bytes).unwrap_or_default();
    bytes.truncate(length);
    bytes.into()
}

fn exception(index: u16, outcome: Outcome) -> Exception {
    let (code, detail) = match outcome {
        Outcome::Undecided(reason) => (OutcomeCode::Undecided, undecided_detail(reason).byte()),
        Outcome::Invalid(field) => (OutcomeCode::Invalid, invalid_detail(field).byte()),
        Outcome::ClockSkew => (OutcomeCode::ClockSkew, 0),
        Outcome::TooOld => (OutcomeCode::TooOld, 0),
        Outcome::UnknownBeacon => (OutcomeCode::UnknownBeacon, 0),
        Outcome::BeaconMismatch => (OutcomeCode::BeaconMismatch, 0),
        Outcome::BeaconInactive => (OutcomeCode::BeaconInactive, 0),
        Outcome::Forbidden => (OutcomeCode::Forbidden, 0),
        Outcome::LowConfidence => (OutcomeCode::LowConfidence, 0),
        Outcome::Duplicate => (OutcomeCode::Duplicate, 0),
        Outcome::Identified => (OutcomeCode::Identified, 0),
    };
    Exception { index, code, detail }
}

const fn invalid_detail(field: InvalidField) -> InvalidDetail {
    match field {
        InvalidField::CustomerIdEmpty => InvalidDetail::CustomerIdEmpty,
        InvalidField::CustomerIdTooLong => InvalidDetail::CustomerIdLong,
        InvalidField::CustomerIdControlCharacters => InvalidDetail::CustomerIdControl,
        InvalidField::CustomerIdNotUtf8 => InvalidDetail::CustomerIdNotUtf8,
        InvalidField::Rssi => InvalidDetail::Rssi,
        InvalidField::PreferenceKey => InvalidDetail::PreferenceKey,
        InvalidField::PreferenceValue => InvalidDetail::PreferenceValue,
        InvalidField::UpdatedAt => InvalidDetail::UpdatedAt,
    }
}

const fn undecided_detail(reason: UndecidedReason) -> UndecidedDetail {
    match reason {
        UndecidedReason::Directory => UndecidedDetail::Directory,
        UndecidedReason::Store => UndecidedDetail::Store,
        UndecidedReason::WindowFull => UndecidedDetail::WindowFull,
        UndecidedReason::Clock => UndecidedDetail::ClockUnsure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_on_the_wire_are_the_models_order() {
        let outcomes = [
            Outcome::Undecided(UndecidedReason::Store),
            Outcome::Invalid(InvalidField::Rssi),
            Outcome::ClockSkew,
            Outcome::TooOld,
            Outcome::UnknownBeacon,
            Outcome::BeaconMismatch,
            Outcome::BeaconInactive,
            Outcome::Forbidden,
            Outcome::LowConfidence,
            Outcome::Duplicate,
            Outcome::Identified,
        ];
        for (number, outcome) in outcomes.into_iter().enumerate() {
            let code = exception(0, outcome).code;
            assert_eq!(usize::from(code.byte()), number);
            assert_eq!(outcome.index(), number);
            assert_eq!(code.label(), outcome.label());
            assert_eq!(code.is_listed(), number <= Outcome::Forbidden.index());
        }
    }
}
