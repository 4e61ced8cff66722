//! Ports for engines: free, and not among those that outgoing connections are given.

use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

use anyhow::Context;

/// Where to look, up to the ephemeral ports: few services have their home here.
const FIRST: u16 = 20_000;

/// Linux's default, where the machine does not say.
const FIRST_EPHEMERAL: u16 = 32_768;

/// Random ports to try before the search is given up.
const ATTEMPTS: u32 = 200;

/// A port of 127.0.0.1 that nobody listens on at the moment.
///
/// Not one the kernel would give: while an engine is down, a client that tries it again and again
/// would in time be given the engine's own port for its end, meet itself, and keep the engine out.
///
/// # Errors
/// When none was found.
pub(crate) fn free() -> anyhow::Result<u16> {
    let candidates = candidates();
    let width = u64::from(candidates.end - candidates.start);
    for _ in 0..ATTEMPTS {
        let offset = random() % width;
        let port = candidates.start + u16::try_from(offset)?;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    // The whole range is taken or forbidden: one from the kernel is better than none.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port of 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}

/// A number nobody else has drawn: the standard library's own seed of hash maps.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn candidates() -> Range<u16> {
    let said = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok();
    let first = said.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(FIRST_EPHEMERAL);
    if first > FIRST { FIRST..first } else { FIRST..FIRST_EPHEMERAL }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_is_free_and_not_one_for_outgoing_connections() {
        let port = free().unwrap();
        assert!(candidates().contains(&port), "{port}");
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
    }
}
