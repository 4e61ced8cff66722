//! A small restaurant with everything that may go wrong: what the wire tests are played in.

use uuid::Uuid;

use crate::harness::daemon::Daemon;
use crate::harness::home::Home;
use crate::harness::{self, store};
use crate::model::generated::heard;
use crate::model::{Beacon, Sighting};

/// A gateway that may report the store `ours`.
pub(crate) const GATEWAY: &str = "gateway-1";
/// Another such.
pub(crate) const OTHER_GATEWAY: &str = "gateway-2";
/// A gateway that is registered and disabled.
pub(crate) const DISABLED_GATEWAY: &str = "gateway-off";

/// A daemon with registered beacons and gateways, taking no others.
pub(crate) struct Scene {
    pub(crate) daemon: Daemon,
    pub(crate) home: Home,
    /// When it was set up.
    pub(crate) now_us: i64,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::with_config("")
    }

    /// A scene whose daemon is configured by this TOML.
    pub(crate) fn with_config(toml: &str) -> Self {
        let home = Home::with_beacons(&[table(), counter(), inactive(), maintenance(), foreign()]);
        home.import_gateways(&[
            (GATEWAY, &["ours"], "active"),
            (OTHER_GATEWAY, &["more", "ours"], "active"),
            (DISABLED_GATEWAY, &["ours"], "disabled"),
        ]);
        let config = home.write("beacond.toml", toml);
        let daemon = home.serve_with(&["--config", config.to_str().unwrap()]);
        Self { daemon, home, now_us: harness::now_us() }
    }

    /// This scene after its daemon was killed as by a power failure and started again.
    pub(crate) fn killed_and_started(self) -> Self {
        self.daemon.kill();
        let config = self.home.path("beacond.toml");
        let daemon = self.home.serve_with(&["--config", config.to_str().unwrap()]);
        Self { daemon, ..self }
    }

    /// A sighting of the table's beacon that identifies, if nothing stands against it.
    pub(crate) fn strong(&self, customer: &str) -> Sighting {
        heard(customer.into(), self.now_us, &table(), -40)
    }

    /// A sighting of the table's beacon that is too weak.
    pub(crate) fn weak(&self, customer: &str) -> Sighting {
        heard(customer.into(), self.now_us, &table(), -90)
    }

    /// How often a customer is identified, says the store, once everything accepted is there.
    pub(crate) fn identities_of(&self, customer: &str) -> usize {
        self.daemon.wait_for_stats("all is stored", |stats| stats.store("waiting") == 0);
        let tables = store::tables(&self.home.data());
        tables.identities.iter().filter(|row| row.customer_id == customer).count()
    }
}

fn beacon(number: u128, store: &str, status: &str) -> Beacon {
    Beacon {
        id: Uuid::from_u128(0xBEAC << 112 | number),
        store: store.to_owned(),
        major: 1,
        minor: u16::try_from(number).unwrap(),
        location: Some(format!("Table {number}")),
        location_type: Some("table".to_owned()),
        status: status.to_owned(),
    }
}

pub(crate) fn table() -> Beacon {
    beacon(1, "ours", "active")
}

pub(crate) fn counter() -> Beacon {
    Beacon { location_type: Some("counter".to_owned()), ..beacon(2, "ours", "active") }
}

pub(crate) fn inactive() -> Beacon {
    beacon(3, "ours", "inactive")
}

pub(crate) fn maintenance() -> Beacon {
    beacon(4, "ours", "maintenance")
}

pub(crate) fn foreign() -> Beacon {
    beacon(5, "theirs", "active")
}

pub(crate) fn unregistered() -> Beacon {
    beacon(6, "ours", "active")
}
