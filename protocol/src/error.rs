//! What can be wrong with bytes that arrive, and with values that are to be sent.

use core::fmt;

use crate::refusal::RefusalCode;

/// Why bytes are not a frame of this protocol.
///
/// Numbers only, so that it costs nothing to make; its text (`Display`) is short enough for a refusal.
/// Offsets count from the first byte of the frame, or of the datagram for the datagram header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// The frame ends inside a field.
    UnexpectedEnd {
        /// Where the field begins.
        offset: usize,
        /// Bytes the field takes.
        need: usize,
        /// Bytes that are left.
        have: usize,
    },
    /// Bytes follow the last field.
    TrailingData {
        /// Where the frame should have ended.
        offset: usize,
        /// Bytes too many.
        extra: usize,
    },
    /// The first two bytes are those of another protocol.
    BadMagic {
        /// What they are.
        found: u16,
    },
    /// The frame format is of another version.
    UnsupportedVersion {
        /// Which.
        found: u8,
    },
    /// The header announces more than the receiver's limit; nothing was awaited.
    Oversize {
        /// Bytes of the whole frame, header included.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The frame was damaged on its way.
    BadChecksum {
        /// What the header says.
        claimed: u32,
        /// What the bytes give.
        computed: u32,
    },
    /// A kind this version does not know, and whose sender says it must not be skipped.
    UnknownCriticalKind {
        /// The kind's byte.
        kind: u8,
    },
    /// The datagram is sealed and this version has no keys.
    SealedUnsupported,
    /// A field has a value it may not have.
    Field {
        /// The frame's kind, 0 for the datagram header.
        kind: u8,
        /// Which field.
        field: Field,
        /// Where it begins.
        offset: usize,
    },
}

impl DecodeError {
    /// The name of this error for a metric.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::UnexpectedEnd { .. } => "unexpected_end",
            Self::TrailingData { .. } => "trailing_data",
            Self::BadMagic { .. } => "bad_magic",
            Self::UnsupportedVersion { .. } => "unsupported_version",
            Self::Oversize { .. } => "oversize",
            Self::BadChecksum { .. } => "bad_checksum",
            Self::UnknownCriticalKind { .. } => "unknown_critical_kind",
            Self::SealedUnsupported => "sealed_unsupported",
            Self::Field { .. } => "field",
        }
    }

    /// The code with which a receiver refuses.
    #[must_use]
    pub const fn refusal_code(&self) -> RefusalCode {
        match self {
            Self::UnexpectedEnd { .. } | Self::TrailingData { .. } | Self::Field { .. } => {
                RefusalCode::Malformed
            }
            Self::BadMagic { .. } => RefusalCode::BadMagic,
            Self::UnsupportedVersion { .. } => RefusalCode::UnsupportedVersion,
            Self::Oversize { .. } => RefusalCode::Oversize,
            Self::BadChecksum { .. } => RefusalCode::BadChecksum,
            Self::UnknownCriticalKind { .. } => RefusalCode::UnknownCriticalKind,
            Self::SealedUnsupported => RefusalCode::SealedUnsupported,
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::UnexpectedEnd { offset, need, have } => {
                write!(out, "the frame ends at byte {offset}: {need} bytes needed, {have} there")
            }
            Self::TrailingData { offset, extra } => {
                write!(out, "{extra} bytes too many after the last field, from byte {offset}")
            }
            Self::BadMagic { found } => {
                write!(out, "the first two bytes are {found:#06x}, not this protocol's")
            }
            Self::UnsupportedVersion { found } => {
                write!(out, "frame version {found} is not supported, only {}", crate::FRAME_VERSION)
            }
            Self::Oversize { length, limit } => write!(out, "a frame of {length} bytes, {limit} are allowed"),
            Self::BadChecksum { claimed, computed } => {
                write!(out, "checksum {claimed:#010x} claimed, {computed:#010x} computed")
            }
            Self::UnknownCriticalKind { kind } => write!(out, "frame kind {kind:#04x} is not known"),
            Self::SealedUnsupported => out.write_str("sealed datagrams are not supported"),
            Self::Field { kind, field, offset } => {
                write!(out, "frame kind {kind:#04x}: {} at byte {offset} is not allowed", field.name())
            }
        }
    }
}

