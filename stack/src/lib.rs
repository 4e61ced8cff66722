//! Real PostgreSQL, Redis and DynamoDB engines for tests and development: private, on free ports of loopback.
//!
//! Each engine is a type whose drop stops the process by its pid and removes its directory. An
//! engine also ends when the process that started it dies, however it dies (on Linux, by
//! `setpriv`), unless it was started for [`Lifetime::Machine`].

mod dynamodb;
mod port;
mod postgres;
mod process;
pub mod processor;
mod programs;
mod redis;
mod server;
mod stack;

pub use dynamodb::{DynamoDb, DynamoDbEngine};
pub use postgres::Postgres;
pub use process::{LeftRunning, Lifetime};
pub use programs::{java, postgres_binaries, redis_server};
pub use redis::Redis;
pub use stack::{Stack, variables};
