//! Fifty gateways that report what they hear, half of them over TCP and half over UDP.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use beacon_protocol::client::{
    ClientError, Gateway, GatewayConfig, GatewayEvents, GatewaySender, Target, WhenRefused,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::comparison::Sent;
use super::visits::{GATEWAYS, Heard, Visits};
use crate::batches::{BatchLimits, Batches};
use crate::clock::now_us;
use crate::frames::frame;
use crate::recorder::Recorder;
use crate::session::hear_answers;
use crate::tracks::Tracks;

/// A gateway keeps what it hears for so long before it sends it.
const GATHERING: Duration = Duration::from_millis(50);

/// Sightings in a frame at most; a datagram holds some fewer.
const BATCH_SIGHTINGS: usize = 64;

/// Where the daemon listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) tcp: SocketAddr,
    pub(crate) udp: SocketAddr,
}

/// How much is told, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Volume {
    /// Sightings of one restaurant in all.
    pub(crate) sightings: u32,
    pub(crate) lasts: Duration,
}

/// What all restaurants share while they report.
#[derive(Debug)]
pub(crate) struct Traffic {
    volume: Volume,
    pub(crate) recorder: Recorder,
    sent: Mutex<Sent>,
    /// Cancelled, nothing more is sent; the answers are still awaited.
    pub(crate) stop: CancellationToken,
}

/// A restaurant with its gateways connected.
#[derive(Debug)]
pub(crate) struct Floor {
    senders: Vec<GatewaySender>,
    events: Vec<GatewayEvents>,
}

/// A gateway's id: what the registry and its hello say.
pub(crate) fn gateway_id(restaurant: u16, gateway: usize) -> String {
    format!("restaurant-{restaurant:02}-gateway-{}", gateway + 1)
}

impl Floor {
    /// Connects the gateways of one restaurant.
    pub(crate) async fn connect(restaurant: u16, addresses: Addresses) -> Result<Self, ClientError> {
        let boot_epoch = now_us().unsigned_abs();
        let (mut senders, mut events) = (Vec::new(), Vec::new());
        for gateway in 0..GATEWAYS {
            let target = if (usize::from(restaurant) + gateway).is_multiple_of(2) {
                Target::Tcp(addresses.tcp)
            } else {
                Target::Udp(addresses.udp)
            };
            let config = GatewayConfig {
                when_refused: WhenRefused::GiveUp,
                ..GatewayConfig::new(target, gateway_id(restaurant, gateway), boot_epoch)
            };
            let (sender, heard) = Gateway::connect(config).await?.into_split();
            senders.push(sender);
            events.push(heard);
        }
        Ok(Self { senders, events })
    }

    /// Tells the visits until they are told or the traffic is stopped, and waits for every answer.
    pub(crate) async fn tell(self, visits: Visits, traffic: Arc<Traffic>) -> Result<(), ClientError> {
        let mut hearing = JoinSet::new();
        for events in self.events {
            let traffic = Arc::clone(&traffic);
            hearing.spawn(async move { hear_answers(events, &traffic.recorder, |_| ()).await });
        }
        traffic.send(self.senders, visits).await?;
        while let Some(heard) = hearing.join_next().await {
            heard.map_err(|error| ClientError::System(error.to_string()))??;
        }
        Ok(())
    }
}

impl Traffic {
    pub(crate) fn new(volume: Volume) -> Self {
        Self {
            volume,
            recorder: Recorder::new(),
            sent: Mutex::new(Sent::default()),
            stop: CancellationToken::new(),
        }
    }

    /// What was sent so far; nothing of it is left here.
    pub(crate) fn take_sent(&self) -> Sent {
        std::mem::take(&mut *self.sent.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Drops the senders at its end, which tells their clients that nothing more comes.
    async fn send(&self, senders: Vec<GatewaySender>, mut visits: Visits) -> Result<(), ClientError> {
        let volume = self.volume;
        let starts_at = Instant::now();
        let mut ticks = tokio::time::interval(GATHERING);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut told = 0;
        let mut heard: Vec<Heard> = Vec::new();
        while told < volume.sightings && !self.stop.is_cancelled() {
            ticks.tick().await;
            let due = volume.due(starts_at.elapsed());
            let mut gathered: Vec<Tracks> = senders.iter().map(|_| Tracks::default()).collect();
            let mut sent = Sent::default();
            while told < due {
                visits.hear(told, volume.sightings, &mut heard);
                // Even if nobody was there to be heard, time goes on.
                told += u32::try_from(heard.len()).unwrap_or(u32::MAX).max(1);
                for heard in heard.drain(..) {
                    sent.add(visits.restaurant(), &heard);
                    let gateway = &mut gathered[heard.gateway];
                    gateway.push(heard.customer_id, heard.beacon, heard.detected_at_us, heard.rssi_dbm);
                }
            }
            self.sent.lock().unwrap_or_else(PoisonError::into_inner).merge(sent);
            for (sender, tracks) in senders.iter().zip(&gathered) {
                self.send_gathered(sender, tracks).await?;
            }
        }
        Ok(())
    }

    async fn send_gathered(&self, sender: &GatewaySender, tracks: &Tracks) -> Result<(), ClientError> {
        let limits = sender.limits();
        let batches = Batches::of(
            tracks,
            BatchLimits {
                sightings: BATCH_SIGHTINGS.min(limits.max_sightings.into()),
                frame_bytes: limits.max_frame_bytes,
                added_id_bytes: 0,
            },
        );
        for batch in batches {
            self.recorder.sending(batch.sightings.len() as u64);
            sender.send(frame(tracks, &batch, "")?, 0).await?;
        }
        Ok(())
    }
}

impl Volume {
    /// Sightings that should be told by now.
    fn due(self, elapsed: Duration) -> u32 {
        let part = elapsed.as_secs_f64() / self.lasts.as_secs_f64();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the u32")]
        let due = (f64::from(self.sightings) * part.min(1.0)) as u32;
        due
    }
}
