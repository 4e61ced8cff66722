//! Rows read back as they were written, and no damage to them goes unnoticed.

use proptest::prelude::*;

use super::super::block::{HEADER_BYTES, Position};
use super::*;
use crate::journal::tests::sample;

fn header(kind: BlockKind, rows: usize) -> BlockHeader {
    BlockHeader {
        kind,
        salt: 1,
        segment: 2,
        number: 3,
        first_identity: 4,
        joins: 3,
        durable: Position::START,
        void_from: 0,
        recycled: Position::START,
        accepted_at: 5,
        accepted: 0,
        rows: u32::try_from(rows).unwrap(),
        body_bytes: 0,
    }
}

fn header_of(entry: &JournalEntry) -> BlockHeader {
    BlockHeader {
        number: entry.number,
        first_identity: entry.first_identity,
        accepted_at: entry.accepted_at.as_micros(),
        accepted: u32::try_from(entry.accepted()).unwrap(),
        ..header(BlockKind::Entry, 1 + entry.block.rows())
    }
}

fn body_of(header: &BlockHeader, entry: &JournalEntry) -> Vec<u8> {
    let mut body = Vec::new();
    put_entry(&mut body, header.seed(), entry).unwrap();
    body
}

proptest! {
    /// Invariant: whatever entry is written is read.
    #[test]
    fn an_entry_reads_back_as_it_was_written(entry in sample::any_entry()) {
        let header = header_of(&entry);
        let body = body_of(&header, &entry);
        prop_assert_eq!(decode(&header, &body), Some(Content::Entry(entry)));
    }

    #[test]
    fn a_state_reads_back_as_it_was_written(state in sample::any_state()) {
        let header = header(BlockKind::State, 1);
        let mut body = Vec::new();
        put_state(&mut body, header.seed(), &state).unwrap();
        prop_assert_eq!(decode(&header, &body), Some(Content::State(Some(state))));
    }

    /// Invariant: a body with a flipped bit, cut, or of another block, is not sound.
    #[test]
    fn no_damage_goes_unnoticed(entry in sample::any_entry(), at in any::<prop::sample::Index>(), bit in 0..8) {
        let header = header_of(&entry);
        let body = body_of(&header, &entry);
        let mut flipped = body.clone();
        flipped[at.index(body.len())] ^= 1u8 << bit;
        prop_assert_eq!(decode(&header, &flipped), None);
        prop_assert_eq!(decode(&header, &body[..at.index(body.len())]), None);
        let other = BlockHeader { segment: header.segment + 1, ..header };
        prop_assert_eq!(decode(&other, &body), None, "rows of an earlier life of the file");
    }
}

#[test]
fn an_erased_row_reads_as_absent_and_leaves_the_others_sound() {
    let entry = sample::entry(3, 4, 3);
    let header = header_of(&entry);
    let mut body = body_of(&header, &entry);
    let origin_end = 8 + 32 + "gateway-1".len();
    erase(header.seed(), &mut body, origin_end);
    let Some(Content::Entry(read)) = decode(&header, &body) else {
        panic!("the block is not sound");
    };
    assert_eq!(read.block.identities, entry.block.identities[1..]);
    let id = entry.block.identities[0].customer_id.as_str().as_bytes();
    assert!(!body.windows(id.len()).any(|window| window == id), "the id is still there");
}

#[test]
fn a_header_has_the_length_that_its_fields_take() {
    assert_eq!(header(BlockKind::State, 0).encode().len(), HEADER_BYTES);
}
