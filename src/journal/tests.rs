//! The journal on real and on faulty files.

mod basic;
pub(super) mod sample;
