//! Messages that outlive the bytes they came in.

use beacon_protocol::{
    Ack, Exception, Goodbye, Message, OUTCOME_CODES, Ping, Pong, RecordStatus, RefusalCode, Welcome,
};

/// What a daemon said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    Welcome(Welcome),
    Ack(Acked),
    Refusal(Refused),
    Ping(Ping),
    Pong(Pong),
    Goodbye(Goodbye),
    /// A kind that may be skipped.
    Skipped(u8),
    /// A kind that only gateways send.
    Foreign(u8),
}

/// An ack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Acked {
    pub(super) cumulative: u64,
    pub(super) received: u64,
    pub(super) records: Vec<Record>,
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) sequence: u64,
    pub(super) status: RecordStatus,
    pub(super) counts: [u16; OUTCOME_CODES],
    pub(super) exceptions: Vec<Exception>,
    pub(super) dead_lettered: u16,
}

/// A refusal; its text is for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) sequence: u64,
    pub(super) code: RefusalCode,
    pub(super) text: String,
}

impl Said {
    /// The message with everything it borrowed.
    pub(super) fn of(message: &Message<'_>) -> Self {
        match message {
            Message::Welcome(welcome) => Self::Welcome(*welcome),
            Message::Ack(ack) => Self::Ack(Acked::of(ack)),
            Message::Refusal(refusal) => Self::Refusal(Refused {
                sequence: refusal.sequence,
                code: refusal.code,
                text: refusal.text.to_owned(),
            }),
            Message::Ping(ping) => Self::Ping(*ping),
            Message::Pong(pong) => Self::Pong(*pong),
            Message::Goodbye(goodbye) => Self::Goodbye(*goodbye),
            Message::Skipped(kind) => Self::Skipped(*kind),
            Message::Hello(_)
            | Message::Sightings(_)
            | Message::Preferences(_)
            | Message::GatewayStatus(_) => Self::Foreign(message.kind()),
        }
    }

    /// In a sentence, after "it sent".
    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Welcome(_) => "a welcome".to_owned(),
            Self::Ack(ack) if ack.records.is_empty() => {
                format!("an ack of {} without a record", ack.cumulative)
            }
            Self::Ack(ack) => format!("an ack with a record of frame {}", ack.records[0].sequence),
            Self::Refusal(refused) => format!("a refusal {} ({})", refused.code.label(), refused.text),
            Self::Ping(_) => "a ping".to_owned(),
            Self::Pong(_) => "a pong".to_owned(),
            Self::Goodbye(_) => "a goodbye".to_owned(),
            Self::Skipped(kind) => format!("a frame of the unknown kind {kind:#04x}"),
            Self::Foreign(kind) => format!("a frame of kind {kind:#04x}, which only gateways send"),
        }
    }
}

impl Acked {
    fn of(ack: &Ack<'_>) -> Self {
        let records = ack.records().map(|record| Record {
            sequence: record.sequence,
            status: record.status,
            counts: record.counts,
            exceptions: record.exceptions().collect(),
            dead_lettered: record.dead_lettered,
        });
        Self { cumulative: ack.cumulative, received: ack.received, records: records.collect() }
    }
}
