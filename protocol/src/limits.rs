//! Every limit of the format, named, with the reason for its figure.

/// Largest frame, header included: one receive buffer of this size is all that a session ever needs.
pub const MAX_FRAME_BYTES: usize = 65_536;

/// Largest datagram unless the welcome says otherwise, datagram header included: passes every common path
/// (IPv6 minimum MTU 1,280) without fragmentation.
pub const DEFAULT_MAX_DATAGRAM_BYTES: usize = 1_200;

/// Largest datagram that can be configured: what fits an IPv4 packet of 65,535 bytes.
pub const MAX_DATAGRAM_BYTES: usize = 65_507;

/// Beacons in one frame's table: an index is one byte and the count must be able to name all of them.
pub const MAX_BEACONS: usize = 255;

/// Sightings in one frame: its result record, every sighting an exception, still fits one frame.
pub const MAX_SIGHTINGS: usize = 4_096;

/// Bytes of a customer id on the wire: its length is one byte; what is longer than the model allows is an
/// outcome of that sighting, not a broken frame.
pub const MAX_CUSTOMER_ID_BYTES: usize = 255;

/// Bytes of a gateway id: what the registry's column holds.
pub const MAX_GATEWAY_ID_BYTES: usize = 64;

/// Bytes of authentication data in a hello: a token or a MAC, and the hello still fits one datagram.
pub const MAX_AUTH_BYTES: usize = 512;

/// Pairs in one preferences frame: a customer's whole map is expected to be far smaller.
pub const MAX_PREFERENCE_PAIRS: usize = 64;

/// Bytes of a preference key on the wire: its length is one byte.
pub const MAX_PREFERENCE_KEY_BYTES: usize = 255;

/// Bytes of a preference value: sixty-four of them with their keys, ids and header almost fill a frame.
pub const MAX_PREFERENCE_VALUE_BYTES: usize = 1_024;

/// Bytes of a refusal's text: its length is one byte.
pub const MAX_REFUSAL_TEXT_BYTES: usize = 255;

/// Bytes of a gateway's firmware name: its length is one byte.
pub const MAX_FIRMWARE_BYTES: usize = 255;
