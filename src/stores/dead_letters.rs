//! Rows that a store refused, kept in a bounded file of the data directory.
//!
//! One letter a line, as JSON. It holds personal data, and is its owner's alone to read.

mod line;
mod list;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use self::list::{DamagedLetter, KeptLetter, KeptLetters, list};
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
}

impl DeadLetterFile {
    /// Opens the file of this data directory, or makes it. It grows to `max_bytes` at most.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn open(data_dir: &Path, max_bytes: u64) -> io::Result<(Self, OpenedLetters)> {
        let path = data_dir.join(DEAD_LETTERS_FILE);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        File::open(data_dir)?.sync_all()?;
        let length = file.metadata()?.len();
        let good_bytes = end_of_last_line(&mut file, length)?;
        if good_bytes < length {
            file.set_len(good_bytes)?;
        }
        // Lines that a daemon wrote and was killed before it synced may be in the page cache only.
        file.sync_all()?;
        let (mut letters, mut damaged) = (0, 0);
        for letter in list(data_dir)? {
            match letter? {
                Ok(_) => letters += 1,
                Err(_) => damaged += 1,
            }
        }
        let state = Mutex::new(State { file: Some(file), good_bytes, letters, damaged });
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
        let line = line::write(letter).map_err(|error| self.unavailable(error))?;
        let mut state = self.state();
        state.follow(&self.path).map_err(|error| self.unavailable(error))?;
        let bytes = state.good_bytes.saturating_add(line.len() as u64);
        if bytes > self.max_bytes {
            let full = format!(
                "full: {} bytes of at most {} (dead_letters.max_bytes)",
                state.good_bytes, self.max_bytes
            );
            return Err(self.unavailable(full));
        }
        state.append(&self.path, &line).map_err(|error| self.unavailable(error))?;
        state.letters += 1;
        Ok(())
    }
}

impl State {
    /// Goes on with a file of its own where somebody has taken the last one away, with what was in it.
    fn follow(&mut self, path: &Path) -> io::Result<()> {
        if self.file.as_ref().map_or(Ok(true), |file| is_at(file, path))? {
            return Ok(());
        }
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        self.good_bytes = file.metadata()?.len();
        self.letters = 0;
        self.file = Some(file);
        if let Some(directory) = path.parent() {
            File::open(directory)?.sync_all()?;
        }
        Ok(())
    }

    /// Appends and syncs. After an error nothing has changed, whatever is on the disk past the good bytes.
    fn append(&mut self, path: &Path, line: &[u8]) -> io::Result<()> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => {
                // Not the file of the failure: what a failed sync left in memory would be taken for written.
                let file = OpenOptions::new().write(true).open(path)?;
                file.set_len(self.good_bytes)?;
                file.sync_all()?;
                file
            }
        };
        file.seek(SeekFrom::Start(self.good_bytes))?;
        file.write_all(line)?;
        file.sync_data()?;
        self.good_bytes += line.len() as u64;
        self.file = Some(file);
        Ok(())
    }
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
