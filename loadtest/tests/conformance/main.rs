//! `loadtest conformance` as a process: what keeps the rules is told so, and what breaks one is told which.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "helpers of tests: what is unexpected should stop right there"
)]
#![cfg(unix)]

#[path = "../harness/beacond.rs"]
mod beacond;
mod broken_gateways;
mod broken_servers;
mod ending;
mod gateway;
mod ours;
mod play;
mod python;
mod server;
mod together;
