//! Which daemon to send to, and how.

use std::fmt;
use std::str::FromStr;

use beacon_protocol::client;

use crate::ending::Failure;

/// What carries the frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Udp,
}

/// A daemon's address: `tcp://HOST:PORT` or `udp://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) transport: Transport,
    /// `HOST:PORT`; the host may be a name.
    pub(crate) address: String,
}

/// All of them in words.
pub(crate) fn listed(targets: &[Target]) -> String {
    targets.iter().map(Target::to_string).collect::<Vec<_>>().join(", ")
}

impl Target {
    /// Its address now; an IPv4 address when the name has both.
    pub(crate) async fn resolve(&self) -> Result<client::Target, Failure> {
        let no_address = |reason: String| Failure::NoAddress { target: self.to_string(), reason };
        let found = tokio::net::lookup_host(&self.address).await;
        let found = found.map_err(|error| no_address(error.to_string()))?;
        let address = found.min_by_key(|address| address.is_ipv6());
        let address = address.ok_or_else(|| no_address("the name has no address".to_owned()))?;
        Ok(match self.transport {
            Transport::Tcp => client::Target::Tcp(address),
            Transport::Udp => client::Target::Udp(address),
        })
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (transport, address) = match text.split_once("://") {
            Some(("tcp", address)) => (Transport::Tcp, address),
            Some(("udp", address)) => (Transport::Udp, address),
            _ => return Err("a target is tcp://HOST:PORT or udp://HOST:PORT".to_owned()),
        };
        let (host, port) = address.rsplit_once(':').unwrap_or_default();
        match port.parse::<u16>() {
            Ok(1..) if !host.is_empty() => Ok(Self { transport, address: address.to_owned() }),
            _ => Err(format!("{address:?} is not HOST:PORT with a port from 1 to 65535")),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.transport {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        };
        write!(f, "{scheme}://{}", self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_round_trip_and_others_say_what_is_allowed() {
        for text in ["tcp://127.0.0.1:7400", "udp://[::1]:7400", "tcp://daemon.example:1"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        for text in ["127.0.0.1:7400", "http://a:1", "tcp://a", "tcp://a:0", "udp://:7", "tcp://a:65536"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }
}
