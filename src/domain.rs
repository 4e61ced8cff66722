//! The model: who a customer is, what a beacon is, and when a sighting becomes an identity.
//!
//! Pure code: no clock, no I/O, no store. Time and beacons come in as arguments, decisions go out as values.

pub mod beacon;
pub mod block;
pub mod clock;
pub mod confidence;
pub mod customer;
pub mod frame;
pub mod gateway;
pub mod identity;
pub mod location;
pub mod outcome;
pub mod preference;
pub mod sighting;
pub mod time;
pub mod window;
