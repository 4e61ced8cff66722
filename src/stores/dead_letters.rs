//! Rows that a store refused, kept in a bounded file of the data directory.
//!
//! One letter a line, as JSON. It holds personal data, and is its owner's alone to read.

mod line;
mod list;
mod removal;

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use self::list::{DamagedLetter, KeptLetter, KeptLetters, LetterId, list};
pub use self::removal::Removed;
use crate::ports::{DeadLetter, DeadLetters, StoreError};

/// The file's name in the data directory.
pub const DEAD_LETTERS_FILE: &str = "dead-letters.jsonl";

/// The longest line that is read as a letter. The largest row, a preference change of a frame, takes under half of it.
const LINE_MAX_BYTES: u64 = 1 << 20;

/// The dead letters of one daemon, which alone writes them: the data directory's lock sees to that.
#[derive(Debug)]
pub struct DeadLetterFile {
    path: PathBuf,
    max_bytes: u64,
    state: Mutex<State>,
}

/// What was found in the file when it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenedLetters {
    /// Letters that can be read.
    pub letters: u64,
    /// Lines that cannot. They stay as they are.
    pub damaged: u64,
    /// Bytes of a last line that was never finished, and was cut. Nothing was claimed of it.
    pub cut_bytes: u64,
}

/// How many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadLetterCounts {
    /// Letters that can be read.
    pub letters: u64,
    /// Lines that cannot.
    pub damaged: u64,
    /// Size of the file.
    pub bytes: u64,
    /// The size it does not pass.
    pub max_bytes: u64,
}

#[derive(Debug)]
struct State {
    /// Absent after a failure: what the file holds past `good_bytes` is not known.
    file: Option<File>,
    /// Up to here it is on the disk.
    good_bytes: u64,
    letters: u64,
    damaged: u64,
    /// Those held, so that none is kept twice. As many as fit the file: a line is several times as long as its place here.
    held: HashSet<LetterId>,
}

impl DeadLetterFile {
    /// Opens the file of this data directory, which is made with the first letter. It grows to `max_bytes` at most.
    ///
    /// Nothing is written before the first letter is kept: a disk that is full or read-only is no obstacle.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(data_dir: &Path, max_bytes: u64) -> io::Result<(Self, OpenedLetters)> {
        let path = data_dir.join(DEAD_LETTERS_FILE);
        let (length, good_bytes) = match File::open(&path) {
            Ok(mut file) => {
                let length = file.metadata()?.len();
                (length, end_of_last_line(&mut file, length)?)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => (0, 0),
            Err(error) => return Err(error),
        };
        let (mut letters, mut damaged, mut held) = (0, 0, HashSet::new());
        for letter in list(data_dir)? {
            match letter? {
                Ok(letter) => {
                    letters += 1;
                    held.insert(letter.id);
                }
                Err(_) => damaged += 1,
            }
        }
        let state = Mutex::new(State { file: None, good_bytes, letters, damaged, held });
        let opened = OpenedLetters { letters, damaged, cut_bytes: length - good_bytes };
        Ok((Self { path, max_bytes, state }, opened))
    }

    /// How many there are now.
    #[must_use]
    pub fn counts(&self) -> DeadLetterCounts {
        let state = self.state();
        DeadLetterCounts {
            letters: state.letters,
            damaged: state.damaged,
            bytes: state.good_bytes,
            max_bytes: self.max_bytes,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unavailable(&self, reason: impl std::fmt::Display) -> StoreError {
        StoreError::Unavailable {
            store: "dead letters",
            reason: format!("{}: {reason}", self.path.display()),
        }
    }
}

impl DeadLetters for DeadLetterFile {
    fn keep(&self, letter: &DeadLetter) -> Result<(), StoreError> {
        let (line, id) = line::write(letter).map_err(|error| self.unavailable(error))?;
        let mut state = self.state();
        let mut file = state.take_file(&self.path).map_err(|error| self.unavailable(error))?;
        if state.held.contains(&id) {
            // It was kept, and the daemon was killed before its cursor had passed the row.
            state.file = Some(file);
            return Ok(());
        }
        let bytes = state.good_bytes.saturating_add(line.len() as u64);
        if bytes > self.max_bytes {
            let full = format!(
                "full: {} bytes of at most {} (dead_letters.max_bytes)",
                state.good_bytes, self.max_bytes
            );
            state.file = Some(file);
            return Err(self.unavailable(full));
        }
        append(&mut file, state.good_bytes, &line).map_err(|error| self.unavailable(error))?;
        state.file = Some(file);
        state.good_bytes = bytes;
        state.letters += 1;
        state.held.insert(id);
        Ok(())
    }
}

impl State {
    /// The file, all of whose good bytes are on the disk and nothing else. It is put back once it has been written to: a
    /// file that could not be is not used again, since what a failed sync left in memory would be taken for written.
    fn take_file(&mut self, path: &Path) -> io::Result<File> {
        if let Some(file) = self.file.take_if(|file| !matches!(is_at(file, path), Ok(false))) {
            return Ok(file);
        }
        let directory = path.parent().unwrap_or(path);
        let file = match OpenOptions::new().write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // There was none, or somebody has taken it away, with what was in it.
                (self.good_bytes, self.letters, self.damaged) = (0, 0, 0);
                self.held.clear();
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?
            }
            Err(error) => return Err(error),
        };
        file.set_len(self.good_bytes)?;
        file.sync_all()?;
        File::open(directory)?.sync_all()?;
        Ok(file)
    }
}

fn append(file: &mut File, at: u64, line: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.write_all(line)?;
    file.sync_data()
}

/// Whether the file at `path` is this one.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (held.dev(), held.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Where the last finished line ends, looked for from the end.
fn end_of_last_line(file: &mut File, length: u64) -> io::Result<u64> {
    const PIECE_BYTES: u64 = 64 * 1024;
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(PIECE_BYTES);
        let mut piece = Vec::new();
        file.seek(SeekFrom::Start(start))?;
        Read::by_ref(file).take(end - start).read_to_end(&mut piece)?;
        if let Some(at) = piece.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests;
