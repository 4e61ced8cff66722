//! What a start makes of the journal: the window, the frames known, and how far each store had come.

use std::sync::Arc;

use super::admit::PipelineSettings;
use super::core::State;
use super::frames::FrameRecords;
use super::ledger::{Ledger, StoreLedger};
use super::numbering::Numbering;
use super::progress::{Checkpoints, StoreProgress};
use super::waiting::StoredWaiters;
use crate::domain::time::Timestamp;
use crate::domain::window::{CustomerHasher, DuplicateWindow, Position, WindowLimits};
use crate::faults::{Mutant, mutant};
use crate::journal::{self, EntryKind, JournalEntry, JournalState, OpenError, Opened, Recovery, StoreCursor};

/// What was rebuilt, and the journal that it was rebuilt from.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) state: State,
    pub(super) journal: Opened,
}

/// What entries are made into, in their order.
struct Rebuilding<'s> {
    hasher: &'s CustomerHasher,
    window: DuplicateWindow,
    numbering: Numbering,
    frames: FrameRecords,
    checkpoints: Checkpoints,
    /// Identities accepted before the first entry.
    first_identity: Option<u64>,
    /// The number behind the last identity; past any when there is none.
    end_identity: u64,
    /// Numbers of identities that no entry has: they were lost, or never came to be.
    gaps: Vec<(u64, u64)>,
    /// Rows that a store alone is to write again.
    replays: Vec<ReplayFound>,
}

/// A dead letter that was taken back.
struct ReplayFound {
    number: u64,
    store: String,
    identities: u64,
    /// Of these, those accepted with it.
    accepted: u64,
}

/// Opens the journal and rebuilds what is decided on. `record` and `events` are the stores configured.
pub(super) fn recover(
    settings: &PipelineSettings,
    hasher: &CustomerHasher,
    record: &'static str,
    events: Option<&'static str>,
) -> Result<Recovered, OpenError> {
    let limits = WindowLimits::new(settings.horizon_us, settings.time.max_ahead_us, settings.window_entries);
    let mut rebuilding = Rebuilding {
        hasher,
        window: DuplicateWindow::new(limits),
        numbering: Numbering::default(),
        frames: FrameRecords::new(settings.frames_remembered),
        checkpoints: Checkpoints::default(),
        first_identity: None,
        end_identity: u64::MAX,
        gaps: Vec::new(),
        replays: Vec::new(),
    };
    let opened = journal::open(&settings.journal, &mut |entry| rebuilding.entry(&entry, true))?;
    report(&opened.recovery);
    let durable_end = rebuilding.window.next_position();
    rebuilding.window.durable(durable_end);
    for entry in &opened.recovery.tail {
        rebuilding.entry(entry, false);
    }
    let state = rebuilding.finish(&opened.recovery, record, events);
    Ok(Recovered { state, journal: opened })
}

