//! What may be wrong with a server, and what it makes of unsound bytes then.

use beacon_protocol::{DecodeError, Field, RefusalCode};

/// One fault; for the rest the server keeps the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    ChoosesVersionTwo,
    GrantsAWeakerLevel,
    GrantsSessionZero,
    GrantsAWideWindow,
    TakesAnyAuthentication,
    SaysTooManySessionsForVersions,
    EndsOlderSessions,
    GrantsARepeatedHelloAnew,
    TakesAnyAddress,
    AcksWhatItWasNotSent,
    CountsWrong,
    AcksBeyond,
    AnswersRepeatsOtherwise,
    TakesGaps,
    TakesReusedSequences,
    ForgetsRecords,
    AcksLate,
    IsSilentAboutRepeats,
    AnswersOtherTokens,
    StaysAfterRefusals,
    SaysBusyOnTcp,
    RefusesRefusals,
    RefusesAtLength,
    RefusesInSessionZero,
    EndsAtAnyRefusal,
    RefusesUnknownKinds,
    TakesKindsOfItsOwn,
    ForgetsFramesAtGoodbye,
    StaysInSilence,
    TakesFlags,
    SaysMalformedForChecksums,
    WaitsForLongBodies,
    TakesTrailingBytes,
    TakesOtherFlagsOfDatagrams,
    TakesTwoFrames,
    MindsPacketNumbers,
    ReusesPacketNumbers,
}

impl Fault {
    /// Whether it lets such an error pass without a word.
    pub(super) const fn tolerates(self, error: &DecodeError) -> bool {
        match error {
            DecodeError::Oversize { .. } => matches!(self, Self::WaitsForLongBodies),
            DecodeError::TrailingData { .. } => {
                matches!(self, Self::TakesTrailingBytes | Self::TakesTwoFrames)
            }
            DecodeError::SealedUnsupported => matches!(self, Self::TakesOtherFlagsOfDatagrams),
            DecodeError::Field { field: Field::Flags, .. } => matches!(self, Self::TakesFlags),
            _ => false,
        }
    }

    /// The code with which it refuses.
    pub(super) const fn code(self, error: &DecodeError) -> RefusalCode {
        match (self, error) {
            (Self::SaysMalformedForChecksums, DecodeError::BadChecksum { .. }) => RefusalCode::Malformed,
            _ => error.refusal_code(),
        }
    }
}
