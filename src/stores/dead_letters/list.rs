//! Reads dead letters back, also while a daemon writes them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::Range;
use std::path::Path;

use super::{DEAD_LETTERS_FILE, LINE_MAX_BYTES, line};
use crate::domain::time::Timestamp;
use crate::ports::Block;

/// What tells a letter from every other: the store, the place in the journal, and the row, as one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LetterId(pub(super) u128);

/// A dead letter as it was kept.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptLetter {
    /// What tells it from others.
    pub id: LetterId,
    /// The store that refused the row.
    pub store: String,
    /// The journal's entry that the row came in; older letters do not say.
    pub entry: Option<u64>,
    /// The row's place in that.
    pub row: Option<u32>,
    /// What the store said.
    pub reason: String,
    /// When the row was given up.
    pub at: Timestamp,
    /// The row.
    pub block: Block,
}

/// A line that is no letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line} cannot be read as a dead letter")]
pub struct DamagedLetter {
    /// Its number in the file, from 1.
    pub line: u64,
}

/// The letters of a file, oldest first. Ends after the first error of reading itself.
#[derive(Debug)]
pub struct KeptLetters {
    /// Absent where no letter was ever kept, and after an error.
    file: Option<BufReader<File>>,
    line: u64,
    text: Vec<u8>,
    range: Range<u64>,
}

/// The dead letters of a data directory: those finished when they are come to.
///
/// # Errors
/// When the file is there and cannot be opened.
pub fn list(data_dir: &Path) -> io::Result<KeptLetters> {
    let file = match File::open(data_dir.join(DEAD_LETTERS_FILE)) {
        Ok(file) => Some(BufReader::new(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    Ok(KeptLetters { file, line: 0, text: Vec::new(), range: 0..0 })
}

impl KeptLetters {
    /// Where in the file the line lies that was read last, its end included.
    pub(super) fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// The next finished line, cut at what a letter may be long.
    fn read_line(&mut self) -> io::Result<bool> {
        let Some(file) = &mut self.file else { return Ok(false) };
        self.text.clear();
        let mut bytes = file.take(LINE_MAX_BYTES).read_until(b'\n', &mut self.text)? as u64;
        if bytes == LINE_MAX_BYTES && self.text.last() != Some(&b'\n') {
            bytes += file.skip_until(b'\n')? as u64;
            self.text.push(b'\n');
        }
        self.range = self.range.end..self.range.end + bytes;
        Ok(self.text.last() == Some(&b'\n'))
    }
}

impl Iterator for KeptLetters {
    type Item = io::Result<Result<KeptLetter, DamagedLetter>>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.read_line() {
            Ok(true) => {
                self.line += 1;
                Some(Ok(line::read(&self.text).ok_or(DamagedLetter { line: self.line })))
            }
            Ok(false) => None,
            Err(error) => {
                self.file = None;
                Some(Err(error))
            }
        }
    }
}
