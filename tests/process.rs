//! The built daemon as a process: what it says and returns when it cannot start, how it stops, and that it may be killed.

#[allow(dead_code, reason = "each test binary uses its part of what they share")]
#[cfg(test)]
mod harness;
#[allow(dead_code, reason = "each test binary uses its part of what they share")]
#[cfg(test)]
#[path = "model/mod.rs"]
mod model;

#[cfg(test)]
#[path = "process/commands.rs"]
mod commands;
#[cfg(test)]
#[path = "process/dead_letters.rs"]
mod dead_letters;
#[cfg(test)]
#[path = "process/disk.rs"]
mod disk;
#[cfg(test)]
#[path = "process/journal.rs"]
mod journal;
#[cfg(test)]
#[path = "process/kill.rs"]
mod kill;
#[cfg(test)]
#[path = "process/reload.rs"]
mod reload;
#[cfg(test)]
#[path = "process/scene.rs"]
mod scene;
#[cfg(test)]
#[path = "process/start.rs"]
mod start;
#[cfg(test)]
#[path = "process/stop.rs"]
mod stop;
