//! The suffix of a partition key, which spreads a customer's events over several partitions.

use std::num::NonZeroU16;

/// The partition key of an event: the CustomerID as it is when N is 1, else the CustomerID, a hyphen and [`suffix`].
pub(super) fn partition_key(customer_id: &str, detected_at: &str, suffixes: NonZeroU16) -> String {
    if suffixes.get() == 1 {
        return customer_id.to_owned();
    }
    format!("{customer_id}-{}", suffix(customer_id, detected_at, suffixes))
}

/// CRC-32C (Castagnoli) over the UTF-8 bytes of the CustomerID, a zero byte and the 27 bytes of DetectedAt's text,
/// modulo N. It follows from the event alone, so that a redelivery finds the item it made; it is on the disk, so it
/// never changes.
fn suffix(customer_id: &str, detected_at: &str, suffixes: NonZeroU16) -> u32 {
    let hash = crc32c::crc32c(customer_id.as_bytes());
    let hash = crc32c::crc32c_append(hash, b"\0");
    crc32c::crc32c_append(hash, detected_at.as_bytes()) % u32::from(suffixes.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: &str = "2026-05-01T12:00:00.000000Z";

    fn key(suffixes: u16) -> String {
        partition_key("cust123", NOON, NonZeroU16::new(suffixes).unwrap())
    }

    #[test]
    fn with_one_there_is_no_suffix_and_with_more_every_key_has_the_one_its_event_gives() {
        assert_eq!(key(1), "cust123");
        // Computed bit by bit elsewhere: CRC-32C of "cust123", 0, the text is 2,424,103,053.
        assert_eq!([key(4), key(7), key(100)], ["cust123-1", "cust123-1", "cust123-53"]);
    }

    #[test]
    fn a_customers_events_are_spread_evenly() {
        let mut events = [0; 8];
        for second in 0..8_000 {
            let at =
                format!("2026-05-01T{:02}:{:02}:{:02}.000000Z", second / 3600, second / 60 % 60, second % 60);
            events[suffix("cust123", &at, NonZeroU16::new(8).unwrap()) as usize] += 1;
        }
        assert!(events.iter().all(|count| (800..1_200).contains(count)), "{events:?}");
    }
}
