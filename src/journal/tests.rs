//! The journal on real and on faulty files.

mod basic;
mod faulty;
mod properties;
pub(super) mod sample;
