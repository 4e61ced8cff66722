//! The beacon protocol, version 1: how gateways stream sightings to a beacon daemon over TCP and UDP.
//!
//! The codec is pure: it reads from slices and writes into slices, without I/O, without an allocator and, with
//! `default-features = false`, without std. The feature `client` adds a gateway over tokio.
//!
//! # The format in short
//!
//! All numbers are big-endian, all times microseconds since 1970-01-01T00:00:00Z (`i64`).
//!
//! A frame is a header of twelve bytes and a body:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 2 | magic `0xBEAC` |
//! | 2 | 1 | version, 1 |
//! | 3 | 1 | kind; bit 7 set: a receiver that does not know it refuses, clear: it skips |
//! | 4 | 4 | body length; the frame is at most 65,536 bytes, header included |
//! | 8 | 4 | CRC-32C over bytes 0 to 8 and the body |
//!
//! They are checked in this order, each as soon as it is there, then the kind, then the body, which must end with
//! its last field. TCP carries a stream of frames; a UDP datagram is a [`DatagramHeader`] of twenty bytes and one
//! frame.
//!
//! A gateway says [`Hello`], the daemon [`Welcome`] with the limits of the session. The gateway sends
//! [`Sightings`] and [`Preferences`], numbered together from 1 in a boot epoch; the daemon answers each with one
//! result record in an [`Ack`], which alone acknowledges it, or with a [`Refusal`]. Either side may send a
//! [`Ping`], answered by a [`Pong`], and ends with a [`Goodbye`]. [`GatewayStatus`] is for the operator's eyes.
//! Byte layouts and state machines are in `SPEC.md` beside this crate.
//!
//! # Use
//!
//! ```
//! use beacon_protocol::{
//!     BeaconRef, Deframed, MAX_FRAME_BYTES, Message, SightingRef, SightingsEncoder, TimeBase, deframe,
//! };
//!
//! let beacon = BeaconRef { uuid: [7; 16], major: 1, minor: 2 };
//! let seen = SightingRef { beacon_index: 0, rssi_dbm: -61, time_offset_us: 250, customer_id: b"cust123" };
//!
//! let mut buffer = [0; 1_200];
//! let mut encoder = SightingsEncoder::new(&mut buffer, 1, TimeBase::Utc(1_800_000_000_000_000), &[beacon])?;
//! encoder.push(&seen)?;
//! let length = encoder.finish()?;
//!
//! let Deframed::Frame { frame, consumed } = deframe(&buffer[..length], MAX_FRAME_BYTES)? else { unreachable!() };
//! assert_eq!(consumed, length);
//! let Message::Sightings(batch) = Message::decode(frame)? else { unreachable!() };
//! assert_eq!(batch.beacon(0), Some(beacon));
//! assert!(batch.sightings().eq([seen]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(not(any(feature = "std", test)), no_std)]
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod ack;
mod checksum;
#[cfg(feature = "client")]
#[allow(
    clippy::arithmetic_side_effects,
    reason = "sums of times and counts that settings bound; what comes from outside has passed the codec"
)]
pub mod client;
mod codec;
mod datagram;
mod error;
mod framing;
mod goodbye;
mod header;
mod hello;
mod limits;
mod message;
mod outcome;
mod patch;
mod ping;
mod preferences;
mod refusal;
mod sightings;
mod status;
#[cfg(test)]
mod testing;
mod time;
mod welcome;

pub use ack::{
    Ack, AckEncoder, EXCEPTION_BYTES, Exception, RECORD_HEAD_BYTES, RecordStatus, ResultRecord,
    ResultRecordRef,
};
pub use datagram::{DATAGRAM_HEADER_BYTES, DATAGRAM_MAGIC, DatagramHeader, decode_datagram};
pub use error::{DecodeError, EncodeError, Field};
pub use framing::{Deframed, RawFrame, deframe, deframe_whole};
pub use goodbye::{Goodbye, GoodbyeReason};
pub use header::{CRITICAL_BIT, FRAME_VERSION, HEADER_BYTES, Kind, MAGIC};
pub use hello::{AckLevel, Hello};
pub use limits::{
    DEFAULT_MAX_DATAGRAM_BYTES, MAX_AUTH_BYTES, MAX_BEACONS, MAX_CUSTOMER_ID_BYTES, MAX_DATAGRAM_BYTES,
    MAX_FIRMWARE_BYTES, MAX_FRAME_BYTES, MAX_GATEWAY_ID_BYTES, MAX_PREFERENCE_KEY_BYTES,
    MAX_PREFERENCE_PAIRS, MAX_PREFERENCE_VALUE_BYTES, MAX_REFUSAL_TEXT_BYTES, MAX_SIGHTINGS,
};
pub use message::Message;
pub use outcome::{InvalidDetail, OUTCOME_CODES, OutcomeCode, UndecidedDetail};
pub use patch::{age_of, sequence_of, set_age, set_sequence};
pub use ping::{Ping, Pong};
pub use preferences::{PreferencePair, Preferences, PreferencesEncoder};
pub use refusal::{Refusal, RefusalCode};
pub use sightings::{
    BEACON_BYTES, BeaconRef, SIGHTING_HEAD_BYTES, SIGHTINGS_HEAD_BYTES, SightingRef, Sightings,
    SightingsEncoder, SightingsIter,
};
pub use status::GatewayStatus;
pub use time::TimeBase;
pub use welcome::Welcome;
