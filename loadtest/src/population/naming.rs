//! Names on the wire and in the stores, and back: a number becomes an id by a mixing that can be undone, so that ids are
//! spread like real ones and nothing needs to be remembered to read them.

use beacon_protocol::{BeaconRef, OutcomeCode};

use super::layout::{Layout, LocationType};

/// Bytes of a customer's id: 16 hexadecimal digits.
pub(crate) const CUSTOMER_ID_BYTES: usize = 16;

/// Kinds of malformed customer ids, beside an RSSI that no radio has.
const MALFORMED_IDS: u32 = 4;

const CUSTOMER: u64 = 0x1;
const BEACON: u64 = 0x2;
const UNKNOWN_BEACON: u64 = 0x3;
const SPREAD: u64 = 0x4;
const SEED: u64 = 0x5;

/// The names of a population.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Naming {
    layout: Layout,
}

impl Naming {
    pub(crate) const fn new(layout: Layout) -> Self {
        Self { layout }
    }

    /// A customer's id.
    pub(crate) fn customer_id(customer: u32) -> [u8; CUSTOMER_ID_BYTES] {
        const DIGITS: [u8; 16] = *b"0123456789abcdef";
        let mixed = mix(CUSTOMER << 32 | u64::from(customer));
        std::array::from_fn(|at| DIGITS[usize::from(nibble(mixed, at))])
    }

    /// The customer whose id that is; none if it is nobody's of this population.
    pub(crate) fn customer(&self, id: &[u8]) -> Option<u32> {
        let text = std::str::from_utf8(id).ok().filter(|text| text.len() == CUSTOMER_ID_BYTES)?;
        let number = unmix(u64::from_str_radix(text, 16).ok()?);
        let customer = u32::try_from(number ^ CUSTOMER << 32).ok()?;
        (customer < self.layout.customers() && Self::customer_id(customer) == *id).then_some(customer)
    }

    /// What a sighting calls its customer, which for some `invalid` ones is no customer's id.
    pub(crate) fn write_id(customer: u32, expected: OutcomeCode, into: &mut Vec<u8>) {
        let id = Self::customer_id(customer);
        match (expected, customer % (MALFORMED_IDS + 1)) {
            (OutcomeCode::Invalid, 0) => {}
            (OutcomeCode::Invalid, 1) => into.extend(id.iter().cycle().take(65)),
            (OutcomeCode::Invalid, 2) => {
                into.extend(id);
                into.push(b'\n');
            }
            (OutcomeCode::Invalid, 3) => {
                into.extend(id);
                into.push(0xff);
            }
            _ => into.extend(id),
        }
    }

    /// How long that is.
    pub(crate) const fn id_bytes(customer: u32, expected: OutcomeCode) -> usize {
        match (expected, customer % (MALFORMED_IDS + 1)) {
            (OutcomeCode::Invalid, 0) => 0,
            (OutcomeCode::Invalid, 1) => 65,
            (OutcomeCode::Invalid, 2 | 3) => CUSTOMER_ID_BYTES + 1,
            _ => CUSTOMER_ID_BYTES,
        }
    }

    /// Whether an `invalid` sighting of this customer is one by its RSSI, its id being sound.
    pub(crate) const fn is_invalid_by_rssi(customer: u32) -> bool {
        customer % (MALFORMED_IDS + 1) == MALFORMED_IDS
    }

    /// What a sighting at this beacon says it heard.
    pub(crate) fn radio(&self, beacon: u32, expected: OutcomeCode) -> BeaconRef {
        let kind = if expected == OutcomeCode::UnknownBeacon { UNKNOWN_BEACON } else { BEACON };
        let (major, minor) = self.numbers(beacon);
        let copied = expected == OutcomeCode::BeaconMismatch;
        BeaconRef { uuid: uuid(kind, beacon), major, minor: if copied { !minor } else { minor } }
    }

    /// A registered beacon's UUID.
    pub(crate) fn beacon_id(beacon: u32) -> [u8; 16] {
        uuid(BEACON, beacon)
    }

    /// The registered beacon of that UUID; none if it is none of this population.
    pub(crate) fn beacon(&self, id: [u8; 16]) -> Option<u32> {
        let (head, _) = id.split_first_chunk::<8>()?;
        let beacon = u32::try_from(unmix(u64::from_be_bytes(*head)) ^ BEACON << 32).ok()?;
        (beacon < self.layout.beacons() && Self::beacon_id(beacon) == id).then_some(beacon)
    }

