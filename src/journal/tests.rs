//! The journal on real and on faulty files.

mod basic;
mod failing;
mod faulty;
mod live;
mod properties;
pub(super) mod sample;
