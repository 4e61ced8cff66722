//! beacond: ingests Bluetooth-beacon sightings from restaurants' gateways, decides which of them identify a
//! customer, and stores those.
//!
//! `ARCHITECTURE.md` is the map of this crate.

pub mod app;
pub mod backoff;
pub mod cli;
pub mod clock;
pub mod config;
pub mod data_dir;
pub mod domain;
pub mod faults;
pub mod journal;
pub mod latency;
pub mod listen;
pub mod ops;
pub mod pipeline;
pub mod ports;
pub mod stores;
pub mod tasks;
