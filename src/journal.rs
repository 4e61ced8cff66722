//! The journal: what was accepted and is not yet in every store, on the disk before anybody is told of it.
//!
//! Files of a fixed length, the *segments*, are written from front to back. In them are *blocks*, each with an entry (what
//! one frame brought) or a state (how far the stores are). [`Appender::append`] writes a group of blocks and syncs once.
//! Every block says up to where everything was durable when it was written; so what can be read behind the last such
//! claim is the *tail*, of which nobody knows, and what cannot be read before it is *damage*, which is named exactly.
//! After a failed sync a segment is never synced again: what did not become durable is written again to another.
//!
//! A block's rows have their own lengths and checksums, so that one customer's can be overwritten where they are: an
//! erased row keeps its length, is of a kind of its own, is zeros, and has the checksum of that. It reads as absent.
//!
//! All of it is synchronous, for plain threads. The format is in `docs/adr/0011-journal.md`.

mod append;
mod block;
pub mod entry;
mod fields;
mod read;
mod recovery;
mod rows;
mod scan;
mod segment;
mod shared;
mod shown;
mod storage;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use self::append::Start;
pub use self::append::{AppendError, Appender};
pub use self::entry::{EntryKind, JournalEntry, JournalState, StoreCursor};
pub use self::read::{JournalReader, ReadError, ReadOn};
use self::recovery::SEGMENTS_MIN;
pub use self::recovery::{DamagedRange, OpenError, Recovery, TornTail};
pub use self::shared::JournalUsage;
use self::shared::{Preparer, Shared};
use self::storage::{Directory, Storage};

/// Where the journal is and how large it may be.
#[derive(Debug, Clone)]
pub struct JournalSettings {
    /// Its directory, made if it is missing.
    pub directory: PathBuf,
    /// Length of a segment's file.
    pub segment_bytes: u64,
    /// The size that all files together do not pass.
    pub max_bytes: u64,
}

/// A journal that was opened.
#[derive(Debug)]
pub struct Opened {
    /// Writes it.
    pub appender: Appender,
    /// Reads it, from the start.
    pub reader: JournalReader,
    /// What was found.
    pub recovery: Recovery,
}

/// Opens the journal, or begins one. `visit` gets every durable entry once, in ascending number.
///
/// Nothing is written but a missing directory: a disk that is full or read-only is no obstacle.
///
/// # Errors
/// When it cannot be read at all, or another version wrote it. Damage is reported, not refused.
pub fn open(
    settings: &JournalSettings,
    visit: &mut dyn FnMut(Arc<JournalEntry>),
) -> Result<Opened, OpenError> {
    open_on(Arc::new(Directory::new(&settings.directory)), settings, visit)
}

fn open_on(
    storage: Arc<dyn Storage>,
    settings: &JournalSettings,
    visit: &mut dyn FnMut(Arc<JournalEntry>),
) -> Result<Opened, OpenError> {
    let (segment_bytes, max_bytes) = (settings.segment_bytes, settings.max_bytes);
    let least = SEGMENTS_MIN.saturating_mul(segment_bytes);
    if max_bytes < least {
        return Err(OpenError::TooSmall { max_bytes, least, segment_bytes });
    }
    if let Err(error) = storage.make() {
        // On a full or read-only disk it is made when something is appended.
        tracing::warn!(directory = %settings.directory.display(), %error, "the journal's directory cannot be made yet");
    }
    let found = recovery::read(&*storage, visit)?;
    let next_segment = found.segments.last().map_or(1, |last| last.id.saturating_add(1));
    let shared = Arc::new(Shared::new(storage, segment_bytes, max_bytes, found.segments, found.durable));
    {
        let mut state = shared.state();
        state.recycled = found.recycled;
        state.vacant = found.vacant;
        state.damage.clone_from(&found.recovery.damage);
    }
    let thread = |source: io::Error| OpenError::Io { path: settings.directory.clone(), source };
    let preparer = Preparer::start(&shared).map_err(thread)?;
    let recovery = found.recovery;
    let start = Start {
        next_segment,
        durable: found.durable,
        tail_end: recovery.next_number,
        recycled: found.recycled,
        state: recovery.state.clone(),
        state_home: found.state_home,
    };
    let reader = JournalReader::new(Arc::clone(&shared));
    Ok(Opened { appender: Appender::new(shared, preparer, start), reader, recovery })
}

#[cfg(test)]
mod tests;
