//! Connects all gateways before a run begins.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use beacon_protocol::AckLevel;
use beacon_protocol::client::{ClientError, Gateway, GatewayConfig, Target, WhenRefused};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::absence::absence;
use super::gateway::Post;
use super::histograms::Metric;
use super::recorder::Recorder;
use super::source::Source;
use crate::clock::now_us;
use crate::population::{Naming, Population};
use crate::scenario::AckLevelAsked;

/// Sessions that are opened at once: a run does not begin with a storm, unless it is about one.
const AT_ONCE: usize = 256;
/// Addresses of 127.0.0.0/8 that gateways speak from: 64,000 leave each a range of ports of its own.
const LOOPBACK_ADDRESSES: u32 = 64_000;

/// Connects these gateways and gets their customers into their places; those that are away at the begin are not connected.
///
/// # Errors
/// The target and the gateway that could not be connected, and why.
pub(crate) async fn connect_all(
    population: &Arc<Population>,
    gateways: impl Iterator<Item = u32>,
    targets: &[Target],
    recorder: &Arc<Recorder>,
) -> Result<Vec<Post>, (String, ClientError)> {
    let gives_up = Instant::now() + population.scenario().sessions.connect_within.0;
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut connecting = JoinSet::new();
    for number in gateways {
        let target = targets[number as usize % targets.len()];
        let (population, permits, recorder) =
            (Arc::clone(population), Arc::clone(&permits), Arc::clone(recorder));
        connecting.spawn(async move {
            // Nobody closes it.
            let _permit = permits.acquire().await;
            let post = post(number, &population, target);
            let connected = Box::pin(connect(post, gives_up, &recorder)).await;
            connected.map_err(|error| {
                (
                    format!(
                        "{target} ({})",
                        Naming::gateway_id(&population.scenario().sessions.gateway, number)
                    ),
                    error,
                )
            })
        });
    }
    let mut posts = Vec::with_capacity(connecting.len());
    while let Some(connected) = connecting.join_next().await {
        posts.push(
            connected.map_err(|error| (targets[0].to_string(), ClientError::System(error.to_string())))??,
        );
    }
    Ok(posts)
}

fn post(number: u32, population: &Population, target: Target) -> Post {
    let scenario = population.scenario();
    let absence = absence(&scenario.offline, number);
    let from_us = absence.map_or(0, |absence| absence.from_us.min(0));
    let sessions = &scenario.sessions;
    let config = GatewayConfig {
        ack_level: match sessions.ack_level {
            AckLevelAsked::Default => None,
            AckLevelAsked::Journal => Some(AckLevel::Journal),
            AckLevelAsked::Stored => Some(AckLevel::Stored),
        },
        local_address: local_address(number, target).filter(|_| sessions.spread_addresses),
        max_in_flight_frames: usize::try_from(sessions.in_flight).unwrap_or(usize::MAX),
        // Who sends them again knows what became of each sighting.
        resend_undecided: false,
        when_refused: WhenRefused::GiveUp,
        ..GatewayConfig::new(target, Naming::gateway_id(&sessions.gateway, number), now_us().unsigned_abs())
    };
    Post { number, config, source: Source::new(population, number, from_us), absence, session: None }
}

async fn connect(mut post: Post, gives_up: Instant, recorder: &Recorder) -> Result<Post, ClientError> {
    if post.absence.is_some_and(|absence| absence.from_us <= 0) {
        return Ok(post);
    }
    let begins = Instant::now();
    let connect_deadline = gives_up.saturating_duration_since(begins);
    let session = Gateway::connect(GatewayConfig { connect_deadline, ..post.config.clone() }).await?;
    recorder.shard(post.number).record(Metric::Connect, begins.elapsed(), true);
    post.session = Some(session);
    Ok(post)
}

/// An address of its own for each gateway, so that a daemon on this machine sees them come from everywhere.
fn local_address(gateway: u32, target: Target) -> Option<SocketAddr> {
    let (Target::Tcp(address) | Target::Udp(address)) = target;
    if !address.ip().is_loopback() || address.is_ipv6() {
        return None;
    }
    let [_, _, high, low] = (gateway % LOOPBACK_ADDRESSES + 2).to_be_bytes();
    Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 1, high, low)), 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateways_speak_from_loopback_only_to_loopback() {
        let tcp = |address: &str| Target::Tcp(address.parse().unwrap());
        assert_eq!(local_address(0, tcp("127.0.0.1:7400")), Some("127.1.0.2:0".parse().unwrap()));
        assert_eq!(local_address(300, tcp("127.0.0.1:7400")), Some("127.1.1.46:0".parse().unwrap()));
        assert_eq!(local_address(0, tcp("10.0.0.1:7400")), None);
        assert_eq!(local_address(0, tcp("[::1]:7400")), None);
    }
}
