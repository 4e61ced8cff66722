//! The stores behind the ports, one module each; drivers and their errors stop here.

mod batch_plan;
mod check;
pub mod dead_letters;
pub mod dynamodb;
mod import;
pub mod postgres;
pub mod redis;
pub mod snapshot;
pub mod sqlite;

pub use self::check::{CheckLine, StartCheck};
pub use self::import::ImportSummary;
