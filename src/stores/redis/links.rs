//! The connections to Redis: held up by one task, given up as a whole, and gone for everybody at once.
//!
//! The driver's own connection manager is not used: it makes callers wait while it connects, and it keeps a connection
//! whose answers time out.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, RedisError, RedisResult, ServerErrorKind,
};
use rustls::crypto::CryptoProvider;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::health::RedisHealth;
use super::scripts::{KEEP_BEACON, MOVE_CUSTOMER};
use super::{RedisSettings, RedisUrlError, STORE, address, reason};
use crate::backoff::Backoff;
use crate::domain::beacon::BeaconId;
use crate::ports::StoreError;

/// How often a server that nobody may be asking is asked whether it is there.
const PROBED_EVERY: Duration = Duration::from_secs(1);

/// Waits between attempts to connect. The longest keeps "works again by itself" within the seconds that operators wait.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LONGEST: Duration = Duration::from_secs(2);

/// A connection that lived this long was a good one: the next attempt waits the least again.
const STEADY_AFTER: Duration = Duration::from_secs(10);

/// Beacons remembered, while Redis is down, to be forgotten once it is back; past it all of them are. 4 MiB.
const UNFORGOTTEN_AT_MOST: usize = 65_536;

/// Keys unlinked, or looked at, in one round trip.
const KEYS_AT_ONCE: usize = 1_000;

/// A write that changes nothing: no beacon has this key. A server that only answers questions does not count as up,
/// since it would go on serving beacons that it cannot be made to forget.
const PROBE_KEY: &str = "beacon:probe";

/// Both connections, or neither.
#[derive(Debug)]
pub(super) struct Links {
    client: Client,
    timeout: Duration,
    address: String,
    pub(super) health: Arc<RedisHealth>,
    state: Mutex<State>,
    lost: Notify,
}

#[derive(Debug, Default)]
struct State {
    connected: Option<Connections>,
    generation: u64,
    lost_because: String,
    unforgotten: Unforgotten,
}

#[derive(Debug, Clone)]
struct Connections {
    generation: u64,
    beacons: MultiplexedConnection,
    customers: MultiplexedConnection,
}

/// What could not be forgotten. It is before the cache is asked again.
#[derive(Debug, Default)]
struct Unforgotten {
    ids: HashSet<BeaconId>,
    all: bool,
}

/// One connection, for one request.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) connection: MultiplexedConnection,
    generation: u64,
}

impl Links {
    pub(super) fn new(settings: &RedisSettings, health: Arc<RedisHealth>) -> Result<Self, RedisUrlError> {
        let client = settings.client()?;
        Ok(Self {
            address: address(&client),
            client,
            timeout: settings.timeout,
            health,
            state: Mutex::default(),
            lost: Notify::new(),
        })
    }

    /// The connection for questions about beacons.
    pub(super) fn beacons(&self) -> Result<Lane, StoreError> {
        self.lane(|connections| connections.beacons)
    }

    /// The connection for customers.
    pub(super) fn customers(&self) -> Result<Lane, StoreError> {
        self.lane(|connections| connections.customers)
    }

    fn lane(&self, choose: fn(Connections) -> MultiplexedConnection) -> Result<Lane, StoreError> {
        let state = self.state();
        match state.connected.clone() {
            Some(connections) => {
                Ok(Lane { generation: connections.generation, connection: choose(connections) })
            }
            None => Err(unavailable("it is down")),
        }
    }

    /// A request failed. Gives up the connections it went over, unless the server is there and only refuses this.
    pub(super) fn failed(&self, lane: &Lane, error: &RedisError) -> StoreError {
        if is_refusal(error) {
            self.health.refused(&reason(error));
        } else {
            self.give_up(Some(lane.generation), reason(error));
        }
        unavailable(&reason(error))
    }

    /// These beacons were to be forgotten and were not: no answer about them until they are.
    pub(super) fn forget_later(&self, ids: &[BeaconId]) {
        let mut state = self.state();
        let unforgotten = &mut state.unforgotten;
        if unforgotten.ids.len() + ids.len() > UNFORGOTTEN_AT_MOST {
            *unforgotten = Unforgotten { ids: HashSet::new(), all: true };
        } else if !unforgotten.all {
            unforgotten.ids.extend(ids);
        }
        drop(state);
        self.give_up(None, "beacons could not be forgotten".to_owned());
    }

    /// Takes away the connections of `generation`, or whichever there are.
    fn give_up(&self, generation: Option<u64>, because: String) {
        let mut state = self.state();
        let held = state.connected.as_ref().map(|connections| connections.generation);
        if held.is_some() && (generation.is_none() || generation == held) {
            state.connected = None;
            state.lost_because = because;
            drop(state);
            self.lost.notify_one();
        }
    }

    /// Connects, and again whenever the connections are lost, until `stop`.
    pub(super) async fn hold(self: Arc<Self>, stop: CancellationToken) {
        stop.run_until_cancelled(self.hold_up()).await;
    }

