//! A block's rows: what an entry or a state is made of, each with its own length and checksum.

use super::block::{BlockHeader, BlockKind};
use super::entry::{EntryKind, JournalEntry, JournalState, StoreCursor};
use super::fields::Fields;
use crate::domain::beacon::BeaconId;
use crate::domain::block::Block;
use crate::domain::confidence::Confidence;
use crate::domain::customer::CustomerId;
use crate::domain::frame::{AckLevel, FrameId, FrameMark};
use crate::domain::identity::CustomerIdentity;
use crate::domain::preference::PreferenceChange;
use crate::domain::time::Timestamp;

/// Checksum, and length with kind.
const ROW_HEADER_BYTES: usize = 8;

/// The part of an identity that is not text.
const IDENTITY_BYTES: usize = 32;

/// A row's length has 24 bits.
const ROW_MAX_BYTES: usize = (1 << 24) - 1;

/// A location's length where there is none.
const NO_LOCATION: u16 = u16::MAX;

mod kind {
    /// Where an entry comes from: a frame.
    pub(super) const FRAME: u8 = 1;
    /// Where an entry comes from: a dead letter.
    pub(super) const REPLAY: u8 = 2;
    pub(super) const IDENTITY: u8 = 3;
    pub(super) const PREFERENCE: u8 = 4;
    pub(super) const STATE: u8 = 5;
    /// Overwritten in place on a customer's request: as long as what it was, all zeros.
    pub(super) const ERASED: u8 = 255;
}

/// What a block turned out to hold.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    Entry(JournalEntry),
    /// None: the block is there for its header's sake.
    State(Option<JournalState>),
}

/// A text or a row that is longer than its length can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an entry is too large for the journal")]
pub(super) struct TooLarge;

/// Writes an entry's rows.
pub(super) fn put_entry(buffer: &mut Vec<u8>, seed: u32, entry: &JournalEntry) -> Result<(), TooLarge> {
    let start = buffer.len();
    match &entry.kind {
        EntryKind::Frame(mark) => put_row(buffer, kind::FRAME, |row| put_mark(row, mark))?,
        EntryKind::Replay { store, accepted } => put_row(buffer, kind::REPLAY, |row| {
            row.push((*accepted).into());
            put_text(row, store)
        })?,
    }
    for identity in &entry.block.identities {
        put_identity(buffer, identity)?;
    }
    for change in &entry.block.preferences {
        put_row(buffer, kind::PREFERENCE, |row| put_preference(row, change))?;
    }
    seal(buffer, seed, start);
    Ok(())
}

/// Writes a state's row.
pub(super) fn put_state(buffer: &mut Vec<u8>, seed: u32, state: &JournalState) -> Result<(), TooLarge> {
    let start = buffer.len();
    put_row(buffer, kind::STATE, |row| {
        row.extend_from_slice(&state.known_from.as_micros().to_le_bytes());
        row.push(state.past_known.into());
        row.extend_from_slice(&short(state.stores.len())?.to_le_bytes());
        for cursor in &state.stores {
            put_text(row, &cursor.name)?;
            row.extend_from_slice(&cursor.next.to_le_bytes());
            row.extend_from_slice(&cursor.first_identity.to_le_bytes());
        }
        Ok(())
    })?;
    seal(buffer, seed, start);
    Ok(())
}

/// What the rows of a block are, if all of them are sound.
pub(super) fn decode(header: &BlockHeader, body: &[u8]) -> Option<Content> {
    let mut rows = Rows { seed: header.seed(), rest: body };
    match header.kind {
        BlockKind::Entry => decode_entry(header, &mut rows).map(Content::Entry),
        BlockKind::State => decode_state(header, &mut rows).map(Content::State),
    }
}

/// Changes the row at this place of a body to an erased one, and tells where the next begins.
#[cfg(test)]
pub(super) fn erase(seed: u32, body: &mut [u8], at: usize) -> usize {
    let word = u32::from_le_bytes(body[at + 4..at + 8].try_into().unwrap());
    let end = at + ROW_HEADER_BYTES + (word >> 8) as usize;
    body[at + 4] = kind::ERASED;
    body[at + ROW_HEADER_BYTES..end].fill(0);
    let checksum = crc32c::crc32c_append(seed, &body[at + 4..end]);
    body[at..at + 4].copy_from_slice(&checksum.to_le_bytes());
    end
}

/// Writes a row, its checksum left out.
fn put_row(
    buffer: &mut Vec<u8>,
    kind: u8,
    put: impl FnOnce(&mut Vec<u8>) -> Result<(), TooLarge>,
) -> Result<(), TooLarge> {
    let at = buffer.len();
    buffer.extend_from_slice(&[0; ROW_HEADER_BYTES]);
    put(buffer)?;
    let word = row_word(buffer.len() - at - ROW_HEADER_BYTES, kind)?;
    buffer[at + 4..at + 8].copy_from_slice(&word.to_le_bytes());
    Ok(())
}

