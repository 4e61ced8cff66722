//! What the journal's parts share: which segments there are, and the thread that keeps a spare file ready.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::block::Position;
use super::recovery::DamagedRange;
use super::segment::{FileKind, Segment, segment_name, spare_name, unfinished_name};
use super::storage::{Storage, StorageFile, write_all_at};

/// Zeros are written in pieces of this length.
const ZEROS_BYTES: usize = 1 << 20;

/// Recycled files that are kept. With one, a new file would be made whenever it is taken, and one recycled be removed;
/// with two, those that are recycled as fast as they are filled are enough.
const SPARES_MAX: usize = 2;

/// Where a file may be cut off.
const PAGE_BYTES: u64 = 4096;

/// What the journal takes and has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JournalUsage {
    /// Bytes of all its files.
    pub bytes: u64,
    /// The size they do not pass.
    pub max_bytes: u64,
    /// Segments, spares not counted.
    pub segments: usize,
    /// Whether a file is ready to become the next segment.
    pub spare: bool,
    /// Entries made durable since it was opened.
    pub entries_written: u64,
    /// Bytes made durable since then.
    pub bytes_written: u64,
    /// Syncs since then, failed ones too.
    pub syncs: u64,
}

/// What the appender, the readers and the preparing thread share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) segment_bytes: u64,
    /// Past this not even a spare is made.
    limit_bytes: u64,
    state: Mutex<State>,
    changed: Condvar,
}

/// Under the lock.
#[derive(Debug)]
pub(super) struct State {
    /// The segments, in order.
    pub(super) segments: VecDeque<Segment>,
    /// All before this is durable.
    pub(super) durable: Position,
    pub(super) recycled: Position,
    /// Numbers that no entry has, in order.
    pub(super) vacant: Vec<(u64, u64)>,
    /// Ranges known to be lost.
    pub(super) damage: Vec<DamagedRange>,
    pub(super) usage: JournalUsage,
    /// Files that are segments no more.
    freed: VecDeque<Freed>,
    /// What an earlier life of the daemon left is still to be put in order.
    untidy: bool,
    spares: VecDeque<Spare>,
    spare_wanted: bool,
    spare_error: Option<io::Error>,
    closing: bool,
}

#[derive(Debug, Clone)]
struct Freed {
    id: u64,
    bytes: u64,
    reusable: bool,
}

/// A file that is ready: as long as a segment, all of it written and synced.
#[derive(Debug)]
pub(super) struct Spare {
    pub(super) name: String,
    pub(super) file: Box<dyn StorageFile>,
}

