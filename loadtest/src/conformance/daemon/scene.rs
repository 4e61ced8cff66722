//! What every check of a daemon is told, and frames to send it.

use std::net::SocketAddr;
use std::time::Duration;

use beacon_protocol::{BeaconRef, Hello, SightingRef, TimeBase};

use super::super::bytes;
use super::super::check::Stop;
use crate::clock::now_us;

/// The daemon under test, and who speaks with it.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) address: SocketAddr,
    pub(super) over_udp: bool,
    pub(super) patience: Duration,
    pub(super) gateway: String,
    /// A registered one, that makes sightings identify.
    pub(super) beacon: Option<BeaconRef>,
    /// This check's own numbering.
    pub(super) epoch: u64,
    /// Fresh random bytes of this check's hellos.
    pub(super) client_random: [u8; 32],
    /// Rules that this check turned out to be unable to tell about.
    pub(super) unsaid: Vec<(u8, String)>,
}

/// Registered nowhere.
pub(super) const UNKNOWN_BEACON: BeaconRef =
    BeaconRef { uuid: *b"beacond-unknown!", major: 65_535, minor: 65_535 };

/// Strong enough to identify at any beacon.
const STRONG_DBM: i8 = -30;

impl Scene {
    /// For the next check: the same daemon, another numbering.
    pub(super) fn fresh(&self) -> Self {
        let mut client_random = [0; 32];
        fastrand::fill(&mut client_random);
        Self {
            address: self.address,
            over_udp: self.over_udp,
            patience: self.patience,
            gateway: self.gateway.clone(),
            beacon: self.beacon,
            epoch: fastrand::u64(..),
            client_random,
            unsaid: Vec::new(),
        }
    }

    /// Notes that this conversation says nothing about a rule.
    pub(super) fn leave_unsaid(&mut self, rule: u8, why: impl Into<String>) {
        self.unsaid.push((rule, why.into()));
    }

    /// A sound hello of this check's epoch.
    pub(super) fn hello(&self) -> Hello<'_> {
        Hello {
            min_version: 1,
            max_version: 1,
            ack_level: None,
            boot_epoch: self.epoch,
            first_unacked: 1,
            client_random: self.client_random,
            gateway_id: &self.gateway,
            auth_method: 0,
            auth: &[],
        }
    }

    /// A frame with one sighting of now, of a beacon that nobody knows: nothing is stored of it.
    pub(super) fn frame(&self, sequence: u64) -> Result<Vec<u8>, Stop> {
        self.frame_of(sequence, "conformance")
    }

    /// The same of another customer: another frame.
    pub(super) fn frame_of(&self, sequence: u64, customer: &str) -> Result<Vec<u8>, Stop> {
        bytes::sightings(
            sequence,
            TimeBase::Utc(now_us()),
            UNKNOWN_BEACON,
            &[sighting(customer.as_bytes(), 0)],
        )
    }

    /// A frame that becomes durable: preferences of a customer of this check's own.
    pub(super) fn durable(&self, sequence: u64, value: &[u8]) -> Result<Vec<u8>, Stop> {
        let customer = self.customer();
        bytes::preferences(sequence, TimeBase::Utc(now_us()), customer.as_bytes(), &[(b"conformance", value)])
    }

    /// A customer that no other check and no earlier run has.
    pub(super) fn customer(&self) -> String {
        format!("conformance-{:016x}", self.epoch)
    }
}

/// A strong sighting.
pub(super) const fn sighting(customer_id: &[u8], time_offset_us: i32) -> SightingRef<'_> {
    SightingRef { beacon_index: 0, rssi_dbm: STRONG_DBM, time_offset_us, customer_id }
}
