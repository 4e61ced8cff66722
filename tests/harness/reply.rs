//! What the daemon sends, decoded and kept.

use beacon_protocol::{Goodbye, MAX_FRAME_BYTES, Message, Pong, RefusalCode, Welcome, deframe_whole};

use super::ledger::OUTCOMES;

/// One frame of the daemon's, or the end of its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    Welcome(Welcome),
    Ack(Acked),
    Refusal(Refused),
    Ping,
    Pong(Pong),
    Goodbye(Goodbye),
    Closed,
}

/// An ack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Acked {
    pub(crate) cumulative: u64,
    pub(crate) received: u64,
    pub(crate) records: Vec<Record>,
}

/// What became of one frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) sequence: u64,
    pub(crate) status: u8,
    pub(crate) dead_lettered: u16,
    pub(crate) counts: [u16; OUTCOMES.len()],
    /// Index, code and detail.
    pub(crate) exceptions: Vec<(u16, u8, u8)>,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) sequence: u64,
    pub(crate) code: RefusalCode,
    pub(crate) retry_after_ms: u32,
    pub(crate) text: String,
}

impl Reply {
    /// Decodes a whole frame.
    #[track_caller]
    pub(crate) fn decode(frame: &[u8]) -> Self {
        let frame = deframe_whole(frame, MAX_FRAME_BYTES).unwrap();
        match Message::decode(frame).unwrap() {
            Message::Welcome(welcome) => Self::Welcome(welcome),
            Message::Refusal(refusal) => Self::Refusal(Refused {
                sequence: refusal.sequence,
                code: refusal.code,
                retry_after_ms: refusal.retry_after_ms,
                text: refusal.text.to_owned(),
            }),
            Message::Ping(_) => Self::Ping,
            Message::Pong(pong) => Self::Pong(pong),
            Message::Goodbye(goodbye) => Self::Goodbye(goodbye),
            Message::Ack(ack) => Self::Ack(Acked {
                cumulative: ack.cumulative,
                received: ack.received,
                records: ack
                    .records()
                    .map(|record| Record {
                        sequence: record.sequence,
                        status: record.status.byte(),
                        dead_lettered: record.dead_lettered,
                        counts: record.counts,
                        exceptions: record
                            .exceptions()
                            .map(|exception| (exception.index, exception.code.byte(), exception.detail))
                            .collect(),
                    })
                    .collect(),
            }),
            other => panic!("a daemon does not send {other:?}"),
        }
    }

    /// The welcome, if it is one.
    #[track_caller]
    pub(crate) fn welcome(self) -> Welcome {
        match self {
            Self::Welcome(welcome) => welcome,
            other => panic!("no welcome but {other:?}"),
        }
    }

    /// The ack, if it is one.
    #[track_caller]
    pub(crate) fn ack(self) -> Acked {
        match self {
            Self::Ack(ack) => ack,
            other => panic!("no ack but {other:?}"),
        }
    }

    /// The refusal, if it is one; it says something, in words.
    #[track_caller]
    pub(crate) fn refusal(self) -> Refused {
        match self {
            Self::Refusal(refusal) if !refusal.text.is_empty() => refusal,
            other => panic!("no refusal with a text but {other:?}"),
        }
    }
}

impl Record {
    /// Outcome of each sighting by name and how often, those that never came left out.
    pub(crate) fn outcomes(&self) -> Vec<(&'static str, u16)> {
        let counted = OUTCOMES.into_iter().zip(self.counts);
        counted.filter(|&(_, count)| count > 0).collect()
    }
}
