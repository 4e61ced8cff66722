//! The journal: what was accepted and is not yet in every store, on the disk before anybody is told of it.

pub mod entry;

pub use self::entry::{EntryKind, JournalEntry, JournalState, StoreCursor};