fn row_word(length: usize, kind: u8) -> Result<u32, TooLarge> {
    if length > ROW_MAX_BYTES {
        return Err(TooLarge);
    }
    Ok(u32::try_from(length << 8).map_err(|_| TooLarge)? | u32::from(kind))
}

/// Writes the checksums of the rows from this place on: in a second pass, because reading back what was written in pieces
/// a moment ago makes the processor wait.
fn seal(buffer: &mut [u8], seed: u32, start: usize) {
    let mut rest = &mut buffer[start..];
    while let Some((checksum, guarded)) = rest.split_first_chunk_mut::<4>() {
        let length = guarded.first_chunk().map_or(0, |word| u32::from_le_bytes(*word) >> 8);
        let length = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(4);
        let Some((row, behind)) = guarded.split_at_mut_checked(length) else {
            return;
        };
        *checksum = crc32c::crc32c_append(seed, row).to_le_bytes();
        rest = behind;
    }
}

fn short(length: usize) -> Result<u16, TooLarge> {
    u16::try_from(length).map_err(|_| TooLarge)
}

fn put_text(row: &mut Vec<u8>, text: &str) -> Result<(), TooLarge> {
    row.extend_from_slice(&short(text.len())?.to_le_bytes());
    row.extend_from_slice(text.as_bytes());
    Ok(())
}

fn put_mark(row: &mut Vec<u8>, mark: &FrameMark) -> Result<(), TooLarge> {
    row.extend_from_slice(&mark.id.boot_epoch.to_le_bytes());
    row.extend_from_slice(&mark.id.sequence.to_le_bytes());
    row.extend_from_slice(&mark.answered_up_to.to_le_bytes());
    row.extend_from_slice(&mark.id.checksum.to_le_bytes());
    row.push(mark.complete.into());
    row.push(match mark.level {
        AckLevel::Journal => 1,
        AckLevel::Stored => 2,
    });
    put_text(row, mark.id.gateway.as_str())
}

/// Writes an identity's row, its checksum left out. There are so many of them that the fixed part is put together first.
fn put_identity(buffer: &mut Vec<u8>, identity: &CustomerIdentity) -> Result<(), TooLarge> {
    let customer = identity.customer_id.as_str().as_bytes();
    let location = identity.location.as_ref().map(|location| location.as_str().as_bytes());
    let location_length = location.map_or(Ok(NO_LOCATION), |name| short(name.len()))?;
    let location = location.unwrap_or_default();
    let word = row_word(IDENTITY_BYTES + customer.len() + location.len(), kind::IDENTITY)?;
    let mut fixed = [0; ROW_HEADER_BYTES + IDENTITY_BYTES];
    fixed[4..8].copy_from_slice(&word.to_le_bytes());
    fixed[8..24].copy_from_slice(identity.beacon_id.as_bytes());
    fixed[24..32].copy_from_slice(&identity.detected_at.as_micros().to_le_bytes());
    fixed[32..36].copy_from_slice(&identity.confidence.as_f32().to_le_bytes());
    fixed[36..38].copy_from_slice(&short(customer.len())?.to_le_bytes());
    fixed[38..].copy_from_slice(&location_length.to_le_bytes());
    buffer.extend_from_slice(&fixed);
    buffer.extend_from_slice(customer);
    buffer.extend_from_slice(location);
    Ok(())
}

fn put_preference(row: &mut Vec<u8>, change: &PreferenceChange) -> Result<(), TooLarge> {
    row.extend_from_slice(&change.updated_at.as_micros().to_le_bytes());
    let pairs = u32::try_from(change.pairs.len()).map_err(|_| TooLarge)?;
    row.extend_from_slice(&pairs.to_le_bytes());
    put_text(row, change.customer_id.as_str())?;
    for (key, value) in &change.pairs {
        put_text(row, key)?;
        put_text(row, value)?;
    }
    Ok(())
}

/// The rows not read yet.
struct Rows<'a> {
    seed: u32,
    rest: &'a [u8],
}

impl<'a> Rows<'a> {
    /// The next row if it is sound.
    fn next(&mut self) -> Option<(u8, Fields<'a>)> {
        let (checksum, guarded) = self.rest.split_first_chunk::<4>()?;
        let word = u32::from_le_bytes(*guarded.first_chunk::<4>()?);
        let length = usize::try_from(word >> 8).ok()?;
        let (row, rest) = guarded.split_at_checked(4 + length)?;
        if crc32c::crc32c_append(self.seed, row) != u32::from_le_bytes(*checksum) {
            return None;
        }
        self.rest = rest;
        let [kind, ..] = word.to_le_bytes();
        Some((kind, Fields::new(row.get(4..)?)))
    }
}

