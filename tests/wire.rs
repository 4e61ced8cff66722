//! The built daemon over raw sockets: every outcome, every refusal, and what it counts of them.

#[allow(dead_code, reason = "each test binary uses its part of what they share")]
#[cfg(test)]
mod harness;
#[allow(dead_code, reason = "each test binary uses its part of what they share")]
#[cfg(test)]
#[path = "model/mod.rs"]
mod model;

#[cfg(test)]
#[path = "wire/hostile.rs"]
mod hostile;
#[cfg(test)]
#[path = "wire/outcomes.rs"]
mod outcomes;
#[cfg(test)]
#[path = "wire/preferences.rs"]
mod preferences;
#[cfg(test)]
#[path = "wire/resume.rs"]
mod resume;
#[cfg(test)]
#[path = "wire/scene.rs"]
mod scene;
#[cfg(test)]
#[path = "wire/tcp.rs"]
mod tcp;
#[cfg(test)]
#[path = "wire/udp.rs"]
mod udp;
#[cfg(test)]
#[path = "wire/undecided.rs"]
mod undecided;
