//! What may be wrong with a gateway, and what it makes of unsound bytes then.

use beacon_protocol::{DecodeError, Field};

/// One fault; for the rest the gateway keeps the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    SpeaksWithoutHello,
    SendsBeforeTheWelcome,
    NeverRepeatsItsHello,
    TakesForeignWelcomes,
    UsesTwoSessions,
    SkipsASequence,
    ReusesASequence,
    OverfillsTheWindow,
    SendsTooManySightings,
    SendsLongDatagrams,
    ReusesPacketNumbers,
    DamagesChecksums,
    IgnoresPings,
    NeverPings,
    StaysWithASilentServer,
    LeavesWhenRecordsAreLate,
    ForgetsUnackedFrames,
    TakesCumulativeForARecord,
    TakesLastAckedForRecords,
    ReconnectsAtOnce,
    IgnoresRetryAfter,
    StaysAfterBusyOnTcp,
    KeepsItsEpoch,
    LeavesAtAnyRefusal,
    SendsWhileDraining,
    SendsAfterItsGoodbye,
    ForgetsTheUndecided,
    DropsUnknownDetails,
    SendsUndecidedAtOnce,
    SendsWholeFramesAgain,
    RepeatsTooEarly,
    NeverRepeats,
    NeverDoubles,
    RepeatsWhatHasArrived,
    IgnoresBusy,
    LetsAgesStandStill,
    LeavesAtUnknownKinds,
    TakesKindsOfItsOwn,
    ObeysOtherSessions,
    TakesReservedBytes,
    TakesWrongChecksums,
    WaitsForLongBodies,
    TakesTrailingBytes,
    TakesPacketNumberZero,
    TakesSealedDatagrams,
}

impl Fault {
    /// Whether it lets such an error pass.
    pub(super) const fn tolerates(self, error: &DecodeError) -> bool {
        match error {
            DecodeError::BadChecksum { .. } => matches!(self, Self::TakesWrongChecksums),
            DecodeError::Oversize { .. } => matches!(self, Self::WaitsForLongBodies),
            DecodeError::TrailingData { .. } => matches!(self, Self::TakesTrailingBytes),
            DecodeError::SealedUnsupported => matches!(self, Self::TakesSealedDatagrams),
            DecodeError::Field { field: Field::PacketNumber, .. } => {
                matches!(self, Self::TakesPacketNumberZero)
            }
            DecodeError::Field { field: Field::Reserved, .. } => matches!(self, Self::TakesReservedBytes),
            _ => false,
        }
    }
}
