//! What the journal keeps: entries, and how far each store has come with them.

use std::sync::Arc;

use crate::domain::block::Block;
use crate::domain::frame::FrameMark;
use crate::domain::time::Timestamp;

/// What one frame brought, or one row that is to be stored again: atomic, it is in the journal whole or not at all.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalEntry {
    /// Its place: counted from 1 over the journal's whole life.
    pub number: u64,
    /// Identities accepted before its own, over the journal's whole life.
    pub first_identity: u64,
    /// When it was decided.
    pub accepted_at: Timestamp,
    /// Where it comes from.
    pub kind: EntryKind,
    /// The rows.
    pub block: Arc<Block>,
}

/// Where an entry comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A gateway's frame; every identity in it was accepted with it.
    Frame(FrameMark),
    /// A dead letter of this store alone, to be written there again.
    Replay {
        /// The store's name.
        store: String,
        /// Its identities were accepted anew: nothing was known of them any more.
        accepted: bool,
    },
}

impl JournalEntry {
    /// Identities that were accepted with it.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        match self.kind {
            EntryKind::Frame(_) | EntryKind::Replay { accepted: true, .. } => {
                self.block.identities.len() as u64
            }
            EntryKind::Replay { accepted: false, .. } => 0,
        }
    }

    /// The number of the first identity accepted after it.
    #[must_use]
    pub fn end_identity(&self) -> u64 {
        self.first_identity + self.accepted()
    }

    /// Whether this store is to write it.
    #[must_use]
    pub fn is_for(&self, name: &str) -> bool {
        match &self.kind {
            EntryKind::Frame(_) => true,
            EntryKind::Replay { store, .. } => store == name,
        }
    }
}

/// What the journal remembers beside its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalState {
    /// Every store that has ever been configured and was not forgotten, by name.
    pub stores: Vec<StoreCursor>,
    /// Identities detected before this may be missing from the entries: they left, or came before the journal did.
    pub known_from: Timestamp,
    /// Whether it was known, when the journal began, what had been stored before.
    pub past_known: bool,
}

/// How far a store has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreCursor {
    /// Its name, at most 32 bytes.
    pub name: String,
    /// The lowest entry it has not finished.
    pub next: u64,
    /// Identities accepted before that entry.
    pub first_identity: u64,
}