impl Rebuilding<'_> {
    fn entry(&mut self, entry: &Arc<JournalEntry>, durable: bool) {
        self.checkpoints.note(entry);
        if entry.first_identity > self.end_identity {
            self.gaps.push((self.end_identity, entry.first_identity));
        }
        self.first_identity.get_or_insert(entry.first_identity);
        self.end_identity = entry.end_identity();
        match &entry.kind {
            EntryKind::Frame(mark) if durable => self.frames.record(mark, entry.number),
            EntryKind::Frame(_) => {}
            EntryKind::Replay { store, .. } => {
                self.replays.push(ReplayFound {
                    number: entry.number,
                    store: store.clone(),
                    identities: entry.block.identities.len() as u64,
                    accepted: entry.accepted(),
                });
            }
        }
        if entry.accepted() == 0 || mutant(Mutant::WindowNotRebuilt) {
            return;
        }
        self.numbering.starts(self.window.next_position(), entry.first_identity);
        for identity in &entry.block.identities {
            let customer = self.hasher.key(identity.customer_id.as_str().as_bytes());
            self.window.restore(customer, identity.detected_at, &identity.beacon_id, entry.accepted_at);
        }
    }

    fn finish(self, recovery: &Recovery, record: &'static str, events: Option<&'static str>) -> State {
        let Self {
            mut window, mut numbering, frames, checkpoints, first_identity, mut gaps, replays, ..
        } = self;
        gaps.push((0, first_identity.unwrap_or(recovery.next_identity)));
        gaps.push((self.end_identity, recovery.next_identity));
        let lost = recovery.damage.iter().map(|range| (range.first_identity, range.end_identity));
        let lost: Vec<_> = lost.collect();
        let JournalState { mut stores, known_from, past_known } =
            recovery.state.clone().unwrap_or_else(|| JournalState {
                stores: Vec::new(),
                known_from: Timestamp::from_micros(i64::MIN),
                past_known: false,
            });
        window.unknown_before(known_from);
        // A new store begins with what comes. Where nobody knows how far the stores were, all is written again.
        let (next, first_identity) = match recovery.state {
            Some(_) => (recovery.next_number, recovery.next_identity),
            None => (recovery.first_number, first_identity.unwrap_or(recovery.next_identity)),
        };
        // Another system of record may hold what this journal has never seen.
        let record_known = stores.iter().any(|store| store.name == record);
        let mut progress = |name: &'static str| {
            let unknown = || StoreCursor { name: name.to_owned(), next, first_identity };
            let known = stores.iter().position(|store| store.name == name);
            let cursor = known.map_or_else(unknown, |known| stores.swap_remove(known));
            let mut ledger = StoreLedger::default();
            // What was accepted with a replay is another store's, or is counted with it here.
            let replays = || replays.iter().filter(|replay| replay.number >= cursor.next);
            let numbered = recovery.next_identity.saturating_sub(cursor.first_identity);
            // What was lost is counted as such when the store comes to it.
            let accepted = (numbered + behind(&lost, cursor.first_identity))
                .saturating_sub(behind(&gaps, cursor.first_identity));
            ledger.found(accepted.saturating_sub(replays().map(|replay| replay.accepted).sum()));
            let own = replays().filter(|replay| replay.store == name);
            ledger.found(own.map(|replay| replay.identities).sum());
            // What was lost right there is counted when it is read; what was recycled is passed over.
            (StoreProgress { name, next: cursor.next, first_identity: cursor.first_identity }, ledger)
        };
        let (record, system_of_record) = progress(record);
        let (events, events_ledger) = events.map(&mut progress).unzip();
        for absent in &stores {
            tracing::warn!(
                store = absent.name,
                waiting = recovery.next_number.saturating_sub(absent.next),
                "this store is not configured: the journal keeps what it has not got until `beacond journal forget-store`"
            );
        }
        let next = window.next_position();
        if window.is_empty() {
            numbering = Numbering::default();
            numbering.starts(next, recovery.next_identity);
        }
        let stored = numbering.position_of(record.first_identity);
        let durable = next.number() - window.pending();
        window.stored(stored.min(Position::new(durable)));
        State {
            window,
            numbering,
            ledger: Ledger { system_of_record, events: events_ledger, ..Ledger::default() },
            frames,
            queue: None,
            next_number: recovery.next_number,
            next_identity: recovery.next_identity,
            undurable_from: recovery.tail.first().map_or(recovery.next_number, |entry| entry.number),
            checkpoints,
            record,
            events,
            absent: stores,
            // What was lost may be stored: only the system of record knows.
            past_known: past_known && record_known && recovery.damage.is_empty(),
            waiters: Default::default(),
            stored_waiters: StoredWaiters::default(),
        }
    }
}

/// How many identities of these ranges are numbered `from` and up.
fn behind(ranges: &[(u64, u64)], from: u64) -> u64 {
    ranges.iter().map(|&(first, end)| end.saturating_sub(first.max(from))).sum()
}

fn report(recovery: &Recovery) {
    if let Some(torn) = &recovery.torn {
        tracing::warn!(%torn, "the journal's end was written in part: nobody was told of it, and it is cut");
    }
    for lost in &recovery.damage {
        tracing::error!(%lost, "the journal is damaged: what is not in the stores yet is lost");
    }
    if recovery.segments == 0 {
        return tracing::debug!("the journal is new");
    }
    tracing::info!(
        segments = recovery.segments,
        bytes = recovery.bytes,
        entries = recovery.next_number.saturating_sub(recovery.first_number),
        "the journal was read"
    );
}
