//! What the window remembers of a customer: a keyed hash, so that no personal data stays in memory.

use siphasher::sip128::SipHasher13;

use crate::domain::beacon::BeaconId;

/// Stands for a customer id: its 128-bit SipHash-1-3 under a secret key.
///
/// Two customers share a key with a probability of 2^-128 a pair: 10 million of them, 1 in 10^24.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CustomerKey([u64; 2]);

impl CustomerKey {
    /// Where entries of this customer in the `run`-th stretch of time belong in the index: uniform,
    /// and unknown to whoever chose the customer id, since both halves come from a keyed hash.
    pub(super) fn scatter(self, run: u64) -> u64 {
        fold(self.0[0] ^ run, self.0[1] | 1)
    }

    /// What an entry of this customer remembers of its beacon: 64 bits under the customer's own key, to
    /// tell a redelivery from a duplicate at the very same microsecond; two beacons share them 1 time in 2^64.
    pub(super) fn beacon_mark(self, beacon: &BeaconId) -> u64 {
        let (upper, lower) = beacon.as_bytes().split_at(8);
        let half = |bytes: &[u8]| bytes.iter().fold(0, |half, byte| half << 8 | u64::from(*byte));
        fold(self.0[0] ^ half(upper), self.0[1] ^ half(lower))
    }
}

/// The two halves of the product of two numbers, in one.
fn fold(one: u64, other: u64) -> u64 {
    let (low, high) = one.carrying_mul(other, 0);
    low ^ high
}

/// Turns customer ids into [`CustomerKey`]s under one secret key.
///
/// The key must be random and secret, so that nobody can choose customer ids that meet in the index.
/// A window is only asked with keys of one hasher.
#[derive(Clone)]
pub struct CustomerHasher {
    keyed: SipHasher13,
}

impl CustomerHasher {
    /// A hasher under `secret`: 16 random bytes, new at every start.
    #[must_use]
    pub fn new(secret: [u8; 16]) -> Self {
        Self { keyed: SipHasher13::new_with_key(&secret) }
    }

    /// The key that stands for the customer with these id bytes.
    #[must_use]
    pub fn key(&self, customer_id: &[u8]) -> CustomerKey {
        let hash = self.keyed.hash(customer_id);
        CustomerKey([hash.h1, hash.h2])
    }
}

impl std::fmt::Debug for CustomerHasher {
    /// Leaves the secret out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CustomerHasher").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_ids_have_equal_keys_and_others_do_not() {
        let hasher = CustomerHasher::new([7; 16]);
        assert_eq!(hasher.key(b"c-1"), hasher.key(b"c-1"));
        assert_ne!(hasher.key(b"c-1"), hasher.key(b"c-2"));
        assert_ne!(hasher.key(b""), hasher.key(b"\0"));
    }

    #[test]
    fn another_secret_gives_other_keys() {
        let (one, other) = (CustomerHasher::new([7; 16]), CustomerHasher::new([8; 16]));
        assert_ne!(one.key(b"c-1"), other.key(b"c-1"));
    }

    #[test]
    fn the_secret_is_not_printed() {
        assert_eq!(format!("{:?}", CustomerHasher::new([7; 16])), "CustomerHasher { .. }");
    }

    #[test]
    fn a_customers_runs_scatter_and_beacons_have_other_marks() {
        let key = CustomerHasher::new([7; 16]).key(b"c-1");
        let mut places: Vec<u64> = (0..1000).map(|run| key.scatter(run) >> 40).collect();
        places.sort_unstable();
        places.dedup();
        assert!(places.len() > 990);
        let mut marks: Vec<u64> = (0..=255)
            .flat_map(|byte| (0..16).map(move |at| (at, byte)))
            .map(|(at, byte)| {
                let mut beacon = [0x55; 16];
                beacon[at] = byte;
                key.beacon_mark(&BeaconId::from_bytes(beacon))
            })
            .collect();
        marks.sort_unstable();
        marks.dedup();
        assert_eq!(marks.len(), 16 * 255 + 1);
    }
}
