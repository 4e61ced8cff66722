//! Who belongs where: customers and stores dealt out to gateways, beacons to stores.

use std::ops::Range;

use crate::scenario::PopulationPlan;

/// What kind of place a beacon marks; the daemon judges signals by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LocationType {
    Entrance,
    Counter,
    Table,
}

/// What a beacon is registered as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BeaconStatus {
    Active,
    Inactive,
    Maintenance,
}

/// The numbers of a population. Everything is numbered from 0; neighbours in number are neighbours in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    customers: u32,
    stores: u32,
    gateways: u32,
    beacons_per_store: u32,
}

impl Layout {
    pub(crate) fn new(plan: &PopulationPlan) -> Self {
        Self {
            customers: plan.customers,
            stores: plan.stores,
            gateways: plan.gateways,
            beacons_per_store: plan.beacons_per_store.into(),
        }
    }

    pub(crate) const fn customers(&self) -> u32 {
        self.customers
    }

    pub(crate) const fn stores(&self) -> u32 {
        self.stores
    }

    pub(crate) const fn gateways(&self) -> u32 {
        self.gateways
    }

    pub(crate) const fn beacons_per_store(&self) -> u32 {
        self.beacons_per_store
    }

    pub(crate) const fn beacons(&self) -> u32 {
        self.stores * self.beacons_per_store
    }

    /// The customers of a gateway's chain.
    pub(crate) fn customers_of(&self, gateway: u32) -> Range<u32> {
        self.part(self.customers, gateway)
    }

    /// The stores a gateway reports for: its chain.
    pub(crate) fn stores_of(&self, gateway: u32) -> Range<u32> {
        self.part(self.stores, gateway)
    }

    pub(crate) const fn store_of(&self, beacon: u32) -> u32 {
        beacon / self.beacons_per_store
    }

    pub(crate) fn beacons_of(&self, store: u32) -> Range<u32> {
        store * self.beacons_per_store..(store + 1) * self.beacons_per_store
    }

    /// The first of a store marks its entrance, the second its counter, the others tables.
    pub(crate) const fn location_type(&self, beacon: u32) -> LocationType {
        match beacon % self.beacons_per_store {
            0 => LocationType::Entrance,
            1 => LocationType::Counter,
            _ => LocationType::Table,
        }
    }

    /// The last of a store is out of service, in every second store for maintenance.
    pub(crate) const fn status(&self, beacon: u32) -> BeaconStatus {
        if beacon % self.beacons_per_store + 1 < self.beacons_per_store {
            BeaconStatus::Active
        } else if self.store_of(beacon).is_multiple_of(2) {
            BeaconStatus::Inactive
        } else {
            BeaconStatus::Maintenance
        }
    }

    fn part(&self, whole: u32, gateway: u32) -> Range<u32> {
        let bound = |number: u32| {
            let bound = u64::from(whole) * u64::from(number) / u64::from(self.gateways);
            u32::try_from(bound).unwrap_or(whole)
        };
        bound(gateway)..bound(gateway + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_belongs_to_one_gateway() {
        let plan = PopulationPlan {
            customers: 1_001,
            stores: 17,
            gateways: 5,
            beacons_per_store: 4,
            ..PopulationPlan::default()
        };
        let layout = Layout::new(&plan);
        let customers: Vec<u32> = (0..5).flat_map(|gateway| layout.customers_of(gateway)).collect();
        assert_eq!(customers, (0..1_001).collect::<Vec<_>>());
        let stores: Vec<u32> = (0..5).flat_map(|gateway| layout.stores_of(gateway)).collect();
        assert_eq!(stores, (0..17).collect::<Vec<_>>());
        let beacons: Vec<u32> = stores.iter().flat_map(|&store| layout.beacons_of(store)).collect();
        assert_eq!(beacons, (0..layout.beacons()).collect::<Vec<_>>());
    }
}
