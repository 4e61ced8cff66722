//! The gateway's client against a daemon that says what each test tells it to.
#![allow(clippy::disallowed_methods, reason = "tasks of a test are joined at its end")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests: what is unexpected should stop right there"
)]

mod daemon;
mod elsewhere;
mod refused;
mod renumbered;
mod tcp;
mod udp;

use std::time::Duration;

use beacon_protocol::client::{Answer, Event, Gateway, OutgoingFrame};
use beacon_protocol::{BeaconRef, SightingRef, TimeBase};

const BEACON: BeaconRef = BeaconRef { uuid: [7; 16], major: 1, minor: 2 };
const BASE: TimeBase = TimeBase::Utc(1_800_000_000_000_000);

/// Longer than anything here takes; nothing waits it out.
const PATIENCE: Duration = Duration::from_secs(20);

/// A frame with a sighting of each customer.
fn frame(base: TimeBase, customer_ids: &[&str]) -> OutgoingFrame {
    let sightings: Vec<_> = customer_ids
        .iter()
        .map(|id| SightingRef {
            beacon_index: 0,
            rssi_dbm: -60,
            time_offset_us: 0,
            customer_id: id.as_bytes(),
        })
        .collect();
    OutgoingFrame::sightings(base, &[BEACON], &sightings).unwrap()
}

/// The next answer; what else happens is passed over.
async fn answer(gateway: &mut Gateway) -> Answer {
    loop {
        match gateway.next_event().await.unwrap() {
            Some(Event::Answered(answer)) => return answer,
            Some(_) => {}
            None => panic!("the client ended"),
        }
    }
}

/// The next event that `wanted` accepts.
async fn event<T>(gateway: &mut Gateway, wanted: impl Fn(&Event) -> Option<T>) -> T {
    loop {
        let event = gateway.next_event().await.unwrap().expect("the client ended");
        if let Some(found) = wanted(&event) {
            return found;
        }
    }
}
