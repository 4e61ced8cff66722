//! What one gateway hears, and the frames it makes of it.

use beacon_protocol::client::{FrameLimits, OutgoingFrame};
use beacon_protocol::{EncodeError, OutcomeCode, SightingRef, TimeBase};

use crate::population::{Heard, Layout, Naming};
use crate::scenario::Scenario;

/// A gateway's ear.
#[derive(Debug)]
pub(crate) struct Source {
    naming: Naming,
    layout: Layout,
    gateway: u32,
    every_us: i64,
    next_us: i64,
    next: u32,
    batch: usize,
    from_us: i64,
}

impl Source {
    pub(crate) fn new(scenario: &Scenario, gateway: u32, from_us: i64) -> Self {
        let layout = Layout::new(&scenario.population);
        let rate = f64::from(layout.customers_of(gateway).len() as u32) * scenario.population.present
            / scenario.population.sighted_every.as_secs_f64();
        Self {
            naming: Naming::new(layout),
            layout,
            gateway,
            every_us: (1e6 / rate) as i64,
            next_us: from_us + i64::from(gateway) * 997 % 10_000,
            next: 0,
            batch: scenario.sessions.batch.into(),
            from_us,
        }
    }

    pub(crate) const fn from_us(&self) -> i64 {
        self.from_us
    }

    pub(crate) fn hear(&mut self, until_us: i64, heard: &mut Vec<Heard>) {
        let customers = self.layout.customers_of(self.gateway);
        let stores = self.layout.stores_of(self.gateway);
        while self.next_us <= until_us {
            let customer = customers.start + self.next % (customers.end - customers.start);
            let store = stores.start + customer % (stores.end - stores.start);
            heard.push(Heard {
                customer,
                beacon: self.layout.beacons_of(store).start + 2,
                at_us: self.next_us,
                rssi_dbm: if self.next % 7 == 0 { -90 } else { -50 },
                expected: if self.next % 7 == 0 {
                    OutcomeCode::LowConfidence
                } else {
                    OutcomeCode::Identified
                },
            });
            self.next += 1;
            self.next_us += self.every_us;
        }
    }

    pub(crate) fn frame(
        &mut self,
        heard: &[Heard],
        _limits: FrameLimits,
        began_at_us: i64,
    ) -> Result<(OutgoingFrame, usize), EncodeError> {
        let taken = heard.len().min(self.batch).min(40);
        let ids: Vec<_> = heard.iter().map(|heard| Naming::customer_id(heard.customer)).collect();
        let mut beacons = Vec::new();
        let mut sightings = Vec::new();
        for (one, id) in heard[..taken].iter().zip(&ids) {
            beacons.push(self.naming.radio(one.beacon, one.expected));
            sightings.push(SightingRef {
                beacon_index: (beacons.len() - 1) as u8,
                rssi_dbm: one.rssi_dbm,
                time_offset_us: (one.at_us - heard[0].at_us) as i32,
                customer_id: id,
            });
        }
        Ok((
            OutgoingFrame::sightings(TimeBase::Utc(began_at_us + heard[0].at_us), &beacons, &sightings)?,
            taken,
        ))
    }
}
