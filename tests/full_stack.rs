//! The daemon on PostgreSQL, Redis and DynamoDB, as their own clients see it: psql, redis-cli and the AWS SDK.

#[allow(dead_code, reason = "each test binary uses its part of what they share")]
#[cfg(test)]
mod harness;
#[allow(dead_code, reason = "each test binary uses its part of what they share")]
#[cfg(test)]
#[path = "model/mod.rs"]
mod model;

#[cfg(test)]
#[path = "full_stack/commands.rs"]
mod commands;
#[cfg(test)]
#[path = "full_stack/events.rs"]
mod events;
#[allow(dead_code, reason = "the replay into the embedded store uses all of it")]
#[cfg(test)]
#[path = "replay/expectation.rs"]
mod expectation;
#[cfg(test)]
#[path = "full_stack/operators.rs"]
mod operators;
#[cfg(test)]
#[path = "full_stack/outages.rs"]
mod outages;
#[cfg(test)]
#[path = "full_stack/poison.rs"]
mod poison;
#[cfg(test)]
#[path = "full_stack/postgres.rs"]
mod postgres;
#[cfg(test)]
#[path = "full_stack/redis.rs"]
mod redis;
#[cfg(test)]
#[path = "full_stack/registrations.rs"]
mod registrations;
#[cfg(test)]
#[path = "full_stack/replay.rs"]
mod replay;
#[cfg(test)]
#[path = "full_stack/scene.rs"]
mod scene;
#[cfg(test)]
#[path = "full_stack/stack.rs"]
mod stack;
#[cfg(test)]
#[path = "full_stack/starts.rs"]
mod starts;
#[cfg(test)]
#[path = "full_stack/stops.rs"]
mod stops;
