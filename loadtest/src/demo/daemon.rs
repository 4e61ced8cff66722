//! The daemon of the demo, on a thread of this process.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::thread::JoinHandle;

use anyhow::{Context, anyhow};
use beacond::app::{Daemon, Exit};
use beacond::config::Config;
use beacond::domain::gateway::{Gateway, GatewayStatus, StoreScope};
use beacond::pipeline::Ledger;
use beacond::stores::sqlite::SqliteAdmin;
use tokio_util::sync::CancellationToken;

use super::restaurants::Restaurant;
use super::traffic::{Addresses, gateway_id};
use super::visits::GATEWAYS;

/// A daemon that serves until it is stopped.
pub(crate) struct RunningDaemon {
    addresses: Addresses,
    ledger: Box<dyn Fn() -> Ledger + Send + Sync>,
    stop: CancellationToken,
    thread: JoinHandle<Exit>,
}

impl RunningDaemon {
    /// Registers the restaurants' beacons and gateways in a new store, and serves them.
    pub(crate) fn start(data_dir: &Path, restaurants: &[Restaurant]) -> anyhow::Result<Self> {
        let beacons: Vec<_> = restaurants.iter().flat_map(|restaurant| restaurant.beacons.clone()).collect();
        let gateways: Vec<_> = restaurants.iter().map(gateways).collect::<Result<Vec<_>, _>>()?.concat();
        let mut admin = SqliteAdmin::open(data_dir).context("cannot make the store")?;
        admin.import_beacons(&beacons).context("cannot register the beacons")?;
        admin.import_gateways(&gateways).context("cannot register the gateways")?;
        drop(admin);
        let daemon = Daemon::build(&Config::embedded(data_dir.to_owned())?)?;
        let addresses = daemon.addresses();
        let ledger = Box::new(daemon.ledger_reader());
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name("beacond".to_owned())
            .spawn(move || daemon.run(&stopped))
            .context("cannot start a thread")?;
        Ok(Self { addresses: Addresses { tcp: addresses.tcp, udp: addresses.udp }, ledger, stop, thread })
    }

    pub(crate) const fn addresses(&self) -> Addresses {
        self.addresses
    }

    pub(crate) fn ledger(&self) -> Ledger {
        (self.ledger)()
    }

    /// Stops it as SIGTERM would, and reads its ledger for the last time.
    pub(crate) fn stop(self) -> anyhow::Result<Ledger> {
        self.stop.cancel();
        let exit = self.thread.join().map_err(|_| anyhow!("the daemon's thread panicked"))?;
        if exit == Exit::Waiting {
            eprintln!("loadtest: identities wait in the journal of the daemon");
        }
        Ok((self.ledger)())
    }
}

impl fmt::Debug for RunningDaemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningDaemon").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

/// Each may report its own restaurant only.
fn gateways(restaurant: &Restaurant) -> anyhow::Result<Vec<Gateway>> {
    let stores: HashSet<_> = restaurant.beacons.iter().map(|beacon| beacon.store_id.clone()).collect();
    (0..GATEWAYS)
        .map(|gateway| {
            Ok(Gateway {
                id: gateway_id(restaurant.number, gateway).parse()?,
                stores: StoreScope::These(stores.clone()),
                status: GatewayStatus::Active,
            })
        })
        .collect()
}