    async fn hold_up(&self) {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_LONGEST);
        loop {
            let because = match self.connect().await {
                Ok(()) => {
                    let connected_at = Instant::now();
                    self.health.turned_up(&self.address);
                    let because = self.watch().await;
                    if connected_at.elapsed() > STEADY_AFTER {
                        backoff.reset();
                    }
                    because
                }
                Err(error) => reason(&error),
            };
            self.health.turned_down(&self.address, &because);
            sleep(backoff.wait()).await;
        }
    }

    /// Makes both connections and everything that must be so before they are used.
    async fn connect(&self) -> RedisResult<()> {
        use_tls(&self.client);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(self.timeout));
        let connect = || self.client.get_multiplexed_async_connection_with_config(&config);
        let (mut beacons, customers) = (connect().await?, connect().await?);
        KEEP_BEACON.load_async(&mut beacons).await?;
        MOVE_CUSTOMER.load_async(&mut beacons).await?;
        probe(&mut beacons).await?;
        loop {
            let unforgotten = {
                let mut state = self.state();
                if state.unforgotten.is_empty() {
                    state.generation += 1;
                    let generation = state.generation;
                    state.connected = Some(Connections { generation, beacons, customers });
                    return Ok(());
                }
                std::mem::take(&mut state.unforgotten)
            };
            if let Err(error) = unforgotten.forget(&mut beacons).await {
                self.state().unforgotten.merge(unforgotten);
                return Err(error);
            }
        }
    }

    /// Returns why the connections were lost.
    async fn watch(&self) -> String {
        let mut every = interval(PROBED_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.lost.notified() => {}
                _ = every.tick() => self.probe_both().await,
            }
            // What was told may be of connections before these.
            let state = self.state();
            if state.connected.is_none() {
                return state.lost_because.clone();
            }
        }
    }

    async fn probe_both(&self) {
        for lane in [self.beacons(), self.customers()] {
            let Ok(mut lane) = lane else { return };
            // A probe that is refused is a failure too: see PROBE_KEY.
            if let Err(error) = probe(&mut lane.connection).await {
                self.give_up(Some(lane.generation), reason(&error));
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unforgotten {
    fn is_empty(&self) -> bool {
        self.ids.is_empty() && !self.all
    }

    fn merge(&mut self, other: Self) {
        self.all |= other.all;
        self.ids.extend(other.ids);
    }

    async fn forget(&self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        if self.all {
            unlink_all(connection).await?;
        }
        let ids: Vec<_> = self.ids.iter().copied().collect();
        unlink(connection, &ids).await
    }
}

/// The key of a beacon's hash.
pub(super) fn beacon_key(id: BeaconId) -> String {
    format!("beacon:{id}")
}

/// Removes the hashes of these beacons, a key a command, so that a cluster can tell them apart.
pub(super) async fn unlink(connection: &mut MultiplexedConnection, ids: &[BeaconId]) -> RedisResult<()> {
    for ids in ids.chunks(KEYS_AT_ONCE) {
        let mut pipeline = redis::Pipeline::with_capacity(ids.len());
        for id in ids {
            pipeline.cmd("UNLINK").arg(beacon_key(*id)).ignore();
        }
        pipeline.query_async::<()>(connection).await?;
    }
    Ok(())
}

async fn unlink_all(connection: &mut MultiplexedConnection) -> RedisResult<()> {
    let mut cursor = 0_u64;
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg("beacon:*").arg("COUNT").arg(KEYS_AT_ONCE);
        let (next, keys): (u64, Vec<Vec<u8>>) = scan.query_async(connection).await?;
        if !keys.is_empty() {
            redis::cmd("UNLINK").arg(keys).query_async::<()>(connection).await?;
        }
        if next == 0 {
            return Ok(());
        }
        cursor = next;
    }
}

/// Has the process know how to encrypt, if this server asks for it: the driver panics where that is not certain.
pub(super) fn use_tls(client: &Client) {
    let is_tls = matches!(client.get_connection_info().addr(), ConnectionAddr::TcpTls { .. });
    if is_tls && CryptoProvider::get_default().is_none() {
        // That another part was quicker is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
}

pub(super) async fn probe(connection: &mut MultiplexedConnection) -> RedisResult<()> {
    redis::cmd("UNLINK").arg(PROBE_KEY).query_async(connection).await
}

/// Whether the server is there and does not do this one thing. Everything else is a connection to give up: what is
/// connected next may be another server, such as the one that took over from a primary that became read-only.
fn is_refusal(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(
            ServerErrorKind::ReadOnly
            | ServerErrorKind::BusyLoading
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ClusterDown,
        ) => false,
        ErrorKind::Server(_) | ErrorKind::Extension | ErrorKind::UnexpectedReturnType => true,
        _ => false,
    }
}

pub(super) fn unavailable(reason: &str) -> StoreError {
    StoreError::Unavailable { store: STORE, reason: reason.to_owned() }
}
