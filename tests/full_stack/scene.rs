//! A small restaurant: its beacons, its gateway, and sightings whose outcomes are known beforehand.

use beacon_protocol::Hello;
use uuid::Uuid;

use crate::harness;
use crate::harness::daemon::Daemon;
use crate::harness::frames;
use crate::harness::reply::Record;
use crate::harness::tcp::TcpGateway;
use crate::model::generated::heard;
use crate::model::{Beacon, Model, Sighting};

/// Who reports.
pub(crate) const GATEWAY: &str = "gateway-1";

/// A beacon at a table of its own.
pub(crate) fn table(number: u16) -> Beacon {
    Beacon {
        id: Uuid::from_u128(0xBEAC << 112 | u128::from(number)),
        store: "ours".to_owned(),
        major: 1,
        minor: number,
        location: Some(format!("Table {number}")),
        location_type: Some("table".to_owned()),
        status: "active".to_owned(),
    }
}

/// The SQL that registers it.
pub(crate) fn registration(beacon: &Beacon) -> String {
    let Beacon { id, store, major, minor, location, location_type, status } = beacon;
    let quoted = |text: &Option<String>| text.as_ref().map_or("NULL".to_owned(), |text| format!("'{text}'"));
    format!(
        "INSERT INTO beacons (beacon_id, store_id, major, minor, location, location_type, status)
         VALUES ('{id}', '{store}', {major}, {minor}, {}, {}, '{status}')",
        quoted(location),
        quoted(location_type)
    )
}

/// A gateway over TCP that counts its frames, and what the model says of everything it sent.
#[derive(Debug)]
pub(crate) struct Reporter {
    gateway: TcpGateway,
    sequence: u64,
    customers: u32,
    /// What was accepted, if everything that is not undecided is answered.
    pub(crate) model: Model,
    /// Tells customers of one reporter from those of another.
    name: String,
}

impl Reporter {
    /// An open session. These beacons are registered, or will be when they are reported.
    pub(crate) fn open(daemon: &Daemon, beacons: &[Beacon]) -> Self {
        let gateway = daemon.tcp_session(GATEWAY);
        let name = harness::unique_name("customer");
        Self { gateway, sequence: 0, customers: 0, model: Model::of_one_gateway(beacons, GATEWAY), name }
    }

    /// A session with another daemon, at the daemon's own level; what was accepted stays so.
    #[track_caller]
    pub(crate) fn reopen_at_its_level(&mut self, daemon: &Daemon) {
        self.gateway = daemon.connect();
        let hello = Hello { ack_level: None, boot_epoch: frames::new_epoch(), ..frames::hello(GATEWAY) };
        self.gateway.greet(&hello).welcome();
        self.sequence = 0;
    }

    /// A sighting of a customer nobody has seen that identifies, if nothing stands against it.
    pub(crate) fn strong(&mut self, beacon: &Beacon) -> Sighting {
        self.customers += 1;
        heard(format!("{}-{}", self.name, self.customers).into(), harness::now_us(), beacon, -40)
    }

    /// One that is too weak.
    pub(crate) fn weak(&mut self, beacon: &Beacon) -> Sighting {
        Sighting { rssi_dbm: -90, ..self.strong(beacon) }
    }

    /// Sends a frame and returns what its sightings came to. The model decides those that are not undecided.
    #[track_caller]
    pub(crate) fn ask(&mut self, sightings: &[Sighting]) -> Vec<(&'static str, u16)> {
        self.send(sightings);
        let record = self.answered();
        let outcomes = record.outcomes();
        if !outcomes.iter().any(|(outcome, _)| *outcome == "undecided") {
            self.accept(sightings);
        }
        outcomes
    }

    /// Sends a frame.
    pub(crate) fn send(&mut self, sightings: &[Sighting]) {
        self.sequence += 1;
        self.gateway.send(&frames::sightings(self.sequence, sightings));
    }

    /// Sends preferences.
    pub(crate) fn send_preferences(&mut self, at_us: i64, customer: &str, pairs: &[(&str, &str)]) {
        self.sequence += 1;
        let pairs: Vec<(&[u8], &[u8])> =
            pairs.iter().map(|(key, value)| (key.as_bytes(), value.as_bytes())).collect();
        self.gateway.send(&frames::preferences(self.sequence, at_us, customer.as_bytes(), &pairs));
    }

    /// What the model makes of sightings that were answered as decided.
    pub(crate) fn accept(&mut self, sightings: &[Sighting]) {
        self.model.decide_all(GATEWAY, sightings, harness::now_us());
    }

    /// The record of the next answer, which is of the only frame that waits for one.
    #[track_caller]
    pub(crate) fn answered(&mut self) -> Record {
        let mut records = self.gateway.receive().ack().records;
        assert_eq!(records.len(), 1, "{records:?}");
        records.remove(0)
    }

    /// The records of the next answers, for so many frames, in the order of the frames.
    #[track_caller]
    pub(crate) fn answers(&mut self, frames: usize) -> Vec<Record> {
        let mut records = Vec::new();
        while records.len() < frames {
            records.extend(self.gateway.receive().ack().records);
        }
        records.sort_by_key(|record| record.sequence);
        records
    }
}
