//! A run as it should be: customers who are sighted every ten seconds, one frame after the other.

use std::path::{Path, PathBuf};

use beacon_protocol::{OUTCOME_CODES, OutcomeCode};

use super::super::MINUTE_US;
use crate::evidence::{
    Answered, EvidenceHead, EvidenceWriter, FrameEvidence, FrameVerdict, SightingEvidence,
};
use crate::population::{Heard, Layout, Naming};
use crate::scenario::Scenario;

/// 2027-01-15T08:00:00Z.
pub(super) const BEGAN_US: i64 = 1_800_000_000_000_000;

const GATEWAYS: u32 = 6;
/// Sightings in a frame.
const BATCH: usize = 50;
const EVERY_US: i64 = 10_000_000;

/// What was sent, and what became of it.
pub(super) struct Simulated {
    pub(super) scenario: Scenario,
    pub(super) frames: Vec<FrameEvidence>,
    pub(super) identities: Vec<Heard>,
}

pub(super) fn scenario(customers: u32) -> Scenario {
    let mut scenario = Scenario::default();
    let population = &mut scenario.population;
    (population.customers, population.stores, population.gateways) = (customers, 60, GATEWAYS);
    scenario.sessions.in_flight = 1;
    scenario
}

pub(super) fn customer_id(customer: u32) -> String {
    String::from_utf8(Naming::customer_id(customer).into()).unwrap()
}

impl Simulated {
    /// Each of so many customers is sighted so often.
    pub(super) fn of(customers: u32, sightings: i64) -> Self {
        let scenario = scenario(customers);
        let (mut frames, mut identities) = (Vec::new(), Vec::new());
        simulate(&scenario, sightings, |frame| frames.push(frame.clone()), |heard| identities.push(*heard));
        Self { scenario, frames, identities }
    }

    pub(super) fn scenario_text(&self) -> String {
        toml::to_string(&self.scenario).unwrap()
    }

    /// Writes the evidence of one generator.
    pub(super) fn write(&self, file: &Path) -> PathBuf {
        self.write_part(file, (1, 1))
    }

    /// Writes the evidence of several generators, who shared the gateways.
    pub(super) fn write_parts(&self, directory: &Path, parts: u32) -> Vec<PathBuf> {
        std::fs::create_dir_all(directory).unwrap();
        let part = |part| self.write_part(&directory.join(format!("evidence-{part}")), (part, parts));
        (1..=parts).map(part).collect()
    }

    fn write_part(&self, file: &Path, (part, parts): (u32, u32)) -> PathBuf {
        let head = EvidenceHead::new(self.scenario_text(), BEGAN_US, (part, parts));
        let mut writer = EvidenceWriter::create(file, &head).unwrap();
        for frame in self.frames.iter().filter(|frame| frame.gateway % parts + 1 == part) {
            writer.frame(frame).unwrap();
        }
        writer.finish(true).unwrap();
        file.to_owned()
    }

    /// What gateways were answered, by outcome code.
    pub(super) fn outcomes(&self) -> [u64; OUTCOME_CODES] {
        let mut outcomes = [0; OUTCOME_CODES];
        for frame in &self.frames {
            let FrameVerdict::Decided { identified, duplicate } = frame.verdict else { continue };
            outcomes[10] += u64::from(identified);
            outcomes[9] += u64::from(duplicate);
            let weak = frame.sightings.iter().filter(|one| one.heard.expected == OutcomeCode::LowConfidence);
            outcomes[8] += weak.count() as u64;
        }
        outcomes
    }
}

/// The same straight into a file, without keeping any of it.
pub(super) fn stream(scenario: &Scenario, sightings: i64, file: &Path, identity: impl FnMut(&Heard)) {
    let head = EvidenceHead::new(toml::to_string(scenario).unwrap(), BEGAN_US, (1, 1));
    let mut writer = EvidenceWriter::create(file, &head).unwrap();
    simulate(scenario, sightings, |frame| writer.frame(frame).unwrap(), identity);
    writer.finish(true).unwrap();
}

fn simulate(
    scenario: &Scenario,
    sightings: i64,
    mut send: impl FnMut(&FrameEvidence),
    mut store: impl FnMut(&Heard),
) {
    let layout = Layout::new(&scenario.population);
    let mut identified_at = vec![i64::MIN / 2; layout.customers() as usize];
    let mut orders = [0; GATEWAYS as usize];
    for round in 0..sightings {
        for gateway in 0..GATEWAYS {
            let customers: Vec<u32> = layout.customers_of(gateway).collect();
            for part in customers.chunks(BATCH) {
                orders[gateway as usize] += 1;
                let mut frame =
                    FrameEvidence { gateway, order: orders[gateway as usize], ..FrameEvidence::empty() };
                let (mut identified, mut duplicate) = (0, 0);
                for &customer in part {
                    let heard = sighting(&layout, gateway, customer, round);
                    let answered = Answered::NotListed;
                    frame.sightings.push(SightingEvidence { heard, answered });
                    let last = &mut identified_at[customer as usize];
                    match heard.expected {
                        OutcomeCode::LowConfidence => {}
                        _ if heard.at_us - *last < MINUTE_US => duplicate += 1,
                        _ => {
                            *last = heard.at_us;
                            identified += 1;
                            store(&heard);
                        }
                    }
                }
                frame.verdict = FrameVerdict::Decided { identified, duplicate };
                send(&frame);
            }
        }
    }
}

/// A customer's sighting of a round; every seventh is too weak.
fn sighting(layout: &Layout, gateway: u32, customer: u32, round: i64) -> Heard {
    let stores = layout.stores_of(gateway);
    let store = stores.start + customer % (stores.end - stores.start);
    let beacons = layout.beacons_of(store);
    let beacon = beacons.start + customer % (beacons.end - beacons.start - 1);
    let at_us = round * EVERY_US + i64::from(customer % 997) * 1_000 + i64::from(customer % 3);
    let is_weak = (i64::from(customer) + round) % 7 == 6;
    let (rssi_dbm, expected) = if is_weak {
        (-90, OutcomeCode::LowConfidence)
    } else {
        (-45 - i8::try_from(customer % 9).unwrap(), OutcomeCode::Identified)
    };
    Heard { customer, beacon, at_us, rssi_dbm, expected, opens_visit: false }
}
