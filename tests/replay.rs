//! Tracks sent to the built daemon over TCP and UDP, and what it stored compared with the reference model.

#[allow(dead_code, reason = "each test binary uses its part of what they share")]
#[cfg(test)]
mod harness;
#[allow(dead_code, reason = "each test binary uses its part of what they share")]
#[cfg(test)]
#[path = "model/mod.rs"]
mod model;

#[cfg(test)]
#[path = "replay/answers.rs"]
mod answers;
#[cfg(test)]
#[path = "replay/expectation.rs"]
mod expectation;
#[cfg(test)]
#[path = "replay/generated.rs"]
mod generated;
#[cfg(test)]
#[path = "replay/recorded.rs"]
mod recorded;