    /// Major and Minor: the store and the place in it.
    pub(crate) const fn numbers(&self, beacon: u32) -> (u16, u16) {
        #[expect(clippy::cast_possible_truncation, reason = "Major tells stores apart where it can")]
        let major = self.layout.store_of(beacon) as u16;
        #[expect(clippy::cast_possible_truncation, reason = "a store has at most 100 beacons")]
        let minor = (beacon % self.layout.beacons_per_store()) as u16;
        (major, minor)
    }

    /// A number that tells customers apart evenly.
    pub(super) const fn spread(customer: u32) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "any half of it is as good")]
        let spread = mix(SPREAD << 32 | customer as u64) as u32;
        spread
    }

    /// A number mixed so that what is alike is far apart.
    pub(crate) const fn mixed(number: u64) -> u64 {
        mix(number)
    }

    /// What a gateway's random numbers begin with.
    pub(super) const fn seed(seed: u64, gateway: u32) -> u64 {
        mix(mix(seed) ^ (SEED << 32 | gateway as u64))
    }

    /// The name of a beacon's place in its store, as it is registered.
    pub(crate) fn place(&self, beacon: u32) -> String {
        match self.layout.location_type(beacon) {
            LocationType::Entrance => "Entrance".to_owned(),
            LocationType::Counter => "Counter".to_owned(),
            LocationType::Table => format!("Table {}", beacon % self.layout.beacons_per_store() - 1),
        }
    }

    /// A store's id.
    pub(crate) fn store_id(store: u32) -> String {
        format!("store-{:06}", store + 1)
    }

    /// A gateway's id.
    pub(crate) fn gateway_id(prefix: &str, gateway: u32) -> String {
        format!("{prefix}-{:06}", gateway + 1)
    }
}

/// One of a number's 16 hexadecimal digits, the first being the highest.
const fn nibble(number: u64, at: usize) -> u8 {
    number.to_be_bytes()[at / 2] >> (4 - 4 * (at % 2)) & 0xf
}

fn uuid(kind: u64, number: u32) -> [u8; 16] {
    let head = mix(kind << 32 | u64::from(number));
    let tail = mix(!head);
    std::array::from_fn(|at| if at < 8 { head.to_be_bytes()[at] } else { tail.to_be_bytes()[at - 8] })
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014), a bijection.
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Undoes [`mix`].
const fn unmix(mut z: u64) -> u64 {
    z = (z ^ (z >> 31) ^ (z >> 62)).wrapping_mul(0x3196_42b2_d24d_8ec3);
    z = (z ^ (z >> 27) ^ (z >> 54)).wrapping_mul(0x96de_1b17_3f11_9089);
    z ^ (z >> 30) ^ (z >> 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::PopulationPlan;

    fn naming() -> Naming {
        Naming::new(Layout::new(&PopulationPlan::default()))
    }

    #[test]
    fn names_lead_back_to_numbers() {
        let naming = naming();
        for number in [0, 1, 4_711, 999_999] {
            assert_eq!(naming.customer(&Naming::customer_id(number)), Some(number));
            assert_eq!(naming.beacon(Naming::beacon_id(number)), Some(number));
            assert_eq!(unmix(mix(u64::from(number))), u64::from(number));
        }
        assert_eq!(naming.customer(&Naming::customer_id(10_000_000)), None);
        assert_eq!(naming.customer(b"0000000000000000"), None);
        assert_eq!(naming.beacon(naming.radio(5, OutcomeCode::UnknownBeacon).uuid), None);
    }

    #[test]
    fn what_is_expected_to_be_refused_says_so_on_the_wire() {
        let naming = naming();
        let (right, copied) =
            (naming.radio(5, OutcomeCode::Identified), naming.radio(5, OutcomeCode::BeaconMismatch));
        assert_eq!(right.uuid, copied.uuid);
        assert_ne!(right.minor, copied.minor);
        let ids: Vec<Vec<u8>> = (0..5)
            .map(|customer| {
                let mut id = Vec::new();
                Naming::write_id(customer, OutcomeCode::Invalid, &mut id);
                id
            })
            .collect();
        let lengths: Vec<usize> = ids.iter().map(Vec::len).collect();
        assert_eq!(lengths, [0, 65, 17, 17, 16]);
        assert!(std::str::from_utf8(&ids[3]).is_err());
    }
}