fn decode_entry(header: &BlockHeader, rows: &mut Rows<'_>) -> Option<JournalEntry> {
    let (kind, mut fields) = rows.next()?;
    let origin = match kind {
        kind::FRAME => EntryKind::Frame(decode_mark(&mut fields)?),
        kind::REPLAY => {
            let accepted = flag(&mut fields)?;
            let length = fields.u16()?;
            EntryKind::Replay { accepted, store: fields.text(length)?.to_owned() }
        }
        _ => return None,
    };
    let mut block = Block::default();
    block
        .identities
        .reserve_exact(usize::try_from(header.accepted).ok()?.min(rows.rest.len() / IDENTITY_BYTES));
    for _ in 1..header.rows {
        let (kind, mut fields) = rows.next()?;
        match kind {
            kind::IDENTITY => block.identities.push(decode_identity(&mut fields)?),
            kind::PREFERENCE => block.preferences.push(decode_preference(&mut fields)?),
            kind::ERASED => {}
            _ => return None,
        }
    }
    rows.rest.is_empty().then(|| JournalEntry {
        number: header.number,
        first_identity: header.first_identity,
        accepted_at: Timestamp::from_micros(header.accepted_at),
        kind: origin,
        block: block.into(),
    })
}

fn decode_state(header: &BlockHeader, rows: &mut Rows<'_>) -> Option<Option<JournalState>> {
    if header.rows == 0 {
        return rows.rest.is_empty().then_some(None);
    }
    let (kind::STATE, mut fields) = rows.next()? else {
        return None;
    };
    let known_from = Timestamp::from_micros(fields.i64()?);
    let past_known = flag(&mut fields)?;
    let count = fields.u16()?;
    let mut stores = Vec::new();
    for _ in 0..count {
        let length = fields.u16()?;
        let name = fields.text(length)?.to_owned();
        stores.push(StoreCursor { name, next: fields.u64()?, first_identity: fields.u64()? });
    }
    (rows.rest.is_empty() && fields.is_empty()).then_some(Some(JournalState {
        stores,
        known_from,
        past_known,
    }))
}

fn flag(fields: &mut Fields<'_>) -> Option<bool> {
    match fields.u8()? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

fn decode_mark(fields: &mut Fields<'_>) -> Option<FrameMark> {
    let (boot_epoch, sequence) = (fields.u64()?, fields.u64()?);
    let (answered_up_to, checksum) = (fields.u64()?, fields.u32()?);
    let complete = flag(fields)?;
    let level = match fields.u8()? {
        1 => AckLevel::Journal,
        2 => AckLevel::Stored,
        _ => return None,
    };
    let length = fields.u16()?;
    let gateway = fields.text(length)?.parse().ok()?;
    Some(FrameMark {
        id: FrameId { gateway, boot_epoch, sequence, checksum },
        complete,
        level,
        answered_up_to,
    })
}

fn decode_identity(fields: &mut Fields<'_>) -> Option<CustomerIdentity> {
    let beacon_id = BeaconId::from_bytes(fields.array()?);
    let detected_at = Timestamp::from_micros(fields.i64()?);
    let confidence = Confidence::from_stored(fields.f32()?.into())?;
    let (customer_length, location_length) = (fields.u16()?, fields.u16()?);
    let customer_id = CustomerId::from_bytes(fields.bytes(customer_length.into())?).ok()?;
    let location = match location_length {
        NO_LOCATION => None,
        length => Some(fields.text(length)?.parse().ok()?),
    };
    fields.is_empty().then_some(CustomerIdentity {
        customer_id,
        beacon_id,
        location,
        confidence,
        detected_at,
    })
}

fn decode_preference(fields: &mut Fields<'_>) -> Option<PreferenceChange> {
    let updated_at = Timestamp::from_micros(fields.i64()?);
    let count = fields.u32()?;
    let length = fields.u16()?;
    let customer_id = CustomerId::from_bytes(fields.bytes(length.into())?).ok()?;
    let mut pairs = Vec::new();
    for _ in 0..count {
        let length = fields.u16()?;
        let key = fields.text(length)?.to_owned();
        let length = fields.u16()?;
        pairs.push((key, fields.text(length)?.to_owned()));
    }
    fields.is_empty().then_some(PreferenceChange { customer_id, updated_at, pairs })
}

#[cfg(test)]
mod tests;