impl Shared {
    pub(super) fn new(
        storage: Arc<dyn Storage>,
        segment_bytes: u64,
        max_bytes: u64,
        segments: Vec<Segment>,
        durable: Position,
    ) -> Self {
        let bytes = segments.iter().map(|segment| segment.file_bytes).sum();
        let usage = JournalUsage { bytes, max_bytes, segments: segments.len(), ..JournalUsage::default() };
        let state = State {
            segments: segments.into(),
            durable,
            recycled: Position::START,
            vacant: Vec::new(),
            damage: Vec::new(),
            usage,
            freed: VecDeque::new(),
            untidy: true,
            spares: VecDeque::new(),
            spare_wanted: false,
            spare_error: None,
            closing: false,
        };
        Self {
            storage,
            segment_bytes,
            // A bound set lower than what is there must not keep the stores' progress from being written down.
            limit_bytes: max_bytes.max(bytes + 3 * segment_bytes),
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn usage(&self) -> JournalUsage {
        self.state().usage
    }

    /// Takes the spare, or waits for one.
    pub(super) fn take_spare(&self) -> io::Result<Spare> {
        let mut state = self.state();
        state.spare_error = None;
        loop {
            state.spare_wanted = true;
            self.changed.notify_all();
            if let Some(spare) = state.spares.pop_front() {
                // The next one may get this one's name: not before it has another.
                state.spare_wanted = false;
                state.usage.spare = !state.spares.is_empty();
                return Ok(spare);
            }
            if let Some(error) = state.spare_error.take() {
                state.spare_wanted = false;
                return Err(error);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The spare taken last has another name: the next one may be made.
    pub(super) fn want_spare(&self) {
        self.state().spare_wanted = true;
        self.changed.notify_all();
    }

    /// A file that was a spare is nothing any more.
    pub(super) fn forget(&self, name: &str, id: u64) {
        // It has one name or the other. One that stays is found again when things are put in order.
        for name in [name, &segment_name(id)] {
            let _ = self.storage.remove(name);
        }
        let mut state = self.state();
        state.usage.bytes = state.usage.bytes.saturating_sub(self.segment_bytes);
        state.untidy = true;
    }

    /// Takes these segments out; their files are used again or removed.
    pub(super) fn free(&self, ids: &[u64]) {
        let mut state = self.state();
        let (freed, kept): (Vec<_>, Vec<_>) =
            state.segments.drain(..).partition(|segment| ids.contains(&segment.id));
        state.segments = kept.into();
        state.usage.segments = state.segments.len();
        state.freed.extend(freed.into_iter().map(|segment| Freed {
            id: segment.id,
            bytes: segment.file_bytes,
            reusable: segment.reusable && segment.file_bytes == self.segment_bytes,
        }));
        self.changed.notify_all();
    }
}

/// The thread that prepares files; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Preparer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Preparer {
    pub(super) fn start(shared: &Arc<Shared>) -> io::Result<Self> {
        let own = Arc::clone(shared);
        let thread = std::thread::Builder::new()
            .name("journal-spare".to_owned())
            .spawn(move || while own.prepare() {})?;
        Ok(Self { shared: Arc::clone(shared), thread: Some(thread) })
    }
}

impl Drop for Preparer {
    fn drop(&mut self) {
        self.shared.state().closing = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // Its panic has ended the process already.
            let _ = thread.join();
        }
    }
}

enum Job {
    Tidy,
    Free(Freed, bool),
    Spare,
}

impl Shared {
    /// Does one job; false when there is to be no other.
    fn prepare(&self) -> bool {
        match self.next_job() {
            None => return false,
            Some(Job::Tidy) => self.tidy(),
            Some(Job::Free(freed, keep)) => self.put_away(&freed, keep),
            Some(Job::Spare) => self.make_spare(),
        }
        self.changed.notify_all();
        true
    }

    fn next_job(&self) -> Option<Job> {
        let mut state = self.state();
        loop {
            if state.closing {
                return None;
            }
            if state.spare_wanted && state.untidy {
                state.untidy = false;
                return Some(Job::Tidy);
            }
            if let Some(freed) = state.freed.pop_front() {
                let keep = freed.reusable && state.spares.len() < SPARES_MAX;
                return Some(Job::Free(freed, keep));
            }
            if !state.spares.is_empty() {
                state.spare_wanted = false;
            }
            if state.spare_wanted && state.usage.bytes + self.segment_bytes > self.limit_bytes {
                state.spare_wanted = false;
                state.spare_error = Some(io::ErrorKind::StorageFull.into());
                self.changed.notify_all();
            }
            if state.spare_wanted {
                return Some(Job::Spare);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Removes what was never finished, keeps spares, and cuts off the unused rest of segments that will not be
    /// written to any more. Whatever fails here costs room only.
    fn tidy(&self) {
        let Ok(files) = self.storage.list() else {
            return;
        };
        for (name, bytes) in files {
            match FileKind::of(&name) {
                Some(FileKind::Spare)
                    if bytes == self.segment_bytes && self.state().spares.len() < SPARES_MAX =>
                {
                    if let Ok(file) = self.storage.open_to_write(&name) {
                        self.offer(Spare { name, file }, bytes);
                    }
                }
                Some(FileKind::Spare | FileKind::Unfinished) => {
                    let _ = self.storage.remove(&name);
                }
                Some(FileKind::Segment(id)) => self.cut(id, &name),
                None => {}
            }
        }
    }

    fn cut(&self, id: u64, name: &str) {
        let unused = self.state().segments.iter().find(|segment| segment.id == id).and_then(|segment| {
            let used = segment.used_bytes.next_multiple_of(PAGE_BYTES);
            let worth_it = segment.file_bytes.checked_sub(used)? > self.segment_bytes / 4;
            (worth_it && segment.clean_end).then_some((used, segment.file_bytes - used))
        });
        let Some((used, unused)) = unused else {
            return;
        };
        if self.storage.cut(name, used).is_ok() {
            let mut state = self.state();
            state.usage.bytes = state.usage.bytes.saturating_sub(unused);
            if let Some(segment) = state.segments.iter_mut().find(|segment| segment.id == id) {
                segment.file_bytes = used;
                segment.reusable = false;
            }
        }
    }

    fn offer(&self, spare: Spare, more_bytes: u64) {
        let mut state = self.state();
        state.usage.bytes += more_bytes;
        state.usage.spare = true;
        state.spares.push_back(spare);
    }

    fn put_away(&self, freed: &Freed, keep: bool) {
        let name = segment_name(freed.id);
        if keep {
            let spare = spare_name(Some(freed.id));
            let kept = self
                .storage
                .rename(&name, &spare)
                .and_then(|()| self.storage.sync_directory())
                .and_then(|()| self.storage.open_to_write(&spare));
            if let Ok(file) = kept {
                return self.offer(Spare { name: spare, file }, 0);
            }
            let _ = self.storage.remove(&spare);
        }
        let removed = match self.storage.remove(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => self.storage.sync_directory(),
        };
        if let Err(error) = removed {
            tracing::warn!(file = %self.storage.path(&name).display(), %error, "a segment of the journal that is not needed any more could not be removed");
        }
        let mut state = self.state();
        state.usage.bytes = state.usage.bytes.saturating_sub(freed.bytes);
    }

    fn make_spare(&self) {
        let made = self.write_zeros();
        if made.is_err() {
            let _ = self.storage.remove(&unfinished_name());
        }
        match made {
            Ok(spare) => self.offer(spare, self.segment_bytes),
            Err(error) => {
                let mut state = self.state();
                state.spare_wanted = false;
                state.spare_error = Some(error);
            }
        }
    }

    /// A file of zeros, written one by one: space that is only reserved would have to be noted in the file system's
    /// own journal at every sync.
    fn write_zeros(&self) -> io::Result<Spare> {
        let zeros = vec![0; ZEROS_BYTES.min(usize::try_from(self.segment_bytes).unwrap_or(ZEROS_BYTES))];
        let file = self.storage.create(&unfinished_name())?;
        let mut at = 0;
        while at < self.segment_bytes {
            if self.state().closing {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let left = usize::try_from(self.segment_bytes - at).unwrap_or(ZEROS_BYTES);
            let piece = &zeros[..left.min(zeros.len())];
            write_all_at(&*file, piece, at)?;
            at += piece.len() as u64;
        }
        file.sync_with_length()?;
        let name = spare_name(None);
        self.storage.rename(&unfinished_name(), &name)?;
        self.storage.sync_directory()?;
        Ok(Spare { name, file })
    }
}
