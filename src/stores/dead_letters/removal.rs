//! Takes letters out of their file: what stays is written to a file of its own, which then takes the old one's place.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{DamagedLetter, DeadLetterFile, KeptLetter, State, list};
use crate::domain::time::Timestamp;

/// What was taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// Letters.
    pub letters: u64,
    /// Lines that could not be read as such.
    pub damaged: u64,
}

impl DeadLetterFile {
    /// The oldest letters that are `wanted`, without the first `skip` of them, until there are `count`, or they take so
    /// many bytes of the file; and whether there are more.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn oldest(
        &self,
        wanted: impl Fn(&KeptLetter) -> bool,
        skip: usize,
        count: usize,
        bytes: u64,
    ) -> io::Result<(Vec<KeptLetter>, bool)> {
        let mut kept = list(self.directory())?;
        let (mut found, mut taken, mut skipped) = (Vec::new(), 0, 0);
        while let Some(letter) = kept.next() {
            let Ok(letter) = letter? else { continue };
            if !wanted(&letter) {
                continue;
            }
            if skipped < skip {
                skipped += 1;
            } else if found.len() >= count || taken >= bytes {
                return Ok((found, true));
            } else {
                taken += length(&kept.range());
                found.push(letter);
            }
        }
        Ok((found, false))
    }

    /// Takes out every letter and every damaged line that is `unwanted`. Killed in the middle it has done nothing, or all.
    ///
    /// # Errors
    /// When the file cannot be read, or what stays cannot be written; nothing has changed then.
    pub fn remove(
        &self,
        unwanted: impl Fn(Result<&KeptLetter, &DamagedLetter>) -> bool,
    ) -> io::Result<Removed> {
        let mut state = self.state();
        let file = state.take_file(&self.path)?;
        state.file = Some(file);
        let mut kept = list(self.directory())?;
        let (mut removed, mut gone, mut stays) = (Removed::default(), Vec::new(), Vec::new());
        while let Some(letter) = kept.next() {
            let letter = letter?;
            if unwanted(letter.as_ref()) {
                match letter {
                    Ok(letter) => {
                        gone.push(letter.id);
                        removed.letters += 1;
                    }
                    Err(_) => removed.damaged += 1,
                }
            } else {
                stay(&mut stays, kept.range());
            }
        }
        if removed == Removed::default() {
            return Ok(removed);
        }
        state.keep_only(&self.path, &stays)?;
        state.letters -= removed.letters;
        state.damaged -= removed.damaged;
        for id in &gone {
            state.held.remove(id);
        }
        // Opened anew, and with its directory on the disk.
        let file = state.take_file(&self.path)?;
        state.file = Some(file);
        Ok(removed)
    }

    /// Takes out the letters of a store, or of all, that were given up before a time, or whenever. Damaged lines, of which
    /// neither is known, go only with everything.
    ///
    /// # Errors
    /// As [`Self::remove`].
    pub fn purge(&self, store: Option<&str>, before: Option<Timestamp>) -> io::Result<Removed> {
        self.remove(|letter| match letter {
            Ok(letter) => {
                store.is_none_or(|store| letter.store == store)
                    && before.is_none_or(|before| letter.at < before)
            }
            Err(_) => store.is_none() && before.is_none(),
        })
    }

    fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }
}

impl State {
    fn keep_only(&mut self, path: &Path, stays: &[Range<u64>]) -> io::Result<()> {
        if stays.is_empty() {
            // Also on a disk that is full.
            if let Some(file) = self.file.take() {
                file.set_len(0)?;
            }
        } else {
            let beside = path.with_extension("partial");
            let written = write_beside(path, &beside, stays);
            if written.is_err() {
                // It would be in nobody's way; it is taken away all the same, as far as that works.
                let _ = fs::remove_file(&beside);
            }
            written?;
            fs::rename(&beside, path)?;
            self.file = None;
        }
        self.good_bytes = stays.iter().map(length).sum();
        Ok(())
    }
}

fn write_beside(path: &Path, beside: &Path, stays: &[Range<u64>]) -> io::Result<()> {
    let mut from = File::open(path)?;
    let mut to = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(beside)?;
    for range in stays {
        from.seek(SeekFrom::Start(range.start))?;
        let copied = io::copy(&mut Read::by_ref(&mut from).take(length(range)), &mut to)?;
        if copied != length(range) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    to.sync_all()
}

fn stay(stays: &mut Vec<Range<u64>>, range: Range<u64>) {
    match stays.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ => stays.push(range),
    }
}

const fn length(range: &Range<u64>) -> u64 {
    range.end.saturating_sub(range.start)
}
