//! Identities in the binary format of COPY, a whole batch in one buffer.

use bytes::{BufMut, Bytes, BytesMut};

use super::rows::Time;
use crate::domain::identity::CustomerIdentity;

/// The columns a row of [`encode`] has, in its order.
pub(super) const COLUMNS: &str = "customer_id, beacon_id, location, confidence, detected_at";

/// The first bytes: the signature, no flags, no extension.
const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Where a row's number of fields would stand, after the last row.
const TRAILER: i16 = -1;
const FIELDS: i16 = 5;
/// A field's length when it is NULL.
const NULL: i32 = -1;
/// Bytes of a row without CustomerID and location: counts, BeaconID, confidence, DetectedAt.
const FIXED_BYTES: usize = 2 + FIELDS as usize * 4 + 36 + 4 + 8;
/// Room to begin with for CustomerID and location.
const TEXT_BYTES: usize = 32;
/// What is handed to the connection at a time: large, since each piece costs a turn of its task.
const PIECE_BYTES: usize = 256 * 1024;

/// Encodes the identities. Their types hold their ranges: nothing here can fail half-way through a row. Times that
/// TIMESTAMPTZ does not hold must have been refused before.
pub(super) fn encode<'i>(
    identities: impl ExactSizeIterator<Item = &'i CustomerIdentity>,
    into: &mut BytesMut,
) {
    into.reserve(HEADER.len() + identities.len() * (FIXED_BYTES + TEXT_BYTES) + size_of_val(&TRAILER));
    into.put_slice(HEADER);
    for identity in identities {
        into.put_i16(FIELDS);
        put_text(into, identity.customer_id.as_str());
        put_text(into, identity.beacon_id.write_text(&mut [0; 36]));
        match &identity.location {
            Some(location) => put_text(into, location.as_str()),
            None => into.put_i32(NULL),
        }
        into.put_i32(4);
        into.put_f32(identity.confidence.as_f32());
        into.put_i32(8);
        into.put_i64(Time(identity.detected_at).as_postgres_micros());
    }
    into.put_i16(TRAILER);
}

/// The buffer's content in pieces to be sent. The buffer keeps its room for the next batch once they are gone.
pub(super) fn pieces(buffer: &mut BytesMut) -> impl Iterator<Item = Bytes> {
    let mut rest = buffer.split().freeze();
    std::iter::from_fn(move || {
        let piece = rest.split_to(rest.len().min(PIECE_BYTES));
        (!piece.is_empty()).then_some(piece)
    })
}

/// Texts are a customer's, a beacon's or a place's: at most 64 characters, so their length always fits.
#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "at most 256 bytes")]
fn put_text(into: &mut BytesMut, text: &str) {
    into.put_i32(text.len() as i32);
    into.put_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::confidence::Confidence;
    use crate::domain::customer::CustomerId;
    use crate::domain::time::Timestamp;

    fn identity(customer: &[u8], location: Option<&str>) -> CustomerIdentity {
        CustomerIdentity {
            customer_id: CustomerId::from_bytes(customer).unwrap(),
            beacon_id: "0db9ba02-25ee-562c-9dee-7afcb156cfba".parse().unwrap(),
            location: location.map(|name| name.parse().unwrap()),
            confidence: Confidence::from_stored(0.875).unwrap(),
            detected_at: Timestamp::from_micros(946_684_800_000_001),
        }
    }

    #[test]
    fn a_row_is_laid_out_as_the_manual_of_copy_has_it() {
        let mut buffer = BytesMut::new();
        encode([&identity("é".as_bytes(), None)].into_iter(), &mut buffer);
        let mut expected = b"PGCOPY\n\xff\r\n\0".to_vec();
        expected.extend([0; 8]);
        expected.extend(b"\0\x05\0\0\0\x02\xc3\xa9\0\0\0\x240db9ba02-25ee-562c-9dee-7afcb156cfba");
        expected.extend(b"\xff\xff\xff\xff\0\0\0\x04\x3f\x60\0\0\0\0\0\x08\0\0\0\0\0\0\0\x01\xff\xff");
        assert_eq!(buffer, expected);
    }

    #[test]
    fn pieces_are_the_whole_buffer_in_order() {
        let mut buffer = BytesMut::new();
        let row = identity(b"customer", Some("Table 3"));
        encode(std::iter::repeat_n(&row, 5_000), &mut buffer);
        let whole = buffer.clone();
        let pieces: Vec<Bytes> = pieces(&mut buffer).collect();
        assert!(pieces.len() > 1);
        assert!(pieces.iter().all(|piece| piece.len() <= PIECE_BYTES));
        assert_eq!(pieces.concat(), whole);
        assert!(buffer.is_empty());
    }
}
