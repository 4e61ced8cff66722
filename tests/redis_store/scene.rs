//! What the tests share: the adapter on a server, and rows for it.

use std::sync::Arc;
use std::time::Duration;

use beacond::domain::beacon::{Beacon, BeaconId, BeaconStatus};
use beacond::domain::confidence::Confidence;
use beacond::domain::customer::CustomerId;
use beacond::domain::identity::CustomerIdentity;
use beacond::domain::location::LocationType;
use beacond::domain::time::Timestamp;
use beacond::ports::Block;
use beacond::stores::redis::{Redis, RedisCounts, RedisSettings};
use beacond::tasks::TaskGroup;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::server::Server;

/// 2026-05-01T12:00:00.000000Z.
pub(crate) const NOON_US: i64 = 1_777_636_800_000_000;

/// Longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(20);

/// The adapter at work.
pub(crate) struct Scene {
    pub(crate) redis: Redis,
    tasks: TaskGroup,
    stop: CancellationToken,
}

impl Scene {
    /// Starts it; the server may be there or not.
    pub(crate) fn start(settings: &RedisSettings) -> Self {
        let (tasks, stop) = (TaskGroup::new("redis"), CancellationToken::new());
        let redis = Redis::start(settings, &tasks, &stop).unwrap();
        Self { redis, tasks, stop }
    }

    /// Starts it on a server, and waits until it is connected.
    pub(crate) async fn on(server: &Server) -> Self {
        let scene = Self::start(&settings(&server.url()));
        scene.until_up().await;
        scene
    }

    pub(crate) async fn until_up(&self) {
        self.until(true).await;
    }

    pub(crate) async fn until_down(&self) {
        self.until(false).await;
    }

    async fn until(&self, up: bool) {
        let mut follow = self.redis.health.follow();
        timeout(DEADLINE, follow.wait_for(|now| *now == up)).await.unwrap().unwrap();
    }

    /// Stops it: what was queued has been written, or given up, when this returns.
    pub(crate) async fn finish(self) -> RedisCounts {
        self.stop.cancel();
        assert!(self.tasks.join(DEADLINE).await);
        self.redis.health.counts()
    }
}

pub(crate) fn settings(url: &str) -> RedisSettings {
    RedisSettings {
        url: url.to_owned(),
        timeout: Duration::from_secs(5),
        customers_queued: 100_000,
        customers_batch_rows: 512,
    }
}

pub(crate) fn time(after_noon_us: i64) -> Timestamp {
    Timestamp::from_micros(NOON_US + after_noon_us)
}

pub(crate) fn beacon_id(number: u32) -> BeaconId {
    let mut bytes = [0xbe; 16];
    bytes[12..].copy_from_slice(&number.to_be_bytes());
    BeaconId::from_bytes(bytes)
}

pub(crate) fn key(number: u32) -> String {
    format!("beacon:{}", beacon_id(number))
}

/// A beacon as of so many microseconds after noon.
pub(crate) fn beacon(number: u32, version_us: i64) -> Beacon {
    Beacon {
        id: beacon_id(number),
        store_id: "store-1".parse().unwrap(),
        major: 65_535,
        minor: 7,
        location: Some("Table 3".parse().unwrap()),
        location_type: Some(LocationType::Counter),
        status: BeaconStatus::Maintenance,
        updated_at: time(version_us),
    }
}

/// An identity so long after noon.
pub(crate) fn identity(customer_id: &str, after_noon_us: i64) -> CustomerIdentity {
    CustomerIdentity {
        customer_id: CustomerId::from_bytes(customer_id.as_bytes()).unwrap(),
        beacon_id: beacon_id(1),
        location: Some("Table 3".parse().unwrap()),
        confidence: Confidence::from_stored(0.9).unwrap(),
        detected_at: time(after_noon_us),
    }
}

pub(crate) fn block(identities: Vec<CustomerIdentity>) -> Arc<Block> {
    Arc::new(Block { identities, preferences: Vec::new() })
}