impl core::error::Error for DecodeError {}

/// Why a value cannot be written as a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodeError {
    /// The buffer, or the frame's limit of bytes or items, is reached; what was written before stays valid.
    Full {
        /// Bytes (or items) it would take.
        need: usize,
        /// Bytes (or items) there are.
        have: usize,
    },
    /// A field has a value the format cannot carry.
    Field {
        /// Which field.
        field: Field,
    },
    /// The bytes to be patched are not a frame of the kind expected.
    NotPatchable,
}

impl EncodeError {
    /// Whether more room would have helped: the batch is to be closed and another one begun.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Full { need, have } => write!(out, "{need} needed, room for {have}"),
            Self::Field { field } => write!(out, "{} cannot be sent as it is", field.name()),
            Self::NotPatchable => out.write_str("not a frame that can be patched"),
        }
    }
}

impl core::error::Error for EncodeError {}

macro_rules! fields {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A field with a rule about its value.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Field {
            $($(#[$doc])* $variant,)*
        }

        impl Field {
            /// The field's name in the specification.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

fields! {
    /// Flags with a bit this version does not know.
    Flags = "flags",
    /// A byte that must be zero.
    Reserved = "reserved",
    /// A kind that has no place here.
    Kind = "kind",
    /// A packet number of zero.
    PacketNumber = "packet_number",
    /// A range of versions that is empty or starts at zero.
    Versions = "versions",
    /// An acknowledgement level that does not exist.
    AckLevel = "ack_level",
    /// A first unacked sequence of zero.
    FirstUnacked = "first_unacked",
    /// A gateway id that is empty, too long, not UTF-8 or has control characters.
    GatewayId = "gateway_id",
    /// Authentication data that is too long, or there without a method.
    Auth = "auth",
    /// A window of no frames.
    WindowFrames = "window_frames",
    /// A sequence of zero.
    Sequence = "sequence",
    /// An age below zero.
    BaseTime = "base_time",
    /// No beacon, or too many.
    BeaconCount = "beacon_count",
    /// No sighting, or too many.
    SightingCount = "sighting_count",
    /// An index outside the frame's beacon table.
    BeaconIndex = "beacon_index",
    /// A customer id that is too long.
    CustomerId = "customer_id",
    /// A record status that does not exist.
    RecordStatus = "status",
    /// More records than can be counted.
    RecordCount = "record_count",
    /// More exceptions than can be counted.
    ExceptionCount = "exception_count",
    /// An exception out of index order.
    ExceptionIndex = "exception index",
    /// An exception with a code that is none.
    ExceptionCode = "exception code",
    /// A refusal code of zero.
    RefusalCode = "code",
    /// A refusal's text that is too long or not UTF-8.
    RefusalText = "text",
    /// A reason for goodbye that does not exist.
    GoodbyeReason = "reason",
    /// No pair, or too many.
    PairCount = "pair_count",
    /// A preference key that is too long.
    PreferenceKey = "key",
    /// A preference value that is too long.
    PreferenceValue = "value",
    /// A firmware name that is too long or not UTF-8.
    Firmware = "firmware",
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MAX_REFUSAL_TEXT_BYTES;

    fn every_error() -> Vec<DecodeError> {
        let most = usize::MAX;
        vec![
            DecodeError::UnexpectedEnd { offset: most, need: most, have: most },
            DecodeError::TrailingData { offset: most, extra: most },
            DecodeError::BadMagic { found: 7 },
            DecodeError::UnsupportedVersion { found: 7 },
            DecodeError::Oversize { length: most, limit: most },
            DecodeError::BadChecksum { claimed: u32::MAX, computed: 0 },
            DecodeError::UnknownCriticalKind { kind: 0xFF },
            DecodeError::SealedUnsupported,
            DecodeError::Field { kind: 0x83, field: Field::SightingCount, offset: most },
        ]
    }

    #[test]
    fn text_of_every_error_fits_a_refusal() {
        for error in every_error() {
            assert!(error.to_string().len() <= MAX_REFUSAL_TEXT_BYTES, "{error}");
        }
    }

    #[test]
    fn labels_are_distinct() {
        let mut labels: Vec<_> = every_error().iter().map(DecodeError::label).collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), every_error().len());
    }
}
